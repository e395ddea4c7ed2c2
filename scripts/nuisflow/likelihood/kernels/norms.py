"""Compiled factors of cells (samples in channels) at many points side by side, for `blocks`; arrays: (what, lanes)."""

# ruff: noqa: PLR0917 (compiled functions take their arrays by position)

import math

import numpy as np

from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels.compilation import compiled, entry
from nuisflow.likelihood.kernels.rates import smooth
from nuisflow.likelihood.plans import CODE, LINEAR, NORMS, OWNER, POLYNOMIAL, SCALING, SMOOTH, Plan

TINY = 1e-100
"""In place of a norm factor of 0: the derivatives by it and by others keep their values, and no ratio is 0/0."""


@entry
def factors(plan: Plan, x: Floats, result: Floats, ratios: Floats, bends: Floats) -> None:
    """Multiply *result* (cells, lanes) by the norm factors at *x* (dense parameters, lanes).

    Write their logarithmic derivatives into *ratios* (norms, lanes); second derivatives over values into *bends*, which
    is empty where they are not asked for.
    """
    lanes, bent = x.shape[1], bends.shape[0] > 0
    value, first, second = np.empty(lanes), np.empty(lanes), np.empty(lanes)
    for c in range(result.shape[0]):
        for n in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
            _norm(plan.norms[n, CODE], plan.coefficients[n], x[plan.norms[n, OWNER]], value, first, second)
            for lane in range(lanes):
                held = value[lane] if abs(value[lane]) >= TINY else TINY
                result[c, lane] *= held
                ratios[n, lane] = first[lane] / held
            if bent:
                for lane in range(lanes):
                    bends[n, lane] = second[lane] / (value[lane] if abs(value[lane]) >= TINY else TINY)


@compiled
def _norm(code: int, a: Floats, x: Floats, value: Floats, first: Floats, second: Floats) -> None:
    """Write a factor with its derivatives for all lanes, as rates._norm."""
    if code == LINEAR:
        for lane in range(len(x)):
            value[lane], first[lane], second[lane] = x[lane], 1.0, 0.0
        return
    if code == SMOOTH:
        for lane in range(len(x)):
            value[lane], first[lane], second[lane] = smooth(a[6], a[7], min(max(x[lane], -0.5), 0.5))
    reach = 1.0 if code == POLYNOMIAL else 0.5 if code == SMOOTH else 0.0
    if code in (POLYNOMIAL, SCALING):
        base = a[6] if code == SCALING else 1.0
        b0, b1, b2, b3, b4, b5 = a[0], a[1], a[2], a[3], a[4], a[5]
        for lane in range(len(x)):
            y = x[lane]
            value[lane] = base + y * (b0 + y * (b1 + y * (b2 + y * (b3 + y * (b4 + y * b5)))))
            first[lane] = b0 + y * (2 * b1 + y * (3 * b2 + y * (4 * b3 + y * (5 * b4 + y * (6 * b5)))))
            second[lane] = 2 * b1 + y * (6 * b2 + y * (12 * b3 + y * (20 * b4 + y * (30 * b5))))
    if code == SCALING:
        return
    for lane in range(len(x)):
        if abs(x[lane]) >= reach:
            slope = a[6] if x[lane] > 0.0 else -a[7]
            value[lane] = math.exp(slope * x[lane])
            first[lane] = slope * value[lane]
            second[lane] = slope * first[lane]


@entry
def pulls(plan: Plan, ratios: Floats, totals: Floats, result: Floats) -> None:
    """Add to the gradient *result* (dense parameters, lanes) what norms contribute; *totals*: (cells, lanes)."""
    for c in range(totals.shape[0]):
        for n in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
            owner = plan.norms[n, OWNER]
            for lane in range(result.shape[1]):
                result[owner, lane] += ratios[n, lane] * totals[c, lane]
