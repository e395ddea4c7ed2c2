"""How different two weighted sets of the same events are: chi-squared of a histogram, and a classifier between them."""

import math
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.strategies import boosted_trees

BINS = 10
"""Of a feature, with as many expected events in each."""
TESTED = 20_000
"""Events of either kind that a classifier is given, at most."""
ROUNDS, DEPTH, SHRINKAGE = 40, 3, 0.2


class Sets(NamedTuple):
    """Two sets of weighted events; *first*, *second* (events): weights; *x*, *y* (events, features): what they are.

    Row i of both is the same simulated event, so that most of its randomness is common to both.
    """

    first: Floats
    second: Floats
    x: np.ndarray
    y: np.ndarray
    entry: Integers


class Difference(NamedTuple):
    """Contents of *edges*' bins in both sets (of equal sums), *error* of the difference, and how large that is.

    *chi2* for *ndof*, in standard deviations of simulation; *in_data*: root of the sum of squares of the differences in
    standard deviations of data that count in these bins, above what chance gives: no parameter of a fit in these bins
    is off by more than so many of its standard deviations.
    """

    edges: Floats
    first: Floats
    second: Floats
    error: Floats
    chi2: float
    ndof: int
    in_data: float

    @property
    def p_value(self) -> float:
        """The chance of a larger chi-squared."""
        from scipy import special

        return float(special.gammaincc(0.5 * self.ndof, 0.5 * self.chi2)) if self.ndof else 1.0

    def plain(self, *, whole: bool) -> dict[str, Any]:
        """Return the numbers; *whole*: with the histograms."""
        found: dict[str, Any] = {"chi2": self.chi2, "ndof": self.ndof, "p_value": self.p_value, "in_data": self.in_data}
        if whole:
            found |= {name: getattr(self, name).tolist() for name in ("edges", "first", "second", "error")}
        return found


def edges(values: np.ndarray, weight: Floats, number: int = BINS) -> Floats:
    """Return the inner edges of bins of equal contents, those that differ: (at most *number* - 1,)."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    places = np.searchsorted(share, share[-1] * np.arange(1, number) / number)
    found = np.unique(values[order][np.minimum(places, len(order) - 1)].astype(np.float64))
    return found[found > values.min()] if len(found) else found


def difference(
    sets: Sets, x: np.ndarray, y: np.ndarray, within: tuple[np.ndarray, Floats], number: int = BINS
) -> Difference:
    """Compare the histograms of *x* in the first and *y* in the second set, scaled to its sum.

    *within*: the same variable, and weights, of all expected events, of which data fluctuate.
    """
    lines = edges(y, sets.second, number)
    size = len(lines) + 1
    before, after = np.searchsorted(lines, x, side="right"), np.searchsorted(lines, y, side="right")
    scale = sets.second.sum() / sets.first.sum()
    first, second = scale * np.bincount(before, sets.first, size), np.bincount(after, sets.second, size)
    # Influence of every event on the difference: in its bins, and through the common scale.
    own = scale * sets.first
    total, share = own - sets.second, second / second.sum()
    cross = np.zeros((size, size))
    np.add.at(cross, (before, after), own * sets.second)
    along = np.diag(np.bincount(before, own**2, size) + np.bincount(after, sets.second**2, size)) - cross - cross.T
    mixed = np.bincount(before, own * total, size) - np.bincount(after, sets.second * total, size)
    covariance = along - np.outer(mixed, share) - np.outer(share, mixed) + (total**2).sum() * np.outer(share, share)
    apart = first - second
    chi2, ndof = _chi2(apart, covariance)
    expected = np.bincount(np.searchsorted(lines, within[0], side="right"), within[1], size)
    expected = np.maximum(expected, np.maximum(second, 1e-12))
    variance = np.maximum(np.diag(covariance), 0.0)
    seen = math.sqrt(max(float(((apart**2 - variance) / expected).sum()), 0.0))
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    return Difference(
        np.array([low, *lines, high], float), first, second.astype(np.float64), np.sqrt(variance), chi2, ndof, seen
    )


def _chi2(apart: Floats, covariance: Floats) -> tuple[float, int]:
    """Return chi-squared of *apart* and its degrees of freedom: directions in which events differ at all."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    good = values > 1e-6 * max(values.max(), 1e-300)
    along = vectors[:, good].T @ (apart / scale)
    return float((along**2 / values[good]).sum()), int(good.sum()) if np.any(np.diag(covariance) > 1e-24) else 0


