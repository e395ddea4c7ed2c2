"""Minima at corners: codes 0 and 1 have another slope above 0 of a parameter than below, and no gradient vanishes."""

import numpy as np

from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.model import CONVERGED, FLAT, STUCK, TOO_MANY, Model, Problem
from nuisflow.likelihood.plans import CORNER, FULL

_RIGHT = 1e-200
"""A value above 0 that is 0 to all rates."""
_SIDES = 50
"""How often a fit changes sides at most."""


def settle(model: Model, problem: Problem, tolerance: float, values: Floats, result: Floats) -> None:
    """Go on with fits that got stuck, if the model has corners (see Model.minimise)."""
    stuck: Integers = np.flatnonzero((result[:, 1] == TOO_MANY) | (result[:, 1] == STUCK))
    if not len(stuck):
        return
    bent = model.plan.dense[model.plan.dense[:, CORNER] > 0, FULL]
    bent = bent[(model.lower[bent] < 0.0) & (model.upper[bent] > 0.0)]
    for i in stuck if len(bent) else ():
        one = problem.part(np.array([i]))
        _settle(model, one, bent[~one.fixed[0, bent]], tolerance, (values[i], result[i]))


def _settle(model: Model, problem: Problem, where: Integers, tolerance: float, fit: tuple[Floats, Floats]) -> None:
    """Go on with the *fit* (values, result) of one data set that got stuck; the parameters *where* have a corner at 0.

    A fit keeps to one side of each, where the likelihood is smooth, and goes on at the other side of those at 0 beyond
    which it falls. It is at the minimum where it falls beyond none: the parameters at 0 have slopes to both sides.
    """
    values, result = fit
    here, above = values.copy(), values[where] > 0.0
    flat = np.hstack([problem.data, problem.auxiliary[:, model.constrained]])
    best, found = here[None, :].copy(), np.full((1, 3), -1.0)
    for _ in range(_SIDES):
        ends = [(_RIGHT, None) if side else (None, 0.0) for side in above]
        half = model.bounded({model.names[i]: end for i, end in zip(where, ends, strict=True)})
        start = np.where(problem.fixed[0], here, np.clip(here, half.lower, half.upper))
        half.one_by_one(problem._replace(start=start[None, :]), np.array([0]), tolerance, best, found)
        if found[0, 1] not in (CONVERGED, FLAT):
            return
        here, beyond = best[0].copy(), best[0].copy()
        at = here[where] == np.where(above, _RIGHT, 0.0)
        beyond[where[at]] = np.where(above[at], 0.0, _RIGHT)
        slopes = model.derivatives(beyond, flat).gradient[0, where] * np.where(above, 1.0, -1.0)
        falls = at & (slopes > 0.0) & (slopes**2 > tolerance)
        if not falls.any():
            here[where[at]] = 0.0
            values[:], result[:] = here, found[0]
            return
        here[where[falls]] = beyond[where[falls]]
        above ^= falls
