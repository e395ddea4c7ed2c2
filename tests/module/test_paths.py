"""Where a module finds and puts files: what is shipped with the workflow, and results that lie elsewhere."""

import json

import pytest
from analyses import ROOT, changed, shipped

from nuisflow.settings import expansions
from nuisflow.settings import shipped as shipped_files
from nuisflow.settings.checks import reading
from nuisflow.storage import sources


def test_results_that_lie_elsewhere_take_the_ratios_of_reweighted_samples_along():
    """They are the only files that the workflow makes and the settings name."""
    settings = reading.check(changed(shipped("generators"), ("variations.generator.reweight", True)))
    moved = expansions.relocated(settings, "my/folder")
    ratios = [path for sample in moved.samples.values() for path in sample.ratios]
    assert ratios
    assert all(path.startswith("my/folder/reweighting/") for path in ratios)
    assert "results/generators" not in json.dumps(moved.model_dump(mode="json"))
    assert expansions.relocated(settings, f"results/{settings.analysis}") == settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def source(path):
    return str(ROOT / path)


def test_shipped_files_that_are_named_anywhere_are_copied_once(folder):
    content = {
        "published": {"table": "config/published/inferno.csv"},
        "trainings": [{"file": "config/examples/user_strategy.py"}],
    }
    named = ["config/examples/user_strategy.py", "config/published/inferno.csv"]
    assert shipped_files.missing(content) == named
    assert shipped_files.fetch(content, source) == named
    assert all((folder / name).read_bytes() == (ROOT / name).read_bytes() for name in named)
    assert shipped_files.fetch(content, source) == []


def test_a_file_of_the_user_is_never_replaced(folder):
    (folder / "config" / "published").mkdir(parents=True)
    (folder / "config" / "published" / "inferno.csv").write_text("mine")
    assert shipped_files.fetch({"table": "config/published/inferno.csv"}, source) == []
    assert (folder / "config" / "published" / "inferno.csv").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["config/published/none.csv", "config/../secret.csv", "/etc/passwd", "config/published/a/b.csv"]
)
def test_what_is_not_shipped_is_not_made_up(folder, name):
    assert shipped_files.fetch({"table": name}, source) == []
    assert list(folder.rglob("*.*")) == []


def test_scripts_that_do_not_lie_beside_the_library_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_finders", [lambda name: f"/cache/{name}.py@v1"])
    assert str(sources.script_file("fit_workspace", tmp_path)) == "/cache/fit_workspace.py@v1"
    assert sources.script_file("fit_workspace") == ROOT / "scripts" / "fit_workspace.py"
