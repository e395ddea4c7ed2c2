"""How visible every variation is at all: a classifier of its own is to tell its events from nominal ones.

Classifier two-sample tests (Lopez-Paz and Oquab, arXiv:1610.06545) on the features, with event weights: an area under
the ROC curve of 0.5 is that of events that nobody tells apart. Yields do not count, shapes of all features together do.
Events of one number serve on one side only, nominal or varied, and in training or in the test: all are independent.
Collision data, where they may be seen, are told from the model likewise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.comparison.review import conditions
from nuisflow.comparison.review.conditions import Key, Taken
from nuisflow.slices.review import NOMINAL, Condition, VisibilitySettings
from nuisflow.strategies import metrics
from nuisflow.templates.histograms import DATA

MOST = 120_000
"""Events of a file at most."""
ROUNDS, DEPTH, SHRINKAGE = 40, 3, 0.2
"""Of the boosted trees: small, since differences are."""
FEWEST = 20
"""Effective events of either side in the test."""
SIDE, TEST = 1 << 44, 1 << 45
"""Keys of the hashes that choose sides, and events for the test."""
COLUMNS = ("name", "variation", "z", "auc", "error", "significance", "feature")


class Side(NamedTuple):
    """Events of one side: features, shape (events, features), weights, and whether they are for the test."""

    features: np.ndarray
    weight: np.ndarray
    test: np.ndarray


class Told(NamedTuple):
    """The area under the ROC curve, its error if nothing tells the sides apart, and the feature that tells most."""

    auc: float
    error: float
    feature: int | None


def tell(first: Side, second: Side, seed: int) -> Told | None:
    """Return how well boosted trees tell the *second* side from the *first*; None where there are too few events."""
    import xgboost

    sides = (first, second)
    sizes = [_effective(side.weight[chosen]) for side in sides for chosen in (side.test, ~side.test)]
    if min(sizes) < FEWEST:
        return None
    features = np.concatenate([side.features for side in sides])
    labels = np.concatenate([np.full(len(side.weight), index) for index, side in enumerate(sides)])
    weight = np.concatenate([np.maximum(side.weight, 0) / side.weight[~side.test].mean() for side in sides])
    test = np.concatenate([side.test for side in sides])
    options = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": SHRINKAGE, "nthread": 1, "seed": seed % 2**31}
    matrix = xgboost.QuantileDMatrix(features[~test], label=labels[~test], weight=weight[~test], nthread=1)
    booster = xgboost.train(options, matrix, ROUNDS)
    scores = booster.inplace_predict(features[test], predict_type="margin")
    area = metrics.area_under_curve(scores, labels[test], np.concatenate([side.weight for side in sides])[test])
    gains = booster.get_score(importance_type="total_gain")
    best = max(gains, key=lambda name: gains[name], default=None)
    error = np.sqrt((1 / sizes[0] + 1 / sizes[2]) / 12)
    return Told(float(area), float(error), None if best is None else int(best[1:]))


def _effective(weight: np.ndarray) -> float:
    """Return the effective number of events."""
    squares = np.sum(weight**2)
    return float(weight.sum() ** 2 / squares) if squares > 0 and weight.sum() > 0 else 0.0


# --- events ---------------------------------------------------------------------------------------------------------


def rows(paths: Mapping[Key, Path], settings: VisibilitySettings) -> Iterator[dict[str, Any]]:
    """Yield how visible every condition but nominal is, and data against nominal where they are shown."""
    sources = [source for one in settings.conditions.values() for source in one.sources]
    events: dict[Key, Taken] = {}

    def taken(condition: Condition) -> dict[Key, Taken]:
        for source in condition.sources:
            key = (source.folder, source.sample)
            if key not in events:
                columns = [*settings.features, *conditions.factors(sources, key)]
                events[key] = conditions.take(paths[key], columns, settings.regions, MOST)
        return events

    nominal = settings.conditions[NOMINAL]
    first = side(nominal, taken(nominal), settings, varied=False)
    for name, condition in settings.conditions.items():
        if name != NOMINAL:
            second = side(condition, taken(condition), settings, varied=True)
            yield _row(name, condition.variation, condition.z, tell(first, second, settings.seed), settings)
            for key in [key for key in events if key[0] != NOMINAL]:
                del events[key]
    if settings.shown:
        first, second = (side(one, taken(one), settings, varied=None) for one in settings.shown)
        yield _row(DATA, DATA, 0.0, tell(first, second, settings.seed), settings)


def side(
    condition: Condition, events: Mapping[Key, Taken], settings: VisibilitySettings, *, varied: bool | None
) -> Side:
    """Return the events of a condition with the numbers of its side (*varied*; None: all)."""
    parts = []
    for source in condition.sources:
        found = events[source.folder, source.sample]
        weight, entry = conditions.weights(source, events, settings.regions), found.columns["entry"]
        chosen = weight != 0
        if varied is not None:
            chosen &= (seeds.uniform(entry, SIDE) < 0.5) == varied
        features = np.column_stack([found.columns[name][chosen] for name in settings.features])
        parts.append(Side(features, weight[chosen], seeds.uniform(entry[chosen], TEST) < 0.5))
    return Side(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _row(name: str, variation: str, z: float, told: Told | None, settings: VisibilitySettings) -> dict[str, Any]:
    found = dict.fromkeys(COLUMNS) | {"name": name, "variation": variation, "z": z}
    if told is None:
        return found
    feature = None if told.feature is None else settings.features[told.feature]
    numbers = {"auc": told.auc, "error": told.error, "significance": (told.auc - 0.5) / told.error}
    return found | numbers | {"feature": feature}
