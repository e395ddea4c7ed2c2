"""Compiled rates and -ln L of a binned likelihood at a point, and the arrays that one thread works in."""

# ruff: noqa: PLR0912, PLR0917 (compiled functions take their arrays by position)

import math
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.plans import (
    ADDED,
    AT,
    CODE,
    FIRST,
    FULL,
    KIND,
    LAST,
    LINEAR,
    LOCAL,
    LOWER,
    MIXED,
    NORMS,
    OWNER,
    POLYNOMIAL,
    QUADRATIC,
    SCALING,
    SHAPE,
    SHAPES,
    SLOTS,
    SMOOTH,
    START,
    UPPER,
    WIDTH,
    Plan,
)

# Rows of Work.bins: the data, the local parameter, rates, and what the derivatives need (see _profile, _squares).
DATA, LOCAL_AUXILIARY, HELD, GAMMA, REST, UNDER, RATE, RESIDUAL, SCALE, WEIGHT, CROSS, EXTRA, JOINT = range(13)
PULL, SLOPE, SHARE = 13, 14, 15
# How much a bin without data resists a negative rate, and the force that keeps it at 0 (see minimisation._confine).
STIFF, FORCE = 16, 17
VISITED = 18  # whether a fit passed by a negative rate of a bin without data
# Rows of Work.dense: the point, auxiliary data, whether fixed, even interpolation polynomial, the Newton step.
POINT, CENTRE, FIXED, EVEN, EVEN_FIRST, EVEN_SECOND, GRADIENT, STEP, TRIAL, SOLUTION, UNIT, KEPT = range(12)


class Work(NamedTuple):
    """Arrays that one thread reuses for all its data sets.

    Rows of *norms*: value, first and second derivative, derivative of their product; of *flat*: templates with shapes,
    product of bin factors; of *slopes*: derivatives of the rate, and of its part under the local parameter; of
    *squares*: Hessian, its factor.
    """

    bins: Floats
    dense: Floats
    free: Integers
    factor: Floats
    norms: Floats
    flat: Floats
    slopes: Floats
    squares: Floats


@compiled
def allocate(plan: Plan) -> Work:
    """Return the working arrays for *plan*."""
    dense, bins = plan.dense.shape[0], plan.local.shape[0]
    return Work(
        np.ones((19, bins)), np.zeros((12, dense)), np.empty(dense, np.int64), np.empty(plan.cells.shape[0] - 1),
        np.empty((4, plan.norms.shape[0])), np.ones((2, plan.nominal.size)), np.zeros((2, dense, bins)),
        np.zeros((2, dense, dense)),
    )  # fmt: skip


@compiled
def load(plan: Plan, work: Work, data: Floats, auxiliary: Floats, values: Floats, fixed: Booleans) -> None:
    """Copy a problem, given over all parameters, into the working arrays."""
    for b in range(data.size):
        work.bins[DATA, b] = data[b]
        work.bins[STIFF, b] = work.bins[FORCE, b] = work.bins[VISITED, b] = 0.0
    for p in range(plan.dense.shape[0]):
        full = plan.dense[p, FULL]
        work.dense[POINT, p], work.dense[CENTRE, p], work.dense[FIXED, p] = values[full], auxiliary[full], fixed[full]
    for b in range(plan.local.shape[0]):
        full = plan.local[b, FULL]
        if full >= 0:
            work.bins[GAMMA, b], work.bins[LOCAL_AUXILIARY, b], work.bins[HELD, b] = (
                values[full],
                auxiliary[full],
                fixed[full],
            )


@compiled
def store(plan: Plan, work: Work, values: Floats) -> None:
    """Copy the point to an array over all parameters."""
    for p in range(plan.dense.shape[0]):
        values[plan.dense[p, FULL]] = work.dense[POINT, p]
    for b in range(plan.local.shape[0]):
        if plan.local[b, FULL] >= 0:
            values[plan.local[b, FULL]] = work.bins[GAMMA, b]


@compiled
def smooth(up: float, down: float, x: float) -> tuple[float, float, float]:
    """Return Combine's asymmetric log-normal and its derivatives for |x| < 1/2; *up*, *down*: logarithms of factors.

    The exponent is x (mean + half h(2x)), h a quintic from -1 to 1 (Combine's ProcessNormalization::logKappaForX).
    """
    mean, half, t = 0.5 * (up - down), 0.5 * (up + down), 2.0 * x
    square = t * t
    slope = mean + half * 0.125 * t * (square * (3.0 * square - 10.0) + 15.0)
    turn, bend = half * 3.75 * (square - 1.0) ** 2, half * 30.0 * t * (square - 1.0)
    value, first = math.exp(x * slope), slope + x * turn
    return value, value * first, value * (first * first + 2.0 * turn + x * bend)


