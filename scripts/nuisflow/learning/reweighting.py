"""Events of one sample reweighted to look like those of another: a two-point variation that is continuous.

A classifier of alternative against nominal events estimates the ratio of their densities, s / (1 - s) (Cranmer, Pavez
and Louppe, arXiv:1506.02169; for weights Andreassen and Nachman, arXiv:1907.08209). The reweighted events are the
nominal ones, so that their statistical fluctuations cancel in the difference, and every event has a weight at any z.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from nuisflow.events import selection
from nuisflow.learning.classifier import Classifier
from nuisflow.slices.reweighting import CHUNK, Reweighting
from nuisflow.storage import files

Columns = dict[str, np.ndarray]
LARGEST = 100.0
"""Ratios stay between this and one over it."""

logger = logging.getLogger(__name__)


def ratios(events: Mapping[str, Path], classifier: Classifier, settings: Reweighting) -> Iterator[Columns]:
    """Yield the column ``ratio_<variation>`` for all events of the sample of *settings*, chunk by chunk, in order.

    *events*: the ingested events of all samples that are compared. The sum of weights after reweighting is that of the
    alternative samples, as is their shape. Events that no region selects at nominal have a ratio too, as far as
    features exist, and so do rows that are not of the sample: the ratio of a row is found by its number.
    """
    scale = _scale(events, classifier, settings)
    name = f"ratio_{settings.variation}"
    own = settings.samples[settings.sample].model_copy(update={"selection": None})
    for chunk in selection.chunks(events[settings.sample], CHUNK):
        columns = selection.derived(selection.read(chunk, settings.events, own), settings.events)
        found = np.ones(len(columns["entry"]))
        known = np.all([np.isfinite(columns[feature]) for feature in settings.events.features], axis=0)
        rows = {name: values[known] for name, values in columns.items()}
        found[known] = scale * density_ratio(classifier.score(rows))
        yield {name: found.astype(np.float32)}


def density_ratio(score: np.ndarray) -> np.ndarray:
    """Return the ratio of densities that a *score* stands for, within reason."""
    odds = score.astype(np.float64) / np.maximum(1 - score.astype(np.float64), 1e-9)
    return np.asarray(np.clip(odds, 1 / LARGEST, LARGEST))


def _scale(events: Mapping[str, Path], classifier: Classifier, settings: Reweighting) -> float:
    """Return the factor on all ratios that gives the nominal events the expected number of the alternative ones."""
    before, after, wanted = 0.0, 0.0, 0.0
    for name, sample in settings.samples.items():
        for chunk in selection.chunks(events[name], CHUNK):
            chosen = selection.select(selection.read(chunk, settings.events, sample), settings.events, sample, {}, {})
            if name in settings.alternatives:
                wanted += float(chosen["weight"].sum())
            else:
                before += float(chosen["weight"].sum())
                after += float(np.dot(chosen["weight"], density_ratio(classifier.score(chosen))))
    if not (after > 0 and wanted > 0):
        raise files.FileError(
            f"variations.{settings.variation}: no expected events are selected in the nominal ({before:g}) or in the "
            f"alternative samples ({wanted:g}); nothing can be reweighted"
        )
    logger.info(
        "%s: %g expected events become %g; without the common factor %.3g they would be %g",
        settings.variation, before, wanted, wanted / after, after,
    )  # fmt: skip
    return wanted / after
