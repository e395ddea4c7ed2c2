"""Our analysis as a submission to the Fair Universe challenge, run by the challenge's own programs (HiggsML 0.1.5)."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import ingesting
import numpy as np
import pandas as pd
import pytest
import small_analyses
import yaml
from analyses import ROOT, changed
from studies import random_limits

from nuisflow.datasets import kinematics
from nuisflow.events import parts
from nuisflow.inference import challenge, interval_scores
from nuisflow.likelihood import fits
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import events as slices
from nuisflow.storage import files

DIBOSON = (
    ("processes.diboson", {"label": "Diboson"}),
    ("samples.diboson", {"process": "diboson", "events": 2000, "expected": 200}),
    ("variations.soft_met", {"kind": "shift", "shift": "soft_met", "size": 1.0}),
)
PROGRAM = ("--systematics-tes", "--systematics-jes", "--systematics-soft-met", "--systematics-ttbar-scale",
           "--systematics-diboson-scale", "--systematics-bkg-scale")  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    content = changed(small_analyses.TOY, *small_analyses.TRAININGS_AND_BOOTSTRAP, *DIBOSON)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return small_analyses.make(folder, reading.load(folder / "config.yaml"))


@pytest.fixture(scope="module")
def submission(small):
    return challenge.of(small.settings, small.of("model.pt").parent)


def published(small):
    """Return the reserved events in the schema of the challenge: shuffled, without a soft term, labelled."""
    tables = []
    for sample, raw in small.ingested().items():
        chosen = slices.selection(small.settings).model_copy(update={"rows": (0.0, 0.5)})
        columns = ingesting.load(raw, chosen, small.settings.samples[sample])
        x, y = kinematics.components(columns["PRI_met"], columns["PRI_met_phi"])
        x, y = x - columns["soft_x"], y - columns["soft_y"]
        columns |= {"PRI_met": np.hypot(x, y), "PRI_met_phi": np.arctan2(y, x)}
        table = pd.DataFrame({name: columns[name] for name in kinematics.PRIMARY})
        labels = {"labels": float(sample == "htautau"), "detailed_labels": sample, "weights": 2.0 * columns["weight"]}
        tables.append(table.assign(**labels))
    return pd.concat(tables).sample(frac=1, random_state=1, ignore_index=True)


@pytest.fixture(scope="module")
def competition(small, tmp_path_factory):
    """The folder in which the challenge's program has run our model on 2 sets of 3 pseudo-experiments."""
    pytest.importorskip("HiggsML", reason="HiggsML 0.1.5 is not installed (optional oracle)")
    folder = tmp_path_factory.mktemp("competition")
    for name in ("submission", "blackSwan_data", "stubs", "output"):
        (folder / name).mkdir()
    if importlib.util.find_spec("mpld3") is None:  # it draws the figures of the scores only
        (folder / "stubs" / "mpld3.py").write_text('def fig_to_html(figure):\n    return ""\n')
    shutil.copy(ROOT / "config" / "examples" / "challenge_model.py", folder / "submission" / "model.py")
    table = published(small)
    table.to_parquet(folder / "blackSwan_data" / "data.parquet")
    metadata = {"total_rows": len(table), "sum_weights": float(table["weights"].sum())}
    (folder / "blackSwan_data" / "data_metadata.json").write_text(json.dumps(metadata))
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")]), str(folder / "stubs")]),
        "MPLBACKEND": "Agg",
        "NUISFLOW_CONFIG": str(small.folder / "config.yaml"), "NUISFLOW_RESULTS": str(small.folder),
    }  # fmt: skip
    command = [sys.executable, "-m", "HiggsML.run_competition", "--submission", "submission", "--output", "output"]
    done = subprocess.run(
        [*command, *PROGRAM, "--num-of-sets", "2", "--num-pseudo-experiments", "3"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return folder / "output"


@pytest.mark.oracle
@pytest.mark.slow
def test_the_program_of_the_challenge_scores_our_model_as_we_do(competition):
    mus = json.loads((competition / "test_settings.json").read_text())["ground_truth_mus"]
    sets = [json.loads((competition / f"result_{number}.json").read_text()) for number in range(2)]
    value, low, high, delta = (
        np.concatenate([part[name] for part in sets]) for name in ("mu_hats", "p16s", "p84s", "delta_mu_hats")
    )
    assert np.all((low < value) & (value < high))
    assert np.all(np.abs(value - np.repeat(mus, 3)) < 6 * delta)
    found = interval_scores.scores(
        interval_scores.measurements(np.repeat([0, 1], 3), np.repeat(mus, 3), value, (low, high), delta)
    )
    theirs = json.loads((competition / "scores.json").read_text())
    ours = {"rmse": found.rmse, "mae": found.mae, "interval": found.width, "coverage": found.coverage, "quantiles_score": found.score}  # fmt: skip
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, abs=5.1e-5)  # they round to four decimals


def test_a_submission_counts_the_events_of_the_templates_as_the_workflow_does(small, submission):
    """The same events, by the same networks: the templates come back."""
    histograms = files.read_histograms(small.of("templates.json"))
    for sample, raw in small.ingested().items():
        chosen = slices.selection(small.settings)
        everything = chosen.model_copy(update={"rows": parts.EVERYTHING})  # so that the folds are the same
        columns = ingesting.load(raw, everything, small.settings.samples[sample])
        used = parts.inside(0, len(columns.pop("entry")), chosen.rows)
        counted = submission.contents(pd.DataFrame(columns), 2.0 * columns["weight"] * used)
        for region, first, last in submission.model.channels:
            expected = histograms[region][sample, "nominal", :].values()
            assert counted[first:last] == pytest.approx(expected, rel=1e-6)


def test_events_that_occur_twice_count_twice(small, submission):
    table = published(small)[:500]
    once = submission.contents(table)
    assert submission.contents(table, np.full(500, 2)) == pytest.approx(2 * once)
    prediction = submission.predict({"data": table, "weights": np.ones(500)})
    assert prediction.keys() == {"mu_hat", "delta_mu_hat", "p16", "p84"}
    assert prediction["delta_mu_hat"] == pytest.approx((prediction["p84"] - prediction["p16"]) / 2)


def test_a_training_that_is_not_there_is_named(small):
    with pytest.raises(
        ConfigurationError, match=r"trainings: no training 'boosted_tree'; did you mean 'boosted_trees'"
    ):
        challenge.load(small.folder / "config.yaml", small.folder, "boosted_tree")


def test_an_experiment_without_a_selected_event_is_fitted_at_the_edge_of_the_physical_region(small, submission):
    table = published(small)[:100].assign(PRI_had_pt=np.float32(10.0))
    assert submission.contents(table).sum() == 0
    prediction = submission.predict({"data": table, "weights": np.ones(100)})
    model, data = submission.model, submission.model.data.copy()
    data[: model.bins] = 0.0
    found = fits.fit(model, data)
    scales = [index for index, name in enumerate(model.names) if name.startswith("staterror_")]
    oracle = random_limits.Oracle(model, data, scales)
    depth, lowest = oracle.minimum({}, [found.values, *random_limits.starts(model)])
    assert found.twice_nll == pytest.approx(depth, abs=1e-4)
    assert prediction["mu_hat"] == pytest.approx(lowest[model.index(model.poi)], abs=1e-4)
    assert small.settings.fit.bounds[0] <= prediction["p16"] <= prediction["mu_hat"] < prediction["p84"]
