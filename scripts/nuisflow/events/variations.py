"""What a systematic uncertainty does to events and weights, as a continuous function of z.

z is the nuisance parameter in units of its prior standard deviation: a number, or one value per event.
"""

from collections.abc import Mapping

import numpy as np

from nuisflow import datasets, expressions
from nuisflow.settings.configuration import Dataset
from nuisflow.settings.systematics import Luminosity, Rate, Shift, Variation, Weight, WeightSet

Columns = dict[str, np.ndarray]
Strength = float | np.ndarray
MEMBER = "member"
"""Members of a weight set are numbered after this word, from 0."""
TOLERANCE = 1e-5
"""How far from 1 a factor may be at z = 0: the rounding of a ratio of two float32."""


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
            columns = columns | _new_values(columns, shift.columns, z[name], missing, f"variations.{name}.columns")
    return columns


def _new_values(
    columns: Columns, changes: Mapping[str, str], z: Strength, missing: float | None, place: str
) -> Columns:
    """Return the changed columns, all computed from the old values: float32 stays, whole numbers become float64."""
    size = len(next(iter(columns.values())))
    strength = np.broadcast_to(np.asarray(z, dtype=float), (size,))
    scope = columns | {"z": strength}
    changed: Columns = {}
    for name, expression in changes.items():
        old = columns[name]
        new = expressions.evaluate(expression, scope, size, f"{place}.{name}")
        new = new.astype(old.dtype if old.dtype.kind == "f" else np.float64, copy=False)
        unchanged = (strength == 0) if missing is None else (strength == 0) | (old == missing)
        changed[name] = np.where(unchanged, old, new)
    return changed


def require_defined(variation: Variation, columns: Columns, dataset: Dataset, z: float, name: str) -> None:
    """Raise `ExpressionError` if the variation *name* computes with a value that stands for 'undefined'."""
    if (missing := datasets.undefined(dataset)) is None:
        return
    scope = columns | {"z": np.full(len(next(iter(columns.values()))), z)}
    if isinstance(variation, Shift):
        for column, expression in (variation.columns or {}).items():
            moving = np.flatnonzero(columns[column] != missing)
            rows = {key: scope[key][moving] for key in expressions.names(expression)}
            expressions.require_defined(expression, rows, missing, f"variations.{name}.columns.{column}", column)
    elif isinstance(variation, Weight):
        for key in ("factor", "up", "down"):
            if (expression := getattr(variation, key)) is not None:
                expressions.require_defined(expression, scope, missing, f"variations.{name}.{key}", "1")
    elif isinstance(variation, WeightSet):
        for index, expression in enumerate(variation.expressions):
            expressions.require_defined(expression, scope, missing, f"variations.{name}.members.{index}", "1")


def factor(variation: Variation, columns: Columns, z: Strength, name: str = "weight") -> np.ndarray:
    """Return the factor on the event weights at *z*: shape (events,), 1 at z = 0; *name* is for errors.

    Rates are as in workspaces (`Rate.factor`), the luminosity is the factor itself; a weight given as up and down is
    up^z above 0 and down^-z below (HistFactory's interpolation code 1, arXiv:1007.1727 appendix; CERN-OPEN-2012-016,
    equation 8).
    """
    size = len(next(iter(columns.values())))
    strength = np.broadcast_to(np.asarray(z, dtype=float), (size,))
    place = f"variations.{name}"
    match variation:
        case Weight(factor=str(expression)):
            return expressions.evaluate(expression, columns | {"z": strength}, size, f"{place}.factor").astype(float)
        case Weight(up=str(expression), down=None):
            up = _power(_side(expression, columns, f"{place}.up"), np.abs(strength), f"{place}.up")
            with np.errstate(divide="ignore"):
                return np.asarray(np.where(strength >= 0, up, 1 / up))
        case Weight(up=str(expression), down=str(other)):
            up = _power(_side(expression, columns, f"{place}.up"), np.maximum(strength, 0), f"{place}.up")
            down = _power(_side(other, columns, f"{place}.down"), np.maximum(-strength, 0), f"{place}.down")
            return np.asarray(np.where(strength >= 0, up, down))
        case Rate():
            return variation.factor(strength)
        case Luminosity(size=relative):
            return np.asarray(1 + relative * strength)
        case _:
            return np.ones(size)


def _side(expression: str, columns: Columns, place: str) -> np.ndarray:
    return expressions.evaluate(expression, columns, len(next(iter(columns.values()))), place).astype(float)


def _power(base: np.ndarray, exponent: np.ndarray, place: str) -> np.ndarray:
    """Return base^exponent; raise `ExpressionError` for a negative base but at 0 and 1, where it is needed no power."""
    if np.any(lost := (base < 0) & (exponent != 0) & (exponent != 1)):
        raise expressions.ExpressionError(
            f"{place}: is negative in {np.count_nonzero(lost)} of {lost.size} events (lowest: {base[lost].min():g}), "
            "so that there is no power of it between and beyond z = -1, 0 and 1; write 'factor' over columns and z, "
            "such as 1 + z * (ratio - 1), or a bound, such as maximum(ratio, 0)"
        )
    return np.asarray(base**exponent)


def factors(variation: Weight | WeightSet, columns: Columns, name: str = "weight") -> Columns:
    """Return the factors on the event weights that templates need: up and down, or one per member of a set.

    Raise `ExpressionError` where one is no finite number, or a factor over z is not 1 at z = 0.
    """
    if isinstance(variation, WeightSet):
        found = {
            f"{MEMBER}{index}": _side(expression, columns, f"variations.{name}.members.{index}")
            for index, expression in enumerate(variation.expressions)
        }
    else:
        found = {side: factor(variation, columns, z, name) for side, z in (("up", 1.0), ("down", -1.0))}
        if variation.factor is not None:
            _check_nominal(variation.factor, factor(variation, columns, 0.0, name), f"variations.{name}.factor")
    for side, values in found.items():
        if np.any(bad := ~np.isfinite(values)):
            raise expressions.ExpressionError(
                f"variations.{name}: the factor of {side!r} is NaN or infinite in {np.count_nonzero(bad)} of "
                f"{bad.size} events (first: {_entry(columns, bad)}); write what it is there, e.g. by where(...)"
            )
    return found


def _check_nominal(expression: str, nominal: np.ndarray, place: str) -> None:
    """Raise `ExpressionError` if a factor over z changes nominal events."""
    if np.any(bad := np.abs(nominal - 1) > TOLERANCE):
        raise expressions.ExpressionError(
            f"{place}: {expression!r} is {nominal[bad][0]:g} at z = 0, not 1 (in {np.count_nonzero(bad)} of {bad.size} "
            f"events); write e.g. (...)**z, or 1 + z * ((...) - 1), with the factor at z = 1 in the brackets"
        )


def _entry(columns: Columns, bad: np.ndarray) -> str:
    first = int(np.flatnonzero(bad)[0])
    return f"entry {columns['entry'][first]}" if "entry" in columns else f"row {first}"
