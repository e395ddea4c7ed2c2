"""The synthetic three-dimensional benchmark of INFERNO (arXiv:1806.04743).

Background: (x0, x1) ~ N((2 + r, 0), diag(5, 9)) and x2 ~ Exponential(λ), nominally r = 0 and λ = 3. Signal:
(x0, x1) ~ N((0, 0), 1) and x2 ~ Exponential(2). The paper prints (1, 1) for the signal; the authors' code
(github pablodecm/paper-inferno) and their table have (0, 0).
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from nuisflow.datasets import generated
from nuisflow.datasets.generated import Columns, Values

COLUMNS = ("x0", "x1", "x2")
DERIVED: tuple[str, ...] = ()
PROCESSES = ("signal", "background")
UNDEFINED = None

MEAN, DEVIATIONS = 2.0, (math.sqrt(5.0), 3.0)
RATES = {"signal": 2.0, "background": 3.0}
LOWEST_RATE = 0.1
"""ASSUME: far below its prior, λ stays here, so that x2 is finite at any z."""


def _moved(columns: Columns, displacement: Values) -> Columns:
    return {"x0": columns["x0"] + displacement}


def _stretched(columns: Columns, displacement: Values) -> Columns:
    return {"x2": columns["x2"] * (RATES["background"] / _rate(displacement))}


def _rate(displacement: Values) -> np.ndarray:
    return np.maximum(RATES["background"] + np.asarray(displacement, dtype=float), LOWEST_RATE)


SHIFTS: dict[str, Callable[[Columns, Values], Columns]] = {"r": _moved, "lambda": _stretched}
ACTS_ON = {"r": ("background",), "lambda": ("background",)}


def simulate(process: str, events: int, generator: np.random.Generator) -> Columns:
    """Return *events* events of *process* at r = 0 and λ = 3."""
    generated.check_process(process, PROCESSES)
    x0, x1 = generator.standard_normal((2, events))
    if process == "background":
        x0, x1 = MEAN + DEVIATIONS[0] * x0, DEVIATIONS[1] * x1
    return generated.as_columns(COLUMNS, x0, x1, generator.standard_exponential(events) / RATES[process])


reconstruct = generated.unchanged


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]]) -> Columns:
    """Return background *columns* with r or λ changed by z times size: ``r`` and ``lambda``; see `generated.shift`."""
    return generated.shift(columns, changes, SHIFTS)


def log_density(process: str, columns: Columns, z: Mapping[str, Values]) -> np.ndarray:
    """Return ln p(x0, x1, x2) of *process*, shape (events,); *z* changes ``r`` and ``lambda`` of the background."""
    generated.check_process(process, PROCESSES)
    if process == "signal":
        mean, deviations, rate = np.asarray(0.0), (1.0, 1.0), np.asarray(RATES["signal"])
    else:
        mean, deviations, rate = MEAN + np.asarray(z.get("r", 0.0)), DEVIATIONS, _rate(z.get("lambda", 0.0))
    return np.asarray(
        generated.log_normal_density(columns["x0"], mean, deviations[0])
        + generated.log_normal_density(columns["x1"], 0.0, deviations[1])
        + np.log(rate)
        - rate * np.asarray(columns["x2"], dtype=float)
    )
