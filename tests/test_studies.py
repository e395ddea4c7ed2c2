"""Studies of sizes in the workflow: an analysis with a training of every kind of likelihood."""

import json

import changes
import numpy as np
import pandas as pd
import pyhf
import pytest
import yaml
from analyses import ROOT, changed
from projects import copy_project, snakemake

from nuisflow.events import parts

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
CONTENT = changed(
    yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text()),
    ("learning.events_seen", 60_000),
    ("variations.tilt", None),
    ("toys", {"number": 50, "displacements": {"down2": -2, "up2": 2}, "displaced_number": 10}),
    ("studies", {"training_events": [0.5], "simulated_events": [0.5, 1]}),
    (
        "trainings",
        {
            "trees": {"strategy": "boosted_trees", "rounds": 20, "depth": 3},
            "aware": {"strategy": "conditional", "variations": ["tes"]},
            "events": {"strategy": "unbinned", "variations": ["tes"], "replicas": 2},
        },
    ),
)
STUDIES, TARGET = ("training_events", "simulated_events"), "results/toy/comparison/studies.csv"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of the studies and of what they are compared with."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    listed = snakemake(folder, CONTENT, "--dry-run", "--", TARGET)
    done = snakemake(folder, CONTENT, "--", TARGET)
    assert done.returncode == 0, done.stdout[-6000:]
    again = snakemake(folder, CONTENT, "--dry-run", "--", TARGET)
    return folder / "results" / "toy", changes.jobs(listed.stdout), changes.jobs(again.stdout)


def measured(results, study, training):
    """Return the folder of what a training of half of the events measures."""
    return results[0] / "studies" / study / "0.5" / "trainings" / training / "seed1"


def weights(results, region=None):
    """Return twice the weights of the nominal events of one half, by process, as files have them."""
    found = {}
    for path in (results[0] / "events" / "nominal").glob("*.parquet"):
        table = pd.read_parquet(path)
        rows = table["entry"].to_numpy()
        inside = parts.inside(0, int(rows.max()) + 1, (0.0, 0.5))[rows]
        mine = True if region is None else table["region"] == region
        found[path.stem] = 2 * float(table["weight"][inside & mine].astype(float).sum())
    return found


def test_every_kind_of_training_has_the_jobs_of_its_likelihood_and_nothing_else_at_every_size(results):
    _, listed, again = results
    names = CONTENT["trainings"]
    expected = {f"Train {name} on 0.5 of the events (seed 1)" for name in names}
    expected |= {f"Score events with {name}, trained on 0.5 of them (seed 1)" for name in names}
    expected |= {f"Measure {name} with 0.5 of {study} (seed 1)" for name in names for study in STUDIES}
    expected |= {f"Fill templates of {name} with 0.5 of {study} (seed 1)" for name in ("aware", "events") for study in STUDIES}  # fmt: skip
    expected |= {f"Train replica {number} of events on 0.5 of the events" for number in (1, 2)}
    expected |= {f"Fit with replicas of 0.5 of {study}: events" for study in STUDIES}
    assert {job for job in listed if "0.5 of" in job} == expected
    assert again == set()


def test_the_table_has_every_training_at_every_size_and_the_figure_is_drawn(results):
    table = pd.read_csv(results[0] / "comparison" / "studies.csv")
    found = set(table[["study", "size", "training"]].itertuples(index=False, name=None))
    assert found == {(study, size, name) for study in STUDIES for size in (0.5, 1.0) for name in CONTENT["trainings"]}
    assert table["converged"].all()
    squares = table["sigma_stat"] ** 2 + table["sigma_syst"] ** 2 + table["sigma_mcstat"] ** 2
    assert np.sqrt(squares).to_numpy() == pytest.approx(table["sigma"].to_numpy(), rel=1e-6)
    assert table["coverage"].notna().all()
    assert (results[0] / "comparison" / "studies.svg").stat().st_size > 5000
    for name in CONTENT["trainings"]:
        fit = json.loads((results[0] / "trainings" / name / "seed1" / "fit.json").read_text())["asimov"]
        whole = table[(table["training"] == name) & (table["size"] == 1)]
        assert whole["sigma"].tolist() == pytest.approx([fit["sigma"]] * 2)


def test_half_of_the_simulation_has_the_weights_of_its_events_twice(results):
    single = json.loads((measured(results, "simulated_events", "events") / "densities.json").read_text())
    assert single["yields"] == pytest.approx(weights(results, "signal"), rel=1e-5)
    aware = json.loads((measured(results, "simulated_events", "aware") / "workspaces.json").read_text())
    nominal = list(aware["grid"].values()).index(0)
    model = pyhf.Workspace(aware["workspaces"][nominal]).model()
    rates = model.expected_data(model.config.suggested_init(), include_auxdata=False)
    assert rates.sum() == pytest.approx(sum(weights(results).values()), rel=1e-4)


def test_where_only_classifiers_learn_of_a_half_yields_are_those_of_all_events(results):
    found = json.loads((measured(results, "training_events", "events") / "densities.json").read_text())["yields"]
    whole = json.loads((results[0] / "trainings" / "events" / "seed1" / "densities.json").read_text())["yields"]
    assert found == pytest.approx(whole, rel=1e-9)
    assert found != pytest.approx(weights(results, "signal"), rel=1e-3)


def test_the_statistics_of_the_simulation_of_single_events_are_the_spread_of_replicas_of_the_size(results):
    table = pd.read_csv(results[0] / "comparison" / "studies.csv").set_index(["study", "size", "training"])
    for study in STUDIES:
        replicas = pd.read_csv(measured(results, study, "events") / "replicas.csv")
        assert table.loc[(study, 0.5, "events"), "sigma_mcstat"] == pytest.approx(replicas["mu"].std(ddof=1))
