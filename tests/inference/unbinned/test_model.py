"""The likelihood of single events against one written down by hand, where densities are known."""

import math

import numpy as np
import pyhf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iminuit import Minuit
from known_densities import BACKGROUND, SIGNAL, SIZE, TILT, densities_of, described, simulated
from scipy import stats

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import limits, measurements, uncertainties
from nuisflow.likelihood.kernels import density_fits


def by_hand(x, centre):
    """Return -2 ln L of mu, shift and rate, written down from the definition, up to a constant."""

    def twice_nll(mu, shift, rate):
        background = BACKGROUND * 1.1**rate * (1 + TILT) ** shift
        density = mu * SIGNAL * stats.norm(1, 0.5).pdf(x) + background * stats.norm(SIZE * shift, 2).pdf(x)
        if not (density > 0).all():
            return 1e12
        pulls = (shift - centre[1]) ** 2 + (rate - centre[2]) ** 2
        return 2 * (mu * SIGNAL + background) - 2 * np.log(density).sum() + pulls

    return twice_nll


def sample(seed, mu=1.0, shift=0.0):
    """Return events of one experiment."""
    random = np.random.default_rng(seed)
    numbers = random.poisson([mu * SIGNAL, BACKGROUND * (1 + TILT) ** shift])
    return np.concatenate([random.normal(1, 0.5, numbers[0]), random.normal(SIZE * shift, 2, numbers[1])]), random


def data_of(model, x, centre=None, seed=0):
    fold = np.random.default_rng(seed).integers(0, 2, len(x))
    return model.data(np.ones(len(x)), densities_of(x), fold, None if centre is None else np.asarray(centre))


RHO = 0.6
BLOCK = {"parameters": ["shift", "rate"], "correlation": [[1.0, RHO], [RHO, 1.0]]}


def correlated_by_hand(x, centre):
    """Return the same with correlated constraints: a Gaussian of two dimensions in place of the pulls."""

    def twice_nll(mu, shift, rate):
        pulls = np.array([shift - centre[1], rate - centre[2]])
        both = pulls @ np.linalg.inv(BLOCK["correlation"]) @ pulls
        return by_hand(x, centre)(mu, shift, rate) - pulls @ pulls + both

    return twice_nll


def oracle(x, centre, likelihood=by_hand):
    """Return the minimum that Minuit finds, and its interval of mu by MINOS."""
    found = Minuit(likelihood(x, centre), mu=1.0, shift=0.0, rate=0.0)
    found.errordef = 1.0
    found.tol = 1e-4
    found.strategy = 2
    found.migrad()
    found.minos("mu")
    assert found.valid
    return found


@pytest.mark.parametrize("seed", range(5))
def test_fit_and_interval_are_those_of_the_likelihood_written_down_by_hand(seed):
    x, random = sample(seed, shift=0.5)
    centre = [0.0, *random.standard_normal(2)]
    model = UnbinnedModel(described())
    data, known = data_of(model, x, centre), oracle(x, centre)
    best = model.fit(data)
    assert best.converged
    assert best.values == pytest.approx(np.array(known.values), abs=2e-4)
    assert best.errors == pytest.approx(np.array(known.errors), rel=2e-2)  # MIGRAD's own covariance is approximate
    found = model.interval(data, best, "mu")
    assert not found.message
    assert (found.low, found.high) == pytest.approx(
        (known.values["mu"] + known.merrors["mu"].lower, known.values["mu"] + known.merrors["mu"].upper), abs=1e-3
    )


def test_correlated_constraints_are_a_gaussian_of_several_dimensions():
    x, random = sample(3, shift=0.5)
    centre = [0.0, *random.standard_normal(2)]
    model, by_numpy = UnbinnedModel(described(correlations=[BLOCK])), correlated_by_hand(x, centre)
    data = data_of(model, x, centre)
    reference = model.twice_nll(data, np.array([1.0, 0.0, 0.0]))[0] - by_numpy(1.0, 0.0, 0.0)
    for point in random.uniform([0, -2, -2], [3, 2, 2], (20, 3)):
        assert model.twice_nll(data, point)[0] - reference == pytest.approx(by_numpy(*point), abs=1e-7)
    known = oracle(x, centre, correlated_by_hand)
    found = model.interval(data, model.fit(data), "mu")
    assert (found.value, found.low, found.high) == pytest.approx(
        known.values["mu"] + np.array([0.0, known.merrors["mu"].lower, known.merrors["mu"].upper]), abs=1e-3
    )


