"""The likelihood of single events as a function of signal strength, rates and learned nuisance parameters.

    -2 ln L = -2 sum_i ln R(x_i) + 2 sum_p kappa_p n_p(z) + (theta - a)^T V^-1 (theta - a)
    R(x)    = sum_p kappa_p r_p(x) n_p(z) / n_p(0) S_p(x|z) / M_p(z)

over events i of all regions and processes p: r_p is the nominal intensity relative to a reference, S_p the response of
the process to z, M_p its own mean over nominal events, n_p the yield counted on simulated events, kappa_p the signal
strength and rates; a are the auxiliary measurements, V is their covariance. Dividing by M_p makes R a density whose
yield is n_p, whatever the response (arXiv:2412.01600 learns the same quantities; there S is not normalised). A region
with bins is a sum of the same form: x is the bin.
"""

# ruff: noqa: ARG002 (a question is asked of all kinds in the same words)

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from nuisflow.inference.unbinned import structure
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.inference.unbinned.structure import Json, Parameter
from nuisflow.likelihood import interpolation, starts
from nuisflow.likelihood.constraints import correlations
from nuisflow.likelihood.fits import FitResult, Interval, by_profile
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels import compilation, densities, density_fits
from nuisflow.likelihood.model import Intervals, Minima
from nuisflow.likelihood.valleys import ends

TOLERANCE = 1e-10
"""Decrement of -2 ln L at a minimum."""
DEEPER, VALLEYS = 1e-6, 8
"""By how much -2 ln L of another valley is lower than that of the first; through how many an interval reaches."""
ENDS = {
    density_fits.CONVERGED: "",
    density_fits.STOPPED: "the fit stopped before it reached a minimum",
    density_fits.IMPOSSIBLE: "the density of an event is not positive where the fit starts",
}


class Experiment(NamedTuple):
    """Best fit of the parameter of interest, its error and interval, -2 ln L, and how fit and interval *ended*."""

    value: float
    error: float
    low: float
    high: float
    twice_nll: float
    ended: int
    interval_ended: int


