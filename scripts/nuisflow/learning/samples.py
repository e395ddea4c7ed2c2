"""Raw events of one sample, of which training reads any rows at a time: from a file, or held in memory."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from nuisflow.storage import ingested

Columns = dict[str, np.ndarray]

PIECE = 1_000_000
"""Rows whose numbers are looked at together: 8 MB per array."""


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
    """Rows of an ingested file, of which only those that are asked for are read; the row of an event is its ``entry``.

    *chosen*: which of these entries belong to the sample; default: all.
    """

    def __init__(self, table: ingested.Table, chosen: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        self.table, self.chosen = table, chosen

    @functools.cached_property
    def size(self) -> int:
        """The number of events."""
        return self.table.rows if self.chosen is None else sum(len(rows) for rows, _ in self.pieces())

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row and ``entry`` of all events in order, at most `PIECE` at a time."""
        for start in range(0, self.table.rows, PIECE):
            entry = np.arange(start, min(start + PIECE, self.table.rows))
            if self.chosen is not None:
                entry = entry[self.chosen(entry)]
            yield entry, entry

    def take(self, rows: np.ndarray) -> Columns:
        """Return the columns of *rows*."""
        return self.table.take(list(self.table.columns), rows) | {"entry": rows}


def source(columns: "Mapping[str, np.ndarray] | Source") -> Source:
    """Return *columns* as a source of events, if they are none yet."""
    return InMemory(columns) if isinstance(columns, Mapping) and not isinstance(columns, InMemory) else columns
