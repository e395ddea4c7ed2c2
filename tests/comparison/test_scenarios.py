"""Expected uncertainties with chosen floating parameters, from templates."""

import math

import hist
import numpy as np
import pandas as pd
import pyhf
import pytest
from analyses import changed, shipped

from nuisflow.comparison import references, scenarios
from nuisflow.comparison.trainings import Run
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Scenario
from nuisflow.slices import scenarios as scenario_slices
from nuisflow.slices.scenarios import slice_of
from nuisflow.storage import files

INFERNO = shipped("inferno")
SIGNAL, BACKGROUND = np.array([5.0, 15.0, 30.0]), np.array([700.0, 250.0, 50.0])
TILT = np.array([-0.1, 0.0, 0.2])  # of the background, per prior standard deviation of r


def histogram(contents):
    """Return a histogram of contents by (process, variation)."""
    variations = list(dict.fromkeys(variation for _, variation in contents))
    made = hist.Hist(
        hist.axis.StrCategory(["signal", "background"], name="process"),
        hist.axis.StrCategory(variations, name="variation"),
        hist.axis.Regular(3, 0, 1, name="score"),
        storage=hist.storage.Weight(),
    )
    for (process, variation), values in contents.items():
        index = ["signal", "background"].index(process), variations.index(variation)
        made.view()["value"][index] = values
    return made


def analysis(*changes):
    return slice_of(reading.check(changed(INFERNO, *changes)))


NOMINAL = {("signal", "nominal"): SIGNAL, ("background", "nominal"): BACKGROUND}
SIDES = {
    ("background", f"{name}_{side}"): BACKGROUND * (1 + sign * 0.5 * size * TILT)
    for name, size in (("r", 1.0), ("lambda", 0.0))
    for side, sign in (("half_up", 1), ("half_down", -1))
}
FILLED, DISPLACED = {"all": histogram(NOMINAL)}, {"all": histogram(SIDES)}


def expectation(settings=None):
    return scenarios.expectation(FILLED, DISPLACED, settings or analysis())


def test_derivatives_are_differences_of_the_closest_points_per_prior_standard_deviation():
    found = expectation()
    assert found.total == pytest.approx(SIGNAL + BACKGROUND)
    assert found.derivatives[scenarios.POI] == pytest.approx(SIGNAL)
    assert found.derivatives["r"] == pytest.approx(BACKGROUND * TILT)
    assert found.derivatives["lambda"] == pytest.approx(np.zeros(3), abs=1e-9)
    assert found.derivatives["background_rate"] == pytest.approx(0.1 * BACKGROUND)


def test_without_displaced_points_derivatives_come_from_the_templates():
    settings = analysis(("toys.displacements", {"far": 2.0, "up": 1.0, "down": -1.0}))
    assert not scenario_slices.are_displaced(reading.check(changed(INFERNO, ("toys.displacements", {}))))
    sides = {
        ("background", f"{n}_{s}"): BACKGROUND * (1 + z * TILT)
        for n in ("r", "lambda")
        for s, z in (("up", 1), ("down", -1))
    }
    found = scenarios.expectation({"all": histogram(NOMINAL | sides)}, {}, settings)
    assert found.derivatives["r"] == pytest.approx(BACKGROUND * TILT)


TWO_REGIONS = (
    ("regions", {"low": {"selection": "x0 < 0"}, "high": {"selection": "x0 >= 0"}}),
    ("variations.background_rate.regions", ["high"]),
    ("variations.lambda.decorrelate", ["region"]),
    ("variations.r", {"kind": "rate", "size": [0.2, -0.1], "processes": ["background"]}),
    ("trainings", {"nominal": {"strategy": "nominal"}}),
    ("variations.lumi", {"kind": "luminosity", "size": 0.02}),
    ("scenarios.b4", {"constrained": ["lambda", "background_rate", "r", "lumi"]}),
)
"""Rates of one region and of two sizes, a shift with a parameter of every region, and the luminosity."""


def test_derivatives_are_by_nuisance_parameters_each_in_its_own_processes_and_regions():
    settings, none = analysis(*TWO_REGIONS), np.zeros(3)
    sides = {
        region: histogram(NOMINAL | {("background", f"lambda_half_{s}"): BACKGROUND * (1 + z * tilt)
                                     for s, z in (("up", 0.5), ("down", -0.5))})
        for region, tilt in (("low", 0.1), ("high", TILT))
    }  # fmt: skip
    found = scenarios.expectation(dict.fromkeys(sides, FILLED["all"]), sides, settings).derivatives
    assert list(found) == ["", "r", "lambda_low", "lambda_high", "background_rate", "lumi"]
    assert found["lambda_low"] == pytest.approx([*(BACKGROUND * 0.1), *none])
    assert found["lambda_high"] == pytest.approx([*none, *(BACKGROUND * TILT)])
    assert found["background_rate"] == pytest.approx([*none, *(0.1 * BACKGROUND)])
    assert found["lumi"] == pytest.approx([*(0.02 * (SIGNAL + BACKGROUND))] * 2)
    slope = pyhf.interpolators.code4([[[[0.9], [1.0], [1.2]]]])(pyhf.tensorlib.astensor([[1e-4, -1e-4]])).ravel()
    assert found["r"] == pytest.approx([*((slope[0] - slope[1]) / 2e-4 * BACKGROUND)] * 2, rel=1e-6)
    assert settings.scenarios["b4"].constrained == ("lambda_low", "lambda_high", "background_rate", "r", "lumi")


