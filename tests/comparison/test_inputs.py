"""Tests of what is said of features before any training: bands, agreement with data, separation."""

import hist
import numpy as np
import pytest
from analyses import FLAT, changed
from scipy import optimize, stats

from nuisflow.comparison import inputs
from nuisflow.settings.checks import reading
from nuisflow.slices import inputs as slices
from nuisflow.templates.histograms import DATA

AXES = {"signal": {"x": {"low": 0.0, "high": 4.0, "bins": 4, "whole": False, "constant": False, "undefined": False}}}
VARIATIONS = {
    "scale": {"kind": "shift", "columns": {"x": "x * (1 + 0.1 * z)"}},
    "rate": {"kind": "rate", "size": 0.2, "processes": ["b"]},
    "lumi": {"kind": "luminosity", "size": 0.1},
    "free": {"kind": "free_rate", "processes": ["b"]},
}
NOMINAL = {"s": np.array([1.0, 4.0, 3.0, 0.5]), "b": np.array([80.0, 60.0, 30.0, 20.0])}
UP = {"s": np.array([0.5, 3.0, 4.0, 1.0]), "b": np.array([70.0, 60.0, 35.0, 25.0])}
DOWN = {"s": np.array([2.0, 4.5, 2.0, 0.0]), "b": np.array([88.0, 61.0, 27.0, 15.0])}
SEEN = np.array([95.0, 52.0, 33.0, 31.0])


def configured(*changes):
    content = changed(FLAT, ("variations", VARIATIONS), *changes)
    content["samples"]["data"] = {"process": "data", "files": ["data.csv"]}
    return reading.check(content, "test")


def filled(contents):
    """Return the histograms of one sample: contents by variation, simulated with weights of 0.1."""
    names = hist.axis.StrCategory(list(contents), name="variation")
    made = hist.Hist(names, hist.axis.Regular(4, 0, 4, name="value"), storage=hist.storage.Weight())
    for row, values in enumerate(contents.values()):
        made.view(flow=True)["value"][row, 1:-1] = values
        made.view(flow=True)["variance"][row, 1:-1] = 0.1 * values
    return {"signal/x": made}


SAMPLES = {
    **{name: filled({"nominal": NOMINAL[name], "scale_up": UP[name], "scale_down": DOWN[name]}) for name in "sb"},
    "data": filled({"nominal": SEEN}),
}
SUMS = {
    name: {"signal": {"events": 10} | {key: [[1.0]] for key in ("weight", "first", "squares", "products")}}
    for name in ("s", "b", "data")
}


def compared(*changes):
    settings = configured(*changes)
    wanted = slices.samples(settings)
    found = {name: SAMPLES[name] for name in wanted}
    return inputs.compare(found, SUMS, AXES, slices.comparison(settings, "signal"))


UNBLINDED = ("fit", {"unblind": True})


def test_the_band_is_the_sum_of_all_variations_with_a_prior_and_the_simulation():
    (feature,) = compared()["features"]
    total = NOMINAL["s"] + NOMINAL["b"]
    up, down = UP["s"] + UP["b"] - total, DOWN["s"] + DOWN["b"] - total
    rate = (0.2 * NOMINAL["b"]) ** 2 + (NOMINAL["b"] / 1.2 - NOMINAL["b"]) ** 2
    expected = 0.1 * total + (up**2 + down**2) / 2 + rate / 2 + (0.1 * total) ** 2
    assert np.square(feature["error"]) == pytest.approx(expected)
    assert feature["total"] == pytest.approx(total)


def test_correlated_variations_add_their_product_to_the_band_and_to_the_yields():
    found = [compared(("correlations", [{"between": ["scale", "rate"], "coefficient": rho}])) for rho in (0.3, -0.5)]
    independent, total = compared(), NOMINAL["s"] + NOMINAL["b"]
    scale = np.array([UP["s"] + UP["b"] - total, DOWN["s"] + DOWN["b"] - total])
    rate = np.array([0.2 * NOMINAL["b"], NOMINAL["b"] / 1.2 - NOMINAL["b"]])
    for one, rho in zip(found, (0.3, -0.5), strict=True):
        bands = [np.square(row["features"][0]["error"]) for row in (one, independent)]
        assert bands[0] - bands[1] == pytest.approx(rho * (scale * rate).sum(axis=0))
        sums = [next(row for row in part["yields"] if row["kind"] == "total") for part in (one, independent)]
        change = rho * (scale.sum(axis=1) * rate.sum(axis=1)).sum()
        assert sums[0]["systematic"] ** 2 - sums[1]["systematic"] ** 2 == pytest.approx(change)


