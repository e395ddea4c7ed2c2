"""Compiled profile-likelihood intervals (MINOS) of many data sets side by side: one Newton search per end.

An end is where -ln L, minimised over all other parameters, has grown by t^2/2. Every step solves this for the quadratic
model at the present point, in all parameters at once, instead of fitting again at one value after the other. Whatever
is not a plain way outwards (a bound, an indefinite Hessian, a deeper minimum) is left to profiles.
"""

# ruff: noqa: E741, PLR0917 (compiled functions take their arrays by position; l is a lane)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.lane_derivatives import evaluate
from nuisflow.likelihood.kernels.lanes import (
    EXACT,
    FREE,
    GRADIENT,
    LANES,
    NLL,
    POINT,
    RATE,
    SOLUTION,
    STEP,
    Lanes,
    allocate,
)
from nuisflow.likelihood.kernels.newton import DEFINITE, SLOPE, SQUARE, UNFINISHED, factorise, follow, movable, solve
from nuisflow.likelihood.kernels.profiles import position
from nuisflow.likelihood.plans import FULL, LOWER, UPPER, Plan

_ROUNDS = 15


@compiled
def _solve_twice(plan: Plan, work: Lanes, dense: int) -> None:
    """Set step to the Newton step and slope to that along it; solution to column *dense* of the inverse Hessian."""
    movable(plan, work)
    factorise(work)
    solve(work)
    work.sums[SLOPE, :] = work.sums[SQUARE]
    for p in range(plan.dense.shape[0]):
        work.dense[STEP, p, :] = work.dense[SOLUTION, p]
        work.dense[GRADIENT, p, :] = -1.0 if p == dense else 0.0
    solve(work)


@compiled
def _at_bound(plan: Plan, work: Lanes, l: int) -> bool:
    """Return whether a free parameter of a lane is at a bound."""
    found = False
    for p in range(plan.dense.shape[0]):
        x, full = work.dense[POINT, p, l], plan.dense[p, FULL]
        inside = plan.parameters[LOWER, full] < x < plan.parameters[UPPER, full]
        found = found or (work.dense[FREE, p, l] > 0.0 and not inside)
    return found


@compiled
def _advance(plan: Plan, work: Lanes, l: int, dense: int, sign: float, room: float, target: float) -> tuple[bool, bool]:
    """Move a lane to the end of the interval in the quadratic model; return whether it may go on, and has arrived.

    *room*: how far the end lies above the minimum of the model. The model's -ln L, minimised over all else, grows by
    d^2 / (2 variance) at distance d from there.
    """
    variance, straight = -work.sums[SQUARE, l], work.dense[STEP, dense, l]
    share = sign * math.sqrt(2.0 * room / variance)
    square = share * share * variance + 2.0 * share * straight - work.sums[SLOPE, l]  # in standard deviations
    cut = False
    for p in range(plan.dense.shape[0]):
        full = plan.dense[p, FULL]
        new = work.dense[POINT, p, l] + work.dense[STEP, p, l] + share * work.dense[SOLUTION, p, l]
        within = min(max(new, plan.parameters[LOWER, full]), plan.parameters[UPPER, full])
        if within != new and work.dense[FREE, p, l] > 0.0:
            cut = True
            if p == dense:
                return False, False
        work.dense[POINT, p, l] = within if work.dense[FREE, p, l] > 0.0 else work.dense[POINT, p, l]
    return square < 2.25 * target * target, not cut and square < 1e-6 * target * target


@entry
def intervals(plan: Plan, data: Floats, auxiliary: Floats, fixed: Booleans, best: Floats, values: Floats, index: int,
              target: float, result: Floats) -> None:  # fmt: skip
    """Find the interval of the dense parameter *index* as profiles.intervals does; flags are UNFINISHED where not."""
    work, size, dense = allocate(plan), 2 * best.shape[0], position(plan.dense, index)
    rows, rounds, following, running = np.empty(LANES, np.int64), np.zeros(LANES, np.int64), 0, 0
    for l in range(LANES):  # row 2 i is the lower end of data set i, row 2 i + 1 the upper one
        rows[l] = l if l < size else -1
        follow(plan, work, l, min(l, size - 1) // 2, data, auxiliary, best, fixed)
        work.sums[EXACT, l] = 1.0
    following, running = min(LANES, size), min(LANES, size)
    result[:, 3] = 0.0
    while running > 0:
        evaluate(plan, work)
        _solve_twice(plan, work, dense)
        for l in range(LANES):
            if rows[l] < 0:
                continue
            i, side = rows[l] // 2, rows[l] % 2
            sign, lowest = 1.0 if side else -1.0, values[i]
            room = lowest + 0.5 * target * target - work.sums[NLL, l] - 0.5 * work.sums[SLOPE, l]
            good, arrived = work.sums[DEFINITE, l] > 0.0 and work.sums[NLL, l] >= lowest - 1e-5, False
            good = good and work.bins[RATE, :, l].min() >= 0.0  # else the physical region may end on the way
            good = good and room >= 0.0 and work.sums[SQUARE, l] < 0.0 and rounds[l] < _ROUNDS
            if rounds[l] == 0:
                good = good and not _at_bound(plan, work, l)
                result[i, 2] = math.sqrt(-work.sums[SQUARE, l])
            if good:
                good, arrived = _advance(plan, work, l, dense, sign, room, target)
            good = good and sign * (work.dense[POINT, dense, l] - best[i, index]) > 0.0
            rounds[l] += 1
            if good and not arrived:
                continue
            result[i, side] = work.dense[POINT, dense, l]
            result[i, 3] = result[i, 3] if good else UNFINISHED
            if following < size:
                follow(plan, work, l, following // 2, data, auxiliary, best, fixed)
                rows[l], rounds[l], work.sums[EXACT, l] = following, 0, 1.0
                following += 1
            else:
                rows[l] = -1
                running -= 1
