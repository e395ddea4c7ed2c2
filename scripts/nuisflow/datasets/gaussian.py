"""Two Gaussian classes in a plane whose common angle is the nuisance parameter (arXiv:2105.08742).

Signal is N(+(cos a, sin a), 0.7²) and background N(-(cos a, sin a), 0.7²) in both coordinates; the angle a is π/4.
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

ANGLE = math.pi / 4
DEVIATION = 0.7
SIDES = {"signal": 1.0, "background": -1.0}


def _rotated(columns: Columns, angle: Values) -> Columns:
    """Turn events about the origin: exact for the means, and the spread is the same in all directions."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return {"x": cosine * columns["x"] - sine * columns["y"], "y": sine * columns["x"] + cosine * columns["y"]}


SHIFTS: dict[str, Callable[[Columns, Values], Columns]] = {"rotation": _rotated}
ACTS_ON = {"rotation": PROCESSES}


def simulate(process: str, events: int, generator: np.random.Generator) -> Columns:
    """Return *events* events of *process* at the nominal angle."""
    generated.check_process(process, PROCESSES)
    noise = DEVIATION * generator.standard_normal((2, events))
    side = SIDES[process]
    return generated.as_columns(COLUMNS, noise[0] + side * math.cos(ANGLE), noise[1] + side * math.sin(ANGLE))


reconstruct = generated.unchanged


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]]) -> Columns:
    """Return *columns* after ``rotation`` by z times size, in radians; see `generated.shift`."""
    return generated.shift(columns, changes, SHIFTS)


def log_density(process: str, columns: Columns, z: Mapping[str, Values]) -> np.ndarray:
    """Return ln p(x, y) of *process*, shape (events,), with ``rotation`` by *z* radians from the nominal angle."""
    generated.check_process(process, PROCESSES)
    angle = ANGLE + np.asarray(z.get("rotation", 0.0))
    means = SIDES[process] * np.cos(angle), SIDES[process] * np.sin(angle)
    return np.asarray(
        sum(
            generated.log_normal_density(columns[name], mean, DEVIATION)
            for name, mean in zip(COLUMNS, means, strict=True)
        )
    )
