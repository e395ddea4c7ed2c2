"""Conformal prediction: sets of classes with a stated confidence, and how often they hold under every condition.

Calibrated with one half of the nominal events, the sets contain the true class of other nominal events as often as was
stated, whatever the classifier. They need not do so where nature is elsewhere: what is lost is domain shift, as this
classifier sees it. Score and sets are those of an equal mixture of the classes (Vovk, Gammerman and Shafer,
doi:10.1007/b106715; Sadinle, Lei and Wasserman, arXiv:1609.00451).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.comparison.review import LEVEL, conditions
from nuisflow.comparison.review.conditions import Key, Taken
from nuisflow.comparison.trainings import Run
from nuisflow.events import scored_events
from nuisflow.slices.review import NOMINAL, ConformalSettings, Source
from nuisflow.storage import event_files

BINS = 1000
"""Bins of the score, from 0 to 1: a set is the same for all events in one."""
MOST, ALL = 50_000, 10_000_000
"""Events of a file at most, and of all files: they are held in memory."""
DRAWS = 20_000
"""Events at most that stand for the weighted ones in calibration."""
FEWEST = 10
"""Effective events of every class from which sets are calibrated."""
HALF = 1 << 42
"""Key of the hashes that choose the half for calibration."""
CLASSES = ("background", "signal")
COLUMNS = (
    *("training", "seed", "variation", "point", "z", "coverage", "coverage_error", "coverage_background"),
    *("coverage_signal", "size", "all", "empty", "threshold"),
)


class Classes(NamedTuple):
    """Sums of weights and of their squares of binned scores, each of shape (items, classes): background and signal."""

    weights: np.ndarray
    squares: np.ndarray

    @property
    def effective(self) -> np.ndarray:
        """The effective number of events of every class."""
        squares = self.squares.sum(axis=0)
        return np.asarray(self.weights.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1))


# --- sets -----------------------------------------------------------------------------------------------------------


def sets(calibration: np.ndarray, probabilities: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return which classes are in the prediction set of every item, shape (items, classes).

    *calibration*: weights of calibration events of every class, shape (items, classes); *probabilities* likewise. MAPIE
    has no weights in split-conformal calibration: it is given *draws* events in proportion to them, by systematic
    resampling (Kitagawa, doi:10.1080/10618600.1996.10474692), whose quantiles are the weighted ones to 1 / *draws*.
    """
    from mapie.classification import SplitConformalClassifier

    number = resampled(np.maximum(calibration, 0).ravel(), draws, generator)
    items, labels = np.divmod(np.repeat(np.arange(calibration.size), number), calibration.shape[1])
    asked = SplitConformalClassifier(_known(calibration.shape[1]), confidence_level=LEVEL, conformity_score="lac")
    asked.conformalize(probabilities[items], labels)
    return np.asarray(asked.predict_set(probabilities)[1][:, :, 0], dtype=bool)


