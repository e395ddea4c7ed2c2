"""Events in the form that networks learn from: features, labels and weights, at any value of the nuisance parameters.

Which events belong to a fold, and which of them to its validation, follows from their index in the raw sample alone, so
that training, variations and scoring agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow import datasets
from nuisflow.events import selection, variations
from nuisflow.settings import configuration, systematics
from nuisflow.slices.training import TrainingSamples
from nuisflow.strategies.strategy import Events

Columns = dict[str, np.ndarray]
Rows = dict[str, np.ndarray]

SHIFT_OR_WEIGHT = systematics.Shift | systematics.Weight

SHUFFLED = 1 << 40
"""Added to the index of an event for a hash that has nothing to do with the first."""
BLOCK = 20_000
"""Events that are varied and selected at once: their columns stay in the processor's cache."""


class BatchError(ValueError):
    """Events from which a classifier cannot be trained."""


def fold(entry: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold of the events with these indices: fold k is scored by the network trained without it."""
    return entry % folds


def is_validation(entry: np.ndarray, fraction: float) -> np.ndarray:
    """Return whether events are kept for validation: a *fraction* of them, by a hash of their index.

    The hash is the finaliser of splitmix64 (Steele, Lea and Flood, doi:10.1145/2714064.2660195): independent of the
    fold and of any pattern in the order of the events.
    """
    return uniform(entry) < fraction


def uniform(entry: np.ndarray) -> np.ndarray:
    """Return a hash of the index of events, from 0 to 1."""
    state = entry.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state = state ^ (state >> np.uint64(31))
    return np.asarray(state.astype(np.float64) / 2.0**64)


class Scaling(NamedTuple):
    """Shift and scale of every feature; *missing* is the value that stands for 'undefined' (None: there is none)."""

    mean: np.ndarray
    deviation: np.ndarray
    missing: float | None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return *features*, shape (events, features), with mean 0 and deviation 1; undefined values become the mean.

        ASSUME: which values are undefined is known to a network from other features, such as the number of jets.
        """
        scaled = (features - self.mean) / self.deviation
        if self.missing is not None:
            scaled[features == np.float32(self.missing)] = 0
        return np.asarray(scaled, dtype=np.float32)


def identity(features: int) -> Scaling:
    """Return the scaling that changes nothing."""
    return Scaling(np.zeros(features, np.float32), np.ones(features, np.float32), None)


def measured(features: np.ndarray, weights: np.ndarray, undefined: float | None) -> Scaling:
    """Return the scaling by the weighted mean and standard deviation of the defined values of every feature.

    A feature that never changes keeps deviation 1, so that it becomes 0.
    """
    mean, deviation = np.zeros(features.shape[1]), np.ones(features.shape[1])
    for index, values in enumerate(features.T.astype(np.float64)):
        defined = weights * (values != np.float32(undefined)) if undefined is not None else weights
        if total := defined.sum():
            mean[index] = np.dot(defined, values) / total
            spread = np.sqrt(np.dot(defined, (values - mean[index]) ** 2) / total)
            deviation[index] = spread if spread > 1e-6 * abs(mean[index]) else 1.0
    return Scaling(mean.astype(np.float32), deviation.astype(np.float32), undefined)


def balance(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return *weights* with the same sum for signal and background and mean 1 over all events, as float32."""
    balanced = np.empty(len(weights), dtype=np.float32)
    for label, name in ((1, "signal"), (0, "background")):
        chosen = labels == label
        total = weights[chosen].sum()
        if not total > 0:
            raise BatchError(
                f"no {name} events to train on: none are in a region whose observable is 'score', or all have weight "
                "0; check the selections, or simulate more events"
            )
        balanced[chosen] = weights[chosen] * (0.5 * len(weights) / total)
    return balanced


class _Selected(NamedTuple):
    """Selected events of one block at one z; *row* is their index in the block and ascends."""

    row: np.ndarray
    features: np.ndarray
    weights: np.ndarray


class _Part(NamedTuple):
    """The events of one block, as in `Events` but before scaling and balancing."""

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    z: np.ndarray
    process: np.ndarray
    entry: np.ndarray
    sample: np.ndarray  # (events,), index of the sample
    points: np.ndarray
    counts: np.ndarray


def _together(own: _Selected, others: Sequence[_Selected]) -> tuple[_Selected, np.ndarray, np.ndarray]:
    """Return the events in *own* or one of the *others*, and their features and weights in all others.

    Where an event is not selected, its weight is 0 and its features are those of a place where it is.
    """
    if not others:
        return own, np.empty((len(own.row), 0, own.features.shape[1]), np.float32), np.empty((len(own.row), 0))
    parts = [own, *others]
    row = np.unique(np.concatenate([part.row for part in parts]))
    places = [np.searchsorted(row, part.row) for part in parts]
    features = np.empty((len(row), own.features.shape[1]), own.features.dtype)
    for part, place in zip(reversed(parts), reversed(places), strict=True):
        features[place] = part.features
    everywhere = np.repeat(features[:, None], len(parts), axis=1)
    weights = np.zeros((len(row), len(parts)))
    for index, (part, place) in enumerate(zip(parts, places, strict=True)):
        everywhere[place, index] = part.features
        weights[place, index] = part.weights
    return _Selected(row, features, weights[:, 0]), everywhere[:, 1:], weights[:, 1:]


class Pool:
    """The raw events of the training samples, held once in memory; they become features at any z, block by block."""

    def __init__(self, samples: Mapping[str, Columns], settings: TrainingSamples) -> None:
        self.samples = dict(samples)
        self.settings = settings
        regions = settings.events.regions.values()
        self._scored = np.array([region.observable == "score" for region in regions])
        self._counts_for = _counts_for(settings)
        self._processes = sorted({sample.process for sample in settings.samples.values()})
        if not self._scored.any():
            raise BatchError("regions: none has the observable 'score', so that there is nothing to train on")

    @classmethod
    def load(cls, events: Mapping[str, Path], settings: TrainingSamples) -> "Pool":
        """Read the ingested events of every training sample."""
        samples = {
            name: selection.load(events[name], settings.events, sample) for name, sample in settings.samples.items()
        }
        return cls(samples, settings)

    def rows(self, number: int, *, validation: bool) -> Rows:
        """Return the rows of every sample that train, or validate, the network of fold *number*."""
        learning = self.settings.learning
        chosen: Rows = {}
        for name, columns in self.samples.items():
            entry = columns["entry"]
            used = fold(entry, learning.folds) != number
            chosen[name] = np.flatnonzero(used & (is_validation(entry, learning.validation_fraction) == validation))
        return chosen

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
        parts = list(self._parts(rows, z, points))
        if not parts:
            raise BatchError("no events to train on: the selections of the regions keep none")
        joined = _Part(*map(np.concatenate, zip(*parts, strict=True)))
        scaled = scaling or identity(joined.features.shape[1])
        return Events(
            features=scaled(joined.features),
            labels=joined.labels,
            weights=balance(joined.weights, joined.labels),
            z=joined.z,
            expected=joined.weights.astype(np.float32),
            process=joined.process,
            entry=joined.entry,
            share=self._shares(joined, rows),
            points=scaled(joined.points),
            counts=joined.counts.astype(np.float32),
        )

    def _shares(self, events: "_Part", rows: Rows) -> np.ndarray:
        """Return the part that every event is of all expected events of its class, in the samples that train.

        What *rows* leaves out counts: it is expected to be like them.
        """
        scale = np.array([len(self.samples[name]["entry"]) / max(len(rows[name]), 1) for name in self.samples])
        totals = np.bincount(events.labels.astype(np.int64), weights=events.weights * scale[events.sample], minlength=2)
        return np.asarray(events.weights / totals[events.labels.astype(np.int64)], dtype=np.float32)

    def _parts(self, rows: Rows, z: np.ndarray | None, points: np.ndarray | None) -> "Iterator[_Part]":
        """Yield the events of one block after another."""
        size, number, nominal = sum(map(len, rows.values())), len(self.settings.variations), z is None
        if z is None:
            z = np.zeros((size, number))
        if points is None:
            points = np.zeros((0, number))
        if len(z) != size:
            raise ValueError(f"z has {len(z)} rows for {size} events")
        offset = 0
        for name, chosen in rows.items():
            for start in range(0, len(chosen), BLOCK):
                block = chosen[start : start + BLOCK]
                if not (nominal and name in self.settings.alternatives):
                    yield self._block(name, block, z[offset : offset + len(block)], points, nominal=nominal)
                offset += len(block)

    def _block(self, name: str, rows: np.ndarray, z: np.ndarray, points: np.ndarray, *, nominal: bool) -> "_Part":
        """Return the selected events among *rows* of one sample."""
        sample = self.settings.samples[name]
        columns = {column: values[rows] for column, values in self.samples[name].items()}
        if name in self.settings.alternatives:
            _check_weights(selection.select(columns, self.settings.events, sample, {}, {}), name)
        if not nominal:
            z = self._settled(name, columns["entry"], z)
        own = self._at(name, columns, z)
        if not nominal:
            own = own._replace(weights=own.weights * self._counts_for.get(sample.process, 1.0))
        kept, moved, counts = _together(own, [self._near(own, name, columns, point) for point in points])
        size = len(kept.row)
        return _Part(
            features=kept.features,
            labels=np.full(size, sample.process == self.settings.signal, dtype=np.float32),
            weights=kept.weights,
            z=z[kept.row].astype(np.float32),
            process=np.full(size, self._processes.index(sample.process), dtype=np.int64),
            entry=columns["entry"][kept.row],
            sample=np.full(size, list(self.samples).index(name)),
            points=moved,
            counts=counts,
        )

    def _settled(self, name: str, entry: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return *z* with that of two-point variations: events have it by their sample, they cannot be moved.

        Events of processes on which one does not act get 0 or the z of an alternative at random, as many of each.
        """
        z = z.copy()
        for index, (variation, chosen) in enumerate(self.settings.variations.items()):
            if chosen.kind != "two_point":
                continue
            sides = [0.0, *sorted({at for other, at in self.settings.alternatives.values() if other == variation})]
            here, own = self.settings.alternatives.get(name, ("", 0.0))
            acts = chosen.processes is None or self.settings.samples[name].process in chosen.processes
            # A hash of its own: the entry's alone decides about validation.
            at_random = np.take(sides, (uniform(entry + SHUFFLED) * len(sides)).astype(int), mode="clip")
            z[:, index] = (own if here == variation else 0.0) if acts else at_random
        return z

    def _at(self, name: str, columns: Columns, z: np.ndarray) -> "_Selected":
        """Return the selected events of one sample at *z*, of shape (rows, variations) or (variations,)."""
        settings, sample = self.settings, self.settings.samples[name]
        strengths = {
            variation: np.broadcast_to(z[..., index], len(columns["entry"]))
            for index, variation in self._acting(sample.process).items()
        }
        selected = self._selected(columns, sample, strengths)
        if not self._scored.all():
            kept = np.flatnonzero(self._scored[selected["region"]])
            selected = {column: values[kept] for column, values in selected.items()}
        selection.check_finite(selected, settings.events.features, name)
        if z.any():  # ASSUME: an event whose weight a variation would make negative does not count at this z
            selected["weight"] = np.maximum(selected["weight"], 0)
        _check_weights(selected, name)
        features = np.stack([selected[feature] for feature in settings.events.features], axis=1)
        return _Selected(selected["row"], features, selected["weight"])

    def _near(self, nominal: "_Selected", name: str, columns: Columns, point: np.ndarray) -> "_Selected":
        """Return the selected events of one sample at *point*; where only rates differ, they are those of *nominal*."""
        acting = self._acting(self.settings.samples[name].process)
        changed = {variation: point[index] for index, variation in acting.items() if point[index] != 0}
        chosen = [self.settings.variations[variation] for variation in changed]
        if any(isinstance(variation, SHIFT_OR_WEIGHT) for variation in chosen):
            return self._at(name, columns, point)
        weights = nominal.weights.copy()
        for variation, z in zip(chosen, changed.values(), strict=True):
            weights *= variations.factor(variation, {"weight": weights}, z)
        return nominal._replace(weights=weights)

    def _acting(self, process: str) -> dict[int, str]:
        """Return the variations that act on events of *process*, by their position in the strategy."""
        return {
            index: name
            for index, (name, variation) in enumerate(self.settings.variations.items())
            if variation.processes is None or process in variation.processes
        }

    def _selected(self, columns: Columns, sample: configuration.Sample, z: Columns) -> Columns:
        """Return the selected events at *z*, with rates as factors on their weights."""
        chosen = {name: self.settings.variations[name] for name in z}
        varied = {name: value for name, value in chosen.items() if isinstance(value, SHIFT_OR_WEIGHT)}
        selected = selection.select(columns, self.settings.events, sample, varied, z)
        for name in chosen.keys() - varied.keys():
            selected["weight"] *= variations.factor(chosen[name], selected, z[name][selected["row"]])
        return selected


def _counts_for(settings: TrainingSamples) -> dict[str, float]:
    """Return the part of its events that every sample of a process counts for, where it has alternatives."""
    sides: dict[str, set[tuple[str, float]]] = {}
    for sample, place in settings.alternatives.items():
        sides.setdefault(settings.samples[sample].process, set()).add(place)
    return {process: 1 / (1 + len(places)) for process, places in sides.items()}


def _check_weights(columns: Columns, sample: str) -> None:
    if np.any(negative := columns["weight"] < 0):
        bad = np.flatnonzero(negative)
        raise BatchError(
            f"sample {sample!r}: {len(bad)} events have a negative weight (first: entry {columns['entry'][bad[0]]}); "
            f"classifiers cannot learn from them: set samples.{sample}.train to false, or select positive weights"
        )


@dataclass(frozen=True)
class FoldEvents:
    """The events that train and validate the network of one fold, scaled as its features will be in scoring."""

    pool: Pool
    train_rows: Rows
    validation_rows: Rows
    scaling: Scaling
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
        """Return the training events at *z*."""
        return self.pool.events(self.train_rows, z, self.scaling, self.points)

    def validation(self, z: np.ndarray | None = None) -> Events[np.ndarray]:
        """Return the validation events at *z*."""
        return self.pool.events(self.validation_rows, z, self.scaling, self.points)

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


def fold_events(pool: Pool, number: int, *, scales: bool = True, points: np.ndarray | None = None) -> FoldEvents:
    """Return the events of fold *number*; features are scaled by their spread in its nominal training events."""
    train, validation = pool.rows(number, validation=False), pool.rows(number, validation=True)
    if not scales:
        return FoldEvents(pool, train, validation, identity(len(pool.settings.events.features)), points)
    nominal = pool.events(train)
    scaling = measured(nominal.features, nominal.weights, datasets.undefined(pool.settings.events.dataset))
    return FoldEvents(pool, train, validation, scaling, points)
