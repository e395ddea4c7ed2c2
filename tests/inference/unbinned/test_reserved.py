"""Pseudo-experiments of reserved events, fitted event by event: the same events as binned trainings get."""

import json

import numpy as np
import pandas as pd
import pytest
import small_analyses

import bootstrap_experiments
import fill_unbinned
from nuisflow.events.selection import chunks
from nuisflow.inference import bootstrap
from nuisflow.inference.bootstrap import Block
from nuisflow.inference.unbinned import reserved
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.model import Model
from nuisflow.settings import sections
from nuisflow.slices import events as slices
from nuisflow.slices import unbinned
from nuisflow.slices.bootstrap import slice_of
from nuisflow.slices.events import shifted_names
from nuisflow.storage import files

pytestmark = pytest.mark.slow

TRAINING = {
    "strategy": "unbinned",
    "variations": ["tes", "tilt"],
    "events_seen": 200_000,
    "hidden": [32],
    "batch_size": 512,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    settings = small_analyses.configured(("trainings", {"unbinned": TRAINING}))
    small = small_analyses.make(tmp_path_factory.mktemp("reserved"), settings)
    events = [
        small.folder / "events" / name / f"{sample}.parquet"
        for sample in small.ingested()
        for name in shifted_names(settings, sample)
    ]
    fill_unbinned.fill_unbinned(
        small.of("model.pt"), small.of("templates.json"), events, small.of("densities.parquet"),
        small.of("densities.json"), settings=sections.plain(unbinned.filling(settings)), device="cpu",
    )  # fmt: skip
    return small


@pytest.fixture(scope="module")
def parts(small):
    """Return classifier, templates, likelihood and the settings of the experiments."""
    classifier = Classifier.load(small.of("model.pt"))
    model = UnbinnedModel(files.read_json(small.of("densities.json")))
    return classifier, files.read_histograms(small.of("templates.json")), model, slice_of(small.settings)


def run(small, folder):
    bootstrap_experiments.bootstrap_experiments(
        small.ingested(), *(small.of(name) for name in ("model.pt", "templates.json", "densities.json")),
        experiments=folder / "bootstrap.parquet", summary=folder / "bootstrap.json",
        settings=sections.plain(slice_of(small.settings)), dask={}, device="cpu",
    )  # fmt: skip
    return pd.read_parquet(folder / "bootstrap.parquet"), json.loads((folder / "bootstrap.json").read_text())


def test_every_experiment_has_the_events_that_a_binned_training_bins(small, parts):
    classifier, templates, model, settings = parts
    selection = slices.selection(small.settings)
    judge = reserved.judge(classifier, templates, model, selection)
    workspace = Model(files.read_json(small.of("workspace.json")))
    filler = bootstrap.filler(classifier, templates, workspace, selection)
    truths = bootstrap.truths(settings)[:6]
    (chunk,) = chunks(small.ingested()["ztautau"], 10**6, settings.events.rows)
    found = reserved.draw(Block("ztautau", chunk), truths, judge, settings)
    binned = bootstrap.fill_block(Block("ztautau", chunk), truths, filler, settings)[1:]
    place = {name: slice(first, last) for name, first, last in workspace.channels}
    single = np.bincount(found.row, found.number, len(truths))
    assert single == pytest.approx(binned[:, place["signal"]].sum(axis=1))
    assert found.counts == pytest.approx(binned[:, place["control"]])
    assert found.counts.sum() > 0
    assert found.values.shape[1] == classifier.strategy.outputs
    assert np.exp(found.values[:, : len(model.processes)]).sum(axis=1) == pytest.approx(1, abs=1e-4)


def test_all_are_fitted_and_drawing_them_in_small_groups_changes_nothing(small, tmp_path, monkeypatch):
    table, summary = run(small, tmp_path)
    assert len(table) == summary["number"] == 40
    assert table["converged"].all()
    assert ((table["p16"] < table["mu_hat"]) & (table["mu_hat"] < table["p84"])).all()
    pulls = (table["mu_hat"] - table["mu_true"]) / ((table["p84"] - table["p16"]) / 2)
    assert abs(pulls.median()) < 1.5
    assert summary["expectation"]["mu_hat"] is not None
    monkeypatch.setattr(reserved, "MEMORY", 1)
    again, _ = run(small, tmp_path / "again")
    pd.testing.assert_frame_equal(again, table)
