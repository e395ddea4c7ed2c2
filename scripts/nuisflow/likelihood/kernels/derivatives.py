"""Compiled -ln L of a binned likelihood with its exact gradient and Hessian.

Where a bin has a parameter of its own (an MC-statistics factor), it is profiled in closed form and the derivatives by
all others ("dense") are those of the profiled likelihood (implicit-function rule). All but derivatives_at work on -ln L
minus its saturated value, which keeps small differences exact.
"""

# ruff: noqa: PLR0917 (compiled functions take their arrays by position)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels import spreads
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.rates import (
    CENTRE,
    CROSS,
    DATA,
    EVEN_FIRST,
    EVEN_SECOND,
    EXTRA,
    GAMMA,
    GRADIENT,
    JOINT,
    LOCAL_AUXILIARY,
    POINT,
    PULL,
    RATE,
    RESIDUAL,
    SCALE,
    SHARE,
    SLOPE,
    STIFF,
    UNDER,
    WEIGHT,
    Work,
    allocate,
    constants,
    load,
    rates,
    value,
    without,
)
from nuisflow.likelihood.plans import (
    AT,
    FIRST,
    FROM,
    FULL,
    KIND,
    LAST,
    LOCAL,
    MIXED,
    NORMS,
    OWNER,
    SHAPES,
    SLOTS,
    START,
    TO,
    WIDTH,
    Plan,
)


@compiled
def _constraints(plan: Plan, work: Work) -> None:
    """Add gradient and Hessian of the constraint terms of the dense parameters."""
    for p in range(plan.dense.shape[0]):
        x, aux, width = work.dense[POINT, p], work.dense[CENTRE, p], plan.parameters[WIDTH, plan.dense[p, FULL]]
        if plan.dense[p, KIND] == 1:
            work.dense[GRADIENT, p] += (x - aux) / (width * width)
            work.squares[0, p, p] += 1.0 / (width * width)
        elif plan.dense[p, KIND] == 2:
            work.dense[GRADIENT, p] += width - (aux / x if aux > 0.0 else 0.0)
            work.squares[0, p, p] += aux / (x * x) if aux > 0.0 else 0.0
    for k in range(plan.pairs.shape[0]):
        p, q, coupling = plan.pairs[k, 0], plan.pairs[k, 1], plan.couplings[k]
        work.dense[GRADIENT, p] += coupling * (work.dense[POINT, q] - work.dense[CENTRE, q])
        work.dense[GRADIENT, q] += coupling * (work.dense[POINT, p] - work.dense[CENTRE, p])
        work.squares[0, p, q] += coupling


@compiled
def _add(squares: Floats, p: int, q: int, value: float) -> None:
    """Add a mixed second derivative to the lower triangle of the Hessian (twice when both are the same parameter)."""
    squares[0, max(p, q), min(p, q)] += 2.0 * value if p == q else value


@compiled
def _shares(plan: Plan, work: Work, c: int) -> None:
    """Set SHARE = d(rate)/d(template x norms) of the bins of a cell, and PULL = SHARE x residual."""
    first, start, local = plan.cells[c, FIRST], plan.cells[c, START], plan.cells[c, LOCAL] > 0
    for b in range(plan.cells[c, LAST] - first):
        share = work.flat[1, start + b] * (work.bins[SCALE, first + b] if local else 1.0)
        work.bins[SHARE, b] = share
        work.bins[PULL, b] = share * work.bins[RESIDUAL, first + b]


