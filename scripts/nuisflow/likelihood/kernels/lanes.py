"""Compiled -ln L of many data sets side by side: lane l of every array belongs to one data set.

The same mathematics as rates, for models in which the local parameter of a bin scales all its samples
(or none) and no other parameter acts on single bins; then every operation acts on whole rows of lanes (vectors).
"""

# ruff: noqa: E741, PLR0917 (compiled functions take their arrays by position; l is a lane)

import math
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.kernels.compilation import compiled
from nuisflow.likelihood.kernels.rates import smooth
from nuisflow.likelihood.plans import (
    AT,
    CODE,
    FIRST,
    FULL,
    KIND,
    LAST,
    LINEAR,
    LOWER,
    NORMS,
    OWNER,
    POLYNOMIAL,
    QUADRATIC,
    SCALING,
    SHAPE,
    SHAPES,
    SMOOTH,
    START,
    UPPER,
    WIDTH,
    Plan,
)

LANES = 64  # a multiple of every vector length; loops over fewer lanes would mostly be overhead
# Rows of Lanes.bins: data, auxiliary data, whether held, local parameter, its root, rate under it, rate, ...
DATA, CENTRE_OF_BIN, HELD, GAMMA, ROOT, UNDER, RATE, RESIDUAL, PULL, BENT, WEIGHT, LEFT = range(12)
# Rows of Lanes.dense: the point, auxiliary data, whether free to move, interpolation, the Newton step.
POINT, CENTRE, FREE, EVEN, EVEN_FIRST, EVEN_SECOND, GRADIENT, STEP, TRIAL, SOLUTION, INVERSE = range(11)
# Rows of Lanes.norms: value, derivatives, product of those before, derivative of the product, logarithmic derivative.
VALUE, VALUE_FIRST, VALUE_SECOND, BEFORE, CHANGE, RATIO = range(6)
# Rows of Lanes.sums: -ln L, sums over bins, and what the minimisation keeps (see newton).
NLL, TOTAL, CURVED, AFTER, EXACT = range(5)


class Lanes(NamedTuple):
    """Arrays that one thread reuses; the last axis is the lane.

    *base*: templates with shapes (bins of all cells); *slopes*: derivatives of the rates under the local parameters
    (dense parameters, bins); *hessian* and *matrix*, its factor: (dense parameters, dense parameters).
    """

    bins: Floats
    dense: Floats
    norms: Floats
    base: Floats
    factor: Floats
    slopes: Floats
    hessian: Floats
    matrix: Floats
    sums: Floats
    rows: Floats
    slope_rows: Floats


@compiled
def allocate(plan: Plan) -> Lanes:
    """Return the arrays for *plan*."""
    dense, bins = plan.dense.shape[0], plan.local.shape[0]
    rows, slopes = np.ones((12, bins * LANES)), np.zeros((dense, bins * LANES))
    return Lanes(
        rows.reshape((12, bins, LANES)), np.zeros((11, dense, LANES)), np.ones((6, plan.norms.shape[0], LANES)),
        np.ones((plan.nominal.size, LANES)), np.ones((plan.cells.shape[0] - 1, LANES)),
        slopes.reshape((dense, bins, LANES)), np.zeros((dense, dense, LANES)), np.zeros((dense, dense, LANES)),
        np.zeros((13, LANES)), rows, slopes,
    )  # fmt: skip


@compiled
def load(plan: Plan, work: Lanes, l: int, data: Floats, auxiliary: Floats, values: Floats, fixed: Booleans) -> None:
    """Copy a problem, given over all parameters, into one lane."""
    for b in range(data.size):
        full = plan.local[b, FULL]
        work.bins[DATA, b, l] = data[b]
        if full >= 0:
            work.bins[GAMMA, b, l], work.bins[CENTRE_OF_BIN, b, l] = values[full], auxiliary[full]
            work.bins[HELD, b, l] = 1.0 if fixed[full] else 0.0
    for p in range(plan.dense.shape[0]):
        full = plan.dense[p, FULL]
        work.dense[POINT, p, l], work.dense[CENTRE, p, l] = values[full], auxiliary[full]
        work.dense[FREE, p, l] = 0.0 if fixed[full] else 1.0


