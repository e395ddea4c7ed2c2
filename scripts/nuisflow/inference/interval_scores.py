"""Scores of intervals over many pseudo-experiments with different true values, as in the Fair Universe challenge.

Definitions: arXiv:2410.02867, and the class Scoring of the package HiggsML 0.1.5.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood import toys
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import Values

LEVEL = 0.6827
"""The intended coverage, as rounded by the challenge."""


class Measurements(NamedTuple):
    """One row per pseudo-experiment: the set it belongs to, true value, best fit, ends of the interval.

    *delta*: the uncertainty claimed for *value*. Failed experiments have NaN.
    """

    sets: Integers
    true: Floats
    value: Floats
    low: Floats
    high: Floats
    delta: Floats

    @property
    def good(self) -> Booleans:
        """Which experiments have a value and an interval."""
        return np.isfinite(self.value) & np.isfinite(self.low) & np.isfinite(self.high) & np.isfinite(self.delta)

    def of(self, number: int) -> "Measurements":
        """Return the experiments of one set."""
        return Measurements(*(part[self.sets == number] for part in self))


class Scores(NamedTuple):
    """Coverage and mean width of the intervals, their quantile score (higher is better), RMSE and MAE of the values.

    *failed* experiments count as not covered, with Clopper-Pearson limits (68.27 %); all else is over the others.
    """

    number: int
    failed: int
    coverage: float
    coverage_low: float
    coverage_high: float
    coverage_error: float
    width: float
    score: float
    rmse: float
    mae: float
    bias: float
    bias_error: float


def measurements(sets: Values, true: Values, value: Values, interval: tuple[Values, Values],
                 delta: Values | None = None) -> Measurements:  # fmt: skip
    """Return experiments with the ends of their *interval*; *delta* is by default half its width."""
    # ASSUME: the uncertainty of the value is half the interval, as the challenge defines it (one standard deviation).
    low, high = (np.asarray(end, np.float64) for end in interval)
    claimed = 0.5 * np.abs(high - low) if delta is None else delta
    columns = np.broadcast_arrays(sets, *(np.asarray(part, np.float64) for part in (true, value, low, high, claimed)))
    return Measurements(*columns)


def scores(found: Measurements, level: float = LEVEL) -> Scores:
    """Score all experiments together; RMSE and MAE are means over sets of means over their experiments."""
    good = found.good
    number, covered = len(good), int((good & (found.low <= found.true) & (found.true <= found.high)).sum())
    ends = toys.clopper_pearson(covered, number)
    head = (number, int((~good).sum()), covered / number, *ends, 0.5 * (ends[1] - ends[0]))
    if not good.any():
        return Scores(*head, *[math.nan] * 6)
    width = float(np.mean(np.abs(found.high - found.low)[good]))
    score = -math.log((width + 1e-3) * toys.coverage_penalty(covered / number, number, level))
    difference = (found.value - found.true)[good]
    spread = float(difference.std(ddof=1)) / math.sqrt(len(difference)) if len(difference) > 1 else math.nan
    return Scores(*head, width, score, *_distances(found), float(difference.mean()), spread)


def _distances(found: Measurements) -> tuple[float, float]:
    """Return RMSE and MAE: of every experiment on its own, averaged over each set, and over the sets."""
    error = np.abs(found.value - found.true)
    squares = np.sqrt(error**2 + (error**2 - found.delta**2) ** 2)
    absolutes = error + np.abs(error - found.delta)
    rows = [found.good & (found.sets == number) for number in np.unique(found.sets)]
    means = [(squares[row].mean(), absolutes[row].mean()) for row in rows if row.any()]
    rmse, mae = np.mean(means, axis=0)
    return float(rmse), float(mae)


def summary(found: Measurements) -> dict[str, Any]:
    """Return the scores of all experiments and of every set, ready for JSON: None where there is no number."""
    sets = [
        {"set": int(number), "mu_true": float(found.of(number).true.mean())} | _plain(scores(found.of(number)))
        for number in np.unique(found.sets)
    ]
    return _plain(scores(found)) | {"sets": sets}


def _plain(found: Scores) -> dict[str, Any]:
    return {name: value if np.isfinite(value) else None for name, value in found._asdict().items()}
