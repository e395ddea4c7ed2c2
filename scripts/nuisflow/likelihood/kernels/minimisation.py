"""Compiled minimisation of a binned likelihood: exact Newton steps within bounds, many data sets one by one."""

# ruff: noqa: PLR0917 (compiled functions take their arrays by position)

import math

from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.derivatives import evaluate
from nuisflow.likelihood.kernels.rates import (
    DATA,
    FIXED,
    FORCE,
    GRADIENT,
    HELD,
    LOCAL_AUXILIARY,
    POINT,
    SOLUTION,
    STEP,
    STIFF,
    TRIAL,
    UNDER,
    UNIT,
    VISITED,
    Work,
    allocate,
    allowed,
    load,
    store,
    value,
)
from nuisflow.likelihood.plans import FULL, KIND, LOWER, MIXED, UPPER, WIDTH, Plan

CONVERGED, TOO_MANY, INFINITE, STUCK, FLAT, NEGATIVE = range(6)
_ITERATIONS = 100
_ROUNDS = 16
# Stiffness of a bin at the edge, in units of 1 / variance of its rate; how far (squared, in units of 1 / stiffness) a
# rate may then lie below 0.
_STIFFNESS, _PRECISE = 1e6, 1e-10


@compiled
def copy(work: Work, source: int, target: int) -> None:
    """Copy a row of work.dense."""
    for p in range(work.free.size):
        work.dense[target, p] = work.dense[source, p]


@compiled
def _movable(plan: Plan, work: Work) -> int:
    """List the parameters that are neither fixed nor at a bound that pulls outwards, in work.free; count them."""
    count = 0
    for p in range(work.free.size):
        work.dense[STEP, p] = 0.0
        x, slope, full = work.dense[POINT, p], work.dense[GRADIENT, p], plan.dense[p, FULL]
        below = x <= plan.parameters[LOWER, full] and slope >= 0.0
        above = x >= plan.parameters[UPPER, full] and slope <= 0.0
        if work.dense[FIXED, p] == 0.0 and not below and not above:
            work.free[count] = p
            count += 1
    return count


@compiled
def _equilibrate(work: Work, count: int) -> None:
    """Scale an indefinite Hessian so that the largest entry of each row is about 1: a ridge then acts on all alike."""
    order, scale = work.free, work.dense[UNIT]
    for _ in range(3):
        for i in range(count):
            largest, row = 0.0, work.squares[0, order[i]]
            for j in range(count):
                largest = max(largest, abs(row[order[j]]) * scale[j])
            largest *= scale[i]
            if largest > 0.0:
                scale[i] /= math.sqrt(largest)


@compiled
def factorise(work: Work, count: int) -> float:
    """Put the Cholesky factor of the scaled Hessian of the free parameters into matrix; return the ridge it needed."""
    matrix, order, scale, ridge = work.squares[1], work.free, work.dense[UNIT], 0.0
    for i in range(count):
        diagonal = abs(work.squares[0, order[i], order[i]])
        scale[i] = 1.0 / math.sqrt(diagonal) if diagonal > 0.0 else 1.0
    while True:
        good = True
        for i in range(count):
            row, from_ = matrix[i], work.squares[0, order[i]]
            for j in range(i):
                other, total = matrix[j], 0.0
                for k in range(j):
                    total += row[k] * other[k]
                row[j] = (from_[order[j]] * scale[i] * scale[j] - total) / other[j]
            pivot = from_[order[i]] * scale[i] * scale[i] + ridge
            for k in range(i):
                pivot -= row[k] * row[k]
            if not pivot > 1e-13:
                good = False
                break
            row[i] = math.sqrt(pivot)
        if good or ridge > 1e12:
            return ridge
        if ridge == 0.0:
            _equilibrate(work, count)
        ridge = 1e-2 if ridge == 0.0 else 10.0 * ridge


@compiled
def solve(work: Work, count: int) -> None:
    """Overwrite solution[0], the right-hand side, with the solution of the factorised system."""
    matrix, x, scale = work.squares[1], work.dense[SOLUTION], work.dense[UNIT]
    for i in range(count):
        total = x[i] * scale[i]
        for k in range(i):
            total -= matrix[i, k] * x[k]
        x[i] = total / matrix[i, i]
    for i in range(count - 1, -1, -1):
        total = x[i]
        for k in range(i + 1, count):
            total -= matrix[k, i] * x[k]
        x[i] = total / matrix[i, i]
    for i in range(count):
        x[i] *= scale[i]


