"""What every classifier knows: separation, over-training and calibration, from fine histograms of its scores.

A network is held out from the events that it scores for the templates; its answers about those that it saw in training
are other events of the same kind, so that the two are independent samples.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.comparison.trainings import Run
from nuisflow.events import scored_events
from nuisflow.learning import batches, isotonic
from nuisflow.slices.review import JudgementSettings
from nuisflow.storage import event_files
from nuisflow.strategies import metrics

Score = Callable[[Mapping[str, np.ndarray]], np.ndarray]
Row = dict[str, Any]
BINS = 2000
"""Bins of the score from 0 to 1: what lies in one is alike."""
SEEN = 20_000
"""Training events of a sample at most whose scores are compared, at equal distances in its file."""
PERMUTED = 5_000
"""Events of a sample at most with which the importance of features is found."""
SHOWN, CURVE, RELIABLE = 25, 100, 20
"""Bins of the distributions, points of a ROC curve, and bins of a reliability diagram."""
BOOTSTRAPS = 500
FEWEST = 10
"""Effective events of a bin from which its share of signal is shown: that of one event is 0 or 1."""
BACKGROUND, SIGNAL = 0, 1


class Scores(NamedTuple):
    """Sums of weights and of their squares of the scores of all events, each of shape (folds, 2, BINS)."""

    weights: np.ndarray
    squares: np.ndarray

    @classmethod
    def empty(cls, folds: int) -> "Scores":
        """Return the scores of no events."""
        return cls(np.zeros((folds, 2, BINS)), np.zeros((folds, 2, BINS)))

    def add(self, fold: np.ndarray, signal: bool, score: np.ndarray, weight: np.ndarray) -> None:
        """Add events of signal or background that the networks of *fold* score."""
        place = fold * BINS + np.clip((score * BINS).astype(np.int64), 0, BINS - 1)
        size = len(self.weights) * BINS
        for sums, values in ((self.weights, weight), (self.squares, weight**2)):
            sums[:, int(signal)] += np.bincount(place, values, size).reshape(-1, BINS)


# --- scores ---------------------------------------------------------------------------------------------------------


def held_out(
    scores: Path,
    events: Mapping[str, Path],
    settings: JudgementSettings,
    undo: Sequence[isotonic.Calibration | None] | None = None,
) -> Scores:
    """Return the scores by networks that have not seen the nominal *events* (by sample), as in the templates.

    *undo*: the calibrations of all folds, if the scores before them are asked for.
    """
    found = Scores.empty(settings.folds)
    variations, samples = (event_files.texts(scores, name) for name in ("variation", "sample"))
    blocks = scored_events.blocks(scores, variations, samples)
    regions = scored_events.Regions(settings.regions, settings.scored)
    for sample, process in settings.samples.items():
        part = scored_events.part(events[sample], scores, blocks)
        for region, rows in scored_events.rows(part, regions, ("entry",)):
            if region in settings.scored:
                fold = batches.fold(rows["entry"], settings.folds)
                values = rows["value"] if undo is None else _uncalibrated(rows["value"], fold, undo)
                found.add(fold, process == settings.signal, values, rows["weight"])
    return found


def _uncalibrated(
    values: np.ndarray, fold: np.ndarray, calibrations: Sequence[isotonic.Calibration | None]
) -> np.ndarray:
    """Return what the scores *values* of events of *fold* were before their calibration."""
    found = values.copy()
    for number, calibration in enumerate(calibrations):
        if calibration is not None:
            found[fold == number] = calibration.undone(values[fold == number])
    return found


def seen(score: Score, features: Sequence[str], events: Mapping[str, Path], settings: JudgementSettings) -> Scores:
    """Return the scores by the networks that were trained on these events; *score* gives those of the other network.

    Events of fold k are asked of the network of the next fold, which is trained on fold k but its validation events.
    """
    found = Scores.empty(settings.folds)
    for sample in settings.trained:
        for rows in _some(events[sample], features, settings, SEEN, trained=True):
            other = rows["entry"] + 1
            values = score({name: rows[name] for name in features} | {"entry": other})
            signal = settings.samples[sample] == settings.signal
            found.add(batches.fold(other, settings.folds), signal, values, rows["weight"])
    return found


def importance(
    score: Score, features: Sequence[str], events: Mapping[str, Path], settings: JudgementSettings
) -> dict[str, float]:
    """Return how much of the AUC of held-out events is lost when the values of one feature are those of other events.

    Permutation importance (L. Breiman, doi:10.1023/A:1010933404324); the permutations are the same for all trainings.
    Empty without signal or background.
    """
    parts = [
        rows | {"signal": np.full(len(rows["entry"]), process == settings.signal)}
        for sample, process in settings.samples.items()
        for rows in _some(events[sample], features, settings, PERMUTED, trained=False)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    if not len(columns.get("entry", ())):
        return {}

    def area(changed: Mapping[str, np.ndarray]) -> float:
        return metrics.area_under_curve(score({**columns, **changed}), columns["signal"], columns["weight"])

    whole = area({})
    if math.isnan(whole):
        return {}
    size = len(columns["entry"])
    orders = {name: seeds.generator(settings.seed, "importance", name).permutation(size) for name in features}
    return {name: whole - area({name: columns[name][order]}) for name, order in orders.items()}


def _some(
    path: Path, features: Sequence[str], settings: JudgementSettings, most: int, *, trained: bool
) -> Iterator[dict[str, np.ndarray]]:
    """Yield *most* events or fewer, with weights for all; *trained*: only those that networks were trained on."""
    step, row = max(1, -(-event_files.count_rows(path) // most)), 0
    scored = [settings.regions.index(name) for name in settings.scored]
    for columns in event_files.read_event_parts(path, ("entry", "weight", *features), {"region": settings.regions}):
        chosen = np.isin(columns["region"], scored)
        chosen &= (np.arange(row, row + len(chosen)) % step) == 0
        if trained:
            chosen &= ~batches.is_validation(columns["entry"], settings.validation_fraction)
        row += len(chosen)
        few = {name: values[chosen] for name, values in columns.items()}
        yield few | {"weight": few["weight"] * step}


# --- numbers --------------------------------------------------------------------------------------------------------


def judge(
    run: Run, held: Scores, trained: Scores | None, settings: JudgementSettings, uncalibrated: Scores | None = None
) -> tuple[list[Row], Row]:
    """Return one row per network of *run*, and its curves; *trained*: scores of training events, if it learns.

    *uncalibrated*: the scores before their calibration, if the training has one.
    """
    rows = []
    for fold in range(settings.folds):
        row: Row = {"training": run.training, "seed": run.seed, "fold": fold + 1, "auc": auc(held.weights[fold])}
        row["auc_trained"] = None if trained is None else auc(trained.weights[fold])
        for label, name in ((SIGNAL, "signal"), (BACKGROUND, "background")):
            found = None if trained is None else kolmogorov(held, trained, fold, label)
            row |= {f"ks_{name}": found and found[0], f"p_value_{name}": found and found[1]}
        rows.append(row)
    generator = seeds.generator(settings.seed, "reliability", run.training, run.seed)
    calibration = reliability(held, generator, uncalibrated)
    curves = {
        "training": run.training,
        "seed": run.seed,
        "auc": auc(held.weights.sum(axis=0)),
        "roc": roc(held.weights.sum(axis=0)),
        "networks": [
            {"held_out": roc(held.weights[fold]), "seen": None if trained is None else roc(trained.weights[fold])}
            for fold in range(settings.folds)
        ],
        "held_out": densities(held),
        "trained": None if trained is None else densities(trained),
        **calibration,
    }
    return rows, curves


def auc(weights: np.ndarray) -> float | None:
    """Return the area under the ROC curve of scores of background and signal, shape (2, BINS); None without either."""
    background, signal = weights
    if not (signal.sum() > 0 and background.sum() > 0):
        return None
    return metrics.area_of_bins(signal, background)


def roc(weights: np.ndarray) -> list[list[float]] | None:
    """Return efficiencies of background and signal above `CURVE` cuts, from 0 to 1."""
    totals = weights.sum(axis=1)
    if not np.all(totals > 0):
        return None
    above = np.concatenate([np.zeros((2, 1)), np.cumsum(weights[:, ::-1], axis=1)], axis=1) / totals[:, None]
    places = np.unique(np.searchsorted(above[SIGNAL], np.linspace(0, 1, CURVE)).clip(0, BINS))
    places = np.union1d(places, [0, BINS])
    return [[float(above[label, place]) for place in places] for label in (BACKGROUND, SIGNAL)]


def kolmogorov(held: Scores, trained: Scores, fold: int, label: int) -> tuple[float, float] | None:
    """Return the largest distance of the distributions of one network, and its p-value for weighted events.

    Effective numbers of events (sum w)^2 / sum w^2 take the place of those of events; the approximation is that of
    M. A. Stephens (J. R. Stat. Soc. B 32, 115). None where there are no events.
    """
    from scipy import special

    contents, sizes = [], []
    for scores in (held, trained):
        weights, squares = scores.weights[fold, label], scores.squares[fold, label].sum()
        if not weights.sum() > 0:
            return None
        contents.append(np.cumsum(weights) / weights.sum())
        sizes.append(weights.sum() ** 2 / squares)
    distance = float(np.abs(contents[0] - contents[1]).max())
    size = math.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    return distance, float(special.kolmogorov((size + 0.12 + 0.11 / size) * distance))


def densities(scores: Scores) -> list[list[list[float]]]:
    """Return shares of events in `SHOWN` bins and their errors: background and signal, each [shares, errors]."""
    found = []
    for label in (BACKGROUND, SIGNAL):
        weights, squares = (one[:, label].sum(axis=0).reshape(SHOWN, -1).sum(axis=1) for one in scores)
        total = weights.sum() if weights.sum() > 0 else 1.0
        found.append([(weights / total).tolist(), (np.sqrt(squares) / total).tolist()])
    return found


# --- calibration ----------------------------------------------------------------------------------------------------


def reliability(scores: Scores, generator: np.random.Generator, uncalibrated: Scores | None = None) -> Row:
    """Return the reliability of scores as probabilities of signal in an equal mixture, before and after calibration.

    ``ece``: the expected calibration error, the mean distance of the share of signal to the score, with its 68 % band
    by bootstrap (every event a Poisson number of times; sums of many are Gaussian), and ``ece_expected``, what a
    perfect calibration would show by fluctuations. Calibrated scores are the *scores* themselves where these
    are calibrated (``calibrated``), from *uncalibrated* ones, else those of the isotonic regression of the other folds.
    """
    used = uncalibrated is not None
    balanced = _balanced(scores if uncalibrated is None else uncalibrated)
    if balanced is None:
        return {"calibrated": used, "ece": None, "ece_calibrated": None, "points": None, "points_calibrated": None}
    centres = (np.arange(BINS) + 0.5) / BINS
    own = np.broadcast_to(centres, (len(balanced.weights), BINS))
    before = _points(balanced, own)
    after = _points(_balanced(scores) or balanced, own) if used else _points(balanced, _calibrated(balanced, centres))
    error = float(_error(before.signal, before.background, before.score))
    varied, perfect = _band(before, generator)
    low, high = np.quantile(varied, [0.158655, 0.841345])
    return {
        "calibrated": used,
        "ece": error,
        "ece_low": max(2 * error - float(high), 0.0),  # fluctuations add to it: the basic bootstrap takes them off
        "ece_high": max(2 * error - float(low), error),
        "ece_expected": float(np.mean(perfect)),
        "ece_calibrated": _error(after.signal, after.background, after.score),
        "points": before.plain(),
        "points_calibrated": after.plain(),
    }


def _balanced(scores: Scores) -> Scores | None:
    """Return scores with the same sum of weights of signal and background; None without either."""
    totals = scores.weights.sum(axis=(0, 2))
    if not np.all(totals > 0):
        return None
    return Scores(scores.weights / totals[:, None], scores.squares / totals[:, None] ** 2)


class Points(NamedTuple):
    """Bins of a reliability diagram: mean score, sums of weights and variances of signal and of background."""

    score: np.ndarray
    signal: np.ndarray
    background: np.ndarray
    signal_variance: np.ndarray
    background_variance: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """The error of the share of signal in every bin."""
        total = self.signal + self.background
        both = self.signal**2 * self.background_variance + self.background**2 * self.signal_variance
        return np.asarray(np.sqrt(both) / np.where(total > 0, total, 1.0) ** 2)

    def plain(self) -> list[list[float]]:
        """Return score, share of signal and its error of all bins with at least `FEWEST` effective events."""
        total, variance = self.signal + self.background, self.signal_variance + self.background_variance
        filled = (total > 0) & (total**2 >= FEWEST * variance)
        share = self.signal[filled] / total[filled]
        return [self.score[filled].tolist(), share.tolist(), self.error[filled].tolist()]


def _points(scores: Scores, values: np.ndarray) -> Points:
    """Return the reliability diagram of *values* that the score stands for, shape (folds, BINS)."""
    place = np.minimum((values * RELIABLE).astype(np.int64), RELIABLE - 1).ravel()

    def summed(contents: np.ndarray) -> np.ndarray:
        return np.bincount(place, contents.ravel(), RELIABLE)

    total = np.maximum(scores.weights.sum(axis=1), 0)
    weight = summed(total)
    mean = summed(total * values) / np.where(weight > 0, weight, 1.0)
    signal, background = (np.maximum(summed(scores.weights[:, label]), 0) for label in (SIGNAL, BACKGROUND))
    return Points(mean, signal, background, *(summed(scores.squares[:, label]) for label in (SIGNAL, BACKGROUND)))


def _error(signal: np.ndarray, background: np.ndarray, score: np.ndarray) -> Any:
    """Return the expected calibration error, along the last axis; 0 of no events."""
    total = signal + background
    safe, every = np.where(total > 0, total, 1.0), total.sum(axis=-1)
    return np.sum(np.abs(signal - score * safe) * (total > 0), axis=-1) / np.where(every > 0, every, 1.0)


def _band(points: Points, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return calibration errors of bootstrap samples, and those around a perfect calibration."""
    noise = generator.standard_normal((2, BOOTSTRAPS, RELIABLE))
    errors = np.sqrt([points.signal_variance, points.background_variance])[:, None] * noise
    both = points.signal + points.background
    found = []
    for signal, background in ((points.signal, points.background), (both * points.score, both * (1 - points.score))):
        varied = [np.maximum(one + error, 0) for one, error in zip((signal, background), errors, strict=True)]
        sums = [one.sum(axis=1, keepdims=True) for one in varied]  # of equal weight in every sample that is not empty
        first, second = (one / np.where(total > 0, total, 1.0) for one, total in zip(varied, sums, strict=True))
        found.append(_error(first, second, points.score))
    return found[0], found[1]


def _calibrated(scores: Scores, centres: np.ndarray) -> np.ndarray:
    """Return what the score of every fold stands for by the isotonic regression of the other folds."""
    everything = np.maximum(scores.weights, 0)
    found = []
    for fold in range(len(everything)):
        background, signal = everything.sum(axis=0) - everything[fold]
        total = background + signal
        filled = np.flatnonzero(total > 0)
        if not len(filled):
            found.append(centres)
            continue
        steps = isotonic.regression(signal[filled] / total[filled], total[filled])
        found.append(np.interp(centres, centres[filled], steps))
    return np.array(found)
