"""Compiled gradient and Hessian of many data sets side by side: the same mathematics as derivatives, in lanes."""

# ruff: noqa: E741 (compiled functions take their arrays by position; l is a lane)

import numpy as np

from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels.compilation import compiled
from nuisflow.likelihood.kernels.lanes import (
    AFTER,
    BEFORE,
    BENT,
    CENTRE,
    CHANGE,
    CURVED,
    EVEN_FIRST,
    EVEN_SECOND,
    GRADIENT,
    LANES,
    LEFT,
    POINT,
    PULL,
    RATIO,
    TOTAL,
    VALUE,
    VALUE_FIRST,
    VALUE_SECOND,
    WEIGHT,
    Lanes,
    value,
)
from nuisflow.likelihood.plans import AT, FIRST, FROM, FULL, KIND, LAST, NORMS, OWNER, SHAPES, START, TO, WIDTH, Plan


@compiled
def _norm_slopes(plan: Plan, work: Lanes, c: int) -> None:
    """Add the derivatives of one cell by its norm factors."""
    first, start = plan.cells[c, FIRST], plan.cells[c, START]
    bins, begin, end = plan.cells[c, LAST] - first, plan.cells[c, NORMS], plan.cells[c + 1, NORMS]
    total, after = work.sums[TOTAL], work.sums[AFTER]
    total[:] = 0.0
    for b in range(bins):
        pull, base = work.bins[BENT, first + b], work.base[start + b]
        for l in range(LANES):
            total[l] += pull[l] * base[l]
    after[:] = 1.0
    for e in range(end - 1, begin - 1, -1):
        p, value, before = plan.norms[e, OWNER], work.norms[VALUE, e], work.norms[BEFORE, e]
        one, two, change, ratio = (
            work.norms[VALUE_FIRST, e], work.norms[VALUE_SECOND, e], work.norms[CHANGE, e], work.norms[RATIO, e]
        )  # fmt: skip
        square = work.hessian[p, p]
        for l in range(LANES):
            square[l] += before[l] * after[l] * two[l] * total[l]
        for l in range(LANES):
            change[l] = before[l] * after[l] * one[l]
            ratio[l] = one[l] / value[l]
        for l in range(LANES):
            after[l] *= value[l]
        for b in range(bins):
            row, base = work.slopes[p, first + b], work.base[start + b]
            for l in range(LANES):
                row[l] += change[l] * base[l]
    for e in range(begin, end):
        change, ratio, value = work.norms[CHANGE, e], work.norms[RATIO, e], work.norms[VALUE, e]
        for f in range(begin, e):
            square, other, rate = work.hessian[plan.norms[e, OWNER], plan.norms[f, OWNER]], work.norms[CHANGE, f], (
                work.norms[RATIO, f])  # fmt: skip
            below = work.norms[VALUE, f]
            for l in range(LANES):
                square[l] += total[l] * (change[l] * rate[l] if below[l] != 0.0 else other[l] * ratio[l])


@compiled
def _shape_slopes(plan: Plan, work: Lanes, c: int) -> None:
    """Add the derivatives of one cell by the parameters of its shape variations."""
    first, factor = plan.cells[c, FIRST], work.factor[c]
    bins, begin, end = plan.cells[c, LAST] - first, plan.cells[c, NORMS], plan.cells[c + 1, NORMS]
    total, curved = work.sums[TOTAL], work.sums[CURVED]
    for e in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
        p, at = plan.shapes[e, OWNER], plan.shapes[e, AT]
        turn, second, square = work.dense[EVEN_FIRST, p], work.dense[EVEN_SECOND, p], work.hessian[p, p]
        total[:] = 0.0
        curved[:] = 0.0
        for b in range(bins):
            odd, even = plan.templates[0, at + b], plan.templates[1, at + b]
            row, pull = work.slopes[p, first + b], work.bins[BENT, first + b]
            for l in range(LANES):
                row[l] += factor[l] * (odd + turn[l] * even)
            for l in range(LANES):
                total[l] += pull[l] * odd
                curved[l] += pull[l] * even
        for l in range(LANES):
            total[l] += turn[l] * curved[l]
        for l in range(LANES):
            square[l] += factor[l] * second[l] * curved[l]
        for f in range(begin, end):
            q, change = plan.norms[f, OWNER], work.norms[CHANGE, f]
            cross, twice = work.hessian[max(p, q), min(p, q)], 2.0 if p == q else 1.0
            for l in range(LANES):
                cross[l] += twice * change[l] * total[l]


