"""How well trainings separate signal and background: the area under the ROC curve of all their scores."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow.events import scored_events
from nuisflow.slices.report import ComparisonSettings
from nuisflow.storage import event_files
from nuisflow.strategies import metrics

NOMINAL = "nominal"
EXACT = 2_000_000
"""Events up to which every pair of a signal and a background event is compared: some 100 MB."""
BINS = 1 << 20
"""Bins of the score for more events than that: 32 MB."""


class Pairs(NamedTuple):
    """Events of one class: scores from 0 to 1, expected events that each stands for, and whether they are signal."""

    scores: np.ndarray
    weights: np.ndarray
    signal: bool


class Area(NamedTuple):
    """The area under a ROC curve, and how far it is from the exact one at most."""

    value: float
    error: float


def auc(scores: Path, events: Mapping[str, Path], settings: ComparisonSettings) -> float:
    """Return the area under the ROC curve of signal against all backgrounds, with their expected yields as weights.

    *events*: the nominal events of every sample. Those of all regions whose observable is the score enter; nan where
    there are none. More than `EXACT` events are binned, so that memory does not grow with them.
    """
    variations, samples = (event_files.texts(scores, name) for name in ("variation", "sample"))
    blocks = scored_events.blocks(scores, variations, samples)
    parts = {sample: scored_events.part(events[sample], scores, blocks) for sample in settings.samples}
    if sum(part.stop - part.start for part in parts.values()) <= EXACT:
        return _either_way(exact(_pairs(parts, settings)))
    area = binned(_pairs(parts, settings))
    logging.getLogger(__name__).info(
        "%s: more than %d events; their AUC from %d bins is %.6f, at most %.1g from the exact one",
        *(scores, EXACT, BINS, *area),
    )
    return _either_way(area.value)


def _either_way(area: float) -> float:
    """Return the area in the direction that separates: a histogram does not mind which values the signal has."""
    return max(area, 1 - area)


def _pairs(parts: Mapping[str, scored_events.Part], settings: ComparisonSettings) -> Iterator[Pairs]:
    """Yield the events of all scored regions, sample after sample, piece by piece."""
    regions = scored_events.Regions(settings.regions, settings.scored)
    for sample, part in parts.items():
        for region, rows in scored_events.rows(part, regions):
            if region in settings.scored:
                yield Pairs(rows["value"], rows["weight"], settings.samples[sample] == settings.signal)


def exact(parts: Iterable[Pairs]) -> float:
    """Return the area under the ROC curve of all *parts* together, which are held in memory."""
    held = list(parts)
    if not held:
        return np.nan
    labels = [np.full(len(part.scores), part.signal) for part in held]
    return metrics.area_under_curve(
        np.concatenate([part.scores for part in held]),
        np.concatenate(labels),
        np.concatenate([part.weights for part in held]),
    )


def binned(parts: Iterable[Pairs], bins: int = BINS) -> Area:
    """Return the area under the ROC curve of all *parts*, whose scores are known to one of *bins* of equal width.

    Pairs of events in one bin count half, as ties do: the error is at most half of what all such pairs weigh.
    """
    contents, sizes = np.zeros((2, bins)), np.zeros((2, bins))  # sums of weights, and of their absolute values
    for part in parts:
        index = np.minimum((part.scores * bins).astype(np.int64), bins - 1)
        np.add.at(contents[int(part.signal)], index, part.weights)
        np.add.at(sizes[int(part.signal)], index, np.abs(part.weights))
    background, signal = contents
    if not (signal.sum() > 0 and background.sum() > 0):
        return Area(np.nan, np.nan)
    error = 0.5 * sizes[0] @ sizes[1] / (signal.sum() * background.sum())
    return Area(metrics.area_of_bins(signal, background), float(error))
