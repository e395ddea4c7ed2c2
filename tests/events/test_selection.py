import ingesting
import numpy as np
import pandas as pd
import pytest
from analyses import shipped

from nuisflow.datasets import ditau
from nuisflow.events import selection
from nuisflow.events.selection import EventError
from nuisflow.expressions import ExpressionError
from nuisflow.settings import configuration
from nuisflow.settings.configuration import Dask, FlatDataset, Sample
from nuisflow.settings.systematics import Shift, Weight
from nuisflow.slices import events as slices
from nuisflow.slices.events import EventSelection, Processing, RegionSelection
from nuisflow.storage import event_files, ingested

GENERATOR = np.random.default_rng(3)
PT = GENERATOR.exponential(30, 5000).astype(np.float32)
SAMPLE = Sample(process="z", files=("z.parquet",), weight="0.5 + 0 * pt")
SELECTION = EventSelection(
    dataset=FlatDataset(kind="flat", columns=("pt", "x")),
    derived={"pt2": "pt ** 2", "root": "sqrt(pt2)"},
    selection="pt > 20",
    regions={
        "signal": RegionSelection(selection="x < 0.5", observable="score"),
        "control": RegionSelection(selection="x > 0.5", observable="root"),
    },
    features=("pt", "pt2"),
)
SCALE = Shift(kind="shift", columns={"pt": "pt * (1 + 0.1 * z)"})
TILT = Weight(kind="weight", factor="1 + 0.1 * z * x")


@pytest.fixture
def raw(tmp_path):
    return ingesting.of_columns(tmp_path / "a.arrow", {"pt": PT, "x": GENERATOR.random(len(PT)).astype(np.float32)})


def processing(**changes):
    values = {
        "events": SELECTION,
        "name": "z",
        "sample": SAMPLE,
        "variation": None,
        "z": 0.0,
        "variations": {},
        "weights": {},
    }
    return Processing(**(values | changes))


def together(parts):
    parts = list(parts)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize(
    "dask",
    [
        Dask(chunk_size=333),
        Dask(chunk_size=5000),
        Dask(chunk_size=500, scheduler="threads", workers=2),
        Dask(chunk_size=900, scheduler="processes", workers=2),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_chunks_and_workers_change_nothing(raw, dask):
    expected = together(selection.process(raw, processing(), Dask(chunk_size=100_000)))
    found = together(selection.process(raw, processing(), dask))
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in expected)


def test_the_selection_is_that_of_pandas(raw):
    table = pd.DataFrame(ingesting.whole(raw)).query("pt > 20 and x != 0.5")
    found = together(selection.process(raw, processing(), Dask()))
    assert found["entry"].tolist() == table.index.tolist()
    assert np.allclose(found["pt2"], table["pt"] ** 2)
    assert np.array_equal(found["region"], (table["x"] > 0.5).astype(int))
    assert found["weight"].sum() == pytest.approx(0.5 * len(table))


def test_whole_numbers_that_an_observable_would_round_are_refused_with_a_remedy():
    """In single precision, which observables have, runs 300000000 to 300000016 would be one."""
    run = np.arange(300_000_000, 300_000_040)
    columns = {"entry": np.arange(40), "run": run, "w": np.ones(40)}

    def selected(observable):
        events = EventSelection(
            dataset=FlatDataset(kind="flat", columns=("run", "w")),
            derived={},
            selection=None,
            regions={"control": RegionSelection(selection=None, observable=observable)},
            features=("w",),
        )
        return selection.select(columns, events, Sample(process="z", weight="w"), {}, {})["observable"]

    with pytest.raises(EventError, match=r"regions.control.observable: 'run' is 300000000 .* \(run\) - 300000000"):
        selected("run")
    assert selected("(run) - 300000000").tolist() == list(range(40))


def test_the_observable_is_undefined_where_it_is_the_score(raw):
    found = together(selection.process(raw, processing(), Dask()))
    assert np.all(np.isnan(found["observable"][found["region"] == 0]))
    assert np.allclose(found["observable"], found["pt"], equal_nan=True) or np.allclose(
        found["observable"][found["region"] == 1], found["pt"][found["region"] == 1], rtol=1e-6
    )


def test_everything_derived_follows_a_shift_and_events_migrate_both_ways(raw):
    nominal = together(selection.process(raw, processing(), Dask()))
    up = together(selection.process(raw, processing(variation="s", z=1.0, variations={"s": SCALE}), Dask()))
    down = together(selection.process(raw, processing(variation="s", z=-1.0, variations={"s": SCALE}), Dask()))
    assert len(down["entry"]) < len(nominal["entry"]) < len(up["entry"])
    assert np.allclose(up["pt2"], (1.1 * PT[up["entry"]]) ** 2, rtol=1e-5)


def test_a_random_z_per_event_is_the_same_as_each_event_at_its_z(raw):
    columns = ingesting.load(raw, SELECTION, SAMPLE)
    z = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=len(columns["pt"]))
    mixed = selection.select(columns, SELECTION, SAMPLE, {"s": SCALE}, {"s": z})
    for value in (-1.0, 0.0, 1.0):
        fixed = selection.select(columns, SELECTION, SAMPLE, {"s": SCALE}, {"s": value})
        assert np.array_equal(mixed["entry"][z[mixed["row"]] == value], fixed["entry"][z[fixed["row"]] == value])
        assert np.array_equal(mixed["pt2"][z[mixed["row"]] == value], fixed["pt2"][z[fixed["row"]] == value])


