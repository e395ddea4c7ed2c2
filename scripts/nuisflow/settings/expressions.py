"""Arithmetic over columns, as written in the configuration: checked before anything runs, evaluated by numexpr.

An expression is data, never code: only numbers, column names, arithmetic, comparisons, ``& | ~`` and the functions
of `FUNCTIONS` pass the check, so that no attribute, call, subscript or string of a configuration is ever executed.
"""

import ast
import difflib
from collections.abc import Collection, Mapping

import numpy as np

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
        raise ExpressionError(f"cannot parse {expression!r}: {getattr(error, 'msg', error)}") from None
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
    return f"{part!r} in {expression!r} is not allowed: {remedy}"


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
    """Gives columns, but neither functions nor constants, a prefix, and makes truths 0 and 1 where numbers are wanted.

    numexpr would take ``a + b`` of two truths for "a or b". *flags*: the columns that are truths.
    """

    def __init__(self, flags: Collection[str]) -> None:
        self.flags = flags

    def visit_Call(self, node: ast.Call) -> ast.Call:
        first = isinstance(node.func, ast.Name) and node.func.id == "where"
        kept = [self.visit(argument) for argument in node.args[:first]]
        node.args = kept + [self._number(argument) for argument in node.args[first:]]
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.BinOp:
        visit = self.visit if isinstance(node.op, ast.BitAnd | ast.BitOr) else self._number
        return ast.BinOp(left=visit(node.left), op=node.op, right=visit(node.right))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.UnaryOp:
        visit = self.visit if isinstance(node.op, ast.Invert) else self._number
        return ast.UnaryOp(op=node.op, operand=visit(node.operand))

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        return ast.Compare(left=self._number(node.left), ops=node.ops, comparators=[self._number(node.comparators[0])])

    def _number(self, node: ast.expr) -> ast.expr:
        """Return *node*, of truths as 0 and 1."""
        new: ast.expr = self.visit(node)
        if not self._is_truth(node):
            return new
        return ast.Call(ast.Name("where", ast.Load()), [new, ast.Constant(1), ast.Constant(0)], [])

    def _is_truth(self, node: ast.expr) -> bool:
        match node:
            case ast.Compare():
                return True
            case ast.Name(id=name):
                return name in self.flags
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
                return self._is_truth(left) and self._is_truth(right)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return self._is_truth(operand)
            case _:
                return False

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
    flags = {name for name in used if columns[name].dtype == np.bool_}
    tree = ast.fix_missing_locations(_Renamed(flags).visit(ast.parse(expression.strip(), mode="eval")))
    scope = {PREFIX + name: np.asarray(columns[name]) for name in used} | CONSTANTS
    values = numexpr.evaluate(ast.unparse(tree), local_dict=scope, global_dict={})
    if size is None:
        size = len(next(iter(columns.values()))) if columns else 1
    return np.broadcast_to(values, (size,)) if values.ndim == 0 else values
