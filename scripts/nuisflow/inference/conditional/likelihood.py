"""How a fit over z answers what every likelihood is asked (`likelihood.likelihoods`); z is its last parameter."""

# ruff: noqa: ARG002 (a question is asked of all kinds in the same words)

from collections.abc import Mapping

import numpy as np

from nuisflow.inference.conditional.model import EDGE, FAILED, Data, Fits, GridModel, Held
from nuisflow.likelihood import covariances, fits
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import Intervals, Minima


class GridLikelihood(GridModel):
    """A grid of models, asked for one data set at a time, or for one per row of starting points (`Data`)."""

    def best(self, data: Data, fixed: Mapping[str, float] | None = None) -> FitResult:
        """Return the best fit; errors from the curvature at the best z, and from how the best fit follows z."""
        start, held = np.append(self.nominal.inits, 0.0), self.fixed.copy()
        for name, value in (fixed or {}).items():
            start[self.names.index(name)], held[self.names.index(name)] = value, True
        found = self._fits(data, start[None, :], held[None, :]) if fixed else self.fit(data)
        values, (covariance, problem) = found.values[0], self._covariance(data, found, held)
        remark = flagged(self, int(found.flags[0]))
        text = "; ".join(filter(None, (remark, problem)))
        done = not found.flags[0] & FAILED and not problem
        errors = np.sqrt(np.diagonal(covariance))
        return FitResult(self.names, values, errors, covariance, float(found.twice_nll[0]), done, text)

    def _covariance(self, data: Data, found: Fits, held: Booleans) -> tuple[Floats, str]:
        """Return the covariance of all parameters at a fit of one data set, and what is wrong with it."""
        free, z, size = (
            self.along(data, found.points, _holding(held[None, :], found.values)),
            found.values[0, -1],
            len(held),
        )
        low = int(np.clip(np.searchsorted(self.z, z) - 1, 0, len(self.z) - 2))
        share = (z - self.z[low]) / (self.z[low + 1] - self.z[low])
        covariance, problems = np.zeros((size, size)), []
        for point, weight in ((low, 1 - share), (low + 1, share)):
            flat, values = self.flat(data, point)[0], free.points[0, point]
            inverse, problem = covariances.covariance(self.models[point], flat, values, held[:-1])
            covariance[:-1, :-1] += weight * inverse
            problems.append(problem if weight else "")
        if not held[-1]:
            follow, variance = self.slopes(free, data)
            direction = np.append(follow[0], 1.0)
            covariance += variance[0] * np.outer(direction, direction)
        return covariance, "; ".join(dict.fromkeys(filter(None, problems)))

    def _fits(self, data: Data, start: Floats, held: Booleans) -> Fits:
        """Return a fit for every row of *start*; the parameter of interest is held in all of them, or in none."""
        many = data if len(data.main) == len(start) else data.take([0] * len(start))
        begin, holding = self.at(start[:, :-1]), _holding(held, start)
        return self.along(many, begin, holding) if held[:, self.index].all() else self.fit(many, begin, holding)

    def minima(self, data: Data, start: Floats, held: Booleans, near: Floats) -> Minima:
        """Return a fit for every row of *start*; where z is best at an end of the grid, it is none."""
        found = self._fits(data, start, held)
        return Minima(found.values, found.twice_nll, found.flags, np.zeros(len(start), dtype=np.int64))

    def interval(self, data: Data, best: FitResult, parameter: str) -> fits.Interval:
        """Return the profile-likelihood interval of the parameter of interest, with what is wrong with it."""
        return fits.by_profile(self, data, best, parameter)

    def intervals(
        self, minima: Minima, parameter: str, data: Data, fixed: Booleans, *, tolerance: float = 1e-8
    ) -> Intervals:
        """Return the interval of the parameter of interest around every minimum."""
        if parameter != self.poi:
            raise ValueError(f"fits over {self.name} know the interval of {self.poi} only, not that of {parameter}")
        held = np.broadcast_to(fixed, minima.values.shape)
        many = data if len(data.main) == len(held) else data.take([0] * len(held))
        best = self._fits(many, minima.values, held)
        found = self.ends(many, best, _holding(held, minima.values), tolerance=max(tolerance, 1e-8))
        return Intervals(found.low, found.high, best.error, found.flags)

    def shifted(self, data: Data, sign: float) -> tuple[Integers, Data]:
        """Return the constrained parameters, and the data with the auxiliary measurement of each one deviation off."""
        which, last = self.nominal.constrained, len(self.names) - 1
        count = len(which) + 1
        auxiliary, centre = np.tile(data.auxiliary, (count, 1, 1)), np.tile(data.centre, count)
        sizes = np.where(self.poisson, np.sqrt(np.maximum(data.auxiliary[0], 0.0)), self.widths)
        auxiliary[np.arange(count - 1), :, np.arange(count - 1)] += sign * sizes.T
        auxiliary = np.where(self.poisson, np.maximum(auxiliary, 0.0), auxiliary)
        centre[-1] += sign
        return np.append(which, last), Data(np.tile(data.main, (count, 1, 1)), auxiliary, centre)

    def constraints(self, data: Data) -> tuple[Floats, Floats]:
        """Return where the constraints pull all parameters to, and their prefit widths; NaN without a constraint."""
        centre, widths = self.nominal.constraints()
        return np.append(centre, data.centre[0]), np.append(widths, 1.0)

    def main_part(self, data: Data, best: FitResult, parameter: str) -> float:
        """Return NaN: the rest of the variance tells it."""
        return float("nan")

    def saturated(self, data: Data, best: FitResult) -> tuple[float, int]:
        """Return the statistic at the best z, and the number of bins."""
        z, points = best.values[-1], self.along(data, self.at(best.values[None, :-1])).points
        residuals = self.weights(z) @ self.residuals(points, data)[0]
        return float((residuals**2).sum() + (z - data.centre[0]) ** 2), self.bins

    def at(self, values: Floats) -> Floats:
        """Return *values* (sets, parameters) at every z: constrained ones at the same distance in constraint widths."""
        which, point = self.nominal.constrained, int(np.abs(self.z).argmin())
        start = np.repeat(values[:, None, :], len(self.z), axis=1)
        distance = (values[:, which] - self.auxiliary[point]) / self.widths[point]
        apart = self.auxiliary + distance[:, None, :] * self.widths
        start[:, :, which] = np.where(self.poisson, start[:, :, which], apart)
        return start


def _holding(held: Booleans, values: Floats) -> Held:
    """Return what is held in fits that start at *values* (sets, parameters with z)."""
    return Held(held[:, :-1], np.where(held[:, -1], values[:, -1], np.nan))


def flagged(model: GridModel, flags: int) -> str:
    """Return what the flags of a fit mean, or ""."""
    remarks = []
    if flags & FAILED:
        remarks.append(f"the fit did not converge at some {model.name}")
    if flags & EDGE:
        ends = f"{model.z[0]:g} or {model.z[-1]:g}"
        remarks.append(f"{model.name} is best at an end of its grid ({ends}): add points beyond to toys.displacements")
    return "; ".join(remarks)
