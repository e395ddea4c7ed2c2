"""The whole way of an unbinned training, from simulated events to its fit, in a small analysis with a control region."""

import json
import math
import runpy

import numpy as np
import pandas as pd
import pyhf
import pytest
from analyses import ROOT
from small_analyses import configured, make

import build_workspace
import check_closure
import fill_displaced
import fill_templates
import fill_unbinned
import fit_unbinned
import measure_unbinned
import plot_closure
import process_events
import publish_unbinned
import score_events
import spread_replicas
from nuisflow.events import parts
from nuisflow.inference.closure import observed
from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning.classifier import Classifier
from nuisflow.report.plots import closure as drawing
from nuisflow.settings import points, sections
from nuisflow.slices import inference, report, studies, training, unbinned
from nuisflow.slices.events import processing, shifted_names
from nuisflow.storage import files
from nuisflow.templates.unbinned import evaluation

pytestmark = pytest.mark.slow


def reader():
    """Return the reader of published likelihoods of the examples."""
    path = ROOT / "config" / "examples" / "published_likelihood.py"
    return runpy.run_path(str(path))["Likelihood"]


TRAINING = {
    "strategy": "unbinned",
    "variations": ["tes", "tilt", "generator"],
    "events_seen": 300_000,
    "hidden": [32],
    "batch_size": 512,
}
TES = ("tes_htautau", "tes_ztautau", "tes_ttbar")
OTHER = {"process": "ztautau", "events": 12000, "expected": 10000}
CHANGES = (
    ("trainings", {"unbinned": TRAINING}),
    ("samples.other", OTHER | {"variant": "more_radiation", "expected": 10500}),
    ("variations.tilt.decorrelate", ["region"]),
    ("variations.tes.decorrelate", ["process"]),
    ("samples.third", OTHER | {"variant": "harder_tail"}),
    ("variations.generator", {"kind": "two_point", "up": ["other"], "held_out": ["third"], "group": "generators"}),
)
TOYS = {"number": 50, "displacements": {"down": -1, "up": 1, "up2": 2}, "displaced_number": 20}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return the toy analysis with an unbinned training, with all files up to its fit."""
    settings = configured(*CHANGES, ("toys", TOYS))
    small = make(tmp_path_factory.mktemp("unbinned"), settings)
    events, displaced = [], []
    for sample, path in small.ingested().items():
        events += [small.folder / "events" / name / f"{sample}.parquet" for name in shifted_names(settings, sample)]
        for name in points.folders(settings, sample):
            displaced.append(small.folder / "events" / name / f"{sample}.parquet")
            chosen = sections.plain(processing(settings, sample, name))
            process_events.process_events(path, displaced[-1], settings=chosen, dask={})
    shifted = [path for path in displaced if path.parent.name.startswith("tes")]
    scores = small.of("displaced_scores.parquet")
    plain = sections.plain(training.scoring(settings))
    score_events.score_events(small.of("model.pt"), shifted, scores, settings=plain, dask={}, device="cpu")
    fill_displaced.fill_displaced(
        small.of("templates.json"), events + displaced, small.of("scores.parquet"), scores, small.of("displaced.json"),
        settings=sections.plain(inference.displaced_filling(settings)),
    )  # fmt: skip
    fill_unbinned.fill_unbinned(
        small.of("model.pt"), small.of("templates.json"), events + displaced, small.of("densities.parquet"),
        small.of("densities.json"), settings=sections.plain(unbinned.filling(settings)), device="cpu",
    )  # fmt: skip
    inputs = {"densities": "densities.parquet", "description": "densities.json", "workspace": "workspace.json"}
    inputs |= {"templates": "templates.json", "displaced": "displaced.json"}
    outputs = {"fit": "fit.json", "impacts": "impacts.csv", "scan": "scan.csv", "toys": "toys.parquet"}
    fit_unbinned.fit_unbinned(
        {name: small.of(file) for name, file in inputs.items()},
        {name: small.of(file) for name, file in (outputs | {"coverage": "coverage.json"}).items()},
        settings={
            "samples": {name: sample.process for name, sample in settings.samples.items()},
            "fit": sections.plain(inference.fit(settings)),
            "toys": sections.plain(inference.toys(settings, "unbinned", 1)),
        },
    )
    return small


def test_yields_are_those_of_the_templates(small):
    description = files.read_json(small.of("densities.json"))
    histograms = files.read_histograms(small.of("templates.json"))
    for process in description["processes"]:
        assert description["yields"][process] == pytest.approx(
            histograms["signal"][{"process": process, "variation": "nominal"}].values().sum(), rel=1e-6
        )
        (control,) = description["binned"]
        assert control["yields"][process] == pytest.approx(
            histograms["control"][{"process": process, "variation": "nominal"}].values().sum(), rel=1e-6
        )


def test_yields_at_every_point_are_those_of_the_events_there(small):
    model = UnbinnedModel(files.read_json(small.of("densities.json")))
    histograms = files.read_histograms(small.of("displaced.json"))
    for name, z in (("tes_up", 1), ("tes_up2", 2), ("tilt_up2", 2), ("generator_up", 1)):
        values = model.point(dict.fromkeys(points.displaced(small.settings)[name].parameters, float(z)))
        terms = np.prod(values[model.structure.learned] ** model.structure.powers, axis=1)
        found = model.structure.number * np.exp(model.structure.yields @ terms)
        for index, process in enumerate(model.processes):
            place = {"process": process, "variation": name}
            assert found[0, index] == pytest.approx(histograms["signal"][place].values().sum(), rel=1e-4)


def test_bins_at_one_deviation_are_the_templates(small):
    model = UnbinnedModel(files.read_json(small.of("densities.json")))
    histogram = files.read_histograms(small.of("templates.json"))["control"]
    nominal = [histogram[{"process": name, "variation": "nominal"}].values() for name in model.processes]
    found = np.stack(nominal, axis=1) * model.bin_responses(model.point(dict.fromkeys(TES, 1.0)))
    known = [histogram[{"process": name, "variation": "tes_up"}].values() for name in model.processes]
    assert found == pytest.approx(np.stack(known, axis=1), rel=2e-2, abs=0.05)


def test_the_response_to_an_alternative_is_one_straight_line_of_its_process(small):
    description = files.read_json(small.of("densities.json"))
    axis = description["learned"].index("generator")
    listed = zip(description["owners"], description["monomials"], strict=True)
    assert [(owner, powers[axis]) for owner, powers in listed if powers[axis]] == [("ztautau", 1)]
    model = UnbinnedModel(description)
    histogram = files.read_histograms(small.of("templates.json"))["control"]
    place = {"process": "ztautau", "variation": "generator_up"}
    found = (
        histogram[place | {"variation": "nominal"}].values()
        * model.bin_responses(model.point({"generator": 1.0}))[:, model.processes.index("ztautau")]
    )
    assert found == pytest.approx(
        histogram[place].values(), rel=1e-3, abs=1
    )  # where it is empty, a bin does not respond


def test_expected_data_are_fitted_near_the_truth_and_every_question_is_answered(small):
    fit = json.loads(small.of("fit.json").read_text())
    result = fit["asimov"]
    assert result["converged"]
    assert result["mu"] == pytest.approx(1, abs=0.6)  # fewer events are simulated than expected
    assert {row["name"] for row in result["parameters"]} == {
        "mu", *TES, "tilt_signal", "tilt_control", "generator", "ttbar_rate", "lumi",
    }  # fmt: skip
    assert result["sigma"] ** 2 == pytest.approx(result["sigma_stat"] ** 2 + result["sigma_syst"] ** 2)
    assert all(isinstance(value, float) for value in result["limits"]["expected"])
    assert {"energy scales", "modelling", "generators", "rates", "statistics"} <= result["breakdown"].keys()
    assert set(result["yields"]["postfit"]) == {"signal", "control"}
    assert "closure" not in fit
    assert result["sigma_mcstat"] is None  # there are no replicas: unknown, not 0
    scan = pd.read_csv(small.of("scan.csv"))
    assert scan["delta"].min() == pytest.approx(0, abs=0.1)
    assert len(pd.read_csv(small.of("impacts.csv"))) == 8


def test_pseudo_experiments_are_thrown_where_events_show_the_effect(small):
    coverage = json.loads(small.of("coverage.json").read_text())
    thrown = {row["point"]: row["toys"] for row in coverage}
    assert thrown[None] == 50
    assert thrown["tes_up2"] == thrown["tilt_down"] == 20
    assert thrown["generator_up"] == thrown["generator_held_out"] == 20
    assert thrown["ttbar_rate_up"] == thrown["luminosity_up"] == 0
    assert all(row["failed"] == 0 for row in coverage if row["toys"])
    assert all(row["asimov_mu"] is not None for row in coverage)
    toys = pd.read_parquet(small.of("toys.parquet"))
    assert len(toys) == sum(thrown.values())


def test_events_at_a_true_point_have_the_weights_of_the_files(small):
    description = files.read_json(small.of("densities.json"))
    model, settings = UnbinnedModel(description), small.settings
    samples = {name: sample.process for name, sample in settings.samples.items()}
    histograms = [files.read_histograms(small.of(name)) for name in ("templates.json", "displaced.json")]
    pools = experiments.Pools(small.of("densities.parquet"), model, samples, *histograms)
    displaced = ("tilt_up2", "tes_down", "generator_up", "generator_held_out")
    for name, source in (("nominal", histograms[0]), *((name, histograms[1]) for name in displaced)):
        expected = sum(source["signal"][{"process": p, "variation": name}].values().sum() for p in model.processes)
        assert pools[name].weight.sum() == pytest.approx(expected, rel=1e-5)
        assert len(pools[name].bins) == 4
        assert math.isclose(
            pools[name].bins.sum(),
            sum(source["control"][{"process": p, "variation": name}].values().sum() for p in model.processes),
            rel_tol=1e-5,
        )


def test_a_replica_is_fitted_with_its_own_yields_to_the_whole_simulation(small, tmp_path):
    """The same networks twice, as replicas 1 and 2: what differs is how often events count in yields and means."""
    settings, table = unbinned.filling(small.settings), tmp_path / "replicas.csv"
    events = list((small.folder / "events").glob("*/*.parquet"))
    spread_replicas.spread_replicas(
        [small.of("model.pt")] * 2, small.of("templates.json"), events, table, settings=sections.plain(settings),
        device="cpu",
    )  # fmt: skip
    found, classifier = pd.read_csv(table), Classifier.load(small.of("model.pt"))
    assert found["converged"].all()
    histograms = files.read_histograms(small.of("templates.json"))
    for replica, row in enumerate(found.to_dict("records"), 1):
        sums = evaluation.Sums(classifier.strategy, settings, replica)
        parts = list(evaluation.evaluate(evaluation.needed(events, settings), classifier, settings, sums))
        model = UnbinnedModel(evaluation.describe(classifier.strategy, sums, histograms, settings))
        listed = list(experiments.nominal(parts, model.processes, settings.samples))
        joined = [np.concatenate(values) for values in zip(*(part[1:] for part in listed), strict=True)]
        bins = experiments.contents(model, histograms, "nominal", model.processes)
        best = model.fit(experiments.asimov(model, experiments.Events(*joined, bins)))
        assert [row[name] for name in best.names] == pytest.approx(best.values, rel=1e-9, abs=1e-9)
    assert found["mu"].nunique() == 2


@pytest.fixture(scope="module")
def half(small, tmp_path_factory):
    """Return what is measured with half of the events, and what the ordinary chain finds where only these are."""
    folder, settings = tmp_path_factory.mktemp("half"), small.settings
    events, alone = sorted((small.folder / "events").glob("*/*.parquet")), []
    for path in events:
        table = pd.read_parquet(path)
        rows = table["entry"].to_numpy()
        kept = parts.inside(0, int(rows.max()) + 1, (0.0, 0.5))[rows]
        alone.append(folder / "events" / path.parent.name / path.name)
        alone[-1].parent.mkdir(parents=True, exist_ok=True)
        table[kept].assign(weight=2 * table["weight"][kept]).to_parquet(alone[-1])
    for place, listed, chosen in (
        (folder / "ordinary", alone, inference.filling(settings, "unbinned")),
        (folder / "part", events, studies.filling(settings, "unbinned", "simulated_events", "0.5")),
    ):
        place.mkdir()
        first = [path for path in listed if path.parent.name in shifted_names(settings, path.stem)]
        plain = sections.plain(training.scoring(settings))
        scores = place / "scores.parquet"
        score_events.score_events(small.of("model.pt"), first, scores, settings=plain, dask={}, device="cpu")
        fill_templates.fill_templates(
            first, scores, place / "templates.json", place / "notes.json", settings=sections.plain(chosen)
        )
    place = folder / "ordinary"
    build_workspace.build_workspace(
        place / "templates.json", place / "workspace.json", place / "notes.json",
        settings=sections.plain(inference.workspace(settings, "unbinned")),
    )  # fmt: skip
    fill_unbinned.fill_unbinned(
        small.of("model.pt"), place / "templates.json", alone, place / "densities.parquet", place / "densities.json",
        settings=sections.plain(unbinned.filling(settings)), device="cpu",
    )  # fmt: skip
    inputs = {"densities": "densities.parquet", "description": "densities.json", "workspace": "workspace.json"}
    outputs = {"fit": "fit.json", "impacts": "impacts.csv", "scan": "scan.csv", "toys": "toys.parquet"}
    thrown = studies.unbinned_measurement(settings, "unbinned", 1, "simulated_events", "0.5")
    fit_unbinned.fit_unbinned(
        {name: place / file for name, file in (inputs | {"templates": "templates.json"}).items()},
        {name: place / file for name, file in (outputs | {"coverage": "coverage.json"}).items()},
        settings={
            "samples": {name: sample.process for name, sample in settings.samples.items()},
            "fit": sections.plain(inference.fit(settings)),
            "toys": sections.plain(thrown.toys),
        },
    )
    place, spread = folder / "part", folder / "replicas.csv"
    pd.DataFrame({"converged": True, "mu": [0.7, 1.3, 1.0]}).to_csv(spread, index=False)
    inputs = {"model": small.of("model.pt"), "scores": place / "scores.parquet", "replicas": spread}
    for study in ("simulated_events", "training_events"):
        chosen = studies.unbinned_measurement(settings, "unbinned", 1, study, "0.5")
        measure_unbinned.measure_unbinned(
            inputs | {"templates": place / "templates.json"}, events, place / "densities.json", place / f"{study}.json",
            settings=sections.plain(chosen), device="cpu",
        )  # fmt: skip
        if study == "simulated_events":
            (place / "densities.json").rename(place / "simulated.json")
    return folder


def test_half_of_the_simulation_has_the_likelihood_of_an_analysis_without_the_other_half(half, small):
    found, known = (files.read_json(half / name) for name in ("part/simulated.json", "ordinary/densities.json"))
    assert found.keys() == known.keys()
    for name in ("yields", "norms", "yield_terms", "parameters"):
        assert_close(found[name], known[name])
    assert_close(found["binned"], known["binned"])
    whole = files.read_json(small.of("densities.json"))["yields"]
    for process, number in found["yields"].items():  # weights make up for the other half, but for chance
        assert number != whole[process]
        assert number == pytest.approx(whole[process], rel=0.06)


def test_half_of_the_simulation_measures_what_the_ordinary_chain_does_and_replicas_widen_it(half):
    """Coverage too, by the same pseudo-experiments."""
    measured = files.read_json(half / "part" / "simulated_events.json")
    ordinary = files.read_json(half / "ordinary" / "fit.json")["asimov"]
    (known,) = files.read_json(half / "ordinary" / "coverage.json")
    (covered,) = measured["coverage"]
    for name in ("sigma_stat", "sigma_syst", "converged"):
        assert measured["asimov"][name] == pytest.approx(ordinary[name], rel=1e-4), name
    assert measured["asimov"]["sigma_mcstat"] == pytest.approx(0.3)
    assert measured["asimov"]["sigma"] == pytest.approx(math.hypot(ordinary["sigma"], 0.3), rel=1e-4)
    assert covered["toys"] == 50
    assert (covered["coverage"], covered["asimov_mu"]) == pytest.approx(
        (known["coverage"], known["asimov_mu"]), abs=0.021
    )


def test_the_whole_simulation_is_fitted_with_the_densities_of_a_half(half, small):
    """Written down here: the events that all files have, and the likelihood of the half."""
    model = UnbinnedModel(files.read_json(half / "part" / "simulated.json"))
    samples = {name: sample.process for name, sample in small.settings.samples.items()}
    histograms = files.read_histograms(small.of("templates.json"))
    pool = experiments.Pools(small.of("densities.parquet"), model, samples, histograms, {})["nominal"]
    edges = files.read_histograms(half / "part" / "templates.json")["control"].axes["score"].edges
    assert edges == pytest.approx(histograms["control"].axes["score"].edges)  # so that its bins are those of the half
    best = model.fit(experiments.asimov(model, pool))
    found = files.read_json(half / "part" / "simulated_events.json")["whole"]["asimov_mu"]
    assert found == pytest.approx(best.values[0], abs=1e-4)
    assert found != pytest.approx(
        files.read_json(half / "part" / "simulated_events.json")["coverage"][0]["asimov_mu"], abs=1e-3
    )


def test_where_only_trainings_have_fewer_events_all_are_fitted(half, small):
    """The same network here: what is measured is what the ordinary run measures."""
    measured = files.read_json(half / "part" / "training_events.json")
    ordinary = files.read_json(small.of("fit.json"))["asimov"]
    assert measured["asimov"]["sigma_stat"] == pytest.approx(ordinary["sigma_stat"], rel=0.02)
    found, known = (
        files.read_json(path)["yields"] for path in (half / "part/densities.json", small.of("densities.json"))
    )
    assert found == pytest.approx(known, rel=1e-9)
    assert measured["whole"]["asimov_mu"] == measured["coverage"][0]["asimov_mu"]


def assert_close(found, known):
    """Compare nested plain values."""
    assert type(found) is type(known)
    if isinstance(known, dict):
        assert found.keys() == known.keys()
        found, known = list(found.values()), list(known.values())
    if isinstance(known, list):
        assert len(found) == len(known)
        for one, two in zip(found, known, strict=True):
            assert_close(one, two)
    else:
        assert found == (known if isinstance(known, str) else pytest.approx(known, rel=1e-5, abs=1e-6))


def test_closure_is_checked_at_every_place_and_drawn(small):
    learned = {sample: small.ingested()[sample] for sample in training.training_samples(small.settings, "unbinned")}
    inputs = {"model": "model.pt", "description": "densities.json", "densities": "densities.parquet"}
    inputs |= {"templates": "templates.json", "fit": "fit.json"}
    check_closure.check_closure(
        {name: small.of(file) for name, file in inputs.items()}, learned, small.of("closure.json"),
        settings={
            "training": sections.plain(training.training(small.settings, "unbinned", 1)),
            "filling": sections.plain(unbinned.filling(small.settings)),
        },
        device="cpu",
    )  # fmt: skip
    found = files.read_json(small.of("closure.json"))
    assert found["observed"] is None
    assert found["normalisation"]["norms"] < 0.01
    places = {(row["process"], row["place"]): row for row in found["normalisation"]["places"]}
    assert ("ztautau", "tes = 2") in places
    assert ("ztautau", "generator = 1") in places  # alternative samples, beside nominal ones
    assert ("ttbar", "generator = 1") not in places
    assert {"generator = 1"} == {row["place"] for row in found["calibration"] if "generator" in row["place"]}
    assert ("htautau", "tilt = 1") not in places  # tilt acts on ttbar alone
    assert ("ttbar", "tes = 1, tilt = -1") in places
    for row in places.values():
        assert abs(row["yield"]) < max(0.01, 4 * row["yield_error"])
    widths = [row["sigma"] for row in found["convergence"]["binned"]]
    assert widths[0] >= widths[1] >= 0.9 * found["convergence"]["unbinned"]
    described = files.read_json(small.of("densities.json"))
    assert found["shifts"].keys() == found["scatter"].keys() == {row["name"] for row in described["parameters"]}
    assert 0 < found["scatter"]["mu"] < 3
    rows = {row["name"]: row for row in files.read_json(small.of("fit.json"))["asimov"]["parameters"]}
    for name, row in rows.items():
        init = next(known["init"] for known in described["parameters"] if known["name"] == name)
        assert found["shifts"][name] == pytest.approx((row["value"] - init) / row["error"], abs=1e-6)
    assert all(0.3 < row["auc"] < 0.7 and row["error"] > 0 for row in found["reweighting"]["classifier"])
    figures = [small.of(f"closure.{suffix}") for suffix in ("svg", "pdf")]
    plot_closure.plot_closure(small.of("closure.json"), figures, settings=sections.plain(report.plots(small.settings)))
    assert all(path.stat().st_size > 5000 for path in figures)


def test_the_published_likelihood_is_the_one_that_is_fitted(small):
    inputs = {"densities": "densities.parquet", "description": "densities.json"}
    inputs |= {"workspace": "workspace.json", "templates": "templates.json"}
    publish_unbinned.publish_unbinned(
        {name: small.of(file) for name, file in inputs.items()}, small.of("likelihood"),
        settings=sections.plain(unbinned.publishing(small.settings)),
    )  # fmt: skip
    names = {path.name for path in small.of("likelihood").iterdir()}
    assert names == {"likelihood.json", *unbinned.published(small.settings)}
    model = UnbinnedModel(files.read_json(small.of("densities.json")))
    samples = {name: sample.process for name, sample in small.settings.samples.items()}
    pools = experiments.Pools(small.of("densities.parquet"), model, samples, *map(files.read_histograms, (
        small.of("templates.json"), small.of("displaced.json"))))  # fmt: skip
    data, evaluate = experiments.asimov(model, pools["nominal"]), reader()(small.of("likelihood"))
    for seed in range(5):
        values = model.inits + np.random.default_rng(seed).uniform(-0.5, 0.5, len(model.names))
        found = evaluate(**dict(zip(model.names, values.tolist(), strict=True)))
        assert found == pytest.approx(model.twice_nll(data, values)[0], rel=1e-9)
    workspace = pyhf.Workspace(files.read_json(small.of("likelihood") / "binned.json")).model()
    nominal = workspace.expected_data(workspace.config.suggested_init(), include_auxdata=False)
    assert nominal == pytest.approx(pools["nominal"].bins.sum(axis=1), rel=1e-6)


def test_observed_events_are_tested_against_the_model(small, tmp_path):
    """Events of the simulation as data, drawn with their weights: they fit; with another background they do not."""
    settings = unbinned.filling(small.settings)
    events = {path.stem: path for path in (small.folder / "events" / "nominal").iterdir()}
    nominal = [events[name] for name in ("htautau", "ztautau", "ttbar")]
    seen = {name: drawn(path, tmp_path / path.name) for name, path in events.items() if name in ("ztautau", "ttbar")}
    fit = files.read_json(small.of("fit.json"))["asimov"]
    model = UnbinnedModel(files.read_json(small.of("densities.json")))
    for row in fit["parameters"]:
        row["value"] = 0.0 if row["name"] == "mu" else float(model.point({})[model.names.index(row["name"])])
    classifier = Classifier.load(small.of("model.pt"))
    chosen = settings.model_copy(update={"samples": settings.samples | {"seen_ztautau": "data", "seen_ttbar": "data"}})
    given = [*nominal, seen["ztautau"], seen["ttbar"]]
    good = observed.against_model(classifier, given, model, fit, chosen)
    bad = observed.against_model(classifier, [*nominal, seen["ttbar"]], model, fit, chosen)
    assert good["log_ratio"]["p_value"] > 1e-3
    assert abs(good["classifier"]["auc"] - 0.5) < 4 * good["classifier"]["error"]
    assert abs(bad["classifier"]["auc"] - 0.5) > 4 * bad["classifier"]["error"]
    assert bad["log_ratio"]["p_value"] < 1e-3
    closed = files.read_json(small.of("closure.json")) | {"observed": good}
    figure = drawing.figure(closed, report.plots(small.settings))
    assert len(figure.axes) == 6


def drawn(path, target):
    """Write the nominal events of a file that an experiment would see, each once; return where."""
    table = pd.read_parquet(path)
    share = np.minimum(0.2 * table["weight"], 1.0)
    table = table[np.random.default_rng(9).random(len(table)) < share].assign(weight=1.0)
    table.to_parquet(target.with_name(f"seen_{path.name}"))
    return target.with_name(f"seen_{path.name}")
