"""Compiled fits of the likelihood of single events: Newton steps, and the ends of profile-likelihood intervals."""

# ruff: noqa: PLR0912, PLR0917 (compiled functions take their arrays by position, and do much in one loop)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.densities import Data, Structure, evaluate

CAP = 0.7
"""Largest step of a parameter, in units of its scale."""
CONVERGED, STOPPED, IMPOSSIBLE = 0, 1, 2
"""How a minimisation ended: well; without reaching a minimum; where an event is impossible."""
AT_BOUND, LOST = 1, 2
"""How the search for an end of an interval ended: at a bound of the parameter; not at all."""


@compiled
def _factor(matrix: Floats, free: Booleans, scale: Floats, lower: Floats) -> bool:
    """Put the Cholesky factor of *matrix* in units of *scale*, over the *free* parameters, into *lower*.

    Return whether there is one: no direction is flat or downhill.
    """
    n = len(free)
    lower[:] = 0.0
    for i in range(n):
        if not free[i]:
            lower[i, i] = 1.0
            continue
        for j in range(i + 1):
            if not free[j]:
                continue
            part = matrix[i, j] * scale[i] * scale[j]
            for k in range(j):
                part -= lower[i, k] * lower[j, k]
            if i == j:
                if not part > 1e-12 * (1.0 + abs(matrix[i, i]) * scale[i] * scale[i]):
                    return False
                lower[i, i] = math.sqrt(part)
            else:
                lower[i, j] = part / lower[j, j]
    return True


@compiled
def _solved(lower: Floats, vector: Floats, free: Booleans, scale: Floats) -> Floats:
    """Return the solution of *matrix* x = *vector* over the *free* parameters, from its factor; 0 elsewhere."""
    n = len(free)
    x = np.zeros(n)
    for i in range(n):
        if free[i]:
            part = vector[i] * scale[i]
            for k in range(i):
                part -= lower[i, k] * x[k]
            x[i] = part / lower[i, i]
    for i in range(n - 1, -1, -1):
        if free[i]:
            part = x[i]
            for k in range(i + 1, n):
                part -= lower[k, i] * x[k]
            x[i] = part / lower[i, i]
    for i in range(n):
        x[i] = x[i] * scale[i] if free[i] else 0.0
    return x


@compiled
def _direction(s: Structure, gradient: Floats, hessian: Floats, free: Booleans, lower: Floats) -> tuple[Floats, bool]:
    """Return the Newton step, damped by the diagonal where the Hessian is not convex, and whether it was not."""
    n, damping = len(gradient), 0.0
    damped = hessian.copy()
    for _ in range(40):
        if _factor(damped, free, s.scale, lower):
            return _solved(lower, -gradient, free, s.scale), damping == 0.0
        damping = 10.0 * damping if damping > 0.0 else 1e-3
        for k in range(n):
            size = max(abs(hessian[k, k]) * s.scale[k] * s.scale[k], 1.0)
            damped[k, k] = hessian[k, k] + damping * size / (s.scale[k] * s.scale[k])
    return np.zeros(n), False


@entry
def minimise(
    s: Structure, data: Data, start: Floats, held: Booleans, tolerance: float
) -> tuple[Floats, float, Floats, Floats, int]:
    """Return the minimum of -2 ln L from *start* over the parameters not *held*: place, value, gradient, Hessian, end.

    Newton's method with exact derivatives; steps are cut at bounds and at `CAP`, and halved where they lead uphill. It
    has converged when the decrement g H^-1 g / 2 of -2 ln L is below *tolerance*.
    """
    n = len(start)
    theta, lower = start.copy(), np.zeros((n, n))
    for k in range(n):
        if not held[k]:
            theta[k] = min(max(theta[k], s.lower[k]), s.upper[k])
    value, gradient, hessian = evaluate(s, data, theta)
    if not value < math.inf:
        return theta, value, gradient, hessian, IMPOSSIBLE
    free = ~held
    for _ in range(100):
        for k in range(n):
            stuck = (theta[k] <= s.lower[k] and gradient[k] > 0.0) or (theta[k] >= s.upper[k] and gradient[k] < 0.0)
            free[k] = not (held[k] or stuck)
        step, convex = _direction(s, gradient, hessian, free, lower)
        decrement = 0.0
        for k in range(n):
            decrement -= 0.5 * gradient[k] * step[k]
        if convex and decrement < tolerance:
            return theta, value, gradient, hessian, CONVERGED
        share = 1.0
        for k in range(n):
            if free[k]:
                share = min(share, CAP * s.scale[k] / max(abs(step[k]), 1e-300))
        moved = False
        for _ in range(30):
            trial = theta.copy()
            for k in range(n):
                if free[k]:
                    trial[k] = min(max(theta[k] + share * step[k], s.lower[k]), s.upper[k])
            other, other1, other2 = evaluate(s, data, trial)
            if other <= value + 1e-12 * (1.0 + abs(value)):
                theta, value, gradient, hessian, moved = trial, other, other1, other2, True
                break
            share *= 0.5
        if not moved:
            return theta, value, gradient, hessian, STOPPED
    return theta, value, gradient, hessian, STOPPED


