"""Random parts of the events of a sample: what is reserved for pseudo-experiments serves nothing else."""

import numpy as np

from nuisflow import seeds

EVERYTHING = (0.0, 1.0)
GROUP = 100
"""Rows among which a part has its exact share, if that is a whole number of percent."""
RESERVED = 1 << 41
"""Key of hashes of events that have nothing to do with folds and validation."""


def inside(start: int, stop: int, part: tuple[float, float]) -> np.ndarray:
    """Return which of the rows *start* to *stop* belong to *part*, from one share to another.

    The rows of every hundred are in a random order of their own, by a hash of their numbers: whatever the order of the
    events in the files, parts are like each other, and each has its share of the rows, so that no weight needs more
    than the share itself. Parts that do not overlap share no row.
    """
    if part == EVERYTHING:
        return np.ones(stop - start, dtype=bool)
    first, last = start // GROUP, -(-stop // GROUP)
    places = _places(np.arange(first, last)).ravel()
    return seeds.between(places[start - first * GROUP : stop - first * GROUP], *part)


def among(entry: np.ndarray, part: tuple[float, float]) -> np.ndarray:
    """Return which of the rows with the numbers *entry* belong to *part* (`inside`)."""
    if part == EVERYTHING:
        return np.ones(len(entry), dtype=bool)
    groups, index = np.unique(entry // GROUP, return_inverse=True)
    return seeds.between(_places(groups)[index, entry % GROUP], *part)


def _places(groups: np.ndarray) -> np.ndarray:
    """Return where in [0, 1) the rows of some *groups* are, of shape (groups, `GROUP`)."""
    rows = groups[:, None] * GROUP + np.arange(GROUP)
    chance = seeds.uniform(rows.ravel(), RESERVED).reshape(rows.shape)
    rank = np.empty(chance.shape)
    np.put_along_axis(rank, chance.argsort(axis=1), np.arange(GROUP, dtype=float)[None], axis=1)
    # A share that is no whole number of percent is rounded up in some hundreds and down in others.
    return np.asarray((rank + seeds.uniform(groups, RESERVED + 1)[:, None]) / GROUP)
