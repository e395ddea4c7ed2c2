"""Events in the form that networks learn from: features, labels and weights, at any value of the nuisance parameters.

Which events belong to a fold, and which of them to its validation, follows from their index in the raw sample alone, so
that training, variations and scoring agree. Memory is bounded: of more events than fit into `TRAINING` bytes an epoch
is made in blocks, each a random part of all events, and of more than fit into `VALIDATION` a random part validates.
"""

import hashlib
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow import datasets, seeds
from nuisflow.learning import scaling as scalings
from nuisflow.learning.blocks import BatchError, Maker, Part
from nuisflow.learning.samples import READ, Columns, Ingested, Source, source
from nuisflow.learning.scaling import Scaling
from nuisflow.slices.training import TrainingSamples
from nuisflow.strategies.strategy import Events

Rows = dict[str, np.ndarray]

BLOCK = 20_000
"""Events that are varied and selected at once: their columns stay in the processor's cache."""
TRAINING = 300_000_000
"""Bytes that the events of one block of an epoch may take while they are made and used."""
VALIDATION = 100_000_000
"""Bytes that validation events may take; twice, if they are varied."""
TOGETHER = 600_000_000
"""Bytes that the network may take to judge all validation events together, where their loss is not a mean."""
KEPT = 100_000_000
"""Bytes of raw columns that stay in memory from one epoch to the next, which mostly asks for the same."""
FEWEST = 50_000
"""Validation events that are used whatever they take: fewer say little."""