@compiled
def _step(plan: Plan, work: Work) -> tuple[float, float, float, int]:
    """Set step to the Newton step within the bounds; return decrease of the model, slope along it, ridge, size.

    A parameter at a bound that pulls outwards stays; one whose step would cross a bound is put there, and the others
    are solved for again (one at a time, nearest first: each solution lies below the last point of the model).
    """
    count = _movable(plan, work)
    for p in range(plan.dense.shape[0]):
        for q in range(p):
            work.squares[0, q, p] = work.squares[0, p, q]
    ridge = 0.0
    while count > 0:
        ridge = factorise(work, count)
        for i in range(count):
            total, row = work.dense[GRADIENT, work.free[i]], work.squares[0, work.free[i]]
            for p in range(plan.dense.shape[0]):
                total += row[p] * work.dense[STEP, p]
            work.dense[SOLUTION, i] = -total
        solve(work, count)
        nearest, share, bound = -1, 1.0, 0.0
        for i in range(count):
            x, full, move = work.dense[POINT, work.free[i]], plan.dense[work.free[i], FULL], work.dense[SOLUTION, i]
            limit = plan.parameters[UPPER, full] if move > 0.0 else plan.parameters[LOWER, full]
            if move != 0.0 and (limit - x) / move < share:
                nearest, share, bound = i, (limit - x) / move, limit - x
        if nearest < 0:
            for i in range(count):
                work.dense[STEP, work.free[i]] = work.dense[SOLUTION, i]
            break
        work.dense[STEP, work.free[nearest]] = bound
        count -= 1
        for i in range(nearest, count):
            work.free[i] = work.free[i + 1]
    slope, curve = 0.0, 0.0
    for p in range(plan.dense.shape[0]):
        slope += work.dense[STEP, p] * work.dense[GRADIENT, p]
        for q in range(plan.dense.shape[0]):
            curve += work.dense[STEP, p] * work.dense[STEP, q] * work.squares[0, p, q]
    return -slope - 0.5 * curve, slope, ridge, count


@compiled
def _move(plan: Plan, work: Work, share: float) -> None:
    """Set point to trial + share x step, within the bounds."""
    for p in range(plan.dense.shape[0]):
        if work.dense[STEP, p] != 0.0:
            full = plan.dense[p, FULL]
            work.dense[POINT, p] = min(
                max(work.dense[TRIAL, p] + share * work.dense[STEP, p], plan.parameters[LOWER, full]),
                plan.parameters[UPPER, full],
            )


@compiled
def _escape(plan: Plan, work: Work, count: int, lowest: float) -> float:
    """Leave a stationary point that is no minimum along the direction of lowest curvature; return -ln L there."""
    order, scale, x = work.free, work.dense[UNIT], work.dense[SOLUTION]
    for i in range(count):
        x[i] = 1.0 + 0.1 * i
    for _ in range(300):  # power iteration with count - Hessian, in units of the standard deviations
        size = 0.0
        for i in range(count):
            total = count * x[i]
            for j in range(count):
                total -= work.squares[0, order[i], order[j]] * scale[i] * scale[j] * x[j]
            work.dense[STEP, order[i]] = total
            size = max(size, abs(total))
        for i in range(count):
            x[i] = work.dense[STEP, order[i]] / size
    for i in range(count):
        work.dense[STEP, order[i]] = x[i] * scale[i]
    share = 1.0
    for _ in range(10):
        for sign in (1.0, -1.0):
            _move(plan, work, sign * share)
            new = value(plan, work)
            if new < lowest - 1e-10:
                return new
        share *= 0.5
    copy(work, TRIAL, POINT)
    return value(plan, work)


@compiled
def _local_variance(plan: Plan, work: Work, b: int) -> float:
    """Return the variance of the rate of a bin by its local parameter, where that may change the rate's sign."""
    if plan.local[b, KIND] < 0 or not plan.local[b, MIXED] or work.bins[HELD, b]:
        return 0.0
    width: float = plan.parameters[WIDTH, plan.local[b, FULL]]
    auxiliary: float = work.bins[LOCAL_AUXILIARY, b]
    change: float = work.bins[UNDER, b] * work.bins[UNDER, b]
    if plan.local[b, KIND] == 1:
        return change * width * width
    return change * auxiliary / (width * width) if plan.local[b, KIND] == 2 else math.inf


@compiled
def _stiffness(plan: Plan, work: Work, b: int) -> float:
    """Return how much a bin is to resist a negative rate, 0 where no free parameter acts on it."""
    variance = _local_variance(plan, work, b)
    for p in range(work.free.size):
        slope, curve = work.slopes[0, p, b], work.squares[0, p, p]
        if work.dense[FIXED, p] == 0.0 and slope != 0.0:
            variance += slope * slope / curve if curve > 0.0 else math.inf
    return min(max(_STIFFNESS / variance, 1e2), 1e14) if variance > 0.0 else 0.0


@compiled
def _confine(plan: Plan, work: Work, harder: bool) -> float:
    """Push the bins without data that expect a negative number towards 0; return the sum of what is still wrong.

    The method of multipliers (Hestenes and Powell 1969): the force that holds a bin at 0 is found in a few rounds, and
    no stiffness has to be so large that it spoils the Hessian. Infinite where no free parameter acts on such a bin.
    """
    wrong = 0.0
    for b in range(plan.local.shape[0]):
        rate, stiff = allowed(plan, work, b), work.bins[STIFF, b]
        if work.bins[DATA, b] > 0.0 or (stiff == 0.0 and rate >= 0.0):
            continue
        if stiff == 0.0:
            work.bins[STIFF, b] = _stiffness(plan, work, b)
            if work.bins[STIFF, b] == 0.0:
                return math.inf
            wrong += abs(rate)  # how large the force has to be, the next minimum tells
            continue
        short = abs(min(rate, work.bins[FORCE, b] / stiff))
        if short * short * stiff > _PRECISE:
            wrong += short
            work.bins[FORCE, b] = max(work.bins[FORCE, b] - stiff * rate, 0.0)
            if harder:
                work.bins[STIFF, b] = min(100.0 * stiff, 1e14)
    return wrong