@compiled
def _norms(plan: Plan, work: Work, c: int) -> None:
    """Add the derivatives of one cell by its norm factors; leave those of their product in norms[3]."""
    first, start, last = plan.cells[c, FIRST], plan.cells[c, START], plan.cells[c, LAST]
    inner, factor, total = plan.cells[c, LOCAL] > 0 and plan.local[first, MIXED] > 0, work.factor[c], 0.0
    base, slope = work.flat[0, start : start + last - first], work.bins[SLOPE]
    for b in range(base.size):
        total += work.bins[PULL, b] * base[b]
        slope[b] = work.bins[SHARE, b] * base[b]
    begin, end = plan.cells[c, NORMS], plan.cells[c + 1, NORMS]
    for e in range(begin, end):
        p = plan.norms[e, OWNER]
        left = factor / work.norms[0, e] if factor != 0.0 else without(plan, work, c, e, e)
        change = left * work.norms[1, e]
        work.norms[3, e] = change
        work.dense[GRADIENT, p] += change * total
        work.squares[0, p, p] += left * work.norms[2, e] * total
        row = work.slopes[0, p, first:last]
        for b in range(row.size):
            row[b] += change * slope[b]
        if inner:
            for b in range(row.size):
                work.slopes[1, p, first + b] += change * work.flat[1, start + b] * base[b]
        for f in range(begin, e):
            pair = change * work.norms[3, f] / factor
            if factor == 0.0:
                pair = without(plan, work, c, e, f) * work.norms[1, e] * work.norms[1, f]
            work.squares[0, p, plan.norms[f, OWNER]] += pair * total


@compiled
def _shapes(plan: Plan, work: Work, c: int) -> None:
    """Add the derivatives of one cell by the parameters of its shape variations."""
    first, start, last = plan.cells[c, FIRST], plan.cells[c, START], plan.cells[c, LAST]
    inner, factor = plan.cells[c, LOCAL] > 0 and plan.local[first, MIXED] > 0, work.factor[c]
    share, pull = work.bins[SHARE], work.bins[PULL]
    begin, end = plan.cells[c, NORMS], plan.cells[c + 1, NORMS]
    for e in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
        p, at = plan.shapes[e, OWNER], plan.shapes[e, AT]
        odd, even = plan.templates[0, at : at + last - first], plan.templates[1, at : at + last - first]
        row, turn = work.slopes[0, p, first:last], work.dense[EVEN_FIRST, p]
        total, curved = 0.0, 0.0
        for b in range(row.size):
            change = odd[b] + turn * even[b]
            row[b] += factor * share[b] * change
            total += pull[b] * change
            curved += pull[b] * even[b]
        if inner:
            for b in range(row.size):
                change = odd[b] + turn * even[b]
                work.slopes[1, p, first + b] += factor * work.flat[1, start + b] * change
        work.dense[GRADIENT, p] += factor * total
        work.squares[0, p, p] += factor * work.dense[EVEN_SECOND, p] * curved
        for f in range(begin, end):
            _add(work.squares, p, plan.norms[f, OWNER], work.norms[3, f] * total)


@compiled
def _slots(plan: Plan, work: Work, c: int) -> None:
    """Add the derivatives of one cell by its bin factors that are not profiled (each acts on one bin of the cell)."""
    first, start = plan.cells[c, FIRST], plan.cells[c, START]
    factor, begin, end = work.factor[c], plan.cells[c, SLOTS], plan.cells[c + 1, SLOTS]
    for b in range(plan.cells[c, LAST] - first):
        pull = work.bins[RESIDUAL, first + b] * (work.bins[SCALE, first + b] if plan.cells[c, LOCAL] else 1.0)
        for e in range(begin, end):
            p = plan.owners[plan.slots[e] + b]
            left = 1.0
            for f in range(begin, end):
                if f != e:
                    left *= work.dense[POINT, plan.owners[plan.slots[f] + b]]
            slope = left * work.flat[0, start + b]
            work.dense[GRADIENT, p] += factor * slope * pull
            work.slopes[0, p, first + b] += (
                factor * slope * (work.bins[SCALE, first + b] if plan.cells[c, LOCAL] else 1.0)
            )
            if plan.cells[c, LOCAL] and plan.local[first + b, MIXED]:
                work.slopes[1, p, first + b] += factor * slope
            for f in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
                _add(work.squares, p, plan.norms[f, OWNER], work.norms[3, f] * slope * pull)
            for f in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
                q, at = plan.shapes[f, OWNER], plan.shapes[f, AT] + b
                shape = plan.templates[0, at] + work.dense[EVEN_FIRST, q] * plan.templates[1, at]
                _add(work.squares, p, q, factor * left * shape * pull)
            for f in range(begin, e):
                pair = 1.0
                for h in range(begin, end):
                    if h not in (e, f):
                        pair *= work.dense[POINT, plan.owners[plan.slots[h] + b]]
                q = plan.owners[plan.slots[f] + b]
                _add(work.squares, p, q, factor * pair * work.flat[0, start + b] * pull)


