"""Templates of variations made smooth, symmetric, positive: what is changed, and when."""

from typing import NamedTuple

import numpy as np

from nuisflow.templates.binning import Content
from nuisflow.templates.weight_sets import PARALLEL

TINY = 1e-6
"""An empty or negative bin gets this fraction of the process's mean bin content."""
NEGLIGIBLE = 1e-3
"""Relative effect below which up and down may lie on the same side without a remark."""


def symmetrise(nominal: np.ndarray, up: np.ndarray, down: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return up and down at equal distances from *nominal*: half their difference, or *up* mirrored without *down*."""
    half = up - nominal if down is None else (up - down) / 2
    return nominal + half, nominal - half


def smooth(nominal: np.ndarray, varied: np.ndarray, how: str = "353qh") -> np.ndarray:
    """Return *varied* with a smooth ratio to the positive *nominal*, and the same total; fewer than 3 bins stay.

    Bins that are empty in *nominal* have no ratio: they stay, and those on either side count as neighbours.
    """
    there = filled(nominal)
    if np.count_nonzero(there) < 3:
        return varied
    ratio = varied[there] / nominal[there]
    smoothed = varied.copy()
    smoothed[there] = nominal[there] * (smooth_353qh(ratio) if how == "353qh" else smooth_kernel(ratio, nominal[there]))
    total = smoothed[there].sum()
    smoothed[there] *= varied[there].sum() / total if total > 0 else 1.0
    return smoothed if total > 0 else varied


def smooth_kernel(values: np.ndarray, weights: np.ndarray, width: float = 1.5) -> np.ndarray:
    """Return *values*, of shape (bins,), smoothed by straight lines through their neighbours.

    Local linear regression with a Gaussian kernel of *width* bins and *weights* (events): straight lines stay, also
    at the ends (Fan and Gijbels, Local polynomial modelling and its applications, 1996, section 3.2).
    """
    distance = np.arange(len(values)) - np.arange(len(values))[:, None]
    kernel = weights * np.exp(-0.5 * (distance / width) ** 2)
    moments = [(kernel * distance**power).sum(axis=1) for power in range(3)]
    lines = kernel * (moments[2][:, None] - moments[1][:, None] * distance)
    return np.asarray((lines * values).sum(axis=1) / lines.sum(axis=1))


def flatness(nominal: Content, varied: Content) -> tuple[float, int]:
    """Return the chi-squared of the ratio of *varied* to *nominal* against a constant, and the degrees of freedom.

    Errors are those of the nominal template: most events of a shift or weight are in both, so that this is too small
    for them; for an independent sample it is too large by up to two.
    """
    filled = (nominal.values > 0) & (nominal.variances > 0)
    values, ratio = nominal.values[filled], varied.values[filled] / nominal.values[filled]
    precision = values**2 / nominal.variances[filled]
    if not filled.any():
        return 0.0, 0
    mean = np.average(ratio, weights=precision)
    return float(np.sum(precision * (ratio - mean) ** 2)), int(filled.sum()) - 1


def smooth_353qh(values: np.ndarray) -> np.ndarray:
    """Return *values*, of shape (bins,) with at least 3 bins, smoothed by 353QH, twice.

    Running medians of 3, 5 and 3 bins, quadratic interpolation of flat parts, Hanning means; then the same of the
    residuals, added. Values without a negative one stay non-negative. This is TH1::Smooth of ROOT (J. Friedman,
    Data analysis techniques for high energy particle physics, CERN 74-23, p. 271).
    """
    once = _smooth_353qh_once(values)
    smoothed = once + _smooth_353qh_once(values - once)
    return smoothed if values.min() < 0 else np.where(smoothed > 0, smoothed, 0)


def _smooth_353qh_once(values: np.ndarray) -> np.ndarray:
    medians = _median_3(values)
    for end, first, second in ((0, 1, 2), (-1, -2, -3)):
        medians[end] = np.median([values[end], medians[first], 3 * medians[first] - 2 * medians[second]])
    medians = _median_3(_median_5(medians))
    curved = medians.copy()
    for here in range(2, len(values) - 2):
        before, after = medians[here - 2] - medians[here], medians[here + 2] - medians[here]
        if medians[here - 1] == medians[here] == medians[here + 1] and before * after > 0:
            step = -1 if abs(after) > abs(before) else 1
            far, near = medians[here - 2 * step], medians[here + 2 * step]
            curved[here] = -far / 2 + medians[here] / 0.75 + near / 6
            curved[here + step] = (near - far) / 2 + medians[here]
    smoothed = curved.copy()
    smoothed[1:-1] = curved[:-2] / 4 + curved[1:-1] / 2 + curved[2:] / 4
    return smoothed


def _median_3(values: np.ndarray) -> np.ndarray:
    medians = values.copy()
    medians[1:-1] = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    return medians


def _median_5(values: np.ndarray) -> np.ndarray:
    medians = _median_3(values)
    if len(values) > 4:
        medians[2:-2] = np.median([values[i : len(values) - 4 + i] for i in range(5)], axis=0)
    return medians


def floor(nominal: np.ndarray) -> float:
    """Return the content given to empty and negative bins of a process with these nominal bins."""
    return TINY * float(nominal.sum()) / len(nominal)


def filled(nominal: np.ndarray) -> np.ndarray:
    """Return which bins of a template have content that is more than `fill_up` gives to empty ones."""
    return np.asarray(nominal > 2 * floor(nominal))


class Filled(NamedTuple):
    """Bin contents without empty or negative ones, which *bins* were so, and by how much the others were scaled."""

    values: np.ndarray
    bins: np.ndarray
    scale: float

    @property
    def text(self) -> str:
        """What happened to the other bins."""
        if abs(self.scale - 1) < NEGLIGIBLE:
            return "at the same total"
        return f"the others times {self.scale:.4g} for the same total"


def fill_up(values: np.ndarray, tiny: float) -> Filled:
    """Return *values* with *tiny* in empty and negative bins.

    The others are scaled so that the total stays: a yield is measured better than a bin that became negative.
    """
    bad = values <= 0
    total, rest = values.sum() - tiny * np.count_nonzero(bad), values[~bad].sum()
    scale = float(total / rest) if np.any(bad) and total > 0 else 1.0
    return Filled(np.where(bad, tiny, values * scale), np.flatnonzero(bad), scale)


def same_side(nominal: np.ndarray, up: np.ndarray, down: np.ndarray) -> str | None:
    """Return what up and down change in the same direction, or None; effects below `NEGLIGIBLE` do not count."""
    rates = np.array([up.sum(), down.sum()]) / nominal.sum() - 1
    if np.prod(rates) > 0 and np.min(np.abs(rates)) > NEGLIGIBLE:
        return f"up and down change the yield in the same direction ({rates[0]:+.2%} and {rates[1]:+.2%})"
    shapes = [(varied / varied.sum() * nominal.sum() - nominal) / np.sqrt(nominal) for varied in (up, down)]
    sizes = [np.sqrt(np.sum(shape**2) / nominal.sum()) for shape in shapes]
    if min(sizes) > NEGLIGIBLE and (cosine := shapes[0] @ shapes[1] / nominal.sum() / np.prod(sizes)) > PARALLEL:
        return f"up and down change the shape in the same direction (cosine {cosine:+.2f})"
    return None