@compiled
def _norm(code: int, row: Floats, x: float) -> tuple[float, float, float]:
    """Return the factor of a norm modifier and its first two derivatives (LINEAR: x itself; SCALING: a polynomial)."""
    if code == LINEAR:
        return x, 1.0, 0.0
    if code == SMOOTH and -0.5 < x < 0.5:
        return smooth(row[6], row[7], x)
    if code == SCALING or (code == POLYNOMIAL and -1.0 < x < 1.0):
        a1, a2, a3, a4, a5, a6 = row[0], row[1], row[2], row[3], row[4], row[5]
        base = row[6] if code == SCALING else 1.0
        value = base + x * (a1 + x * (a2 + x * (a3 + x * (a4 + x * (a5 + x * a6)))))
        first = a1 + x * (2 * a2 + x * (3 * a3 + x * (4 * a4 + x * (5 * a5 + x * 6 * a6))))
        second = 2 * a2 + x * (6 * a3 + x * (12 * a4 + x * (20 * a5 + x * 30 * a6)))
        return value, first, second
    slope = row[6] if x > 0.0 else -row[7]
    value = math.exp(slope * x)
    return value, slope * value, slope * slope * value


@compiled
def without(plan: Plan, work: Work, c: int, one: int, two: int) -> float:
    """Return the product of a cell's norm factors without two of them.

    A ratio would be 0/0 where a factor is 0 (a signal strength of 0): the derivative there is not 0.
    """
    product = 1.0
    for e in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
        if e not in (one, two):
            product *= work.norms[0, e]
    return product


@compiled
def rates(plan: Plan, work: Work) -> None:
    """Set the templates with shapes, bin factors and norms of every cell, and the rates of every bin."""
    for b in range(plan.local.shape[0]):
        work.bins[REST, b] = work.bins[UNDER, b] = 0.0
    for p in range(plan.dense.shape[0]):
        x = work.dense[POINT, p]
        if plan.dense[p, SHAPE] == POLYNOMIAL and abs(x) <= 1.0:
            y = x * x
            work.dense[EVEN, p] = y * (15.0 + y * (3.0 * y - 10.0))
            work.dense[EVEN_FIRST, p] = x * (30.0 + y * (18.0 * y - 40.0))
            work.dense[EVEN_SECOND, p] = 30.0 + y * (90.0 * y - 120.0)
        elif plan.dense[p, SHAPE] == QUADRATIC:
            inside = abs(x) <= 1.0
            work.dense[EVEN, p] = 8.0 * x * x if inside else 16.0 * abs(x) - 8.0
            work.dense[EVEN_FIRST, p] = 16.0 * min(max(x, -1.0), 1.0)
            work.dense[EVEN_SECOND, p] = 16.0 if inside else 0.0
        else:
            work.dense[EVEN, p], work.dense[EVEN_FIRST, p], work.dense[EVEN_SECOND, p] = (
                8.0 * abs(x),
                8.0 if x > 0.0 else -8.0,
                0.0,
            )
    for c in range(work.factor.size):
        first, start = plan.cells[c, FIRST], plan.cells[c, START]
        bins = plan.cells[c, LAST] - first
        factor = 1.0
        for e in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
            x = work.dense[POINT, plan.norms[e, OWNER]]
            work.norms[0, e], work.norms[1, e], work.norms[2, e] = _norm(plan.norms[e, CODE], plan.coefficients[e], x)
            factor *= work.norms[0, e]
        work.factor[c] = factor
        base = work.flat[0, start : start + bins]
        for b in range(bins):
            base[b] = plan.nominal[start + b]
        for e in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
            p, at = plan.shapes[e, OWNER], plan.shapes[e, AT]
            x, even = work.dense[POINT, p], work.dense[EVEN, p]
            for b in range(bins):
                base[b] += x * plan.templates[0, at + b] + even * plan.templates[1, at + b]
        power = work.flat[1, start : start + bins]
        if plan.cells[c + 1, SLOTS] > plan.cells[c, SLOTS]:
            for b in range(bins):
                power[b] = 1.0
            for e in range(plan.cells[c, SLOTS], plan.cells[c + 1, SLOTS]):
                for b in range(bins):
                    power[b] *= work.dense[POINT, plan.owners[plan.slots[e] + b]]
        into = work.bins[UNDER if plan.cells[c, LOCAL] else REST]
        for b in range(bins):
            into[first + b] += factor * power[b] * base[b]
        if plan.local[first, ADDED]:
            for b in range(bins):
                work.bins[UNDER, first + b] += factor * factor * plan.spreads[start + b]
    if plan.spreads.size:
        for b in range(plan.local.shape[0]):
            if plan.local[b, ADDED]:
                work.bins[UNDER, b] = math.sqrt(work.bins[UNDER, b])


