"""Tests of the script fit_workspace, as the workflow calls it."""

import pytest
import synthetic_results

from fit_workspace import fit_workspace
from nuisflow.comparison.trainings import DATA, fewest_events, fit_row
from nuisflow.settings import sections
from nuisflow.slices import inference
from nuisflow.storage import files
from nuisflow.templates import workspaces


@pytest.fixture(scope="module", params=[False, True], ids=["blinded", "observed"])
def fitted(request, tmp_path_factory):
    """Fit the workspace of synthetic templates; return the settings and the files by name."""
    folder = tmp_path_factory.mktemp("results")
    trainings = {"nominal": {"strategy": "nominal"}}
    analysis = synthetic_results.make(
        folder, trainings=trainings, seeds=1, variations=3, bins=5, observed=request.param
    )
    settings = analysis.settings.model_copy(
        update={"fit": analysis.settings.fit.model_copy(update={"goodness_toys": 50})}
    )
    templates = analysis.of("nominal", "templates.json")
    paths = {name: folder / name for name in ("workspace.json", "fit.json", "impacts.csv", "scan.csv")}
    built = workspaces.build(files.read_histograms(templates), inference.workspace(settings))
    files.write_json(paths["workspace.json"], built.workspace)
    outputs = (paths[name] for name in ("fit.json", "impacts.csv", "scan.csv"))
    fit_workspace(paths["workspace.json"], templates, *outputs, settings=sections.plain(inference.fit(settings)))
    return analysis.settings, {name: path for name, path in paths.items() if name != "workspace.json"}


def test_it_writes_what_the_comparison_reads(fitted):
    settings, paths = fitted
    fit = files.read_json(paths["fit.json"])
    kinds = [kind for kind in DATA if fit[kind]]
    assert kinds == (["asimov", "observed"] if settings.fit.unblind else ["asimov"])
    for kind in kinds:
        row = fit_row(fit[kind])
        assert row["converged"]
        assert row["significance"] > 0
        assert row["limit_expected"] > 0
        assert (row["p_value_toys"] >= 0) == (row["limit_observed"] > 0) == (kind == "observed")
    assert files.read_table(paths["impacts.csv"])["data"].unique().tolist() == kinds
    assert files.read_table(paths["scan.csv"])["data"].unique().tolist() == kinds


def test_it_says_how_many_simulated_events_stand_behind_the_templates(fitted):
    fit = files.read_json(fitted[1]["fit.json"])
    nominal, varied = fit["simulation"]
    assert (nominal["region"], nominal["variation"]) == ("signal", "nominal")
    assert varied["variation"] != "nominal"
    assert fewest_events(fit) == min(nominal["events"], varied["events"]) > 0
