"""Blocks of raw events as networks learn from them: selected, at any value of the nuisance parameters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.events import selection, variations
from nuisflow.settings import configuration, systematics
from nuisflow.slices.training import TrainingSamples
from nuisflow.strategies.unbinned import Unbinned

Columns = dict[str, np.ndarray]

SHIFT_OR_WEIGHT = systematics.Shift | systematics.Weight

SHUFFLED = 1 << 40
"""Key of a hash of events that has nothing to do with the one that decides about validation."""


class BatchError(ValueError):
    """Events from which a classifier cannot be trained."""


class Selected(NamedTuple):
    """Selected events of one block at one z; *row* is their index in the block and ascends."""

    row: np.ndarray
    features: np.ndarray
    weights: np.ndarray


class Part(NamedTuple):
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


def _together(own: Selected, others: Sequence[Selected]) -> tuple[Selected, np.ndarray, np.ndarray]:
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
    return Selected(row, features, weights[:, 0]), everywhere[:, 1:], weights[:, 1:]


class Maker:
    """What makes events that train of raw ones, block by block."""

    def __init__(self, settings: TrainingSamples) -> None:
        self.settings = settings
        regions = settings.events.regions.values()
        self._scored = np.array([region.observable == "score" for region in regions])
        self._counts_for = _counts_for(settings)
        self._processes = sorted({sample.process for sample in settings.samples.values()})
        if not self._scored.any():
            raise BatchError("regions: none has the observable 'score', so that there is nothing to train on")

    def part(self, name: str, columns: Columns, z: np.ndarray, points: np.ndarray, *, nominal: bool) -> Part:
        """Return the selected events among *columns* of the sample *name* at *z*, and what they are at *points*."""
        sample = self.settings.samples[name]
        if name in self.settings.alternatives:
            self._check_weights(selection.select(columns, self.settings.events, sample, {}, {}), name)
        apart = isinstance(self.settings.training, Unbinned)
        if not nominal:
            z = self._apart(name, z) if apart else self._settled(name, columns["entry"], z)
        own = self._at(name, columns, z)
        if not nominal:
            counts_for = self._compared(name, z[own.row]) if apart else self._counts_for.get(sample.process, 1.0)
            own = own._replace(weights=own.weights * counts_for)
        near = [self._near(own, name, columns, p) if nominal else self._at(name, columns, p) for p in points]
        kept, moved, counts = _together(own, near)
        if apart and name in self.settings.alternatives:
            counts[:] = 0  # they are not there at nominal
        if self.settings.replica:
            times = seeds.poisson(columns["entry"][kept.row], self.settings.replica, name)
            kept, counts = kept._replace(weights=kept.weights * times), counts * times[:, None]
        size = len(kept.row)
        return Part(
            features=kept.features,
            labels=np.full(size, sample.process == self.settings.signal, dtype=np.float32),
            weights=kept.weights,
            z=z[kept.row].astype(np.float32),
            process=np.full(size, self._processes.index(sample.process), dtype=np.int64),
            entry=columns["entry"][kept.row],
            sample=np.full(size, list(self.settings.samples).index(name)),
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
            at_random = np.take(sides, (seeds.uniform(entry, SHUFFLED) * len(sides)).astype(int), mode="clip")
            z[:, index] = (own if here == variation else 0.0) if acts else at_random
        return z

    def _apart(self, name: str, z: np.ndarray) -> np.ndarray:
        """Return *z* where samples of two-point variations are compared with nominal ones: their own, nothing else."""
        if name not in self.settings.alternatives:
            return z
        variation, own = self.settings.alternatives[name]
        z = np.zeros_like(z)
        z[:, list(self.settings.variations).index(variation)] = own
        return z

    def _compared(self, name: str, z: np.ndarray) -> np.ndarray | float:
        """Return what events at *z* count for there, where samples of two-point variations are compared with nominal.

        Nominal events drawn there are only the other side of the comparison: 0. Of an alternative all events are there,
        of the nominal ones only those drawn, so that an event of it counts for this part.
        """
        training = self.settings.training
        assert isinstance(training, Unbinned)  # for mypy
        if name in self.settings.alternatives:
            return training.frequency(self.settings.alternatives[name][0])
        acting = self._acting(self.settings.samples[name].process).items()
        fixed = [index for index, other in acting if self.settings.variations[other].kind == "two_point"]
        return np.where(z[:, fixed].any(axis=1), 0.0, 1.0) if fixed else 1.0

    def _at(self, name: str, columns: Columns, z: np.ndarray) -> Selected:
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
        self._check_weights(selected, name)
        features = np.stack([selected[feature] for feature in settings.events.features], axis=1)
        return Selected(selected["row"], features, selected["weight"])

    def _near(self, nominal: Selected, name: str, columns: Columns, point: np.ndarray) -> Selected:
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

    def _check_weights(self, columns: Columns, sample: str) -> None:
        if self.settings.training.learns:
            selection.check_learnable(columns, sample)

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
        for name in (name for name in chosen if name not in varied):  # in order, whatever the hashes of their names
            selected["weight"] *= variations.factor(chosen[name], selected, z[name][selected["row"]])
        return selected


def _counts_for(settings: TrainingSamples) -> dict[str, float]:
    """Return the part of its events that every sample of a process counts for, where it has alternatives."""
    sides: dict[str, set[tuple[str, float]]] = {}
    for sample, place in settings.alternatives.items():
        sides.setdefault(settings.samples[sample].process, set()).add(place)
    return {process: 1 / (1 + len(places)) for process, places in sides.items()}
