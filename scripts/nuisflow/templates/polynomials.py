"""Polynomials in the nuisance parameters: the yields of processes, and the means of their responses."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nuisflow.events.scored_events import TemplateError
from nuisflow.likelihood.histfactory import Floats, Integers

REACH = 3.0
"""How far from nominal means are described, in prior standard deviations: the bounds of learned parameters."""
DEGREE = 8
"""Of the means in one parameter: to 1e-4 where responses are quadratic."""
TOGETHER = {2: {2: 8, 3: 8, 4: 6}, 3: {3: 8, 4: 5}}
"""Degree of products of 2 and of 3 parameters, by how many there are (beyond the last: 4)."""
YIELD_DEGREE = 4
NODES = 17
"""Points along one parameter at which means are taken."""


def powers(number: int) -> Integers:
    """Return the exponents (terms, *number*) of the polynomials: all parameters, pairs and triples of them."""
    rows = []
    for size in (1, 2, 3):
        degree = DEGREE if size == 1 else TOGETHER[size].get(number, 4)
        for chosen in itertools.combinations(range(number), size):
            for exponents in itertools.product(range(1, degree + 1), repeat=size):
                if sum(exponents) <= degree:
                    row = np.zeros(number, dtype=np.int64)
                    row[list(chosen)] = exponents
                    rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(rows), number)


def groups(table: Integers) -> Iterator[tuple[tuple[int, ...], Integers]]:
    """Yield the sets of parameters that terms of *table* have, small ones first, with the places of their terms."""
    sets = [tuple(np.flatnonzero(row).tolist()) for row in table]
    for chosen in sorted(set(sets), key=lambda one: (len(one), one)):
        yield chosen, np.array([place for place, other in enumerate(sets) if other == chosen])


def nodes(chosen: Sequence[int], number: int) -> Floats:
    """Return points at which the parameters *chosen* of *number* differ from 0, dense towards the ends."""
    count = NODES if len(chosen) < 3 else 7
    line = REACH * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    grid = np.zeros((count ** len(chosen), number))
    for axis, values in zip(chosen, np.meshgrid(*[line] * len(chosen), indexing="ij"), strict=True):
        grid[:, axis] = values.ravel()
    return grid


def values(table: Integers, z: Floats) -> Floats:
    """Return the monomials of *table* at *z* (points, parameters), shape (points, terms)."""
    return np.asarray(np.prod(z[:, None, :] ** table, axis=2))


def fitted(table: Integers, found: Mapping[tuple[int, ...], Floats]) -> Floats:
    """Return the coefficients of a function that is 0 at 0 from its values at the `nodes` of every group.

    Terms of one parameter first; those of pairs describe what is left, and so on: what holds along an axis stays.
    """
    coefficients = np.zeros(len(table))
    for chosen, places in groups(table):
        z = nodes(chosen, table.shape[1])
        rest = found[chosen] - values(table, z) @ coefficients
        scaled = values(table[places], z / REACH)
        solution = np.linalg.lstsq(scaled, rest, rcond=None)[0]
        coefficients[places] = solution / REACH ** table[places].sum(axis=1)
    return coefficients


def yields(table: Integers, points: Mapping[int, Mapping[float, float]]) -> Floats:
    """Return the coefficients of ln of a yield, relative to nominal, from its values at z of single parameters."""
    coefficients = np.zeros(len(table))
    for axis, found in points.items():
        z, logs = np.array(list(found)), np.log(list(found.values()))
        degree = min(len(z), YIELD_DEGREE)
        solution = np.linalg.lstsq(z[:, None] ** np.arange(1, degree + 1), logs, rcond=None)[0]
        for power, value in enumerate(solution, 1):
            row = np.zeros(table.shape[1], dtype=np.int64)
            row[axis] = power
            coefficients[np.flatnonzero((table == row).all(axis=1))[0]] = value
    return coefficients


def check_means(means: Floats, processes: Sequence[str], variations: Sequence[str], z: Floats) -> None:
    """Raise `TemplateError` where the mean response (folds, processes, points) at one of *z* is beyond all numbers."""
    for fold, index, point in np.argwhere(~(np.isfinite(means) & (means > 0)))[:1]:
        place = ", ".join(f"{name} = {at:.2g}" for name, at in zip(variations, z[point], strict=True) if at)
        raise TemplateError(
            f"strategy 'unbinned': the mean response of process {processes[index]!r} at {place or 'nominal'} "
            f"is {means[fold, index, point]:g}; choose a lower 'degree' for these variations or raise events_seen, or "
            "remove the training to compare the others without it"
        )
