"""Minima at corners: codes 0 and 1 have another slope above 0 than below, and no gradient vanishes there."""

import itertools

import numpy as np
import pytest
from iminuit import Minuit
from scipy import stats

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.model import FEW, Model

SIGNAL, BACKGROUND = np.array([4.0, 9.0, 13.0, 6.0]), np.array([62.0, 45.0, 31.0, 24.0])
BOUNDS = (-5.0, 10.0)
LO, HI = 0.93, 1.1
BOTH_WAYS = (BACKGROUND * [1.12, 0.93, 1.08, 1.15], BACKGROUND * [1.10, 0.95, 1.10, 1.12])
"""A shape that is nearly the same up and down: a ridge or a valley at 0."""
ONE_WAY = (BACKGROUND * [1.12, 1.02, 0.91, 0.85], BACKGROUND * [0.93, 1.00, 1.06, 1.10])


def workspace(shape):
    """Return a signal and a background with a shape and a rate, interpolated with codes 0 and 1."""
    up, down = shape
    modifiers = [
        {"name": "shape", "type": "histosys", "data": {"hi_data": list(up), "lo_data": list(down)}},
        {"name": "rate", "type": "normsys", "data": {"hi": HI, "lo": LO}},
    ]
    signal = [{"name": "mu", "type": "normfactor", "data": None}]
    samples = [
        {"name": "signal", "data": list(SIGNAL), "modifiers": signal},
        {"name": "background", "data": list(BACKGROUND), "modifiers": modifiers},
    ]
    return {
        "channels": [{"name": "bins", "samples": samples}],
        "observations": [{"name": "bins", "data": list(SIGNAL + BACKGROUND)}],
        "measurements": [
            {"name": "m", "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [list(BOUNDS)]}]}}
        ],
        "version": "1.0.0",
        "extensions": {"interpolation": {"normsys": "code1", "histosys": "code0"}},
    }


def by_hand(shape, data, mu=None):
    """Return the smallest -2 ln L, for a fixed *mu* if given, and mu there: by Minuit on every side of both parameters."""
    up, down = shape
    main, (x, y) = data[:4], data[4:]

    def twice_nll(mu, tilt, rate):
        shaped = BACKGROUND + (tilt * (up - BACKGROUND) if tilt > 0 else tilt * (BACKGROUND - down))
        expected = mu * SIGNAL + shaped * (HI**rate if rate > 0 else LO**-rate)
        if (expected <= 0).any():
            return 1e6
        return -2 * (stats.poisson.logpmf(main, expected).sum() + stats.norm.logpdf([x - tilt, y - rate]).sum())

    found = []
    for one, two in itertools.product((1, -1), repeat=2):
        minuit = Minuit(twice_nll, mu=1.0 if mu is None else mu, tilt=0.5 * one, rate=0.5 * two)
        minuit.errordef, minuit.fixed["mu"] = 1.0, mu is not None
        minuit.limits = [BOUNDS, (0, 6) if one > 0 else (-6, 0), (0, 6) if two > 0 else (-6, 0)]
        minuit.migrad()
        found.append((minuit.fval, minuit.values["mu"]))
    return min(found)


@pytest.fixture(scope="module", params=[BOTH_WAYS, ONE_WAY], ids=["both ways", "one way"])
def thrown(request):
    """Return model, its shape, and pseudo-experiments: main data, then the measurements of shape and rate."""
    model = Model(workspace(request.param))
    assert model.names == ("shape", "mu", "rate")
    return model, request.param, np.concatenate(list(toys.throw(model, {"mu": 1.0}, 2 * FEW, 4)))


def test_a_fit_is_at_the_deepest_minimum_of_all_sides_also_where_that_is_a_corner(thrown):
    model, shape, data = thrown
    at_corner = 0
    for row in data:
        result = fits.fit(model, row)
        deepest, mu = by_hand(shape, row)
        assert result.converged
        assert result.message == "converged"
        assert result.twice_nll == pytest.approx(deepest, abs=2e-3)
        assert result.values[1] == pytest.approx(mu, abs=0.02)
        at_corner += 0.0 in result.values
    assert at_corner > 0


def test_no_pseudo_experiment_fails_and_intervals_end_where_the_profile_has_risen_by_one(thrown):
    model, shape, data = thrown
    found = toys.fitted(model, data, model.point({"mu": 1.0}), "mu")
    assert found.fitted.all()
    assert found.bounded.all()
    deepest = [by_hand(shape, row)[0] for row in data]
    assert found.twice_nll == pytest.approx(deepest, abs=2e-3)
    for ends in (found.low, found.high):
        for row, end, least in list(zip(data, ends, deepest, strict=True))[::8]:
            assert by_hand(shape, row, end)[0] - least == pytest.approx(1.0, abs=5e-3)


def test_a_parameter_that_is_held_elsewhere_has_no_corner():
    model = Model(workspace(BOTH_WAYS))
    data = next(iter(toys.throw(model, {"mu": 1.0}, 1, 4)))[0]
    for value in (-1.0, 0.0, 1.0):
        result = fits.fit(model, data, fixed={"shape": value})
        assert result.converged
        assert result.values[0] == value
