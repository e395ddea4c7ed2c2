"""Pseudo-experiments of reserved events: what is drawn, that it agrees with the slow way, and what stays the same."""

import json

import ingesting
import numpy as np
import pandas as pd
import pytest
import small_analyses
from analyses import FLAT, changed

import bootstrap_experiments
import ingest_events
from nuisflow import seeds
from nuisflow.datasets import ditau
from nuisflow.events import parts, selection
from nuisflow.events.selection import EventError, chunks, part_of, read, select
from nuisflow.inference import bootstrap as pseudo_experiments
from nuisflow.inference.bootstrap import Block, Truth, fill, fill_block, picked, truths
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.model import Model
from nuisflow.settings import sections
from nuisflow.settings.checks.reading import ConfigurationError, check
from nuisflow.settings.configuration import Dask
from nuisflow.slices import events as slices
from nuisflow.slices import inference
from nuisflow.slices.bootstrap import figures, slice_of, tables
from nuisflow.slices.events import EventSelection, ingestion, processing
from nuisflow.slices.training import training
from nuisflow.storage import files, ingested


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_analyses.make(tmp_path_factory.mktemp("small"), small_analyses.configured())


@pytest.fixture(scope="module")
def model(small):
    return Model(files.read_json(small.of("workspace.json")))


@pytest.fixture(scope="module")
def filler(small, model):
    classifier = Classifier.load(small.of("model.pt"))
    return pseudo_experiments.filler(
        classifier, files.read_histograms(small.of("templates.json")), model, slices.selection(small.settings)
    )


def run(small, folder, dask=None, **bootstrap):
    settings = small.settings
    if bootstrap:
        chosen = settings.toys.bootstrap.model_copy(update=bootstrap)
        settings = settings.model_copy(update={"toys": settings.toys.model_copy(update={"bootstrap": chosen})})
    bootstrap_experiments.bootstrap_experiments(
        small.ingested(),
        *(small.of(name) for name in ("model.pt", "templates.json", "workspace.json")),
        experiments=folder / "bootstrap.parquet",
        summary=folder / "bootstrap.json",
        settings=sections.plain(slice_of(settings)),
        dask=dask or {},
        device="cpu",
    )
    return pd.read_parquet(folder / "bootstrap.parquet"), json.loads((folder / "bootstrap.json").read_text())


