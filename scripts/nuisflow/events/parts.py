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
    chance = seeds.uniform(np.arange(first * GROUP, last * GROUP), RESERVED).reshape(-1, GROUP)
    rank = np.empty(chance.shape)
    np.put_along_axis(rank, chance.argsort(axis=1), np.arange(GROUP, dtype=float)[None], axis=1)
    # A share that is no whole number of percent is rounded up in some hundreds and down in others.
    place = (rank + seeds.uniform(np.arange(first, last), RESERVED + 1)[:, None]) / GROUP
    return seeds.between(place.ravel()[start - first * GROUP : stop - first * GROUP], *part)
