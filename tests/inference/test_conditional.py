"""Fits over hypothesised z: equal to an ordinary fit where they must be, and to exact results where data move with z."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from nuisflow.inference.conditional.likelihood import GridLikelihood, flagged
from nuisflow.inference.conditional.measurements import SHARPER, measure
from nuisflow.inference.conditional.model import EDGE, GridModel
from nuisflow.inference.conditional.splines import AT_LOWER
from nuisflow.likelihood import fits, limits, measurements
from nuisflow.likelihood.model import Model

BINS = 5
SIGNAL = np.array([2.0, 4.0, 8.0, 16.0, 20.0])
BACKGROUND = np.array([400.0, 250.0, 120.0, 60.0, 20.0])
CHANGE = np.array([-12.0, -3.0, 4.0, 5.0, 3.0])
Z = np.linspace(-3, 3, 13)
GROUPS = {"energy": ("shift",), "rates": ("rate",)}
EDGES = {"r": np.linspace(0, 1, BINS + 1)}


def workspace(background, *, varied=None, signal=SIGNAL, errors=0.0, bounds=(-10.0, 10.0)):
    """Return one channel with mu and a rate of the background; *varied*: its change at z = 1, as a histosys."""
    modifiers = [{"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}]
    if varied is not None:
        data = {"hi_data": (background + varied).tolist(), "lo_data": (background - varied).tolist()}
        modifiers.append({"name": "shift", "type": "histosys", "data": data})
    if errors:
        modifiers.append({"name": "staterror_r", "type": "staterror", "data": (errors * background).tolist()})
    poi = {"name": "mu", "type": "normfactor", "data": None}
    samples = [
        {"name": "background", "data": background.tolist(), "modifiers": modifiers},
        {"name": "signal", "data": list(signal), "modifiers": [poi]},
    ]
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [list(bounds)]}]}
    return {
        "channels": [{"name": "r", "samples": samples}],
        "observations": [{"name": "r", "data": (background + signal).tolist()}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def ordinary(**options):
    return Model(workspace(BACKGROUND, varied=CHANGE, **options))


def grid(z=Z, **options):
    return GridLikelihood([Model(workspace(BACKGROUND + value * CHANGE, **options)) for value in z], z, "shift")


def measured(model, data, background, groups, edges=EDGES):
    return measure(model, data, model.best(data), groups, edges=edges, background=background, observed=False)


def the_same_at_all_z(model, main):
    return model.data(np.repeat(np.asarray(main, dtype=float)[..., None, :], len(model.z), axis=-2))


@pytest.fixture(scope="module")
def pair():
    errors = 0.04
    return ordinary(errors=errors), grid(errors=errors)


@pytest.fixture(scope="module")
def observed(pair):
    rates = pair[0].expected({"mu": 1.4, "shift": 0.6})
    return np.random.default_rng(4).poisson(rates).astype(float)


def test_it_equals_an_ordinary_fit_where_the_observable_does_not_depend_on_z(pair, observed):
    one, model = pair
    expected, best = fits.fit(one, observed), model.best(the_same_at_all_z(model, observed))
    for number, name in enumerate(model.names):
        where = expected.names.index(name)
        assert best.values[number] == pytest.approx(expected.values[where], abs=2e-3 * expected.errors[where])
        assert best.errors[number] == pytest.approx(expected.errors[where], rel=5e-3)
    a, b = expected.names.index("mu"), expected.names.index("shift")
    correlation = fits.correlations(best)[model.names.index("mu"), -1]
    assert correlation == pytest.approx(fits.correlations(expected)[a, b], abs=5e-3)


def test_its_intervals_equal_those_of_an_ordinary_fit(pair, observed):
    one, model = pair
    data = the_same_at_all_z(model, observed)
    found, expected = model.ends(data, model.fit(data), tolerance=1e-8), fits.interval(one, observed)
    assert found.flags[0] == 0
    assert [found.low[0], found.high[0]] == pytest.approx([expected.low, expected.high], abs=2e-3 * expected.error)


def test_everything_measured_equals_that_of_an_ordinary_fit(pair, observed):
    one, model = pair
    groups = {"energy": ("shift",), "rates": ("rate",)}
    data = the_same_at_all_z(model, one.expected())
    expected = measurements.measure(one, "asimov", groups, EDGES)
    background = the_same_at_all_z(model, one.expected({"mu": 0.0}))
    found = measured(model, data, background, groups)
    assert found.keys() == expected.keys()
    assert found["breakdown"].keys() == expected["breakdown"].keys()
    for name, size in expected["breakdown"].items():
        assert found["breakdown"][name] == pytest.approx(size, rel=5e-3), name
        if expected["breakdown_observable"][name] is not None:
            # The ordinary one splits to first order in the fluctuations of the data.
            assert found["breakdown_observable"][name] == pytest.approx(
                expected["breakdown_observable"][name], rel=0.03
            )
    for name in ("sigma", "sigma_up", "sigma_down", "sigma_hessian", "sigma_stat", "sigma_syst", "sigma_mcstat"):
        assert found[name] == pytest.approx(expected[name], rel=5e-3), name
    assert found["limits"]["expected"] == pytest.approx(expected["limits"]["expected"], rel=5e-3)
    assert found["significance"]["sigmas"] == pytest.approx(expected["significance"]["sigmas"], rel=5e-3)
    for stage in ("prefit", "postfit"):
        for name in ("total", "error"):
            shown = found["yields"][stage]["r"]
            assert shown[name] == pytest.approx(expected["yields"][stage]["r"][name], rel=0.01), (stage, name)
        for name, events in expected["yields"][stage]["r"]["sums"].items():
            assert shown["sums"][name] == pytest.approx(events, rel=0.01), (stage, name)


def test_observed_limits_and_goodness_of_fit_equal_those_of_an_ordinary_fit(observed):
    one, model = ordinary(errors=0.04), grid(np.linspace(-5, 5, 21), errors=0.04)
    null = fits.fit(one, observed, fixed={"mu": 0.0})
    expected = one.asimov(null.values)[one.bins :][[one.names[i] != "shift" for i in one.constrained]]
    shift = null.values[one.index("shift")]
    background = the_same_at_all_z(model, one.expected(null.values))
    background = background._replace(auxiliary=background.auxiliary * 0 + expected, centre=np.array([shift]))
    data, known = the_same_at_all_z(model, observed), limits.limits(one, observed)
    found = limits.upper_limits(model, data, background)
    assert (found.observed, *found.expected) == pytest.approx((known.observed, *known.expected), rel=5e-3)
    ours, theirs = limits.goodness_of_fit(model, data), limits.goodness_of_fit(one, observed)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=0.02)
    assert ours.degrees == theirs.degrees


def test_the_parts_of_the_uncertainty_add_up_in_quadrature(pair):
    _, model = pair
    background = the_same_at_all_z(model, BACKGROUND)
    found = measured(model, the_same_at_all_z(model, SIGNAL + BACKGROUND), background, GROUPS)
    parts = [found[f"sigma_{name}"] for name in ("stat", "syst", "mcstat")]
    assert math.hypot(*parts) == pytest.approx(found["sigma"], rel=1e-9)


def test_impacts_and_scan_equal_those_of_an_ordinary_fit(pair):
    one, model = pair
    data = the_same_at_all_z(model, one.expected())
    expected = {row["parameter"]: row for row in measurements.impact_rows(one, one.asimov(), "asimov")}
    found = {row["parameter"]: row for row in measurements.impact_rows(model, data, "asimov")}
    assert found.keys() == expected.keys()
    sigma = fits.fit(one, one.asimov()).errors[one.index("mu")]
    for parameter, row in found.items():
        assert row.keys() == expected[parameter].keys()
        for name in ("impact_up", "impact_down", "prefit_up", "prefit_down", "observable_up", "observable_down"):
            assert row[name] == pytest.approx(expected[parameter][name], abs=5e-3 * sigma), (parameter, name)
    ours, theirs = measurements.scan_rows(model, data, "asimov"), measurements.scan_rows(one, one.asimov(), "asimov")
    assert [row["delta"] for row in ours] == pytest.approx([row["delta"] for row in theirs], abs=0.05)


def test_many_data_sets_are_fitted_as_one_by_one(pair):
    one, model = pair
    sets = np.random.default_rng(1).poisson(one.expected(), (5, BINS)).astype(float)
    together = model.fit(the_same_at_all_z(model, sets))
    ends = model.ends(the_same_at_all_z(model, sets), together)
    for number, row in enumerate(sets):
        alone = model.fit(the_same_at_all_z(model, row))
        assert alone.values[0] == pytest.approx(together.values[number], abs=1e-8)
        low = model.ends(the_same_at_all_z(model, row), alone).low[0]
        assert low == pytest.approx(ends.low[number], abs=1e-6)


def test_quick_fits_are_right_to_a_percent_of_the_uncertainty(pair):
    one, model = pair
    sets = np.random.default_rng(2).poisson(one.expected(), (50, BINS)).astype(float)
    data = the_same_at_all_z(model, sets)
    quick, good = model.fit(data, quick=True), model.fit(data)
    assert np.abs((quick.values - good.values)[:, model.index] / good.error).max() < 0.02


# --- data that move with z: the Gaussian benchmark with exact templates ------------------------------------------------

ANGLE, PRIOR, DEVIATION = math.pi / 4, 0.5, 0.7
DISPLACED = np.array([-2, -1.5, -1, -0.5, 0, 0.5, math.pi / 4, 1, math.pi / 2, 2, 2.5])


def gaussian_edges(rule):
    """Return 9 cuts on u = x cos a + y sin a: uniform in the score, or quantiles of the mixture."""
    if rule == "uniform":
        score = np.linspace(0, 1, 11)[1:-1]
        return np.log(score / (1 - score)) * DEVIATION**2 / 2
    u = np.linspace(-5, 5, 100_001)
    shares = 0.5 * (norm.cdf((u - 1) / DEVIATION) + norm.cdf((u + 1) / DEVIATION))
    return np.interp(np.arange(1, 10) / 10, shares, u)


def gaussian_templates(rule, angle):
    """Return expected signal and background when the classifier is *angle* (radians) away from the truth."""
    cuts = np.concatenate([[-np.inf], gaussian_edges(rule), [np.inf]])
    side = math.cos(angle)
    return [
        total * np.diff(norm.cdf((cuts - sign * side) / DEVIATION)) for total, sign in ((500.0, 1.0), (50_000.0, -1.0))
    ]


def gaussian(rule, z=DISPLACED):
    signal, background = gaussian_templates(rule, 0.0)
    case = workspace(background, signal=signal.tolist())
    case["channels"][0]["samples"][0]["modifiers"] = []
    return GridModel([Model(case) for _ in z], z)


def gaussian_data(rule, truth, z=DISPLACED):
    return np.array([np.sum(gaussian_templates(rule, PRIOR * (truth - value)), axis=0) for value in z])


def width(model, main):
    data = model.data(main)
    best = model.fit(data)
    ends = model.ends(data, best, tolerance=1e-7)
    return float(best.values[0, 0]), float(ends.high[0] - ends.low[0]) / 2, float(best.values[0, -1])


@pytest.mark.parametrize("truth", [0.0, math.pi / 4, math.pi / 2])
@pytest.mark.parametrize(("rule", "published"), [("uniform", 0.0867), ("quantile", 0.0685)])
def test_the_uncertainty_aware_classifier_has_the_published_width_and_no_bias(rule, published, truth):
    mu, sigma, z = width(gaussian(rule), gaussian_data(rule, truth))
    assert sigma == pytest.approx(published, rel=0.01)
    assert mu == pytest.approx(1.0, abs=0.02 * sigma)
    assert z == pytest.approx(truth, abs=0.01)


def test_the_spacing_of_the_grid_matters_little():
    fine = np.linspace(-2.5, 2.5, 61)
    coarse = np.linspace(-2, 2.5, 10)
    one = width(gaussian("quantile", fine), gaussian_data("quantile", math.pi / 4, fine))
    other = width(gaussian("quantile", coarse), gaussian_data("quantile", math.pi / 4, coarse))
    assert other[0] == pytest.approx(one[0], abs=0.02 * one[1])
    assert other[1] == pytest.approx(one[1], rel=0.01)


def sharpening():
    """Return a model whose observable is sharper at larger z, and its expected data at the true z = 0."""

    def shares(at, truth):
        upper = 0.5 + 0.05 * at + 0.1 * truth
        return np.array([1 - upper, upper])

    z = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    spaces = []
    for value in z:
        space = workspace(1000 * shares(value, value), signal=[5.0, 20.0])
        spaces.append(Model(space))
    model = GridLikelihood(spaces, z, "shift")
    return model, model.data(np.array([1000 * shares(value, 0.0) + [5.0, 20.0] for value in z]))


def test_without_the_terms_of_the_data_the_fit_goes_where_the_observable_is_sharper_and_says_so():
    model, data = sharpening()
    found = measured(model, data, data, {"energy": ("shift",)}, {"r": [0, 1, 2]})
    assert abs(model.fit(data).values[0, -1]) > SHARPER
    assert "rebinned" in found["message"]


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_best_z_beyond_the_grid_is_flagged_with_the_remedy():
    z = np.array([-0.4, -0.2, 0.0, 0.2])
    model = grid(z)
    data = the_same_at_all_z(model, BACKGROUND + 2.5 * CHANGE + SIGNAL)
    best = model.fit(data)
    assert best.flags[0] & EDGE
    assert "toys.displacements" in flagged(model, int(best.flags[0]))


def test_an_end_of_the_interval_at_a_bound_of_mu_is_flagged():
    z = np.array([-2.0, 0.0, 2.0])
    model = grid(z, bounds=(0.9, 10.0))
    data = the_same_at_all_z(model, BACKGROUND + SIGNAL)
    ends = model.ends(data, model.fit(data))
    assert ends.flags[0] == AT_LOWER
    assert ends.low[0] == pytest.approx(0.9)


def test_a_grid_needs_increasing_z_and_the_same_parameters_everywhere():
    models = [Model(workspace(BACKGROUND)) for _ in Z]
    with pytest.raises(ValueError, match="increasing"):
        GridModel(models, Z[::-1])
    with pytest.raises(ValueError, match="3 or more"):
        GridModel(models[:2], Z[:2])
    with pytest.raises(ValueError, match="differ in shift"):
        GridModel([*models[:-1], ordinary()], Z)


def test_data_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="13 z, 5 bins"):
        grid().data(np.ones((13, 4)))
