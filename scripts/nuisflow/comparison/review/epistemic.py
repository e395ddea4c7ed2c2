"""Aleatoric and epistemic uncertainty of single events, from the members of a classifier.

The entropy of the mean score is how unsure the classifier is of the class of an event. The mean entropy of its members
stays however much is learnt (aleatoric); the rest is the mutual information of class and member (epistemic), 0 where
all members agree. Depeweg et al., arXiv:1710.07283, equation 5; Smith and Gal, arXiv:1803.08533. In bits.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow.comparison.review import conditions
from nuisflow.comparison.trainings import Run
from nuisflow.learning import batches
from nuisflow.slices.classifiers import JudgementSettings

Row = dict[str, Any]
Members = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""What gives the scores of all members, shape (events, members)."""
MOST = 8_000
"""Events of a sample at most of which uncertainties are found."""
NEIGHBOURS = 10
"""The distance from the training events is that to so many of them, the mean."""
TRAINED = 20_000
"""Training events of all samples together, at most, among which neighbours are sought."""
BINS = 12
COLUMNS = (
    *("training", "seed", "members", "total", "aleatoric", "epistemic", "epistemic_signal", "epistemic_background"),
    *("with_distance", "feature", "with_feature"),
)


class Parts(NamedTuple):
    """Entropies of every event in bits, each of shape (events,): total = aleatoric + epistemic."""

    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


class Events(NamedTuple):
    """Some nominal events: columns, balanced weights (signal and background add up to 1/2 each), and the class."""

    columns: dict[str, np.ndarray]
    weight: np.ndarray
    signal: np.ndarray
    trained: np.ndarray


