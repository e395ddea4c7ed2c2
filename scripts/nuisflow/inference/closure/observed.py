"""Observed events against those of the model at the best fit: every feature, a classifier, and ln R."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.inference.closure.differences import Sets, difference, separation
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import batches
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import event_files
from nuisflow.templates.histograms import DATA

EVENTS, MOST = 30_000, 200_000
"""Simulated events per sample, about; observed ones, at most."""
KEY = 19


class Seen(NamedTuple):
    """Events of one sample, those in the regions of single events: *weight* as if all were here."""

    entry: Integers
    weight: Floats
    features: np.ndarray
    values: Floats


def against_model(
    classifier: Classifier, events: Sequence[Path], model: UnbinnedModel, fit: Mapping[str, Any],
    settings: UnbinnedFilling,
) -> dict[str, Any]:  # fmt: skip
    """Return how observed events differ from nominal simulated ones with their response at the best fit.

    *events*: nominal files, of simulation and data; *fit*: what fit.json says of observed data. *features*, and
    *log_ratio* (ln R at the best fit): chi-squared of their shapes; *classifier*: the area under its ROC curve.
    """
    point = model.point({row["name"]: row["value"] for row in fit["parameters"]})
    first, second, features, ratios, entry = [], [], [], [], []
    for path in events:
        seen, process = _seen(path, classifier, settings), settings.samples[path.stem]
        fold = batches.fold(seen.entry, settings.folds).astype(np.int64)
        values, nothing = model.widened(seen.values), np.zeros(len(seen.entry))
        weight = seen.weight
        if process != DATA:
            index = np.full(len(fold), model.processes.index(process))
            weight = weight * model.responses(point, index, fold, values)
        order = np.argsort(fold, kind="stable")
        empty = np.zeros(len(model.bins))
        data = model.data(seen.weight[order], seen.values[order], fold[order], counts=empty)
        first.append((nothing if process == DATA else weight)[order])
        second.append((weight if process == DATA else nothing)[order])
        features.append(seen.features[order])
        ratios.append(model.log_ratio(data, point))
        entry.append(seen.entry[order])
    x = np.concatenate(features)
    sets = Sets(np.concatenate(first), np.concatenate(second), x, x, np.concatenate(entry))
    return _compared(sets, np.concatenate(ratios), settings.features)


def _compared(sets: Sets, ratios: Floats, features: Sequence[str]) -> dict[str, Any]:
    """Return all differences between the model (first) and the data (second)."""
    expected = float(sets.first.sum())
    rows = [
        {"feature": name} | difference(sets, column, column, (column, sets.second)).plain(whole=True)
        for name, column in zip(features, sets.x.T, strict=True)
    ]
    return {
        "features": sorted(rows, key=lambda row: row["p_value"]),
        "log_ratio": difference(sets, ratios, ratios, (ratios, sets.second)).plain(whole=True),
        "classifier": separation(sets, (expected, expected), tested=len(sets.entry)).plain(),
        "events": {"model": expected, "data": float(sets.second.sum())},
    }


def _seen(path: Path, classifier: Classifier, settings: UnbinnedFilling) -> Seen:
    """Return the events of a file, or a random part of them."""
    most = MOST if settings.samples[path.stem] == DATA else EVENTS
    share = min(1.0, most / max(event_files.count_rows(path), 1))
    columns, parts = ["entry", "weight", *settings.features], []
    for rows in event_files.read_event_parts(path, columns, {"region": settings.regions}):
        inside = np.isin(rows["region"], [settings.regions.index(name) for name in settings.scored])
        inside &= seeds.uniform(rows["entry"], KEY) < share
        parts.append({name: rows[name][inside] for name in columns})
    found = {name: np.concatenate([part[name] for part in parts]) for name in columns}
    features = np.stack([found[name] for name in settings.features], axis=1)
    weight = found["weight"].astype(np.float64) / share
    return Seen(found["entry"].astype(np.int64), weight, features, classifier.densities(found))
