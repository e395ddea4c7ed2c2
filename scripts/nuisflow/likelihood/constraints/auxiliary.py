"""Auxiliary measurements: how they fluctuate, what one standard deviation of each is, which truths they speak for."""

from collections.abc import Sequence

import numpy as np

from nuisflow.likelihood.constraints import parameters
from nuisflow.likelihood.constraints.correlations import Correlation, correlate
from nuisflow.likelihood.constraints.parameters import Booleans, Floats, Parameter


def given(rows: Sequence[Parameter], blocks: Sequence[Correlation], free: Booleans,
          ) -> tuple[list[Parameter], list[Correlation]]:  # fmt: skip
    """Return the constraints of the *free* ones of *rows* where those correlated with them are fixed, at their values.

    What is known of a fixed parameter tells of the others: their normal distribution is the conditional one.
    """
    found, names, left = list(rows), [row.name for row in rows], list[Correlation]()
    for block in blocks:
        at = np.array([names.index(name) for name in block.parameters])
        loose = free[at]
        if loose.all():
            left.append(block)
            continue
        off = [(rows[i].init - rows[i].auxiliary) / rows[i].width for i in at[~loose]]
        told = np.linalg.solve(block.matrix[np.ix_(~loose, ~loose)], block.matrix[np.ix_(~loose, loose)]).T
        rest = block.matrix[np.ix_(loose, loose)] - told @ block.matrix[np.ix_(~loose, loose)]
        sizes = np.sqrt(np.diagonal(rest))
        for i, size, shift in zip(at[loose], sizes, told @ off, strict=True):
            row = rows[i]
            found[i] = row._replace(width=row.width * size, auxiliary=row.auxiliary + row.width * shift)
        if loose.sum() > 1:
            left.append(Correlation(tuple(names[i] for i in at[loose]), rest / np.outer(sizes, sizes)))
    return found, left


def fluctuated(rows: Sequence[Parameter], blocks: Sequence[Correlation], centre: Floats, random: np.random.Generator,
               ) -> Floats:  # fmt: skip
    """Return random measurements of the constrained parameters *rows* around expected ones, *centre* (sets, rows)."""
    poisson, widths = parameters.poisson(rows), np.array([row.width for row in rows])
    noise = random.standard_normal(centre.shape)
    found = centre + widths * correlate(blocks, [row.name for row in rows], noise)
    counts = random.poisson(np.where(poisson, np.maximum(centre, 0.0), 0.0))
    return np.where(poisson, counts, found)


def shifted(rows: Sequence[Parameter], blocks: Sequence[Correlation], centre: Floats, sign: float) -> Floats:
    """Return the measurements *centre* (rows) with each one standard deviation off in turn, shape (rows, rows).

    Correlated measurements move together, along the columns of the root of their covariance.
    """
    poisson, widths = parameters.poisson(rows), np.array([row.width for row in rows])
    sizes = np.where(poisson, np.sqrt(np.maximum(centre, 0.0)), widths)
    found = centre + sign * sizes * correlate(blocks, [row.name for row in rows], np.eye(len(rows)))
    return np.where(poisson, np.maximum(found, 0.0), found)


def drawn(rows: Sequence[Parameter], blocks: Sequence[Correlation], free: Booleans, number: int,
          random: np.random.Generator) -> Floats:  # fmt: skip
    """Return random true values of all parameters (number, rows): the *free* ones from their constraints.

    ASSUME: a factor measured by a Poisson number n, whose mean is tau times it, has a gamma distribution of mean
    n / tau and of standard deviation sqrt(n) / tau as its prior.
    """
    rows, blocks = given(rows, blocks, free)
    points: Floats = np.tile([row.init for row in rows], (number, 1))
    noise, normal = np.zeros_like(points), list[int]()
    for i, row in enumerate(rows):
        if free[i] and row.constraint == "poisson":
            points[:, i] = random.gamma(row.auxiliary, 1.0 / row.width, number)
        elif free[i] and row.constraint == "normal":
            noise[:, i] = random.standard_normal(number)
            normal.append(i)
    noise = correlate(blocks, [row.name for row in rows], noise)
    centre, width = np.array([row.auxiliary for row in rows]), np.array([row.width for row in rows])
    points[:, normal] = centre[normal] + width[normal] * noise[:, normal]
    return points
