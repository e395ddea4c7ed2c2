"""Compiled fits of many data sets side by side: Newton steps in every lane at once, each lane at its own pace.

A lane whose fit has ended takes the next data set. Whatever is not plain descent to a minimum (an indefinite Hessian,
a corner of several bounds, no data where the rate is 0) is left to minimisation, which fits one data set with care.
"""

# ruff: noqa: E741, PLR0917 (compiled functions take their arrays by position; l is a lane)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.lane_derivatives import evaluate
from nuisflow.likelihood.kernels.lanes import (
    CENTRE_OF_BIN,
    DATA,
    EXACT,
    FREE,
    GAMMA,
    GRADIENT,
    HELD,
    INVERSE,
    LANES,
    NLL,
    POINT,
    RATE,
    RESIDUAL,
    ROOT,
    SOLUTION,
    STEP,
    TRIAL,
    UNDER,
    Lanes,
    allocate,
    load,
    store,
    value,
)
from nuisflow.likelihood.plans import FULL, KIND, LOWER, UPPER, WIDTH, Plan

UNFINISHED = -1  # status of a fit that is left to minimisation
_ROUNDS = 30
# Rows of Lanes.sums that a minimisation keeps: lowest -ln L, share of the step, slope along it, whether the last point
# was accepted, whether the factor exists, whether a bound cut the step.
LOWEST, SHARE, SLOPE, ACCEPTED, DEFINITE, CUT, SQUARE, RENEWED = range(5, 13)


@compiled
def movable(plan: Plan, work: Lanes) -> None:
    """Set inverse to 1 for the parameters that are neither fixed nor at a bound that pulls outwards, else to 0."""
    for p in range(plan.dense.shape[0]):
        lower, upper = plan.parameters[LOWER, plan.dense[p, FULL]], plan.parameters[UPPER, plan.dense[p, FULL]]
        x, slope = work.dense[POINT, p], work.dense[GRADIENT, p]
        free, move = work.dense[FREE, p], work.dense[INVERSE, p]
        for l in range(LANES):
            below, above = x[l] <= lower and slope[l] >= 0.0, x[l] >= upper and slope[l] <= 0.0
            move[l] = 0.0 if below or above else free[l]


@compiled
def factorise(work: Lanes) -> None:
    """Put the Cholesky factor (of the parameters with inverse = 1) into matrix, 1 / its diagonal into inverse."""
    definite, square = work.sums[DEFINITE], work.sums[SQUARE]
    definite[:] = 1.0
    for i in range(work.dense.shape[1]):
        moves = work.dense[INVERSE, i]
        square[:] = 0.0
        for j in range(i):
            target, source, scale = work.matrix[i, j], work.hessian[i, j], work.dense[INVERSE, j]
            for l in range(LANES):
                target[l] = source[l]
            for k in range(j):
                one, two = work.matrix[i, k], work.matrix[j, k]
                for l in range(LANES):
                    target[l] -= one[l] * two[l]
            for l in range(LANES):
                target[l] *= scale[l] * moves[l]
            for l in range(LANES):
                square[l] += target[l] * target[l]
        source = work.hessian[i, i]
        for l in range(LANES):
            pivot = source[l] - square[l]
            bad = moves[l] > 0.0 and not pivot > 1e-13 * abs(source[l])
            definite[l] = 0.0 if bad else definite[l]
            moves[l] = 1.0 / math.sqrt(pivot) if moves[l] > 0.0 and pivot > 0.0 else 0.0


@compiled
def solve(work: Lanes) -> None:
    """Set solution to the Newton step of the movable parameters, square to the slope along it."""
    size, slope = work.dense.shape[1], work.sums[SQUARE]
    slope[:] = 0.0
    for i in range(size):
        x, gradient, scale = work.dense[SOLUTION, i], work.dense[GRADIENT, i], work.dense[INVERSE, i]
        for l in range(LANES):
            x[l] = -gradient[l]
        for k in range(i):
            row, other = work.matrix[i, k], work.dense[SOLUTION, k]
            for l in range(LANES):
                x[l] -= row[l] * other[l]
        for l in range(LANES):
            x[l] *= scale[l]
        for l in range(LANES):
            slope[l] -= x[l] * x[l]
    for i in range(size - 1, -1, -1):
        x, scale = work.dense[SOLUTION, i], work.dense[INVERSE, i]
        for k in range(i + 1, size):
            row, other = work.matrix[k, i], work.dense[SOLUTION, k]
            for l in range(LANES):
                x[l] -= row[l] * other[l]
        for l in range(LANES):
            x[l] *= scale[l]