class Separation(NamedTuple):
    """How well a classifier tells two sets apart, 0.5 being not at all: area under the ROC curve and its error.

    *in_data*: the difference it stands for in standard deviations of the data.
    """

    auc: float
    error: float
    in_data: float

    def plain(self) -> dict[str, float]:
        """Return the numbers."""
        return self._asdict()


def separation(
    sets: Sets, expected: tuple[float, float], place: np.ndarray | None = None, tested: int = TESTED
) -> Separation:
    """Train trees to tell the second set from the first on one half of the events, and ask the other; both ways.

    An event is in the same half in both sets. *expected*: events of this kind, and all events, in the data. *place*
    (events,): a number that the trees are told too. At most *tested* events are asked.
    """
    kept = seeds.uniform(sets.entry, 17) < tested / max(len(sets.entry), 1)
    parts = [values[kept] for values in (sets.x, sets.y)]
    if place is not None:
        parts = [np.column_stack([part, place[kept]]) for part in parts]
    weights, half = [sets.first[kept], sets.second[kept]], seeds.uniform(sets.entry[kept], 18) < 0.5
    scores = [np.zeros(len(half)), np.zeros(len(half))]
    for asked in (half, ~half):
        learnt = [part[~asked] for part in parts], [weight[~asked] for weight in weights]
        for score, values in zip(scores, _trees(*learnt, [part[asked] for part in parts]), strict=True):
            score[asked] = values
    halves = [_area(*(part[asked] for part in (*scores, *weights))) for asked in (half, ~half)]
    auc = float(np.mean([area for area, _ in halves]))
    error = 0.5 * math.sqrt(sum(variance for _, variance in halves))
    # Two Gaussians with this area are sqrt(2) Phi^-1(area) apart, in units of their width.
    apart = 2 * math.sqrt(math.pi) * max(abs(auc - 0.5) - error, 0.0)
    return Separation(auc, error, apart * expected[0] / math.sqrt(max(expected[1], 1e-12)))


def _trees(parts: list[np.ndarray], weights: list[Floats], asked: list[np.ndarray]) -> list[np.ndarray]:
    """Return scores of *asked* by trees that tell the second of *parts* from the first."""
    xgboost = boosted_trees.xgboost()
    used = [weight > 0 for weight in weights]
    features = np.concatenate([part[use] for part, use in zip(parts, used, strict=True)])
    label = np.repeat([0.0, 1.0], [int(use.sum()) for use in used])
    weight = np.concatenate([one[use] / one[use].mean() for one, use in zip(weights, used, strict=True)])
    options = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "seed": 1, "max_depth": DEPTH}
    options |= {"eta": SHRINKAGE, "min_child_weight": 20.0, "max_bin": 64}
    matrix = xgboost.QuantileDMatrix(features, label=label, weight=weight, nthread=1, max_bin=64)
    grown = xgboost.train(options, matrix, num_boost_round=ROUNDS)
    return [grown.inplace_predict(part, predict_type="margin").astype(np.float64) for part in asked]


def _area(low: Floats, high: Floats, first: Floats, second: Floats) -> tuple[float, float]:
    """Return the area under the ROC curve and its variance, events of both sets with the same row being the same.

    Influence functions: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837, with weights.
    """
    levels, place = np.unique(np.concatenate([low, high]), return_inverse=True)
    size = len(levels)
    below = np.bincount(place[: len(low)], first, size) / first.sum()
    above = np.bincount(place[len(low) :], second, size) / second.sum()
    first_below = np.cumsum(below) - 0.5 * below
    second_above = 1 - (np.cumsum(above) - 0.5 * above)
    area = float(above @ first_below)
    influence = second / second.sum() * (first_below[place[len(low) :]] - area)
    influence += first / first.sum() * (second_above[place[: len(low)]] - area)
    return area, float((influence**2).sum())
