"""Uncertainty by templates in ever more bins of the learned ratio: it approaches that of single events from above."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.inference.closure.differences import edges
from nuisflow.inference.closure.probes import Moved, Nominal
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.strategies.unbinned import Unbinned

BINS = (5, 10, 20, 50)


class Templates:
    """Templates of the events at nominal and at +1 and -1 of every parameter, in bins of one number per event.

    The number is the efficient score: the derivative of ln R by the signal strength, less what nuisance parameters can
    imitate. A histogram of it in infinitely many bins knows as much of the signal as all events. The templates are
    counted on varied events, not taken from the learned response, so that a wrong response shows here.
    """

    def __init__(self, model: UnbinnedModel, nominal: Nominal) -> None:
        self.model, self.nominal = model, nominal
        self.scores = scores(model, nominal.values, nominal.fold)
        constraint = np.where(model.constrained, 1 / np.where(model.constrained, model.widths, 1.0) ** 2, 0.0)
        self.apart = np.diag(constraint) + _of_bins(model)
        weight = nominal.weight[:, None]
        self.whole = self.apart + (weight * self.scores).T @ self.scores
        rest = np.linalg.solve(self.whole[1:, 1:], self.whole[1:, 0]) if len(self.whole) > 1 else np.zeros(0)
        self.direction = np.concatenate([[1.0], -rest])
        self.axis = self.scores @ self.direction
        self.edges = {number: edges(self.axis, nominal.weight, number) for number in BINS}
        self.varied = {number: np.zeros((len(model.names), len(self.edges[number]) + 1)) for number in BINS}
        share = nominal.weight * self.scores[:, 0] ** 2
        self.largest = float(share.max() / share.sum())

    def add(self, moved: Moved, parameters: Mapping[str, str]) -> None:
        """Fill in events at +1 or -1 of a variation; *parameters*: see `parameters`."""
        assert moved.there is not None  # for mypy
        ((variation, z),) = moved.place.z.items()
        here, there = (scores(self.model, v, moved.fold) @ self.direction for v in (moved.values, moved.there))
        row = self.model.names.index(parameters[variation])
        for number, lines in self.edges.items():
            for axis, weight, sign in ((there, moved.after, 0.5 * z), (here, moved.before, -0.5 * z)):
                found = np.bincount(np.searchsorted(lines, axis, side="right"), weight, len(lines) + 1)
                self.varied[number][row] += sign * found

    def widths(self) -> dict[str, Any]:
        """Return the uncertainty of the signal strength by the numbers of bins, and that of single events."""
        rows = []
        for number, lines in self.edges.items():
            place = np.searchsorted(lines, self.axis, side="right")
            content = np.stack(
                [np.bincount(place[own], self.nominal.weight[own], len(lines) + 1) for own in self._own()]
            )
            slopes = _slopes(self.model) @ content + self.varied[number]
            total = np.maximum(content.sum(axis=0), 1e-300)
            rows.append({"bins": len(total), "sigma": _width(self.apart + (slopes / total) @ slopes.T)})
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


def _slopes(model: UnbinnedModel) -> Floats:
    """Return the derivatives of ln of the yields by the parameters that are factors, (parameters, processes)."""
    s = model.structure
    return np.asarray(np.where(s.linear, 1.0 / np.where(model.inits == 0, 1.0, model.inits)[:, None], 0.0)
                      + 0.5 * (s.rate_up - s.rate_down))  # fmt: skip


def scores(model: UnbinnedModel, values: Floats, term: Integers) -> Floats:
    """Return the derivatives of ln R by all parameters at nominal, (events, parameters); *term*: fold of each event."""
    s, size = model.structure, len(model.processes)
    intensity = np.exp(values[:, :size]) * s.number[s.region[term]]
    intensity /= intensity.sum(axis=1, keepdims=True)
    found = intensity @ _slopes(model).T
    for k, place in enumerate(s.learned):
        alone = np.eye(len(s.learned), dtype=np.int64)[k]
        common = s.powers.tolist().index(alone.tolist())
        slope = (s.yields[s.region, :, common] - s.norms[:, :, common])[term]
        for p in range(size):
            for c in range(s.first[p], s.first[p + 1]):
                if model.columns[c] >= 0 and (s.monomials[c] == alone).all():
                    slope[:, p] += values[:, size + model.columns[c]]
        found[:, place] += (intensity * slope).sum(axis=1)
    return np.asarray(found)


def _of_bins(model: UnbinnedModel) -> Floats:
    """Return the information that regions with bins have, (parameters, parameters)."""
    if not len(model.bins):
        return np.zeros((len(model.names), len(model.names)))
    s = model.structure
    with np.errstate(invalid="ignore"):
        found = scores(model, np.maximum(model.bins, -600.0), model.bin_terms)
    expected = (np.exp(model.bins[:, : len(model.processes)]) * s.number[s.region[model.bin_terms]]).sum(axis=1)
    return np.asarray((expected[:, None] * found).T @ found)
