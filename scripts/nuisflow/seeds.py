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