@compiled
def _squares(plan: Plan, work: Work, mixed: bool) -> None:
    """Add the products of first derivatives to the Hessian (profiled bins: see _profile)."""
    left, right = work.bins[PULL], work.bins[SLOPE]
    for p in range(work.free.size):
        # Unsigned numbers, since an index that might be negative keeps the loop from being vectorised.
        start, stop = np.uint64(plan.dense[p, FROM]), np.uint64(plan.dense[p, TO])
        for b in range(start, stop):
            left[b] = work.bins[WEIGHT, b] * work.slopes[0, p, b]
        if mixed:
            for b in range(start, stop):
                left[b] -= work.bins[CROSS, b] * work.slopes[1, p, b]
                right[b] = work.bins[CROSS, b] * work.slopes[0, p, b] + work.bins[EXTRA, b] * work.slopes[1, p, b]
        for q in range(p + 1):
            total = 0.0
            for b in range(start, stop):
                total += left[b] * work.slopes[0, q, b]
            if mixed:
                for b in range(start, stop):
                    total -= right[b] * work.slopes[1, q, b]
            work.squares[0, p, q] += total


@compiled
def _clear(work: Work) -> None:
    """Set all derivatives to 0."""
    for p in range(work.free.size):
        work.dense[GRADIENT, p] = 0.0
        for q in range(work.free.size):
            work.squares[0, p, q] = 0.0
        for b in range(work.bins.shape[1]):
            work.slopes[0, p, b] = work.slopes[1, p, b] = 0.0


@compiled
def _is_mixed(plan: Plan) -> bool:
    """Tell whether some bin has samples that its local parameter does not scale."""
    return bool(plan.local[:, MIXED].max() > 0)


@compiled
def evaluate(plan: Plan, work: Work) -> float:
    """Return -ln L as *value*; set the gradient and (lower triangle of the) Hessian by the dense parameters."""
    result = value(plan, work)
    if not result < math.inf:
        return result
    _clear(work)
    for c in range(work.factor.size):
        _shares(plan, work, c)
        _norms(plan, work, c)
        _shapes(plan, work, c)
        if plan.cells[c + 1, SLOTS] > plan.cells[c, SLOTS]:
            _slots(plan, work, c)
    if plan.spreads.size:
        spreads.add(plan, work)
    _squares(plan, work, _is_mixed(plan))
    _constraints(plan, work)
    return result


@compiled
def local_slope(plan: Plan, work: Work, b: int) -> float:
    """Return d(-ln L)/d(local parameter of bin b) after an evaluation."""
    x, aux, width = work.bins[GAMMA, b], work.bins[LOCAL_AUXILIARY, b], plan.parameters[WIDTH, plan.local[b, FULL]]
    walled = work.bins[STIFF, b] > 0.0 and not plan.local[b, MIXED]  # that wall does not depend on the local parameter
    slope: float = (1.0 if walled else work.bins[RESIDUAL, b]) * work.bins[UNDER, b]
    if plan.local[b, KIND] == 1:
        slope += (x - aux) / (width * width)
    elif plan.local[b, KIND] == 2:
        slope += width - aux / x
    return slope