def test_auxiliary_measurements_fluctuate_together_and_shift_along_the_root_of_their_covariance():
    model = UnbinnedModel(described(correlations=[BLOCK]))
    thrown = experiments.throw(model, simulated(1, 500), np.array([1.0, 0.5, 0.0]), 4000, "test", seed=1)
    centres = np.array([data.centre for data in thrown])
    assert centres.mean(axis=0) == pytest.approx([0.0, 0.5, 0.0], abs=0.05)
    assert np.cov(centres[:, 1:].T) == pytest.approx(np.array(BLOCK["correlation"]), abs=0.06)
    x, _ = sample(1)
    moves = model.shifted(data_of(model, x), 1.0)[1].centre[:, 1:]
    assert moves.T @ moves == pytest.approx(np.array(BLOCK["correlation"]))


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.5, 4), st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 2**32 - 1))
def test_differences_of_the_likelihood_are_those_of_the_one_by_hand_at_any_point(mu, shift, rate, seed):
    x, _ = sample(seed % 1000)
    model, known = UnbinnedModel(described()), by_hand(x, [0.0, 0.3, -0.2])
    data = data_of(model, x, [0.0, 0.3, -0.2])
    here, there = (model.twice_nll(data, np.array(point))[0] for point in ((mu, shift, rate), (1.0, 0.0, 0.0)))
    expected = known(mu, shift, rate)
    if expected > 1e11:
        assert here == math.inf
    else:
        assert here - there == pytest.approx(expected - known(1.0, 0.0, 0.0), abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_gradient_and_hessian_are_the_derivatives(seed):
    random = np.random.default_rng(seed)
    model = UnbinnedModel(many(random))
    data = of_many(model, random)
    point = model.inits + np.where(model.constrained, 0.3 * random.standard_normal(len(model.names)), 0.2)
    point = np.clip(point, model.structure.lower, model.structure.upper)
    _, gradient, hessian = model.twice_nll(data, point)
    for index in range(len(point)):
        step = np.zeros(len(point))
        step[index] = 1e-5
        (up, slope_up, _), (down, slope_down, _) = (model.twice_nll(data, point + sign * step) for sign in (1, -1))
        assert gradient[index] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-4)
        assert hessian[index] == pytest.approx((slope_up - slope_down) / 2e-5, rel=1e-5, abs=1e-3)


def many(random):
    """Return the description of three processes with all kinds of parameters and random polynomials."""
    parameter = {"lower": -3.0, "upper": 3.0, "width": 1.0, "init": 0.0}
    powers = [[1, 0], [0, 1], [2, 0], [0, 2], [1, 1], [2, 1], [3, 0]]
    return described(
        processes=["one", "signal", "two"],
        parameters=[
            {"name": "mu", "kind": "signal", "init": 1.0, "lower": -5.0, "upper": 10.0, "width": 0.0},
            {"name": "free", "kind": "free", "init": 1.0, "lower": 0.0, "upper": 10.0, "width": 0.0},
            {"name": "lumi", "kind": "luminosity", "init": 1.0, "lower": 0.5, "upper": 1.5, "width": 0.05},
            parameter | {"name": "a", "kind": "learned"},
            parameter | {"name": "b", "kind": "learned"},
            parameter | {"name": "rate", "kind": "rate"},
        ],
        linear={"mu": ["signal"], "free": ["two"], "lumi": ["one", "signal"]},
        rates={"rate": {"processes": ["one", "two"], "up": 1.2, "down": 0.9}},
        yields={"one": 100.0, "signal": 20.0, "two": 30.0},
        learned=["a", "b"],
        powers=powers,
        yield_terms=(0.05 * random.standard_normal((3, len(powers)))).tolist(),
        norms=(0.05 * random.standard_normal((2, 3, len(powers)))).tolist(),
        monomials=[[1, 0], [2, 0], [1, 1], [0, 1], [0, 2]],
        owners=["one", "one", "one", "two", "two"],
    )


def of_many(model, random, size=700):
    values = np.concatenate([-random.exponential(1.0, (size, 3)), 0.3 * random.standard_normal((size, 5))], axis=1)
    weight = random.uniform(0.1, 2, size)
    return model.data(weight, values, random.integers(0, 2, size), np.array([0, 0, 1.02, 0.1, -0.2, 0.5]))


def with_bins():
    """Return the description with a region of two bins besides, in which the background grows by exp(0.2 z)."""
    norms = [[0.2, 0.0], [0.0, 0.0]]
    shares = [[0.25, 0.5], [0.75, 0.5]]
    region = {"region": "control", "yields": {"background": 80.0, "signal": 4.0}, "shares": shares}
    return described(binned=[region | {"slopes": [[0.2, 0.0], [0.2, 0.0]], "norms": norms}])


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 4), st.floats(-2, 2), st.floats(-2, 2), st.integers(0, 1000))
def test_a_region_with_bins_adds_its_poisson_terms(mu, shift, rate, seed):
    x, random = sample(seed)
    fold, counts = random.integers(0, 2, len(x)), np.array([23.0, 58.0])
    plain, model = UnbinnedModel(described()), UnbinnedModel(with_bins())
    one = plain.data(np.ones(len(x)), densities_of(x), fold)
    two = model.data(np.ones(len(x)), densities_of(x), fold, counts=counts)

    def poisson(mu, shift, rate):
        background = np.array([20.0, 60.0]) * 1.1**rate * math.exp(0.2 * shift)
        expected = mu * np.array([2.0, 2.0]) + background
        return float(2 * (expected - counts * np.log(expected)).sum())

    here, there = np.array([mu, shift, rate]), np.array([1.0, 0.0, 0.0])
    found = [model.twice_nll(two, point)[0] - plain.twice_nll(one, point)[0] for point in (here, there)]
    assert found[0] - found[1] == pytest.approx(poisson(*here) - poisson(*there), abs=1e-7)


