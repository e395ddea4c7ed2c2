"""The values of an expression: floating point by numexpr, whole numbers exactly, booleans as booleans."""

import ast
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.expressions import grammar, kinds, whole
from nuisflow.expressions.grammar import ExpressionError
from nuisflow.expressions.kinds import BOOL, DECIMAL, FLOAT32, FLOAT64, INTEGER, WHOLE

PREFIX = "column_"
_PART = "part_"
_CHOOSING = ("where", "maximum", "minimum")
_LOGIC = {ast.BitAnd: np.logical_and, ast.BitOr: np.logical_or}
_REMAINDERS = {ast.Mod: np.remainder, ast.FloorDiv: np.floor_divide}


def evaluate(
    expression: str, columns: Mapping[str, np.ndarray], size: int | None = None, place: str | None = None
) -> np.ndarray:
    """Return the values of *expression* over *columns*, broadcast to the length of the columns (or *size*).

    Whole numbers give int64, or an error if they overflow; a column alone stays what it is. *place* names the
    expression in errors.
    """
    if size is None:
        size = len(next(iter(columns.values()))) if columns else 1
    try:
        return Evaluation(expression, columns).values(size)
    except ExpressionError as error:
        raise ExpressionError(f"{place}: {error}" if place else str(error)) from None


class Evaluation:
    """One expression over columns: what is computed by numexpr, and the parts that numexpr would get wrong."""

    def __init__(self, expression: str, columns: Mapping[str, np.ndarray]) -> None:
        self.expression, self.tree = expression, kinds.folded(expression)
        if missing := sorted(grammar.names(expression) - columns.keys()):
            raise ExpressionError(f"{expression!r} uses {missing[0]!r}, which is no column")
        # A column may have the name of a function of numexpr, such as sign: columns get names that no function has.
        self._scope = {PREFIX + name: _native(columns[name]) for name in grammar.names(expression)}
        types = {
            name: kinds.kind_of(self._scope[PREFIX + name].dtype, repr(name)) for name in grammar.names(expression)
        }
        self.kinds = kinds.table(self.tree, types)
        self._reaches: dict[ast.expr, float] = {}

    def values(self, size: int) -> np.ndarray:
        """Return the values of the whole expression, shape (size,)."""
        found = self.array(self.tree)
        values = np.asarray(float(found) if isinstance(found, int) and abs(found) >= 2**63 else found)
        if self.kinds[self.tree] == WHOLE and not isinstance(self.tree, ast.Name):
            values = whole.exact(values)
        if values.dtype == np.float64 and self._narrow(self.tree):
            values = values.astype(np.float32)  # loses nothing
        return np.broadcast_to(values, (size,)) if values.ndim == 0 else values

    def array(self, node: ast.expr) -> Any:
        """Return the values of *node*: an array, or a number where it is a constant."""
        if (value := kinds.number(node)) is not None:
            return value
        part = self._written(node)
        return self._scope[part.id] if isinstance(part, ast.Name) else self._computed(part)

    def _computed(self, part: ast.expr) -> np.ndarray:
        """Return the values of *part* by numexpr, in one thread: parallelism belongs to the scheduler of the jobs."""
        import numexpr

        numexpr.set_num_threads(1)
        try:
            return np.asarray(numexpr.evaluate(ast.unparse(part), local_dict=self._scope, global_dict={}))
        except (TypeError, NotImplementedError, ValueError, OverflowError, RecursionError) as error:
            raise ExpressionError(f"{self.expression!r} cannot be computed: {error}") from None

    # --- what numexpr is given instead of a part ---------------------------------------------------------------------

    def _written(self, node: ast.expr) -> ast.expr:
        """Return *node* as numexpr gets it; parts that are computed otherwise become columns."""
        match node:
            case ast.Constant(value=bool(value)):
                return self._kept(np.asarray(value))
            case ast.Constant():
                return _bracketed(node)
            case ast.Name(id=name):
                return ast.Name(id=PREFIX + name)
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._comparison(left, op, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(node, name, arguments)
            case ast.BinOp(left=left, op=op, right=right):
                return self._pair(node, left, op, right)
            case ast.UnaryOp(op=op, operand=operand):
                if self.kinds[node] == WHOLE and not self._is_small(node):
                    sign = -1 if isinstance(op, ast.USub) else 1
                    return self._kept(self._exactly(node, ast.Mult(), self._whole(operand), sign))
                return ast.UnaryOp(op=op, operand=self._written(operand))
        raise AssertionError(f"the grammar has no {node}")

    def _pair(self, node: ast.expr, left: ast.expr, op: ast.operator, right: ast.expr) -> ast.expr:
        kind = self.kinds[node]
        if kind == WHOLE and not self._is_small(node):
            return self._kept(self._exactly(node, op, self._whole(left), self._whole(right)))
        if kind in (WHOLE, BOOL):
            first, second = self._written(left), self._written(right)
            if type(op) in _LOGIC and isinstance(first, ast.Name) and isinstance(second, ast.Name):
                return self._kept(np.asarray(_LOGIC[type(op)](self._scope[first.id], self._scope[second.id])))
            return ast.BinOp(left=first, op=op, right=second)
        if type(op) in _REMAINDERS:  # numexpr's has the sign of the dividend
            dtype = np.float32 if kind == FLOAT32 else np.float64
            with np.errstate(divide="ignore", invalid="ignore"):
                sides = [np.asarray(self.array(side), dtype=dtype) for side in (left, right)]
                return self._kept(_REMAINDERS[type(op)](*sides))
        return ast.BinOp(left=self._float(left, kind), op=op, right=self._float(right, kind))

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        pair = {self.kinds[left], self.kinds[right]}
        if self._is_small(left) and self._is_small(right):
            return ast.Compare(left=self._written(left), ops=[op], comparators=[self._written(right)])
        if pair <= {BOOL, WHOLE, INTEGER}:
            return self._kept(np.asarray(whole.COMPARED[type(op)](self._whole(left), self._whole(right))))
        kind = kinds.common(*pair)
        if DECIMAL in pair and (self._narrow(left) or self._narrow(right)):
            kind = FLOAT32
        sides = [self._rounded(side) if kind == FLOAT32 else self._float(side, kind) for side in (left, right)]
        if (values := self._alike_floats(sides)) is not None:  # numpy compares twenty times as fast
            return self._kept(np.asarray(whole.COMPARED[type(op)](*values)))
        return ast.Compare(left=sides[0], ops=[op], comparators=[sides[1]])

    def _alike_floats(self, sides: list[ast.expr]) -> list[np.ndarray] | None:
        """Return columns of one type of floating point, or a column and a constant that is exact in it; else None."""
        kind = next((self._scope[side.id].dtype for side in sides if isinstance(side, ast.Name)), None)
        if kind not in (np.float32, np.float64):
            return None
        found = []
        for side in sides:
            value = self._scope[side.id] if isinstance(side, ast.Name) else kinds.number(side)
            if isinstance(value, np.ndarray) and value.dtype == kind:
                found.append(value)
            elif isinstance(value, int) and abs(value) <= 2**24:
                found.append(np.asarray(value, kind))
        return found if len(found) == len(sides) else None

    def _call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> ast.expr:
        kind, function = self.kinds[node], ast.Name(id=name)
        if name == "where":
            condition, *choices = arguments
            if kind in (BOOL, WHOLE):
                values = [self.array(choice) if kind == BOOL else self._whole(choice) for choice in choices]
                return self._kept(np.where(self.array(condition), *self._alike(node, values)))
            chosen = [self._choice(part, kind, self._narrow(node)) for part in choices]
            return ast.Call(func=function, args=[self._written(condition), *chosen], keywords=[])
        if kind == WHOLE or (kind == BOOL and self.kinds[arguments[0]] in (BOOL, WHOLE)):
            return self._kept(self._whole_call(node, name, arguments))
        narrow = FLOAT32 if FLOAT32 in {self.kinds[part] for part in arguments} else FLOAT64
        written = [self._choice(part, narrow, self._narrow(node)) for part in arguments]
        return ast.Call(func=function, args=written, keywords=[])

    def _choice(self, node: ast.expr, kind: str, narrow: bool) -> ast.expr:
        """Return one of the values that a function chooses from, or takes."""
        return self._rounded(node) if narrow else self._float(node, kind)

    def _is_small(self, node: ast.expr) -> bool:
        """Tell whether *node* is of whole numbers for which numexpr's 32 bits are enough in every step."""
        return self.kinds[node] in (WHOLE, INTEGER) and self._reach(node) < 2**31

    def _reach(self, node: ast.expr) -> float:
        """Return what no absolute value in *node* exceeds; infinity where numexpr is not to be asked."""
        if node not in self._reaches:
            self._reaches[node] = self._reach_of(node)
        return self._reaches[node]

    def _reach_of(self, node: ast.expr) -> float:
        match node:
            case ast.Constant(value=int(value)):
                return abs(value)
            case ast.Name(id=name) if (values := self._scope[PREFIX + name]).dtype in (np.int32, np.int64):
                return whole.magnitude(values)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                return self._reach(operand)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as op, right=right):
                sides = self._reach(left), self._reach(right)
                return max(*sides, sides[0] * sides[1] if isinstance(op, ast.Mult) else sum(sides))
        return math.inf

    def _whole_call(self, node: ast.expr, name: str, arguments: list[ast.expr]) -> np.ndarray:
        """Return the values of a function of whole numbers that are whole numbers, or whether they are numbers."""
        values = [self._whole(part) for part in arguments]
        match name:
            case "abs":
                return whole.absolute(values[0])
            case "maximum" | "minimum":
                return np.asarray(getattr(np, name)(*self._alike(node, values)))
            case "isnan" | "isfinite":
                return np.full(np.shape(values[0]), name == "isfinite")
        return np.asarray(values[0])  # floor, ceil, round

    def _whole(self, node: ast.expr) -> Any:
        """Return the values of *node* as int64 (or uint64 that does not fit), or as Python's integer."""
        return whole.exact(self.array(node))

    def _exactly(self, node: ast.expr, op: ast.operator, left: Any, right: Any) -> np.ndarray:
        try:
            return whole.arithmetic(op, left, right)
        except ExpressionError as error:
            raise self._error(node, error) from None

    def _alike(self, node: ast.expr, values: list[Any]) -> list[Any]:
        try:
            return whole.alike(values)
        except ExpressionError as error:
            raise self._error(node, error) from None

    def _error(self, node: ast.expr, error: Exception) -> ExpressionError:
        part = "" if node is self.tree else f": {ast.unparse(node)!r}"
        return ExpressionError(f"{self.expression!r}{part} {error}")

    def _float(self, node: ast.expr, kind: str) -> ast.expr:
        """Return *node* for arithmetic of floating point, of *kind*; constants are for numexpr to convert."""
        own = self.kinds[node]
        value = kinds.number(node)
        if isinstance(value, int) and abs(value) >= 2**63:
            return _bracketed(ast.Constant(value=float(value)))
        if own in (WHOLE, BOOL):
            dtype = np.float32 if own == BOOL and kind == FLOAT32 else np.float64
            return self._kept(np.asarray(self.array(node), dtype=dtype))
        return self._written(node)

    def _rounded(self, node: ast.expr) -> ast.expr:
        """Return *node* with a decimal constant in the precision of a float32 column, so that both can be equal."""
        if not isinstance(value := kinds.number(node), float):
            return self._float(node, FLOAT32)
        with np.errstate(over="ignore"):
            return self._kept(np.asarray(value, dtype=np.float32))

    def _narrow(self, node: ast.expr) -> bool:
        """Tell whether the values of *node* are those of float32 columns, whatever numexpr holds them in."""
        if not isinstance(node, ast.Call) or node.func.id not in _CHOOSING:  # type: ignore[attr-defined]
            return self.kinds[node] == FLOAT32
        parts = node.args[-2:]
        values = [kinds.number(part) for part in parts]
        small = [value is None or isinstance(value, float) or abs(value) <= 2**24 for value in values]
        own = [self._narrow(part) for part, value in zip(parts, values, strict=True) if value is None]
        return bool(own) and all(own) and all(small)

    def _kept(self, values: np.ndarray) -> ast.expr:
        """Return a name for *values* in what numexpr gets."""
        name = f"{_PART}{len(self._scope)}"
        self._scope[name] = values
        return ast.Name(id=name)


def _native(values: Any) -> np.ndarray:
    """Return a column in the order of bytes of this machine, and of float16 in the least precision that numexpr has."""
    array = np.asarray(values)
    kind = np.dtype(np.float32) if array.dtype == np.float16 else array.dtype.newbyteorder("=")
    return array.astype(kind, copy=False)


def _bracketed(node: ast.Constant) -> ast.expr:
    """Return a constant such that its text means it everywhere: -2**x is -(2**x)."""
    value = kinds.number(node)
    if value is None or not value < 0:
        return node
    return ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=-value))
