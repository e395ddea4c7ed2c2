"""Arithmetic over columns, as written in the configuration: checked before anything runs, evaluated column by column.

Knows what an expression may say (`grammar`), the type of every part of it (`kinds`), its values (`evaluation`, whole
numbers in `whole`), which events a selection keeps (`decisions`), and where a value is made of nothing (`undefined`).
An expression is data, never code. Start with `grammar`.
"""

from nuisflow.expressions.decisions import compares, decide, require_decided
from nuisflow.expressions.evaluation import evaluate
from nuisflow.expressions.grammar import CONSTANTS, FUNCTIONS, ExpressionError, names
from nuisflow.expressions.kinds import BOOL, UNKNOWN, check
from nuisflow.expressions.undefined import require_defined

__all__ = [
    "BOOL",
    "CONSTANTS",
    "FUNCTIONS",
    "UNKNOWN",
    "ExpressionError",
    "check",
    "compares",
    "decide",
    "evaluate",
    "names",
    "require_decided",
    "require_defined",
]
