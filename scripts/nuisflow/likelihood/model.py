"""The likelihood of a HistFactory workspace: -2 ln L, exact gradient and Hessian, best fits and profile intervals.

Everything takes many data sets at once. Data are flat arrays in pyhf's order: main bins, then auxiliary data; leading
axis: data sets. Parameters are in pyhf's order too.
"""

import concurrent.futures
import copy
import itertools
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood import histfactory, plans
from nuisflow.likelihood.constraints.parameters import factors
from nuisflow.likelihood.dialects import extensions
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels import compilation
from nuisflow.likelihood.likelihoods import OfWorkspace

if TYPE_CHECKING:
    from nuisflow.likelihood.blocks.evaluation import Blocks

Values = npt.ArrayLike
CONVERGED, TOO_MANY, INFINITE, STUCK, FLAT, NEGATIVE = range(6)  # as kernels.minimisation, not loaded with this
EDGE = 1e-6  # a bin without data that expects fewer events lies at the edge of the physical region
LARGE = 100  # parameters that act on several bins, from which matrix products per channel are faster
FEW = 16  # data sets fitted side by side take the time of about so many fitted one by one
MESSAGES = (
    "converged",
    "not converged: too many iterations",
    "not converged: a bin with data has no expected events at the start",
    "not converged: no descent along the Newton step",
    "not converged: a direction is flat (the Hessian is not positive definite at the minimum)",
    "not converged: a bin without data expects a negative number of events, whatever the free parameters are",
)


class Derivatives(NamedTuple):
    """-2 ln L with all constants (points), its gradient (points, parameters) and Hessian (points, par., par.)."""

    twice_nll: Floats
    gradient: Floats
    hessian: Floats


class Minima(NamedTuple):
    """Best fits of many data sets: values (sets, parameters); *status* 0: converged, else see MESSAGES."""

    values: Floats
    twice_nll: Floats
    status: Integers
    iterations: Integers


class Intervals(NamedTuple):
    """Profile-likelihood intervals of one parameter, and its standard deviation from the exact Hessian.

    *flags* add up: 1 lower end at the bound, 2 upper end at the bound, 4 an end was not found, 8 a deeper minimum was
    found on the way, 16 such a bound is the edge of the physical region (where a bin would expect fewer than 0 events).
    """

    low: Floats
    high: Floats
    error: Floats
    flags: Integers


class Problem(NamedTuple):
    """What is to be fitted: rows belong to one data set each; a single row to all."""

    data: Floats
    auxiliary: Floats
    start: Floats
    fixed: Booleans

    def part(self, rows: slice | Integers) -> "Problem":
        """Return these rows; single ones stay."""
        data, auxiliary, start = (row[rows] if len(row) > 1 else row for row in self[:3])
        return Problem(data, auxiliary, start, self.fixed[rows] if len(self.fixed) > 1 else self.fixed)


