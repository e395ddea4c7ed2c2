"""What an expression may say, and what to write instead of what it may not.

Only numbers, column names, arithmetic, comparisons, ``& | ~`` and the functions of `FUNCTIONS` pass, so that no
attribute, call, subscript or string of a configuration is ever executed.
"""

import ast
import difflib
import functools
import math
import re

FUNCTIONS = {
    "where": 3, "maximum": 2, "minimum": 2, "abs": 1, "floor": 1, "ceil": 1, "round": 1, "isnan": 1, "isfinite": 1,
    "sqrt": 1, "exp": 1, "expm1": 1, "log": 1, "log10": 1, "log1p": 1,
    "sin": 1, "cos": 1, "tan": 1, "arcsin": 1, "arccos": 1, "arctan": 1, "arctan2": 2,
    "sinh": 1, "cosh": 1, "tanh": 1, "arcsinh": 1, "arccosh": 1, "arctanh": 1,
}  # fmt: skip
"""The functions of an expression, and how many values each takes."""
CONSTANTS = {"pi": math.pi}
OPERATORS = (
    ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.USub, ast.UAdd,
    ast.Invert, ast.BitAnd, ast.BitOr, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq,
)  # fmt: skip
_LENGTH, _DEPTH = 4000, 200
_LOGIC = re.compile(r"&&?|\|\|?|~|!(?!=)")
_WORDS = {"&": " and ", "|": " or ", "~": " not ", "!": " not "}
_ASSIGNED = re.compile(r"(?<![=!<>])=(?!=)")
_PARSING = (SyntaxError, ValueError, RecursionError, MemoryError)


class ExpressionError(ValueError):
    """An expression that is not arithmetic over columns, or has no right value for these columns."""


def names(expression: str) -> set[str]:
    """Return the column names that *expression* uses; raise `ExpressionError` if it is not plain arithmetic."""
    return set(_names(expression))


@functools.lru_cache(maxsize=4096)
def _names(expression: str) -> frozenset[str]:
    tree = parse(expression)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions}
    return frozenset(found - CONSTANTS.keys())


@functools.lru_cache(maxsize=4096)
def parse(expression: str) -> ast.expr:
    """Return the syntax tree of *expression*, which is shared: it must not be changed."""
    if len(expression) > _LENGTH:
        raise ExpressionError(f"expression of {len(expression)} characters; at most {_LENGTH} are allowed")
    meant = _meant(expression)
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except _PARSING as error:
        reason = str(getattr(error, "msg", error))
        if meant or _ASSIGNED.search(expression):
            reason = "use & and | with brackets" if meant else "write == to compare"
        raise ExpressionError(f"cannot parse {expression!r}: {reason}{_instead(meant)}") from None
    _check(tree, expression, meant, _DEPTH)
    if meant is not None and ast.dump(meant) != ast.dump(tree):
        reason = "& | ~ bind more strongly than comparisons and arithmetic; use & and | with brackets"
        raise ExpressionError(f"{expression!r} is not what it looks like: {reason}{_instead(meant)}")
    return tree


def _check(node: ast.expr, expression: str, meant: ast.expr | None, depth: int) -> None:
    """Refuse every construct below *node* that is not arithmetic, and what is nested deeper than *depth*."""
    if depth == 0:
        raise ExpressionError(
            f"{expression[:40]!r}… is nested more than {_DEPTH} deep; define parts of it in 'derived'"
        )
    match node:
        case ast.Constant(value=bool() | int() | float()) | ast.Name():
            parts: list[ast.expr] = []
        case ast.UnaryOp(op=operator, operand=operand) if isinstance(operator, OPERATORS):
            parts = [operand]
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, OPERATORS):
            parts = [left, right]
        case ast.Compare(left=left, ops=[operator], comparators=[right]) if isinstance(operator, OPERATORS):
            parts = [left, right]
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if len(parts) == FUNCTIONS.get(name):
            pass
        case _:
            raise ExpressionError(f"{ast.unparse(node)!r} in {expression!r} is not allowed: {_remedy(node, meant)}")
    for part in parts:
        _check(part, expression, meant, depth - 1)


def _remedy(node: ast.expr, meant: ast.expr | None) -> str:
    """Return what to write instead of *node*."""
    match node:
        case ast.BoolOp():
            return f"use & and | with brackets instead of 'and' and 'or'{_instead(meant)}"
        case ast.UnaryOp(op=ast.Not()):
            return f"use ~(...) instead of 'not'{_instead(meant)}"
        case ast.Compare(ops=[_, _, *_]):
            return f"write comparisons one by one, each in brackets{_instead(meant)}"
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in FUNCTIONS:
            return f"{name} takes {FUNCTIONS[name]} values"
        case ast.Call(func=ast.Name(id=name)) if close := difflib.get_close_matches(name, FUNCTIONS, n=1):
            return f"did you mean {close[0]!r}?"
        case ast.BinOp(op=ast.BitXor()):
            return "write ** for powers"
        case ast.Call():
            return f"the functions allowed are {', '.join(sorted(FUNCTIONS))}"
    return "only numbers, columns, + - * / // % **, comparisons, & | ~ and functions are allowed"


# --- what somebody meant who does not think of the order in which Python applies operators --------------------------


def _meant(expression: str) -> ast.expr | None:
    """Return the tree of *expression* with ``& | ~`` applied after comparisons, as in words; None: there is none."""
    spoken = _LOGIC.sub(lambda found: _WORDS[found[0][0]], expression)
    try:
        tree: ast.expr = _Written().visit(ast.parse(spoken.strip(), mode="eval").body)
        _check(tree, expression, None, _DEPTH)
    except (*_PARSING, ExpressionError):
        return None
    return tree


class _Written(ast.NodeTransformer):
    """Writes and, or, not as ``& | ~``, and chains of comparisons as pairs."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        return _joined([self.visit(value) for value in node.values], operator)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operator = ast.Invert() if isinstance(node.op, ast.Not) else node.op
        return ast.UnaryOp(op=operator, operand=self.visit(node.operand))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return _joined([ast.Compare(left=a, ops=[op], comparators=[b]) for a, op, b in pairs], ast.BitAnd())


def _joined(parts: list[ast.expr], operator: ast.operator) -> ast.expr:
    return functools.reduce(lambda left, right: ast.BinOp(left=left, op=operator, right=right), parts)


def _instead(meant: ast.expr | None) -> str:
    """Return the corrected text, to be put behind a reason."""
    return "" if meant is None else f": {ast.unparse(ast.fix_missing_locations(meant))}"