@compiled
def _root(kind: int, rest: float, under: float, data: float, auxiliary: float, width: float) -> float:
    """Return the local parameter that minimises -ln L of its bin, given the rates that it does not and does scale."""
    if kind == 1:  # NORMAL: solve for the rate, nu^2 - offset nu - pull^2 data = 0, then the parameter follows
        pull = width * under
        offset = rest + under * auxiliary - pull * pull
        if data == 0.0:
            return auxiliary - width * pull
        root = math.sqrt(offset * offset + 4.0 * pull * pull * data)
        rate = 0.5 * (offset + root) if offset > 0.0 else 2.0 * pull * pull * data / (root - offset)
        return auxiliary - width * pull * (1.0 - data / rate) if rate > 0.0 else auxiliary
    if kind == 0:  # FREE
        if data == 0.0 and under != 0.0:
            return math.copysign(math.inf, -under)
        return (data - rest) / under if under != 0.0 else 1.0
    total = under + width  # POISSON
    if data == 0.0 or under == 0.0:
        return auxiliary / total if total > 0.0 else math.inf
    a, b, c = total * under, total * rest - (data + auxiliary) * under, -auxiliary * rest
    root = math.sqrt(max(b * b - 4.0 * a * c, 0.0))
    q = -0.5 * (b + math.copysign(root, b))
    one, two = (q / a if a != 0.0 else math.nan), (c / q if q != 0.0 else 0.0)
    if two > one or not math.isfinite(one):
        one, two = two, one
    return one if rest + one * under > 0.0 else two


@compiled
def _root_at_edge(kind: int, rest: float, under: float, auxiliary: float, width: float, stiff: float, force: float,
                  ) -> float:  # fmt: skip
    """Return what _root does for a bin without data whose rate is kept from being negative."""
    slope, bend = under * (1.0 - force + stiff * rest), stiff * under * under
    if kind == 1:
        precision = 1.0 / (width * width)
        root = (auxiliary * precision - slope) / (precision + bend)
    elif kind == 2:
        total = slope + width
        size = math.sqrt(total * total + 4.0 * bend * auxiliary)
        if not bend > 0.0:
            return _root(kind, rest, under, 0.0, auxiliary, width)
        root = 2.0 * auxiliary / (total + size) if total > 0.0 else 0.5 * (size - total) / bend
    else:
        return -slope / bend if bend > 0.0 else 1.0
    return root if force > stiff * (rest + root * under) else _root(kind, rest, under, 0.0, auxiliary, width)


@compiled
def allowed(plan: Plan, work: Work, b: int) -> float:
    """Return what may not be negative in a bin: its rate, without a local parameter that only scales it."""
    scaled = plan.local[b, KIND] >= 0 and not plan.local[b, MIXED]
    result: float = work.bins[UNDER, b] if scaled else work.bins[RATE, b]
    return result


@compiled
def _poisson(rate: float, data: float) -> float:
    """Return rate - data ln(rate), less its minimum; linear for zero data (as pyhf), else infinite at rate <= 0."""
    if data == 0.0:
        return rate
    if not rate > 0.0:
        return math.inf
    return rate - data + data * math.log(data / rate)


@compiled
def _penalty(plan: Plan, work: Work) -> float:
    """Return the constraint terms of the dense parameters."""
    total = 0.0
    for p in range(plan.dense.shape[0]):
        if plan.dense[p, KIND] == 1:
            total += (
                0.5
                * ((work.dense[POINT, p] - work.dense[CENTRE, p]) / plan.parameters[WIDTH, plan.dense[p, FULL]]) ** 2
            )
        elif plan.dense[p, KIND] == 2:
            total += _poisson(plan.parameters[WIDTH, plan.dense[p, FULL]] * work.dense[POINT, p], work.dense[CENTRE, p])
    for k in range(plan.pairs.shape[0]):
        p, q = plan.pairs[k, 0], plan.pairs[k, 1]
        pull = work.dense[POINT, p] - work.dense[CENTRE, p]
        total += plan.couplings[k] * pull * (work.dense[POINT, q] - work.dense[CENTRE, q])
    return total