@compiled
def minimise(plan: Plan, work: Work, tolerance: float) -> tuple[float, int, int]:
    """Minimise from work.point where no rate is negative; return -ln L, status and iterations.

    Bins with data see to that themselves. The status is NEGATIVE where a bin without data is negative whatever the free
    parameters are.
    """
    before, total, harder = math.inf, 0, False
    for turn in range(_ROUNDS):
        lowest, status, iterations = _descend(plan, work, tolerance)
        total += iterations
        if status not in (CONVERGED, FLAT):
            return lowest, status, total
        wrong = _confine(plan, work, harder)
        if wrong == 0.0:
            return lowest, status, total
        if wrong == math.inf or (turn > 6 and wrong > 0.25 * before):
            break
        before, harder = wrong, wrong > 0.1 * before
    for b in range(plan.local.shape[0]):
        work.bins[STIFF, b] = work.bins[FORCE, b] = 0.0
    return math.inf, NEGATIVE, total


@compiled
def _descend(plan: Plan, work: Work, tolerance: float) -> tuple[float, int, int]:
    """Minimise from work.point; return -ln L, status and iterations. The last step's decrease is below *tolerance*."""
    lowest = evaluate(plan, work)
    if not lowest < math.inf:
        return lowest, INFINITE, 0
    for iteration in range(1, _ITERATIONS + 1):
        decrease, slope, ridge, count = _step(plan, work)
        copy(work, POINT, TRIAL)
        last, share = decrease < tolerance, 1.0
        if last and ridge > 0.0:
            new = _escape(plan, work, count, lowest)
            if not new < lowest:
                return lowest, FLAT, iteration
            lowest = evaluate(plan, work)
            continue
        while True:
            _move(plan, work, share)
            new = value(plan, work) if last else evaluate(plan, work)
            if new <= lowest + 1e-4 * share * min(slope, 0.0) + 1e-13 * (1.0 + abs(lowest)):
                break
            share *= 0.5
            if share < 1e-9 or last:
                copy(work, TRIAL, POINT)
                for p in range(work.free.size):
                    work.dense[STEP, p] = 0.0
                return value(plan, work), CONVERGED if decrease < 1e-7 else STUCK, iteration
        lowest = new
        for b in range(plan.local.shape[0]):
            if work.bins[DATA, b] == 0.0 and allowed(plan, work, b) < 0.0:
                work.bins[VISITED, b] = 1.0
        if last:
            return lowest, CONVERGED, iteration
    return lowest, TOO_MANY, _ITERATIONS


@compiled
def _guarded(plan: Plan, work: Work, start: Floats) -> bool:
    """Go back to *start*, bins that had negative rates being guarded from there on; return whether there are any."""
    found = False
    for b in range(plan.local.shape[0]):
        work.bins[FORCE, b] = 0.0
        if work.bins[VISITED, b] > 0.0 and work.bins[STIFF, b] == 0.0:
            work.bins[STIFF, b] = _stiffness(plan, work, b)
        found |= work.bins[STIFF, b] > 0.0
    for p in range(plan.dense.shape[0]):
        work.dense[POINT, p] = start[plan.dense[p, FULL]]
    return found


@entry
def fit(plan: Plan, data: Floats, auxiliary: Floats, start: Floats, fixed: Booleans, tolerance: float,
        values: Floats, result: Floats) -> None:  # fmt: skip
    """Fit every data set; rows of the inputs, or their only row, belong to one data set.

    Write the best fit into *values* and (-ln L, status, iterations) into *result*. Where bins without data passed by
    negative rates, the way may have led into another valley: a second fit keeps to positive rates from its start on,
    and the lower of the two counts.
    """
    work = allocate(plan)
    for i in range(values.shape[0]):
        a, s, f = min(i, auxiliary.shape[0] - 1), min(i, start.shape[0] - 1), min(i, fixed.shape[0] - 1)
        load(plan, work, data[min(i, data.shape[0] - 1)], auxiliary[a], start[s], fixed[f])
        result[i, 0], result[i, 1], result[i, 2] = minimise(plan, work, tolerance)
        store(plan, work, values[i])
        if _guarded(plan, work, start[s]):
            again, status, iterations = minimise(plan, work, tolerance)
            result[i, 2] += iterations
            if status == CONVERGED and (again < result[i, 0] - 1e-9 or result[i, 1] != CONVERGED):
                result[i, 0], result[i, 1] = again, status
                store(plan, work, values[i])
