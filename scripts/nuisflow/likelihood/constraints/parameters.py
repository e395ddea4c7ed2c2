"""Parameters of a fit, and what each kind of constraint says of one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.constraints.written import entry, number

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FREE, NORMAL, POISSON = 0, 1, 2
CONSTRAINTS = ("none", "normal", "poisson")
SINGLE_BINS = ("mcstat", "staterror", "shapesys")
"""Kinds of parameters that act on one bin each."""
_WRITTEN = {"none": (), "normal": ("auxdata", "sigma"), "poisson": ("auxdata", "factor")}


class Parameter(NamedTuple):
    """One fit parameter; *group* is the modifier's name, *constraint* "none", "normal" or "poisson".

    *width* is the standard deviation of a normal constraint or the rate factor of a Poisson one. A parameter whose
    bounds are equal is *fixed*.
    """

    name: str
    group: str
    kind: str
    init: float
    lower: float
    upper: float
    fixed: bool
    constraint: str
    width: float
    auxiliary: float


def poisson(rows: Sequence[Parameter]) -> Booleans:
    """Return which parameters are measured by a Poisson number."""
    return np.array([row.constraint == "poisson" for row in rows], dtype=np.bool_)


def factors(rows: Sequence[Parameter]) -> Floats:
    """Return what a parameter is multiplied by to be the expectation of its auxiliary measurement."""
    return np.array([row.width if row.constraint == "poisson" else 1.0 for row in rows])


def centres(rows: Sequence[Parameter]) -> Floats:
    """Return where the auxiliary measurements pull all parameters to; NaN for those without a constraint."""
    found = np.array([row.auxiliary for row in rows]) / factors(rows)
    return np.where([row.constraint == "none" for row in rows], np.nan, found)


def widths(rows: Sequence[Parameter]) -> Floats:
    """Return the prefit standard deviation of every parameter; NaN for those without a constraint."""
    return np.array([_width(row) for row in rows])


def _width(row: Parameter) -> float:
    if row.constraint != "poisson":
        return row.width if row.constraint == "normal" else np.nan
    return float(row.width**-0.5 if row.auxiliary == row.width else max(row.auxiliary, 1.0) ** 0.5 / row.width)


def constrained(row: Parameter, written: Any, place: str) -> Parameter:
    """Return a parameter with the constraint that is *written* for it in place of its own."""
    kind = written.get("type") if isinstance(written, Mapping) else None
    if kind not in _WRITTEN:
        raise ValueError(f"{place}: 'type' must be one of {', '.join(_WRITTEN)}, not {kind!r}")
    names = _WRITTEN[kind]
    numbers = {name: number(written.get(name), f"{place}: {name!r}") for name in names}
    entry(written, ("type", *names), place)
    if kind == "none":
        return row._replace(constraint="none", width=float("inf"), auxiliary=float("nan"))
    auxiliary, width = numbers.values()
    if not width > 0.0 or (kind == "poisson" and auxiliary < 0.0):
        raise ValueError(f"{place}: {names[1]!r} must be positive, and 'auxdata' of a poisson not negative")
    return row._replace(constraint=kind, width=width, auxiliary=auxiliary)
