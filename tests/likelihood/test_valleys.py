"""Intervals where the likelihood has several minima, against plain arithmetic on a grid of all parameters."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import optimize

from nuisflow.inference import bootstrap, what_if
from nuisflow.inference.conditional.likelihood import GridLikelihood
from nuisflow.likelihood import fits, toys, uncertainties
from nuisflow.likelihood.model import Model

NOMINAL, RATE = np.array([100.0, 100.0]), np.array([10.0, 10.0])


class Case(NamedTuple):
    """Expected events of the signal, and of the background with "shape" one standard deviation up and down."""

    signal: list[float]
    up: list[float]
    down: list[float]

    def model(self, seen, z=None):
        """Both variations of "shape" add events, so that minima lie on either side of 0; "rate" is an ordinary one.

        *z*: there is no "rate", but what it adds at this value.
        """
        added = (z or 0.0) * RATE
        data = {"hi_data": list(self.up + added), "lo_data": list(self.down + added)}
        shape = {"name": "shape", "type": "histosys", "data": data}
        sides = {"hi_data": list(NOMINAL + RATE), "lo_data": list(NOMINAL - RATE)}
        rate = {"name": "rate", "type": "histosys", "data": sides}
        strength = {"name": "mu", "type": "normfactor", "data": None}
        samples = [{"name": "s", "data": self.signal, "modifiers": [strength]},
                   {"name": "b", "data": list(NOMINAL + added), "modifiers": [shape, rate] if z is None else [shape]}]  # fmt: skip
        config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-20, 20]], "inits": [1.0]}]}
        return Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": seen}],
                      "measurements": [{"name": "m", "config": config}], "version": "1.0.0"})  # fmt: skip

    def shifted(self, a):
        """Return what histosys adds (code4p: a polynomial of sixth degree within one standard deviation)."""
        up, down = self.up - NOMINAL, self.down - NOMINAL
        inner = 0.5 * (up - down) + (up + down) / 16.0 * a * (15.0 + a**2 * (3.0 * a**2 - 10.0))
        return np.where(np.abs(a) < 1.0, inner * a, np.where(a > 0.0, up * a, -down * a))

    def half_width(self, seen, shape, rate):
        """Return half the width of the mu at which -2 ln L, the least of all *shape* and *rate*, rises by less than 1."""
        a, r = (np.atleast_1d(part)[:, None] for part in (shape, rate))
        moved = NOMINAL + self.shifted(a)[:, None, :] + r[None, :, :] * RATE
        penalty = a**2 + r[:, 0][None, :] ** 2

        def profile(mu):
            rates = mu * np.array(self.signal) + moved
            terms = np.where(rates > 0.0, rates - seen * np.log(np.maximum(rates, 1e-300)), np.inf)
            return float((2.0 * terms.sum(axis=2) + penalty).min())

        points = np.linspace(-6.0, 8.0, 281)
        depths = np.array([profile(mu) for mu in points])
        least = optimize.minimize_scalar(profile, bracket=tuple(points[depths.argmin() + np.array([-1, 0, 1])])).fun
        inside = np.flatnonzero(depths < least + 1.0)
        ends = [optimize.brentq(lambda mu: profile(mu) - least - 1.0, points[i], points[j])
                for i, j in ((inside[0] - 1, inside[0]), (inside[-1], inside[-1] + 1))]  # fmt: skip
        return 0.5 * (ends[1] - ends[0])


CASE, SEEN = Case([16.0, 4.0], [116.0, 127.0], [127.0, 129.0]), [143.0, 114.0]
EXPECTED = Case([5.0, 6.0], [109.0, 140.0], [120.0, 129.0])


@pytest.fixture(scope="module")
def model():
    return CASE.model(SEEN)


SHAPES, RATES = np.linspace(-2.5, 2.5, 501), np.linspace(-2.0, 2.0, 201)


def test_a_breakdown_knows_all_valleys(model):
    best = fits.fit(model)
    found = uncertainties.breakdown(model, None, "mu", {"shape": ["shape"], "rate": ["rate"]}, best=best)
    shape, rate = best.values[model.index("shape")], best.values[model.index("rate")]
    total = CASE.half_width(SEEN, SHAPES, RATES)
    assert found.sigma_total == pytest.approx(total, abs=3e-3)
    interval = fits.interval(model, result=best)
    assert found.sigma_total == pytest.approx(0.5 * (interval.high - interval.low), rel=1e-6)
    sources = {row.group: row.frozen for row in found.sources}
    for name, frozen in (("shape", CASE.half_width(SEEN, shape, RATES)), ("rate", CASE.half_width(SEEN, SHAPES, rate))):
        assert sources[name] == pytest.approx(np.sqrt(total**2 - frozen**2), abs=0.01)


def test_pseudo_experiments_of_events_and_of_bins_know_all_valleys(model):
    width = 2.0 * CASE.half_width(SEEN, SHAPES, RATES)
    drawn = bootstrap.measure(model, np.tile(SEEN, (20, 1)), "mu")
    thrown = toys.fitted(model, np.tile(model.data, (20, 1)), model.inits, "mu")
    assert (drawn["p84"] - drawn["p16"]).to_numpy() == pytest.approx(np.full(20, width), abs=6e-3)
    assert thrown.high - thrown.low == pytest.approx(np.full(20, width), abs=6e-3)


@pytest.mark.parametrize(("held", "shapes", "rates"), [((), SHAPES, RATES), (("rate",), SHAPES, 0.0)])
def test_a_refit_to_expected_data_knows_all_valleys(held, shapes, rates):
    model = EXPECTED.model([100.0, 100.0])
    width = EXPECTED.half_width(NOMINAL + EXPECTED.signal, shapes, rates)
    assert what_if.refit(model, held) == pytest.approx(width, abs=3e-3)


@pytest.mark.parametrize(
    ("case", "seen"),
    [(Case([9.0, 5.0], [105.0, 129.0], [133.0, 123.0]), [120.0, 118.0]),
     (Case([4.0, 6.0], [117.0, 139.0], [108.0, 135.0]), [110.0, 163.0])],
)  # fmt: skip
def test_fits_over_z_know_all_valleys_and_nothing_between_them(case, seen):
    z = np.linspace(-3.0, 3.0, 13)
    over = GridLikelihood([case.model(seen, value) for value in z], z, "rate")
    data = over.data(np.tile(seen, (1, len(z), 1)))
    found, expected = over.interval(data, over.best(data), "mu"), fits.interval(case.model(seen))
    width = case.half_width(seen, SHAPES, RATES)
    assert 0.5 * (expected.high - expected.low) == pytest.approx(width, rel=5e-3)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * width)


def test_the_profile_has_risen_by_one_at_both_ends_to_seven_digits(model):
    best, found = fits.fit(model), fits.interval(model)
    for end in (found.low, found.high):
        begins = [{"mu": end, "shape": shape} for shape in (-1.0, 1.0)]
        there = min(fits.fit(model, fixed={"mu": end}, start=begin).twice_nll for begin in begins)
        assert there - best.twice_nll == pytest.approx(1.0, abs=1e-7)
