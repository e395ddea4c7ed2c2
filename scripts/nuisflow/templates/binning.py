"""Bin edges of a region's observable, by a rule that is the same for every training."""

import itertools
from typing import NamedTuple

import numpy as np

from nuisflow.strategies.binning import Binning

FINE_BINS = 2**18
"""Quantiles are edges of a uniform grid of this many bins: exact to 4e-6 of the observable's range."""
BESIDE_A_GAP = 20
"""Different values on both sides of a gap, within its own width, from which on it is no accident (e^-20)."""
BESIDE_A_HOLE = 10.0
"""Effective background events of both neighbours of empty bins from which on these are no accident."""


class Content(NamedTuple):
    """Bin contents: sums of weights and sums of squared weights, each of shape (bins,)."""

    values: np.ndarray
    variances: np.ndarray


class Bins(NamedTuple):
    """Bin edges, of shape (bins + 1,), what had to be done to get them, (bin, text) each, and bins without events."""

    edges: np.ndarray
    remarks: tuple[tuple[int, str], ...]
    holes: tuple[int, ...] = ()


def candidates(binning: Binning, low: float, high: float) -> np.ndarray:
    """Return all edges that the rule may choose from; *low* to *high* is the range of the observable (quantile)."""
    if binning.rule == "edges":
        return np.asarray(binning.edges, dtype=np.float64)
    if binning.rule == "uniform":
        return np.linspace(binning.low, binning.high, binning.number + 1)
    if high <= low:
        half = max(0.5, abs(low) * float(np.finfo(np.float32).eps))  # of large numbers, half is nothing
        low, high = low - half, low + half
    return np.unique(np.linspace(low, high, FINE_BINS + 1))


def choose(binning: Binning, edges: np.ndarray, signal: Content, background: Content, *, gaps: bool = False) -> Bins:
    """Return the bins of a region with nominal *signal* and *background* in the candidate bins *edges*.

    *gaps*: whether quantiles end where a wide range without any event begins (`quantiles`).

    Bins with fewer than ``minimum_events`` effective background events, or without any expected event, join the bin
    below them (the lowest one joins the bin above), except holes (`merge`).
    """
    kept = np.arange(len(edges))
    remarks: list[tuple[int, str]] = []
    if binning.rule == "quantile":
        kept = quantiles(signal.values, background.values, binning.number, gaps=gaps)
        if len(kept) <= binning.number:
            remarks.append((-1, f"{len(kept) - 1} bins instead of {binning.number}: too few different values"))
    merged = merge(_group(signal, kept), _group(background, kept), binning.minimum_events)
    remarks += _merged_remarks(edges[kept], merged, binning.minimum_events)
    events = _group(Content(signal.values, signal.variances + background.variances), kept[merged]).variances
    found = effective_events(_group(background, kept[merged]))
    if len(merged) == 2 and found[0] < binning.minimum_events:
        remarks.append((0, f"the only bin has {found[0]:.3g} effective background events: fewer than asked for"))
    return Bins(edges[kept[merged]], tuple(remarks), tuple(np.flatnonzero(events == 0).tolist()))