def test_expected_and_thrown_counts_in_bins_are_those_of_the_events_bins():
    model = UnbinnedModel(with_bins())
    events = simulated()._replace(bins=np.array([[20.0, 2.0], [60.0, 2.0]]))
    truth = np.array([2.0, 1.0, 0.0])
    data = experiments.asimov(model, events, truth)
    grown = 1.221402758
    assert data.weight[-2:] == pytest.approx([20 * grown + 4, 60 * grown + 4])
    assert model.fit(experiments.asimov(model, events)).values == pytest.approx([1, 0, 0], abs=0.05)
    counts = [one.weight[-2:] for one in experiments.throw(model, events, model.inits, 400, "bins", seed=8)]
    assert np.mean(counts, axis=0) == pytest.approx([22, 62], abs=4 * math.sqrt(62 / 400))


def test_a_parameter_at_a_bound_is_said_and_has_no_error():
    x, _ = sample(3)
    model = UnbinnedModel(described())
    model.structure.upper[0] = 0.2
    best = model.fit(data_of(model, x))
    assert best.values[0] == pytest.approx(0.2)
    assert "at a bound: mu" in best.message
    assert math.isnan(best.errors[0])


def test_a_held_parameter_stays_where_it_is():
    x, _ = sample(3)
    model = UnbinnedModel(described())
    held = np.array([False, True, False])
    best = model.fit(data_of(model, x), np.array([1.0, 0.7, 0.0]), held)
    known = oracle_at(x, 0.7)
    assert best.values == pytest.approx([known.values["mu"], 0.7, known.values["rate"]], abs=1e-3)
    assert best.errors[1] == 0


def oracle_at(x, shift):
    found = Minuit(by_hand(x, [0.0, 0.0, 0.0]), mu=1.0, shift=shift, rate=0.0)
    found.errordef, found.tol = 1.0, 1e-4
    found.fixed["shift"] = True
    found.migrad()
    return found


def test_expected_data_fit_at_the_truth_and_their_width_is_that_of_pseudo_experiments():
    model, events = UnbinnedModel(described()), simulated()
    best = model.best(experiments.asimov(model, events))
    assert best.values == pytest.approx([1, 0, 0], abs=0.05)  # 60,000 simulated events
    values = []
    for data in experiments.throw(model, events, model.inits, 600, "width", seed=5):
        values.append(model.fit(data).values[0])
    assert np.mean(values) == pytest.approx(1, abs=4 * best.errors[0] / math.sqrt(600))
    assert np.std(values) == pytest.approx(best.errors[0], rel=4 / math.sqrt(2 * 600))


def test_intervals_of_pseudo_experiments_cover():
    model, events = UnbinnedModel(described()), simulated(2)
    inside = []
    for data in experiments.throw(model, events, model.inits, 1000, "coverage", seed=6):
        _, _, low, high, _, end, flag = density_fits.experiment(
            model.structure, data, model.inits, np.zeros(3, dtype=np.bool_), 0, 1e-3
        )
        assert (end, flag) == (0, 0)
        inside.append(low <= 1 <= high)
    assert np.mean(inside) == pytest.approx(0.683, abs=4 * math.sqrt(0.683 * 0.317 / 1000))


def test_reweighted_nominal_events_are_those_at_another_truth():
    model, events, truth = UnbinnedModel(described()), simulated(3), np.array([2.0, 1.0, -1.0])
    factors = model.responses(truth, events.process, events.fold, events.values)
    background = events.process == 0
    x = events.values[background, 2] * 4 / SIZE
    weight = (events.weight * factors)[background]
    expected = BACKGROUND * (1 + TILT) / 1.1
    assert weight.sum() == pytest.approx(expected, rel=0.01)
    assert np.average(x, weights=weight) == pytest.approx(SIZE, abs=0.05)
    assert (events.weight * factors)[~background].sum() == pytest.approx(2 * SIGNAL)
    assert model.expected(truth) == pytest.approx([expected, 2 * SIGNAL])


