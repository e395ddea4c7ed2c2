"""Covariances of fitted parameters from the exact Hessian, and the bins that end the physical region."""

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import EDGE, Model, Values
from nuisflow.likelihood.plans import FULL

_FLATNESS = 1e-12  # smallest eigenvalue of the Hessian in units of its diagonal, below which a direction is flat
_SAFE = 0.1 / _FLATNESS  # norm of an inverse that is far from any flat direction


def covariance(model: Model, data: Values | None, values: Floats, held: Booleans) -> tuple[Floats, str]:
    """Return the inverse of the exact Hessian of -ln L over the parameters that are not held, or NaN and why.

    Where that is not positive definite, parameters at a bound, and one for each bin at the edge of the physical region,
    count as held, and their errors are NaN.
    """
    full = 0.5 * model.derivatives(values, data).hessian[0]
    inverse, problem = _inverse(model, full, ~held)
    if not problem:
        return inverse, ""
    bound = ~held & ((values <= model.lower) | (values >= model.upper))
    for bin_, slopes in zip(*edge(model, data, values, held | bound), strict=True):
        bound[np.argmax(np.abs(slopes) * ~(held | bound))] |= bool(bin_ >= 0)
    if bound.any():
        inverse, problem = _inverse(model, full, ~held & ~bound)
        inverse[bound, bound] = np.nan
    return inverse, problem


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


def totals(model: Model, values: Floats) -> tuple[Floats, Floats]:
    """Return the expected main data (bins) and their derivatives (bins, parameters)."""
    _, jacobian = model.cells(values)
    slopes = np.zeros((model.bins, len(model.names)))
    for first, last, start in model.plan.cells[:-1, :3]:
        slopes[first:last] += jacobian[start : start + last - first]
    return model.expected(values), slopes


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
            worst = model.names[np.flatnonzero(free)[np.argmax(np.abs(vectors[:, 0]))]]
            return result, f"not converged: the likelihood does not fix all parameters (flat mostly along {worst})"
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