def quantiles(signal: np.ndarray, background: np.ndarray, number: int, *, gaps: bool = False) -> np.ndarray:
    """Return indices of the edges that cut the mixture of signal and background into *number* equal shares.

    Signal and background, each of shape (fine bins,), count the same: each is normalised to one. The edge nearest to a
    quantile is taken, and the middle of a range of edges that give the same shares: integers are separated half-way.
    Indices are unique, so there are fewer than ``number + 1`` where one value has more than a share.

    With *gaps*, a wide range without any event, such as a signal window left out, is a bin of its own: the quantile
    nearest to it gives way to its two ends.
    """
    shares = [values / values.sum() for values in (signal, background) if values.sum() > 0]
    if not shares:
        return np.array([0, len(signal)])
    # ASSUME: where negative weights make the cumulative distribution fall, it counts as flat.
    cumulative = np.maximum.accumulate(np.cumsum(np.mean(shares, axis=0)))
    targets = np.arange(1, number) / number
    above = np.searchsorted(cumulative, targets * (1 - 1e-9), side="left")
    after, before = cumulative[above], np.where(above > 0, cumulative[above - 1], 0.0)
    levels = np.where(targets - before < after - targets, before, after)
    levels = levels[(levels > 0) & (levels < cumulative[-1])]
    ends = _gaps(np.flatnonzero((signal != 0) | (background != 0))) if gaps else np.zeros((0, 2), dtype=np.int64)
    for level in cumulative[ends[:, 0] - 1]:
        distances = np.abs(levels - level)
        near = distances == distances.min(initial=0.5 / number)
        levels = levels[~near]
    first, last = (np.searchsorted(cumulative, levels, side=side) for side in ("left", "right"))
    return np.unique(np.concatenate([[0], (first + 1 + last) // 2, ends.ravel(), [len(signal)]]))


def _gaps(filled: np.ndarray) -> np.ndarray:
    """Return the first and the last edge of every wide gap between *filled* bins, shape (gaps, 2).

    Wide is a gap if there are `BESIDE_A_GAP` filled bins on either side within its own width: that the values of a
    smooth distribution leave one is as improbable as exp(-20). Integers and rounded values have no such gaps.
    """
    starts, ends = filled[:-1] + 1, filled[1:]
    number = np.arange(1, len(filled))
    below = number - np.searchsorted(filled, starts - (ends - starts), side="left")
    above = np.searchsorted(filled, ends + (ends - starts), side="left") - number
    return np.asarray(np.stack([starts, ends], axis=1)[np.minimum(below, above) >= BESIDE_A_GAP])


def merge(signal: Content, background: Content, minimum: float) -> np.ndarray:
    """Return indices of the edges that remain when bins with too few effective background events join a neighbour.

    Bins are collected from the highest downwards, the signal-like end of a score; what remains at the lowest end joins
    the bin above it, and with it the next one if its weights, large or negative, leave too few effective events. Bins
    without a single event between two that have enough, and `BESIDE_A_HOLE`, stay apart as one bin: a hole of the
    selection, such as a signal window left out, across which no events must be drawn.
    """
    number, beside = len(signal.values), max(minimum, BESIDE_A_HOLE)
    kept, events = [number], signal.variances + background.variances

    def enough(first: int, last: int, wanted: float) -> bool:
        total = signal.values[first:last].sum() + background.values[first:last].sum()
        parts = background.values[first:last].sum(), background.variances[first:last].sum()
        return bool(total > 0 and _effective(*parts) >= wanted)

    for lower in reversed(range(number)):
        upper = kept[-1]
        inside = lower > 0 and upper < number and not np.any(events[lower:upper])
        hole = inside and enough(lower - 1, lower, beside) and enough(upper, kept[-2], beside)
        if hole or enough(lower, upper, minimum):
            kept.append(lower)
    kept[-1 if len(kept) > 1 else 1 :] = [0]
    while len(kept) > 2 and not enough(0, kept[-2], minimum):
        del kept[-2]
    return np.array(kept[::-1])


def effective_events(content: Content) -> np.ndarray:
    """Return (sum w)^2 / sum w^2 of every bin: the unweighted events that would be as precise; 0 for a negative sum."""
    return np.array([_effective(value, variance) for value, variance in zip(*content, strict=True)])


def _effective(value: float, variance: float) -> float:
    return float(value**2 / variance) if value > 0 and variance > 0 else 0.0


def _group(content: Content, edges: np.ndarray) -> Content:
    """Return *content* summed between the given *edges* (indices)."""
    return Content(np.add.reduceat(content.values, edges[:-1]), np.add.reduceat(content.variances, edges[:-1]))


def _merged_remarks(edges: np.ndarray, merged: np.ndarray, minimum: float) -> list[tuple[int, str]]:
    return [
        (index, f"joins bins with edges {_listed(edges[first : last + 1])}: < {minimum:g} effective background events")
        for index, (first, last) in enumerate(itertools.pairwise(merged))
        if last - first > 1
    ]


def _listed(edges: np.ndarray) -> str:
    return ", ".join(f"{edge:.5g}" for edge in edges)
