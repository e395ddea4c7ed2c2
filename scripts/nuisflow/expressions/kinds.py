"""The type of every part of an expression: as far as it is known before anything runs, and of the columns at hand."""

import ast
import difflib
import functools
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from nuisflow.expressions import grammar
from nuisflow.expressions.grammar import ExpressionError

Kinds = dict[ast.expr, str]
BOOL, WHOLE, FLOAT32, FLOAT64 = "a boolean", "a whole number", "a float32", "a float64"
INTEGER, DECIMAL = "a whole constant", "a decimal constant"
NUMBER, UNKNOWN = "a number", "unknown"
"""Constants have kinds of their own, since they take the type of what they meet."""
_CONSTANTS = {bool: BOOL, int: INTEGER, float: DECIMAL}
_BITS = 1024
_FOLDED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip
_COMPARED: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


def check(
    expression: str, available: Mapping[str, str | np.dtype] | Collection[str], place: str, *, selection: bool = False
) -> str:
    """Return the kind of *expression*; raise `ExpressionError` naming *place* if it cannot be right.

    *available* are the columns, with their kinds or dtypes where these are known; a *selection* must not be a number.
    """
    types = available if isinstance(available, Mapping) else dict.fromkeys(available, UNKNOWN)
    known = {name: kind if isinstance(kind, str) else kind_of(kind, repr(name)) for name, kind in types.items()}
    try:
        if unknown := sorted(grammar.names(expression) - set(known)):
            close = difflib.get_close_matches(unknown[0], list(known), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"available: {', '.join(sorted(known)) or 'none'}"
            raise ExpressionError(f"{expression!r} uses {unknown[0]!r}, which is no column; {hint}")
        tree = folded(expression)
        kind = table(tree, known)[tree]
        if selection:
            require_boolean(tree, kind, expression)
    except ExpressionError as error:
        raise ExpressionError(f"{place}: {error}") from None
    return kind


def kind_of(dtype: np.dtype, name: str = "a column") -> str:
    """Return the kind of a column of this type; *name* is for errors."""
    match dtype.kind:
        case "b":
            return BOOL
        case "i" | "u":
            return WHOLE
        case "f":
            return FLOAT32 if dtype.itemsize <= 4 else FLOAT64
    raise ExpressionError(f"{name} is of type {dtype}, which holds neither numbers nor booleans")


def is_constant(kind: str) -> bool:
    """Tell whether *kind* is that of a number that is written in the expression."""
    return kind in (INTEGER, DECIMAL)


# --- constants: arithmetic without columns is done once, and exactly -----------------------------------------------


@functools.lru_cache(maxsize=4096)
def folded(expression: str) -> ast.expr:
    """Return the tree of *expression*, for reading only, with what follows from constants alone as one constant."""
    try:
        with np.errstate(all="ignore"):
            return _fold(grammar.parse(expression))
    except (ArithmeticError, ValueError, TypeError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{expression!r} cannot be computed: {error}") from None


def number(node: ast.expr) -> bool | int | float | None:
    """Return the value of *node* if it is a constant, else None."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


def _fold(node: ast.expr) -> ast.expr:
    match node:
        case ast.Name(id=name) if name in grammar.CONSTANTS:
            return ast.Constant(value=grammar.CONSTANTS[name])
        case ast.UnaryOp(op=op, operand=operand):
            inner = _fold(operand)
            value = number(inner)
            if isinstance(op, ast.Invert) and isinstance(value, bool):
                return ast.Constant(value=not value)
            if not isinstance(op, ast.Invert) and value is not None:
                return ast.Constant(value=-value if isinstance(op, ast.USub) else +value)
            return ast.UnaryOp(op=op, operand=inner)
        case ast.BinOp(left=left, op=op, right=right):
            return _fold_pair(_fold(left), op, _fold(right))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            sides = [_fold(left), _fold(right)]
            a, b = map(number, sides)
            if a is not None and b is not None:
                return ast.Constant(value=_COMPARED[type(op)](a, b))
            return ast.Compare(left=sides[0], ops=[op], comparators=[sides[1]])
        case ast.Call(func=ast.Name(id=name) as function, args=arguments):
            parts = [_fold(argument) for argument in arguments]
            values = [number(part) for part in parts]
            if None not in values and name not in ("where", "isnan", "isfinite"):
                return ast.Constant(value=_constant(getattr(np, name)(*values).item()))
            return ast.Call(func=function, args=parts, keywords=[])
    return ast.Constant(value=node.value) if isinstance(node, ast.Constant) else ast.Name(id=node.id)  # type: ignore[attr-defined]


def _fold_pair(left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
    a, b = number(left), number(right)
    if a is None or b is None or type(op) not in _FOLDED:
        return ast.BinOp(left=left, op=op, right=right)
    if isinstance(op, ast.Pow) and isinstance(a, int) and abs(a) > 1 and abs(b) * a.bit_length() > _BITS:
        raise ValueError(f"{a} ** {b} is too large")
    return ast.Constant(value=_constant(_FOLDED[type(op)](a, b)))


def _constant(value: Any) -> bool | int | float:
    """Return *value* if it is a real number that floats can hold."""
    if not np.isfinite(float(value)):
        raise ValueError(f"a constant is {value}")
    return value  # type: ignore[no-any-return]


# --- types ------------------------------------------------------------------------------------------------------------


def table(tree: ast.expr, columns: Mapping[str, str]) -> Kinds:
    """Return the kind of every part of *tree* over columns of these kinds; raise `ExpressionError` on wrong types."""
    found: Kinds = {}
    _enter(tree, columns, found)
    return found


def require_boolean(node: ast.expr, kind: str, whole: str | None = None) -> None:
    """Raise `ExpressionError` if *kind*, that of *node*, is known not to be boolean."""
    if kind not in (BOOL, UNKNOWN):
        text = ast.unparse(node)
        remedy = ast.unparse(ast.Compare(left=node, ops=[ast.NotEq()], comparators=[ast.Constant(value=0)]))
        where = f"{whole!r}" if whole else f"{text!r}"
        raise ExpressionError(f"{where} is {kind}, not true or false; write ({remedy}) if that is meant")


def _enter(node: ast.expr, columns: Mapping[str, str], found: Kinds) -> None:
    """Add the kinds of *node* and all its parts to *found*."""
    parts = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
    if isinstance(node, ast.Call):
        parts = node.args
    for part in parts:
        _enter(part, columns, found)
    kinds = [found[part] for part in parts]
    match node:
        case ast.Constant(value=value):
            found[node] = _CONSTANTS[type(value)]
        case ast.Name(id=name):
            found[node] = columns.get(name, UNKNOWN)
        case ast.UnaryOp(op=ast.Invert()) | ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
            for part, kind in zip(parts, kinds, strict=True):
                require_boolean(part, kind)
            found[node] = BOOL
        case ast.Compare():
            found[node] = BOOL
        case ast.UnaryOp():
            found[node] = common(*kinds)
        case ast.BinOp(op=op):
            found[node] = _of_pair(op, kinds, parts[1])
        case ast.Call(func=ast.Name(id=name)):
            found[node] = _of_call(name, kinds, parts)


def _of_pair(op: ast.operator, kinds: list[str], right: ast.expr) -> str:
    """Return the kind of arithmetic with two numbers."""
    value = number(right)
    if isinstance(op, ast.Pow) and kinds[0] in (WHOLE, BOOL):
        return WHOLE if isinstance(value, int) and value >= 0 else FLOAT64
    if isinstance(op, ast.Pow) and kinds[0] == FLOAT32 and isinstance(value, float):
        return FLOAT32 if float(2 * value).is_integer() and abs(value) <= 50 else FLOAT64  # roots and products
    kind = common(*kinds)
    divided = isinstance(op, ast.Div) or (isinstance(op, ast.Pow) and kind == WHOLE)
    return FLOAT64 if divided and kind == WHOLE else kind


def _of_call(name: str, kinds: list[str], parts: list[ast.expr]) -> str:
    """Return the kind of what the function *name* gives."""
    match name:
        case "isnan" | "isfinite":
            return BOOL
        case "where":
            require_boolean(parts[0], kinds[0])
            pair = set(kinds[1:])
            return next(iter(pair)) if len(pair) == 1 and pair <= {BOOL, UNKNOWN} else _chosen(*kinds[1:])
        case "abs" | "floor" | "ceil" | "round" if kinds[0] in (WHOLE, BOOL):
            return WHOLE
        case "maximum" | "minimum" | "round" if FLOAT32 in kinds:
            return FLOAT64  # numexpr's choice
    kind = common(*kinds)
    return FLOAT64 if kind == WHOLE and name not in ("maximum", "minimum") else kind


def _chosen(*kinds: str) -> str:
    """Return the kind of a choice between two values: a decimal constant takes the precision of the other."""
    return FLOAT32 if set(kinds) == {FLOAT32, DECIMAL} else common(*kinds)


def common(*kinds: str) -> str:
    """Return the kind of arithmetic with numbers of these kinds: booleans count as 0 and 1."""
    found = set(kinds)
    if found & {NUMBER, UNKNOWN}:
        return NUMBER
    if FLOAT64 in found or DECIMAL in found or found >= {FLOAT32, WHOLE}:
        return FLOAT64
    return FLOAT32 if FLOAT32 in found else WHOLE
