"""Feldman-Cousins intervals: Neyman's construction with the profile-likelihood ratio, by pseudo-experiments.

A value of the parameter is in the interval unless too few pseudo-experiments thrown there agree with it as badly as the
data do: q = -2 ln L(value, others fitted) / L(best fit within all bounds) (Phys. Rev. D 57 (1998) 3873, section IV).
They are thrown with the other parameters at their best fit to the data at that value, and with auxiliary data that
fluctuate (profile construction, physics/0511028; arXiv:2207.14353): coverage is exact without nuisance parameters, or
at those values of them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import fits, starts, toys
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import FLAT, NEGATIVE, Model, Values
from nuisflow.progress import Reporter

_FIRST = 0.5, 0.75, 1.0, 1.25, 1.5  # values tested first on each side, in distances of the profile interval's end
_WIDER, _NARROWER = 8, 6  # steps outwards and inwards until an end is between two values
_AGAIN = -0.1, 0.1, -0.05, 0.05  # then values beside the end as known by then, in the same distances
_NEAR = 0.4  # part of the distance from the best fit within which values say where an end is
_DEEPER = 1e-6
_FEW = 50  # outcomes, below which p values fall in steps


class Tested(NamedTuple):
    """A tested value: the statistic of the data and those of the pseudo-experiments thrown there.

    NaN where a fit failed; infinite where the value is impossible: the data have events where none are expected.
    """

    value: float
    observed: float
    statistics: Floats

    @property
    def number(self) -> int:
        """Return how many fits of pseudo-experiments succeeded."""
        return int((~np.isnan(self.statistics)).sum())

    @property
    def outcomes(self) -> int:
        """Return how many different statistics pseudo-experiments have."""
        return len(np.unique(np.round(self.statistics, 5)))

    @property
    def beyond(self) -> int:
        """Return how many pseudo-experiments agree as badly as the data, or worse."""
        return int(toys.as_bad(self.statistics, self.observed).sum())

    @property
    def p_value(self) -> float:
        """Return the share of these."""
        return self.beyond / self.number if self.number else math.nan


class Construction(NamedTuple):
    """A Feldman-Cousins interval of *level*, and the statistical errors that few pseudo-experiments leave on its ends.

    NaN where an end is not found, *problems* say why; *best*: the best fit; *tested*: all tested values in order.
    """

    parameter: str
    level: float
    best: float
    low: float
    high: float
    low_error: float
    high_error: float
    tested: tuple[Tested, ...]
    problems: tuple[str, ...]


def interval(model: Model, data: Values | None = None, parameter: str | None = None, *, level: float = toys.LEVEL,
             number: int = 1000, seed: int = 1, points: Sequence[float] = (), workers: int | None = None,
             ) -> Construction:  # fmt: skip
    """Return the Feldman-Cousins interval of a parameter (default: that of interest), within its bounds.

    *number* pseudo-experiments are thrown at every tested value: *points*, or (by default) values around each end of
    the profile-likelihood interval and then next to where the end seems to be. Ends are where `fallen` puts them.
    What is thrown at a value depends on the seed, the parameter and the value only, not on the *workers* (threads).
    """
    name = parameter or model.poi
    asked = _Search(model, data, name, number=number, seed=seed, workers=workers, level=level)
    if asked.problems:
        nothing = (math.nan,) * 4
        return Construction(asked.name, level, math.nan, *nothing, (), tuple(asked.problems))
    for value in points:
        asked.test(float(value))
    if not points:
        for side in (-1, 1):
            asked.search(side)
    (low, low_error), (high, high_error) = (asked.end(side) for side in (-1, 1))
    rows = tuple(asked.tested[value] for value in sorted(asked.tested))
    return Construction(asked.name, level, asked.value, low, high, low_error, high_error, rows, tuple(asked.problems))


def at_value(model: Model, data: Values | None, parameter: str, value: float, *, number: int, seed: int,
             workers: int | None = None) -> Tested:  # fmt: skip
    """Test one value of a parameter with *number* pseudo-experiments; see `interval`."""
    return _Search(model, data, parameter, number=number, seed=seed, workers=workers).test(value)


class _Search:
    """Tests values, and finds the ends of an interval between them."""

    def __init__(self, model: Model, data: Values | None, name: str, *, number: int, seed: int, workers: int | None,
                 level: float = toys.LEVEL) -> None:  # fmt: skip
        self.model, self.data, self.name, self.level = model, data, name, level
        self.number, self.seed, self.workers, self.index = number, seed, workers, model.index(name)
        self.best = fits.fit(model, data)
        self.value, self.problems = float(self.best.values[self.index]), list[str]()
        self.bounds = float(model.lower[self.index]), float(model.upper[self.index])
        self.tested: dict[float, Tested] = {}
        self.reporter = Reporter(f"interval of {name}: values tested")
        if not self.best.converged:
            self.problems.append(f"the best fit: {self.best.message}")

    def test(self, value: float) -> Tested:
        """Throw pseudo-experiments at a value, once, and return the statistics there."""
        if value not in self.tested:
            self.tested[value] = self._test(value)
            self.reporter.tell(len(self.tested))
        return self.tested[value]

    def _test(self, value: float) -> Tested:
        there = fits.fit(self.model, self.data, fixed={self.name: value})
        if fits.impossible(there):
            return Tested(value, math.inf, np.zeros(self.number))
        if not there.converged:
            self.problems.append(f"{self.name} = {value:.4g} is not tested: the fit there: {there.message}")
            return Tested(value, math.nan, np.zeros(0))
        self._deepen(there)
        observed = max(there.twice_nll - self.best.twice_nll, 0.0)
        names = ("neyman", self.name, repr(value))
        found = [
            _statistics(self.model, block, there.values, self.index, self.workers)
            for block in toys.throw(self.model, there.values, self.number, self.seed, *names)
        ]
        return Tested(value, observed, np.concatenate(found))

    def _deepen(self, there: fits.FitResult) -> None:
        """Adopt a deeper minimum that a conditional fit has found: the statistics of the data grow by as much."""
        if (gain := self.best.twice_nll - there.twice_nll) > _DEEPER:
            found = fits.fit(self.model, self.data, start=there.values)
            deeper = found if found.converged and found.twice_nll <= there.twice_nll else there
            gain, self.best, self.value = gain + there.twice_nll - deeper.twice_nll, deeper, deeper.values[self.index]
            self.tested = {x: row._replace(observed=row.observed + gain) for x, row in self.tested.items()}

    def inside(self, value: float) -> bool:
        """Return whether a value belongs to the interval; one that cannot be tested does not."""
        return self.test(value).p_value > 1.0 - self.level

    def search(self, side: int) -> None:
        """Test values on one side of the best fit until the end lies between two of them that are close."""
        bound, best = self.bounds[side > 0], self.value
        if best == bound:
            return
        reach = self._reach(side)
        values = [_within(best + side * share * reach, bound, side) for share in _FIRST]
        for value in dict.fromkeys(values):
            self.test(value)
        outer, inner = values[-1], values[0]
        for _ in range(_WIDER):
            if outer == bound or not self.inside(outer):
                break
            inner, outer = outer, _within(best + 2.0 * (outer - best), bound, side)
        for _ in range(_NARROWER):
            if self.inside(inner):
                break
            inner = best + 0.5 * (inner - best)
        for shift in _AGAIN:
            end = self.end(side)[0] if self._crossing(side) != bound else bound
            if end == bound or math.isnan(end):
                return
            self.test(_within(end + side * shift * reach, bound, side))

    def _reach(self, side: int) -> float:
        """Return how far the end of the profile-likelihood interval is from the best fit."""
        from scipy import special

        sigmas = math.sqrt(2.0) * float(special.erfinv(self.level))
        found = fits.interval(self.model, self.data, self.name, sigmas=sigmas, result=self.best)
        reach = abs((found.high if side > 0 else found.low) - self.value)
        usual = sigmas * found.error if found.error > 0.0 else 0.1 * (self.bounds[1] - self.bounds[0])
        return reach if math.isfinite(reach) and reach > 0.0 else usual

    def _side(self, side: int) -> tuple[Floats, Floats, Floats]:
        """Return the tested values on one side from the best fit outwards, toys agreeing worse there, and all toys."""
        rows = [row for row in self.tested.values() if side * (row.value - self.value) > 0 and row.number]
        rows.sort(key=lambda row: side * row.value)
        return (np.array([row.value for row in rows]), np.array([row.beyond for row in rows], dtype=np.float64),
                np.array([row.number for row in rows], dtype=np.float64))  # fmt: skip

    def end(self, side: int) -> tuple[float, float]:
        """Return one end and its statistical error; NaN where it is not found.

        The error is that of the regression. With few outcomes p falls in steps: then it is at least half of how far
        the end that is interpolated between the values moves when p moves by one binomial standard deviation.
        """
        values, beyond, number = self._side(side)
        bound, (down, where, up) = self.bounds[side > 0], (self._crossing(side, shift) for shift in (-1.0, 0.0, 1.0))
        if where == bound:
            return bound, 0.5 * abs(up - down)
        if math.isnan(where):
            reached = (
                f"p is above {1.0 - self.level:.4g} up to {values[-1]:.4g}" if len(values) else "nothing is tested"
            )
            self.problems.append(f"the {'upper' if side > 0 else 'lower'} end of {self.name} is not found: {reached}")
            return math.nan, math.nan
        near = np.abs(values - where) <= _NEAR * abs(where - self.value)
        some = near if near.sum() > 2 else np.ones_like(near)
        found, error = fallen(values[some], beyond[some], number[some], 1.0 - self.level, where)
        few = min(row.outcomes for row in self.tested.values() if row.number) < _FEW
        return found, max(error, 0.5 * abs(up - down)) if few or not error else error

    def _crossing(self, side: int, shift: float = 0.0) -> float:
        """Return where p values made to fall do so to 1 - level, interpolated linearly; the bound if they do not.

        *shift*: by how many binomial standard deviations they are moved first.
        """
        target, (values, beyond, number) = 1.0 - self.level, self._side(side)
        points, shares = np.append(self.value, values), falling(beyond, number)
        shares[1:] += shift * np.sqrt(target * self.level / number)
        below = np.flatnonzero(shares <= target)
        if not len(below):
            return float(points[-1]) if shift or points[-1] == self.bounds[side > 0] else math.nan
        i = int(below[0])
        share = (shares[i - 1] - target) / (shares[i - 1] - shares[i])
        return float(points[i - 1] + share * (points[i] - points[i - 1]))


def fallen(values: Floats, beyond: Floats, number: Floats, target: float, near: float) -> tuple[float, float]:
    """Return where p falls to *target*, and the error: a regression of p = 2 Phi(-z), z linear in the *values*.

    That is exact where asymptotic formulae hold. Where p follows no such line, as with few events, the error is scaled
    by the square root of chi-squared per degree of freedom. *near*: about where it is; returned without an error if
    the line says something else.
    """
    from scipy import special

    x = np.stack([np.ones_like(values), values - near])
    wanted, line = -float(special.ndtri(0.5 * target)), np.zeros(2)
    z = -special.ndtri(0.5 * (beyond + 0.5) / (number + 1.0))
    for _ in range(30):
        p, slope = 2.0 * special.ndtr(-z), np.sqrt(2.0 / math.pi) * np.exp(-0.5 * z * z)
        weight = number * slope**2 / np.maximum(p * (1.0 - p), 1e-12)
        covariance = np.linalg.pinv((x * weight) @ x.T)
        change = covariance @ (x * weight) @ (z - (beyond / number - p) / np.maximum(slope, 1e-12)) - line
        line, z = line + change, np.clip(x.T @ (line + change), 1e-3, 6.0)
        if np.abs(change).max() < 1e-9:
            break
    p = 2.0 * special.ndtr(-z)
    excess = ((beyond - number * p) ** 2 / np.maximum(number * p * (1.0 - p), 1e-9)).sum() / max(len(values) - 2, 1)
    away = (wanted - line[0]) / line[1] if line[1] else math.nan
    inside = values.min() - near <= away <= values.max() - near
    if not inside or len(values) < 2:
        return near, 0.0
    at = np.array([1.0, away])
    return float(near + away), math.sqrt(float(at @ covariance @ at) * max(excess, 1.0)) / abs(float(line[1]))


def falling(beyond: Floats, number: Floats) -> Floats:
    """Return the p values 1 (at the best fit), then those of *beyond* of *number* toys, made to fall (isotonic)."""
    from scipy import optimize

    if not len(number):
        return np.ones(1)
    found = optimize.isotonic_regression(beyond / number, weights=number, increasing=False)
    return np.append(1.0, found.x)


def _within(value: float, bound: float, side: int) -> float:
    return min(value, bound) if side > 0 else max(value, bound)


def _statistics(model: Model, data: Floats, values: Floats, index: int, workers: int | None) -> Floats:
    """Return q of every data set thrown at *values*; NaN where a fit failed."""
    held: Booleans = model.fixed | (np.arange(len(values)) == index)
    free = starts.deepest(model, data, values, workers=workers)
    start = free.values.copy()
    start[:, index] = values[index]
    there = starts.deepest(model, data, start, held, workers=workers)
    good = np.isin(free.status, (0, FLAT)) & np.isin(there.status, (0, FLAT, NEGATIVE))
    # A fit with a value held that lies deeper than the free one has found its minimum: q is 0 there.
    q = np.where(there.status == NEGATIVE, np.inf, np.maximum(there.twice_nll - free.twice_nll, 0.0))
    return np.where(good, q, np.nan)
