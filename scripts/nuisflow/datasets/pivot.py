"""The toy of Learning to pivot (arXiv:1611.01046): two Gaussian classes, one of which moves with z.

Background (Y = 0) is N((0, 0), [[1, -0.5], [-0.5, 1]]), signal (Y = 1) is N((1, 1 + z), 1).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from nuisflow.datasets import generated
from nuisflow.datasets.generated import Columns, Values

COLUMNS = ("x", "y")
DERIVED: tuple[str, ...] = ()
PROCESSES = ("signal", "background")
UNDEFINED = None

CORRELATION = -0.5
WIDTH = math.sqrt(1 - CORRELATION**2)


def _moved(columns: Columns, displacement: Values) -> Columns:
    return {"y": columns["y"] + displacement}


SHIFTS: dict[str, Callable[[Columns, Values], Columns]] = {"mean": _moved}
ACTS_ON = {"mean": ("signal",)}


def simulate(process: str, events: int, generator: np.random.Generator) -> Columns:
    """Return *events* events of *process* at z = 0."""
    generated.check_process(process, PROCESSES)
    x, y = generator.standard_normal((2, events))
    if process == "signal":
        return generated.as_columns(COLUMNS, 1 + x, 1 + y)
    return generated.as_columns(COLUMNS, x, CORRELATION * x + WIDTH * y)


reconstruct = generated.unchanged


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]]) -> Columns:
    """Return signal *columns* with ``mean`` of y changed by z times size; see `generated.shift`."""
    return generated.shift(columns, changes, SHIFTS)


def log_density(process: str, columns: Columns, z: Mapping[str, Values]) -> np.ndarray:
    """Return ln p(x, y) of *process*, shape (events,); *z* changes the ``mean`` of y of the signal."""
    generated.check_process(process, PROCESSES)
    x, y = np.asarray(columns["x"], dtype=float), columns["y"]
    if process == "signal":
        mean = 1 + np.asarray(z.get("mean", 0.0))
        return np.asarray(generated.log_normal_density(x, 1.0, 1.0) + generated.log_normal_density(y, mean, 1.0))
    return np.asarray(
        generated.log_normal_density(x, 0.0, 1.0) + generated.log_normal_density(y, CORRELATION * x, WIDTH)
    )
