"""Pseudo-experiments of the rotating Gaussians with exact templates: how often intervals cover.

The aware classifier scores the same events again under every hypothesis, so that its pseudo-experiments are events, not
counts: each is thrown, and binned at a grid of hypothesised angles between which counts are interpolated.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.comparison import exact_templates
from nuisflow.comparison.exact_templates import Data, Scorer
from nuisflow.datasets import gaussian

ANGLES = np.linspace(exact_templates.LOWEST, exact_templates.HIGHEST, 33)
"""Hypotheses at which the events of pseudo-experiments are scored."""
STEPS, SPAN = 6144, 6.0
"""A score is looked up in this many steps of u between -SPAN and SPAN."""
BLOCK = 500
"""Pseudo-experiments that are fitted at once: memory does not grow with their number."""


class Covered(NamedTuple):
    """How often the interval of -ln L within 0.5 of its minimum contains mu = 1, and what the best fits are."""

    toys: int
    coverage: float
    error: float
    mean: float
    deviation: float


def coverage(known: Scorer, truth: float, toys: int, seed: int, *, fluctuated: bool = True) -> Covered:
    """Return the coverage of the interval of mu at the true angle *truth*, from *toys* pseudo-experiments at mu = 1.

    The auxiliary measurement of the angle fluctuates about the truth; if not *fluctuated*, it finds the nominal angle,
    whatever the truth.
    """
    thrower = _rescored if known.angle is None else _counted
    snapped = Scorer(_snapped(known.edges), known.angle)
    inside, best = [], []
    for block, start in enumerate(range(0, toys, BLOCK)):
        size = min(BLOCK, toys - start)
        generator = seeds.generator(seed, "exact_toys", f"{truth:.6f}", str(block))
        shift = exact_templates.PRIOR * generator.standard_normal(size)
        measured = truth + shift if fluctuated else np.full(size, gaussian.ANGLE)
        data = thrower(snapped, truth, size, generator)
        free = exact_templates.fit(exact_templates.model(snapped), data, measured)
        fixed = exact_templates.fit(exact_templates.model(snapped), data, measured, 1.0)
        inside.append(fixed.nll - free.nll < 0.5)
        best.append(free.mu)
    share, fitted = float(np.mean(np.concatenate(inside))), np.concatenate(best)
    return Covered(toys, share, math.sqrt(share * (1 - share) / toys), float(fitted.mean()), float(fitted.std()))


def _snapped(edges: np.ndarray) -> np.ndarray:
    """Return *edges* on the steps in which scores are looked up, so that templates and events have the same bins."""
    return np.round((edges + SPAN) * STEPS / (2 * SPAN)) * (2 * SPAN) / STEPS - SPAN


def _counted(known: Scorer, truth: float, toys: int, generator: np.random.Generator) -> Data:
    """Return events per bin of a classifier that scores them once."""
    signal, background = exact_templates.templates(known, np.full(toys, truth), float(known.angle or 0.0))
    counts = generator.poisson(signal + background).astype(float)
    return lambda _: counts


def _rescored(known: Scorer, truth: float, toys: int, generator: np.random.Generator) -> Data:
    """Return events per bin as a function of the hypothesised angle at which they are scored."""
    inner = np.round((known.edges[1:-1] + SPAN) * STEPS / (2 * SPAN)).astype(int)
    table = np.searchsorted(inner, np.arange(STEPS), side="right").astype(np.int8)
    counts = np.zeros((toys, len(ANGLES), len(known.edges) - 1))
    directions = np.stack([np.cos(ANGLES), np.sin(ANGLES)]).astype(np.float32)
    for toy in range(toys):
        sides = np.repeat([1.0, -1.0], generator.poisson([exact_templates.SIGNAL, exact_templates.BACKGROUND]))
        events = generator.standard_normal((2, len(sides)), dtype=np.float32) * np.float32(gaussian.DEVIATION)
        events += np.outer([math.cos(truth), math.sin(truth)], sides).astype(np.float32)
        _kernel()(events, directions, table, counts[toy])
    return lambda angle: _interpolated(counts, angle)


def _interpolated(counts: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return the counts of every experiment at its *angle*, linear between the angles where events were scored."""
    place = np.clip((angle - ANGLES[0]) / (ANGLES[1] - ANGLES[0]), 0, len(ANGLES) - 1.000001)
    below = place.astype(int)
    part, rows = (place - below)[:, None], np.arange(len(counts))
    found: np.ndarray = (1 - part) * counts[rows, below] + part * counts[rows, below + 1]
    return found


@functools.cache
def _kernel() -> Callable[..., Any]:
    """Return the compiled loop over the events of one pseudo-experiment."""
    import numba

    half, scale = np.float32(SPAN), np.float32(STEPS / (2 * SPAN))
    last = STEPS - 1

    @numba.njit
    def count(events: Any, directions: Any, table: Any, counts: Any) -> None:
        for k in range(directions.shape[1]):
            cosine, sine = directions[0, k], directions[1, k]
            for i in range(events.shape[1]):
                u = cosine * events[0, i] + sine * events[1, i]
                step = min(max(int((u + half) * scale), 0), last)
                counts[k, table[step]] += 1.0

    compiled: Callable[..., Any] = count
    return compiled


CLASSIFIERS = ("baseline", "augmented", "aware", "clairvoyant")
BINNINGS = (("uniform", 10), ("quantile", 10), ("quantile", 30))
TRUTHS = tuple(factor * gaussian.ANGLE for factor in (1.0, 1.5, 2.0))
THROWN = ("quantile", 10)
"""The bins in which coverage is checked."""


def rows(toys: int, seed: int) -> list[dict[str, Any]]:
    """Return one row per classifier, binning and true angle: AUC, half-widths of the interval of mu, coverage.

    ``sigma`` profiles the angle, ``sigma_known`` knows it; both from Asimov data whose auxiliary measurement finds the
    nominal angle. Coverage, with a measurement that fluctuates about the truth, in one binning only.
    """
    found = []
    for rule, number in BINNINGS:
        for classifier in CLASSIFIERS:
            for truth in TRUTHS:
                known = exact_templates.scorer(classifier, rule, number, truth)
                row = {"classifier": classifier, "binning": f"{number} {rule} bins", "truth": truth}
                found.append(row | _expected(known, truth) | _thrown(known, (rule, number), truth, toys, seed))
    return found


def _expected(known: Scorer, truth: float) -> dict[str, float]:
    true, measured = np.array([truth]), np.array([gaussian.ANGLE])
    model, data = exact_templates.model(known), exact_templates.asimov(known, true)
    return {
        "auc": exact_templates.area_under_curve(0.0 if known.angle is None else truth - known.angle),
        "sigma": float(exact_templates.half_widths(model, data, measured)[0]),
        "sigma_known": float(exact_templates.half_widths(model, data, measured, true)[0]),
    }


def _thrown(known: Scorer, binned: tuple[str, int], truth: float, toys: int, seed: int) -> dict[str, float]:
    if binned != THROWN:
        return dict.fromkeys(("toys", "coverage", "coverage_error", "bias", "deviation"), math.nan)
    result = coverage(known, truth, toys, seed)
    return {
        "toys": result.toys,
        "coverage": result.coverage,
        "coverage_error": result.error,
        "bias": result.mean - 1,
        "deviation": result.deviation,
    }