@compiled
def store(plan: Plan, work: Lanes, l: int, values: Floats) -> None:
    """Copy the point of a lane to an array over all parameters."""
    for p in range(plan.dense.shape[0]):
        values[plan.dense[p, FULL]] = work.dense[POINT, p, l]
    for b in range(plan.local.shape[0]):
        if plan.local[b, FULL] >= 0:
            values[plan.local[b, FULL]] = work.bins[GAMMA, b, l]


@compiled
def _even(plan: Plan, work: Lanes) -> None:
    """Set the even part of the shape interpolation and its derivatives."""
    for p in range(plan.dense.shape[0]):
        x, value = work.dense[POINT, p], work.dense[EVEN, p]
        first, second = work.dense[EVEN_FIRST, p], work.dense[EVEN_SECOND, p]
        reach = 1.0 if plan.dense[p, SHAPE] == POLYNOMIAL else -1.0
        for l in range(LANES):
            y = x[l] * x[l]
            value[l] = y * (15.0 + y * (3.0 * y - 10.0)) if abs(x[l]) <= reach else 8.0 * abs(x[l])
        for l in range(LANES):
            y = x[l] * x[l]
            outer = 8.0 if x[l] > 0.0 else -8.0
            first[l] = x[l] * (30.0 + y * (18.0 * y - 40.0)) if abs(x[l]) <= reach else outer
            second[l] = 30.0 + y * (90.0 * y - 120.0) if abs(x[l]) <= reach else 0.0
        if plan.dense[p, SHAPE] == QUADRATIC:
            for l in range(LANES):
                inside = abs(x[l]) <= 1.0
                value[l] = 8.0 * x[l] * x[l] if inside else 16.0 * abs(x[l]) - 8.0
                first[l] = 16.0 * min(max(x[l], -1.0), 1.0)
                second[l] = 16.0 if inside else 0.0


@compiled
def _factors(plan: Plan, work: Lanes) -> None:
    """Set every norm factor and its derivatives."""
    for e in range(plan.norms.shape[0]):
        code, row, x = plan.norms[e, CODE], plan.coefficients[e], work.dense[POINT, plan.norms[e, OWNER]]
        value, first, second = work.norms[VALUE, e], work.norms[VALUE_FIRST, e], work.norms[VALUE_SECOND, e]
        if code == LINEAR:
            for l in range(LANES):
                value[l], first[l], second[l] = x[l], 1.0, 0.0
            continue
        a1, a2, a3, a4, a5, a6 = row[0], row[1], row[2], row[3], row[4], row[5]
        base = row[6] if code == SCALING else 1.0
        for l in range(LANES):
            y = x[l]
            value[l] = base + y * (a1 + y * (a2 + y * (a3 + y * (a4 + y * (a5 + y * a6)))))
            first[l] = a1 + y * (2 * a2 + y * (3 * a3 + y * (4 * a4 + y * (5 * a5 + y * 6 * a6))))
            second[l] = 2 * a2 + y * (6 * a3 + y * (12 * a4 + y * (20 * a5 + y * 30 * a6)))
        if code == SCALING:
            continue
        if code == SMOOTH:
            for l in range(LANES):
                value[l], first[l], second[l] = smooth(row[6], row[7], min(max(x[l], -0.5), 0.5))
        reach = 1.0 if code == POLYNOMIAL else 0.5 if code == SMOOTH else -1.0
        for l in range(LANES):
            if not abs(x[l]) < reach:
                slope = row[6] if x[l] > 0.0 else -row[7]
                value[l] = math.exp(slope * x[l])
                first[l] = slope * value[l]
                second[l] = slope * first[l]


