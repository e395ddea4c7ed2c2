"""The same simulated events at nominal and at other values of z, each judged by networks that have not seen it."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow.learning.batches import Draw, Pool, Rows
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.settings.systematics import Shift, Weight
from nuisflow.slices.training import TrainingSamples
from nuisflow.strategies.unbinned import Unbinned

EVENTS = 30_000
"""Selected events per process, about."""
MOST = 200_000
"""Rows per process that are read for them, however few are selected."""
TRIED = 20_000
"""Rows that say which part of them is selected."""
ALONG = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""z of one parameter: where templates are known (-1 and 1), between and beyond."""
TOGETHER = ((1.0, 1.0), (1.0, -1.0))
"""z of two parameters."""
PAIRS = 6
"""Pairs of parameters that are moved at once, at most."""
KEY = 1 << 41
"""Of a hash of events that has nothing to do with those that decide about folds, validation and samples."""


class Place(NamedTuple):
    """A place in the space of the learned parameters: z of those that are not 0, by name."""

    z: Mapping[str, float]

    @property
    def words(self) -> str:
        """The place in words, such as ``r = 1, lambda = -1``."""
        return ", ".join(f"{name} = {z:g}" for name, z in self.z.items())

    @property
    def is_anchor(self) -> bool:
        """Whether one parameter is at +1 or -1."""
        return [abs(z) for z in self.z.values()] == [1.0]

    @property
    def is_shown(self) -> bool:
        """Whether distributions are compared here: one parameter at +1 or -1, or two at once."""
        return all(abs(z) == 1.0 for z in self.z.values())


class Nominal(NamedTuple):
    """Events at nominal: *weight* (events, expected), process, entry, fold, features, *values* (events, outputs).

    *raw*: ln of the shares of the processes before calibration.
    """

    weight: Floats
    process: Integers
    entry: Integers
    fold: Integers
    features: np.ndarray
    values: Floats
    raw: Floats


class Moved(NamedTuple):
    """Events of one process that are selected at nominal or near *place*, with their weights and features at both.

    *values* (events, outputs) at nominal; *there*: at the place, if it is an anchor. Alternative samples stand beside
    nominal events, each with the weight 0 where it is not. *part*: of the derivative along z that an anchor tells.
    """

    place: Place
    process: int
    entry: Integers
    fold: Integers
    before: Floats
    after: Floats
    features: np.ndarray
    moved: np.ndarray
    values: Floats
    there: Floats | None
    part: float = 0.5

    @property
    def is_paired(self) -> bool:
        """Whether the events are the same at nominal and at the place."""
        return bool(((self.before > 0) & (self.after > 0)).any())


