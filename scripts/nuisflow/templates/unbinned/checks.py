"""What keeps events from having densities: errors that name training, process, variation and remedy, and flags."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nuisflow.events.scored_events import TemplateError
from nuisflow.templates import polynomials
from nuisflow.templates.histograms import DATA, NOMINAL

if TYPE_CHECKING:
    from nuisflow.strategies.unbinned import Unbinned
    from nuisflow.templates.unbinned.evaluation import Sums

MISFIT = 0.01
"""Of ln of a yield, from its polynomial."""


@contextlib.contextmanager
def named(training: str) -> Iterator[None]:
    """Name the *training* in errors."""
    try:
        yield
    except TemplateError as error:
        raise TemplateError(f"training {training}: {error}; without this training the others go on") from error


class Support:
    """The range of every feature in simulated nominal events, and how many events of the data are beyond."""

    def __init__(self, features: Sequence[str]) -> None:
        self.features = features
        self.low, self.high = np.full(len(features), np.inf), np.full(len(features), -np.inf)
        self.outside, self.data = np.zeros(len(features), dtype=np.int64), 0

    def add(self, columns: Mapping[str, np.ndarray], process: str) -> None:
        """Look at nominal events of simulation, or, after all of these, of data."""
        values = np.stack([columns[name] for name in self.features], axis=1)
        if process == DATA:
            self.data += len(values)
            self.outside += ((values < self.low) | (values > self.high)).sum(axis=0)
        elif len(values):
            self.low, self.high = np.minimum(self.low, values.min(axis=0)), np.maximum(self.high, values.max(axis=0))

    def plain(self) -> dict[str, Any]:
        """Return the events of the data, and by feature those outside; features that have none are left out."""
        found = {name: int(number) for name, number in zip(self.features, self.outside, strict=True) if number}
        return {"data": self.data, "outside": found}


def data_last(paths: Sequence[Path], samples: Mapping[str, str]) -> list[Path]:
    """Return *paths*, simulation first: `Support` needs it before the data."""
    return sorted(paths, key=lambda path: samples[path.stem] == DATA)


def check_values(values: np.ndarray, strategy: "Unbinned", path: Path) -> None:
    """Raise `TemplateError` where a ratio or a coefficient of a response, (events, outputs), is no number."""
    for column in np.flatnonzero(~np.isfinite(values).all(axis=0))[:1]:
        size, number = len(strategy.processes), int((~np.isfinite(values[:, column])).sum())
        owners = [(name, row) for name in strategy.processes for row in strategy.monomials(name)]
        what = f"the ratio of process {strategy.processes[column]!r}" if column < size else ""
        if not what:
            process, powers = owners[column - size]
            names = [name for name, power in zip(strategy.variations, powers, strict=True) if power]
            what = f"the response of process {process!r} to {' and '.join(map(repr, names))}"
        raise TemplateError(
            f"{path}: {what} overflows in {number} events; look for huge values among the features of these events, "
            "or train with a lower learning_rate"
        )


def check_events(strategy: "Unbinned", sums: "Sums", yields: Mapping[str, float], wanted: Sequence[str]) -> None:
    """Raise `TemplateError` where a process has no events: *yields*, those at nominal of the processes *wanted*."""
    if missing := [name for name in wanted if not yields.get(name, 0.0) > 0]:
        raise TemplateError(
            f"no events of process {', '.join(missing)} in any region of single events: the likelihood has no density "
            "of them; check the selections, or leave the process out"
        )
    for fold, index in np.argwhere(sums.events <= 0):
        raise TemplateError(
            f"no events of process {strategy.processes[index]} in fold {fold}: simulate more, or use fewer folds"
        )


def misfits(sums: "Sums", terms: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return where the polynomial of ln of a yield is farther than `MISFIT` from what was counted.

    *terms*: its coefficients, by process. *off*: by how much; None where nothing was counted.
    """
    found = []
    for process, coefficients in terms.items():
        for folder, place in sums.places.items():
            counted = sums.yields.get((folder, process))
            if counted is None:
                continue
            words: dict[str, Any] = {"process": process, "place": folder}
            if not counted > 0:
                found.append(words | {"off": None})
                continue
            described = float(polynomials.values(sums.table, np.array([place]))[0] @ coefficients)
            off = described - float(np.log(counted / sums.yields[NOMINAL, process]))
            if abs(off) > MISFIT:
                found.append(words | {"off": off})
    return found