def test_decorrelated_variations_add_in_quadrature_and_others_linearly():
    def band(**options):
        one = {"scale": VARIATIONS["scale"] | options}
        (feature,) = compared(("variations", one))["features"]
        return np.square(feature["error"]) - np.square(feature["simulation"])

    moved = {name: ((UP[name] - NOMINAL[name]), (DOWN[name] - NOMINAL[name])) for name in "sb"}
    together = [(moved["s"][side] + moved["b"][side]) ** 2 for side in (0, 1)]
    apart = [moved["s"][side] ** 2 + moved["b"][side] ** 2 for side in (0, 1)]
    assert band() == pytest.approx(sum(together) / 2)
    assert band(decorrelate=["process"]) == pytest.approx(sum(apart) / 2)


def test_the_chi_squared_without_variations_is_pearsons_with_the_simulation():
    (feature,) = compared(UNBLINDED)["features"]
    total = NOMINAL["s"] + NOMINAL["b"]
    expected = np.sum((SEEN - total) ** 2 / (1.1 * total))
    assert feature["without"]["chi2"] == pytest.approx(expected)
    assert feature["without"]["p_value"] == pytest.approx(stats.chi2.sf(expected, 4))


def test_the_chi_squared_with_variations_is_the_least_over_all_nuisance_parameters():
    """The covariance form is the minimum over one parameter per side and variation; free rates have no prior."""
    (feature,) = compared(UNBLINDED)["features"]
    total = NOMINAL["s"] + NOMINAL["b"]
    up, down = UP["s"] + UP["b"] - total, DOWN["s"] + DOWN["b"] - total
    sides = [up, down, 0.2 * NOMINAL["b"], NOMINAL["b"] / 1.2 - NOMINAL["b"], 0.1 * total, 0.1 * total]

    def objective(parameters):
        *constrained, free = parameters
        model = total + sum(z * side for z, side in zip(constrained, sides, strict=True)) / np.sqrt(2)
        model = model + free * NOMINAL["b"]
        return np.sum((SEEN - model) ** 2 / (1.1 * total)) + np.sum(np.square(constrained))

    best = optimize.minimize(objective, np.zeros(7), method="BFGS", options={"gtol": 1e-9})
    assert feature["with"]["chi2"] == pytest.approx(best.fun, rel=1e-6)
    assert feature["with"]["ndof"] == 3


def test_the_p_value_is_uniform_where_the_model_is_right():
    rng = np.random.default_rng(5)
    total = np.array([40.0, 60.0, 30.0, 25.0, 50.0])
    change = np.array([6.0, 2.0, -3.0, 4.0, 1.0])
    covariance = np.outer(change, change)
    values = [
        inputs.agreement(rng.poisson(np.maximum(total + rng.normal() * change, 0)), total, covariance).p_value
        for _ in range(3000)
    ]
    assert stats.kstest(values, "uniform").statistic < 0.05


def test_bins_with_few_expected_events_join_their_neighbours():
    joined = inputs.join(np.array([2.0, 2.0, 2.0, 9.0, 1.0]))
    assert joined.tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert inputs.join(np.array([1.0, 2.0])) is None


def test_separation_is_0_for_equal_shapes_and_1_without_overlap():
    assert inputs.separation(np.array([1.0, 3.0]), np.array([10.0, 30.0])) == pytest.approx(0)
    assert inputs.separation(np.array([1.0, 0.0]), np.array([0.0, 5.0])) == pytest.approx(1)
    assert inputs.separation(np.zeros(2), np.ones(2)) is None


@pytest.mark.parametrize(
    ("changes", "shown"),
    [((), False), ((UNBLINDED,), True), ((("regions.signal", {"control": True}),), True)],
    ids=["blinded", "unblinded", "control region"],
)
def test_data_are_shown_where_they_are_unblinded_or_in_control_regions_only(changes, shown):
    settings, found = configured(*changes), compared(*changes)
    assert found["shown"] == shown
    assert ("data" in slices.samples(settings)) == shown
    assert (slices.filling(settings, "data").shown == ("signal",)) == shown
    assert any(row["kind"] == DATA for row in found["yields"]) == shown
    assert (found["features"][0]["data"] is not None) == shown


def test_yields_add_up_with_errors_of_simulation_and_variations():
    rows = {row["kind"] + row["process"] + row["sample"]: row for row in compared(UNBLINDED)["yields"]}
    assert rows["total"]["expected"] == pytest.approx(198.5)
    assert rows["processb"]["expected"] == pytest.approx(rows["samplebb"]["expected"]) == pytest.approx(190)
    assert rows["samplebb"]["simulation"] == pytest.approx(np.sqrt(19))
    assert rows["samplebb"]["effective"] == pytest.approx(1900)
    assert rows["datadata"]["expected"] == SEEN.sum()
    both = [(UP["b"] - NOMINAL["b"]).sum(), (DOWN["b"] - NOMINAL["b"]).sum(), 38, 190 / 1.2 - 190, 19, -19]
    assert rows["processb"]["systematic"] == pytest.approx(np.sqrt(np.sum(np.square(both)) / 2))
