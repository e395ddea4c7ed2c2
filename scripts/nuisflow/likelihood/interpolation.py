"""How a factor known at +1 and -1 of a parameter is interpolated: code 4 of HistFactory, as pyhf has it.

A power of the factor up above 1 and of the factor down below -1, and the polynomial of sixth order in between with the
same values and first and second derivatives at both (CERN-OPEN-2012-016, appendix of arXiv:1007.1727).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
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
