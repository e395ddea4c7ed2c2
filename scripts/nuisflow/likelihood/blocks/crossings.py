"""Profile-likelihood intervals (MINOS) of one parameter of a large model, every fit in the metric of the best one."""

# ruff: noqa: PLR0917 (as kernels, functions take their arrays by position)

import math

import numpy as np

from nuisflow.likelihood.blocks import steps
from nuisflow.likelihood.blocks.evaluation import Blocks
from nuisflow.likelihood.histfactory import Floats

_ROUNDS = 30
_UNFINISHED, _MISSING, _DEEPER = -1.0, 4, 8  # see model.Intervals


def interval(blocks: Blocks, problem: steps.Problem, lowest: float, index: int, sigmas: float, tolerance: float,
             ) -> tuple[float, float, float, float]:  # fmt: skip
    """Return (low, high, standard deviation, flags) as kernels.profiles does, for the one row of *problem*, a best fit.

    The flags are negative where that is no ordinary case.
    """
    best, nothing = problem.start[0], (math.nan, math.nan, math.nan, _UNFINISHED)
    place = np.flatnonzero(blocks.dense == index)
    if not len(place) or problem.fixed[0, index]:
        return nothing
    try:
        metric = steps.metric(blocks, best, problem.fixed[0], (problem.data[0], problem.auxiliary[0]))
    except np.linalg.LinAlgError:
        return nothing
    k, x = int(place[0]), best[blocks.dense][:, None]
    inside = metric.free & (x > blocks.lower) & (x < blocks.upper)
    inside[k] = True
    column = metric.apply(np.eye(len(x))[:, k : k + 1], inside)[:, 0]
    error, tangent = math.sqrt(column[k]), column / column[k]
    held = problem._replace(fixed=problem.fixed | (np.arange(len(best)) == index))
    ends, flags = [math.nan, math.nan], 0
    for side, bound in enumerate((float(blocks.lower[k, 0]), float(blocks.upper[k, 0]))):
        sign = 1.0 if side else -1.0
        ends[side], flag = (bound, 1 + side) if best[index] == bound else _crossing(
            blocks, metric, held, lowest, index, tangent, sigmas, tolerance, (sign * sigmas * error, bound, 1 + side)
        )  # fmt: skip
        if flag < 0:
            return nothing
        flags |= flag
    return ends[0], ends[1], error, float(flags)


def _crossing(blocks: Blocks, metric: steps.Metric, problem: steps.Problem, lowest: float, index: int, tangent: Floats,
              target: float, tolerance: float, way: tuple[float, float, int]) -> tuple[float, int]:  # fmt: skip
    """Return where the profile rises by target^2 / 2 and flags; *way*: first step, the bound, and the flag there."""
    size, bound, at_bound = way
    best, point = float(problem.start[0, index]), problem.start[0].copy()
    here, inside, outside = best + size, best, math.inf
    for _ in range(_ROUNDS):
        here = bound if (here - bound) * size > 0.0 else here
        point[blocks.dense] = np.clip(point[blocks.dense] + (here - point[index]) * tangent, blocks.lower[:, 0],
                                      blocks.upper[:, 0])  # fmt: skip
        point[problem.fixed[0]] = problem.start[0][problem.fixed[0]]
        point[index] = here
        row, values, found = problem._replace(start=point[None, :]), point[None, :].copy(), np.full((1, 3), -1.0)
        steps.descend(blocks, metric, row, tolerance, values, found)
        if found[0, 1] < 0:
            return math.nan, int(_UNFINISHED)
        if found[0, 0] < lowest - 1e-5:
            return math.nan, _MISSING | _DEEPER
        point = values[0]
        height = math.sqrt(max(2.0 * (found[0, 0] - lowest), 0.0))
        if here == bound and height <= target:
            return bound, at_bound
        slope = _slope(blocks, problem, point, index) / height if height > 0.0 else 0.0
        follow = here + (target - height) / slope if slope != 0.0 else best + 2.0 * (here - best)
        if abs(height - target) < 1e-4 * target:
            return follow, 0
        inside, outside = (here, outside) if height < target else (inside, here)
        if math.isinf(outside):
            far = not (follow - here) * size > 0.0 or abs(follow - best) > 4.0 * abs(here - best)
            follow = best + 2.0 * (here - best) if far else follow
        elif not (follow - inside) * (outside - follow) > 0.0:
            follow = 0.5 * (inside + outside)
        here = follow
    return math.nan, int(_UNFINISHED)


def _slope(blocks: Blocks, problem: steps.Problem, point: Floats, index: int) -> float:
    """Return d(-ln L)/d(parameter) at a point."""
    _, gradient = blocks.evaluate(steps.lanes_of(blocks, problem._replace(start=point[None, :])))
    return float(gradient[blocks.dense == index, 0][0])


def intervals(blocks: Blocks, problem: steps.Problem, lowest: Floats, index: int, sigmas: float, tolerance: float,
              result: Floats) -> None:  # fmt: skip
    """Write the interval around every best fit."""
    for i in range(len(result)):
        result[i] = interval(blocks, problem.rows(np.array([i])), lowest[i], index, sigmas, tolerance)
