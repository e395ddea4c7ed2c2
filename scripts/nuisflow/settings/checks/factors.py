"""Check the factors of weight variations, as far as that needs no events."""

from collections.abc import Iterator

import numpy as np

from nuisflow import expressions
from nuisflow.settings.systematics import Weight

_EXAMPLE = "write e.g. '(expression)**z' with the factor at z = 1, or give 'up'"


def problems(weight: Weight, place: str) -> Iterator[str]:
    """Yield a factor that does not depend on z or is not 1 at z = 0, and constant sides that have no powers."""
    if weight.factor is not None:
        if not uses(weight.factor, "z"):
            yield f"{place}.factor: {weight.factor!r} does not depend on z; {_EXAMPLE}"
        elif (nominal := constant(weight.factor, z=0.0)) is not None and abs(nominal - 1) > 1e-9:
            yield f"{place}.factor: {weight.factor!r} is {nominal:g} at z = 0, not 1; {_EXAMPLE}"
    for side in ("up", "down"):
        text = getattr(weight, side)
        if text is not None and (value := constant(text)) is not None and not value > 0:
            yield f"{place}.{side}: {text!r} must be above 0: it is the base of a power of z"


def uses(expression: str, name: str) -> bool:
    """Tell whether *expression* uses the column *name*; one that cannot be read is reported elsewhere."""
    try:
        return name in expressions.names(expression)
    except expressions.ExpressionError:
        return True


def constant(expression: str, **known: float) -> float | None:
    """Return the value of an expression that uses no other columns than those *known*; else None."""
    try:
        if not expressions.names(expression) <= known.keys():
            return None
        columns = {name: np.array([value]) for name, value in known.items()}
        return float(expressions.evaluate(expression, columns, 1)[0])
    except expressions.ExpressionError:
        return None