class UnbinnedModel:
    """The likelihood that a *description* tells of (plain values, as in densities.json); see `describe`.

    A `likelihoods.Likelihood`; data sets are `densities.Data`. Those with shifted auxiliary measurements share the
    events: their centres have two axes (sets, parameters).
    """

    def __init__(self, description: Json) -> None:
        compilation.ready()
        self.description = description
        self.parameters = [Parameter(**row) for row in description["parameters"]]
        self.names = tuple(row.name for row in self.parameters)
        self.processes = tuple(description["processes"])
        self.poi = self.parameters[0].name
        self.index = 0
        self.folds = len(description["norms"])
        self.terms = self.folds + len(description["binned"])
        self.inits = np.array([row.init for row in self.parameters])
        self.widths = np.array([row.width for row in self.parameters])
        self.constrained: Booleans = self.widths > 0
        self.centre = np.where(self.constrained, self.inits, 0.0)
        self.correlations = correlations.blocks(description.get("correlations", ()))
        self.structure = structure.read(description, self.parameters, self._precision())
        self.bounds = self.structure.lower, self.structure.upper
        self.fixed: Booleans = np.zeros(len(self.parameters), dtype=np.bool_)
        listed = description.get("columns", range(len(description["monomials"])))
        self.columns = np.array(listed, dtype=np.int64)
        self.sided = np.array([self.names.index(name) for name in description.get("two_sided", ())], dtype=np.int64)
        """Where minima may lie on both sides of 0, the strongest first; see `learned.two_sided`."""
        self.outputs = len(self.processes) + 1 + int(self.columns.max(initial=-1))
        self._log_number = np.log(np.maximum(self.structure.number, 1e-300))[self.structure.region]
        self.bins, self.bin_terms = structure.bins(description, len(self.processes) + len(self.columns))

    def fluctuated(self, noise: Floats) -> Floats:
        """Return changes of auxiliary measurements (..., parameters) that standard normal *noise* makes."""
        return np.asarray(self.widths * correlations.correlate(self.correlations, self.names, noise))

    def _precision(self) -> Floats:
        """Return the inverse covariance of the constraints (parameters, parameters), 0 without a constraint."""
        root = self.fluctuated(np.eye(len(self.names)))[np.ix_(self.constrained, self.constrained)]
        found = np.zeros((len(self.names), len(self.names)))
        found[np.ix_(self.constrained, self.constrained)] = np.linalg.inv(root.T @ root)
        return found

    def data(
        self, weight: Floats, values: Floats, fold: Integers, centre: Floats | None = None, counts: Floats | None = None
    ) -> densities.Data:
        """Return a data set from events: *weight* (events), *values* (events, outputs) as `Classifier.densities`, fold.

        *centre*: auxiliary measurements of all parameters (default: nominal). *counts*: events in the bins of
        all regions that have bins; left out only where there are none.
        """
        sizes = np.bincount(fold, minlength=self.terms)
        blocks = [(weight, self.widened(values), fold)]
        if len(self.bins):
            assert counts is not None
            sizes, blocks = sizes + np.bincount(self.bin_terms), [*blocks, (counts, self.bins, self.bin_terms)]
        return self.collected(blocks, sizes, centre)

    def collected(
        self,
        blocks: Iterable[tuple[Floats, Floats, Integers]],
        sizes: Integers,
        centre: Floats | None = None,
        scratch: Scratch | None = None,
    ) -> densities.Data:
        """Return a data set from *blocks* of weights, `widened` values and terms; *sizes*: events of every term.

        On the disk, if there is a *scratch*.
        """
        size, empty = len(self.processes), np.empty if scratch is None else scratch.empty
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        weight, free = np.empty(start[-1]), start[:-1].copy()
        ratio, slope = empty((size, start[-1])), empty((len(self.columns), start[-1]))
        for weights, values, terms in blocks:
            for term in np.unique(terms):
                inside = np.flatnonzero(terms == term)
                rows = slice(free[term], free[term] + len(inside))
                found, free[term] = values[inside].astype(np.float64), rows.stop
                weight[rows], slope[:, rows] = weights[inside], found[:, size:].T
                ratio[:, rows] = np.exp(found[:, :size] + self._log_number[term]).T
            if scratch is not None:
                scratch.release()
        centre = self.centre if centre is None else np.asarray(centre, dtype=np.float64)
        return densities.Data(weight, ratio, slope, start, centre, scratch is not None)

    def widened(self, values: Floats) -> Floats:
        """Return the outputs with a column of 0 for each coefficient that only regions with bins have."""
        if (self.columns >= 0).all():
            return np.asarray(values)
        size = len(self.processes)
        slopes = np.where(self.columns >= 0, values[:, size + np.maximum(self.columns, 0)], 0.0)
        return np.concatenate([values[:, :size], slopes], axis=1)

    def twice_nll(self, data: densities.Data, values: Floats) -> tuple[float, Floats, Floats]:
        """Return -2 ln L, its gradient and its Hessian."""
        return densities.evaluate(self.structure, data, np.asarray(values, dtype=np.float64))

    def point(self, values: Mapping[str, float]) -> Floats:
        """Return the initial values with some replaced by name; names of other models are left out."""
        return np.array([values.get(row.name, row.init) for row in self.parameters])

    def minimise(
        self, data: densities.Data, start: Floats | None = None, held: Booleans | None = None
    ) -> tuple[Floats, float, Floats, int]:
        """Return place, -2 ln L, Hessian and end of a fit from *start*, parameters that are *held* staying there.

        Where variations do the same up and down, fits start from the other sides, too, and the deepest counts.
        """
        begin = self.inits if start is None else np.asarray(start, dtype=np.float64)
        fixed = np.zeros(len(begin), dtype=np.bool_) if held is None else held
        place, value, _, hessian, end = density_fits.minimise(self.structure, data, begin, fixed, TOLERANCE)
        for which in starts.mirrors(self.sided):
            begin = starts.mirrored(place, which, fixed)
            other, depth, _, bend, how = density_fits.minimise(self.structure, data, begin, fixed, TOLERANCE)
            if how == density_fits.CONVERGED and (end != how or depth < value - DEEPER):
                place, value, hessian, end = other, depth, bend, how
        return place, value, hessian, end

    def fit(self, data: densities.Data, start: Floats | None = None, held: Booleans | None = None) -> FitResult:
        """Return the best fit with errors from the exact Hessian; -2 ln L is NaN where there is no minimum."""
        return self._result(*self.minimise(data, start, held), self.fixed if held is None else held)

    def _result(self, place: Floats, value: float, hessian: Floats, end: int, fixed: Booleans) -> FitResult:
        """Return what a fit says that ended at a *place*."""
        free = ~fixed & (place > self.structure.lower) & (place < self.structure.upper)
        covariance, message = _covariance(hessian, free)
        message = message if end == density_fits.CONVERGED else ENDS[end]
        errors = np.where(free | fixed, np.sqrt(np.diagonal(covariance)), np.nan)
        stuck = [name for name, one, other in zip(self.names, free, fixed, strict=True) if not one and not other]
        remark = f"at a bound: {', '.join(stuck)}" if stuck else ""
        value = value if end == density_fits.CONVERGED else np.nan
        text = "; ".join(filter(None, (message, remark)))
        return FitResult(self.names, place, errors, covariance, value, not message, text)

    def end(
        self, data: densities.Data, best: FitResult, index: int, sigmas: float, held: Booleans, *, precision: float
    ) -> tuple[float, int]:
        """Return where the profile of parameter *index* is *sigmas*^2 above *best*, on the side of its sign.

        And how the search ended: 0, `density_fits.AT_BOUND` or `density_fits.LOST` (then NaN).
        """
        error, column = float(best.errors[index]), best.covariance[index]
        if not error > 0 or not np.isfinite(column).all():
            error, column = float(self.structure.scale[index]), np.full(len(self.names), np.nan)
        place, goal, fixed = best.values, best.twice_nll + sigmas**2, held | (np.arange(len(held)) == index)
        for _ in range(VALLEYS):
            end, there, flag = density_fits.crossing(
                self.structure, data, place, best.twice_nll, error, column, held, index, sigmas, precision
            )
            if flag or not len(self.sided):
                return end, flag
            there[index] = end
            place, value, _, how = self.minimise(data, there, fixed)
            if how != density_fits.CONVERGED or value > goal - ends.VALLEY:
                return end, flag
            column = np.full(len(self.names), np.nan)  # another valley is deeper here: on to its end
        return math.nan, density_fits.LOST

    def experiment(self, data: densities.Data, start: Floats, precision: float) -> Experiment:
        """Return best fit and interval of the parameter of interest, ends to *precision* in standard deviations."""
        held, index = self.fixed, self.index
        if not len(self.sided):
            best, error, *rest = density_fits.experiment(self.structure, data, start, held, index, precision)
            low, high, lowest, how, end = rest
            return Experiment(float(best[index]), error, low, high, lowest, int(how), int(end))
        place, value, hessian, how = self.minimise(data, start, held)
        if how != density_fits.CONVERGED:
            return Experiment(float(place[index]), math.nan, math.nan, math.nan, value, how, density_fits.LOST)
        found = self._result(place, value, hessian, how, held)
        sides = [self.end(data, found, index, side, held, precision=precision) for side in (-1.0, 1.0)]
        (low, one), (high, two) = sides
        return Experiment(float(place[index]), float(found.errors[index]), low, high, value, how, max(one, two))

    # --- what every likelihood answers (`likelihoods.Likelihood`) ---------------------------------------------------

    def best(self, data: densities.Data, fixed: Mapping[str, float] | None = None) -> FitResult:
        """Return the best fit of one data set, some parameters *fixed* at these values."""
        return self.fit(data, self.point(fixed or {}), np.array([name in (fixed or {}) for name in self.names]))

    def minima(self, data: densities.Data, start: Floats, held: Booleans, near: Floats) -> Minima:
        """Return a fit for every row of *start* (rows, parameters)."""
        centres = np.broadcast_to(data.centre, start.shape)
        rows = zip(centres, start, held, strict=True)
        found = [self.minimise(data._replace(centre=centre.copy()), begin, fixed) for centre, begin, fixed in rows]
        ends, number = np.array([end for *_, end in found]), np.zeros(len(found), dtype=np.int64)
        return Minima(np.array([row[0] for row in found]), np.array([row[1] for row in found]), ends, number)

    def interval(self, data: densities.Data, best: FitResult, parameter: str) -> Interval:
        """Return the profile-likelihood interval of a parameter, with what is wrong with it."""
        return by_profile(self, data, best, parameter)

    def intervals(
        self, minima: Minima, parameter: str, data: densities.Data, fixed: Booleans, *, tolerance: float = 1e-10
    ) -> Intervals:
        """Return the interval of a parameter around every minimum; *tolerance*: of the square of the ends."""
        index, rows = self.names.index(parameter), []
        for start, held in zip(minima.values, np.broadcast_to(fixed, minima.values.shape), strict=True):
            best = self.fit(data, start, held)
            sides = [self.end(data, best, index, side, held, precision=math.sqrt(tolerance)) for side in (-1.0, 1.0)]
            flags = sum(bit * (flag == density_fits.AT_BOUND) for bit, (_, flag) in zip((1, 2), sides, strict=True))
            lost = any(flag == density_fits.LOST for _, flag in sides)
            rows.append((sides[0][0], sides[1][0], best.errors[index], flags + 4 * lost))
        low, high, error, flags = np.array(rows).T
        return Intervals(low, high, error, flags.astype(np.int64))

    def shifted(self, data: densities.Data, sign: float) -> tuple[Integers, densities.Data]:
        """Return the constrained parameters, and the data with the auxiliary measurement of each one deviation off."""
        index = np.flatnonzero(self.constrained)
        return index, data._replace(centre=data.centre + sign * self.fluctuated(np.eye(len(self.names)))[index])

    def constraints(self, data: densities.Data) -> tuple[Floats, Floats]:
        """Return the auxiliary measurements of all parameters and their widths; NaN without a constraint."""
        return np.where(self.constrained, data.centre, np.nan), np.where(self.constrained, self.widths, np.nan)

    def main_part(self, data: densities.Data, best: FitResult, parameter: str) -> float:
        """Return NaN: the rest of the variance tells it."""
        return math.nan

    def saturated(self, data: densities.Data, best: FitResult) -> tuple[float, int]:
        """Return NaN: events have no saturated model."""
        return math.nan, 0

    def log_ratio(self, data: densities.Data, values: Floats) -> Floats:
        """Return ln R of all single events of *data* at *values*, in their order there, (events,)."""
        s, last = self.structure, data.start[self.folds]
        z, term = values[s.learned], np.repeat(np.arange(self.folds), np.diff(data.start[: self.folds + 1]))
        terms, monomials = np.prod(z**s.powers, axis=1), np.prod(z**s.monomials, axis=1)
        common = self.rates(values) * np.exp((s.yields @ terms)[s.region] - s.norms @ terms)
        total = np.zeros(last)
        for index, part in enumerate(data.ratio[:, :last]):
            columns = slice(s.first[index], s.first[index + 1])
            total += common[term, index] * part * np.exp(monomials[columns] @ data.slope[columns, :last])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.maximum(total, 0.0)))

    def responses(self, values: Floats, process: Integers, fold: Integers, events: Floats) -> Floats:
        """Return the factor on the weights of nominal *events* at *values*: kappa n(z) / n(0) S / M, (events,).

        *fold*: fold, or term, of each.
        """
        s, z = self.structure, values[self.structure.learned]
        terms = np.prod(z**s.powers, axis=1)
        common = (s.yields @ terms)[s.region] - s.norms @ terms
        found = self.rates(values)[process] * np.exp(common[fold, process])
        monomials = np.prod(z**s.monomials, axis=1)
        for index in range(len(self.processes)):
            inside, columns = process == index, slice(s.first[index], s.first[index + 1])
            slopes = events[inside, len(self.processes) :][:, columns].astype(np.float64)
            found[inside] *= np.exp(slopes @ monomials[columns])
        return np.asarray(found)

    def intensities(self, values: Floats, fold: Integers, events: Floats) -> Floats:
        """Return the intensities of all processes at *events* (as `widened`), up to a factor of each event."""
        size, number = len(self.processes), len(events)
        moved = [self.responses(values, np.full(number, index), fold, events) for index in range(size)]
        return np.asarray(np.exp(events[:, :size] + self._log_number[fold]) * np.stack(moved, axis=1))

    def information(self, data: densities.Data, values: Floats) -> Floats:
        """Return half the Hessian of -2 ln L at *values* without the constraints (parameters, parameters)."""
        return np.asarray(0.5 * self.twice_nll(data, values)[2] - self.structure.precision)

    def expected(self, values: Floats) -> Floats:
        """Return the expected events of every process, in all regions together."""
        z = values[self.structure.learned]
        terms = np.prod(z**self.structure.powers, axis=1)
        return np.asarray(
            (self.structure.number * self.rates(values) * np.exp(self.structure.yields @ terms)).sum(axis=0)
        )

    def bin_responses(self, values: Floats) -> Floats:
        """Return the factors on the expected events in all bins of regions with bins, (bins, processes)."""
        size = len(self.processes)
        found = [
            self.responses(values, np.full(len(self.bins), index), self.bin_terms, self.bins) for index in range(size)
        ]
        return np.stack(found, axis=1)

    def rates(self, values: Floats) -> Floats:
        """Return the factors on all processes by signal strength, free rates, luminosity and rates."""
        s, x = self.structure, values[:, None]
        return np.asarray(np.prod(np.where(s.linear, x, interpolation.factor(s.rates, x)), axis=0))


def _covariance(hessian: Floats, free: Booleans) -> tuple[Floats, str]:
    """Return the inverse of half the *hessian* over the *free* parameters (0 elsewhere), and why there is none."""
    covariance, part = np.zeros(hessian.shape), 0.5 * hessian[np.ix_(free, free)]
    if not free.any():
        return covariance, ""
    size = np.sqrt(np.maximum(np.diagonal(part), 1e-300))
    if not np.isfinite(part).all() or np.linalg.eigvalsh(part / np.outer(size, size)).min() <= 1e-12:
        return covariance, "the Hessian is not positive definite: a direction is flat"
    covariance[np.ix_(free, free)] = np.linalg.inv(part)
    return covariance, ""
