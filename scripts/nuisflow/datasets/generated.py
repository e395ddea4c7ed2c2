"""What the data sets with known densities have in common: how their shifts are applied, and Gaussian densities."""

import math
from collections.abc import Callable, Collection, Mapping

import numpy as np

Columns = dict[str, np.ndarray]
Values = float | np.ndarray
Shifts = Mapping[str, Callable[[Columns, Values], Columns]]


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]], shifts: Shifts) -> Columns:
    """Return *columns* after the named *changes*, each given as (z, size): by z times size in natural units.

    *z* is a number or one number per event. Columns keep their type, and events at z = 0 come back bit for bit.
    """
    if unknown := sorted(set(changes) - set(shifts)):
        raise ValueError(f"no shift {unknown[0]!r}; the shifts of this data set are {', '.join(shifts)}")
    for name in (name for name in shifts if name in changes):
        z, size = changes[name]
        moved = shifts[name](columns, np.asarray(z, dtype=float) * size)
        changed = {key: values.astype(columns[key].dtype) for key, values in moved.items()}
        columns = columns | {key: np.where(np.equal(z, 0), columns[key], values) for key, values in changed.items()}
    return columns


def unchanged(columns: Columns, wanted: Collection[str] | None = None) -> Columns:  # noqa: ARG001
    """Return *columns*: nothing is derived."""
    return columns


def as_columns(names: tuple[str, ...], *values: np.ndarray) -> Columns:
    """Return float32 columns of these *names*."""
    return {name: np.asarray(column, dtype=np.float32) for name, column in zip(names, values, strict=True)}


def log_normal_density(x: np.ndarray, mean: Values, deviation: float) -> np.ndarray:
    """Return the logarithm of the normal density, in double precision."""
    pull = (np.asarray(x, dtype=float) - mean) / deviation
    return np.asarray(-0.5 * pull**2 - math.log(deviation * math.sqrt(2 * math.pi)))


def check_process(process: str, known: tuple[str, ...]) -> None:
    """Raise an error that names the processes if *process* is none of them."""
    if process not in known:
        raise ValueError(f"no process {process!r}; the processes of this data set are {', '.join(known)}")