@compiled
def _rates(plan: Plan, work: Lanes) -> None:
    """Set the templates of all cells and the rate of every bin, without its local parameter."""
    work.bins[UNDER, :, :] = 0.0
    for c in range(work.factor.shape[0]):
        first, start, factor = plan.cells[c, FIRST], plan.cells[c, START], work.factor[c]
        bins = plan.cells[c, LAST] - first
        factor[:] = 1.0
        for e in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
            value, before = work.norms[VALUE, e], work.norms[BEFORE, e]
            for l in range(LANES):
                before[l] = factor[l]
                factor[l] *= value[l]
        for b in range(bins):
            base, nominal = work.base[start + b], plan.nominal[start + b]
            for l in range(LANES):
                base[l] = nominal
            for e in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
                p, at = plan.shapes[e, OWNER], plan.shapes[e, AT] + b
                odd, even = plan.templates[0, at], plan.templates[1, at]
                x, y = work.dense[POINT, p], work.dense[EVEN, p]
                for l in range(LANES):
                    base[l] += x[l] * odd + y[l] * even
            under = work.bins[UNDER, first + b]
            for l in range(LANES):
                under[l] += factor[l] * base[l]


@compiled
def _normal_roots(work: Lanes, b: int, width: float) -> None:
    """Set the root of a bin whose local parameter has a normal constraint (as rates._root)."""
    under, data, centre, root = work.bins[UNDER, b], work.bins[DATA, b], work.bins[CENTRE_OF_BIN, b], work.bins[ROOT, b]
    for l in range(LANES):
        pull = width * under[l]
        offset, square = under[l] * centre[l] - pull * pull, 4.0 * pull * pull * data[l]
        size = math.sqrt(offset * offset + square)
        rate = 0.5 * (offset + size) if offset > 0.0 else 0.5 * square / (size - offset)
        share = data[l] / rate if data[l] > 0.0 else 0.0
        root[l] = centre[l] - width * pull * (1.0 - share) if rate > 0.0 or data[l] == 0.0 else centre[l]


@compiled
def _poisson_roots(work: Lanes, b: int, width: float) -> None:
    """Set the root of a bin whose local parameter has a Poisson constraint (nothing else is in the bin)."""
    under, data, centre, root = work.bins[UNDER, b], work.bins[DATA, b], work.bins[CENTRE_OF_BIN, b], work.bins[ROOT, b]
    for l in range(LANES):
        root[l] = (data[l] * (1.0 if under[l] != 0.0 else 0.0) + centre[l]) / (under[l] + width)


@compiled
def _add_poisson(nll: Floats, rate: Floats, data: Floats) -> None:
    """Add rate - data ln(rate), less its minimum, to -ln L (as rates._poisson).

    The logarithm is written out, since calls to a library's one would be made lane by lane: x = 2^n m, m around 1,
    ln m = 2 artanh(s) with s = (m - 1)/(m + 1), by its series (|s| < 0.172: exact to rounding).
    """
    for l in range(LANES):
        good = data[l] > 0.0 and rate[l] > 0.0
        x = data[l] / rate[l] if good else 1.0
        bits = np.float64(x).view(np.int64)
        mantissa = np.int64((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
        power = float((bits >> 52) - 1023)
        large = mantissa > 1.4142135623730951
        m, n = 0.5 * mantissa if large else mantissa, power + 1.0 if large else power
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        series = 1.0 / 15 + z * (1.0 / 17 + z * (1.0 / 19 + z * (1.0 / 21)))
        series = 1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13 + z * series)))
        logarithm = n * 0.6931471805599453 + 2.0 * s * (1.0 + z * (1.0 / 3 + z * (1.0 / 5 + z * series)))
        impossible = data[l] > 0.0 and not rate[l] > 0.0
        nll[l] += math.inf if impossible else rate[l] - data[l] + data[l] * logarithm


@compiled
def _profile(plan: Plan, work: Lanes) -> None:
    """Profile the local parameters; set rates, -ln L (saturated: 0) and what the derivatives need."""
    nll = work.sums[NLL]
    nll[:] = 0.0
    for b in range(plan.local.shape[0]):
        kind, at = plan.local[b, KIND], plan.local[b, FULL]
        under, data, held, gamma = work.bins[UNDER, b], work.bins[DATA, b], work.bins[HELD, b], work.bins[GAMMA, b]
        root, rate, residual = work.bins[ROOT, b], work.bins[RATE, b], work.bins[RESIDUAL, b]
        if kind >= 0:
            width, lower, upper = plan.parameters[WIDTH, at], plan.parameters[LOWER, at], plan.parameters[UPPER, at]
            if kind == 1:
                _normal_roots(work, b, width)
            else:
                _poisson_roots(work, b, width)
            for l in range(LANES):
                gamma[l] = gamma[l] if held[l] > 0.0 else min(max(root[l], lower), upper)
        for l in range(LANES):
            rate[l] = gamma[l] * under[l]
            residual[l] = 1.0 - data[l] / rate[l] if data[l] > 0.0 else 1.0
        _weights(plan, work, b)
        _add_poisson(nll, rate, data)
    _penalty(plan, work)