@compiled
def _fill(plan: Plan, work: Work, gradient: Floats, hessian: Floats) -> None:
    """Write gradient and Hessian over all parameters after an evaluation with all of them held."""
    for p in range(hessian.shape[0]):
        for q in range(hessian.shape[0]):
            hessian[p, q] = 0.0
    for p in range(plan.dense.shape[0]):
        gradient[plan.dense[p, FULL]] = work.dense[GRADIENT, p]
        for q in range(p + 1):
            hessian[plan.dense[p, FULL], plan.dense[q, FULL]] = work.squares[0, p, q]
            hessian[plan.dense[q, FULL], plan.dense[p, FULL]] = work.squares[0, p, q]
    for b in range(plan.local.shape[0]):
        at = plan.local[b, FULL]
        if at < 0:
            continue
        gradient[at] = local_slope(plan, work, b)
        hessian[at, at] = work.bins[JOINT, b]
        for p in range(plan.dense.shape[0]):
            inner = work.slopes[1, p, b] if plan.local[b, MIXED] else work.slopes[0, p, b] / work.bins[SCALE, b]
            two = work.bins[DATA, b] / work.bins[RATE, b] ** 2 if work.bins[DATA, b] > 0.0 else 0.0
            cross = two * work.bins[UNDER, b] * work.slopes[0, p, b] + work.bins[RESIDUAL, b] * inner
            hessian[at, plan.dense[p, FULL]] = cross
            hessian[plan.dense[p, FULL], at] = cross


@compiled
def _cell_rates(plan: Plan, work: Work, result: Floats, jacobian: Floats) -> None:
    """Write the rates of every cell, bin by bin, and their derivatives by all parameters, at the point in *work*."""
    rates(plan, work)
    for c in range(work.factor.size):
        first, start = plan.cells[c, FIRST], plan.cells[c, START]
        bins = plan.cells[c, LAST] - first
        _clear(work)
        for b in range(bins):
            work.bins[RESIDUAL, first + b] = 0.0
            work.bins[SCALE, first + b] = work.bins[GAMMA, first + b]
        _shares(plan, work, c)
        _norms(plan, work, c)
        _shapes(plan, work, c)
        _slots(plan, work, c)
        for b in range(bins):
            rate = work.factor[c] * work.flat[1, start + b] * work.flat[0, start + b]
            result[start + b] = rate * (work.bins[GAMMA, first + b] if plan.cells[c, LOCAL] > 0 else 1.0)
            for p in range(plan.dense.shape[0]):
                jacobian[start + b, plan.dense[p, FULL]] = work.slopes[0, p, first + b]
            if plan.cells[c, LOCAL]:
                jacobian[start + b, plan.local[first + b, FULL]] = rate
    if plan.spreads.size:
        spreads.slopes(plan, work, jacobian)
        spreads.rates(plan, work, result)


@compiled
def _only_rates(plan: Plan, work: Work, result: Floats) -> None:
    """Write the rates of every cell, bin by bin, at the point in *work*."""
    rates(plan, work)
    for c in range(work.factor.size):
        first, start = plan.cells[c, FIRST], plan.cells[c, START]
        for b in range(plan.cells[c, LAST] - first):
            rate = work.factor[c] * work.flat[1, start + b] * work.flat[0, start + b]
            result[start + b] = rate * (work.bins[GAMMA, first + b] if plan.cells[c, LOCAL] > 0 else 1.0)
    if plan.spreads.size:
        spreads.rates(plan, work, result)


@entry
def derivatives_at(plan: Plan, data: Floats, auxiliary: Floats, points: Floats, values: Floats, gradient: Floats,
                   hessian: Floats, cells: Floats, jacobian: Floats) -> None:  # fmt: skip
    """Write -ln L (with all constants), gradient and Hessian over all parameters, rates of cells and their derivatives.

    At every point; what an empty array would hold is left out. (One function, since each entry point costs seconds of
    compilation.) Where -ln L is infinite, its derivatives are NaN.
    """
    work, held = allocate(plan), np.ones(points.shape[1], np.bool_)
    for i in range(points.shape[0]):
        a, d = min(i, auxiliary.shape[0] - 1), min(i, data.shape[0] - 1)
        load(plan, work, data[d], auxiliary[a], points[i], held)
        if i < values.size:
            values[i] = evaluate(plan, work) + constants(plan, data[d], auxiliary[a])
            if values[i] < math.inf:
                _fill(plan, work, gradient[i], hessian[i])
        if i < cells.shape[0] and i < jacobian.shape[0]:
            _cell_rates(plan, work, cells[i], jacobian[i])
        elif i < cells.shape[0]:
            _only_rates(plan, work, cells[i])
