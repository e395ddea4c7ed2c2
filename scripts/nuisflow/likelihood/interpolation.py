"""How a factor known at +1 and -1 of a parameter is interpolated, and the fits that end at a corner of that.

Code 4 of HistFactory, as pyhf has it: a power of the factor up above 1 and of the factor down below -1, and the
polynomial of sixth order in between with the same values and first and second derivatives at both (CERN-OPEN-2012-016,
appendix of arXiv:1007.1727). Codes 0 and 1 have a corner at 0, where the likelihood may have its minimum: no gradient
vanishes there.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nuisflow.likelihood.model import Model, Problem

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Coefficients of the sixth-order polynomial of code 4 for alpha0 = 1 (pyhf.interpolators.code4).
_CODE4 = np.array([[15, -15, -7, -7, 1, -1], [24, 24, -9, 9, 1, 1], [-10, 10, 10, 10, -2, 2],
                   [-24, -24, 14, -14, -2, -2], [3, -3, -3, -3, 1, -1], [8, 8, -5, 5, 1, 1]]) / 16.0  # fmt: skip


def code4(factors: Floats | None) -> Floats:
    """Return the six coefficients of code 4 and the logarithms of the up and down factors; *factors*: down, up."""
    if factors is None:
        return np.zeros(8)
    down, up = factors
    log_up, log_down = np.log(up), np.log(down)
    ends = np.array([up - 1, down - 1, log_up * up, -log_down * down, log_up**2 * up, log_down**2 * down])
    return np.concatenate([_CODE4 @ ends, [log_up, log_down]])


def factor(coefficients: Floats, x: Floats) -> Floats:
    """Return the factors at *x* from *coefficients* (..., 8) as of `code4`; infinity beyond all numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        within = 1 + (coefficients[..., :6] * x[..., None] ** np.arange(1, 7)).sum(axis=-1)
        beyond = np.exp(np.where(x > 0, coefficients[..., 6], -coefficients[..., 7]) * x)
    return np.asarray(np.where(np.abs(x) < 1, within, beyond))


_RIGHT = 1e-200
"""A value above 0 that is 0 to all rates."""
_SIDES, _FOUND = 50, (0, 4)
"""How often a fit changes sides at most; status of a minimum, flat or not (see model.MESSAGES)."""


def corner(model: "Model", problem: "Problem", where: Integers, tolerance: float, fit: tuple[Floats, Floats]) -> None:
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
        if found[0, 1] not in _FOUND:
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
