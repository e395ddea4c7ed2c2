"""Random generators made from the configuration's seed and the names of the job."""

import hashlib

import numpy as np


def number(seed: int, *names: str | int) -> int:
    """Return a 63-bit seed that depends on *seed* and *names* only.

    Every job, fold or chunk names itself, so that streams are independent of each other and of
    the order in which, and the number of workers on which, they are used.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a random generator that depends on *seed* and *names* only."""
    return np.random.Generator(np.random.PCG64(number(seed, *names)))


def uniform(entry: np.ndarray, key: int = 0) -> np.ndarray:
    """Return a hash of the index of events, from 0 to 1; of different *key*, hashes are independent.

    The hash is the finaliser of splitmix64 (Steele, Lea and Flood, doi:10.1145/2714064.2660195): what is chosen by it
    depends on no pattern in the order of the events, and on no other event.
    """
    state = entry.astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 + key) % 2**64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return np.asarray(state.astype(np.float64) / 2.0**64)


def between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return which *values* of `uniform` are from *low* to below *high*; 1 is below 1, so that no event is lost."""
    return np.asarray((values >= low) & ((values < high) | (high >= 1)))


_POISSON = np.cumsum(np.exp(-1.0) / np.cumprod([1.0, *range(1, 20)]))


def poisson(entry: np.ndarray, replica: int, name: str) -> np.ndarray:
    """Return how often every event of the sample *name* is in a bootstrap *replica*: Poisson numbers of mean 1.

    They depend on the index of the event alone, so that nominal and varied versions of it share theirs; replica 0 is
    the sample itself.
    """
    if not replica:
        return np.ones(len(entry))
    return np.searchsorted(_POISSON, uniform(entry, number(replica, "replica", name)), side="right").astype(float)
