"""Arithmetic with whole numbers that is right or refused: int64, and of uint64 what can be done exactly.

Values are arrays of int64, or of uint64 where some do not fit, or Python's integers; none overflows in silence.
"""

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

from nuisflow.expressions.grammar import ExpressionError

_LIMIT = 2**63
_EXACT: dict[type, Callable[..., Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Pow: np.power,
}  # fmt: skip
COMPARED: dict[type, Callable[..., Any]] = {
    ast.Lt: np.less, ast.LtE: np.less_equal, ast.Gt: np.greater, ast.GtE: np.greater_equal,
    ast.Eq: np.equal, ast.NotEq: np.not_equal,
}  # fmt: skip
_DIVIDED: dict[type, Callable[..., Any]] = {ast.Mod: np.remainder, ast.FloorDiv: np.floor_divide}


def exact(values: Any) -> Any:
    """Return whole numbers or booleans as int64; uint64 stays what it is where some values do not fit."""
    if not isinstance(values, np.ndarray):
        return int(values)
    if values.dtype == np.uint64 and values.size and values.max() >= _LIMIT:
        return values
    return values.astype(np.int64, copy=False)


def arithmetic(op: ast.operator, left: Any, right: Any) -> np.ndarray:
    """Return ``+ - * // % **`` of whole numbers; raise `ExpressionError` where the result is none of 64 bits."""
    if type(op) in _DIVIDED:
        return _quotient(_DIVIDED[type(op)], left, right)
    for values in (left, right):
        _fits(values)
    function = _EXACT[type(op)]
    result = np.asarray(function(np.asarray(left, np.int64), np.asarray(right, np.int64)))
    if _bound(op, left, right) >= _LIMIT:
        with np.errstate(over="ignore"):
            shadow = function(np.asarray(left, np.float64), np.asarray(right, np.float64))
        # What overflowed is off by a multiple of 2^64; what did not, by the rounding of the shadow.
        if lost := int(np.count_nonzero(np.abs(shadow - result.astype(np.float64)) > _LIMIT / 2)):
            raise ExpressionError(_overflow(f"exceeds 64 bits in {lost} of {result.size} rows"))
    return result


def absolute(values: Any) -> np.ndarray:
    """Return the absolute values of whole numbers."""
    return np.asarray(values) if _is_large(values) else arithmetic(ast.Mult(), values, np.sign(values))


def alike(values: list[Any]) -> list[Any]:
    """Return *values* to choose from; raise `ExpressionError` if no type of whole numbers holds all of them."""
    others = [part for part in values if not _is_large(part)]
    if len(others) < len(values) and all(isinstance(part, int) and 0 <= part < 2 * _LIMIT for part in others):
        return values
    for part in values:
        _fits(part)
    return values


def _quotient(function: Callable[..., Any], left: Any, right: Any) -> np.ndarray:
    """Return the rounded quotient or the remainder, both towards minus infinity, as Python does."""
    if zeros := int(np.count_nonzero(np.asarray(right) == 0)):
        raise ExpressionError(f"divides by 0 in {zeros} of {np.broadcast(left, right).size} rows")
    if _is_large(left) and isinstance(right, int) and 0 < right < 2 * _LIMIT:
        return np.asarray(exact(function(left, np.uint64(right))))
    for values in (left, right):
        _fits(values)
    if magnitude(left) == _LIMIT and np.any(np.asarray(right) == -1):
        raise ExpressionError(_overflow("may exceed 64 bits"))
    return np.asarray(function(np.asarray(left, np.int64), np.asarray(right, np.int64)))


def _is_large(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.dtype == np.uint64


def _fits(values: Any) -> None:
    if _is_large(values):
        raise ExpressionError(
            "has whole numbers of 2^63 or more, which can be compared, and divided (% //) by a constant, but no more; "
            "write (1.0 * column) to compute with them in floating point"
        )
    if isinstance(values, int) and not -_LIMIT <= values < _LIMIT:
        raise ExpressionError(_overflow(f"has the constant {values}, which exceeds 64 bits"))


def _overflow(what: str) -> str:
    return f"{what}; write 1.0 * (...) around a column or constant in it to compute in floating point"


def magnitude(values: Any) -> int:
    """Return the largest absolute value."""
    if isinstance(values, int):
        return abs(values)
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size else 0


def _bound(op: ast.operator, left: Any, right: Any) -> int:
    """Return what no absolute value of the result exceeds."""
    a, b = magnitude(left), magnitude(right)
    match op:
        case ast.Mult():
            return a * b
        case ast.Pow():
            return _LIMIT if a > 1 and b > 64 else a**b
    return a + b
