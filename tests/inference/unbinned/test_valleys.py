"""Single events whose background moves to the same side up and down, against the likelihood written down by hand."""

import numpy as np
import pytest
from known_densities import BACKGROUND, SIGNAL, TILT, densities_of, described, simulated
from scipy import optimize, stats

from nuisflow.inference.unbinned import learned, toys
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import uncertainties

EVEN, ODD = 1.5, 0.2
"""The mean of the background is at EVEN z^2 + ODD z, so that minima lie on either side of 0."""
STARTS = (-1.5, -0.7, 0.7, 1.5)


def moved(x):
    """Return the densities of `densities_of`, with the coefficients of z to z^4 of the response of the background."""
    same = np.ones(len(x))
    response = [x * ODD / 4, x * EVEN / 4 - ODD**2 / 8, -EVEN * ODD / 4 * same, -(EVEN**2) / 8 * same]
    return np.concatenate([densities_of(x)[:, :2], np.stack(response, axis=1)], axis=1)


def model_of(**changes):
    return UnbinnedModel(described(monomials=[[1], [2], [3], [4]], owners=["background"] * 4, **changes))


def experiment(model, seed):
    """Return an experiment, and what -2 ln L is by hand."""
    random = np.random.default_rng(seed)
    shift = random.normal()
    numbers = random.poisson([SIGNAL, BACKGROUND * (1 + TILT) ** shift])
    mean = EVEN * shift**2 + ODD * shift
    x = np.concatenate([random.normal(1, 0.5, numbers[0]), random.normal(mean, 2, numbers[1])])
    centre = np.array([0.0, *random.standard_normal(2)])

    def twice_nll(mu, shift, rate):
        background = BACKGROUND * 1.1**rate * (1 + TILT) ** shift
        wide = stats.norm(EVEN * shift**2 + ODD * shift, 2).pdf(x)
        density = mu * SIGNAL * stats.norm(1, 0.5).pdf(x) + background * wide
        pulls = (shift - centre[1]) ** 2 + (rate - centre[2]) ** 2
        return 2 * (mu * SIGNAL + background) - 2 * np.log(np.maximum(density, 1e-300)).sum() + pulls

    return model.data(np.ones(len(x)), moved(x), random.integers(0, 2, len(x)), centre), twice_nll


def profile(twice_nll, mu):
    """Return the least -2 ln L at a signal strength, of fits from many starts."""
    found = [optimize.minimize(lambda rest: twice_nll(mu, *rest), [z, 0.0], method="BFGS") for z in STARTS]
    return min(one.fun for one in found)


@pytest.mark.parametrize(
    "seed", [2, 4, 10]
)  # one with another valley at an end, two whose usual minimum is not deepest
def test_fits_and_intervals_of_single_events_know_all_valleys(seed):
    model = model_of(two_sided=["shift"])
    data, twice_nll = experiment(model, seed)
    best = model.fit(data)
    fits = [optimize.minimize(lambda point: twice_nll(*point), [1.0, z, 0.0], method="BFGS") for z in STARTS]
    lowest = min(fits, key=lambda one: one.fun)
    assert best.values == pytest.approx(lowest.x, abs=2e-3)
    found = model.interval(data, best, "mu")
    thrown = model.experiment(data, model.inits, toys.PRECISION)
    for low, high in ((found.low, found.high), (thrown.low, thrown.high)):
        for end in (low, high):
            assert profile(twice_nll, end) - lowest.fun == pytest.approx(1.0, abs=3e-3)
    total = uncertainties.breakdown(model, data, best=best).sigma_total
    assert total == pytest.approx(0.5 * (found.high - found.low), rel=1e-6)


def test_which_parameters_are_two_sided_is_seen_in_the_nominal_events():
    random = np.random.default_rng(1)
    x = np.concatenate([random.normal(0, 2, 60_000), random.normal(1, 0.5, 60_000)])
    assert learned.two_sided(UnbinnedModel(described()), simulated(1)) == []
    assert learned.two_sided(model_of(), simulated(1)._replace(values=moved(x))) == ["shift"]
    rates = {"rate": {"processes": ["background"], "up": 1.1, "down": 1.08}}
    assert learned.two_sided(UnbinnedModel(described(rates=rates)), simulated(1)) == ["rate"]
