"""The events of a likelihood of single events: simulated ones at true points, pseudo-experiments and expected data."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.storage import event_files
from nuisflow.templates.histograms import DATA, Histogram, content
from nuisflow.templates.unbinned import evaluation

BLOCK = 500
"""Pseudo-experiments whose random numbers are drawn together."""
ROWS = 20_000
"""Events on the disk that are in memory together."""
GATHERED = 100_000
"""Events of pseudo-experiments that are looked up together."""


class Events(NamedTuple):
    """Events at one true point: *weight* (expected events), process, fold (events), *values* (events, outputs).

    *bins* (bins, processes): expected events in the bins of all regions that have bins. With a *scratch*, the arrays of
    events are on the disk.
    """

    weight: Floats
    process: Integers
    fold: Integers
    values: Floats
    bins: Floats
    scratch: Scratch | None = None

    def blocks(self) -> Iterator[slice]:
        """Yield the rows of events that are in memory together: all, if they are not on the disk."""
        size = max(len(self.weight), 1) if self.scratch is None else ROWS
        for first in range(0, len(self.weight), size):
            yield slice(first, min(first + size, len(self.weight)))
            if self.scratch is not None:
                self.scratch.release()

    def weighted(self, weights: Callable[[slice], Floats], bins: Floats) -> "Events":
        """Return the events with other *weights*, those of the rows that the function is given, and *bins*."""
        found = np.empty(len(self.weight)) if self.scratch is None else self.scratch.empty(len(self.weight))
        for rows in self.blocks():
            found[rows] = weights(rows)
        return self._replace(weight=found, bins=bins)

    def scaled(self, factors: Floats) -> "Events":
        """Return the events with the weights of every process times its factor."""
        return self.weighted(lambda rows: self.weight[rows] * factors[self.process[rows]], self.bins * factors)

    def moved(self, model: UnbinnedModel, values: Floats) -> "Events":
        """Return nominal events with the responses of their own processes at *values*."""

        def weights(rows: slice) -> Floats:
            wide, process, fold = model.widened(self.values[rows]), self.process[rows], self.fold[rows]
            return np.asarray(self.weight[rows] * model.responses(values, process, fold, wide))

        return self.weighted(weights, self.bins * model.bin_responses(values))

    def to_draw(self, model: UnbinnedModel, values: Floats) -> "Events":
        """Return nominal events at *values* as `moved`, but with weights from which events can be drawn.

        A process with a negative factor, as a signal below 0, has no events: those of the others count less where it
        lies, by the ratio of the intensities with it and without it. The expected number of all stays the same.
        """
        there, taken = self.moved(model, values), model.rates(values) < 0.0
        if not taken.any():
            return there

        def weights(rows: slice) -> Floats:
            parts = model.intensities(values, self.fold[rows], model.widened(self.values[rows]))
            share = np.maximum(parts.sum(axis=1), 0.0) / parts[:, ~taken].sum(axis=1)
            return np.asarray(np.where(taken[self.process[rows]], 0.0, there.weight[rows] * share))

        totals, others = there.bins.sum(axis=1), there.bins[:, ~taken].sum(axis=1)
        share = np.maximum(totals, 0.0) / np.where(others > 0.0, others, 1.0)
        found = self.weighted(weights, np.where(taken, 0.0, there.bins * share[:, None]))
        sums = [sum(part.weight[rows].sum() for rows in part.blocks()) for part in (there, found)]
        scale = max(sums[0], 0.0) / (sums[1] or 1.0)
        return found.weighted(lambda rows: found.weight[rows] * scale, found.bins)


class Part(NamedTuple):
    """Some events of one true point (*folder*), without bins; *process*: the number of processes for data."""

    folder: str
    weight: Floats
    process: Integers
    fold: Integers
    values: Floats

    def chosen(self, kept: Booleans) -> "Part":
        """Return the events that are *kept*."""
        return Part(self.folder, self.weight[kept], self.process[kept], self.fold[kept], self.values[kept])


def parts(path: Path, model: UnbinnedModel, samples: Mapping[str, str], folder: str | None = None) -> Iterator[Part]:
    """Yield the events of a file of densities, or those of one *folder*; memory does not grow with their number.

    *samples*: the process of every sample.
    """
    names, folders, listed = [f"d{index}" for index in range(model.outputs)], _folders(path), list(samples)
    known = {name: index for index, name in enumerate(model.processes)}
    codes = np.array([known.get(samples[name], len(known)) for name in listed])
    categories = {"variation": folders, "sample": listed}
    only = None if folder is None else ("variation", folder)
    for rows in event_files.read_event_parts(path, ["fold", "weight", *names], categories, ROWS, only=only):
        values = np.stack([rows[name] for name in names], axis=1)
        for index in np.unique(rows["variation"]) if folder is None else [folders.index(folder)]:
            inside = rows["variation"] == index
            process, fold = codes[rows["sample"][inside]].astype(np.int16), rows["fold"][inside].astype(np.int16)
            yield Part(folders[index], rows["weight"][inside].astype(np.float64), process, fold, values[inside])


def _folders(path: Path) -> list[str]:
    return event_files.texts(path, "variation")


class Pools(Mapping[str, Events]):
    """The events of all processes at every true point (folder), and ``data`` if there are any; read when asked.

    *samples*: the process of every sample; *templates*, *displaced*: histograms, for regions that have bins. A process
    that a point does not change has its nominal events there. All events are on the disk, beside the file.
    """

    def __init__(
        self,
        path: Path,
        model: UnbinnedModel,
        samples: Mapping[str, str],
        templates: Mapping[str, Histogram],
        displaced: Mapping[str, Histogram],
    ) -> None:
        self.path, self.model, self.samples = path, model, samples
        self.templates, self.displaced = templates, displaced
        self.scratch, self.folders = Scratch(path.parent), _folders(path)
        self.nominal = stacked(self._of(NOMINAL, data=False), self._bins(templates, NOMINAL), self.scratch)
        if set(samples.values()) - set(model.processes):
            observed = self.scratch.stacked(part[1:] for part in self._of(NOMINAL, data=True))
            if len(observed[0]):
                self.observed = _events(observed, contents(model, templates, NOMINAL, [DATA]), self.scratch)
                self.folders.append("data")

    def __getitem__(self, name: str) -> Events:
        """Return the events at one point, or the data."""
        if name not in self.folders:
            raise KeyError(f"{self.path}: no events at {name!r}; there are: {', '.join(self.folders)}")
        if name in (NOMINAL, "data"):
            return self.nominal if name == NOMINAL else self.observed
        histograms = self.displaced if name in _points(self.displaced) else self.templates
        return stacked(self._at(name), self._bins(histograms, name), self.scratch)

    def _of(self, folder: str, *, data: bool) -> Iterator[Part]:
        """Yield the events of one folder, of data or of simulation."""
        for part in parts(self.path, self.model, self.samples, folder):
            yield part.chosen((part.process == len(self.model.processes)) == data)

    def _at(self, name: str) -> Iterator[Part]:
        """Yield the events of a point, then the nominal ones of processes that it does not change."""
        moved: set[int] = set()
        for part in self._of(name, data=False):
            moved.update(np.unique(part.process).tolist())
            yield part
        for part in self._of(NOMINAL, data=False):
            yield part.chosen(~np.isin(part.process, list(moved)))

    def _bins(self, histograms: Mapping[str, Histogram], name: str) -> Floats:
        return contents(self.model, histograms, name, self.model.processes)

    def __iter__(self) -> Iterator[str]:
        """Return the names of all points."""
        return iter(self.folders)

    def __len__(self) -> int:
        """Return the number of points, data included."""
        return len(self.folders)


def stacked(found: Iterable[Part], bins: Floats, scratch: Scratch) -> Events:
    """Return all events that were *found*, on the disk."""
    return _events(scratch.stacked(part[1:] for part in found), bins, scratch)


def _events(arrays: Sequence[Any], bins: Floats, scratch: Scratch) -> Events:
    weight, process, fold, values = arrays
    return Events(weight, process, fold, values, bins, scratch)


def nominal(
    evaluated: Iterable[evaluation.Part], processes: Sequence[str], samples: Mapping[str, str]
) -> Iterator[Part]:
    """Yield the nominal events among *evaluated* ones, of simulation; *samples*: the process of each."""
    for part in evaluated:
        if part.folder == NOMINAL and samples[part.sample] in processes:
            process = np.full_like(part.fold, list(processes).index(samples[part.sample]))
            yield Part(NOMINAL, part.weight.astype(np.float64), process, part.fold, part.values)


def _points(histograms: Mapping[str, Histogram]) -> set[str]:
    """Return the points that all *histograms* have."""
    return set.intersection(*(set(one.axes["variation"]) for one in histograms.values())) if histograms else set()


def contents(model: UnbinnedModel, histograms: Mapping[str, Histogram], name: str, processes: Sequence[str]) -> Floats:
    """Return the contents of the bins of all regions that have bins, (bins, processes)."""
    parts = [np.zeros((0, len(processes)))]
    for region in model.description["binned"]:
        histogram = histograms[region["region"]]
        parts.append(np.stack([content(histogram, process, name).values for process in processes], axis=1))
    return np.maximum(np.concatenate(parts), 0.0)


def expected_bins(model: UnbinnedModel, histograms: Mapping[str, Histogram], kind: str) -> Floats:
    """Return the events in the bins of all regions that have bins: expected ones (``simulation``) or ``data``."""
    processes = [DATA] if kind == "data" else model.processes
    return np.asarray(contents(model, histograms, NOMINAL, processes).sum(axis=1))


def asimov(model: UnbinnedModel, events: Events, values: Floats | None = None) -> Data:
    """Return the expected data: *events* with their weights; nominal ones are reweighted to *values*, if given.

    Auxiliary measurements are at *values*, else nominal.
    """
    if values is not None:
        centre = np.where(model.constrained, values, 0.0)
        return asimov(model, events.moved(model, values))._replace(centre=centre)
    counts = events.bins.sum(axis=1)
    if events.scratch is None:
        return model.data(events.weight, events.values, events.fold, counts=counts)
    sizes = np.bincount(model.bin_terms, minlength=model.terms)
    for rows in events.blocks():
        sizes += np.bincount(events.fold[rows], minlength=model.terms)
    blocks = ((events.weight[rows], model.widened(events.values[rows]), events.fold[rows]) for rows in events.blocks())
    bins = [(counts, model.bins, model.bin_terms)]
    return model.collected(itertools.chain(blocks, bins), sizes, scratch=events.scratch)


def throw(
    model: UnbinnedModel, events: Events, values: Floats, number: int, *names: object, seed: int
) -> Iterator[Data]:
    """Yield pseudo-experiments: every event is there a Poisson number of times, with its weight as the mean.

    Their sum is drawn first, then that many events, with replacement. Auxiliary measurements fluctuate around *values*.
    Negative weights count as 0, and the others of their process less, so that its expected events stay. ASSUME: those
    of negative weights lie where the others do.
    """
    until = _cumulated(events)
    for block, first in enumerate(range(0, number, BLOCK)):
        random = seeds.generator(seed, *map(str, names), block)
        counts = random.poisson(until[-1], BLOCK)
        noise = random.standard_normal((BLOCK, len(model.names)))
        binned = random.poisson(events.bins.sum(axis=1), (BLOCK, len(events.bins))).astype(np.float64)
        together = max(int(GATHERED / max(until[-1], 1.0)), 1)
        for start in range(0, min(BLOCK, number - first), together):
            rows = np.arange(start, min(start + together, BLOCK, number - first))
            drawn = np.concatenate([random.random(counts[row]) * until[-1] for row in rows])
            fold, found = _looked_up(events, until, drawn)
            ends = np.cumsum(counts[rows])
            for row, end in zip(rows, ends, strict=True):
                here = slice(end - counts[row], end)
                centre = np.where(model.constrained, values + model.fluctuated(noise[row]), 0.0)
                yield model.data(np.ones(counts[row]), found[here], fold[here], centre, binned[row])


def _cumulated(events: Events) -> Floats:
    """Return the sums of the weights of all events up to each, (events,), without negative ones."""
    found = np.empty(len(events.weight)) if events.scratch is None else events.scratch.empty(len(events.weight))
    last, factors = 0.0, _left(events)
    for rows in events.blocks():
        weight = np.maximum(events.weight[rows], 0.0) * factors[events.process[rows]]
        weight[0] += last
        found[rows] = np.cumsum(weight)
        last = found[rows.stop - 1]
    return found


def _left(events: Events) -> Floats:
    """Return which part negative weights leave of the positive ones of every process, (processes,); 1 without any."""
    sums = np.zeros((2, events.bins.shape[1]))
    for rows in events.blocks():
        weight, process = events.weight[rows], events.process[rows]
        sums += [np.bincount(process, one, sums.shape[1]) for one in (weight, np.maximum(weight, 0.0))]
    whole, positive = np.maximum(sums, 0.0)
    return np.asarray(np.where(positive > 0, whole / np.where(positive > 0, positive, 1.0), 1.0))


def _looked_up(events: Events, until: Floats, drawn: Floats) -> tuple[Integers, Floats]:
    """Return fold and values of the events in whose part of the sum *until* the numbers *drawn* lie."""
    order = np.argsort(drawn)
    fold = np.empty(len(drawn), dtype=events.fold.dtype)
    values, first = np.empty((len(drawn), events.values.shape[1]), dtype=events.values.dtype), 0
    for rows in events.blocks():
        whole = rows.stop == len(until)
        last = len(drawn) if whole else first + int(np.searchsorted(drawn[order[first:]], until[rows.stop - 1]))
        mine, first = order[first:last], last
        chosen = np.minimum(rows.start + np.searchsorted(until[rows], drawn[mine], side="right"), rows.stop - 1)
        fold[mine], values[mine] = events.fold[chosen], events.values[chosen]
    return fold, values