def default_workers() -> int:
    """Return the number of threads that the environment grants (NUMBA_NUM_THREADS, OMP_NUM_THREADS), else 1."""
    return max(1, int(os.environ.get("NUMBA_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or 1))


class Model(OfWorkspace):
    """A pyhf workspace (also a `pyhf.Workspace`, or what `histfactory` read of one), compiled for one measurement.

    Interpolation codes: *normsys* code1, code4 or combine, *histosys* code0, code2 or code4p (default: the workspace's
    extensions, else pyhf's defaults code4 and code4p).
    Raise ValueError, with channel, sample, bin and parameter, where the workspace is not valid.
    """

    def __init__(self, workspace: Mapping[str, Any] | histfactory.Structure, measurement: str | None = None, *,
                 normsys: str | None = None, histosys: str | None = None) -> None:  # fmt: skip
        compilation.ready()
        self.structure = (
            workspace if isinstance(workspace, histfactory.Structure) else histfactory.read(workspace, measurement)
        )
        self.pieces = extensions.split(self.structure)
        self.plan = plans.build(self.pieces, normsys, histosys)
        self.parameters = self.structure.parameters
        self.names = tuple(row.name for row in self.parameters)
        self.poi, self.channels = self.structure.poi, self.structure.channels
        self.inits = np.array([row.init for row in self.parameters])
        self.fixed = np.array([row.fixed for row in self.parameters])
        self.lower, self.upper = self.plan.parameters[:2]
        self.constrained: Integers = np.flatnonzero([row.constraint != "none" for row in self.parameters])
        self.bins = len(self.structure.observed)
        self.auxiliary = np.array([row.auxiliary for row in self.parameters])
        self.data = np.concatenate([self.structure.observed, self.auxiliary[self.constrained]])
        self._side_by_side = plans.simple(self.plan)
        self._blocks: Blocks | None = None
        self.sided: Integers | None = None
        self.curved: Integers | None = None
        """Where minima may lie on both sides of 0, and anywhere within bounds, once `starts` has found out."""
        self._check_rates()

    def _check_rates(self) -> None:
        """Refuse a workspace that expects fewer than 0 events in a bin at the initial values."""
        rates = self.expected(self.inits)
        if (rates < 0).any():
            worst = int(np.argmin(rates))
            raise ValueError(f"{self.place(worst)}: {rates[worst]:.4g} events are expected at the initial values of "
                             f"the parameters; a rate cannot be negative")  # fmt: skip

    @property
    def large(self) -> bool:
        """Tell whether this model has so many parameters that it is fitted in blocks."""
        from nuisflow.likelihood.blocks import evaluation

        return len(self.plan.dense) >= LARGE and evaluation.possible(self.plan)

    @property
    def blocks(self) -> "Blocks":
        """Return the model laid out in blocks (only if it is *large*)."""
        from nuisflow.likelihood.blocks import evaluation

        self._blocks = self._blocks or evaluation.Blocks(self.plan)
        return self._blocks

    def bounded(self, bounds: Mapping[str, tuple[float | None, float | None]]) -> "Model":
        """Return the same model with other lower and upper bounds of some parameters (None: as before)."""
        table = self.plan.parameters.copy()
        for name, ends in bounds.items():
            for row, end in enumerate(ends):
                table[row, self.index(name)] = table[row, self.index(name)] if end is None else end
        other = copy.copy(self)
        other.plan, other.lower, other.upper = self.plan._replace(parameters=table), table[0], table[1]
        other._blocks = None
        return other

    def of_interest(self, name: str) -> "Model":
        """Return the same model with another parameter of interest."""
        other = copy.copy(self)
        other.poi = self.names[self.index(name)]
        return other

    def place(self, bin_: int) -> str:
        """Name a bin: "channel c, bin 3"."""
        name, first, _ = next(row for row in self.channels if row[1] <= bin_ < row[2])
        return f"channel {name}, bin {bin_ - first}"

    def index(self, name: str) -> int:
        """Return the position of a parameter."""
        if name not in self.names:
            raise ValueError(f"no parameter {name!r}; there are: {', '.join(self.names)}")
        return self.names.index(name)

    def point(self, values: Mapping[str, float] | Values | None = None) -> Floats:
        """Return all parameter values: from an array, or the initial ones with some replaced by name."""
        if values is None or isinstance(values, Mapping):
            point = self.inits.copy()
            for name, value in (values or {}).items():
                point[self.index(name)] = value
            return point
        array = np.array(values, dtype=np.float64)
        if array.shape[-1:] != self.inits.shape:
            raise ValueError(
                f"parameter values of shape {array.shape}: the last axis must have {len(self.inits)} entries"
            )
        return array

    def split(self, data: Values | None = None) -> tuple[Floats, Floats]:
        """Return main data (sets, bins) and auxiliary data (sets, parameters; NaN where there are none), checked."""
        flat = np.atleast_2d(np.array(self.data if data is None else data, dtype=np.float64))
        if flat.shape[1] == self.bins:
            flat = np.hstack([flat, np.broadcast_to(self.data[self.bins :], (len(flat), len(self.constrained)))])
        if flat.shape[1] != len(self.data):
            raise ValueError(f"data of shape {flat.shape}: expected {self.bins} bins, or {len(self.data)} numbers with "
                             f"the auxiliary data")  # fmt: skip
        main = np.ascontiguousarray(flat[:, : self.bins])
        bad = np.argwhere(~(main >= 0) | np.isinf(main))
        if len(bad):
            raise ValueError(
                f"data: {self.place(int(bad[0][1]))} is {main[tuple(bad[0])]}; it must be finite and not negative"
            )
        auxiliary = np.full((len(flat), len(self.parameters)), np.nan)
        auxiliary[:, self.constrained] = flat[:, self.bins :]
        if not np.isfinite(flat[:, self.bins :]).all():
            raise ValueError("data: the auxiliary data must be finite numbers")
        return main, auxiliary

    def expected(self, values: Mapping[str, float] | Values | None = None) -> Floats:
        """Return the expected main data (..., bins) at *values*."""
        rates = self._cells(self.point(values), slopes=False)[0]
        total = np.zeros((*rates.shape[:-1], self.bins))
        for first, last, start in self.plan.cells[:-1, :3]:
            total[..., first:last] += rates[..., start : start + last - first]
        return total

    def cells(self, values: Mapping[str, float] | Values | None = None) -> tuple[Floats, Floats]:
        """Return the rates of all samples in all channels, bin by bin, and their derivatives by the parameters."""
        return self._cells(self.point(values), slopes=True)

    def _cells(self, point: Floats, *, slopes: bool) -> tuple[Floats, Floats]:
        from nuisflow.likelihood.kernels import derivatives  # numba is imported on first use

        points = np.atleast_2d(point)
        rates = np.zeros((len(points), self.plan.nominal.size))
        jacobian = np.zeros((*rates.shape, len(self.parameters)) if slopes else (0, 0, 0))
        nothing, empty = np.zeros((1, self.bins)), np.zeros((0, 0, 0))
        derivatives.derivatives_at(
            self.plan, nothing, points, points, np.zeros(0), np.zeros((0, 0)), empty, rates, jacobian
        )
        return (rates[0], jacobian[0] if slopes else jacobian) if point.ndim == 1 else (rates, jacobian)

    def asimov(self, values: Mapping[str, float] | Values | None = None) -> Floats:
        """Return the data (main and auxiliary) whose best fit is *values* (default: the initial values).

        Rates that are negative by rounding, at the edge of the physical region, are 0.
        """
        point = self.point(values)
        main = self.expected(point)
        main = np.where((main < 0.0) & (main > -EDGE), 0.0, main)
        return np.concatenate([main, (point * factors(self.parameters))[..., self.constrained]], axis=-1)

    def derivatives(
        self, values: Mapping[str, float] | Values | None = None, data: Values | None = None
    ) -> Derivatives:
        """Return -2 ln L with all constants (as -2 x pyhf's logpdf), and its exact first and second derivatives."""
        from nuisflow.likelihood.kernels import derivatives

        points = np.atleast_2d(self.point(values))
        main, auxiliary = self.split(data)
        size, width = max(len(points), len(main)), len(self.parameters)
        points = np.array(np.broadcast_to(points, (size, width)))
        result = Derivatives(np.empty(size), np.full((size, width), np.nan), np.full((size, width, width), np.nan))
        empty = np.zeros((0, 0, 0))
        derivatives.derivatives_at(self.plan, main, auxiliary, points, *result, np.zeros((0, 0)), empty)
        return Derivatives(*(2.0 * part for part in result))

    def twice_nll(self, values: Mapping[str, float] | Values | None = None, data: Values | None = None) -> Floats:
        """Return -2 ln L (points or data sets) with all constants."""
        return self.derivatives(values, data).twice_nll

    def constants(self, data: Values | None = None) -> Floats:
        """Return -2 ln L of the saturated model (sets): all main and auxiliary data equal to their expectation."""
        from nuisflow.likelihood.kernels import rates

        main, auxiliary = self.split(data)
        result = np.empty(len(main))
        rates.constants_of_all(self.plan, main, auxiliary, result)
        return 2.0 * result

    def minimise(self, data: Values | None = None, start: Mapping[str, float] | Values | None = None,
                 fixed: npt.ArrayLike | None = None, tolerance: float = 1e-6, workers: int | None = None,
                 *, near: Floats | None = None) -> Minima:  # fmt: skip
        """Fit every data set from *start*, with the parameters *fixed* (booleans) held there.

        *start* and *fixed* are for all sets or per set. Fits end when -ln L can fall by less than *tolerance*; the
        last Newton step still follows, so that the distance from the minimum is about the square of it. Data sets do
        not influence each other, but for the choice between one by one and (from FEW on) side by side. *near*: a point
        to which the fits of a *large* model are close (default: their only start, or the initial values).
        """
        from nuisflow.likelihood import covariances  # which imports this module, as do corners
        from nuisflow.likelihood.valleys import corners

        problem = self._problem(data, np.atleast_2d(self.point(start)), fixed)
        begin = np.clip(problem.start, self.lower, self.upper)
        problem = problem._replace(start=np.where(problem.fixed, problem.start, begin))
        size = max(len(part) for part in problem)
        values, result = np.empty((size, len(self.parameters))), np.full((size, 3), -1.0)
        if self.large:
            self._in_blocks(problem, near, tolerance, values, result)
        elif self._side_by_side and size >= FEW:
            _share(lambda rows: self._newton(problem.part(rows), tolerance, values[rows], result[rows]), size, workers)
        left = np.flatnonzero(result[:, 1] < 0)
        _share(lambda rows: self.one_by_one(problem, left[rows], tolerance, values, result), len(left), workers)
        corners.settle(self, problem, tolerance, values, result)
        covariances.settle(self, problem, tolerance, values, result)
        twice = 2.0 * result[:, 0] + np.broadcast_to(self.constants(data), size)
        return Minima(values, twice, result[:, 1].astype(np.int64), result[:, 2].astype(np.int64))

    def _problem(self, data: Values | None, start: Floats, fixed: npt.ArrayLike | None) -> Problem:
        held = np.atleast_2d(self.fixed if fixed is None else np.array(fixed, dtype=np.bool_, order="C"))
        return Problem(*self.split(data), np.ascontiguousarray(start), held)

    def _in_blocks(
        self, problem: Problem, near: Floats | None, tolerance: float, values: Floats, result: Floats
    ) -> None:
        """Fit a large model; the status stays negative where that is not enough."""
        from nuisflow.likelihood.blocks import steps

        start = problem.start[0] if len(problem.start) == 1 else self.inits
        own = steps.chosen(self.blocks, steps.Problem(*problem), start, near)
        if own is not None:
            steps.fit(self.blocks, own, steps.Problem(*problem), tolerance, values, result)

    def _newton(self, problem: Problem, tolerance: float, values: Floats, result: Floats) -> None:
        """Fit data sets side by side; the status stays negative where that is not enough."""
        from nuisflow.likelihood.kernels import newton

        newton.fit(self.plan, *problem, tolerance, values, result)

    def one_by_one(self, problem: Problem, rows: Integers, tolerance: float, values: Floats, result: Floats) -> None:
        """Fit these data sets one after the other."""
        from nuisflow.likelihood.kernels import minimisation

        best, found = values[rows], result[rows]
        minimisation.fit(self.plan, *problem.part(rows), tolerance, best, found)
        values[rows], result[rows] = best, found

    def errors(self, minima: Minima, data: Values | None = None, fixed: npt.ArrayLike | None = None,
               workers: int | None = None) -> Floats:  # fmt: skip
        """Return the standard deviations (sets, parameters) from the exact Hessian at each best fit.

        0 for fixed parameters; NaN where a fit did not converge or its Hessian has no inverse.
        """
        from nuisflow.likelihood import covariances
        from nuisflow.likelihood.kernels import newton

        problem, size = self._problem(data, minima.values, fixed), len(minima.values)
        result = np.full((size, len(self.parameters)), np.nan)
        if self._side_by_side and size >= FEW:
            _share(lambda rows: newton.errors(self.plan, *problem.part(rows), result[rows]), size, workers)
        for i in np.flatnonzero(np.isnan(result).any(axis=1) & (minima.status == 0)):
            one = problem.part(np.array([i]))
            flat = np.hstack([one.data, one.auxiliary[:, self.constrained]])
            result[i] = np.sqrt(np.diagonal(covariances.covariance(self, flat, minima.values[i], one.fixed[0])[0]))
        result[minima.status != 0] = np.nan
        return result

    def crossings(self, minima: Minima, parameter: str, data: Values | None = None,
                  fixed: npt.ArrayLike | None = None, *, sigmas: float = 1.0, tolerance: float = 1e-6,
                  workers: int | None = None) -> Intervals:  # fmt: skip
        """Find where -2 ln L rises by sigmas^2 on both sides, in the valley of each best fit; see `fits.intervals`."""
        problem, lowest = self._problem(data, minima.values, fixed), 0.5 * (minima.twice_nll - self.constants(data))
        index, size = self.index(parameter), len(minima.values)
        result = np.full((size, 4), -1.0)
        free = not problem.fixed[:, index].any() and index in self.plan.dense[:, plans.FULL]
        if self.large:
            from nuisflow.likelihood.blocks import crossings, steps

            crossings.intervals(self.blocks, steps.Problem(*problem), lowest, index, sigmas, tolerance, result)
        elif self._side_by_side and size >= FEW and free:
            _share(lambda rows: self._crossings(problem.part(rows), lowest[rows], index, sigmas, result[rows]),
                   size, workers)  # fmt: skip
        left = np.flatnonzero(result[:, 3] < 0)

        def work(rows: slice) -> None:
            result[left[rows]] = self._profiles(problem.part(left[rows]), lowest[left[rows]], index, sigmas, tolerance)

        _share(work, len(left), workers)
        return Intervals(result[:, 0], result[:, 1], result[:, 2], result[:, 3].astype(np.int64))

    def _crossings(self, problem: Problem, lowest: Floats, index: int, sigmas: float, result: Floats) -> None:
        """Find intervals side by side; the flags stay negative where that is not enough."""
        from nuisflow.likelihood.kernels import crossings

        crossings.intervals(self.plan, problem.data, problem.auxiliary, problem.fixed, problem.start, lowest, index,
                            sigmas, result)  # fmt: skip

    def _profiles(self, problem: Problem, lowest: Floats, index: int, sigmas: float, tolerance: float) -> Floats:
        """Return intervals (low, high, error, flags), found one after the other."""
        from nuisflow.likelihood.kernels import profiles

        result = np.empty((len(lowest), 4))
        profiles.intervals(self.plan, problem.data, problem.auxiliary, problem.fixed, problem.start, lowest, index,
                           sigmas, tolerance, result)  # fmt: skip
        return result


def _share(work: Callable[[slice], None], size: int, workers: int | None) -> None:
    """Run *work* on slices of the data sets, on threads (compiled code releases the interpreter lock)."""
    count = min(workers or default_workers(), size)
    if not size:
        return None
    if count <= 1:
        return work(slice(0, size))
    edges = np.linspace(0, size, 4 * count + 1).astype(int)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, slice(a, b)) for a, b in itertools.pairwise(edges) if b > a]:
            future.result()
    return None