@compiled
def _profile(plan: Plan, work: Work) -> float:
    """Profile the local parameters; set rate, residual and the weights of the Hessian; return -ln L (saturated: 0).

    With v = d(rate) and j = d(under), a profiled bin adds weight v v' - cross (v j' + j v') - extra j j'. A bin without
    data that is stiff adds the term of an augmented Lagrangian: ((force - stiff q)^2 - force^2) / (2 stiff), where that
    bracket is positive, of what may not be negative, q.
    """
    total = 0.0
    for b in range(plan.local.shape[0]):
        kind, rest, under, data = plan.local[b, KIND], work.bins[REST, b], work.bins[UNDER, b], work.bins[DATA, b]
        gamma, curvature, profiled = 1.0, 0.0, False
        if kind >= 0:
            aux, width, p = (
                work.bins[LOCAL_AUXILIARY, b],
                plan.parameters[WIDTH, plan.local[b, FULL]],
                plan.local[b, FULL],
            )
            gamma = work.bins[GAMMA, b]
            if not work.bins[HELD, b]:
                if work.bins[STIFF, b] > 0.0 and plan.local[b, MIXED]:
                    root = _root_at_edge(kind, rest, under, aux, width, work.bins[STIFF, b], work.bins[FORCE, b])
                else:
                    root = _root(kind, rest, under, data, aux, width)
                gamma = min(max(root, plan.parameters[LOWER, p]), plan.parameters[UPPER, p])
                profiled = gamma == root
                work.bins[GAMMA, b] = gamma
            if kind == 1:
                total += 0.5 * ((gamma - aux) / width) ** 2
                curvature = 1.0 / (width * width)
            elif kind == 2:
                total += _poisson(width * gamma, aux)
                curvature = aux / (gamma * gamma)
        rate = rest + gamma * under
        total += _poisson(rate, data)
        if not total < math.inf:
            return math.inf
        one, two = 1.0, 0.0
        if data > 0.0:
            one, two = 1.0 - data / rate, data / (rate * rate)
        work.bins[RATE, b], wall, bend = rate, 0.0, 0.0
        if work.bins[STIFF, b] > 0.0:
            stiff, force = work.bins[STIFF, b], work.bins[FORCE, b]
            push = max(force - stiff * allowed(plan, work, b), 0.0)
            total += 0.5 * (push * push - force * force) / stiff
            wall, bend = -push, stiff if push > 0.0 else 0.0
            if kind < 0 or plan.local[b, MIXED]:
                one, two, wall, bend = one + wall, two + bend, 0.0, 0.0
        joint = two * under * under + curvature
        work.bins[RESIDUAL, b], work.bins[SCALE, b] = one, gamma
        work.bins[WEIGHT, b], work.bins[CROSS, b], work.bins[EXTRA, b], work.bins[JOINT, b] = two, 0.0, 0.0, joint
        if profiled and joint > 0.0:
            if plan.local[b, MIXED]:
                work.bins[WEIGHT, b] = two * curvature / joint
                work.bins[CROSS, b], work.bins[EXTRA, b] = two * under * one / joint, one * one / joint
            else:
                work.bins[WEIGHT, b] = (two * (curvature - 2.0 * under * one / gamma) - (one / gamma) ** 2) / joint
        if wall != 0.0 or bend != 0.0:
            work.bins[RESIDUAL, b] += wall / gamma
            work.bins[WEIGHT, b] += bend / (gamma * gamma)
    return total + _penalty(plan, work)


@compiled
def value(plan: Plan, work: Work) -> float:
    """Return -ln L at the point in *work*, local parameters profiled unless held."""
    rates(plan, work)
    return _profile(plan, work)


@compiled
def constants(plan: Plan, data: Floats, auxiliary: Floats) -> float:
    """Return -ln L of the saturated model: what the other functions leave out."""
    total = float(plan.couplings[plan.pairs.shape[0]])
    for b in range(data.size):
        total += _saturated(data[b])
        kind, at = plan.local[b, KIND], plan.local[b, FULL]
        if kind == 1:
            total += math.log(plan.parameters[WIDTH, plan.local[b, FULL]] * math.sqrt(2.0 * math.pi))
        elif kind == 2:
            total += _saturated(auxiliary[at])
    for p in range(plan.dense.shape[0]):
        if plan.dense[p, KIND] == 1:
            total += math.log(plan.parameters[WIDTH, plan.dense[p, FULL]] * math.sqrt(2.0 * math.pi))
        elif plan.dense[p, KIND] == 2:
            total += _saturated(auxiliary[plan.dense[p, FULL]])
    return total


@compiled
def _saturated(data: float) -> float:
    """Return -ln of the Poisson probability of *data* for a rate that equals it."""
    return data - data * math.log(data) + math.lgamma(data + 1.0) if data > 0.0 else 0.0


@entry
def constants_of_all(plan: Plan, data: Floats, auxiliary: Floats, result: Floats) -> None:
    """Write the constants of every data set."""
    for i in range(result.size):
        result[i] = constants(plan, data[i], auxiliary[i])