class Probes:
    """Simulated events of one training, read anew for every question: memory does not grow with the simulation.

    *scale* (processes): expected events per expected event that is here.
    """

    def __init__(self, classifier: Classifier, ingested: Mapping[str, Path], settings: TrainingSamples) -> None:
        assert isinstance(classifier.strategy, Unbinned)  # for mypy
        self.classifier, self.strategy, self.settings = classifier, classifier.strategy, settings
        self.features, self.folds = settings.events.features, settings.learning.folds
        self.pool = Pool.load(ingested, settings)
        self.rows, self.scale = self._drawn()

    def _drawn(self) -> tuple[Rows, Floats]:
        """Return the rows of the events, about `EVENTS` selected ones per process, and *scale*."""
        names = self.strategy.processes
        size = np.array([sum(self.pool.samples[key].size for key in self._samples(name)) for name in names])
        tried = self._part(np.minimum(TRIED / np.maximum(size, 1), 1))
        found = np.bincount(self.pool.events(tried).process, minlength=len(names))
        read = np.array([sum(len(tried[key]) for key in self._samples(name)) for name in names])
        rows = self._part(np.minimum(np.minimum(EVENTS * read / np.maximum(found, 1), MOST) / np.maximum(size, 1), 1))
        kept = np.array([sum(len(rows[key]) for key in self._samples(name)) for name in names])
        return rows, size / np.maximum(kept, 1)

    def _samples(self, process: str) -> list[str]:
        """Return the nominal samples of a process."""
        samples = self.settings.samples.items()
        return [key for key, one in samples if one.process == process and key not in self.settings.alternatives]

    def _part(self, shares: Floats) -> Rows:
        """Return a random part of the rows of every process, none of alternatives; a larger one has the smaller."""
        rows = {key: np.arange(0) for key in self.settings.samples}
        for process, share in zip(self.strategy.processes, shares, strict=True):
            draw = Draw(KEY, 0.0, float(share))
            for key in self._samples(process):
                parts = [row[draw(entry)] for row, entry in self.pool.samples[key].pieces()]
                rows[key] = np.concatenate([np.arange(0), *parts])
        return rows

    def nominal(self) -> Nominal:
        """Return events of all processes at nominal."""
        events = self.pool.events(self.rows)
        raw = _asked(_uncalibrated(self.classifier), events.entry, events.features)
        return Nominal(
            events.expected * self.scale[events.process],
            events.process,
            events.entry,
            events.entry % self.folds,
            events.features,
            self.densities(events.entry, events.features),
            raw[:, : len(self.strategy.processes)],
        )

    def densities(self, entry: Integers, features: np.ndarray) -> Floats:
        """Return what the networks say of events, (events, outputs)."""
        return _asked(self.classifier, entry, features)

    def moved(self) -> Iterator[Moved]:
        """Yield the events of every process at every place that moves it."""
        names = self.strategy.variations
        for places in groups(self._movable(), self.strategy.pairs):
            points = np.array([[place.z.get(name, 0.0) for name in names] for place in places])
            events = self.pool.events(self.rows, points=points)
            for index, process in enumerate(self.strategy.processes):
                acting = [k for k, place in enumerate(places) if set(place.z) <= set(self.strategy.acting[process])]
                mine = np.flatnonzero(events.process == index) if acting else np.arange(0)
                if not len(mine):
                    continue
                entry, nominal, scale = events.entry[mine], events.features[mine], self.scale[index]
                values = self.densities(entry, nominal)
                for k in acting:
                    moved = events.points[mine, k]
                    there = self.densities(entry, moved) if places[k].is_anchor else None
                    after = scale * events.counts[mine, k].astype(np.float64)
                    before = scale * events.expected[mine].astype(np.float64)
                    fold = entry % self.folds
                    yield Moved(places[k], index, entry, fold, before, after, nominal, moved, values, there)

        yield from self._replaced()

    def _replaced(self) -> Iterator[Moved]:
        """Yield the samples of two-point variations at their places, beside the nominal events of their process."""
        known, names = self.settings.alternatives, self.strategy.variations
        if not known:
            return
        rows, scale = self._alternative_rows()
        events = self.pool.events(rows, np.zeros((sum(map(len, rows.values())), len(names))))
        for variation, side in dict.fromkeys(known.values()):
            there, nominal = events.z[:, names.index(variation)] == side, ~events.z.any(axis=1)
            for index in np.unique(events.process[there]):
                mine = np.flatnonzero((events.process == index) & (there | nominal))
                entry, features, alternative = events.entry[mine], events.features[mine], there[mine]
                weight, values = events.expected[mine].astype(np.float64), self.densities(entry, features)
                # What an alternative counts for in training: see `Maker`.
                after = weight * scale[variation, side] / self.strategy.frequency(variation)
                yield Moved(
                    Place({variation: side}), int(index), entry, entry % self.folds,
                    np.where(alternative, 0.0, weight * self.scale[index]), np.where(alternative, after, 0.0),
                    features, features, values, values, 1 / len(self.strategy.sides[variation]),
                )  # fmt: skip

    def _alternative_rows(self) -> tuple[Rows, dict[tuple[str, float], float]]:
        """Return the rows with as many events of alternatives, and how many events each of theirs stands for."""
        rows, scale = dict(self.rows), {}
        for place in dict.fromkeys(self.settings.alternatives.values()):
            samples = [sample for sample, other in self.settings.alternatives.items() if other == place]
            processes = {self.settings.samples[sample].process for sample in samples}
            size = sum(self.pool.samples[sample].size for sample in samples)
            wanted = sum(len(self.rows[sample]) for process in processes for sample in self._samples(process))
            draw = Draw(KEY, 0.0, min(wanted / max(size, 1), 1.0))
            for sample in samples:
                parts = [row[draw(entry)] for row, entry in self.pool.samples[sample].pieces()]
                rows[sample] = np.concatenate([np.arange(0), *parts])
            scale[place] = size / max(sum(len(rows[sample]) for sample in samples), 1)
        return rows, scale

    def _movable(self) -> list[str]:
        """Return the variations that move events: those of samples of their own are at their places only."""
        known = self.settings.variations
        return [name for name in self.strategy.variations if isinstance(known[name], Shift | Weight)]


def groups(names: Sequence[str], pairs: Sequence[tuple[str, str]] = ()) -> Iterator[list[Place]]:
    """Yield the places along every parameter, then those at which two are moved at once: *pairs* first."""
    for name in names:
        yield [Place({name: z}) for z in ALONG]
    listed = [pair for pair in pairs if set(pair) <= set(names)]
    listed += [pair for pair in itertools.combinations(names, 2) if set(pair) not in map(set, listed)]
    for pair in listed[:PAIRS]:
        yield [Place(dict(zip(pair, z, strict=True))) for z in TOGETHER]


def _asked(classifier: Classifier, entry: Integers, features: np.ndarray) -> Floats:
    columns = {name: features[:, index] for index, name in enumerate(classifier.features)}
    return classifier.densities(columns | {"entry": entry}).astype(np.float64)


def _uncalibrated(classifier: Classifier) -> Classifier:
    """Return the classifier with its ratios as the networks alone have learned them."""
    found = copy.deepcopy(classifier)
    for model in found.folds:
        calibration = model.networks["measured"].get_buffer("calibration")
        calibration.zero_()
        calibration[:, 1] = 1
        model.networks["measured"].get_buffer("range")[:] = calibration.new_tensor([-1e30, 1e30])
    return found