def test_features_are_those_of_all_events_shifted_and_reconstructed_at_once():
    settings = configuration.Configuration.model_validate(shipped("config"))
    chosen, sample = slices.selection(settings), slices.bare(settings.samples["ttbar"])
    columns = ditau.simulate("ttbar", 3000, np.random.default_rng(4)) | {"weight": np.ones(3000)}
    shifts = {name: shift for name, shift in settings.variations.items() if shift.kind == "shift"}
    z = {name: np.random.default_rng(5).normal(size=3000) for name in shifts}
    found = selection.select(columns | {"entry": np.arange(3000)}, chosen, sample, shifts, z)
    expected = ditau.reconstruct(ditau.shift(columns, {name: (z[name], shifts[name].size) for name in shifts}))
    kept = (expected["PRI_had_pt"] > 26) & (expected["PRI_lep_pt"] > 20) & (expected["DER_mass_vis"] > 75)
    assert 100 < kept.sum() < 2900
    assert np.array_equal(found["row"], np.flatnonzero(kept))
    assert all(np.array_equal(found[name], expected[name][kept]) for name in settings.features)


def test_chunks_are_whole_batches_where_they_may_be_that_large(tmp_path, monkeypatch):
    monkeypatch.setattr(ingested, "ROWS", 64)
    path = ingesting.of_columns(tmp_path / "a.arrow", {"pt": PT[:500]})
    for size, edges in {50: 50, 64: 64, 100: 64, 200: 192}.items():
        cut = selection.chunks(path, size)
        assert [(chunk.start, chunk.stop) for chunk in cut] == [
            (start, min(start + edges, 500)) for start in range(0, 500, edges)
        ]


def test_weight_variations_give_factors_in_nominal(raw):
    found = together(selection.process(raw, processing(weights={"tilt": TILT}), Dask()))
    assert np.allclose(found["factor_tilt_up"] + found["factor_tilt_down"], 2)
    assert np.all(found["factor_tilt_up"] >= 1)


def test_displaced_events_of_a_weight_variation_are_the_nominal_ones_with_another_weight(raw):
    tilt = Weight(kind="weight", factor="1 + 0.1 * z * (pt > 40)")
    bare = SELECTION.model_copy(update={"features": ()})
    chosen = processing(events=bare, variation="tilt", z=-2.0, variations={"tilt": tilt})
    found = together(selection.process(raw, chosen, Dask(chunk_size=700)))
    nominal = together(selection.process(raw, processing(), Dask()))
    assert set(found) == {"entry", "region", "weight", "observable"}
    assert np.array_equal(found["entry"], nominal["entry"])
    pt = ingesting.whole(raw)["pt"][nominal["entry"]]
    assert found["weight"] == pytest.approx(nominal["weight"] * (1 - 0.2 * (pt > 40)))
    assert not np.array_equal(found["weight"], nominal["weight"])


def test_overlapping_regions_are_an_error_that_names_them():
    both = SELECTION.model_copy(
        update={"regions": {name: RegionSelection(selection="x < 0.9", observable="score") for name in "ab"}}
    )
    columns = {"pt": PT, "x": np.zeros(len(PT)), "entry": np.arange(len(PT))}
    with pytest.raises(EventError, match="regions 'a' and 'b' overlap"):
        selection.select(columns, both, SAMPLE, {}, {})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_feature_that_is_no_number_is_named_with_sample_and_entry(tmp_path, bad):
    table = pd.DataFrame({"pt": [30.0, 40.0, 50.0], "x": [0.1, 0.1, 0.1]})
    broken = SELECTION.model_copy(
        update={"features": ("pt", "ratio"), "derived": {"ratio": "where(pt == 40, x / 0, x)"}}
    )
    table.loc[1, "x"] = 1.0 if bad == np.inf else 0.0
    broken = broken.model_copy(update={"regions": {"signal": RegionSelection(selection=None, observable="score")}})
    path = ingesting.of_table(tmp_path / "z.arrow", table)
    with pytest.raises(EventError, match="sample 'z': column 'ratio' is NaN or infinite in 1 events .*entry 1"):
        list(selection.process(path, processing(events=broken), Dask()))


