"""The events of a likelihood of single events: simulated ones at true points, pseudo-experiments and expected data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.storage import event_files
from nuisflow.templates.histograms import DATA, Histogram, content
from nuisflow.templates.unbinned import evaluation

BLOCK = 500
"""Pseudo-experiments whose random numbers are drawn together."""


class Events(NamedTuple):
    """Events at one true point: *weight* (expected events), process, fold (events), *values* (events, outputs).

    *bins* (bins, processes): expected events in the bins of all regions that have bins.
    """

    weight: Floats
    process: Integers
    fold: Integers
    values: Floats
    bins: Floats

    def chosen(self, kept: Booleans | Integers) -> "Events":
        """Return the events that are *kept* (or those at these places), and all bins."""
        return Events(self.weight[kept], self.process[kept], self.fold[kept], self.values[kept], self.bins)

    def scaled(self, factors: Floats) -> "Events":
        """Return the events with the weights of every process times its factor."""
        return self._replace(weight=self.weight * factors[self.process], bins=self.bins * factors)


class Part(NamedTuple):
    """Some events of one true point (*folder*), without bins; *process*: the number of processes for data."""

    folder: str
    weight: Floats
    process: Integers
    fold: Integers
    values: Floats


def parts(path: Path, model: UnbinnedModel, samples: Mapping[str, str], folder: str | None = None) -> Iterator[Part]:
    """Yield the events of a file of densities, or those of one *folder*; memory does not grow with their number.

    *samples*: the process of every sample.
    """
    names, folders, listed = [f"d{index}" for index in range(model.outputs)], _folders(path), list(samples)
    known = {name: index for index, name in enumerate(model.processes)}
    codes = np.array([known.get(samples[name], len(known)) for name in listed])
    categories = {"variation": folders, "sample": listed}
    only = None if folder is None else ("variation", folder)
    for rows in event_files.read_event_parts(path, ["fold", "weight", *names], categories, only=only):
        values = np.stack([rows[name] for name in names], axis=1)
        for index in np.unique(rows["variation"]) if folder is None else [folders.index(folder)]:
            inside = rows["variation"] == index
            process, fold = codes[rows["sample"][inside]], rows["fold"][inside].astype(np.int64)
            yield Part(folders[index], rows["weight"][inside].astype(np.float64), process, fold, values[inside])


def _folders(path: Path) -> list[str]:
    return event_files.texts(path, "variation")


class Pools(Mapping[str, Events]):
    """The events of all processes at every true point (folder), and ``data`` if there are any; read when asked.

    *samples*: the process of every sample; *templates*, *displaced*: histograms, for regions that have bins. A process
    that a point does not change has its nominal events there. Only the nominal events stay in memory.
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
        found = _together(list(parts(path, model, samples, NOMINAL)))
        seen = found.process == len(model.processes)
        self.folders = _folders(path)
        if seen.any():
            self.observed = _of(found, _counted(model, templates, NOMINAL, [DATA])).chosen(seen)
            self.folders.append("data")
        nominal = _of(found, _counted(model, templates, NOMINAL, model.processes))
        self.nominal = nominal.chosen(~seen) if seen.any() else nominal

    def __getitem__(self, name: str) -> Events:
        """Return the events at one point, or the data."""
        if name not in self.folders:
            raise KeyError(f"{self.path}: no events at {name!r}; there are: {', '.join(self.folders)}")
        if name in (NOMINAL, "data"):
            return self.nominal if name == NOMINAL else self.observed
        own = list(parts(self.path, self.model, self.samples, name))
        moved = np.unique(np.concatenate([part.process for part in own]))
        kept = self.nominal.chosen(~np.isin(self.nominal.process, moved))
        found = _together([*own, Part(name, kept.weight, kept.process, kept.fold, kept.values)])
        histograms = self.displaced if name in _points(self.displaced) else self.templates
        return _of(found, _counted(self.model, histograms, name, self.model.processes))

    def __iter__(self) -> Iterator[str]:
        """Return the names of all points."""
        return iter(self.folders)

    def __len__(self) -> int:
        """Return the number of points, data included."""
        return len(self.folders)


