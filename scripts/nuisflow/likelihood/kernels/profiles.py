"""Compiled profile-likelihood intervals (MINOS) of one parameter, many data sets one by one, with care."""

# ruff: noqa: PLR0912, PLR0917 (compiled functions take their arrays by position)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.derivatives import evaluate, local_slope
from nuisflow.likelihood.kernels.minimisation import (
    CONVERGED,
    FLAT,
    INFINITE,
    NEGATIVE,
    copy,
    factorise,
    minimise,
    solve,
)
from nuisflow.likelihood.kernels.rates import (
    DATA,
    FIXED,
    GAMMA,
    GRADIENT,
    HELD,
    JOINT,
    KEPT,
    POINT,
    RATE,
    RESIDUAL,
    SCALE,
    SOLUTION,
    STEP,
    UNDER,
    Work,
    allocate,
    load,
)
from nuisflow.likelihood.plans import FULL, LOWER, MIXED, UPPER, Plan

AT_LOWER, AT_UPPER, FAILED, BETTER, AT_EDGE = 1, 2, 4, 8, 16  # flags of an interval
_EDGE = 1e-7  # precision of an end at the edge of the physical region, in units of the first step


@compiled
def _inside(plan: Plan, work: Work, also: int) -> int:
    """List the parameters that are neither fixed nor at a bound, and parameter *also*, in work.free; count them."""
    count = 0
    for p in range(work.free.size):
        x, full = work.dense[POINT, p], plan.dense[p, FULL]
        inside = plan.parameters[LOWER, full] < x < plan.parameters[UPPER, full]
        if p == also or (inside and work.dense[FIXED, p] == 0.0):
            work.free[count] = p
            count += 1
    return count


@compiled
def _derivative(plan: Plan, work: Work, dense: int, b: int) -> float:
    """Return d(-ln L)/d(parameter) where a fit with this parameter held has ended."""
    if dense < 0:
        return local_slope(plan, work, b)
    slope: float = work.dense[GRADIENT, dense]  # of the point before the last step, which is small
    for q in range(work.free.size):
        slope += work.squares[0, dense, q] * work.dense[STEP, q]
    return slope


@compiled
def _tangent(plan: Plan, work: Work, dense: int, tangent: Floats) -> float:
    """Return the standard deviation of a dense parameter; set how the others follow it along its profile."""
    count, place = _inside(plan, work, dense), 0
    for p in range(work.free.size):
        tangent[p] = 0.0
    if factorise(work, count) > 0.0:
        return math.nan
    for i in range(count):
        place = i if work.free[i] == dense else place
        work.dense[SOLUTION, i] = 1.0 if work.free[i] == dense else 0.0
    solve(work, count)
    variance = work.dense[SOLUTION, place]
    for i in range(count):
        tangent[work.free[i]] = work.dense[SOLUTION, i] / variance
    return math.sqrt(variance)


@compiled
def _local_error(plan: Plan, work: Work, bin_: int, tangent: Floats) -> float:
    """Return the standard deviation of the local parameter of a bin; leave *tangent* at 0."""
    count = _inside(plan, work, work.free.size)
    for p in range(work.free.size):
        tangent[p] = 0.0
    if not work.bins[JOINT, bin_] > 0.0 or factorise(work, count) > 0.0:
        return math.nan
    rate, data, variance = work.bins[RATE, bin_], work.bins[DATA, bin_], 1.0 / work.bins[JOINT, bin_]
    two = data / (rate * rate) if data > 0.0 else 0.0
    for i in range(count):
        p = work.free[i]
        inner = work.slopes[1, p, bin_] if plan.local[bin_, MIXED] else work.slopes[0, p, bin_] / work.bins[SCALE, bin_]
        tangent[p] = (
            two * work.bins[UNDER, bin_] * work.slopes[0, p, bin_] + work.bins[RESIDUAL, bin_] * inner
        ) * variance
        work.dense[SOLUTION, i] = tangent[p]
    solve(work, count)
    for i in range(count):
        variance += work.dense[SOLUTION, i] * tangent[work.free[i]]
    for p in range(work.free.size):
        tangent[p] = 0.0
    return math.sqrt(variance)


