"""A likelihood of single events whose densities are known: a peak on a wide Gaussian that moves."""

import math

import numpy as np
from scipy import stats

from nuisflow.inference.unbinned.events import Events

SIGNAL, BACKGROUND = 40.0, 200.0
SIZE, TILT = 0.4, 0.1
"""Shift of the mean of the background, and relative change of its yield, at z = 1."""


def described(**changes):
    """Return the description of a peak on a wide Gaussian whose mean and yield move with one parameter."""
    parameter = {"lower": -5.0, "upper": 5.0, "width": 1.0, "init": 0.0}
    found = {
        "poi": "mu",
        "signal": "signal",
        "processes": ["background", "signal"],
        "parameters": [
            {"name": "mu", "kind": "signal", "init": 1.0, "lower": -5.0, "upper": 10.0, "width": 0.0},
            parameter | {"name": "shift", "kind": "learned"},
            parameter | {"name": "rate", "kind": "rate"},
        ],
        "linear": {"mu": ["signal"]},
        "rates": {"rate": {"processes": ["background"], "up": 1.1, "down": 1 / 1.1}},
        "yields": {"background": BACKGROUND, "signal": SIGNAL},
        "learned": ["shift"],
        "powers": [[1], [2]],
        "yield_terms": [[math.log(1 + TILT), 0.0], [0.0, 0.0]],
        "norms": [[[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
        "monomials": [[1], [2]],
        "owners": ["background", "background"],
        "closure": {},
        "binned": [],
    }
    return found | changes


def densities_of(x):
    """Return ln of the shares of the processes and the coefficients of the background's response, exactly.

    With equal shares of both: P = p_i / (p_1 + p_2). The background is N(0, 2), its mean moves by SIZE z: ln S is
    x SIZE z / 4 - (SIZE z)^2 / 8, and the mean of S is 1.
    """
    both = np.stack([stats.norm(0, 2).logpdf(x), stats.norm(1, 0.5).logpdf(x)])
    shares = both - np.logaddexp(*both)
    return np.stack([*shares, x * SIZE / 4, np.full(len(x), -(SIZE**2) / 8)], axis=1)


def simulated(seed=1, size=60_000):
    """Return weighted events of both processes at nominal."""
    random = np.random.default_rng(seed)
    x = np.concatenate([random.normal(0, 2, size), random.normal(1, 0.5, size)])
    weight = np.repeat([BACKGROUND / size, SIGNAL / size], size)
    return Events(weight, np.repeat([0, 1], size), random.integers(0, 2, 2 * size), densities_of(x), np.zeros((0, 2)))