@compiled
def deviation(s: Structure, hessian: Floats, held: Booleans, index: int) -> tuple[float, Floats]:
    """Return the standard deviation of parameter *index* from the *hessian* of -2 ln L, and its covariances (n).

    NaN where a direction is flat.
    """
    n = len(held)
    lower, unit, free = np.zeros((n, n)), np.zeros(n), ~held
    unit[index] = 2.0
    if not _factor(hessian, free, s.scale, lower):
        return math.nan, np.full(n, math.nan)
    column = _solved(lower, unit, free, s.scale)
    return math.sqrt(max(column[index], 0.0)), column


@entry
def crossing(
    s: Structure, data: Data, best: Floats, lowest: float, error: float, column: Floats, held: Booleans, index: int,
    target: float, precision: float
) -> tuple[float, Floats, int]:  # fmt: skip
    """Return where -2 ln L, profiled over all else, is *target*^2 above *lowest*, on the side of the sign of *target*.

    The search is Newton's on the root of the rise, whose slope is known where the profile is: the gradient by the
    parameter alone. It starts from *error* and the covariances *column* of the best fit.
    """
    n, side, goal = len(best), math.copysign(1.0, target), abs(target)
    fixed, inside, outside = held.copy(), best[index], math.nan
    fixed[index], straight = True, False
    bound = s.upper[index] if side > 0 else s.lower[index]
    theta, here = best.copy(), best[index] + target * error
    for _ in range(40):
        if side * (here - bound) > 0:
            here = bound
        for k in range(n):
            if not held[k] and k != index and not straight:
                theta[k] += column[k] / column[index] * (here - theta[index]) if math.isfinite(column[index]) else 0.0
        theta[index] = here
        point, value, gradient, _, end = minimise(s, data, theta, fixed, precision * precision)
        if end == IMPOSSIBLE and not straight:  # perhaps only where the others were moved to
            theta, straight = best.copy(), True
            continue
        straight = False
        if end == IMPOSSIBLE:
            outside = here
            here = 0.5 * (inside + outside)
            theta = best.copy()
            if abs(outside - inside) < 1e-9 * s.scale[index]:
                return here, point, AT_BOUND
            continue
        if end != CONVERGED:
            return math.nan, point, LOST
        theta = point
        height = math.sqrt(max(value - lowest, 0.0))
        if abs(height - goal) < precision:
            return here + (goal - height) * 2.0 * height / gradient[index], point, 0
        if height < goal:
            if here == bound:
                return bound, point, AT_BOUND
            inside = here
        else:
            outside = here
        slope = side * gradient[index]
        move = (goal - height) * 2.0 * height / slope if slope > 0.0 else math.inf
        new = here + side * move
        known = math.isfinite(outside)
        if not math.isfinite(new) or side * (new - inside) <= 0.0 or (known and side * (outside - new) <= 0.0):
            new = 0.5 * (inside + outside) if known else here + side * 2.0 * max(abs(here - best[index]), error)
        here = new
    return math.nan, theta, LOST


@entry
def experiment(
    s: Structure, data: Data, start: Floats, held: Booleans, index: int, precision: float
) -> tuple[Floats, float, float, float, float, int, int]:
    """Fit one data set and find its interval: best fit, error, low, high, -2 ln L, ends of both.

    The last is `AT_BOUND` if one end is at a bound, `LOST` if one was not found.
    """
    best, lowest, _, hessian, end = minimise(s, data, start, held, 1e-8)
    stuck = held.copy()
    for k in range(len(best)):
        if k != index:
            stuck[k] = held[k] or best[k] <= s.lower[k] or best[k] >= s.upper[k]
    error, column = deviation(s, hessian, stuck, index)
    if end != CONVERGED:
        return best, math.nan, math.nan, math.nan, lowest, end, LOST
    guess = error
    if not math.isfinite(guess) or guess <= 0.0:
        guess = s.scale[index]
    low, _, first = crossing(s, data, best, lowest, guess, column, held, index, -1.0, precision)
    high, _, second = crossing(s, data, best, lowest, guess, column, held, index, 1.0, precision)
    return best, error, low, high, lowest, end, max(first, second)
