"""Correlations of constraints: blocks of parameters, each with a matrix, checked in one place."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood.constraints.parameters import SINGLE_BINS, Floats, Parameter
from nuisflow.likelihood.constraints.written import entry, items, number
from nuisflow.names import suggest

LEAST = 1e-8
"""The smallest eigenvalue of a correlation matrix: its inverse, the constraint, has eight digits then."""
_EQUAL = 1e-9
"""How far numbers that should be equal may be apart, as printed and read again."""


class Correlation(NamedTuple):
    """Parameters whose constraints are correlated, with the correlation matrix."""

    parameters: tuple[str, ...]
    matrix: Floats

    def of(self, names: Collection[str]) -> "Correlation | None":
        """Return what is left of the block for these *names*, whatever the others are; None for less than two."""
        at = [index for index, name in enumerate(self.parameters) if name in names]
        if len(at) < 2:
            return None
        return Correlation(tuple(self.parameters[i] for i in at), self.matrix[np.ix_(at, at)])


def flaws(matrix: Floats, names: Sequence[str]) -> Iterator[str]:
    """Yield what makes a *matrix* (names, names) none of correlations, naming the parameters that do it."""
    sound = True
    for i, name in enumerate(names):
        if not abs(matrix[i, i] - 1.0) <= _EQUAL:
            sound = False
            yield f"{name} with itself: {matrix[i, i]:g} must be 1; widths do not stand among correlations"
    for (i, one), (j, other) in combinations(enumerate(names), 2):
        if not abs(matrix[i, j] - matrix[j, i]) <= _EQUAL:
            sound = False
            yield f"not symmetric: {one} with {other} is not {other} with {one}"
        elif not abs(matrix[i, j]) < 1.0:
            sound = False
            yield f"{one} with {other}: {matrix[i, j]:g} must be between -1 and 1"
    values, vectors = np.linalg.eigh(matrix) if sound and len(names) else (np.ones(1), np.ones((1, 1)))
    if values[0] < LEAST:
        share = np.abs(vectors[:, 0])
        most = [name for name, part in zip(names, share, strict=True) if part > 0.5 * share.max()]
        yield (
            f"not positive definite (smallest eigenvalue {values[0]:.3g}, mostly of {', '.join(most)}): these cannot "
            "all be true; lower some"
        )


def read(written: Any, rows: dict[str, Parameter], place: str) -> tuple[Correlation, ...]:
    """Return the blocks of a workspace; a covariance gives the parameters in *rows* their widths, too."""
    found = [_block(block, rows, f"{place}[{index}]") for index, block in enumerate(items(written, place))]
    named = [name for block in found for name in block.parameters]
    for name in named:
        if named.count(name) > 1:
            raise ValueError(f"{place}: {name} is named twice; one matrix has all its correlations")
    return tuple(found)


def _block(written: Any, rows: dict[str, Parameter], place: str) -> Correlation:
    kinds = ("correlation", "covariance")
    found = entry(written, ("parameters", *kinds), place)
    names = tuple(map(str, items(found.get("parameters"), f"{place}: parameters")))
    for name in names:
        if name not in rows:
            raise ValueError(f"{place}: no parameter {name!r}; {suggest(name, sorted(rows))}")
        if rows[name].constraint != "normal" or rows[name].kind in SINGLE_BINS:
            raise ValueError(f"{place}: {name} must have a normal constraint and not belong to a single bin")
    given = [kind for kind in kinds if kind in found]
    if len(given) != 1:
        raise ValueError(f"{place}: give either 'correlation' or 'covariance'")
    place = f"{place}: {given[0]}"
    matrix = _table(found[given[0]], len(names), place)
    if given[0] == "covariance":
        sizes = _sizes(matrix, names, place)
        for name, size in zip(names, sizes, strict=True):
            rows[name] = rows[name]._replace(width=float(size))
        matrix = matrix / np.outer(sizes, sizes)
    for flaw in flaws(matrix, names):
        raise ValueError(f"{place}: {flaw}")
    return Correlation(names, matrix)


def _table(written: Any, size: int, place: str) -> Floats:
    table = [items(row, place) for row in items(written, place)]
    if len(table) != size or any(len(row) != size for row in table):
        raise ValueError(f"{place}: {size} rows of {size} numbers are needed")
    return np.array([[number(value, place) for value in row] for row in table]).reshape(size, size)


def _sizes(covariance: Floats, names: Sequence[str], place: str) -> Floats:
    """Return the standard deviations of a covariance."""
    variances = np.diagonal(covariance)
    for name, variance in zip(names, variances, strict=True):
        if not variance > 0.0:
            raise ValueError(f"{place}: the variance {variance:g} of {name} must be positive")
    return np.asarray(np.sqrt(variances))


def blocks(written: Iterable[Mapping[str, Any]]) -> tuple[Correlation, ...]:
    """Return blocks that were checked before they were written, as plain values."""
    return tuple(Correlation(tuple(row["parameters"]), np.array(row["correlation"])) for row in written)


def kept(written: Iterable[Mapping[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """Return what is left of *written* blocks for these *names*, as plain values."""
    found = (block.of(names) for block in blocks(written))
    return [{"parameters": list(block.parameters), "correlation": block.matrix.tolist()} for block in found if block]


def matrix(blocks: Sequence[Correlation], names: Sequence[str]) -> Floats:
    """Return the correlation matrix of all parameters with these *names*."""
    found = np.eye(len(names))
    for block in blocks:
        at = [names.index(name) for name in block.parameters]
        found[np.ix_(at, at)] = block.matrix
    return found


def correlate(blocks: Sequence[Correlation], names: Sequence[str], noise: Floats) -> Floats:
    """Return standard normal *noise* (..., constrained parameters of these *names*) with the correlations.

    The root of the matrix is the symmetric one, so that each direction still belongs to one parameter most of all.
    """
    if not blocks:
        return noise
    result = noise.copy()
    for block in blocks:
        at = [names.index(name) for name in block.parameters]
        values, vectors = np.linalg.eigh(block.matrix)
        result[..., at] = noise[..., at] @ (vectors * np.sqrt(values)) @ vectors.T
    return result
