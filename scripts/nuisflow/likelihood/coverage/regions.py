"""Cells of true points: how often intervals cover in each, and the worst region, without the bias of having looked.

Of many cells one is low by chance. So the worst one is chosen with one half of the points, and its coverage is that of
the other half: an unbiased number with its usual binomial error, however many cells were looked at.
"""

import itertools
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import toys
from nuisflow.likelihood.coverage.maps import Map
from nuisflow.likelihood.histfactory import Floats, Integers

EDGES = (-1.5, -0.5, 0.5, 1.5)
"""Of the cells of a constrained parameter, in prior standard deviations; that of interest has cells of equal width."""
CELLS = len(EDGES) + 1
_FEWEST = 30  # points of the choosing half, below which a cell is not considered
_CAUTION = 2.0  # the worst cell is that whose coverage is lowest after adding so many standard deviations


class Side(NamedTuple):
    """A range of one parameter: in its own units (of interest), or in prior standard deviations; infinite if open."""

    parameter: str
    low: float
    high: float


class Region(NamedTuple):
    """A cell of one or two parameters: points in it and coverage with Clopper-Pearson limits (68.27 %)."""

    sides: tuple[Side, ...]
    number: int
    coverage: float
    low: float
    high: float


class Worst(NamedTuple):
    """The region that one half of the points says is worst, with the coverage of the other half.

    *seen*: the coverage in the half that chose it, which is low by chance too; *considered*: from how many cells.
    """

    region: Region
    seen: float
    considered: int


def edges(found: Map, parameter: int) -> Floats:
    """Return the inner and outer edges of the cells of a parameter, by its place in Map.names."""
    inner = np.linspace(*found.reach, CELLS + 1)[1:-1] if parameter == 0 else np.array(EDGES)
    ends = found.reach if parameter == 0 else (-np.inf, np.inf)
    return np.concatenate([ends[:1], inner, ends[1:]])


def single(found: Map) -> list[Region]:
    """Return the coverage in all cells of each parameter alone, by all points."""
    cells, covered, number = _indices(found), found.covered, len(found.names)
    return [
        _region(found, [(p, c)], int(covered[at].sum()), int(at.sum()))
        for p in range(number)
        for c in range(CELLS)
        for at in [cells[:, p] == c]
    ]


def worst(found: Map) -> Worst | None:
    """Return the worst region among the cells of one and of two parameters; None where there are too few points."""
    first = found.choosing
    cells = _indices(found)
    all_, good = (
        _counts(cells[first], weight) for weight in (np.ones(int(first.sum())), found.covered[first].astype(np.float64))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (good + 1.0) / (all_ + 2.0)
        bound = share + _CAUTION * np.sqrt(share * (1.0 - share) / all_)
    upper = np.triu(np.ones_like(all_, dtype=np.bool_)) & (all_ >= _FEWEST)
    if not upper.any():
        return None
    row, column = np.unravel_index(int(np.argmin(np.where(upper, bound, np.inf))), all_.shape)
    sides = list(dict.fromkeys(divmod(int(k), CELLS) for k in (row, column)))
    inside = ~first & np.all([cells[:, p] == c for p, c in sides], axis=0)
    region = _region(found, sides, int(found.covered[inside].sum()), int(inside.sum()))
    return Worst(region, float(good[row, column] / all_[row, column]), int(upper.sum()))


def pair(found: Map, names: tuple[str, str]) -> list[Region]:
    """Return the coverage in all cells of two parameters, by all points."""
    cells, (one, two) = _indices(found), (found.names.index(name) for name in names)
    rows = []
    for c, d in itertools.product(range(CELLS), repeat=2):
        at = (cells[:, one] == c) & (cells[:, two] == d)
        rows.append(_region(found, [(one, c), (two, d)], int(found.covered[at].sum()), int(at.sum())))
    return rows


def _indices(found: Map) -> Integers:
    """Return the cell of every point in every parameter (points, names)."""
    columns = [np.searchsorted(edges(found, p)[1:-1], found.points[:, p]) for p in range(len(found.names))]
    return np.stack(columns, axis=1)


def _counts(cells: Integers, weight: Floats) -> Floats:
    """Return the summed weight in all pairs of cells (names x CELLS, squared); in single cells on the diagonal."""
    size = cells.shape[1] * CELLS
    total, offset = np.zeros((size, size)), CELLS * np.arange(cells.shape[1])
    for first in range(0, len(cells), 20_000):
        part = cells[first : first + 20_000] + offset
        flags = np.zeros((len(part), size), dtype=np.float32)
        flags[np.arange(len(part))[:, None], part] = 1.0
        total += (flags * weight[first : first + 20_000, None].astype(np.float32)).T @ flags
    return total


def _region(found: Map, sides: list[tuple[int, int]], covered: int, number: int) -> Region:
    low, high = toys.clopper_pearson(covered, number) if number else (0.0, 1.0)
    named = tuple(
        Side(found.names[p], float(edges(found, p)[c]), float(edges(found, p)[c + 1])) for p, c in sides
    )  # fmt: skip
    return Region(named, number, covered / number if number else float("nan"), low, high)
