"""The events of a likelihood of single events: simulated ones at true points, pseudo-experiments and expected data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.storage import event_files
from nuisflow.templates import unbinned
from nuisflow.templates.histograms import DATA, Histogram, content

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

    def scaled(self, factors: Floats) -> "Events":
        """Return the events with the weights of every process times its factor."""
        return self._replace(weight=self.weight * factors[self.process], bins=self.bins * factors)


def read(
    path: Path, model: UnbinnedModel, samples: Mapping[str, str], templates: Mapping[str, Histogram],
    displaced: Mapping[str, Histogram],
) -> dict[str, Events]:  # fmt: skip
    """Return the events of all processes at every true point (folder), and ``data`` if there are any.

    *samples*: the process of every sample; *templates*, *displaced*: histograms, for regions that have bins. A process
    that a point does not change has its nominal events there.
    """
    names = [f"d{index}" for index in range(model.outputs)]
    folders = event_files.texts(path, "variation")
    listed = list(samples)
    known = {name: index for index, name in enumerate(model.processes)}
    codes = np.array([known.get(samples[name], len(known)) for name in listed])
    parts: dict[tuple[int, int], list[_Part]] = {}
    categories = {"variation": folders, "sample": listed}
    for rows in event_files.read_event_parts(path, ["fold", "weight", *names], categories):
        values = np.stack([rows[name] for name in names], axis=1)
        process = codes[rows["sample"]]
        for folder, index in sorted(set(zip(rows["variation"].tolist(), process.tolist(), strict=True))):
            inside = (rows["variation"] == folder) & (process == index)
            part = _part(rows["weight"][inside], index, rows["fold"][inside], values[inside])
            parts.setdefault((folder, index), []).append(part)
    joined = {key: _together(part) for key, part in parts.items()}
    nominal = folders.index("nominal")
    found = {}
    for row, name in enumerate(folders):
        all_of_them = _together([joined.get((row, index), joined[nominal, index]) for index in range(len(known))])
        histograms = displaced if name in _points(displaced) else templates
        found[name] = Events(*all_of_them, _counted(model, histograms, name, model.processes))
    if (data := joined.get((nominal, len(known)))) is not None:
        found["data"] = Events(*data, _counted(model, templates, "nominal", [DATA]))
    return found


def nominal(
    parts: Sequence[unbinned.Part], model: UnbinnedModel, samples: Mapping[str, str], templates: Mapping[str, Histogram]
) -> Events:
    """Return the nominal events among *parts*, of simulation."""
    known = {name: index for index, name in enumerate(model.processes)}
    chosen = [part for part in parts if part.folder == "nominal" and samples[part.sample] in known]
    alike = [_part(part.weight, known[samples[part.sample]], part.fold, part.values) for part in chosen]
    return Events(*_together(alike), _counted(model, templates, "nominal", model.processes))


class _Part(NamedTuple):
    """Events without bins."""

    weight: Floats
    process: Integers
    fold: Integers
    values: Floats


def _part(weight: Floats, process: int, fold: Integers, values: Floats) -> _Part:
    """Return events of one process in the types in which they are used."""
    return _Part(weight.astype(np.float64), np.full(len(weight), process), fold.astype(np.int64), values)


def _together(parts: Sequence[_Part]) -> _Part:
    return _Part(*map(np.concatenate, zip(*parts, strict=True)))


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