@compiled
def _crossing(plan: Plan, work: Work, dense: int, bin_: int, best: float, bound: float, guess: float, base: float,
              target: float, tangent: Floats, tolerance: float) -> tuple[float, int]:  # fmt: skip
    """Return where sqrt(2 (-ln L - *base*)) of the profile reaches *target* between *best* and *bound*, and flags.

    Where no point with the parameter beyond some value is physical, the interval ends there.
    """
    inside, outside, here, at, edge = best, math.inf, guess, best, False
    if (here - bound) * (bound - best) > 0.0 or here == best:
        here = bound
    copy(work, POINT, KEPT)
    for _ in range(60):
        for p in range(plan.dense.shape[0]):
            if not work.dense[FIXED, p]:
                full = plan.dense[p, FULL]
                work.dense[POINT, p] = min(
                    max(work.dense[POINT, p] + (here - at) * tangent[p], plan.parameters[LOWER, full]),
                    plan.parameters[UPPER, full],
                )
        before, at = at, here
        if dense >= 0:
            work.dense[POINT, dense] = here
        else:
            work.bins[GAMMA, bin_] = here
        value, status, _ = minimise(plan, work, tolerance)
        if status not in (CONVERGED, INFINITE, FLAT, NEGATIVE):
            return math.nan, FAILED
        if value < base - 1e-5:
            return math.nan, FAILED | BETTER
        height = math.sqrt(max(2.0 * (value - base), 0.0))
        if here == bound and height <= target:
            return bound, AT_UPPER if bound > best else AT_LOWER
        slope = _derivative(plan, work, dense, bin_) / height if 0.0 < height < math.inf else 0.0
        follow = here + (target - height) / slope if slope != 0.0 else math.inf
        if abs(height - target) < 1e-4 * target:
            return follow, 0
        if height < target:
            inside = here
        else:
            outside, edge = here, status == NEGATIVE
        if edge and abs(outside - inside) <= _EDGE * abs(guess - best):
            return inside, AT_EDGE | (AT_UPPER if bound > best else AT_LOWER)
        if math.isinf(outside):
            if not (follow - here) * (bound - best) > 0.0 or abs(follow - best) > 4.0 * abs(here - best):
                follow = best + 2.0 * (here - best)
            if (follow - bound) * (bound - best) > 0.0:
                follow = bound
        elif not (follow - inside) * (outside - follow) > 0.0:
            follow = 0.5 * (inside + outside)
        if status in (INFINITE, NEGATIVE):
            copy(work, KEPT, POINT)
            at = before
        else:
            copy(work, POINT, KEPT)
        here = follow
    return math.nan, FAILED


@compiled
def position(table: Integers, index: int) -> int:
    """Return the row of a parameter, -1 if it is not in the table."""
    for row in range(table.shape[0]):
        if table[row, FULL] == index:
            return row
    return -len(table) // len(table)  # -1, but not as a literal, which would be a type of its own


@entry
def intervals(plan: Plan, data: Floats, auxiliary: Floats, fixed: Booleans, best: Floats, values: Floats, index: int,
              target: float, tolerance: float, result: Floats) -> None:  # fmt: skip
    """Find the profile-likelihood interval of parameter *index* around each best fit.

    *values* are -ln L at *best*; the ends are where 2 (-ln L) has grown by target^2. Write (low, high, standard
    deviation, flags) into *result*.
    """
    work, tangent = allocate(plan), np.empty(plan.dense.shape[0])
    dense, bin_ = position(plan.dense, index), position(plan.local, index)
    for i in range(best.shape[0]):
        f, a, d = min(i, fixed.shape[0] - 1), min(i, auxiliary.shape[0] - 1), min(i, data.shape[0] - 1)
        load(plan, work, data[d], auxiliary[a], best[i], fixed[f])
        if not evaluate(plan, work) < math.inf:
            result[i, :3], result[i, 3] = math.nan, FAILED
            continue
        error = _tangent(plan, work, dense, tangent) if dense >= 0 else _local_error(plan, work, bin_, tangent)
        result[i, 2], flags, at = error, 0, best[i, index]
        size = error if error > 0.0 else 0.1 * (plan.parameters[UPPER, index] - plan.parameters[LOWER, index])
        for side in range(2):
            load(plan, work, data[d], auxiliary[a], best[i], fixed[f])
            if dense >= 0:
                work.dense[FIXED, dense] = True
            else:
                work.bins[HELD, bin_] = True
            bound = plan.parameters[UPPER, index] if side else plan.parameters[LOWER, index]
            guess = at + (size if side else -size) * target
            result[i, side], flag = bound, AT_UPPER if side else AT_LOWER
            if at != bound:
                result[i, side], flag = _crossing(plan, work, dense, bin_, at, bound, guess, values[i], target,
                                                  tangent, tolerance)  # fmt: skip
            flags |= flag
        result[i, 3] = flags