def fold(entry: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold of the events with these indices: fold k is scored by the network trained without it."""
    return entry % folds


def is_validation(entry: np.ndarray, fraction: float) -> np.ndarray:
    """Return whether events are kept for validation: a *fraction* of them, by a hash of their index."""
    return seeds.uniform(entry) < fraction


def balance(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return *weights* with the same sum for signal and background and mean 1 over all events, as float32."""
    balanced = np.empty(len(weights), dtype=np.float32)
    for label, name in ((1, "signal"), (0, "background")):
        chosen = labels == label
        total = weights[chosen].sum()
        if not total > 0:
            raise BatchError(
                f"no {name} events to train on: none are in a region whose observable is 'score', their weights do not "
                "add up to more than 0, they are too few for every fold and its validation, or all are of one fold, "
                "which is the number of the row modulo learning.folds; check the selections, simulate more events, or "
                "where rows of different kinds take turns, shuffle them or choose another number of folds"
            )
        balanced[chosen] = weights[chosen] * (0.5 * len(weights) / total)
    return balanced


class Draw(NamedTuple):
    """A random part of all events: those whose hash with this *key* is from *low* to *high*."""

    key: int
    low: float
    high: float

    def __call__(self, entry: np.ndarray) -> np.ndarray:
        """Return which events are drawn; of one key, parts that do not overlap share no event."""
        return seeds.between(seeds.uniform(entry, self.key), self.low, self.high)


class Pool:
    """The raw events of the training samples; they become features at any z, block by block."""

    def __init__(self, samples: "Mapping[str, Columns | Source]", settings: TrainingSamples) -> None:
        self.samples = {name: source(events) for name, events in samples.items()}
        self.settings = settings
        self._maker = Maker(settings)
        self._kept: dict[tuple[str, bytes], Columns] = {}

    @classmethod
    def load(cls, events: Mapping[str, Path], settings: TrainingSamples) -> "Pool":
        """Open the ingested events of every training sample."""
        samples = {name: Ingested(events[name], settings.events, sample) for name, sample in settings.samples.items()}
        return cls(samples, settings)

    def rows(self, number: int, *, validation: bool, draw: Draw | None = None) -> Rows:
        """Return the rows of every sample that train, or validate, the network of fold *number*: a *draw* of them."""
        return {
            name: np.concatenate(list(self._pieces(name, number, validation, draw)) or [np.arange(0)])
            for name in self.samples
        }

    def count(self, number: int, *, validation: bool) -> int:
        """Return how many events train, or validate, the network of fold *number*."""
        return sum(len(rows) for name in self.samples for rows in self._pieces(name, number, validation, None))

    def _pieces(self, name: str, number: int, validation: bool, draw: Draw | None) -> Iterator[np.ndarray]:
        """Yield the rows of `rows` of one sample, piece by piece."""
        learning = self.settings.learning
        for rows, entry in self.samples[name].pieces():
            chosen = fold(entry, learning.folds) != number
            chosen &= is_validation(entry, learning.validation_fraction) == validation
            if draw is not None:
                chosen &= draw(entry)
            yield rows[chosen]

    def events(
        self,
        rows: Rows,
        z: np.ndarray | None = None,
        scaling: Scaling | None = None,
        points: np.ndarray | None = None,
    ) -> Events[np.ndarray]:
        """Return the selected events of *rows* at *z*: None for nominal, or shape (rows of all samples, variations).

        Events that a variation moves out of the selection are left out, those that it moves in are there. With
        *points*, of shape (points, variations), an event is there that is selected at its z or at one of them.
        """
        scaled = scaling or scalings.identity(len(self.settings.events.features))
        joined = self._joined(rows, z, scaled, points)
        return Events(
            features=joined.features,
            labels=joined.labels,
            weights=balance(joined.weights, joined.labels),
            z=joined.z,
            expected=joined.weights.astype(np.float32),
            process=joined.process,
            entry=joined.entry,
            share=self._shares(joined, rows),
            points=joined.points,
            counts=joined.counts,
        )

    def _taken(self, name: str, rows: np.ndarray) -> Columns:
        """Return the raw columns of *rows*; what was asked for last, of `KEPT` bytes, is not read again."""
        key = name, hashlib.blake2b(rows.tobytes()).digest()
        taken = self._kept.pop(key, None) or self.samples[name].take(rows)
        self._kept[key] = taken
        while sum(values.nbytes for columns in self._kept.values() for values in columns.values()) > KEPT:
            del self._kept[next(iter(self._kept))]
        return taken

    def _joined(self, rows: Rows, z: np.ndarray | None, scaled: Scaling, points: np.ndarray | None) -> Part:
        """Return the events of all blocks, their features *scaled*."""
        size = sum(map(len, rows.values()))
        whole, used = None, 0
        for part in self._parts(rows, z, points):
            made = part._replace(
                features=scaled(part.features), points=scaled(part.points), counts=part.counts.astype(np.float32)
            )
            # Memory for rows that are not selected is reserved, but neither touched nor taken.
            whole = whole or Part(*(np.empty((size, *values.shape[1:]), values.dtype) for values in made))
            for all_of_them, values in zip(whole, made, strict=True):
                all_of_them[used : used + len(values)] = values
            used += len(made.labels)
        if whole is None:
            raise BatchError("no events to train on: the selections of the regions keep none")
        return Part(*(values[:used] for values in whole))

    def _shares(self, events: Part, rows: Rows) -> np.ndarray:
        """Return the part that every event is of all expected events of its class, in the samples that train.

        What *rows* leaves out counts: it is expected to be like them.
        """
        scale = np.array([self.samples[name].size / max(len(rows[name]), 1) for name in self.settings.samples])
        totals = np.bincount(events.labels.astype(np.int64), weights=events.weights * scale[events.sample], minlength=2)
        return np.asarray(events.weights / totals[events.labels.astype(np.int64)], dtype=np.float32)

    def _parts(self, rows: Rows, z: np.ndarray | None, points: np.ndarray | None) -> Iterator[Part]:
        """Yield the events of one block after another."""
        size, number, nominal = sum(map(len, rows.values())), len(self.settings.variations), z is None
        if points is None:
            points = np.zeros((0, number))
        if z is not None and len(z) != size:
            raise ValueError(f"z has {len(z)} rows for {size} events")
        offset = 0
        for name, chosen in rows.items():
            for first in range(0, 0 if nominal and name in self.settings.alternatives else len(chosen), READ):
                taken = self._taken(name, chosen[first : first + READ])
                for start in range(0, len(taken["entry"]), BLOCK):
                    columns = {column: values[start : start + BLOCK] for column, values in taken.items()}
                    place = offset + first + start
                    at = np.zeros((len(columns["entry"]), number)) if z is None else z[place : place + BLOCK]
                    yield self._maker.part(name, columns, at[: len(columns["entry"])], points, nominal=nominal)
            offset += len(chosen)


@dataclass(frozen=True)
class FoldEvents:
    """The events that train and validate the network of one fold, scaled as its features will be in scoring.

    *train_rows* are a random part of all *train_total* training events, if these are more than *limit*.
    """

    pool: Pool
    number: int
    train_rows: Rows
    validation_rows: Rows
    scaling: Scaling
    train_total: int
    limit: int
    points: np.ndarray | None = None

    @property
    def train_size(self) -> int:
        """The number of training events before the selection: the rows of z in `train`."""
        return sum(map(len, self.train_rows.values()))

    @property
    def validation_size(self) -> int:
        """The number of validation events before the selection: the rows of z in `validation`."""
        return sum(map(len, self.validation_rows.values()))

    def train(self, z: np.ndarray | None = None) -> Events[np.ndarray]:
        """Return the training events at *z*; if they are too many, a random part of them."""
        return self.pool.events(self.train_rows, z, self.scaling, self.points)

    def validation(self, z: np.ndarray | None = None) -> Events[np.ndarray]:
        """Return the validation events at *z*; if they are too many, a random part of them."""
        return self.pool.events(self.validation_rows, z, self.scaling, self.points)

    def epoch(self, number: int, generator: np.random.Generator) -> "Iterator[FoldEvents]":
        """Yield every training event once, or *number* random ones (before the selection), if it has more.

        They come together if they fit into memory, else in blocks. Which block an event is in follows from a hash of
        its index, new in every epoch: every block is a random part of all events, whatever their order in the files.
        """
        if self.train_total <= self.limit:
            yield self.thinned(number, generator)
            return
        key, share = int(generator.integers(2**63)), min(number / self.train_total, 1.0)
        blocks = math.ceil(share * self.train_total / self.limit)
        for block in range(blocks):
            draw = Draw(key, share * block / blocks, share * (block + 1) / blocks)
            yield replace(self, train_rows=self.pool.rows(self.number, validation=False, draw=draw))

    def thinned(self, number: int, generator: np.random.Generator) -> "FoldEvents":
        """Return this fold with *number* random training events (before the selection), if it has more."""
        if number >= self.train_size:
            return self
        chosen = np.sort(generator.choice(self.train_size, number, replace=False))
        first, rows = 0, {}
        for name, values in self.train_rows.items():
            rows[name] = values[chosen[(chosen >= first) & (chosen < first + len(values))] - first]
            first += len(values)
        return replace(self, train_rows=rows)


def fold_events(
    pool: Pool, number: int, *, scales: bool = True, points: np.ndarray | None = None, together: int = 0
) -> FoldEvents:
    """Return the events of fold *number*; features are scaled by their spread in its nominal training events.

    *together*: bytes per event and place (nominal and *points*) that a network takes to judge all validation events at
    once; 0 if it need not.
    """
    places, size = 1 if points is None else 1 + len(points), row_bytes(pool.settings, points)
    limit, most = TRAINING // size, VALIDATION // size
    if together:
        most = max(min(most, TOGETHER // (together * places)), FEWEST)
    train, total = _limited(pool, number, limit, validation=False)
    validation, _ = _limited(pool, number, most, validation=True)
    found = FoldEvents(
        pool, number, train, validation, scalings.identity(len(pool.settings.events.features)), total, limit, points
    )
    if not scales:
        return found
    nominal = pool.events(train)
    undefined = datasets.undefined(pool.settings.events.dataset)
    return replace(found, scaling=scalings.measured(nominal.features, nominal.weights, undefined))


def row_bytes(settings: TrainingSamples, points: np.ndarray | None = None) -> int:
    """Return the bytes that one row of events takes at most while they are made, shuffled and used."""
    features, variations = len(settings.events.features), len(settings.variations)
    places = 0 if points is None else len(points)
    kept = 4 * (features * (1 + places) + places + variations) + 4 * 4 + 2 * 8  # the numbers of `Events`
    return kept + 16 * variations + 64  # z as it is drawn; rows, order, weights and sums in double precision


def _limited(pool: Pool, number: int, limit: int, *, validation: bool) -> tuple[Rows, int]:
    """Return the rows that train, or validate, a network, and their number; if it is above *limit*, a random part."""
    total = pool.count(number, validation=validation)
    if total <= limit:
        return pool.rows(number, validation=validation), total
    logging.getLogger(__name__).info(
        "training %s, fold %d: %d events before the selection %s; at most %d are held in memory, at random",
        *(pool.settings.name, number, total, "validate" if validation else "train", limit),
    )
    key = seeds.number(pool.settings.seed, "validation" if validation else "training", "events", number)
    draw = Draw(key, 0.0, limit / total)
    return pool.rows(number, validation=validation, draw=draw), total
