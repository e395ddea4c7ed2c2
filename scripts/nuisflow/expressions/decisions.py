"""Which events a selection keeps; those about which it says nothing are an error.

A comparison with an undefined value (NaN) is neither true nor false: an event is undecided where the selection depends
on it, in the logic of three values (S. C. Kleene, Introduction to Metamathematics, 1952, section 64).
"""

import ast
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nuisflow.expressions import grammar, kinds
from nuisflow.expressions.evaluation import Evaluation
from nuisflow.expressions.grammar import ExpressionError

Undecided = np.ndarray | None
"""Whether each event is undecided; None: none is."""


def decide(
    expression: str,
    columns: Mapping[str, np.ndarray],
    place: str,
    derived: Mapping[str, str] | None = None,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """Return whether each event is selected; raise `ExpressionError` naming *place* if that is undecided.

    *derived* are expressions of columns that hide undefined values; only events *among* these matter (default: all).
    """
    size = len(next(iter(columns.values())))
    try:
        found = Evaluation(expression, columns)
        kinds.require_boolean(found.tree, found.kinds[found.tree], expression)
        chosen = found.values(size)
        undecided = _undecided(found.tree, _Look(found, columns, derived or {}))
        if undecided is not None:
            undecided = np.broadcast_to(undecided, (size,)) & (True if among is None else among)
            if undecided.any():
                raise ExpressionError(_reason(expression, columns, derived or {}, undecided))
    except ExpressionError as error:
        raise ExpressionError(f"{place}: {error}") from None
    return chosen


def require_decided(
    expression: str,
    columns: Mapping[str, np.ndarray],
    place: str,
    derived: Mapping[str, str],
    among: np.ndarray | None = None,
) -> None:
    """Raise `ExpressionError` naming *place* where the value of *expression* depends on a comparison with NaN.

    ``where(x > 3, 1, 0)`` is 0 for an undefined x, which nobody has said. *derived*, *among*: as in `decide`.
    """
    try:
        found = Evaluation(expression, columns)
        undecided = _undecided(found.tree, _Look(found, columns, derived))
        if undecided is not None:
            undecided = np.broadcast_to(undecided, len(next(iter(columns.values())))) & (
                True if among is None else among
            )
            if undecided.any():
                raise ExpressionError(_reason(expression, columns, derived, undecided))
    except ExpressionError as error:
        raise ExpressionError(f"{place}: {error}") from None


def compares(expression: str, derived: Mapping[str, str]) -> bool:
    """Tell whether there is a comparison in *expression*, or in what is *derived* and used in it."""
    texts = [expression, *(derived[name] for name in _leaves(expression, derived) if name in derived)]
    return any(isinstance(node, ast.Compare) for text in texts for node in ast.walk(grammar.parse(text)))


class _Look(NamedTuple):
    """One expression over *columns*, and what is *derived* of them."""

    found: Evaluation
    columns: Mapping[str, np.ndarray]
    derived: Mapping[str, str]


def _undecided(node: ast.expr, look: _Look) -> Undecided:
    """Return for which events *node* depends on an undefined value that it is compared with."""
    below = functools.partial(_undecided, look=look)
    match node:
        case ast.Name(id=name) if name in look.derived:
            inner = Evaluation(look.derived[name], look.columns)
            rest = {key: text for key, text in look.derived.items() if key != name}
            return _undecided(inner.tree, _Look(inner, look.columns, rest))
        case ast.Compare(left=left, comparators=[right]):
            return _either(*(_undefined(side, look.found) for side in (left, right)), below(left), below(right))
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
            return _joined(node.op, [(part, below(part)) for part in (left, right)], look.found)
        case ast.Call(func=ast.Name(id="where"), args=[condition, first, second]):
            chosen = look.found.array(condition)
            one, other = below(first), below(second)
            sides = None if one is None and other is None else np.where(chosen, _filled(one), _filled(other))
            return _either(below(condition), sides)
        case ast.Call(args=parts):
            return _either(*map(below, parts))
        case ast.BinOp(left=left, right=right):
            return _either(below(left), below(right))
        case ast.UnaryOp(operand=operand):
            return below(operand)
    return None


def _undefined(node: ast.expr, found: Evaluation) -> Undecided:
    """Return where the values of *node* are NaN."""
    if found.kinds[node] in (kinds.BOOL, kinds.WHOLE) or kinds.is_constant(found.kinds[node]):
        return None
    values = np.asarray(found.array(node))
    if not values.size or not np.isnan(values.min()):  # the least of numbers is undefined if one is
        return None
    undefined: np.ndarray = np.isnan(values)
    return undefined


def _joined(op: ast.operator, sides: list[tuple[ast.expr, Undecided]], found: Evaluation) -> Undecided:
    """Return for which events ``&`` or ``|`` is undecided: not where one side alone decides."""
    undecided = _either(*(unknown for _, unknown in sides))
    if undecided is None:
        return None
    for side, unknown in sides:
        values = np.asarray(found.array(side))
        decisive = values if isinstance(op, ast.BitOr) else ~values
        undecided = undecided & ~(decisive & ~_filled(unknown))
    return undecided


def _either(*parts: Undecided) -> Undecided:
    """Return where any of *parts* is true."""
    given = [part for part in parts if part is not None]
    return np.logical_or.reduce(np.broadcast_arrays(*given)) if given else None


def _filled(undecided: Undecided) -> np.ndarray:
    return np.asarray(False) if undecided is None else undecided


def _reason(
    expression: str, columns: Mapping[str, np.ndarray], derived: Mapping[str, str], undecided: np.ndarray
) -> str:
    """Return which columns leave how many events undecided, and what to do."""
    first = int(np.flatnonzero(undecided)[0])
    entry = f"entry {columns['entry'][first]}" if "entry" in columns else f"row {first}"
    guilty = [name for name in _leaves(expression, derived) if name in columns and _has_nan(columns[name], undecided)]
    what = f"column {', '.join(map(repr, guilty))} is" if guilty else "a part of it is"
    name = guilty[0] if guilty else "column"
    return (
        f"{expression!r} is undecided in {np.count_nonzero(undecided)} of {len(undecided)} events (first: {entry}): "
        f"{what} undefined (NaN) there; say what that means, e.g. isfinite({name}) & (...) or "
        f"where(isnan({name}), -999, {name}) in 'derived'"
    )


def _leaves(expression: str, derived: Mapping[str, str]) -> list[str]:
    """Return the columns that *expression* uses, itself or through what is *derived*, in alphabetical order."""
    found: set[str] = set()
    pending = [*grammar.names(expression)]
    while pending:
        if (name := pending.pop()) not in found:
            found.add(name)
            pending += grammar.names(derived[name]) if name in derived else ()
    return sorted(found)


def _has_nan(values: np.ndarray, rows: np.ndarray) -> bool:
    return values.dtype.kind == "f" and bool(np.isnan(values[rows]).any())
