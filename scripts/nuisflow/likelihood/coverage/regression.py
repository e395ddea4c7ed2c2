"""Coverage as a smooth function of the true point: logistic regression on a polynomial of all parameters."""

import math
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import toys
from nuisflow.likelihood.coverage.maps import Map
from nuisflow.likelihood.histfactory import Booleans, Floats

_DEGREE = 4  # of the parameter of interest, near whose bounds coverage changes fast; others have squares and products
_PAIRED = 20  # parameters beside it, up to which all their products are terms, else only those with it
_ROWS = 20_000
_FEWEST = 10  # of these points
_SHARE = 0.01  # of the points, those of the lowest predicted coverage


class Curve(NamedTuple):
    """Predicted coverage along one parameter, the others at the centres of their priors (the range), with errors."""

    parameter: str
    values: Floats
    coverage: Floats
    error: Floats


class Regression(NamedTuple):
    """The logistic regression: coefficients with covariance, and the test of a coverage that is the same everywhere.

    *statistic* is twice the gain of ln L over a constant; chi-squared with *degrees* if coverage is constant.
    """

    coefficients: Floats
    covariance: Floats
    statistic: float
    degrees: int
    p_value: float


class Lowest(NamedTuple):
    """The hundredth of the points where a regression to the other half of them predicts the lowest coverage.

    *predicted*: its mean there; *coverage* counted, with Clopper-Pearson limits; *centre*: means of the parameters.
    """

    number: int
    predicted: float
    coverage: float
    low: float
    high: float
    centre: dict[str, float]


def fit(found: Map, rows: Booleans | slice = slice(None)) -> Regression:
    """Fit the coverage of these rows."""
    from scipy import special

    points, covered = found.points[rows], found.covered[rows].astype(np.float64)
    share = float(covered.mean())
    line: Floats = np.zeros(features(found, points[:1]).shape[1])
    constant = _likelihood(covered, np.full(len(covered), _logit(share)))
    line[0], before = _logit(share), constant
    for _ in range(30):
        gradient, curvature = np.zeros(len(line)), 1e-6 * np.eye(len(line))
        for first in range(0, len(points), _ROWS):
            x, y = features(found, points[first : first + _ROWS]), covered[first : first + _ROWS]
            p = special.expit(x @ line)
            gradient += x.T @ (y - p)
            curvature += (x * (p * (1.0 - p))[:, None]).T @ x
        line = line + np.asarray(np.linalg.solve(curvature, gradient), dtype=np.float64)
        now = sum(
            _likelihood(covered[first : first + _ROWS], features(found, points[first : first + _ROWS]) @ line)
            for first in range(0, len(points), _ROWS)
        )
        if abs(now - before) < 1e-6:
            break
        before = now
    statistic = 2.0 * (now - constant)
    degrees = len(line) - 1
    p_value = float(special.gammaincc(0.5 * degrees, 0.5 * max(statistic, 0.0)))
    covariance = np.asarray(np.linalg.inv(curvature), dtype=np.float64)
    return Regression(line, covariance, statistic, degrees, p_value)


def _logit(share: float) -> float:
    inside = min(max(share, 1e-6), 1.0 - 1e-6)
    return math.log(inside / (1.0 - inside))


def _likelihood(covered: Floats, line: Floats) -> float:
    return float((covered * line - np.logaddexp(0.0, line)).sum())


def features(found: Map, points: Floats) -> Floats:
    """Return the terms of the polynomial (points, terms): 1, powers of the parameter of interest, others, products."""
    low, high = found.reach
    mu, others = (2.0 * points[:, :1] - low - high) / (high - low), points[:, 1:]
    size = others.shape[1]
    powers = np.polynomial.legendre.legvander(mu[:, 0], _DEGREE)
    one, two = np.triu_indices(size, 1) if size <= _PAIRED else (np.zeros(0, int), np.zeros(0, int))
    return np.hstack([powers, others, others**2 - 1.0, mu * others, others[:, one] * others[:, two]])


def predict(found: Map, fitted: Regression, points: Floats) -> tuple[Floats, Floats]:
    """Return the predicted coverage at points, and its standard deviation."""
    from scipy import special

    x = features(found, points)
    p = special.expit(x @ fitted.coefficients)
    return p, p * (1.0 - p) * np.sqrt(np.einsum("ij,jk,ik->i", x, fitted.covariance, x))


def curves(found: Map, fitted: Regression, number: int = 41) -> list[Curve]:
    """Return the predicted coverage along every parameter: in the range, or from -2.5 to 2.5 standard deviations."""
    centre, result = np.zeros(len(found.names)), []
    centre[0] = 0.5 * sum(found.reach)
    for p, name in enumerate(found.names):
        values = np.linspace(*(found.reach if p == 0 else (-2.5, 2.5)), number)
        points = np.tile(centre, (number, 1))
        points[:, p] = values
        result.append(Curve(name, values, *predict(found, fitted, points)))
    return result


def lowest(found: Map) -> Lowest | None:
    """Return where the regression to every second point predicts the lowest coverage, counted with the others."""
    first = found.choosing
    number = int(_SHARE * (~first).sum())
    if number < _FEWEST:
        return None
    fitted, points = fit(found, first), found.points[~first]
    predicted = np.concatenate([
        features(found, points[k : k + _ROWS]) @ fitted.coefficients for k in range(0, len(points), _ROWS)
    ])  # fmt: skip
    at = np.argsort(predicted, kind="stable")[:number]
    covered = int(found.covered[~first][at].sum())
    p = float((1.0 / (1.0 + np.exp(-predicted[at]))).mean())
    centre = dict(zip(found.names, map(float, points[at].mean(axis=0)), strict=True))
    return Lowest(number, p, covered / number, *toys.clopper_pearson(covered, number), centre)