def parts(probabilities: np.ndarray) -> Parts:
    """Return the entropies that members of *probabilities*, shape (events, members, classes), stand for."""
    total, aleatoric = entropy(probabilities.mean(axis=1)), entropy(probabilities).mean(axis=1)
    return Parts(total, aleatoric, np.maximum(total - aleatoric, 0))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy in bits along the last axis."""
    safe = np.where(probabilities > 0, probabilities, 1)
    return np.asarray(-np.sum(safe * np.log2(safe), axis=-1))


# --- events ---------------------------------------------------------------------------------------------------------


def taken(paths: Mapping[str, Path], settings: JudgementSettings) -> Events:
    """Return some events of all nominal samples in regions whose observable is the score."""
    chosen = [settings.regions.index(name) for name in settings.scored]
    found = []
    for sample, process in settings.samples.items():
        one = conditions.take(paths[sample], settings.features, settings.regions, MOST)
        inside = np.isin(one.region, chosen)
        columns = {name: values[inside] for name, values in one.columns.items()}
        flags = {"signal": process == settings.signal, "trained": sample in settings.trained}
        found.append(columns | {name: np.full(int(inside.sum()), flag) for name, flag in flags.items()})
    columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
    signal, trained, weight = columns.pop("signal"), columns.pop("trained"), np.maximum(columns.pop("weight"), 0)
    for label in (True, False):
        total = weight[signal == label].sum()
        weight[signal == label] /= 2 * total if total > 0 else 1
    return Events(columns, weight, signal, trained)


def distances(events: Events, settings: JudgementSettings) -> np.ndarray:
    """Return how far every event is from those that the network of its fold was trained on, shape (events,).

    The mean distance to the `NEIGHBOURS` nearest of at most `TRAINED`, in features divided by their standard deviation;
    those without variance do not count. NaN without training events.
    """
    from scipy import spatial

    values = np.column_stack([events.columns[name] for name in settings.features]).astype(np.float64)
    spread = values.std(axis=0)
    values = (values[:, spread > 0] - values.mean(axis=0)[spread > 0]) / spread[spread > 0]
    entry = events.columns["entry"]
    fold, validation = batches.fold(entry, settings.folds), batches.is_validation(entry, settings.validation_fraction)
    found = np.full(len(entry), np.nan)
    for number in range(settings.folds):
        own, known = fold == number, np.flatnonzero((fold != number) & ~validation & events.trained)
        known = known[:: max(1, -(-len(known) // TRAINED))]
        if len(known) < NEIGHBOURS or not values.shape[1] or not own.any():
            continue
        tree = spatial.cKDTree(values[known])
        found[own] = tree.query(values[own], NEIGHBOURS)[0].mean(axis=1)
    return found


# --- numbers --------------------------------------------------------------------------------------------------------


def judge(
    run: Run, members: Members, events: Events, distance: np.ndarray, settings: JudgementSettings
) -> tuple[Row, Row]:
    """Return the row of one run, and its curves: the parts against score, distance and the feature that tells most."""
    scores = members(events.columns)
    found = parts(np.stack([1 - scores, scores], axis=2).astype(np.float64))
    score = scores.mean(axis=1)
    told = {name: told_by(events.columns[name], found.epistemic, events.weight) for name in settings.features}
    feature = max(told, key=lambda name: told[name])
    means = {name: _mean(values, events.weight) for name, values in found._asdict().items()}
    row: Row = run._asdict() | {"members": scores.shape[1]} | means
    for name, of in (("signal", events.signal), ("background", ~events.signal)):
        row[f"epistemic_{name}"] = _mean(found.epistemic[of], events.weight[of])
    row |= {"with_distance": told_by(distance, found.epistemic, events.weight)}
    row |= {"feature": feature, "with_feature": told[feature]}
    curves = {
        "score": profile(score, found, events.weight, np.linspace(0, 1, BINS + 1)),
        "distance": profile(distance, found, events.weight),
        "feature": profile(events.columns[feature], found, events.weight),
    }
    return row, run._asdict() | {"name": feature} | curves


def _mean(values: np.ndarray, weight: np.ndarray) -> float | None:
    return float(values @ weight / weight.sum()) if weight.sum() > 0 else None


def told_by(values: np.ndarray, epistemic: np.ndarray, weight: np.ndarray) -> float:
    """Return which share of the variance of *epistemic* the mean in bins of *values* has (correlation ratio squared).

    0 where *values* do not vary, or are undefined.
    """
    place, number = _places(values, _quantiles(values, weight))
    content = np.bincount(place, weight, number)
    filled = content > 0
    if filled.sum() < 2:
        return 0.0
    mean = epistemic @ weight / weight.sum()
    variance = (epistemic - mean) ** 2 @ weight / weight.sum()
    means = np.bincount(place, weight * epistemic, number)[filled] / content[filled]
    return float((means - mean) ** 2 @ content[filled] / weight.sum() / variance) if variance > 0 else 0.0


def profile(values: np.ndarray, found: Parts, weight: np.ndarray, edges: np.ndarray | None = None) -> list[list[float]]:
    """Return mean *values* and mean parts (total, aleatoric, epistemic) in bins, and the error of the last.

    Without *edges*, bins hold about equal weights.
    """
    place, number = _places(values, _quantiles(values, weight) if edges is None else edges[1:-1])
    content = np.bincount(place, weight, number)
    filled = content > 0

    def mean(one: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(place, weight * one, number)[filled] / content[filled])

    epistemic = mean(found.epistemic)
    squares = np.bincount(place, weight**2, number)[filled]
    spread = np.sqrt(np.maximum(mean(found.epistemic**2) - epistemic**2, 0) * squares) / content[filled]
    columns = (mean(np.nan_to_num(values)), mean(found.total), mean(found.aleatoric), epistemic, spread)
    return [one.tolist() for one in columns]


def _quantiles(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the inner edges of `BINS` bins of about equal weight; fewer where values repeat."""
    defined = np.isfinite(values)
    order = np.argsort(values[defined], kind="stable")
    shares = np.cumsum(weight[defined][order])
    if not len(shares) or not shares[-1] > 0:
        return np.empty(0)
    places = np.searchsorted(shares, shares[-1] * np.arange(1, BINS) / BINS)
    edges = np.unique(values[defined][order][np.minimum(places, len(order) - 1)])
    return np.asarray(edges[edges > values[defined].min()])


def _places(values: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the bin of every value, and the number of bins."""
    return np.asarray(np.searchsorted(inner, values, side="right")), len(inner) + 1