def _of(part: Part, bins: Floats) -> Events:
    return Events(part.weight, part.process, part.fold, part.values, bins)


def _together(found: Sequence[Part]) -> Part:
    """Return all events that were *found* as one part."""
    weight, process, fold, values = (
        np.concatenate([getattr(part, name) for part in found]) for name in ("weight", "process", "fold", "values")
    )
    return Part(found[0].folder, weight, process, fold, values)


def nominal(
    evaluated: Sequence[evaluation.Part],
    model: UnbinnedModel,
    samples: Mapping[str, str],
    templates: Mapping[str, Histogram],
) -> Events:
    """Return the nominal events among *evaluated* ones, of simulation."""
    known = {name: index for index, name in enumerate(model.processes)}
    chosen = [part for part in evaluated if part.folder == NOMINAL and samples[part.sample] in known]
    found = _together([
        Part(
            NOMINAL,
            part.weight.astype(np.float64),
            np.full(len(part.weight), known[samples[part.sample]]),
            part.fold.astype(np.int64),
            part.values,
        )
        for part in chosen
    ])  # fmt: skip
    return _of(found, _counted(model, templates, NOMINAL, model.processes))


def _points(histograms: Mapping[str, Histogram]) -> set[str]:
    """Return the points that all *histograms* have."""
    return set.intersection(*(set(one.axes["variation"]) for one in histograms.values())) if histograms else set()


def _counted(model: UnbinnedModel, histograms: Mapping[str, Histogram], name: str, processes: Sequence[str]) -> Floats:
    """Return the contents of the bins of all regions that have bins, (bins, processes)."""
    parts = [np.zeros((0, len(processes)))]
    for region in model.description["binned"]:
        histogram = histograms[region["region"]]
        parts.append(np.stack([content(histogram, process, name).values for process in processes], axis=1))
    return np.maximum(np.concatenate(parts), 0.0)


def expected_bins(model: UnbinnedModel, histograms: Mapping[str, Histogram], kind: str) -> Floats:
    """Return the events in the bins of all regions that have bins: expected ones (``simulation``) or ``data``."""
    processes = [DATA] if kind == "data" else model.processes
    return np.asarray(_counted(model, histograms, NOMINAL, processes).sum(axis=1))


def asimov(model: UnbinnedModel, events: Events, values: Floats | None = None) -> Data:
    """Return the expected data: *events* with their weights; nominal ones are reweighted to *values*, if given.

    Auxiliary measurements are at *values*, else nominal.
    """
    if values is None:
        return model.data(events.weight, events.values, events.fold, counts=events.bins.sum(axis=1))
    centre = np.where(model.constrained, values, 0.0)
    weight = events.weight * model.responses(values, events.process, events.fold, model.widened(events.values))
    counts = (events.bins * model.bin_responses(values)).sum(axis=1)
    return model.data(weight, events.values, events.fold, centre, counts)


def throw(
    model: UnbinnedModel, events: Events, values: Floats, number: int, *names: object, seed: int
) -> Iterator[Data]:
    """Yield pseudo-experiments: every event is there a Poisson number of times, with its weight as the mean.

    Their sum is drawn first, then that many events, with replacement. Auxiliary measurements fluctuate around *values*.
    Negative weights count as 0.
    """
    cumulative = np.cumsum(np.maximum(events.weight, 0.0))
    for block, first in enumerate(range(0, number, BLOCK)):
        random = seeds.generator(seed, *map(str, names), block)
        counts = random.poisson(cumulative[-1], BLOCK)
        noise = random.standard_normal((BLOCK, len(model.names)))
        binned = random.poisson(events.bins.sum(axis=1), (BLOCK, len(events.bins))).astype(np.float64)
        for row in range(min(BLOCK, number - first)):
            chosen = np.searchsorted(cumulative, random.random(counts[row]) * cumulative[-1], side="right")
            centre = np.where(model.constrained, values + model.widths * noise[row], 0.0)
            yield model.data(np.ones(len(chosen)), events.values[chosen], events.fold[chosen], centre, binned[row])