def test_a_weight_that_is_no_number_is_named(raw):
    sample = SAMPLE.model_copy(update={"weight": "log(x - 1)"})
    with pytest.raises(EventError, match="column 'weight' is NaN"):
        list(selection.process(raw, processing(sample=sample), Dask()))


def test_an_empty_sample_is_an_error(tmp_path):
    path = ingesting.of_columns(tmp_path / "empty.arrow", {"pt": np.empty(0), "x": np.empty(0)})
    with pytest.raises(EventError, match=r"empty\.arrow: no events"):
        list(selection.process(path, processing(), Dask()))


def test_a_sample_selection_keeps_the_entry_numbers_of_the_file(raw):
    chosen = SAMPLE.model_copy(update={"selection": "x > 0.8"})
    columns = ingesting.load(raw, SELECTION, chosen)
    everything = ingesting.load(raw, SELECTION, SAMPLE)
    assert np.array_equal(columns["entry"], np.flatnonzero(everything["x"] > 0.8))


def test_columns_of_both_parts_of_a_sample_are_read_together(tmp_path, raw):
    whole = ingesting.whole(raw)
    main = ingesting.of_columns(tmp_path / "main" / "z.arrow", {"pt": whole["pt"]})
    ingesting.of_columns(tmp_path / "further" / "z.arrow", {"x": whole["x"]})
    found, expected = (together(selection.process(path, processing(), Dask(chunk_size=777))) for path in (main, raw))
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in expected)


def test_collision_data_weigh_one(raw):
    found = together(selection.process(raw, processing(sample=Sample(process="data", files=("z",))), Dask()))
    assert np.all(found["weight"] == 1)


def test_written_events_come_back_with_region_names(raw, tmp_path):
    path = tmp_path / "events.parquet"
    rows = event_files.write_event_parts(
        path, selection.process(raw, processing(), Dask(chunk_size=800)), {"region": ["signal", "control"]}
    )
    table = pd.read_parquet(path)
    assert len(table) == rows
    assert set(table["region"]) == {"signal", "control"}


# --- what a selection says about undefined values, and where ----------------------------------------------------------

HOLES = {
    "pt": np.array([10.0, np.nan, 30.0, np.nan, 50.0], dtype=np.float32),
    "x": np.array([0.1, 0.2, 0.3, 0.8, 0.9], dtype=np.float32),
    "entry": np.arange(100, 105),
}
OPEN = SELECTION.model_copy(
    update={"selection": None, "regions": {"all": RegionSelection(selection=None, observable="x")}}
)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (
            {"selection": "pt > 20"},
            r"selection: 'pt > 20' is undecided in 2 of 5 events \(first: entry 101\): column 'pt'",
        ),
        ({"selection": "pt2 > 400"}, r"selection: .* undecided in 2 of 5 .*: column 'pt', 'pt2' is"),
        (
            {"regions": {"sr": RegionSelection(selection="pt > 20", observable="x")}},
            r"regions\.sr\.selection: .* in 2 of 5",
        ),
        (
            {"selection": "x < 0.5", "regions": {"sr": RegionSelection(selection="pt > 20", observable="x")}},
            r"regions\.sr\.selection: 'pt > 20' is undecided in 1 of 5 events \(first: entry 101\)",
        ),
    ],
)
def test_an_undefined_value_in_a_selection_is_counted_and_reported(changes, place):
    with pytest.raises(ExpressionError, match=rf"^{place}"):
        selection.select(HOLES, OPEN.model_copy(update=changes), SAMPLE, {}, {})


def test_events_with_undefined_values_stay_where_the_selection_says_so():
    chosen = OPEN.model_copy(update={"selection": "isnan(pt) | (pt > 20)", "features": ("x",)})
    assert selection.select(HOLES, chosen, Sample(process="data"), {}, {})["entry"].tolist() == [101, 102, 103, 104]


