"""The profile likelihood in two parameters: on a grid, and its contours of a confidence level."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import likelihoods
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.likelihoods import Data, Likelihood

LEVELS = (0.6827, 0.95)
DIRECTIONS = 64
_ATTEMPTS, _PRECISION = 40, 1e-6  # of the distance along a direction: fits, and standard deviations


class Surface(NamedTuple):
    """-2 ln L, profiled over all other parameters, above its minimum, at *points* (points, 2)."""

    points: Floats
    twice_delta_nll: Floats
    converged: Booleans


class Contour(NamedTuple):
    """Where -2 ln L rises by the quantile of chi-squared with two degrees of freedom: *points* (directions, 2).

    *bounded*: directions that end at a bound, or where nothing is physical; NaN: not found.
    """

    level: float
    points: Floats
    bounded: Booleans


def rise(level: float) -> float:
    """Return the quantile of chi-squared with two degrees of freedom."""
    return -2.0 * math.log1p(-level)


def surface(likelihood: Likelihood, data: Data, names: Sequence[str], points: Floats, best: FitResult) -> Surface:
    """Return -2 ln L profiled over all other parameters at the *points* (points, 2), relative to the best fit."""
    at = [likelihoods.index(likelihood, name) for name in names]
    start = np.tile(best.values, (len(points), 1))
    start[:, at] = points
    held = np.tile(likelihood.fixed, (len(points), 1))
    held[:, at] = True
    minima = likelihood.minima(data, start, held, best.values)
    return Surface(points, minima.twice_nll - best.twice_nll, minima.status == 0)


def contour(
    likelihood: Likelihood,
    data: Data,
    names: Sequence[str],
    best: FitResult,
    *,
    level: float,
    number: int = DIRECTIONS,
) -> Contour:
    """Return a contour by its distance from the best fit in *number* directions, evenly spread in the Hessian's metric.

    A contour is found where it first crosses a direction; it ends at the bounds of the parameters.
    """
    at = [likelihoods.index(likelihood, name) for name in names]
    root, goal = _root(likelihood, best, at), math.sqrt(rise(level))
    angles = np.linspace(0.0, 2.0 * np.pi, number, endpoint=False)
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ root.T
    centre, furthest = best.values[at], _furthest(likelihood, best.values[at], ways, at)
    low, high, here = np.zeros(number), np.full(number, np.inf), np.minimum(goal, furthest)
    done, bounded = np.zeros(number, dtype=np.bool_), furthest <= 0.0
    here[bounded], done[bounded] = 0.0, True
    for _ in range(_ATTEMPTS):
        rows = np.flatnonzero(~done)
        if not len(rows):
            break
        found = surface(likelihood, data, names, centre + here[rows, None] * ways[rows], best)
        height = np.sqrt(np.maximum(np.where(found.converged, found.twice_delta_nll, np.inf), 0.0))
        inside = height < goal
        low[rows[inside]], high[rows[~inside]] = here[rows[inside]], here[rows[~inside]]
        end = inside & (here[rows] >= furthest[rows])
        close = np.abs(height - goal) < _PRECISION
        wall = high[rows] - low[rows] < _PRECISION * np.maximum(low[rows], _PRECISION)
        bounded[rows[end | (wall & ~close)]] = True
        done[rows[end | close | wall]] = True
        with np.errstate(divide="ignore", invalid="ignore"):
            guess = here[rows] * goal / height
        ends = np.where(np.isfinite(high[rows]), high[rows], np.inf)
        outside = ~((guess > low[rows]) & (guess < ends))
        middle = np.where(np.isfinite(ends), 0.5 * (low[rows] + np.where(np.isfinite(ends), ends, 0.0)), 2 * low[rows])
        moved = np.minimum(np.where(outside, middle, guess), furthest[rows])
        here[rows] = np.where(done[rows], here[rows], moved)
    points = centre + here[:, None] * ways
    points[~done] = np.nan
    return Contour(level, points, bounded)


def _root(likelihood: Likelihood, best: FitResult, at: Sequence[int]) -> Floats:
    """Return the root of the covariance of two parameters, or widths of a tenth of their bounds."""
    covariance = best.covariance[np.ix_(at, at)]
    if np.isfinite(covariance).all() and np.linalg.det(covariance) > 0.0:
        return np.asarray(np.linalg.cholesky(covariance))
    lower, upper = likelihood.bounds
    return np.diag(0.1 * (upper[list(at)] - lower[list(at)]))


def _furthest(likelihood: Likelihood, centre: Floats, ways: Floats, at: Sequence[int]) -> Floats:
    """Return how far each direction reaches within the bounds."""
    lower, upper = (bound[list(at)] for bound in likelihood.bounds)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(ways > 0, (upper - centre) / ways, np.where(ways < 0, (lower - centre) / ways, np.inf))
    return np.asarray(np.maximum(steps.min(axis=1), 0.0))
