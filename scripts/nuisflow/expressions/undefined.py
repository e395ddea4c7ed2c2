"""Which events an expression computes of a number that stands for 'undefined', such as -999."""

import ast
from collections.abc import Collection, Mapping

import numpy as np

from nuisflow.expressions import grammar
from nuisflow.expressions.evaluation import evaluate
from nuisflow.expressions.grammar import ExpressionError


def require_defined(
    expression: str, columns: Mapping[str, np.ndarray], undefined: float, place: str, instead: str = "…"
) -> None:
    """Raise `ExpressionError` where the value of *expression* would be another one if *undefined* were another number.

    Comparisons may ask for it: ``where(jet_pt == -999, 0, jet_pt)`` says what an undefined jet_pt means, and so does
    ``(jet_pt > 0) * jet_pt``. *instead*: what may be meant there.
    """
    used = sorted(grammar.names(expression) & columns.keys())
    lacking = [name for name in used if np.any(columns[name] == undefined)]
    for names in [*([name] for name in lacking), *([lacking] if len(lacking) > 1 else [])]:
        rows = np.flatnonzero(np.all([columns[name] == undefined for name in names], axis=0))
        some = {key: columns[key][rows] for key in used}
        elsewhere = some | {_other(name): np.full_like(some[name], 2 * undefined + 1) for name in names}
        apart = ast.unparse(_Apart(names).visit(ast.parse(expression.strip())))
        values, changed = evaluate(expression, some, len(rows), place), evaluate(apart, elsewhere, len(rows), place)
        if number := len(rows) - np.count_nonzero(np.isclose(values, changed, rtol=0, atol=0, equal_nan=True)):
            raise ExpressionError(
                f"{place}: {expression!r} computes with {names[0]!r}, which is undefined ({undefined:g}) in {number} "
                f"of {len(columns[names[0]])} events; say what it is there: "
                f"where({names[0]} == {undefined:g}, {instead}, …)"
            )


def _other(name: str) -> str:
    return f"other_{name}_"


class _Apart(ast.NodeTransformer):
    """Gives columns other names where they are no part of a comparison."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(id=_other(node.id)) if node.id in self.names else node
