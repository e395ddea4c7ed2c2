"""Arithmetic over columns, as written in the configuration: checked before anything runs, evaluated by numexpr.

An expression is data, never code: only numbers, column names, arithmetic, comparisons, ``& | ~`` and the functions
of `FUNCTIONS` pass the check, so that no attribute, call, subscript or string of a configuration is ever executed.
"""

import ast
import difflib
from collections.abc import Collection, Mapping

import numpy as np

from nuisflow.settings import corrections

Columns = dict[str, np.ndarray]

FUNCTIONS = frozenset({
    "where", "maximum", "minimum", "abs", "floor", "ceil", "round", "sqrt", "exp", "expm1", "log", "log10", "log1p",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2",
    "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh",
})  # fmt: skip
CONSTANTS = {"pi": np.pi}
_OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow, ast.USub, ast.UAdd, ast.Invert, ast.BitAnd, ast.BitOr,
    ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
_MAX_LENGTH = 4000
PREFIX = "column_"


class ExpressionError(ValueError):
    """An expression that is not arithmetic over columns."""


def names(expression: str) -> set[str]:
    """Return the column names that *expression* uses; raise `ExpressionError` if it is not plain arithmetic."""
    if len(expression) > _MAX_LENGTH:
        raise ExpressionError(f"expression of {len(expression)} characters; at most {_MAX_LENGTH} are allowed")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = _written(expression) or str(getattr(error, "msg", error))
        raise ExpressionError(f"cannot parse {expression!r}: {reason}") from None
    found: set[str] = set()
    _collect(tree.body, found, expression)
    return found - CONSTANTS.keys()


def _collect(node: ast.expr, found: set[str], expression: str) -> None:
    """Add the names below *node* to *found*, refusing every construct that is not arithmetic."""
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return
        case ast.Name(id=name):
            found.add(name)
        case ast.UnaryOp(op=operator, operand=operand) if isinstance(operator, _OPERATORS):
            _collect(operand, found, expression)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
            _collect(left, found, expression)
            _collect(right, found, expression)
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if isinstance(operator, _OPERATORS):
            _collect(left, found, expression)
            _collect(right, found, expression)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            for argument in arguments:
                _collect(argument, found, expression)
        case _:
            raise ExpressionError(_refusal(node, expression))


def _written(expression: str) -> str:
    """Return how to write *expression* if only its logic is that of another language; '' otherwise."""
    better = corrections.corrected(expression)
    return f"write {better!r}" if better else ""


def _refusal(node: ast.expr, expression: str) -> str:
    part = ast.unparse(node)
    match node:
        case ast.BoolOp():
            remedy = "use & and | with brackets instead of 'and' and 'or'"
        case ast.UnaryOp(op=ast.Not()):
            remedy = "use ~(...) instead of 'not'"
        case ast.Compare():
            remedy = "write a chain of comparisons as (a < b) & (b < c)"
        case ast.Call():
            remedy = f"the functions allowed are {', '.join(sorted(FUNCTIONS))}"
        case _:
            remedy = "only numbers, columns, + - * / % **, comparisons, & | ~ and functions are allowed"
    written = _written(expression) if isinstance(node, ast.BoolOp | ast.UnaryOp | ast.Compare) else ""
    return f"{part!r} in {expression!r} is not allowed: {remedy}{written and f': {written}'}"


def check(expression: str, available: Collection[str], place: str) -> None:
    """Raise `ExpressionError` naming *place* if *expression* uses a column that is not *available*."""
    try:
        unknown = sorted(names(expression) - set(available))
    except ExpressionError as error:
        raise ExpressionError(f"{place}: {error}") from None
    if unknown:
        close = difflib.get_close_matches(unknown[0], list(available), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; available: {', '.join(sorted(available)) or 'none'}"
        raise ExpressionError(f"{place}: {expression!r} uses {unknown[0]!r}, which is no column{hint}")


class _Renamed(ast.NodeTransformer):
    """Gives columns, but neither functions nor constants, a prefix."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        node.args = [self.visit(argument) for argument in node.args]
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return node if node.id in CONSTANTS else ast.Name(id=PREFIX + node.id, ctx=node.ctx)


def evaluate(expression: str, columns: Mapping[str, np.ndarray], size: int | None = None) -> np.ndarray:
    """Return the values of *expression* over *columns*, broadcast to the length of the columns (or *size*).

    numexpr evaluates in one thread: parallelism belongs to the scheduler of the jobs, not to an expression.
    """
    import numexpr

    used = names(expression)
    if missing := sorted(used - columns.keys()):
        raise ExpressionError(f"{expression!r} uses {missing[0]!r}, which is no column")
    numexpr.set_num_threads(1)
    # A column may have the name of a function of numexpr, such as sign: columns get names that no function has.
    tree = _Renamed().visit(ast.parse(expression.strip(), mode="eval"))
    scope = {PREFIX + name: np.asarray(columns[name]) for name in used} | CONSTANTS
    values = numexpr.evaluate(ast.unparse(tree), local_dict=scope, global_dict={})
    if size is None:
        size = len(next(iter(columns.values()))) if columns else 1
    return np.broadcast_to(values, (size,)) if values.ndim == 0 else values