@compiled
def _move(plan: Plan, work: Lanes) -> None:
    """Start a new step where the last point was accepted, and set point to trial + share x step within the bounds."""
    share, accepted, cut = work.sums[SHARE], work.sums[ACCEPTED], work.sums[CUT]
    slope, latest, definite, renewed = work.sums[SLOPE], work.sums[SQUARE], work.sums[DEFINITE], work.sums[RENEWED]
    cut[:] = 0.0
    for l in range(LANES):
        renewed[l] = accepted[l] * definite[l]
        share[l] = 0.0 if accepted[l] > renewed[l] else share[l]
        slope[l] = latest[l] if renewed[l] > 0.0 else slope[l]
    for p in range(plan.dense.shape[0]):
        lower, upper = plan.parameters[LOWER, plan.dense[p, FULL]], plan.parameters[UPPER, plan.dense[p, FULL]]
        x, trial, step, new = work.dense[POINT, p], work.dense[TRIAL, p], work.dense[STEP, p], work.dense[SOLUTION, p]
        for l in range(LANES):
            trial[l] = x[l] if accepted[l] > 0.0 else trial[l]
        for l in range(LANES):
            step[l] = new[l] if renewed[l] > 0.0 else step[l]
        for l in range(LANES):
            target = trial[l] + share[l] * step[l]
            within = min(max(target, lower), upper) if step[l] != 0.0 else trial[l]
            cut[l] = 1.0 if step[l] != 0.0 and within != target else cut[l]
            x[l] = within


@compiled
def _judge(work: Lanes, rounds: Integers) -> None:
    """Accept the points where -ln L fell as it should, shorten the step elsewhere; give up where nothing helps."""
    nll, lowest, share, slope = work.sums[NLL], work.sums[LOWEST], work.sums[SHARE], work.sums[SLOPE]
    for l in range(LANES):
        limit = lowest[l] + 1e-4 * share[l] * min(slope[l], 0.0) + 1e-13 * (1.0 + abs(lowest[l]))
        good = nll[l] < math.inf and (rounds[l] == 0 or nll[l] <= limit)
        work.sums[ACCEPTED, l] = 1.0 if good else 0.0
        lowest[l] = nll[l] if good else lowest[l]
        share[l] = 1.0 if good else 0.5 * share[l]
        if not good and (rounds[l] == 0 or share[l] < 1e-3 or rounds[l] > _ROUNDS):
            rounds[l] = -1


@compiled
def follow(plan: Plan, work: Lanes, l: int, row: int, data: Floats, auxiliary: Floats, start: Floats, fixed: Booleans,
          ) -> None:  # fmt: skip
    """Load data set *row* into a lane, which starts to follow it."""
    d, a = min(row, data.shape[0] - 1), min(row, auxiliary.shape[0] - 1)
    load(plan, work, l, data[d], auxiliary[a], start[min(row, start.shape[0] - 1)], fixed[min(row, fixed.shape[0] - 1)])
    work.sums[SHARE, l], work.sums[EXACT, l] = 1.0, 0.0


@compiled
def _settle(plan: Plan, work: Lanes, data: Floats, auxiliary: Floats, start: Floats, fixed: Booleans, values: Floats,
            result: Floats) -> None:  # fmt: skip
    """Set local parameters and -ln L after the last step of every fit; where it went up, the fit is not finished."""
    size = values.shape[0]
    for first in range(0, size, LANES):
        for l in range(LANES):
            i = min(first + l, size - 1)
            follow(plan, work, l, i, data, auxiliary, start, fixed)
            for p in range(plan.dense.shape[0]):
                if result[i, 1] == 0.0:
                    work.dense[POINT, p, l] = values[i, plan.dense[p, FULL]]
        value(plan, work)
        for l in range(min(LANES, size - first)):
            i = first + l
            good = work.sums[NLL, l] <= result[i, 0] + 1e-9 and work.bins[RATE, :, l].min() >= 0.0
            if result[i, 1] == 0.0 and good:
                store(plan, work, l, values[i])
                result[i, 0] = work.sums[NLL, l]
            else:
                result[i, 1] = UNFINISHED


