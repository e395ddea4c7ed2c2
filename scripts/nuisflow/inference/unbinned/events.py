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

BLOCK = 500
"""Pseudo-experiments whose random numbers are drawn together."""


class Events(NamedTuple):
    """Events at one true point: *weight* (expected events), process, fold (events), *values* (events, outputs)."""

    weight: Floats
    process: Integers
    fold: Integers
    values: Floats

    def scaled(self, factors: Floats) -> "Events":
        """Return the events with the weights of every process times its factor."""
        return self._replace(weight=self.weight * factors[self.process])


def read(path: Path, model: UnbinnedModel, samples: Mapping[str, str]) -> dict[str, Events]:
    """Return the events of all processes at every true point (folder), and ``data`` if there are any.

    *samples*: the process of every sample. A process that a point does not change has its nominal events there.
    """
    names = [f"d{index}" for index in range(model.outputs)]
    folders = event_files.texts(path, "variation")
    listed = list(samples)
    known = {name: index for index, name in enumerate(model.processes)}
    codes = np.array([known.get(samples[name], len(known)) for name in listed])
    parts: dict[tuple[int, int], list[Events]] = {}
    categories = {"variation": folders, "sample": listed}
    for rows in event_files.read_event_parts(path, ["fold", "weight", *names], categories):
        values = np.stack([rows[name] for name in names], axis=1)
        process = codes[rows["sample"]]
        for folder, index in sorted(set(zip(rows["variation"].tolist(), process.tolist(), strict=True))):
            inside = (rows["variation"] == folder) & (process == index)
            weight = rows["weight"][inside].astype(np.float64)
            part = Events(weight, process[inside], rows["fold"][inside].astype(np.int64), values[inside])
            parts.setdefault((folder, index), []).append(part)
    joined = {key: Events(*map(np.concatenate, zip(*part, strict=True))) for key, part in parts.items()}
    nominal = folders.index("nominal")
    found = {
        name: _together([joined.get((row, index), joined[nominal, index]) for index in range(len(known))])
        for row, name in enumerate(folders)
    }
    data = joined.get((nominal, len(known)))
    return found if data is None else found | {"data": data}


def _together(parts: Sequence[Events]) -> Events:
    return Events(*map(np.concatenate, zip(*parts, strict=True)))


def asimov(model: UnbinnedModel, events: Events, values: Floats | None = None) -> Data:
    """Return the expected data: *events* with their weights; nominal ones are reweighted to *values*, if given.

    Auxiliary measurements are at *values*, else nominal.
    """
    if values is None:
        return model.data(events.weight, events.values, events.fold)
    centre = np.where(model.constrained, values, 0.0)
    weight = events.weight * model.responses(values, events.process, events.fold, events.values)
    return model.data(weight, events.values, events.fold, centre)


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
        for row in range(min(BLOCK, number - first)):
            chosen = np.searchsorted(cumulative, random.random(counts[row]) * cumulative[-1], side="right")
            centre = np.where(model.constrained, values + model.widths * noise[row], 0.0)
            yield model.data(np.ones(len(chosen)), events.values[chosen], events.fold[chosen], centre)
