"""Pseudo-experiments for a fit over z: every event is drawn, and scored again at every hypothesised z."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.inference import truths
from nuisflow.inference.conditional import hypotheses
from nuisflow.inference.conditional.hypotheses import Expected
from nuisflow.inference.conditional.model import EDGE, FAILED
from nuisflow.inference.conditional.observables import Observables
from nuisflow.inference.conditional.splines import NOT_FOUND
from nuisflow.inference.truths import Truth
from nuisflow.likelihood import toys
from nuisflow.likelihood.histfactory import Floats
from nuisflow.progress import progress
from nuisflow.settings.conditional import NOMINAL
from nuisflow.slices.inference import ToySettings

TOLERANCE = 0.01
"""Precision of the ends of intervals of pseudo-experiments, in standard deviations."""
SHARE = 0.2
"""Expected events that one simulated event may stand for without a remark."""

logger = logging.getLogger(__name__)


class Thrown(NamedTuple):
    """All pseudo-experiments, and the coverage at every true point."""

    experiments: list[tuple[Truth, toys.Toys]]
    coverage: list[dict[str, Any]]


def throw(
    observables: Observables, expected: Expected, patterns: pd.DataFrame, settings: ToySettings, thrown: Sequence[str]
) -> Thrown:
    """Fit pseudo-experiments at the true points *thrown*, and the expected data at all true points."""
    places, experiments, summaries = expected.places(), [], []
    remark(patterns)
    points = listed(expected, settings, thrown)
    for truth in progress(points, "true points", len(points)):
        found = None
        if truth.number:
            pool = hypotheses.pool(patterns, truth.point or NOMINAL, expected.signal, places)
            found = run(observables, pool, truth, settings)
            experiments.append((truth, found))
        summaries.append(summary(observables, truth, found))
    return Thrown(experiments, summaries)


def listed(expected: Expected, settings: ToySettings, thrown: Sequence[str]) -> list[Truth]:
    """Return the true strengths of the signal, then the displaced points; *thrown*: with pseudo-experiments."""
    signal = [
        Truth({settings.poi: value}, settings.toys.number, expected=expected.at(NOMINAL, value))
        for value in settings.toys.truths
    ]
    points = [
        Truth(
            values={settings.poi: truths.SIGNAL} | dict.fromkeys(point.parameters, point.value),
            number=settings.toys.displaced_number if name in thrown else 0,
            variation=point.variation,
            point=name,
            z=point.z,
            expected=expected.at(name),
        )
        for name, point in settings.displaced.items()
    ]
    return signal + points


def run(observables: Observables, pool: hypotheses.Pool, truth: Truth, settings: ToySettings) -> toys.Toys:
    """Fit pseudo-experiments at one true point; those whose z is best at an end of the grid are not bounded."""
    mu = truth.values[settings.poi]
    names = ("throw_toys", settings.name, settings.repetition, truth.point or mu)
    blocks = []
    for data in hypotheses.throw(observables.nominal, pool, truth.values, truth.number, *names, seed=settings.seed):
        columns, flags = np.empty((5, len(data.main))), np.empty((2, len(data.main)), dtype=np.int64)
        for rows, _, likelihood, one in observables.each(data):
            best = likelihood.fit(one, quick=True)
            found = likelihood.ends(one, best, tolerance=TOLERANCE)
            columns[:, rows] = best.values[:, likelihood.index], found.low, found.high, best.error, best.twice_nll
            flags[:, rows] = best.flags, found.flags
        fitted = flags[0] & FAILED == 0
        good = fitted & (flags[0] & EDGE == 0) & (flags[1] & NOT_FOUND == 0)
        blocks.append(toys.block_of(mu, tuple(columns), fitted, good, good & (flags[1] & toys.AT_BOUND != 0)))
    return toys.joined(blocks)


def asimov(observables: Observables, truth: Truth) -> dict[str, float | None]:
    """Return best fit and interval on the expected data of one true point, with nominal auxiliary data."""
    ((_, _, likelihood, data),) = observables.each(observables.nominal.data(np.asarray(truth.expected)))
    best = likelihood.fit(data)
    found = likelihood.ends(data, best, tolerance=1e-6)
    values: list[Floats] = [best.values[:, likelihood.index], found.low, found.high]
    pairs = zip(("mu", "low", "high"), values, strict=True)
    return {
        f"asimov_{name}": float(value[0]) if best.flags[0] == 0 and np.isfinite(value[0]) else None
        for name, value in pairs
    }


def summary(observables: Observables, truth: Truth, thrown: toys.Toys | None) -> dict[str, Any]:
    """Return the coverage at one true point and the fit to its Asimov data, as `truths.summary`."""
    return truths.described(truth, observables.nominal.poi, thrown) | asimov(observables, truth)


def remark(patterns: pd.DataFrame) -> None:
    """Log how many events of pseudo-experiments come from simulated ones that stand for many: the pool is small."""
    for point, chosen in patterns.groupby("point", sort=False):
        heavy = chosen["weight"] > SHARE * chosen["events"]
        part = chosen.loc[heavy, "weight"].sum() / chosen["weight"].sum()
        if part > SHARE:
            logger.warning(
                "%s: %.0f %% of the expected events are drawn from simulated ones that stand for more than %g each; "
                "how they move with z is known as well as these are many",
                *(point, 100 * part, SHARE),
            )
