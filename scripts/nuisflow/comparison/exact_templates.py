"""Exact templates of the rotating Gaussians (`datasets.gaussian`), and their continuous profile likelihood.

A linear classifier at angle a sees of an event only u = x cos a + y sin a, which is N(±cos(t - a), 0.7) at the true
angle t: every template is a difference of normal distribution functions, and nothing is simulated or interpolated.
Four classifiers of arXiv:2105.08742: `baseline` (nominal angle), `augmented` (the linear classifier that is best on
average over angles), `clairvoyant` (the true angle), `aware` (told the hypothesised angle: the data are scored again
for every hypothesis).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from nuisflow.datasets import gaussian

Bins = tuple[np.ndarray, np.ndarray]
Model = Callable[[np.ndarray], Bins]
"""Expected signal and background, each of shape (experiments, bins), at hypothesised angles of shape (experiments,)."""
Data = Callable[[np.ndarray], np.ndarray]
"""Events per bin, shape (experiments, bins), as scored at hypothesised angles of shape (experiments,)."""

SIGNAL, BACKGROUND = 500.0, 50_000.0
PRIOR = 0.5
SLOPE = 2 / gaussian.DEVIATION**2
"""Of the optimal classifier: score = 1 / (1 + exp(-SLOPE u)); arXiv:2105.08742 with the variance, not its root."""
TRAINED = np.linspace(0, math.pi / 2, 21)
"""The angles of the authors' augmented events."""
LOWEST, HIGHEST = 0.0, math.pi / 2
"""The range of hypothesised angles, that of the authors. It matters: a wider one gives the baseline 3 % at 2 z0."""
COARSE, FINE = 24, 32
"""Steps in which either half of the range is searched, and further steps of a golden-section search."""


class Scorer(NamedTuple):
    """A linear classifier with binned score: *edges* in u; *angle* is None if it is told the hypothesised one."""

    edges: np.ndarray
    angle: float | None


class Fitted(NamedTuple):
    """The minimum of -ln L per experiment, each of shape (experiments,)."""

    nll: np.ndarray
    mu: np.ndarray
    angle: np.ndarray


# --- classifiers and templates --------------------------------------------------------------------------------------


def augmented_slope(angles: np.ndarray = TRAINED) -> float:
    """Return the slope of the linear discriminant of events at these *angles*, all equally often.

    Its direction is the mean one; what varies in angle makes it less steep than the optimal classifier.
    """
    along = np.cos(angles - gaussian.ANGLE)
    return float(2 * along.mean() / (gaussian.DEVIATION**2 + along.var()))


def edges(rule: str, number: int, slope: float = SLOPE) -> np.ndarray:
    """Return bin edges in u, the outer ones infinite.

    ``uniform`` in the score with this *slope*, or ``quantile``: equal shares of the mixture of as much signal as
    background at perfect alignment.
    """
    shares = np.arange(1, number) / number
    if rule == "uniform":
        inner = special.logit(shares) / slope
    else:
        from scipy import optimize  # here: a quarter of a second

        inner = [optimize.brentq(lambda u, q=share: _mixture(u) - q, -8.0, 8.0, xtol=1e-14) for share in shares]
    return np.array([-np.inf, *inner, np.inf])


def _mixture(u: float) -> float:
    """Return the share of an equal mixture of aligned signal and background below *u*."""
    below = special.ndtr((u - np.array([1.0, -1.0])) / gaussian.DEVIATION)
    return float(below.mean())


def scorer(strategy: str, rule: str, number: int, truth: float) -> Scorer:
    """Return one of the four classifiers; *truth* is the angle that the clairvoyant one knows."""
    slope = augmented_slope() if strategy == "augmented" else SLOPE
    angle = {"baseline": gaussian.ANGLE, "augmented": gaussian.ANGLE, "clairvoyant": truth, "aware": None}[strategy]
    return Scorer(edges(rule, number, slope), angle)


def templates(known: Scorer, angle: np.ndarray, scored_at: np.ndarray | float) -> Bins:
    """Return expected signal and background, shape (experiments, bins), at the true *angle*, scored at another."""
    cosine = np.cos(np.asarray(angle, dtype=float) - scored_at)[..., None]
    parts = [np.diff(special.ndtr((known.edges - side * cosine) / gaussian.DEVIATION)) for side in (1.0, -1.0)]
    return SIGNAL * parts[0], BACKGROUND * parts[1]


def model(known: Scorer) -> Model:
    """Return the templates as a function of the hypothesised angle."""
    return lambda angle: templates(known, angle, angle if known.angle is None else known.angle)


def asimov(known: Scorer, truth: np.ndarray) -> Data:
    """Return the expected events at the true angles *truth*, as scored under every hypothesis."""

    def data(angle: np.ndarray) -> np.ndarray:
        signal, background = templates(known, truth, angle if known.angle is None else known.angle)
        return signal + background

    return data


