"""Uncertainty by templates in ever more bins of the learned ratio: it approaches that of single events from above."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.inference.closure.differences import edges
from nuisflow.inference.closure.probes import Moved, Nominal
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scores import of_rates, scores
from nuisflow.likelihood.histfactory import Floats
from nuisflow.strategies.unbinned import Unbinned

BINS = (5, 10, 20, 50)


class Templates:
    """Templates of the events at nominal and at +1 and -1 of every parameter, in bins of one number per event.

    The number is the efficient score: the derivative of ln R by the signal strength, less what nuisance parameters can
    imitate. A histogram of it in infinitely many bins knows as much of the signal as all events. The templates are
    counted on varied events, not taken from the learned response, so that a wrong response shows here. Where these are
    not the nominal events moved, chance alone makes differences: what it adds to the information is taken off.
    """

    def __init__(self, model: UnbinnedModel, nominal: Nominal) -> None:
        self.model, self.nominal = model, nominal
        self.scores = scores(model, model.widened(nominal.values), nominal.fold)
        self.apart = model.structure.precision + _of_bins(model)
        weight = nominal.weight[:, None]
        self.whole = self.apart + (weight * self.scores).T @ self.scores
        rest = np.linalg.solve(self.whole[1:, 1:], self.whole[1:, 0]) if len(self.whole) > 1 else np.zeros(0)
        self.direction = np.concatenate([[1.0], -rest])
        self.axis = self.scores @ self.direction
        self.edges = {number: edges(self.axis, nominal.weight, number) for number in BINS}
        self.varied = {number: np.zeros((len(model.names), len(self.edges[number]) + 1)) for number in BINS}
        self.chance = {number: np.zeros_like(found) for number, found in self.varied.items()}
        share = nominal.weight * self.scores[:, 0] ** 2
        self.largest = float(share.max() / share.sum())

    def add(self, moved: Moved, parameters: Mapping[str, str]) -> None:
        """Fill in events at +1 or -1 of a variation; *parameters*: see `parameters`."""
        assert moved.there is not None  # for mypy
        ((variation, z),) = moved.place.z.items()
        both = (self.model.widened(values) for values in (moved.values, moved.there))
        here, there = (scores(self.model, values, moved.fold) @ self.direction for values in both)
        row = self.model.names.index(parameters[variation])
        for number, lines in self.edges.items():
            for axis, weight, sign in ((there, moved.after, moved.part * z), (here, moved.before, -moved.part * z)):
                place = np.searchsorted(lines, axis, side="right")
                self.varied[number][row] += sign * np.bincount(place, weight, len(lines) + 1)
                if not moved.is_paired:
                    self.chance[number][row] += np.bincount(place, (sign * weight) ** 2, len(lines) + 1)

    def widths(self) -> dict[str, Any]:
        """Return the uncertainty of the signal strength by the numbers of bins, and that of single events."""
        rows = []
        for number, lines in self.edges.items():
            place = np.searchsorted(lines, self.axis, side="right")
            content = np.stack(
                [np.bincount(place[own], self.nominal.weight[own], len(lines) + 1) for own in self._own()]
            )
            slopes = of_rates(self.model) @ content + self.varied[number]
            total = np.maximum(content.sum(axis=0), 1e-300)
            information = (slopes / total) @ slopes.T - np.diag((self.chance[number] / total).sum(axis=1))
            rows.append({"bins": len(total), "sigma": _width(self.apart + information)})
        return {"binned": rows, "unbinned": _width(self.whole)}

    def _own(self) -> list[Floats]:
        return [self.nominal.process == index for index in range(len(self.model.processes))]


def parameters(model: UnbinnedModel, strategy: Unbinned, process: int) -> dict[str, str]:
    """Return the nuisance parameter that every variation has in single events of a process."""
    first = sum(len(strategy.monomials(name)) for name in strategy.processes[:process])
    found = {}
    for column, powers in enumerate(strategy.monomials(strategy.processes[process]), start=first):
        for c in np.flatnonzero(model.columns == column) if sum(powers) == 1 else ():
            learned = model.structure.learned[int(np.argmax(model.structure.monomials[c]))]
            found[strategy.variations[int(np.argmax(powers))]] = model.names[int(learned)]
    return found


def _width(information: Floats) -> float:
    return float(np.sqrt(np.linalg.inv(information)[0, 0]))


def _of_bins(model: UnbinnedModel) -> Floats:
    """Return the information that regions with bins have, (parameters, parameters)."""
    if not len(model.bins):
        return np.zeros((len(model.names), len(model.names)))
    s = model.structure
    with np.errstate(invalid="ignore"):
        found = scores(model, np.maximum(model.bins, -600.0), model.bin_terms)
    expected = (np.exp(model.bins[:, : len(model.processes)]) * s.number[s.region[model.bin_terms]]).sum(axis=1)
    return np.asarray((expected[:, None] * found).T @ found)
