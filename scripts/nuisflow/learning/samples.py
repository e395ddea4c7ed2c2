"""Raw events of one sample, of which training reads any rows at a time: from a file, or held in memory."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nuisflow import expressions
from nuisflow.events import parts, selection
from nuisflow.settings.configuration import Sample
from nuisflow.slices.events import EventSelection
from nuisflow.storage import event_files, ingested

Columns = dict[str, np.ndarray]

PIECE = 1_000_000
"""Rows whose numbers are looked at together: 8 MB per array; a multiple of 8."""
READ = 200_000
"""Rows whose columns are read together; a multiple of 8."""


class Source(Protocol):
    """The raw events of one sample."""

    @property
    def size(self) -> int:
        """The number of events."""
        ...

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row and ``entry`` of all events in order, at most `PIECE` at a time."""
        ...

    def take(self, rows: np.ndarray) -> Columns:
        """Return all columns and ``entry`` of some *rows*, which ascend."""
        ...


class InMemory(dict[str, Any]):
    """Columns that are in memory; the row of an event is its place in them."""

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self["entry"])

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row and ``entry`` of all events in order, at most `PIECE` at a time."""
        for start in range(0, self.size, PIECE):
            entry = self["entry"][start : start + PIECE]
            yield np.arange(start, start + len(entry)), entry

    def take(self, rows: np.ndarray) -> Columns:
        """Return the columns of *rows*."""
        return {name: values[rows] for name, values in self.items()}


class Ingested:
    """Events of an ingested file, of which only the rows that are asked for are read; a row is also its ``entry``."""

    def __init__(self, path: Path, events: EventSelection, sample: Sample) -> None:
        self.table = ingested.open(path)
        self.events, self.sample = events, sample
        self.part = selection.part_of(events, sample)
        self.columns = selection.columns_of(self.table, events)

    @functools.cached_property
    def size(self) -> int:
        """The number of events."""
        return sum(len(rows) for rows, _ in self.pieces())

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row and ``entry`` of all events in order, at most `PIECE` at a time."""
        for start in range(0, self.table.rows, PIECE):
            stop = min(start + PIECE, self.table.rows)
            chosen = parts.inside(start, stop, self.part)
            if self._belonging is not None:
                bits = self._belonging[start // 8 : (start + PIECE) // 8]
                chosen &= np.unpackbits(bits, count=len(chosen)).view(bool)
            rows = start + np.flatnonzero(chosen)
            yield rows, rows

    @functools.cached_property
    def _belonging(self) -> np.ndarray | None:
        """Which rows belong to the sample, one bit each; None: all."""
        if self.sample.selection is None:
            return None
        bits = []
        for start in range(0, self.table.rows, READ):
            columns = self._read(np.arange(start, min(start + READ, self.table.rows)))
            chosen = expressions.decide(self.sample.selection, columns, f"{self.table.path}: selection of the sample")
            bits.append(np.packbits(chosen))
        return np.concatenate(bits)

    def take(self, rows: np.ndarray) -> Columns:
        """Return the columns of *rows*, with the ratios of reweighted variations."""
        columns = self._read(rows)
        for path in map(Path, self.sample.ratios):
            name = f"ratio_{path.parent.name}"
            first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
            columns[name] = event_files.read_rows(path, [name], first, last)[name][rows - first]
        return columns

    def _read(self, rows: np.ndarray) -> Columns:
        return selection.grouped(self.table.take(self.columns, rows), self.events) | {"entry": rows}


def source(columns: "Mapping[str, np.ndarray] | Source") -> Source:
    """Return *columns* as a source of events, if they are none yet."""
    return InMemory(columns) if isinstance(columns, Mapping) and not isinstance(columns, InMemory) else columns
