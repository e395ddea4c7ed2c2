"""Compiled derivatives of errors that bins' parameters multiply (mcstat): u = sqrt(sum over cells of (factor error)^2).

The rate of such a bin is the sum of its cells plus parameter times u: what Combine's autoMCStats does above its
threshold. All functions follow an evaluation of the norms (Work.norms).
"""

import numpy as np

from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels.compilation import compiled
from nuisflow.likelihood.kernels.rates import EXTRA, GAMMA, GRADIENT, RESIDUAL, SLOPE, UNDER, Work, without
from nuisflow.likelihood.plans import ADDED, FIRST, FULL, LAST, NORMS, OWNER, START, Plan


@compiled
def add(plan: Plan, work: Work) -> None:
    """Add the derivatives by norms of the errors that local parameters multiply: u = sqrt(sum of (factor error)^2)."""
    for c in range(work.factor.size):
        first, start, factor, weight = plan.cells[c, FIRST], plan.cells[c, START], work.factor[c], 0.0
        if not plan.local[first, ADDED]:
            continue
        ratio = work.bins[SLOPE]
        for b in range(plan.cells[c, LAST] - first):
            under = work.bins[UNDER, first + b]
            ratio[b] = plan.spreads[start + b] / under if under > 0.0 else 0.0
            weight += work.bins[RESIDUAL, first + b] * work.bins[GAMMA, first + b] * ratio[b]
        begin, end = plan.cells[c, NORMS], plan.cells[c + 1, NORMS]
        for e in range(begin, end):
            p, change = plan.norms[e, OWNER], work.norms[3, e]
            for b in range(plan.cells[c, LAST] - first):
                work.slopes[1, p, first + b] += factor * change * ratio[b]
            bend = without(plan, work, c, e, e) * work.norms[2, e]
            work.squares[0, p, p] += weight * (change * change + factor * bend)
            for f in range(begin, e):
                pair = without(plan, work, c, e, f) * work.norms[1, e] * work.norms[1, f]
                work.squares[0, p, plan.norms[f, OWNER]] += weight * (change * work.norms[3, f] + factor * pair)
    for b in range(plan.local.shape[0]):
        if plan.local[b, ADDED] and work.bins[UNDER, b] > 0.0:
            pull = work.bins[RESIDUAL, b] * work.bins[GAMMA, b]
            work.bins[EXTRA, b] += pull / work.bins[UNDER, b]
            for p in range(plan.dense.shape[0]):
                work.slopes[0, p, b] += work.bins[GAMMA, b] * work.slopes[1, p, b]
                work.dense[GRADIENT, p] += pull * work.slopes[1, p, b]


@compiled
def rates(plan: Plan, work: Work, result: Floats) -> None:
    """Add to the rates of the cells their shares, by variance, of what local parameters add to bins."""
    for c in range(work.factor.size):
        first, start = plan.cells[c, FIRST], plan.cells[c, START]
        for b in range(plan.cells[c, LAST] - first if plan.local[first, ADDED] else 0):
            if work.bins[UNDER, first + b] > 0.0:
                share = work.factor[c] ** 2 * plan.spreads[start + b] / work.bins[UNDER, first + b]
                result[start + b] += work.bins[GAMMA, first + b] * share


@compiled
def slopes(plan: Plan, work: Work, jacobian: Floats) -> None:
    """Add the derivatives of these shares (after those of all norms)."""
    own = np.zeros((plan.dense.shape[0], plan.local.shape[0]))  # of the errors that local parameters multiply
    for again in range(2):
        for c in range(work.factor.size):
            first, start, factor = plan.cells[c, FIRST], plan.cells[c, START], work.factor[c]
            for b in range(first, plan.cells[c, LAST] if plan.local[first, ADDED] else first):
                under, x, at = work.bins[UNDER, b], work.bins[GAMMA, b], start + b - first
                ratio = plan.spreads[at] / under if under > 0.0 else 0.0
                for e in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
                    change = factor * work.norms[3, e] * ratio
                    if again:
                        jacobian[at, plan.dense[plan.norms[e, OWNER], FULL]] += 2.0 * x * change
                    else:
                        own[plan.norms[e, OWNER], b] += change
                if again and under > 0.0:
                    share = factor * factor * ratio
                    jacobian[at, plan.local[b, FULL]] = share
                    for p in range(plan.dense.shape[0]):
                        jacobian[at, plan.dense[p, FULL]] -= x * share * own[p, b] / under