def treated(weight="x", factor="1 + 0.1 * z", **changes):
    """Return what process_events makes of these events, whose features are *changes* of the selection."""
    varied = {"tilt": Weight(kind="weight", factor=factor)}
    events = OPEN.model_copy(update={"features": ("x",)} | changes)
    sample = SAMPLE.model_copy(update={"weight": weight})
    nominal = Processing(events=events, name="s", sample=sample, variation=None, z=0, variations={}, weights=varied)
    return selection.processed(HOLES, nominal)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        (
            {"derived": {"high": "where(pt > 20, 1.0, 0.0)"}, "features": ("high",)},
            "features: 'high' is undecided in 2",
        ),
        ({"derived": {"high": "(pt > 20) * 1.0"}, "features": ("high",)}, "features: 'high' is undecided in 2 of 5"),
        (
            {"weight": "where(pt > 20, 1.1, 1.0)"},
            "weight of the sample: .* undecided in 2 of 5 .*column 'pt' is undefined",
        ),
        ({"factor": "1 + 0.1 * z * (pt > 20)"}, r"variations\.tilt: .* undecided in 2 of 5"),
        (
            {"regions": {"all": RegionSelection(selection="x < 0.5", observable="where(pt > 20, x, 0.0)")}},
            r"regions\.all\.observable: .* undecided in 1 of 3",
        ),
    ],
    ids=["feature", "product", "weight", "factor", "observable"],
)
def test_an_undefined_value_does_not_hide_in_a_number_that_is_computed_by_comparing_it(changes, place):
    """As 0 or 1, or as one of two numbers, an undefined value would look like a defined one."""
    with pytest.raises(ExpressionError, match=rf"^{place}"):
        treated(**changes)


def test_numbers_that_say_what_an_undefined_value_means_are_as_they_say():
    found = treated(derived={"high": "where(isfinite(pt) & (pt > 20), 1.0, 0.0)"}, features=("high",))
    assert found["high"].tolist() == [0, 0, 1, 0, 1]
    kept = treated(selection="isfinite(pt)", derived={"high": "where(pt > 20, 1.0, 0.0)"}, features=("high",))
    assert kept["high"].tolist() == [0, 1, 1]


def test_rows_that_a_sample_leaves_undecided_are_an_error_that_names_the_file(tmp_path):
    path = ingesting.of_columns(tmp_path / "holes.arrow", {"pt": HOLES["pt"], "x": HOLES["x"]})
    sample = SAMPLE.model_copy(update={"selection": "pt < 20"})
    with pytest.raises(ExpressionError, match=r"holes\.arrow: selection of the sample: .* undecided in 2 of 5 events"):
        ingesting.load(path, OPEN, sample)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"derived": {"inv": "n // (n - 3)"}, "features": ("inv",)}, r"derived\.inv"),
        ({"selection": "n ** 40 > 3"}, "selection"),
        ({"regions": {"sr": RegionSelection(selection="~n", observable="x")}}, r"regions\.sr\.selection"),
        ({"regions": {"sr": RegionSelection(selection=None, observable="n % 0")}}, r"regions\.sr\.observable"),
    ],
)
def test_an_expression_without_a_value_is_named_with_its_place(changes, place):
    columns = HOLES | {"n": np.array([1, 2, 3, 4, 5])}
    with pytest.raises(ExpressionError, match=rf"^{place}: '"):
        selection.select(columns, OPEN.model_copy(update=changes), SAMPLE, {}, {})


def test_columns_called_weight_row_region_or_observable_are_columns_like_any_other():
    columns = {name: HOLES["x"] + number for number, name in enumerate(("row", "region", "observable", "weight"))}
    chosen = OPEN.model_copy(
        update={
            "derived": {"sum": "row + region + observable"},
            "selection": "region > 1.25",
            "features": ("sum",),
            "regions": {"all": RegionSelection(selection=None, observable="observable")},
        }
    )
    found = selection.select(columns | {"entry": HOLES["entry"]}, chosen, Sample(process="z", weight="weight"), {}, {})
    assert found["row"].tolist() == [2, 3, 4]
    assert found["region"].tolist() == [0, 0, 0]
    assert np.array_equal(found["weight"], columns["weight"][2:])
    assert np.array_equal(found["observable"], columns["observable"][2:])
    assert np.allclose(found["sum"], 3 * HOLES["x"][2:] + 3)


def test_there_may_be_more_regions_than_a_small_integer_counts(raw):
    regions = {
        f"r{number}": RegionSelection(selection=f"(x >= {number / 200}) & (x < {(number + 1) / 200})", observable="pt")
        for number in range(200)
    }
    found = together(
        selection.process(raw, processing(events=SELECTION.model_copy(update={"regions": regions})), Dask())
    )
    x = ingesting.load(raw, SELECTION, SAMPLE)["x"][found["entry"]]
    np.testing.assert_array_equal(found["region"], np.floor(x.astype(float) * 200))