def area_under_curve(angle: float) -> float:
    """Return the AUC of a linear classifier that is off by *angle*: u of signal less that of background is normal."""
    return float(special.ndtr(2 * math.cos(angle) / (math.sqrt(2) * gaussian.DEVIATION)))


# --- the profile likelihood -----------------------------------------------------------------------------------------


def fit(expected: Model, data: Data, measured: np.ndarray, mu: float | np.ndarray | None = None) -> Fitted:
    """Return the minimum of -ln L over the angle, and over mu unless it is given, of many experiments at once.

    *measured* is what the auxiliary measurement found for the angle, with a standard deviation of `PRIOR`; shape
    (experiments,). Terms of the data alone, ln n!, are left out: they do not depend on the hypothesis for data that are
    scored once, and bias the fit where the data are scored again (arXiv:2105.08742). The angles on both sides of the
    nominal one are searched: the nominal classifier alone cannot tell them apart, the measurement does.
    """
    measured = np.asarray(measured, dtype=float)

    def at(angle: np.ndarray) -> Fitted:
        return known_angle(expected, data, measured, angle, mu)

    halves = [_half(at, np.full(measured.shape, end)) for end in (LOWEST, HIGHEST)]
    left = halves[0].nll < halves[1].nll
    return Fitted._make(np.where(left, low, high) for low, high in zip(*halves, strict=True))


def _half(at: Callable[[np.ndarray], Fitted], end: np.ndarray) -> Fitted:
    """Return the minimum between the middle of the range and one *end*."""
    middle = 0.5 * (LOWEST + HIGHEST)
    values = np.array([at(middle + (end - middle) * step / COARSE).nll for step in range(COARSE + 1)])
    best = np.argmin(values, axis=0)
    low, high = (middle + (end - middle) * np.clip(best + turn, 0, COARSE) / COARSE for turn in (-1, 1))
    return at(golden_section(lambda angle: at(angle).nll, low, high))


def known_angle(
    expected: Model, data: Data, measured: np.ndarray, angle: np.ndarray, mu: float | np.ndarray | None = None
) -> Fitted:
    """Return -ln L at these angles, minimised over mu unless it is given."""
    (signal, background), events = expected(angle), data(angle)
    strength = _strength(signal, background, events) if mu is None else np.broadcast_to(mu, angle.shape).astype(float)
    total = strength[:, None] * signal + background
    nll = np.sum(total - events * np.log(total), axis=1) + 0.5 * ((angle - measured) / PRIOR) ** 2
    return Fitted(nll, strength, angle)


def _strength(signal: np.ndarray, background: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Return the best mu of every experiment: Newton's method on a convex function, kept where bins are positive."""
    mu: np.ndarray = np.ones(len(events))
    lowest = -0.99 * np.min(background / signal, axis=1)
    for _ in range(50):
        total = mu[:, None] * signal + background
        slope = np.sum(signal * (1 - events / total), axis=1)
        curvature = np.sum(events * (signal / total) ** 2, axis=1)
        step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature > 0)
        new = np.maximum(mu - step, 0.5 * (mu + lowest))
        done = np.max(np.abs(new - mu)) < 1e-10
        mu = new
        if done:
            break
    return mu


def golden_section(function: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return where *function* is smallest between *low* and *high*, element by element; all have the same shape."""
    ratio = (math.sqrt(5) - 1) / 2
    inner, outer = high - ratio * (high - low), low + ratio * (high - low)
    at_inner, at_outer = function(inner), function(outer)
    for _ in range(FINE):
        left = at_inner < at_outer
        low, high = np.where(left, low, inner), np.where(left, outer, high)
        new = np.where(left, high - ratio * (high - low), low + ratio * (high - low))
        value = function(new)
        inner, outer = np.where(left, new, outer), np.where(left, inner, new)
        at_inner, at_outer = np.where(left, value, at_outer), np.where(left, at_inner, value)
    middle: np.ndarray = 0.5 * (low + high)
    return middle


def half_widths(expected: Model, data: Data, measured: np.ndarray, angle: np.ndarray | None = None) -> np.ndarray:
    """Return half the width of the interval where -ln L is within 0.5 of its minimum, shape (experiments,).

    The angle is profiled, or known: *angle*. The ends are found by scaling the distance from the minimum as if -ln L
    were a parabola, which converges to where it is 0.5.
    """

    def profiled(mu: np.ndarray | None) -> Fitted:
        if angle is None:
            return fit(expected, data, measured, mu)
        return known_angle(expected, data, measured, angle, mu)

    best = profiled(None)
    distances = [np.full_like(best.mu, sign * 0.1) for sign in (-1, 1)]
    for index, distance in enumerate(distances):
        for _ in range(12):
            gained = np.maximum(profiled(best.mu + distance).nll - best.nll, 1e-6)
            distance = distance / np.sqrt(2 * gained)
        distances[index] = distance
    width: np.ndarray = 0.5 * (distances[1] - distances[0])
    return width
