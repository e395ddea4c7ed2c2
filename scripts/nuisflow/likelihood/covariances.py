"""Covariances of fitted parameters from the exact Hessian, and the bins that end the physical region."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nuisflow.likelihood.constraints import auxiliary, correlations, parameters
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import EDGE, FLAT, Model, Problem, Values
from nuisflow.likelihood.plans import FULL

if TYPE_CHECKING:
    from nuisflow.likelihood.blocks.curvature import Curvature

_FLATNESS = 1e-12  # smallest eigenvalue of the Hessian in units of its diagonal, below which a direction is flat
_SAME = 1e-12  # of the largest rate, below which rates are the same
_ROWS = 256  # of a covariance, between two looks at main memory
_SAFE = 0.1 / _FLATNESS  # norm of an inverse that is far from any flat direction


def covariance(model: Model, data: Values | None, values: Floats, held: Booleans) -> tuple[Floats, str]:
    """Return the inverse of the exact Hessian of -ln L over the parameters that are not held, or NaN and why.

    Where that is not positive definite, parameters at a bound, and one for each bin at the edge of the physical region,
    count as held, and their errors are NaN. Those that are *idle* have the variance of their range.
    """
    invert = _inversion(model, data, values)
    inverse, problem = invert(~held)
    if not problem:
        return inverse, ""
    bound = ~held & ((values <= model.lower) | (values >= model.upper))
    for bin_, slopes in zip(*edge(model, data, values, held | bound), strict=True):
        bound[np.argmax(np.abs(slopes) * ~(held | bound))] |= bool(bin_ >= 0)
    at_rest = idle(model, values, held | bound)
    if bound.any() or at_rest.any():
        inverse, problem = invert(~held & ~bound & ~at_rest)
        inverse[bound, bound] = np.nan
        inverse[at_rest, at_rest] = (model.upper[at_rest] - model.lower[at_rest]) ** 2 / 12.0
    return inverse, problem


def idle(model: Model, values: Floats, held: Booleans) -> Booleans:
    """Return the free parameters without a constraint that change nothing at a point, whatever their value is.

    So is what acts on a signal alone, where its strength is 0. What changes nothing at the initial values either, and
    the parameter of interest, are not among them: they are at fault, not the point.
    """
    found = np.zeros(len(values), dtype=np.bool_)
    loose = [row.constraint == "none" and row.name != model.poi for row in model.parameters]
    free = list(np.flatnonzero(~held & loose))
    for here, still in ((values, True), (model.inits, False)):
        if not free:
            return found
        points = np.tile(here, (2 * len(free) + 1, 1))
        for ends, end in enumerate((model.lower, model.upper)):
            points[np.arange(len(free)) + 1 + ends * len(free), free] = end[free]
        rates = model.expected(points)
        same = np.abs(rates[1:] - rates[0]).max(axis=1).reshape(2, -1).max(axis=0) <= _SAME * np.abs(rates[0]).max()
        free = [i for i, alike in zip(free, same, strict=True) if alike == still]
    found[free] = True
    return found


def prefit(model: Model) -> Floats:
    """Return the covariance of the parameters by their constraints; 0 for those that are fixed or have none."""
    rows, blocks = auxiliary.given(model.parameters, model.structure.extended.correlations, ~model.fixed)
    widths = np.where(model.fixed, 0.0, np.nan_to_num(parameters.widths(rows)))
    correlation = correlations.matrix(blocks, model.names)
    return np.asarray(correlation * np.outer(widths, widths))


def settle(model: Model, problem: Problem, tolerance: float, values: Floats, result: Floats) -> None:
    """Fit again what ended in a flat direction, with the parameters that are *idle* there held (see Model.minimise)."""
    for i in np.flatnonzero(result[:, 1] == FLAT):
        one, here = problem.part(np.array([i])), values[i]
        at_rest = idle(model, here, one.fixed[0] | (here <= model.lower) | (here >= model.upper))
        if at_rest.any():
            one = one._replace(start=here[None, :].copy(), fixed=one.fixed | at_rest)
            model.one_by_one(one, np.array([0]), tolerance, values[i : i + 1], result[i : i + 1])


def edge(model: Model, data: Values | None, values: Floats, held: Booleans) -> tuple[Integers, Floats]:
    """Return the bins without data that free parameters hold at 0 events, and the slopes of their rates (bins, par.).

    Parameters at a bound are not free: a bin that expects no event for their sake does not end anything.
    """
    free = ~held & (values > model.lower) & (values < model.upper)
    rates, main = model.expected(values), model.split(data)[0][0]
    near = np.flatnonzero((np.abs(rates) < EDGE) & (main == 0.0))
    if not len(near):
        return near, np.zeros((0, len(values)))
    _, slopes = totals(model, values)
    moved = (np.abs(slopes[near][:, free]) > EDGE).any(axis=1)
    return near[moved], slopes[near[moved]]


def samples(model: Model, values: Floats) -> list[tuple[str, str, Floats, Floats]]:
    """Return channel, name, rates (bins) and derivatives (bins, parameters) of every sample in every channel."""
    rates, slopes = model.cells(values)
    found: dict[tuple[str, str], tuple[Floats, Floats]] = {}
    for cell, (first, last, start) in zip(model.pieces.cells, model.plan.cells[:-1, :3], strict=True):
        part = slice(start, start + last - first)
        rate, slope = found.get((cell.channel, cell.sample), (0.0, 0.0))
        found[cell.channel, cell.sample] = rate + rates[part], slope + slopes[part]
    return [(*names, *numbers) for names, numbers in found.items()]


def totals(model: Model, values: Floats) -> tuple[Floats, Floats]:
    """Return the expected main data (bins) and their derivatives (bins, parameters)."""
    _, jacobian = model.cells(values)
    slopes = np.zeros((model.bins, len(model.names)))
    for first, last, start in model.plan.cells[:-1, :3]:
        slopes[first:last] += jacobian[start : start + last - first]
    return model.expected(values), slopes


def along(model: Model, values: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """Return the expected main data (bins), and how they change along a direction of the parameters."""
    if not model.large:
        rates, slopes = totals(model, values)
        return rates, slopes @ direction
    from nuisflow.likelihood.blocks import curvature

    blocks, change = model.blocks, np.zeros(model.bins)
    some, at = blocks.local >= 0, np.maximum(blocks.local, 0)
    gamma, shared = np.where(some, values[at], 1.0), blocks.shared(values[blocks.dense][:, None])
    for part in curvature.slopes(blocks, shared, gamma[:, None]):
        change[part.bins] = direction[blocks.dense[part.owners]] @ part.rates
    rest, under = (row[:, 0] for row in blocks.rates(shared))
    return rest + gamma * under, change + np.where(some, direction[at] * under, 0.0)


def _inversion(model: Model, data: Values | None, values: Floats) -> Callable[[Booleans], tuple[Floats, str]]:
    """Return what inverts the exact Hessian at a point over the parameters that are free."""
    if not model.large:
        return functools.partial(_inverse, model, 0.5 * model.derivatives(values, data).hessian[0])
    from nuisflow.likelihood.blocks import curvature, steps

    main, auxiliary = model.split(data)
    problem = steps.Problem(main[:1], auxiliary[:1], values[None, :], np.ones((1, len(values)), dtype=np.bool_))
    return functools.partial(_in_blocks, model, curvature.at(model.blocks, steps.lanes_of(model.blocks, problem)))


def _in_blocks(model: Model, parts: "Curvature", free: Booleans) -> tuple[Floats, str]:
    """Return what _inverse does, of a Hessian in blocks, the parameters of single bins eliminated (Schur)."""
    from nuisflow.likelihood.blocks import steps

    blocks, result = model.blocks, np.zeros((len(free),) * 2)
    single = (parts.joint > 0.0) & free[np.maximum(blocks.local, 0)] & (blocks.local >= 0)
    lost = free.copy()
    lost[blocks.local[single]] = lost[blocks.dense] = False
    dense, local, some = blocks.dense[free[blocks.dense]], blocks.local[single], free[blocks.dense]
    matrix = parts.profiled(single)[np.ix_(some, some)]
    if lost.any() or not np.isfinite(matrix).all():
        result[np.ix_(free, free)] = np.nan
        return result, "the likelihood is 0 at the best fit" if not lost.any() else _flat(model, int(lost.argmax()))
    try:
        inverse = steps.inverted(matrix)
    except np.linalg.LinAlgError:
        inverse = None
    if inverse is None or (np.diagonal(inverse) * np.diagonal(matrix) > _SAFE).any():
        scale = 1.0 / np.sqrt(np.where(np.diagonal(matrix) > 0, np.diagonal(matrix), 1.0))
        spectrum, vectors = np.linalg.eigh(matrix * np.outer(scale, scale))
        if spectrum[0] < _FLATNESS:
            result[np.ix_(free, free)] = np.nan
            return result, _flat(model, int(dense[np.argmax(np.abs(vectors[:, 0]))]))
        inverse = (vectors / spectrum) @ vectors.T * np.outer(scale, scale)
    cross = parts.cross[np.ix_(some, single)] / parts.joint[single]
    follow = inverse @ cross
    many, one = _range(dense), _range(local)
    result[_block(many, many)], result[_block(many, one)], result[_block(one, many)] = inverse, -follow, -follow.T
    for first in range(0, len(local), _ROWS):  # no second matrix of this size
        rows = local[first : first + _ROWS]
        result[_block(_range(rows), one)] = cross.T[first : first + _ROWS] @ follow
    result[local, local] += 1.0 / parts.joint[single]
    return result, ""


def _flat(model: Model, index: int) -> str:
    return f"not converged: the likelihood does not fix all parameters (flat mostly along {model.names[index]})"


def _range(index: Integers) -> Integers | slice:
    """Return indices that follow each other as a slice, which needs no copies."""
    whole = len(index) > 0 and index[-1] - index[0] == len(index) - 1 and bool((np.diff(index) == 1).all())
    return slice(int(index[0]), int(index[-1]) + 1) if whole else index


def _block(rows: Integers | slice, columns: Integers | slice) -> Any:
    """Return what names a block of a matrix."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        return rows, columns
    return np.ix_(rows, columns)


