"""Other languages' logic, as in ``a > 1 && b < 2`` or ``a > 1 and b < 2``, in the words that expressions know."""

import ast
import functools
import re
from collections.abc import Sequence

_FOREIGN = ((r"&&", " and "), (r"\|\|", " or "), (r"!(?!=)", " not "))
_OPERATORS = {ast.And: ast.BitAnd, ast.Or: ast.BitOr}


def corrected(expression: str) -> str | None:
    """Return *expression* with ``& | ~`` and the brackets they need; None if that is not what is wrong with it.

    ``&&``, ``||``, ``!``, ``and``, ``or``, ``not`` and chains of comparisons are understood.
    """
    text = expression.strip()
    for pattern, word in _FOREIGN:
        text = re.sub(pattern, word, text)
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval")
        before = ast.unparse(tree)
        found = ast.unparse(_Logic().visit(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return found if found != before else None


class _Logic(ast.NodeTransformer):
    """Replaces Python's logic by that of arrays; `ast.unparse` writes the brackets."""

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        return _joined([self.visit(value) for value in node.values], _OPERATORS[type(node.op)]())

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        operator = ast.Invert() if isinstance(node.op, ast.Not) else node.op
        return ast.UnaryOp(operator, self.visit(node.operand))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        ends = [self.visit(end) for end in (node.left, *node.comparators)]
        pairs = zip(ends, node.ops, ends[1:], strict=False)
        return _joined([ast.Compare(left, [operator], [right]) for left, operator, right in pairs], ast.BitAnd())


def _joined(parts: Sequence[ast.expr], operator: ast.operator) -> ast.expr:
    return functools.reduce(lambda left, right: ast.BinOp(left, operator, right), parts)
