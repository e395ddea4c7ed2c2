"""The examples in config/README.md and config/examples do what they say, from the first file to the report."""

import re
import subprocess
import sys

import awkward as ak
import ingesting
import pandas as pd
import pytest
import uproot
import yaml
from analyses import ROOT, changed
from projects import snakemake

from nuisflow import datasets
from nuisflow.settings import configuration
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.storage import files, user_files

README = (ROOT / "config" / "README.md").read_text()
SHIPPED = (ROOT / "config" / "examples" / "my_ntuples.yaml").read_text()


def section(title):
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(title, language):
    return re.findall(rf"```{language}\n(.*?)```", section(title), re.DOTALL)


WALK = section("Bring your own ntuples")
CONTENT = yaml.safe_load("".join(blocks("Bring your own ntuples", "yaml")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the script of the walk-through makes."""
    folder = tmp_path_factory.mktemp("walk")
    (script,) = blocks("Bring your own ntuples", "python")
    (folder / "make_ntuples.py").write_text(script)
    subprocess.run([sys.executable, "make_ntuples.py"], cwd=folder, check=True)
    return folder


def test_the_blocks_of_the_walk_through_are_the_shipped_example():
    written = [line for line in SHIPPED.splitlines() if not line.startswith("# ")]
    assert [line for line in written if line] == [
        line for block in blocks("Bring your own ntuples", "yaml") for line in block.splitlines() if line
    ]
    assert reading.check(CONTENT) == reading.load(ROOT / "config" / "examples" / "my_ntuples.yaml")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("features", ["mas"], "features.0: no column 'mas'; did you mean 'mass'?"),
        ("samples.wjets.weight", None, "samples.wjets.weight: is required: expected events per row"),
        ("selection", "jet_pt > 20 and mt < 100", "selection: 'jet_pt > 20 and mt < 100'"),
        ("selection", "jet_pt > 20 and mt < 100", "use & and | with brackets"),
        ("variations.jet_scale.columns.jet_pt", "jet_pt * 1.05", "variations.jet_scale.columns.jet_pt: 'jet_pt * 1.05' does not depend on z"),
    ],
)  # fmt: skip
def test_the_messages_in_the_walk_through_are_those_of_a_wrong_configuration(path, value, message):
    assert message in WALK.replace("\\|", "|")
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        reading.check(changed(CONTENT, (path, value)))


def test_the_messages_in_the_walk_through_are_those_of_wrong_files(folder, tmp_path):
    messages = ["wjets.csv: no column 'jet_pt'; it has", "signal.root: no tree 'events'; it has Events (set dataset.tree, or tree of the sample)"]  # fmt: skip
    pd.read_csv(folder / "ntuples" / "wjets.csv").drop(columns="jet_pt").to_csv(tmp_path / "wjets.csv")
    with pytest.raises(files.FileError, match=re.escape(messages[0])):
        user_files.kinds(tmp_path / "wjets.csv", CONTENT["dataset"]["columns"], "", {})
    with pytest.raises(files.FileError, match=re.escape(messages[1])):
        user_files.kinds(folder / "ntuples" / "signal.root", [], "events", {})
    assert all(message in WALK for message in messages)


@pytest.mark.slow
@pytest.mark.workflow
def test_the_messages_in_the_walk_through_are_those_of_a_wrong_path_and_of_nan(folder, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(changed(CONTENT, ("dataset.path", "tuples"))))
    done = snakemake(folder, wrong, "--dry-run")
    assert done.returncode != 0
    wrong_path = "dataset.path: there is no folder 'tuples'"
    assert wrong_path in done.stdout
    wrong.write_text(yaml.safe_dump(changed(CONTENT, ("derived.ratio", "jet_pt / (mass - mass)"), ("analysis", "nan"))))
    done = snakemake(folder, wrong, "--", "results/nan/events/nominal/zjets.parquet")
    assert done.returncode != 0
    assert "column 'ratio' is NaN or infinite in" in done.stdout
    for message in (wrong_path, "column 'ratio' is NaN or infinite in"):
        assert message in WALK


@pytest.mark.slow
@pytest.mark.workflow
def test_the_walk_through_ends_with_a_report(folder):
    done = snakemake(folder, ROOT / "config" / "examples" / "my_ntuples.yaml")
    assert done.returncode == 0, done.stdout[-6000:]
    report = (folder / "results" / "my_ntuples" / "report.html").read_text()
    assert "Nominal" in report
    assert "Be careful" in report
    summary = pd.read_csv(folder / "results" / "my_ntuples" / "comparison" / "summary.csv")
    assert sorted(summary["training"]) == ["augmentation", "nominal"]
    assert (abs(summary["mu"] - 1) < 1e-3).all()
    impacts = pd.read_csv(folder / "results" / "my_ntuples" / "comparison" / "impacts.csv")
    assert {"jet_scale", "tagging", "zjets_rate", "wjets_rate"} <= set(impacts["parameter"])


# NanoAOD


def test_the_functions_in_the_readme_flatten_and_shift_what_they_say(tmp_path):
    (text,), (script,) = blocks("NanoAOD", "yaml"), blocks("NanoAOD", "python")
    (tmp_path / "my_objects.py").write_text(script)
    content = yaml.safe_load(text)["dataset"] | {"functions": str(tmp_path / "my_objects.py")}
    numbers = {"pt": [[40.0, 30.0], [5.0]], "eta": [[0.0, 0.0], [0.0]], "phi": [[0.0, 3.14159265], [0.0]], "mass": [[0.1, 0.1], [0.1]]}  # fmt: skip
    branches = {f"{name}_{field}": ak.Array(values) for name in ("Muon", "Jet") for field, values in numbers.items()}
    weights = {"LHEPdfWeight": ak.Array([[1.0], [1.0, 2.0]]), "genWeight": ak.Array([1.0, -1.0])}
    with uproot.recreate(tmp_path / "toy.root") as root:
        root["Events"] = branches | weights | {"MET_pt": ak.Array([10.0, 20.0])}
    offered = datasets.of(configuration.NanoaodDataset(**content))
    raw = offered.grouped(ingesting.whole(ingesting.of_files([tmp_path / "toy.root"], offered.dataset)))
    flat = offered.reconstruct(raw)
    assert flat["n_jets"].tolist() == [1, 0]
    assert flat["genWeight"].tolist() == [1, -1]
    assert flat["dimuon_mass"].tolist() == pytest.approx([2 * (40 * 30) ** 0.5, -999], rel=1e-3)
    assert offered.reconstruct(offered.shift(raw, {"jes": (1.0, 0.03)}))["n_jets"].tolist() == [2, 0]


def test_the_command_in_the_readme_sums_the_weights_of_all_files(tmp_path):
    for number in (1, 2):
        with uproot.recreate(tmp_path / f"dy_{number}.root") as root:
            root["Runs"] = {"genEventSumw": ak.Array([10.0 * number, 0.5])}
    (command,) = re.findall(r'\.venv/bin/python -c "(.*)"\n', section("NanoAOD"))
    done = subprocess.run([sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) == 31.0


@pytest.fixture(scope="module")
def nanoaod(data, tmp_path_factory):
    """A folder in which the NanoAOD example has run, with a copy of its functions."""
    folder, examples = tmp_path_factory.mktemp("nanoaod"), ROOT / "config" / "examples"
    content = yaml.safe_load((examples / "nanoaod.yaml").read_text())
    content = changed(content, ("dataset.functions", "objects.py"), ("dataset.path", str(data / "nanoaod")))
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    (folder / "objects.py").write_text((examples / "nanoaod_objects.py").read_text())
    done = snakemake(folder, "config.yaml")
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.mark.slow
@pytest.mark.workflow
def test_the_nanoaod_example_ends_with_a_report(nanoaod):
    results = nanoaod / "results" / "nanoaod"
    assert (results / "report.html").stat().st_size > 20_000
    selected = {name: pd.read_parquet(results / "events" / "nominal" / f"{name}.parquet") for name in ("ttbar", "dy")}
    assert all(len(events) > 5 for events in selected.values())
    up = pd.read_parquet(results / "events" / "jes_up" / "ttbar.parquet")
    assert up["ht"].sum() > selected["ttbar"]["ht"].sum()
    assert set(up["entry"]) == set(selected["ttbar"]["entry"])


@pytest.mark.slow
@pytest.mark.workflow
@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ("MOMENTUM = ", "# a comment\nMOMENTUM = ", set()),
        ("> 25", "> 30", {"Process", "Train"}),
    ],
    ids=["comment", "code"],
)
def test_a_change_of_the_functions_runs_events_and_trainings_again_and_a_comment_nothing(nanoaod, old, new, again):
    path = nanoaod / "objects.py"
    before = path.read_text()
    path.write_text(before.replace(old, new))
    try:
        done = snakemake(nanoaod, "config.yaml", "--dry-run")
    finally:
        path.write_text(before)
    assert done.returncode == 0, done.stdout
    jobs = dict(re.findall(r"^Job \d+: (\w+) .*\n\s*Reason: (.*)$", done.stdout, re.MULTILINE))
    assert {job for job, reason in jobs.items() if "Params have changed" in reason} == again
    assert bool(jobs) == bool(again)