def resampled(weights: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return how often each of *weights* is drawn, *draws* times in all: its share of them, rounded up or down."""
    ends = np.cumsum(weights) / weights.sum() * draws
    ends[-1] = draws
    return np.asarray(np.diff(np.floor(ends + generator.uniform()), prepend=0).astype(np.int64))


def _known(classes: int) -> Any:
    """Return a classifier, as scikit-learn has them, that is asked with probabilities and answers with them."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Known(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def __init__(self) -> None:
            self.classes_ = np.arange(classes)

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict_proba(self, given: np.ndarray) -> np.ndarray:
            return given

        def predict(self, given: np.ndarray) -> np.ndarray:
            return np.asarray(np.asarray(given).argmax(axis=1))

    return Known()


def held(contained: np.ndarray, events: Classes, calibrated: float) -> dict[str, Any] | None:
    """Return how often sets contain the class of *events*, all classes of equal weight, and how large they are.

    *calibrated*: effective events of the calibration, whose fluctuation is part of the error. None without events of
    some class.
    """
    total = events.weights.sum(axis=0)
    if not np.all(total > 0):
        return None
    shares = events.weights / total
    right = np.sum(shares * contained, axis=0)
    mixed = shares.mean(axis=1)
    size = contained.sum(axis=1)
    variance = np.sum(np.clip(right * (1 - right), 0, None) / np.maximum(events.effective, 1)) / len(right) ** 2
    return {
        "coverage": float(right.mean()),
        "coverage_error": float(np.sqrt(variance + LEVEL * (1 - LEVEL) / calibrated)),
        **{f"coverage_{name}": float(value) for name, value in zip(CLASSES, right, strict=True)},
        "size": float(mixed @ size),
        "all": float(mixed[size == len(right)].sum()),
        "empty": float(mixed[size == 0].sum()),
    }


# --- events ---------------------------------------------------------------------------------------------------------


def taken(paths: Mapping[Key, Path], settings: ConformalSettings) -> dict[Key, Taken]:
    """Return the events of all conditions, some of every file; trainings share them."""
    sources = [source for one in settings.conditions.values() for source in one.sources]
    most = min(MOST, ALL // len(paths))  # the same of all: rows of nominal and reweighted events must agree
    return {
        key: conditions.take(path, conditions.factors(sources, key), settings.regions, most)
        for key, path in paths.items()
    }


def rows(
    run: Run, scores: Path, displaced: Path | None, events: Mapping[Key, Taken], settings: ConformalSettings
) -> Iterator[dict[str, Any]]:
    """Yield what sets of one training do under every condition; nothing where a class has no events."""
    known = _binned(scores, displaced, events, settings)
    calibration = _classes(NOMINAL, known, settings, calibrate=True)
    if min(calibration.effective) < FEWEST:
        return
    centres = (np.arange(BINS) + 0.5) / BINS
    probabilities = np.stack([1 - centres, centres], axis=1)
    number = len(CLASSES) ** 2 / np.sum(
        1 / calibration.effective
    )  # of the mixture, in which all classes weigh the same
    generator = seeds.generator(settings.seed, "conformal", run.training, run.seed)
    balanced = calibration.weights / calibration.weights.sum(axis=0)
    contained = sets(balanced, probabilities, int(min(DRAWS, number)), generator)
    lowest = float(probabilities[contained].min(initial=1.0))
    for name, condition in settings.conditions.items():
        found = held(contained, _classes(name, known, settings, calibrate=False), number)
        if found is not None:
            place = {"variation": condition.variation, "point": name, "z": condition.z}
            yield run._asdict() | place | found | {"threshold": lowest}


def _binned(
    scores: Path, displaced: Path | None, events: Mapping[Key, Taken], settings: ConformalSettings
) -> dict[Source, np.ndarray]:
    """Return sums of weights and of their squares of the binned scores of both halves, of every source at scale 1.

    Each of shape (2 sums, 2 halves, BINS); the second half is for calibration.
    """
    places: dict[Key, tuple[Path, tuple[int, int]]] = {}
    for path in (scores, *([displaced] if displaced else [])):
        names = [event_files.texts(path, column) for column in ("variation", "sample")]
        places |= {key: (path, block) for key, block in scored_events.blocks(path, *names).items()}
    found: dict[Source, np.ndarray] = {}
    bins: dict[Key, np.ndarray] = {}
    for source in dict.fromkeys(_unscaled(source) for one in settings.conditions.values() for source in one.sources):
        key = (source.scored_as, source.sample)
        if key not in bins:
            path, (start, stop) = places[key]
            values = event_files.read_rows(path, ["score"], start, stop)["score"][events[key].rows]
            bins[key] = np.clip((values * BINS).astype(np.int64), 0, BINS - 1)
        weight = conditions.weights(source, events, settings.regions)
        half = seeds.uniform(events[source.folder, source.sample].columns["entry"], HALF) < 0.5
        place = bins[key] + BINS * half
        found[source] = np.stack([np.bincount(place, one, 2 * BINS).reshape(2, BINS) for one in (weight, weight**2)])
    return found


def _unscaled(source: Source) -> Source:
    return source.model_copy(update={"scale": 1.0})


def _classes(
    name: str, binned: Mapping[Source, np.ndarray], settings: ConformalSettings, *, calibrate: bool
) -> Classes:
    """Return the binned scores of one half of the events of a condition: that for calibration, or the other."""
    sums = np.zeros((2, BINS, len(CLASSES)))
    for source in settings.conditions[name].sources:
        label = int(settings.samples[source.sample] == settings.signal)
        weights, squares = binned[_unscaled(source)][:, int(calibrate)]
        sums[0, :, label] += source.scale * weights
        sums[1, :, label] += source.scale**2 * squares
    return Classes(*sums)
