"""Files that are slow to read in pieces, read once: published text files, and the user's CSV files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from nuisflow import datasets, files, seeds, slices

Columns = dict[str, np.ndarray]
ROWS = 100_000


def convert(paths: Sequence[Path], settings: slices.Conversion) -> Iterator[Columns]:
    """Yield the rows of *paths* that belong to the sample of *settings*, in their order, in pieces."""
    module = datasets.MODULES[settings.dataset.kind]
    generator = seeds.generator(settings.seed, "convert_events", settings.sample)
    wanted = getattr(module, "RAW", None) or datasets.raw_columns(settings.dataset)
    rows = 0
    for path in paths:
        for columns in files.iterate_rows(path, wanted, ROWS, getattr(module, "TEXT", None), _tree(settings)):
            if hasattr(module, "convert"):
                columns = module.convert(columns, settings.process, generator)
            rows += len(next(iter(columns.values())))
            yield columns
    if not rows:
        raise files.FileError(f"{', '.join(map(str, paths))}: no events; an empty sample cannot be used")


def _tree(settings: slices.Conversion) -> str:
    return getattr(settings.dataset, "tree", files.TREE)
