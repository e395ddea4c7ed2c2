"""Files that are slow to read in pieces, read once: published text files, and the user's CSV files."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nuisflow import datasets, seeds
from nuisflow.settings import expressions
from nuisflow.slices.events import Conversion
from nuisflow.storage import event_files, files
from nuisflow.storage.event_files import TREE

Columns = dict[str, np.ndarray]
ROWS = 100_000

logger = logging.getLogger(__name__)


def convert(paths: Sequence[Path], settings: Conversion) -> Iterator[Columns]:
    """Yield the rows of *paths* that belong to the sample of *settings*, in their order, in pieces.

    Where the settings say how many events are expected, the weights are scaled to it, in a second pass.
    """
    scale = None if settings.expected is None else settings.expected / _total(paths, settings)
    rows = 0
    for columns in _pieces(paths, settings):
        rows += len(next(iter(columns.values())))
        yield columns if scale is None else columns | {"weight": columns["weight"] * scale}
    if not rows:
        raise files.FileError(f"{', '.join(map(str, paths))}: no events; an empty sample cannot be used")


def _pieces(paths: Sequence[Path], settings: Conversion) -> Iterator[Columns]:
    """Yield the rows of the sample; random numbers are the same in every pass."""
    module, converter = datasets.MODULES[settings.dataset.kind], datasets.converter(settings.dataset)
    generator = seeds.generator(settings.seed, "convert_events", settings.sample)
    wanted = getattr(module, "RAW", None) or datasets.raw_columns(settings.dataset)
    for path in paths:
        for columns in event_files.iterate_rows(path, wanted, ROWS, getattr(module, "TEXT", None), _tree(settings)):
            piece = columns if converter is None else converter(columns, settings.process, generator)
            if len(next(iter(piece.values()))):
                yield piece


def _total(paths: Sequence[Path], settings: Conversion) -> float:
    """Return the sum of weights of the rows that the sample selects."""
    total, rows = 0.0, 0
    for columns in _pieces(paths, settings):
        weight = columns["weight"]
        if settings.selection is not None:
            weight = weight[expressions.evaluate(settings.selection, columns).astype(bool)]
        total, rows = total + float(weight.sum()), rows + len(weight)
    logger.info("%s: %d events, sum of weights %.6g, scaled to %g", settings.sample, rows, total, settings.expected)
    if not total > 0:
        raise files.FileError(
            f"{', '.join(map(str, paths))}: the weights of the {rows} events of {settings.sample!r} add up to "
            f"{total:g}; they cannot be scaled to {settings.expected:g} expected events"
        )
    return total


def _tree(settings: Conversion) -> str:
    return getattr(settings.dataset, "tree", TREE)
