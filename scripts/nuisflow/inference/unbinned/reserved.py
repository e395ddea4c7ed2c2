"""Pseudo-experiments of reserved events, fitted one event at a time; what is drawn is that of `inference.bootstrap`."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.events import parallel
from nuisflow.events.scored_events import TemplateError, snapped
from nuisflow.events.selection import chunks
from nuisflow.inference import bootstrap
from nuisflow.inference.bootstrap import FITTED, Block, Columns, Truth
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import batches
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.kernels import density_fits
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.settings.configuration import Dask
from nuisflow.slices.bootstrap import BootstrapSettings
from nuisflow.slices.events import EventSelection
from nuisflow.templates import conditional
from nuisflow.templates.histograms import Histogram

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier

MEMORY = 100_000_000
"""Bytes of events of pseudo-experiments that are drawn together."""
PRECISION = 1e-3
"""Of the ends of intervals, in standard deviations."""


class Judge(NamedTuple):
    """What tells events apart: densities, and *edges* (None without bins) and *first* bin of every region."""

    classifier: "Classifier"
    edges: tuple[np.ndarray | None, ...]
    first: tuple[int, ...]
    size: int


class Drawn(NamedTuple):
    """Events of pseudo-experiments: *row* of each, how often it occurs, fold, values; *counts* (rows, bins)."""

    row: Integers
    number: Floats
    fold: Integers
    values: Floats
    counts: Floats


def judge(
    classifier: "Classifier", templates: Mapping[str, Histogram], model: UnbinnedModel, chosen: EventSelection
) -> Judge:
    """Return what judges events whose regions are numbered by the selection *chosen*."""
    known, places, first = conditional.edges(templates), {}, 0
    for region in model.description["binned"]:
        places[region["region"]] = first
        first += len(region["shares"])
    edges = tuple(known[name] if name in places else None for name in chosen.regions)
    return Judge(classifier, edges, tuple(places.get(name, 0) for name in chosen.regions), first)


def measure(
    ingested: Mapping[str, Path], judge: Judge, model: UnbinnedModel, settings: BootstrapSettings, dask: Dask
) -> pd.DataFrame:
    """Return best fit and interval of what the reserved events expect, and of every pseudo-experiment: `FITTED`.

    The auxiliary data are nominal. Experiments are drawn in groups that fit into memory; which are together changes
    nothing, since random numbers are those of an experiment and a block of rows.
    """
    blocks = [
        Block(sample, chunk)
        for sample in settings.samples
        for chunk in chunks(ingested[sample], bootstrap.BLOCK, settings.events.rows)
    ]
    listed = bootstrap.truths(settings)
    size = int(MEMORY / (8 * model.outputs * max(model.expected(model.inits).sum(), 1))) or 1
    rows = []
    for group in [[], *(listed[start : start + size] for start in range(0, len(listed), size))]:
        work = functools.partial(draw, truths=group, judge=judge, settings=settings)
        parts = list(parallel.ordered_map(work, blocks, dask))
        rows += [_fitted(model, data) for data in _data(model, parts)]
    values = np.array(rows)
    good = np.isfinite(values).all(axis=1)
    values[~good] = np.nan
    return pd.DataFrame(dict(zip(FITTED, values.T, strict=True)) | {"converged": good})


def _data(model: UnbinnedModel, parts: Sequence[Drawn]) -> Iterator[Data]:
    """Yield the data of every pseudo-experiment that the *parts* of all blocks make."""
    joined, counts = _together(parts), np.sum([part.counts for part in parts], axis=0)
    order = np.argsort(joined.row, kind="stable")
    ends = np.searchsorted(joined.row[order], np.arange(len(counts) + 1))
    for (start, stop), of_bins in zip(itertools.pairwise(ends), counts, strict=True):
        mine = order[start:stop]
        yield model.data(joined.number[mine], joined.values[mine], joined.fold[mine], counts=of_bins)


def _together(parts: Sequence[Drawn]) -> Drawn:
    """Return the events of all *parts*; the counts are those of the first."""
    row, number, fold, values = (
        np.concatenate([part[index] for part in parts]) for index in range(len(Drawn._fields) - 1)
    )
    return Drawn(row, number, fold, values, parts[0].counts)


def draw(block: Block, truths: Sequence[Truth], judge: Judge, settings: BootstrapSettings) -> Drawn:
    """Return what one block gives to every pseudo-experiment; without *truths*, its nominal events."""
    import torch

    torch.set_num_threads(1)  # jobs and workers run side by side; the setting holds for one thread
    first, width = int(bool(truths)), judge.classifier.strategy.outputs  # type: ignore[attr-defined]
    rows, counts = max(len(truths), 1), np.zeros(max(len(truths), 1) * judge.size)
    found = [Drawn(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros((0, width), np.float32), counts)]
    wanted = (part for part in bootstrap.thrown(block, truths, settings) if part[0] >= first)
    for group in bootstrap.batches(wanted):
        columns = {name: np.concatenate([part[name] for _, part, _ in group]) for name in group[0][1]}
        row = np.repeat([index - first for index, _, _ in group], [len(number) for _, _, number in group])
        number = np.concatenate([number for _, _, number in group]).astype(np.float64)
        for region, (lines, start) in enumerate(zip(judge.edges, judge.first, strict=True)):
            inside = columns["region"] == region
            if lines is not None:
                values = snapped(columns["observable"][inside].astype(np.float64), lines)
                place = start + np.searchsorted(lines[1:-1], values, side="right")
                counts += np.bincount(row[inside] * judge.size + place, number[inside], len(counts))
        found.append(_judged(columns, row, number, judge, counts))
    return _together(found)._replace(counts=counts.reshape(rows, judge.size))


def _judged(columns: Columns, row: Integers, number: Floats, judge: Judge, counts: Floats) -> Drawn:
    """Return the events of regions without bins with their densities."""
    inside = np.array([lines is None for lines in judge.edges])[columns["region"]]
    names = ("entry", *judge.classifier.features)
    values = judge.classifier.densities({name: columns[name][inside] for name in names})
    if not np.isfinite(values).all():
        raise TemplateError("toys.bootstrap: the density of some reserved events is NaN or infinite; train again")
    fold = batches.fold(columns["entry"][inside], len(judge.classifier.folds))
    return Drawn(row[inside], number[inside], fold, values, counts)


def _fitted(model: UnbinnedModel, data: Data) -> tuple[float, float, float]:
    """Return best fit and interval; NaN where there are none."""
    best, _, low, high, _, end, flag = model.experiment(data, model.inits, PRECISION)
    good = end == density_fits.CONVERGED and flag != density_fits.LOST
    return (best, low, high) if good else (np.nan, np.nan, np.nan)
