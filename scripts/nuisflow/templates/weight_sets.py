"""Templates of a set of weights, combined to up and down bin by bin."""

from typing import Any

import hist
import numpy as np

from nuisflow.events.variations import MEMBER
from nuisflow.slices.inference import Filling
from nuisflow.templates.histograms import Histogram

PARALLEL = 0.5
"""Cosine between the changes of shape above which they have the same direction, not only the same fluctuations."""


def _combined(histogram: Histogram, settings: Filling) -> Histogram:
    """Return *histogram* with the up and down of every weight set in place of its members."""
    if not settings.sets:
        return histogram
    others = [name for name in histogram.axes["variation"] if MEMBER not in name.rpartition("_")[2]]
    made: Histogram = hist.Hist(
        histogram.axes["process"],
        hist.axis.StrCategory([*others, *(f"{name}_{side}" for name in settings.sets for side in ("up", "down"))]),
        histogram.axes["score"],
        storage=hist.storage.Weight(),
    )
    made.axes.name = histogram.axes.name
    names = list(histogram.axes["variation"])
    signs = [-1.0 if process in settings.parts else 1.0 for process in histogram.axes["process"]]
    old: Any = histogram.view(flow=True)
    new: Any = made.view(flow=True)
    new[:, : len(others)] = old[:, [names.index(name) for name in others]]
    for index, (name, chosen) in enumerate(settings.sets.items()):
        members = [names.index(f"{name}_{MEMBER}{number}") for number in range(chosen.number)]
        for row in range(len(histogram.axes["process"])):
            nominal, sign = old[row, 0], signs[row]  # the most of what is subtracted is the least of an estimate
            pair = combine(sign * nominal["value"], sign * old[row, members]["value"], chosen.combine)
            for side, values in enumerate(pair):
                place = new[row, len(others) + 2 * index + side]
                place["value"], place["variance"] = sign * values, nominal["variance"]
    return made


def combine(nominal: np.ndarray, members: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the up and down templates that *members*, of shape (members, bins), stand for together.

    Every bin by itself, and all bins move together: which bins move against each other is lost. ``replicas``: the
    standard deviation (arXiv:1510.03865, equation 20); ``symmetric_hessian`` and ``hessian``: changes in quadrature,
    of the latter the largest of each pair on either side (equations 17 and 19 there); ``envelope``: largest, smallest.
    """
    change = members - nominal
    match how:
        case "replicas":
            up = down = members.std(axis=0, ddof=1)
        case "symmetric_hessian":
            up = down = np.sqrt(np.sum(change**2, axis=0))
        case "hessian":
            pairs = change.reshape(-1, 2, len(nominal))
            up = np.sqrt(np.sum(np.maximum(pairs.max(axis=1), 0) ** 2, axis=0))
            down = np.sqrt(np.sum(np.maximum(-pairs.min(axis=1), 0) ** 2, axis=0))
        case _:
            up, down = np.maximum(change.max(axis=0), 0), np.maximum(-change.min(axis=0), 0)
    return nominal + up, nominal - down
