import ingesting
import numpy as np
import pandas as pd
import pytest

from nuisflow.events import selection
from nuisflow.events.selection import EventError
from nuisflow.settings.configuration import Dask, FlatDataset, Sample
from nuisflow.settings.systematics import Shift, Weight
from nuisflow.slices.events import EventSelection, Processing, RegionSelection
from nuisflow.storage import event_files

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
    columns = selection.load(raw, SELECTION, SAMPLE)
    z = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], size=len(columns["pt"]))
    mixed = selection.select(columns, SELECTION, SAMPLE, {"s": SCALE}, {"s": z})
    for value in (-1.0, 0.0, 1.0):
        fixed = selection.select(columns, SELECTION, SAMPLE, {"s": SCALE}, {"s": value})
        assert np.array_equal(mixed["entry"][z[mixed["row"]] == value], fixed["entry"][z[fixed["row"]] == value])
        assert np.array_equal(mixed["pt2"][z[mixed["row"]] == value], fixed["pt2"][z[fixed["row"]] == value])


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
    columns = selection.load(raw, SELECTION, chosen)
    everything = selection.load(raw, SELECTION, SAMPLE)
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