def _inverse(model: Model, hessian: Floats, free: Booleans) -> tuple[Floats, str]:
    """Return the inverse over the *free* parameters (0 elsewhere), or NaN and why there is none."""
    result, where = np.zeros_like(hessian), np.ix_(free, free)
    part = hessian[where]
    if not np.isfinite(part).all():
        result[where] = np.nan
        return result, "the likelihood is 0 at the best fit"
    scale = 1.0 / np.sqrt(np.where(np.diagonal(part) > 0, np.diagonal(part), 1.0))
    scaled = part * np.outer(scale, scale)
    local = np.zeros_like(free)
    local[model.plan.local[model.plan.local[:, FULL] >= 0, FULL]] = True
    inverse = _by_blocks(scaled, local[free])
    if inverse is None:
        spectrum, vectors = np.linalg.eigh(scaled)
        if len(part) and spectrum[0] < _FLATNESS:
            result[where] = np.nan
            worst = int(np.flatnonzero(free)[np.argmax(np.abs(vectors[:, 0]))])
            return result, _flat(model, worst)
        inverse = (vectors / spectrum) @ vectors.T
    result[where] = inverse * np.outer(scale, scale)
    return result, ""


def _by_blocks(matrix: Floats, local: Booleans) -> Floats | None:
    """Return the inverse of a matrix with 1 on its diagonal, None unless it is far from having a flat direction.

    *local* parameters act on one bin each, so that their block is the unit matrix: they are eliminated first (Schur).
    """
    if (np.diagonal(matrix) <= 0.0).any():
        return None
    cross = matrix[np.ix_(~local, local)]
    try:
        root = np.linalg.inv(np.linalg.cholesky(matrix[np.ix_(~local, ~local)] - cross @ cross.T))
    except np.linalg.LinAlgError:
        return None
    dense = root.T @ root
    follow = dense @ cross
    inverse = np.empty_like(matrix)
    inverse[np.ix_(~local, ~local)] = dense
    inverse[np.ix_(~local, local)] = -follow
    inverse[np.ix_(local, ~local)] = -follow.T
    inverse[np.ix_(local, local)] = np.eye(int(local.sum())) + cross.T @ follow
    return inverse if np.linalg.norm(inverse) < _SAFE else None