@entry
def fit(plan: Plan, data: Floats, auxiliary: Floats, start: Floats, fixed: Booleans, tolerance: float,
        values: Floats, result: Floats) -> None:  # fmt: skip
    """Fit every data set as minimisation.fit does; the status is UNFINISHED where that has to take over."""
    work, size = allocate(plan), values.shape[0]
    rows, rounds = np.empty(LANES, np.int64), np.zeros(LANES, np.int64)
    for l in range(LANES):
        rows[l] = l if l < size else -1
        follow(plan, work, l, min(l, size - 1), data, auxiliary, start, fixed)
    following, running = min(LANES, size), min(LANES, size)
    while running > 0:
        evaluate(plan, work)
        _judge(work, rounds)
        movable(plan, work)
        factorise(work)
        solve(work)
        _move(plan, work)
        for l in range(LANES):
            if rows[l] < 0:
                continue
            i, accepted = rows[l], work.sums[ACCEPTED, l] > 0.0
            given_up = rounds[l] < 0 or rounds[l] >= _ROUNDS
            rounds[l] += 1
            last = accepted and work.sums[CUT, l] == 0.0 and -0.5 * work.sums[SLOPE, l] < tolerance
            last = last and work.sums[EXACT, l] > 0.0
            if accepted and work.sums[DEFINITE, l] == 0.0:
                given_up = given_up or work.sums[EXACT, l] == 0.0
                work.sums[EXACT, l], last = 0.0, False
            else:
                work.sums[EXACT, l] = 1.0
            if not given_up and not last:
                continue
            if not given_up:
                for p in range(plan.dense.shape[0]):
                    values[i, plan.dense[p, FULL]] = work.dense[POINT, p, l]
            result[i, 0], result[i, 1], result[i, 2] = work.sums[LOWEST, l], UNFINISHED if given_up else 0, rounds[l]
            if following < size:
                follow(plan, work, l, following, data, auxiliary, start, fixed)
                rows[l], rounds[l] = following, 0
                following += 1
            else:
                rows[l] = -1
                running -= 1
    _settle(plan, work, data, auxiliary, start, fixed, values, result)


@compiled
def _length(work: Lanes, from_: int) -> None:
    """Set square to y y' of the solution y of factor y = solution; entries before *from_* are 0."""
    square = work.sums[SQUARE]
    square[:] = 0.0
    for i in range(from_, work.dense.shape[1]):
        x, scale = work.dense[SOLUTION, i], work.dense[INVERSE, i]
        for k in range(from_, i):
            row, other = work.matrix[i, k], work.dense[SOLUTION, k]
            for l in range(LANES):
                x[l] -= row[l] * other[l]
        for l in range(LANES):
            x[l] *= scale[l]
        for l in range(LANES):
            square[l] += x[l] * x[l]


@compiled
def _bin_errors(plan: Plan, work: Lanes, b: int) -> None:
    """Set step[0] to the standard deviation of the local parameter of a bin (block inverse of the full Hessian)."""
    for p in range(plan.dense.shape[0]):
        work.dense[SOLUTION, p, :] = work.slopes[p, b]
    _length(work, 0)
    kind, width = plan.local[b, KIND], plan.parameters[WIDTH, plan.local[b, FULL]]
    for l in range(LANES):
        gamma, under, data, rate = (
            work.bins[GAMMA, b, l], work.bins[UNDER, b, l], work.bins[DATA, b, l], work.bins[RATE, b, l]
        )  # fmt: skip
        two = data / (rate * rate) if data > 0.0 else 0.0
        curvature = 1.0 / (width * width) if kind == 1 else work.bins[CENTRE_OF_BIN, b, l] / (gamma * gamma)
        joint = two * under * under + curvature
        cross = (two * under * gamma + work.bins[RESIDUAL, b, l]) / joint
        error = math.sqrt(1.0 / joint + cross * cross * work.sums[SQUARE, l])
        if work.bins[HELD, b, l] > 0.0:
            error = 0.0
        elif work.bins[ROOT, b, l] != gamma:  # at a bound: not profiled
            work.sums[DEFINITE, l] = 0.0
        work.dense[STEP, 0, l] = error


@entry
def errors(plan: Plan, data: Floats, auxiliary: Floats, best: Floats, fixed: Booleans, result: Floats) -> None:
    """Write the standard deviations of all parameters from the exact Hessian at *best*; NaN where it has no inverse."""
    work, size = allocate(plan), best.shape[0]
    for first in range(0, size, LANES):
        count = min(LANES, size - first)
        for l in range(LANES):
            follow(plan, work, l, min(first + l, size - 1), data, auxiliary, best, fixed)
            work.sums[EXACT, l] = 1.0
        evaluate(plan, work)
        for p in range(plan.dense.shape[0]):
            work.dense[INVERSE, p, :] = work.dense[FREE, p]
        factorise(work)
        for p in range(plan.dense.shape[0]):
            for i in range(p, plan.dense.shape[0]):
                work.dense[SOLUTION, i, :] = 1.0 if i == p else 0.0
            _length(work, p)
            for l in range(count):
                result[first + l, plan.dense[p, FULL]] = math.sqrt(work.sums[SQUARE, l])
        for b in range(plan.local.shape[0]):
            if plan.local[b, FULL] >= 0:
                _bin_errors(plan, work, b)
                for l in range(count):
                    result[first + l, plan.local[b, FULL]] = work.dense[STEP, 0, l]
        for l in range(count):
            if work.sums[DEFINITE, l] == 0.0:
                result[first + l] = math.nan