def test_what_is_best_possible_is_known_only_where_one_region_has_all_events():
    assert references.truth(analysis()) is not None
    assert references.truth(analysis(("regions.all.selection", "x0 > 0"))) is None


def test_one_parameter_alone_is_the_counting_formula():
    value = scenarios.uncertainty(
        scenarios.information(expectation()), ["", "r", "lambda", "background_rate"], Scenario()
    )
    assert value == pytest.approx(1 / math.sqrt(np.sum(SIGNAL**2 / (SIGNAL + BACKGROUND))))


def test_a_floating_parameter_is_profiled():
    # The minimum of a quadratic form over r, worked out by hand.
    total, slope = SIGNAL + BACKGROUND, BACKGROUND * TILT
    a, b, c = (np.sum(x * y / total) for x, y in ((SIGNAL, SIGNAL), (SIGNAL, slope), (slope, slope)))
    matrix, names = scenarios.information(expectation()), ["", "r", "lambda", "background_rate"]
    assert scenarios.uncertainty(matrix, names, Scenario(free=("r",))) == pytest.approx((a - b**2 / c) ** -0.5)
    assert scenarios.uncertainty(matrix, names, Scenario(constrained=("r",))) == pytest.approx(
        (a - b**2 / (c + 1)) ** -0.5
    )


def test_more_freedom_never_narrows():
    matrix, names = scenarios.information(expectation()), ["", "r", "lambda", "background_rate"]
    values = [
        scenarios.uncertainty(matrix, names, scenario)
        for scenario in (
            Scenario(),
            Scenario(constrained=("r",)),
            Scenario(free=("r",)),
            Scenario(free=("r", "background_rate")),
        )
    ]
    assert values == sorted(values)


def test_a_parameter_without_effect_does_not_matter_and_an_undetermined_signal_is_nan():
    matrix, names = scenarios.information(expectation()), ["", "r", "lambda", "background_rate"]
    assert scenarios.uncertainty(matrix, names, Scenario(free=("lambda",))) == scenarios.uncertainty(
        matrix, names, Scenario()
    )
    one_bin = np.full((2, 2), 3.0)  # signal and a free rate in one bin
    assert math.isnan(scenarios.uncertainty(one_bin, ["", "rate"], Scenario(free=("rate",))))


def test_the_tables_have_medians_in_events_and_the_references():
    settings = analysis()
    runs = {
        Run("nominal", seed): {"all": histogram(NOMINAL | {("signal", "nominal"): SIGNAL * factor})}
        for seed, factor in ((1, 1.0), (2, 1.1), (3, 4.0))
    }
    found = scenarios.table(runs, dict.fromkeys(runs, DISPLACED), {}, settings)
    assert list(found.columns) == list(scenarios.COLUMNS)
    assert len(found) == 3 * 5
    events = found[found["seed"] == 1]
    assert events["sigma_events"].to_numpy() == pytest.approx(50 * events["sigma"].to_numpy())
    summary = scenarios.summary(found, [{"training": "Analytic likelihood", "seeds": 0, "b0": 14.7}], settings)
    assert list(summary.columns) == ["training", "b0", "b1", "b2", "b3", "b4", "seeds"]
    assert summary["training"].tolist() == ["nominal", "Analytic likelihood"]
    assert summary.loc[0, "b0"] == pytest.approx(found[found["scenario"] == "b0"]["sigma_events"].median())
    assert summary["seeds"].tolist() == [3, 0]


def test_a_scenario_that_determines_the_signal_in_no_training_is_no_number_in_the_table():
    """One bin, whose background floats without a prior."""
    settings = analysis(("scenarios", {"b0": {}, "floating": {"free": ["background_rate"]}}), ("published", None))
    axes = FILLED["all"].axes
    bins = hist.Hist(*axes[:2], hist.axis.Regular(1, 0, 1, name="score"), storage=hist.storage.Weight())
    bins.view()["value"] = [[[SIGNAL.sum()]], [[BACKGROUND.sum()]]]
    found = scenarios.summary(scenarios.table({Run("nominal", 1): {"all": bins}}, {}, {}, settings), [], settings)
    assert found.loc[0, "b0"] == pytest.approx(math.sqrt(1050.0) / 50.0)
    assert math.isnan(found.loc[0, "floating"])


