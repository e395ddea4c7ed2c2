"""The whole workflow on a toy-sized analysis: results, what reruns after a change, and what a fault leaves."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import browsers
import changes as changes_of_toy
import numpy as np
import pandas as pd
import pyhf
import pytest
import yaml
from analyses import FLAT, ROOT, changed
from projects import copy_project, snakemake
from rocrate.rocrate import ROCrate

import verify_results
from nuisflow.storage import crates

pytestmark = pytest.mark.workflow
TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which the toy analysis has run."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    done = snakemake(folder, TOY)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


def listed(project, *changes, content=TOY):
    """Return what Snakemake would run after *changes*: the messages of the jobs."""
    return changes_of_toy.jobs(dry_run(project, changed(content, *changes)))


def dry_run(project, content, *arguments):
    """Return what a dry run prints."""
    done = snakemake(project, content, "--dry-run", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


FINAL = {"Compare the trainings", "Plot the comparison", "Write the report", "Record the provenance"}

SETS, SEEN = {"Predict sets", "Plot the review"}, {"Distinguish the variations"}
JUDGED = {"Judge the classifiers", "Plot the classifiers"} | SETS
REDRAWN = {
    "Plot the comparison",
    "Plot the classifiers",
    "Plot the review",
    "Write the report",
    "Record the provenance",
    "Plot boosted_trees",
    "Plot augmentation",
    *(f"Plot the features in {region}" for region in TOY["regions"]),
}


def after(step, *trainings):
    """Return the jobs of *trainings* from *step* on, and the final ones."""
    steps = ["Train {}", "Score events with {}", "Fill templates of {}", "Build the workspace of {}"]
    kept = steps[steps.index(step) :] if step in steps else []
    kept += ["Fill displaced points of {}"]
    kept += ["Score displaced events with {}"] if step in steps[:2] else []
    jobs = {text.format(f"{name} (seed 1)") for name in trainings for text in kept}
    jobs |= {f"Fit {name} (seed 1)" for name in trainings} | {f"Throw toys for {name} (seed 1)" for name in trainings}
    jobs |= JUDGED if step in steps[:2] else set()
    return jobs | {f"Plot {name}" for name in trainings} | {"Ask what if"} | FINAL


BOTH = ("boosted_trees", "augmentation")
NEW_SHIFT = {f"Process {sample} (jes_{side})" for sample in TOY["samples"] for side in ("up", "down", "up2")}
FARTHER = {f"Process {sample} (tes_up2)" for sample in TOY["samples"]} | {"Process ttbar (tilt_up2)"}
PROCESSED = {f"Process {sample} ({folder})" for sample in TOY["samples"] for folder in ("nominal", "tes_up", "tes_down")} | FARTHER  # fmt: skip
COMPARED = {f"{words} the features in {region}" for region in TOY["regions"] for words in ("Compare", "Plot")}
FILLED = {f"Fill the features of {sample}" for sample in TOY["samples"]} | COMPARED
MAPPED = {f"Map the coverage of {name} (seed 1)" for name in BOTH} | {"Compare the coverage maps"}
BOOTSTRAPPED = {f"Bootstrap experiments for {name} (seed 1)" for name in BOTH} | {"Compare the bootstrap experiments"}

HALF = ("Train {} on 0.5 of the events", "Score events with {}, trained on 0.5 of them")
HALF += tuple(f"Measure {{}} with 0.5 of {study}" for study in ("training_events", "simulated_events"))
STUDIED = {f"{text.format(name)} (seed 1)" for text in HALF for name in BOTH} | {"Compare the sizes"} | {"Write the report", "Record the provenance"}  # fmt: skip


def displaced(*steps):
    """Return the jobs that follow from other displaced points."""
    return {text.format(f"{name} (seed 1)") for name in BOTH for text in (*steps, "Fill displaced points of {}", "Throw toys for {}")} | FINAL  # fmt: skip


def test_the_report_and_every_promised_file_exist(project):
    results = project / "results" / "toy"
    assert (results / "report.html").stat().st_size > 20_000
    for training in BOTH:
        folder = results / "trainings" / training / "seed1"
        for name in [
            "model.pt",
            "history.csv",
            "scores.parquet",
            "templates.json",
            "displaced_scores.parquet",
            "displaced.json",
            "workspace.json",
            "fit.json",
            "impacts.csv",
            "scan.csv",
        ]:
            assert (folder / name).stat().st_size > 0
    assert not [path for path in results.rglob(".*") if path.is_file() and path.name != ".snakemake_timestamp"]


def test_the_summary_has_a_row_per_training_and_seed_that_adds_up(project):
    summary = pd.read_csv(project / "results" / "toy" / "comparison" / "summary.csv")
    promised = [
        "training",
        "strategy",
        "seed",
        "data",
        "mu",
        "sigma",
        "sigma_stat",
        "sigma_syst",
        "sigma_mcstat",
        "auc",
        "coverage",
        "coverage_error",
        "bias",
        "pull_width",
        "interval_score",
        "events_seen",
        "train_seconds",
    ]
    assert set(promised) <= set(summary.columns)
    assert sorted(summary["training"]) == sorted(BOTH)
    assert (abs(summary["mu"] - 1) < 1e-4).all()
    parts = summary["sigma_stat"] ** 2 + summary["sigma_syst"] ** 2 + summary["sigma_mcstat"] ** 2
    assert (abs(parts - summary["sigma"] ** 2) < 1e-6).all()
    assert (summary["auc"] > 0.7).all()
    assert (abs(summary["coverage"] - 0.6827) < 0.2).all()


def test_the_workspace_is_one_for_pyhf_and_its_asimov_fit_gives_what_went_in(project):
    specification = json.loads((project / "results/toy/trainings/augmentation/seed1/workspace.json").read_text())
    workspace = pyhf.Workspace(specification)
    model = workspace.model()
    assert model.config.poi_name == "mu"
    assert {"tes", "tilt", "ttbar_rate", "lumi"} <= set(model.config.parameters)
    fitted = pyhf.infer.mle.fit(workspace.data(model), model)
    assert fitted[model.config.poi_index] == pytest.approx(1, abs=1e-2)


def test_template_sums_are_the_selected_weights(project):
    from nuisflow.storage import files

    results = project / "results" / "toy"
    histograms = files.read_histograms(results / "trainings/boosted_trees/seed1/templates.json")
    for variation in ("nominal", "tes_up", "tes_down"):
        for process in TOY["processes"]:
            events = pd.read_parquet(results / "events" / variation / f"{process}.parquet")
            for region in TOY["regions"]:
                total = histograms[region][process, variation, :].values().sum()
                assert total == pytest.approx(events["weight"][events["region"] == region].sum(), rel=1e-9)


def test_the_crate_describes_every_result_and_every_checksum_holds(project, monkeypatch):
    monkeypatch.chdir(project)
    results = Path("results") / "toy"
    described = {path for path, _, _ in crates.files_of(results) if not path.is_absolute()}  # not what others made
    made = {path for path in results.rglob("*") if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")}  # fmt: skip
    assert described == {path for path in made if path.name not in (crates.METADATA, ".snakemake_timestamp")}
    assert verify_results.verify_results(results) == []


def test_the_crate_has_an_action_for_every_job_with_the_seed_of_its_settings(project):
    crate = ROCrate(project / "results" / "toy")
    jobs = [path for path in (project / "results/toy/benchmarks").rglob("*.tsv") if path.stem != "record_provenance"]
    assert len(crate.root_dataset["mentions"]) == len(jobs)
    (training,) = [one for one in crate.root_dataset["mentions"] if one["name"] == "train_network training=augmentation seed=1"]  # fmt: skip
    (settings,) = [json.loads(one["value"]) for one in training["object"] if one.type == "PropertyValue"]
    assert isinstance(settings["settings"]["seed"], int)


@pytest.mark.slow
@pytest.mark.skipif(not browsers.CHROMIUM, reason="needs the browser chromium")
@pytest.mark.parametrize(("width", "options"), [(1400, ()), (390, ()), (390, ("--force-dark-mode",))])
def test_a_browser_shows_the_page_without_an_error_in_its_width_and_with_values_under_the_pointer(project, tmp_path, width, options):  # fmt: skip
    found = browsers.seen(project / "results" / "toy" / "report.html", width, tmp_path, *options)
    assert found["console"] == []
    assert found["width"] <= width
    assert found["named"].startswith("boosted_trees, total: 0.")
    assert (found["tip"], found["titles"]) == (found["named"], 0)
    assert found["areaTip"].splitlines() == found["area"].split("; ")
    assert len(found["areaTip"].splitlines()) > 2
    assert found["sorted"] == sorted(found["sorted"])
    assert len(found["sorted"]) == len(BOTH)
    assert (sum(map(int, re.findall(r"\d+", found["background"])[:3])) < 200) == bool(options)  # dark


@pytest.mark.slow
def test_the_configuration_in_the_results_repeats_the_analysis(project):
    assert listed(project, content=yaml.safe_load((project / "results/toy/config.yaml").read_text())) == set()


@pytest.mark.slow
def test_snakemakes_own_report_is_made_without_a_network(project):
    alone = ["unshare", "--net"] if shutil.which("unshare") and os.geteuid() == 0 else []
    command = [*alone, sys.executable, "-m", "snakemake", "--configfile", "config.yaml", "--report", "report.zip"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    with zipfile.ZipFile(project / "report.zip") as archive:
        names, page = archive.namelist(), archive.read("report/report.html").decode()
    for words in ("The comparison of all trainings", "All trainings side by side", "Training augmentation: losses"):
        assert f'"caption": "<p>{words}' in page
    assert sum(name.endswith((".svg", ".pdf")) for name in names) >= 6


@pytest.mark.slow
def test_a_publication_is_made_of_the_results(project):
    command = [sys.executable, "-m", "snakemake", "write_publication", "--configfile", "config.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    names = {path.name for path in (project / "results/toy/hepdata").iterdir()}
    assert {"submission.yaml", "comparison.yaml", "uncertainties.pdf", "workspace_augmentation.json"} <= names
    assert "Augmentation" in (project / "results/toy/latex/comparison.tex").read_text().title()


def test_nothing_reruns_without_a_change(project):
    assert listed(project) == set()


@pytest.fixture(scope="module")
def reruns(project):
    """What a dry run prints after every change of `changes.CASES`."""
    return {case: dry_run(project, changed(TOY, *made)) for case, (_, made) in changes_of_toy.CASES.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("title", REDRAWN),
        ("dask", set()),
        ("strategy option", after("Train {}", "boosted_trees")),
        ("new training", after("Train {}", "nominal") | {"Plot boosted_trees", "Plot augmentation"}),
        ("network size", after("Train {}", "augmentation")),
        ("binning", after("Fill templates of {}", *BOTH)),
        ("rate", COMPARED | SETS | SEEN | after("Build the workspace of {}", *BOTH)),
        ("toys", {f"Throw toys for {name} (seed 1)" for name in BOTH} | FINAL),
        ("displacement", FARTHER | SETS | displaced("Score displaced events with {}")),
        ("new displacement", {job.replace("up2", "down2") for job in FARTHER} | SETS | displaced("Score displaced events with {}")),
        ("bootstrap", PROCESSED | SEEN | {"Choose the bins of the features"} | FILLED | after("Train {}", *BOTH) | BOOTSTRAPPED),
        ("studies", STUDIED),
        ("map", MAPPED | {"Write the report", "Record the provenance"}),
        ("new shift", NEW_SHIFT | SEEN | FILLED | after("Score events with {}", *BOTH)),
    ],
)  # fmt: skip
def test_a_changed_configuration_reruns_exactly_the_affected_jobs(reruns, case, expected):
    assert changes_of_toy.jobs(reruns[case]) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([("processes.ttbar.color", "#000000")], REDRAWN, id="colour"),
        pytest.param([("toys.displacements", {})], {f"Throw toys for {name} (seed 1)" for name in BOTH} | SETS | FINAL, id="no displacements"),
        pytest.param([("toys.displacements", {"up": 1})], SETS | displaced(), id="fewer displacements"),
    ],
)  # fmt: skip
def test_further_changes_rerun_exactly_the_affected_jobs(project, changes, expected):
    assert listed(project, *changes) == expected


@pytest.mark.slow
def test_the_table_in_the_documentation_is_what_dry_runs_list(project, reruns):
    whole = changes_of_toy.rules(dry_run(project, TOY, "--forceall"))
    for text in reruns.values():
        assert changes_of_toy.rules(text).total() == len(changes_of_toy.jobs(text))
    table = changes_of_toy.table({case: changes_of_toy.rules(text) for case, text in reruns.items()}, whole)
    if os.environ.get("UPDATE_DOCS"):
        changes_of_toy.document(table)
    assert changes_of_toy.documented() == table, f"UPDATE_DOCS=1 pytest {__file__} -k table"


TOYS = {f"Throw toys for {name} (seed 1)" for name in BOTH} | FINAL
FITS = {f"Fit {name} (seed 1)" for name in BOTH} | {f"Plot {name}" for name in BOTH} | {"Ask what if"}


TUNED = ("tune", {"augmentation": {"trials": 2, "events_seen": 20000, "options": {"width": [0.5, 1.0]}}})


@pytest.mark.slow
def test_a_tuned_training_is_trained_with_the_options_of_its_trials(project):
    assert listed(project, TUNED) == {"Tune augmentation"} | after("Train {}", "augmentation")
    folder = project / "results" / "toy" / "trainings" / "augmentation"
    done = snakemake(project, changed(TOY, TUNED), "--", str((folder / "tuned.json").relative_to(project)))
    assert done.returncode == 0, done.stdout[-6000:]
    trials, tuned = pd.read_csv(folder / "trials.csv"), json.loads((folder / "tuned.json").read_text())
    assert [json.loads(options) for options in trials.loc[trials["chosen"] == 1, "options"]] == tuned
    assert len(trials) == 4
    for path in ("tuned.json", "trials.csv"):
        (folder / path).unlink()


@pytest.mark.slow
@pytest.mark.parametrize(("module", "expected"), [("inference/truths", TOYS), ("likelihood/toys", TOYS | FITS)])
def test_a_changed_library_file_reruns_exactly_the_rules_that_import_it(project, module, expected):
    path = project / "scripts" / "nuisflow" / f"{module}.py"
    before = path.read_text()
    path.write_text(before + "\nANOTHER = 1\n")
    try:
        assert listed(project) == expected
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_a_changed_strategy_retrains_that_training_only(project):
    path = project / "scripts" / "nuisflow" / "strategies" / "augmentation.py"
    before = path.read_text()
    path.write_text(before + "\nANOTHER = 1\n")
    try:
        assert listed(project) == after("Train {}", "augmentation")
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_nothing_reruns_after_a_touch_a_checkout_or_a_comment(project):
    for path in [
        *project.glob("scripts/**/*.py"),
        *project.glob("workflow/**/*"),
        *project.glob("results/toy/raw/*.root"),
    ]:
        path.touch()
    comment = project / "scripts" / "nuisflow" / "templates" / "filling.py"
    comment.write_text(comment.read_text() + "\n# a comment\n")
    assert listed(project) == set()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_with_one_and_with_two_workers(project, tmp_path):
    other = copy_project(tmp_path / "other")
    targets = [
        f"results/toy/trainings/{name}/seed1/{file}.json" for name in BOTH for file in ("templates", "workspace")
    ]
    content = changed(TOY, ("dask", {"scheduler": "threads", "workers": 2, "chunk_size": 1700}))
    done = snakemake(other, content, "--", *targets)
    assert done.returncode == 0, done.stdout[-4000:]
    for target in targets:
        assert (other / target).read_bytes() == (project / target).read_bytes(), target


def test_a_wrong_configuration_stops_before_any_work_with_one_clear_line(project):
    done = snakemake(project, changed(TOY, ("trainings.augmentation.strategy", "augmentatoin")), "--dry-run")
    assert done.returncode != 0
    assert (
        "config.yaml: trainings.augmentation.strategy: no strategy 'augmentatoin'; did you mean 'augmentation'?"
        in done.stdout
    )
    assert "Traceback" not in done.stdout


BAD_EVENTS = {
    "text": ("x,w\n1.0,1.0\nabc,1.0\n", "data/text.csv: column 'x' is not one number per event"),
    "other_column": ("x,v\n1.0,1.0\n", "data/other_column.csv: no column 'w'"),
    "nan": ("x,w\n1.0,1.0\nnan,1.0\n", "sample 'nan': column 'x' is NaN or infinite in 1 events (first: entry 1)"),
}
"""Content of the file of a sample, and what must be said of it."""


@pytest.fixture(scope="module")
def bad_events(tmp_path_factory):
    """Return the folder in which a run of three samples with bad events ended, and what it printed."""
    folder = copy_project(tmp_path_factory.mktemp("bad"))
    (folder / "data").mkdir()
    for name, (content, _) in BAD_EVENTS.items():
        (folder / "data" / f"{name}.csv").write_text(content)
    samples = {
        name: {"process": "s" if name == "text" else "b", "files": [f"{name}.csv"], "weight": "w"}
        for name in BAD_EVENTS
    }
    wanted = [f"results/flat/events/nominal/{name}.parquet" for name in BAD_EVENTS]
    done = snakemake(folder, changed(FLAT, ("samples", samples)), "--keep-going", "--", *wanted)
    assert done.returncode != 0
    return folder, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD_EVENTS)
def test_bad_events_are_named_all_together_before_the_first_job(bad_events, name):
    folder, printed = bad_events
    assert BAD_EVENTS[name][1] in " ".join(printed.split())
    assert "Finished jobid" not in printed
    assert not list((folder / "results" / "flat").glob("events/nominal/*"))


@pytest.mark.slow
def test_an_empty_sample_stops_its_job_with_one_clear_line_and_leaves_nothing(tmp_path):
    folder = copy_project(tmp_path / "empty")
    (folder / "data").mkdir()
    (folder / "data" / "s.csv").write_text("x,w\n1.0,1.0\n")
    (folder / "data" / "b.csv").write_text("x,w\n")
    done = snakemake(folder, FLAT, "--keep-going", "--", "results/flat/events/nominal/b.parquet")
    assert done.returncode != 0
    assert "ERROR in ingest_events: data/b.csv: no events; an empty sample cannot be used" in done.stdout
    assert not list((folder / "results" / "flat").glob("**/b.*arrow"))


def test_a_missing_input_file_is_named_before_any_work(tmp_path):
    folder = copy_project(tmp_path / "missing")
    (folder / "data").mkdir()
    (folder / "data" / "b.csv").write_text("x,w\n1.0,1.0\n")
    done = snakemake(folder, FLAT)
    assert done.returncode != 0
    assert "data/s.csv" in done.stdout
    assert not Path(folder / "results").exists()


# Files of the user


@pytest.fixture(scope="module")
def of_files(tmp_path_factory):
    """A copy of the project in which events of CSV files are scored; and its configuration."""
    folder, random = copy_project(tmp_path_factory.mktemp("files")), np.random.default_rng(1)
    (folder / "data").mkdir()
    for name, mean in (("s1", 1), ("s2", 1), ("b", 0)):
        numbers = {column: random.normal(mean, 1, 1000) for column in "xyu"} | {"w": np.full(1000, 0.1)}
        pd.DataFrame(numbers).to_csv(folder / "data" / f"{name}.csv", index=False)
    control = {"selection": "y <= 0", "observable": "x", "binning": {"rule": "uniform", "number": 2}}
    content = changed(
        FLAT, ("dataset.columns", ["x", "y", "u", "w"]), ("samples.s.files", ["s1.csv", "s2.csv"]),
        ("regions", {"signal": {"selection": "y > 0"}, "control": control}),
        ("variations", {"scale": {"kind": "shift", "columns": {"x": "x * (1 + 0.1 * z)"}}}),
        ("learning", {"hidden": [8], "events_seen": 10_000, "seeds": 1}),
    )  # fmt: skip
    done = snakemake(folder, content, "--until", "fill_templates")
    assert done.returncode == 0, done.stdout[-6000:]
    return folder, content


def again(of_files, *changes):
    """Return which rules run again after *changes*, up to the templates, and for which samples events are ingested."""
    folder, content = of_files
    printed = dry_run(folder, changed(content, *changes), "--until", "fill_templates")
    return dict(changes_of_toy.rules(printed))


@pytest.mark.slow
def test_a_column_for_the_observable_of_a_control_region_trains_nothing(of_files):
    assert again(of_files) == {}
    ran = again(of_files, ("regions.control.observable", "u"))
    assert set(ran) == {"ingest_events", "process_events", "score_events", "fill_templates"}
    assert ran["ingest_events"] == 2


@pytest.mark.slow
def test_another_order_of_files_runs_again_all_that_numbers_events(of_files):
    ran = again(of_files, ("samples.s.files", ["s2.csv", "s1.csv"]))
    assert ran == {"ingest_events": 1, "process_events": 3, "train_network": 1, "score_events": 1, "fill_templates": 1}


@pytest.mark.slow
def test_a_changed_file_runs_again_what_is_behind_it_whatever_its_date(of_files):
    path = of_files[0] / "data" / "s1.csv"
    before, date = path.read_text(), path.stat().st_mtime_ns
    behind = {"ingest_events": 1, "process_events": 3, "train_network": 1, "score_events": 1, "fill_templates": 1}
    path.write_text(before + "1,1,1,1\n")
    assert again(of_files) == behind
    os.utime(path, (1, 1))
    assert again(of_files) == behind
    path.write_text(before)
    os.utime(path, ns=(date, date))
    assert again(of_files) == {}
