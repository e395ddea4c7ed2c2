"""Tests of the script build_workspace."""

import pyhf
import pytest
from tests.templates import test_filling, test_workspaces

from build_workspace import build_workspace
from fill_templates import fill_templates
from nuisflow.settings import sections
from nuisflow.storage import files
from nuisflow.templates import workspaces


def run(folder, histograms, settings):
    output, notes = folder / "workspace.json", folder / "workspace_notes.json"
    files.write_histograms(folder / "templates.json", histograms)
    build_workspace(folder / "templates.json", output, notes, settings=sections.plain(settings))
    return output, notes


def test_it_writes_a_workspace_that_pyhf_reads_and_the_notes(tmp_path):
    contents = test_workspaces.NOMINAL | {"tt": {"nominal": [20.0, -2, 0]}}
    histograms = {"signal": test_workspaces.histogram(contents)}
    output, notes = run(tmp_path, histograms, test_workspaces.settings())
    model = pyhf.Workspace(files.read_json(output)).model()
    assert model.config.poi_name == "mu"
    assert [(note["rule"], note["kind"], note["bin"]) for note in files.read_json(notes)] == [
        ("build_workspace", "filled_up", "1, 2")
    ]


def test_after_an_error_nothing_is_written(tmp_path):
    contents = test_workspaces.NOMINAL | {"tt": {"nominal": [-20.0, -2, 0]}}
    with pytest.raises(workspaces.WorkspaceError, match="all-negative process 'tt'"):
        run(tmp_path, {"signal": test_workspaces.histogram(contents)}, test_workspaces.settings())
    assert [path.name for path in tmp_path.iterdir()] == ["templates.json"]


def test_from_events_to_a_fit(tmp_path):
    """The two rules together: fill templates, build the workspace, fit it, and find the signal put in."""
    paths, scores = test_filling.write(tmp_path / "in")
    filling = sections.plain(test_filling.filling())
    fill_templates(paths, scores, tmp_path / "templates.json", tmp_path / "notes.json", settings=filling)
    variations = {
        "tes": {"kind": "shift", "shift": "tes", "size": 0.01, "processes": ["higgs", "z"]},
        "pileup": {"kind": "weight", "up": "pileup", "processes": ["z"]},
        "tt_rate": {"kind": "rate", "size": 0.1, "processes": ["tt"]},
    }
    settings = test_workspaces.settings(variations)
    histograms = files.read_histograms(tmp_path / "templates.json")
    output, _ = run(tmp_path, histograms, settings)
    workspace = pyhf.Workspace(files.read_json(output))
    model = workspace.model()
    assert {"mu", "tes", "pileup", "tt_rate", "staterror_signal", "staterror_control"} == set(model.config.parameters)
    best = pyhf.infer.mle.fit(workspace.data(model), model)
    assert best[model.config.poi_index] == pytest.approx(1, abs=1e-3)