def test_a_likelihood_of_single_events_has_its_own_information_with_normal_rates_as_published():
    settings = analysis()
    names, size = ["mu", "background_rate", "lambda", "r"], settings.parameters["background_rate"].size
    matrix = np.diag([4.0, 9.0, 25.0, 16.0]) + 0.5
    found = scenarios.of_events(
        {"information": {"names": names, "matrix": matrix.tolist()}}, ["", "r", "lambda", "background_rate"], settings
    )
    steep = size / math.log(1 + size)
    assert found.diagonal() == pytest.approx([4.5, 16.5, 25.5, 9.5 * steep**2])
    assert found[0, 3] == pytest.approx(0.5 * steep)
    run = Run("unbinned", 1)
    filled = {run: {"all": histogram(NOMINAL)}}
    table = scenarios.table(
        filled, {run: DISPLACED}, {run: {"information": {"names": names, "matrix": matrix.tolist()}}}, settings
    )
    assert table.loc[table["scenario"] == "b0", "sigma"].item() == pytest.approx(1 / math.sqrt(4.5))


def test_rates_of_two_sizes_and_the_luminosity_of_single_events_are_normal_ones_per_standard_deviation():
    settings = analysis(*TWO_REGIONS)
    parameters = ["mu", "r", "lambda_low", "lambda_high", "background_rate", "lumi"]
    fit = {"information": {"names": parameters, "matrix": np.eye(6).tolist()}}
    found = scenarios.of_events(fit, ["", *parameters[1:]], settings).diagonal()
    steep = 0.1 / math.log(1.1)
    # One with two sizes is its own slope already; the parameter of the luminosity is the factor, not its deviation.
    assert found == pytest.approx([1, 1, 1, 1, steep**2, 0.02**2])


def test_the_script_writes_both_tables(tmp_path, monkeypatch):
    import compute_scenarios

    monkeypatch.setattr(references, "BLOCKS", 1)

    paths = [tmp_path / "trainings" / "nominal" / "seed1" / name for name in ("templates.json", "displaced.json")]
    files.write_histograms(paths[0], FILLED)
    files.write_histograms(paths[1], DISPLACED)
    plain = analysis().model_dump(mode="json")
    compute_scenarios.compute_scenarios(
        paths[:1], paths[1:], [], tmp_path / "a.csv", tmp_path / "b.csv", settings=plain
    )
    published = pd.read_csv(tmp_path / "b.csv")
    assert published["training"].tolist()[:2] == ["nominal", "Analytic likelihood"]
    assert len(pd.read_csv(tmp_path / "a.csv")) == 5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scenarios.b1.free", ["tes"], "scenarios.b1.free: no variation 'tes'; allowed: r, lambda, background_rate"),
        ("scenarios.b1.free", ["lambd"], "scenarios.b1.free: no variation 'lambd'; did you mean 'lambda'?"),
        ("scenarios.b3.free", ["r"], "scenarios.b3: 'r' is there twice"),
        ("scenarios.seeds", {}, "scenarios.seeds: the name is that of a column of the table"),
        ("scenarios.b1.fre", ["r"], "scenarios.b1.fre: unknown key; did you mean 'free'?"),
        ("scenarios", {}, "published: there are no scenarios to compare with"),
        ("published.table", "nowhere.csv", "published.table: there is no file nowhere.csv"),
        ("variations.r.processes", None, "variations.r.processes: the shift 'r' is one of background only; write processes: [background]"),
        ("variations.r.shift", "rotation", "variations.r.shift: no shift 'rotation'; allowed: r, lambda"),
        ("trainings.optimal.density", "gaussian", "trainings.optimal.density: must be 'inferno', the data set of the analysis, not 'gaussian'"),
        ("trainings.optimal.density", None, "trainings.optimal.density: is required"),
        ("trainings.optimal.shifts", {"s": 1.0}, "trainings.optimal.shifts: no shift 's'; allowed: r, lambda"),
        ("features", ["x0", "x2"], "trainings.optimal: the densities are those of all columns; write features: [x0, x1, x2]"),
        ("samples.signal.process", "background", "processes.signal: no sample belongs to it"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_remedy(path, value, message):
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(INFERNO, (path, value)))
    assert f"config.yaml: {message}" in str(caught.value)


def test_the_optimal_classifier_needs_known_densities_and_the_signal_in_its_place():
    content = changed(shipped("config"), ("trainings.optimal", {"strategy": "optimal", "density": "ditau"}))
    with pytest.raises(ConfigurationError, match="the densities of 'ditau' are not known, only those of gaussian"):
        reading.check(content)
    content = changed(INFERNO, ("processes", {"signal": {}, "background": {"role": "signal"}}))
    with pytest.raises(ConfigurationError, match="the signal is processes.signal"):
        reading.check(content)
