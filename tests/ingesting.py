"""Columnar files for tests, made of columns or, as the workflow does, of files."""

from pathlib import Path

import numpy as np

from nuisflow import datasets
from nuisflow.events import ingestion, selection
from nuisflow.slices.events import Ingestion, Origin
from nuisflow.storage import ingested
from nuisflow.storage.event_files import TREE


def of_columns(path, columns):
    """Write *columns* as a sample; return where."""
    ingested.write(path, [columns])
    return path


def of_table(path, table):
    """Write a table as a sample; return where."""
    return of_columns(path, {name: table[name].to_numpy() for name in table})


def of_files(paths, dataset, output=None, *, simulated=True):
    """Ingest *paths* as one sample of the section *dataset* with all its columns; return where."""
    columns = datasets.raw_columns(dataset) if simulated else datasets.measured_columns(dataset)
    origin = Origin(kind=dataset.kind, tree=getattr(dataset, "tree", TREE))
    output = output or Path(paths[0]).with_suffix(".arrow")
    ingestion.ingest(paths, output, Ingestion(origin=origin, sample="s", columns=columns, declared=columns))
    return output


def whole(path, names=None):
    """Return all rows of a columnar file."""
    table = ingested.open(path)
    return table.read(names or list(table.columns))


def load(path, chosen, sample, size=500_000):
    """Return all columns of a sample in the file *path*, and ``entry``."""
    chunks = selection.chunks(path, size, selection.part_of(chosen, sample))
    loaded = [selection.read(chunk, chosen, sample) for chunk in chunks]
    return {name: np.concatenate([columns[name] for columns in loaded]) for name in loaded[0]}