@compiled
def _weights(plan: Plan, work: Lanes, b: int) -> None:
    """Set what the residual and the curvature of a bin are multiplied with in gradient and Hessian."""
    under, data, held, gamma = work.bins[UNDER, b], work.bins[DATA, b], work.bins[HELD, b], work.bins[GAMMA, b]
    root, rate, residual = work.bins[ROOT, b], work.bins[RATE, b], work.bins[RESIDUAL, b]
    pull, weight, centre, nll = work.bins[PULL, b], work.bins[WEIGHT, b], work.bins[CENTRE_OF_BIN, b], work.sums[NLL]
    bent, exact = work.bins[BENT, b], work.sums[EXACT]
    kind = plan.local[b, KIND]
    width = plan.parameters[WIDTH, plan.local[b, FULL]] if kind >= 0 else 1.0
    two = work.bins[LEFT, b]
    for l in range(LANES):  # short loops: those over many rows are not turned into vector operations
        pull[l] = residual[l] * gamma[l]
        bent[l] = pull[l] * exact[l]
    for l in range(LANES):
        mean = data[l] if exact[l] > 0.0 else max(rate[l], 0.0)
        two[l] = mean / (rate[l] * rate[l]) if mean > 0.0 else 0.0
    for l in range(LANES):
        weight[l] = two[l] * gamma[l] * gamma[l]
    if kind < 0:
        return
    straight, curvature = 1.0 / (width * width) if kind == 1 else 0.0, work.sums[TOTAL]
    for l in range(LANES):
        curvature[l] = straight if kind == 1 else centre[l] / (gamma[l] * gamma[l])
    for l in range(LANES):
        moves = held[l] == 0.0 and root[l] == gamma[l]
        two[l] = two[l] if moves else -1.0
    for l in range(LANES):
        joint, left = two[l] * under[l] * under[l] + curvature[l], bent[l] / gamma[l]
        full = two[l] * gamma[l] * (curvature[l] * gamma[l] - 2.0 * under[l] * left) - left * left
        weight[l] = full / joint if two[l] >= 0.0 and joint > 0.0 else weight[l]
    if kind == 1:
        for l in range(LANES):
            nll[l] += 0.5 * straight * (gamma[l] - centre[l]) ** 2
    else:
        for l in range(LANES):
            bent[l] = width * gamma[l]
        _add_poisson(nll, bent, centre)
        for l in range(LANES):
            bent[l] = pull[l] * exact[l]


@compiled
def _penalty(plan: Plan, work: Lanes) -> None:
    """Add the constraint terms of the dense parameters to -ln L."""
    nll, rate = work.sums[NLL], work.sums[TOTAL]
    for p in range(plan.dense.shape[0]):
        kind, width = plan.dense[p, KIND], plan.parameters[WIDTH, plan.dense[p, FULL]]
        x, centre = work.dense[POINT, p], work.dense[CENTRE, p]
        if kind == 1:
            for l in range(LANES):
                nll[l] += 0.5 * ((x[l] - centre[l]) / width) ** 2
        elif kind == 2:
            for l in range(LANES):
                rate[l] = width * x[l]
            _add_poisson(nll, rate, centre)
    for k in range(plan.pairs.shape[0]):
        p, q, coupling = plan.pairs[k, 0], plan.pairs[k, 1], plan.couplings[k]
        x, centre, y, middle = work.dense[POINT, p], work.dense[CENTRE, p], work.dense[POINT, q], work.dense[CENTRE, q]
        for l in range(LANES):
            nll[l] += coupling * (x[l] - centre[l]) * (y[l] - middle[l])


@compiled
def value(plan: Plan, work: Lanes) -> None:
    """Set -ln L (sums[NLL]) and the local parameters at the point of every lane."""
    _even(plan, work)
    _factors(plan, work)
    _rates(plan, work)
    _profile(plan, work)
