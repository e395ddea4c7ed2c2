"""What a systematic uncertainty does to events and weights, as a continuous function of z.

z is the nuisance parameter in units of its prior standard deviation: a number, or one value per event.
"""

from collections.abc import Mapping

import numpy as np

from nuisflow import datasets
from nuisflow.settings import expressions
from nuisflow.settings.configuration import Dataset
from nuisflow.settings.systematics import Luminosity, Rate, Shift, Variation, Weight, WeightSet

Columns = dict[str, np.ndarray]
Strength = float | np.ndarray
MEMBER = "member"
"""Members of a weight set are numbered after this word, from 0."""


def shifted(
    columns: Columns,
    dataset: Dataset,
    shifts: Mapping[str, Shift],
    z: Mapping[str, Strength],
) -> Columns:
    """Return *columns* with the *shifts* applied at *z* (missing or 0: not at all, bit for bit).

    Shifts of the data set are applied together, by its own rule; then shifts by expressions, in order. A value that
    stands for 'undefined' stays what it is.
    """
    active = {name: shift for name, shift in shifts.items() if np.any(z.get(name, 0.0))}
    named = {shift.shift: (z[name], shift.size) for name, shift in active.items() if shift.shift is not None}
    if named:
        columns = datasets.of(dataset).shift(columns, named)
    missing = datasets.undefined(dataset)
    for name, shift in active.items():
        if shift.columns is not None:
            columns = columns | _new_values(columns, shift.columns, z[name], missing)
    return columns


def _new_values(columns: Columns, changes: Mapping[str, str], z: Strength, missing: float | None) -> Columns:
    """Return the changed columns, all computed from the old values: fractions in the precision that they had.

    What was whole becomes a fraction: nothing is cut.
    """
    size = len(next(iter(columns.values())))
    strength = np.broadcast_to(np.asarray(z, dtype=float), (size,))
    scope = columns | {"z": strength}
    changed: Columns = {}
    for name, expression in changes.items():
        old = columns[name]
        kind = old.dtype if old.dtype.kind == "f" else np.dtype(np.float64)
        new = expressions.evaluate(expression, scope, size).astype(kind, copy=False)
        unchanged = (strength == 0) if missing is None else (strength == 0) | (old == missing)
        changed[name] = np.where(unchanged, old, new)
    return changed


def factor(variation: Variation, columns: Columns, z: Strength) -> np.ndarray:
    """Return the factor on the event weights at *z*: shape (events,), 1 at z = 0.

    Rates are log-normal, (1 + size)^z; a weight given as up and down is up^z above 0 and down^-z below (HistFactory
    interpolation code 1, arXiv:1007.1727 appendix; CERN-OPEN-2012-016 eq. 8).
    """
    size = len(next(iter(columns.values())))
    strength = np.broadcast_to(np.asarray(z, dtype=float), (size,))
    match variation:
        case Weight(factor=str(expression)):
            return expressions.evaluate(expression, columns | {"z": strength}, size).astype(float)
        case Weight(up=str(expression)):
            up = expressions.evaluate(expression, columns, size).astype(float)
            down = 1 / up if variation.down is None else expressions.evaluate(variation.down, columns, size)
            return np.asarray(np.where(strength >= 0, up ** np.maximum(strength, 0), down ** np.maximum(-strength, 0)))
        case Rate(size=relative) | Luminosity(size=relative):
            return np.asarray((1 + relative) ** strength)
        case _:
            return np.ones(size)


def factors(variation: Weight | WeightSet, columns: Columns) -> Columns:
    """Return the factors on the event weights that templates need: up and down, or one per member of a set."""
    if isinstance(variation, Weight):
        return {"up": factor(variation, columns, 1.0), "down": factor(variation, columns, -1.0)}
    return {
        f"{MEMBER}{index}": np.asarray(expressions.evaluate(expression, columns), dtype=float)
        for index, expression in enumerate(variation.expressions)
    }
