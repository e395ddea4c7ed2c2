"""Tests of the scripts fill_conditional and fit_conditional, as the workflow calls them, on simulated events."""

import hist
import ingesting
import numpy as np
import pandas as pd
import pytest
import torch

from fill_conditional import fill_conditional
from fit_conditional import fit_conditional
from measure_conditional import measure_conditional
from nuisflow.comparison import trainings
from nuisflow.comparison.trainings import Run
from nuisflow.events import parts, selection
from nuisflow.learning import batches, loop
from nuisflow.settings import configuration, points, sections
from nuisflow.settings.checks import reading
from nuisflow.settings.conditional import grid, thrown
from nuisflow.slices import conditional, inference, report, studies
from nuisflow.slices import training as slices
from nuisflow.slices.events import processing, shifted_names, simulation
from nuisflow.slices.training import training
from nuisflow.storage import event_files, files
from nuisflow.templates import filling, histograms
from score_events import score_events
from simulate_events import simulate_events

OUTPUTS = ("fit.json", "impacts.csv", "scan.csv", "toys.parquet", "coverage.json", "workspaces.json")
ONE = {"scheduler": "synchronous", "workers": 1}


def configured(*, rebinned=False):
    """Return rotating Gaussian classes, and a rate that is profiled at every z."""
    return reading.check(
        {
            "analysis": "toy",
            "dataset": {"kind": "gaussian"},
            "processes": {"signal": {"role": "signal"}, "background": {}},
            "samples": {
                "signal": {"process": "signal", "events": 4000, "expected": 200},
                "background": {"process": "background", "events": 8000, "expected": 1000},
            },
            "features": ["x", "y"],
            "regions": {"all": {}},
            "variations": {
                "rotation": {"kind": "shift", "shift": "rotation", "size": 0.3, "group": "angle"},
                "rate": {"kind": "rate", "size": 0.05, "processes": ["background"], "group": "rates"},
            },
            "learning": {"hidden": [16], "events_seen": 100_000, "batch_size": 512},
            "trainings": {"aware": {"strategy": "conditional", "variations": ["rotation"], "rebinned": rebinned}},
            "templates": {"binning": {"number": 5}},
            "toys": {
                "displacements": {"down3": -3, "down": -1, "up": 1, "up3": 3},
                "number": 200,
                "displaced_number": 200,
            },
        },
        "toy.yaml",
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Run the chain to fill_conditional; return the folder of the training."""
    torch.set_num_threads(1)
    folder, settings = tmp_path_factory.mktemp("toy"), configured()
    dask, raw, paths = configuration.Dask.model_validate(ONE), {}, {}
    for sample in settings.samples:
        simulated = folder / "raw" / f"{sample}.root"
        simulate_events(simulated, settings=sections.plain(simulation(settings, sample)))
        raw[sample] = ingesting.of_files([simulated], settings.dataset)
        for name in [*shifted_names(settings, sample), *points.folders(settings, sample)]:
            paths[name, sample] = folder / "events" / name / f"{sample}.parquet"
            parts = selection.process(raw[sample], processing(settings, sample, name), dask)
            event_files.write_event_parts(paths[name, sample], parts, {"region": ["all"]})
    chosen = training(settings, "aware", 1)
    loop.train(batches.Pool.load(raw, chosen), chosen.training, "cpu")[0].save(folder / "model.pt")
    first = [path for (name, _), path in paths.items() if not name.endswith("3")]
    scoring = sections.plain(slices.scoring(settings))
    score_events(folder / "model.pt", first, folder / "scores.parquet", settings=scoring, dask=ONE, device="cpu")
    made = filling.fill(first, folder / "scores.parquet", inference.filling(settings, "aware"))
    files.write_histograms(folder / "templates.json", made.histograms)
    fill_conditional(
        folder / "model.pt",
        folder / "templates.json",
        list(paths.values()),
        folder / "conditional.json",
        folder / "patterns.parquet",
        settings=sections.plain(conditional.rescoring(settings, "aware")),
        device="cpu",
    )
    return folder


@pytest.fixture(scope="module")
def fitted(filled, tmp_path_factory):
    return fit(filled, tmp_path_factory.mktemp("fit"), configured())


def fit(filled, folder, settings, *, unblind=False):
    """Fit what was filled, and its data with *unblind*; return the settings and the files by name."""
    outputs = {name.split(".")[0]: folder / name for name in OUTPUTS}
    workspace = inference.workspace(settings, "aware")
    workspace = workspace.model_copy(update={"fit": workspace.fit.model_copy(update={"unblind": unblind})})
    fit_conditional(
        *(filled / name for name in ("conditional.json", "patterns.parquet", "templates.json")),
        outputs,
        settings={
            "grid": sections.plain(grid(settings, "aware")),
            "thrown": thrown(settings, "aware"),
            "workspace": sections.plain(workspace),
            "fit": sections.plain(inference.fit(settings)) | {"observed": unblind},
            "toys": sections.plain(inference.toys(settings, "aware", 1)),
        },
    )
    return settings, outputs


def test_at_nominal_z_it_has_the_templates_of_the_ordinary_fit(filled):
    ordinary = files.read_histograms(filled / "templates.json")["all"]
    found = files.read_histograms(filled / "conditional.json")["all"]
    for name in ("nominal", "rotation_up", "rotation_down"):
        for process in ("signal", "background"):
            here = found[{"process": process, "variation": name, "at": "nominal"}]
            assert here.values() == pytest.approx(histograms.content(ordinary, process, name).values)
            assert here.variances() == pytest.approx(histograms.content(ordinary, process, name).variances)


def test_the_score_follows_the_hypothesised_z(filled):
    found = files.read_histograms(filled / "conditional.json")["all"]
    signal = {
        at: found[{"process": "signal", "variation": "rotation_up3", "at": at}].values()
        for at in ("rotation_up3", "rotation_down3")
    }
    assert signal["rotation_up3"][-1] > 1.05 * signal["rotation_down3"][-1]


def test_it_writes_what_the_comparison_reads(fitted):
    settings, paths = fitted
    fit = files.read_json(paths["fit"])
    assert fit["observed"] is None
    row = trainings.fit_row(fit["asimov"])
    assert row["converged"]
    assert row["mu"] == pytest.approx(1.0, abs=0.05 * row["sigma"])
    parts = [row[f"sigma_{name}"] for name in ("stat", "syst", "mcstat")]
    assert np.sqrt(np.sum(np.square(parts))) == pytest.approx(row["sigma"])
    assert {"angle", "rates"} <= fit["asimov"]["breakdown"].keys()
    rows = files.read_json(paths["coverage"])
    assert {entry["point"] for entry in rows} == {
        None, *(f"{name}_{side}" for name in settings.variations for side in settings.toys.displacements)
    }  # fmt: skip
    table = trainings.coverage({Run("aware", 1): rows}, report.comparison(settings))
    assert table["asimov_mu"].notna().all()
    assert (table["asimov_mu"] - 1).abs().max() < row["sigma"]


def test_its_intervals_cover(fitted):
    for entry in files.read_json(fitted[1]["coverage"]):
        if entry["toys"]:
            assert entry["failed"] < 0.02 * entry["toys"], entry["point"]
            assert entry["coverage"] == pytest.approx(0.6827, abs=4.5 * np.sqrt(0.2166 / entry["toys"])), entry["point"]
            assert entry["pull_width"] == pytest.approx(1.0, abs=0.25)


def test_the_impact_of_z_and_the_scan_are_there(fitted):
    impacts = files.read_table(fitted[1]["impacts"])
    assert {"rotation", "rate"} <= set(impacts["parameter"])
    scan = files.read_table(fitted[1]["scan"])
    assert scan["delta"].min() == pytest.approx(0.0, abs=0.02)
    assert scan["delta"].iloc[[0, -1]].min() > 5


def test_every_workspace_is_written_for_other_tools(fitted):
    import pyhf

    content = files.read_json(fitted[1]["workspaces"])
    assert list(content["grid"].values()) == [-3, -1, 0, 1, 3]
    assert content["score"] == 0
    nominal = content["workspaces"][2]["observations"]
    for space in content["workspaces"]:
        assert space["observations"] == nominal  # one set of data, in one score
        assert "rotation" not in pyhf.Workspace(space).model().config.parameters


def with_data(histogram, point):
    """Return *histogram* with data: what is expected at the true *point*, in the score at every z."""
    names = list(histogram.axes["process"])
    found = hist.Hist(
        hist.axis.StrCategory([*names, histograms.DATA], name="process"), *list(histogram.axes)[1:], storage="weight"
    )
    found.view()[: len(names)] = histogram.view()
    nominal, true = (list(histogram.axes["variation"]).index(name) for name in ("nominal", point))
    for part in ("value", "variance"):
        found.view()[part][-1, nominal] = histogram.view()["value"][:, true].sum(axis=0)
    return found


def test_observed_data_have_the_score_at_the_z_that_they_fit_best_and_so_have_their_workspaces(filled, tmp_path):
    made = {
        name: with_data(one, "rotation_up3") for name, one in files.read_histograms(filled / "conditional.json").items()
    }
    files.write_histograms(tmp_path / "conditional.json", made)
    for name in ("patterns.parquet", "templates.json"):
        (tmp_path / name).symlink_to(filled / name)
    _, paths = fit(tmp_path, tmp_path, configured(), unblind=True)
    found = files.read_json(paths["fit"])
    z = next(row["value"] for row in found["observed"]["parameters"] if row["name"] == "rotation")
    nearest = min((-3, -1, 0, 1, 3), key=lambda other: abs(other - z))
    assert found["score"] == {"asimov": 0, "observed": nearest}
    assert nearest > 0
    content = files.read_json(paths["workspaces"])
    assert (content["score"], content["observed"]["score"]) == (0, nearest)
    counts = made["all"][{"process": histograms.DATA, "variation": "nominal"}].values()
    at = [counts[list(content["grid"].values()).index(z)].tolist() for z in (0, nearest)]
    assert at[0] != at[1]
    for spaces, data in zip((content["workspaces"], content["observed"]["workspaces"]), at, strict=True):
        assert [space["observations"][0]["data"] for space in spaces] == [pytest.approx(data)] * 5


def thinned(events, folder, share):
    """Write a part of *events* chosen here, as if there were no others; return the files."""
    found = []
    for path in events:
        table = pd.read_parquet(path)
        rows = table["entry"].to_numpy()
        kept = parts.inside(0, int(rows.max()) + 1, (0.0, share))[rows]
        found.append(folder / "events" / path.parent.name / path.name)
        found[-1].parent.mkdir(parents=True, exist_ok=True)
        table[kept].assign(weight=table["weight"][kept] / np.float32(share)).to_parquet(found[-1])
    return found


@pytest.fixture(scope="module")
def half(filled, tmp_path_factory):
    """Return what is measured with half of the events, and what the ordinary chain finds where only these are."""
    settings, folder = configured(), tmp_path_factory.mktemp("half")
    events, model = sorted((filled / "events").glob("*/*.parquet")), filled / "model.pt"
    alone = thinned(events, folder, 0.5)
    for place, listed, chosen in (
        (folder / "ordinary", alone, inference.filling(settings, "aware")),
        (folder / "part", events, studies.filling(settings, "aware", "simulated_events", "0.5")),
    ):
        first, scores = [path for path in listed if not path.parent.name.endswith("3")], place / "scores.parquet"
        scoring = sections.plain(slices.scoring(settings))
        place.mkdir()
        score_events(model, first, scores, settings=scoring, dask=ONE, device="cpu")
        files.write_histograms(place / "templates.json", filling.fill(first, scores, chosen).histograms)
    fill_conditional(
        model, folder / "ordinary" / "templates.json", alone,
        *(folder / "ordinary" / name for name in ("conditional.json", "patterns.parquet")),
        settings=sections.plain(conditional.rescoring(settings, "aware")), device="cpu",
    )  # fmt: skip
    fit(folder / "ordinary", folder / "ordinary", settings)
    measure_conditional(
        model, folder / "part" / "templates.json", events, folder / "part" / "workspaces.json",
        folder / "part" / "measured.json",
        settings=sections.plain(studies.conditional_measurement(settings, "aware", 1, "simulated_events", "0.5")),
        device="cpu",
    )  # fmt: skip
    return folder


def test_half_of_the_simulation_measures_what_the_ordinary_chain_does_where_there_is_no_other(half):
    """Coverage too, by the same pseudo-experiments."""
    measured = files.read_json(half / "part" / "measured.json")
    ordinary = files.read_json(half / "ordinary" / "fit.json")["asimov"]
    for name, value in measured["asimov"].items():
        assert value == pytest.approx(ordinary[name], rel=1e-5), name
    (covered,) = measured["coverage"]
    known = next(
        row
        for row in files.read_json(half / "ordinary" / "coverage.json")
        if (row["point"], row["mu_true"]) == (None, 1.0)
    )
    assert covered["toys"] == 200
    assert covered["coverage"] == pytest.approx(known["coverage"], abs=0.011)
    assert covered["asimov_mu"] == pytest.approx(known["asimov_mu"], abs=1e-4)


def test_the_workspaces_of_a_half_expect_as_many_events_but_for_chance(half, filled):
    import pyhf

    found = [files.read_json(place / "workspaces.json")["workspaces"] for place in (half / "part", half / "ordinary")]
    for space, other in zip(*found, strict=True):
        one, two = (pyhf.Workspace(each).model() for each in (space, other))
        values = one.config.suggested_init()
        assert one.expected_data(values) == pytest.approx(two.expected_data(values), rel=1e-6)
    rates = one.expected_data(values, include_auxdata=False)
    nominal = files.read_histograms(filled / "conditional.json")["all"]
    assert rates.sum() == pytest.approx(nominal[{"variation": "nominal", "at": "nominal"}].values().sum(), rel=0.03)


def test_mc_statistics_of_a_half_are_larger_and_the_whole_is_found_within_them(half, fitted):
    measured, whole = files.read_json(half / "part" / "measured.json"), files.read_json(fitted[1]["fit"])["asimov"]
    assert measured["asimov"]["sigma_mcstat"] == pytest.approx(np.sqrt(2) * whole["sigma_mcstat"], rel=0.1)
    found = measured["whole"]["asimov_mu"]
    assert found != pytest.approx(1, abs=1e-3)
    assert abs(found - 1) < 4 * measured["asimov"]["sigma_mcstat"]


def test_the_report_hears_of_data_binned_anew_that_move_the_fit_to_where_the_score_is_sharper(filled, tmp_path):
    """This network saw few events: it separates better at some z, unlike the exact likelihood ratio."""
    _, paths = fit(filled, tmp_path, configured(rebinned=True))
    found = files.read_json(paths["fit"])["asimov"]
    z = next(row["value"] for row in found["parameters"] if row["name"] == "rotation")
    assert abs(z) > 0.1
    assert "rebinned" in found["message"]