def test_upper_limits_are_those_of_the_profile_by_hand():
    """The median limit is where the root of q of data without signal is 1.96, by asymptotic CLs."""
    model, events = UnbinnedModel(described()), simulated(4)
    background = experiments.asimov(model, events, np.array([0.0, 0.0, 0.0]))
    found = limits.upper_limits(model, background, background)
    assert not found.problems
    median = found.expected[2]
    rise = model.best(background, {"mu": median}).twice_nll - model.best(background).twice_nll
    assert math.sqrt(rise) == pytest.approx(1.959964, abs=1e-3)
    assert list(found.expected) == sorted(found.expected)


def test_breakdown_freezes_groups_and_impacts_follow_the_covariance():
    model, events = UnbinnedModel(described()), simulated(5)
    data = experiments.asimov(model, events)
    best, groups = model.best(data), {"shape": ["shift"], "yield": ["rate"]}
    sizes = {row.group: row.frozen for row in uncertainties.breakdown(model, data, groups=groups).sources}
    frozen = model.fit(data, best.values, np.array([False, True, False]))
    total, without = best.errors[0], frozen.errors[0]
    assert sizes["shape"] == pytest.approx(math.sqrt(total**2 - without**2), rel=0.05)
    rows = {row["parameter"]: row for row in measurements.impact_rows(model, data, "asimov")}
    for index, name in ((1, "shift"), (2, "rate")):
        slope = best.covariance[0, index]
        assert rows[name]["observable_up"] == pytest.approx(slope, rel=0.1, abs=2e-3)
        assert rows[name]["impact_up"] == pytest.approx(slope / best.errors[index], rel=0.1, abs=2e-3)


@pytest.mark.parametrize("value", [-2.0, -1.0, -0.6, 0.0, 0.3, 1.0, 1.7])
def test_rates_are_interpolated_as_in_workspaces(value):
    """Code 4 of pyhf, so that the same rate means the same in all trainings, and is smooth at 0."""
    rate = {"processes": ["background"], "up": 1.3, "down": 0.9}
    model, x = UnbinnedModel(described(rates={"rate": rate})), np.array([[0.9, 1.0, 1.3]]).reshape(1, 1, 3, 1)
    known = float(pyhf.interpolators.code4(x)(np.array([[value]]))[0][0][0][0])
    assert model.rates(np.array([1.0, 0.0, value])) == pytest.approx([known, 1.0])


@pytest.mark.parametrize("value", [-1.4, -0.5, 0.0, 0.4, 1.2])
def test_derivatives_by_an_asymmetric_rate_are_those_of_differences(value):
    rate = {"processes": ["background", "signal"], "up": 1.3, "down": 0.9}
    model = UnbinnedModel(described(rates={"rate": rate}))
    data, place, step = data_of(model, sample(4)[0]), np.array([1.2, 0.3, value]), 1e-4
    _, gradient, hessian = model.twice_nll(data, place)
    for k in range(3):
        ends = [model.twice_nll(data, place + sign * step * np.eye(3)[k]) for sign in (1, -1)]
        assert gradient[k] == pytest.approx((ends[0][0] - ends[1][0]) / (2 * step), abs=1e-4)
        assert hessian[k] == pytest.approx((ends[0][1] - ends[1][1]) / (2 * step), abs=1e-4)


def test_no_fit_stops_where_a_rate_is_at_nominal():
    """A power of two bases has a kink at 0, between whose sides a fit never ends."""
    rate = {"processes": ["background"], "up": 1.5, "down": 0.9}
    model = UnbinnedModel(described(rates={"rate": rate}))
    for centre in np.linspace(-1, 1, 41):
        best = model.best(data_of(model, sample(8)[0], [0.0, 0.0, centre]))
        assert best.converged, centre


def test_pseudo_experiments_have_as_many_events_of_every_process_as_weights_of_both_signs_expect():
    model, events = UnbinnedModel(described()), simulated()
    weight = events.weight * np.where((events.process == 0) & (np.arange(len(events.weight)) % 5 == 0), -1, 1)
    weight[events.process == 0] /= 0.6  # four fifths minus one fifth
    signed = events._replace(weight=weight)
    assert signed.weight.sum() == pytest.approx(SIGNAL + BACKGROUND)
    thrown = [experiments.throw(model, pool, model.inits, 300, "signs", seed=7) for pool in (signed, events)]
    sizes, fitted = [], []
    for data, usual in zip(*thrown, strict=True):
        sizes.append(len(data.weight))
        fitted.append([model.fit(one).values[0] for one in (data, usual)])
    expected = SIGNAL + BACKGROUND
    assert np.mean(sizes) == pytest.approx(expected, abs=4 * math.sqrt(expected / 300))
    signed_mu, usual_mu = np.mean(fitted, axis=0)
    assert signed_mu == pytest.approx(usual_mu, abs=4 * math.sqrt(2 / 300) * np.std(fitted))