@pytest.fixture(scope="module")
def done(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    return folder, *run(small, folder)


def test_every_experiment_has_its_truth_and_a_fit(done):
    _, table, summary = done
    assert list(table.columns) == [
        *("set", "experiment", "mu_true", "mu_hat", "p16", "p84", "converged"),
        *("z_tes", "z_tilt", "z_ttbar_rate", "z_luminosity"),
    ]
    assert len(table) == summary["number"] == 40
    assert table.groupby("set")["mu_true"].nunique().tolist() == [1, 1]
    assert table["mu_true"].between(0.1, 3.0).all()
    assert table["converged"].all()
    assert ((table["p16"] < table["mu_hat"]) & (table["mu_hat"] < table["p84"])).all()
    assert [row["set"] for row in summary["sets"]] == [0, 1]
    pulls = (table["mu_hat"] - table["mu_true"]) / ((table["p84"] - table["p16"]) / 2)
    assert abs(pulls.median()) < 1.5
    assert summary["coverage"] > 0.3


def test_workers_and_chunks_change_no_byte(small, done, tmp_path, monkeypatch):
    run(small, tmp_path, {"scheduler": "threads", "workers": 2, "chunk_size": 1234})
    for name in ("bootstrap.parquet", "bootstrap.json"):
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes()


def test_more_experiments_begin_with_the_same_ones(small, done, tmp_path):
    few, _ = run(small, tmp_path, sets=1, number=5)
    pd.testing.assert_frame_equal(few, done[1].iloc[:5], rtol=1e-6)  # fitted one by one, not side by side


def test_the_reserved_events_expect_what_the_templates_do(small, filler, model):
    settings = slice_of(small.settings)
    counts = fill(small.ingested(), filler, settings.model_copy(update={"bootstrap": settings.bootstrap.model_copy(update={"sets": 1, "number": 1})}), Dask())  # fmt: skip
    expected = model.expected()
    # Both are halves of 22,000 events: their difference has about twice the variance of either, weight times content.
    assert counts[0].sum() == pytest.approx(expected.sum(), rel=0.03)
    assert np.all(np.abs(counts[0] - expected) < 5 * np.sqrt(2 * 1.7 * expected))


def test_the_mean_of_many_experiments_is_the_expectation_at_their_truth(small, filler, monkeypatch):
    """Nominal truth, many experiments: the mean is the expectation of the reserved events, and the variance Poisson."""
    settings = slice_of(small.settings)
    thrown = [Truth(0, k, 1.0, dict.fromkeys(settings.variations, 0.0)) for k in range(400)]
    blocks = [
        Block(sample, chunk)
        for sample in settings.samples
        for chunk in chunks(small.ingested()[sample], 10**6, settings.events.rows)
    ]
    counts = sum(fill_block(block, thrown, filler, settings) for block in blocks)
    expected, found = counts[0], counts[1:]
    assert np.all(found == np.round(found))
    assert np.abs((found.mean(axis=0) - expected) / np.sqrt(expected / 400)).max() < 4.5
    assert found.var(axis=0, ddof=1) == pytest.approx(expected, rel=0.4)


def test_drawing_before_the_shift_equals_drawing_after_it(small, filler):
    """At one displaced truth, the mean over experiments is what all events expect there when they are shifted first."""
    settings = slice_of(small.settings)
    z = {"tes": 1.5, "tilt": -1.0, "ttbar_rate": 2.0, "luminosity": 1.0}
    thrown = [Truth(0, k, 2.0, z) for k in range(300)]
    for sample, factor in (("htautau", 2.0 * 1.02), ("ztautau", 1.02), ("ttbar", 1.02 * 1.1**2)):
        (chunk,) = chunks(small.ingested()[sample], 10**6, settings.events.rows)
        found = fill_block(Block(sample, chunk), thrown, filler, settings)[1:]
        raw = read(chunk, settings.events, settings.samples[sample])
        acting = {name: settings.variations[name] for name in ("tes", *(["tilt"] if sample == "ttbar" else []))}
        moved = select(raw, settings.events, settings.samples[sample], acting, z)
        expected = factor * np.bincount(filler.bins(moved), moved["weight"], minlength=filler.size)
        kept = expected > 1
        assert np.abs((found.mean(axis=0) - expected)[kept] / np.sqrt(expected[kept] / 300)).max() < 4.5


def test_rows_are_picked_as_often_as_poisson_numbers_of_their_weights():
    weights = np.array([0.0, 0.1, 2.0, 0.0, 0.7])
    random = np.random.default_rng(3)
    found = np.array([picked(np.cumsum(weights), 1.5, random) for _ in range(20_000)])
    assert found[:, [0, 3]].sum() == 0
    assert found.mean(axis=0) == pytest.approx(1.5 * weights, abs=0.04)
    assert np.cov(found.T) == pytest.approx(np.diag(1.5 * weights), abs=0.08)


def test_true_values_follow_the_priors_within_the_limits_of_the_data_set():
    settings = slice_of(
        small_analyses.configured(
            ("toys.bootstrap.sets", 300), ("toys.bootstrap.number", 10), ("variations.tes.size", 0.1)
        )
    )
    found = truths(settings)
    z = {name: np.array([truth.z[name] for truth in found]) for name in settings.variations}
    assert settings.limits == {"tes": pytest.approx(ditau.LIMITS["tes"] / 0.1)}
    assert np.abs(z["tes"]).max() == pytest.approx(1.0)
    assert z["tilt"].std() == pytest.approx(1, abs=0.05)
    assert np.abs(np.corrcoef(list(z.values())) - np.eye(4)).max() < 0.08
    mu = np.array([truth.mu for truth in found[::10]])
    assert (mu.mean(), mu.std()) == (pytest.approx(1.55, abs=0.15), pytest.approx(2.9 / np.sqrt(12), abs=0.1))


def test_true_values_of_correlated_parameters_are_correlated_and_the_others_stay_as_they_were():
    sets = [("toys.bootstrap.sets", 300), ("toys.bootstrap.number", 10)]
    block = {"between": ["tilt", "luminosity"], "coefficient": -0.7}
    found, before = (
        truths(slice_of(small_analyses.configured(*sets, *more))) for more in ([("correlations", [block])], [])
    )
    z = {name: np.array([truth.z[name] for truth in found]) for name in found[0].z}
    assert np.corrcoef(z["tilt"], z["luminosity"])[0, 1] == pytest.approx(-0.7, abs=0.03)
    assert z["luminosity"].std() == pytest.approx(1, abs=0.05)
    assert [truth.z["tes"] for truth in found] == [truth.z["tes"] for truth in before]


def test_reserved_events_serve_no_training_and_no_template(small):
    settings = small.settings
    for sample, raw in small.ingested().items():
        rows = ingested.open(raw).rows
        found, reserved = (
            np.concatenate(
                [read(chunk, part, settings.samples[sample])["entry"] for chunk in chunks(raw, 999, part.rows)]
            )
            for part in (slices.selection(settings), slice_of(settings).events)
        )
        assert np.array_equal(np.sort(np.concatenate([found, reserved])), np.arange(rows))
        assert len(reserved) == pytest.approx(rows / 2, abs=25)
        processed = pd.read_parquet(small.folder / "events" / "nominal" / f"{sample}.parquet")
        assert not np.isin(processed["entry"], reserved).any()
        assert processed["weight"].to_numpy() == pytest.approx(2 * settings.samples[sample].expected / rows)


def test_without_the_section_no_slice_and_no_weight_changes():
    plain = small_analyses.configured(("toys.bootstrap", None))
    assert slices.selection(plain).rows == (0.0, 1.0)
    assert tables(plain) == figures(plain) == []
    columns = {"weight": seeds.generator(1, "w").random(1000, dtype=np.float32), "entry": np.arange(1000)}
    weights = selection.weights(columns, slices.selection(plain), plain.samples["ttbar"])
    assert weights.tobytes() == columns["weight"].astype(np.float64).tobytes()


def test_the_section_changes_the_slices_of_events_and_trainings_but_not_of_toys():
    with_it, without = small_analyses.configured(), small_analyses.configured(("toys.bootstrap", None))
    assert processing(with_it, "ttbar", "nominal") != processing(without, "ttbar", "nominal")
    assert training(with_it, "boosted_trees", 1) != training(without, "boosted_trees", 1)
    assert inference.toys(with_it, "boosted_trees", 1) == inference.toys(without, "boosted_trees", 1)
    more = small_analyses.configured(("toys.bootstrap.number", 30))
    assert processing(with_it, "ttbar", "nominal") == processing(more, "ttbar", "nominal")


def test_collision_data_are_never_reserved():
    content = changed(small_analyses.TOY, small_analyses.TRAININGS, small_analyses.BOOTSTRAP)
    content["dataset"] = {"kind": "flat", "columns": ["x"]}
    selection = EventSelection(
        dataset=content["dataset"], derived={}, selection=None, regions={}, features=("x",), rows=(0.3, 1.0)
    )
    from nuisflow.settings.configuration import Sample

    assert part_of(selection, Sample(process="data")) == (0.0, 1.0)
    assert part_of(selection, Sample(process="z")) == (0.3, 1.0)


@pytest.mark.parametrize("size", [700, 10**6])
def test_two_parts_of_a_sample_are_all_its_rows(tmp_path, size):
    path = ingesting.of_columns(tmp_path / "a.arrow", {"x": np.arange(4000)})
    few, most = (chunks(path, size, part) for part in ((0.0, 0.4), (0.4, 1.0)))
    entries = [
        np.concatenate([c.start + np.flatnonzero(parts.inside(c.start, c.stop, c.part)) for c in cut])
        for cut in (few, most)
    ]
    assert len(entries[0]) == 1600
    assert np.array_equal(np.sort(np.concatenate(entries)), np.arange(4000))


def test_a_share_that_leaves_no_event_is_named(tmp_path):
    path = ingesting.of_columns(tmp_path / "a.arrow", {"x": np.array([1.0, 2.0])})
    with pytest.raises(EventError, match=r"no events in the part 0 to 0.01 of 2 \(toys.bootstrap.share\)"):
        chunks(path, 10, (0.0, 0.01))


def test_negative_weights_cannot_be_drawn(small, filler):
    settings = slice_of(small.settings)
    samples = {name: sample.model_copy(update={"weight": "-weight"}) for name, sample in settings.samples.items()}
    with pytest.raises(EventError, match="'htautau': toys.bootstrap cannot draw events with negative weights"):
        fill(small.ingested(), filler, settings.model_copy(update={"samples": samples}), Dask())


def test_events_that_no_region_selects_may_have_negative_or_infinite_weights(tmp_path):
    x = np.tile([1.0, 2.0, -1.0, 0.0], 300)
    files.write_table(tmp_path / "b.csv", pd.DataFrame({"x": x, "w": 1.0}))
    changes = ("selection", "x > 0"), ("samples.b.weight", "3 / x"), ("toys", {"bootstrap": {"share": 0.5}})
    chosen = check(changed(FLAT, *changes, ("dataset.path", str(tmp_path))), "flat.yaml")
    plain = sections.plain(ingestion(chosen, "b"))
    ingest_events.ingest_events([tmp_path / "b.csv"], tmp_path / "b.arrow", settings=plain, shared={})
    settings = slice_of(chosen)
    (chunk,) = chunks(tmp_path / "b.arrow", 2000, settings.events.rows)
    (_, nominal, weights), *drawn = pseudo_experiments.thrown(Block("b", chunk), truths(settings)[:100], settings)
    # Half of 1200 rows are reserved, and half of these are selected, with weights of 6 or 3.
    assert weights.sum() == pytest.approx(300 * 4.5, rel=0.1)
    assert set(nominal["x"]) == {1.0, 2.0}
    assert np.mean([number.sum() for _, _, number in drawn]) == pytest.approx(
        weights.sum(), abs=4 * np.sqrt(weights.sum() / 100)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("toys.bootstrap.mu", [3, 1])], "toys.bootstrap.mu: from 3 to 1 is no range; write the smaller number first"),
        ([("toys.bootstrap.mu", [1, 12])], "toys.bootstrap.mu: 12 is outside fit.bounds"),
        ([("toys.bootstrap.mu", [-1, 2])], "toys.bootstrap.mu"),
        ([("toys.bootstrap.share", 1.0)], "toys.bootstrap.share"),
        ([("toys.bootstrap.shares", 0.3)], "toys.bootstrap.shares"),
        (
            [
                ("trainings", {"aware": {"strategy": "conditional", "variations": ["tes"]}}),
                ("toys.displacements", {"down2": -2, "up2": 2}),
            ],
            "toys.bootstrap: trainings of the strategy 'conditional' take no part",
        ),
    ],
)
def test_a_bootstrap_that_cannot_be_is_named(changes, message):
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        small_analyses.configured(*changes)