@compiled
def _product(target: Floats, left: Floats, right: Floats, start: int, stop: int) -> None:
    """Add the products of two rows, summed over the bins from *start* to *stop* (4 at a time, to save loads)."""
    at = np.uint64(max(start, 0) * LANES)
    for _ in range((stop - start) // 4):
        for l in range(np.uint64(LANES)):
            i = at + l
            j, k, m = i + np.uint64(LANES), i + np.uint64(2 * LANES), i + np.uint64(3 * LANES)
            target[l] += (left[i] * right[i] + left[j] * right[j]) + (left[k] * right[k] + left[m] * right[m])
        at += np.uint64(4 * LANES)
    for _ in range(max(stop - start, 0) % 4):
        for l in range(np.uint64(LANES)):
            target[l] += left[at + l] * right[at + l]
        at += np.uint64(LANES)


@compiled
def _products(plan: Plan, work: Lanes) -> None:
    """Set the gradient and add the products of first derivatives to the Hessian."""
    pull, left, weight = work.rows[PULL], work.rows[LEFT], work.rows[WEIGHT]
    for p in range(plan.dense.shape[0]):
        gradient, row, start, stop = work.dense[GRADIENT, p], work.slope_rows[p], plan.dense[p, FROM], plan.dense[p, TO]
        gradient[:] = 0.0
        _product(gradient, pull, row, start, stop)
        for i in range(np.uint64(start * LANES), np.uint64(stop * LANES)):
            left[i] = weight[i] * row[i]
        for q in range(p + 1):
            other = work.slope_rows[q]
            _product(work.hessian[p, q], left, other, max(start, plan.dense[q, FROM]), min(stop, plan.dense[q, TO]))


@compiled
def _constraints(plan: Plan, work: Lanes) -> None:
    """Add gradient and Hessian of the constraint terms of the dense parameters."""
    for p in range(plan.dense.shape[0]):
        kind, width = plan.dense[p, KIND], plan.parameters[WIDTH, plan.dense[p, FULL]]
        x, centre, gradient, square = (
            work.dense[POINT, p], work.dense[CENTRE, p], work.dense[GRADIENT, p], work.hessian[p, p]
        )  # fmt: skip
        if kind == 2:
            for l in range(LANES):
                gradient[l] += width - (centre[l] / x[l] if centre[l] > 0.0 else 0.0)
                square[l] += centre[l] / (x[l] * x[l]) if centre[l] > 0.0 else 0.0
        elif kind == 1:
            inverse = 1.0 / (width * width)
            for l in range(LANES):
                gradient[l] += (x[l] - centre[l]) * inverse
                square[l] += inverse
    for k in range(plan.pairs.shape[0]):
        p, q, coupling = plan.pairs[k, 0], plan.pairs[k, 1], plan.couplings[k]
        x, centre, y, middle = work.dense[POINT, p], work.dense[CENTRE, p], work.dense[POINT, q], work.dense[CENTRE, q]
        one, other, square = work.dense[GRADIENT, p], work.dense[GRADIENT, q], work.hessian[p, q]
        for l in range(LANES):
            one[l] += coupling * (y[l] - middle[l])
            other[l] += coupling * (x[l] - centre[l])
            square[l] += coupling


@compiled
def evaluate(plan: Plan, work: Lanes) -> None:
    """Set -ln L, the gradient and the lower triangle of the Hessian by the dense parameters, in every lane."""
    value(plan, work)
    work.slopes[:] = 0.0
    work.hessian[:] = 0.0
    for c in range(work.factor.shape[0]):
        _norm_slopes(plan, work, c)
        _shape_slopes(plan, work, c)
    _products(plan, work)
    _constraints(plan, work)
