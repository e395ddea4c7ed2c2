"""Pseudo-experiments of single events, and what the likelihood makes of expected events at true points."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nuisflow.inference import truths
from nuisflow.inference.truths import Truth
from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import toys
from nuisflow.likelihood.kernels import density_fits
from nuisflow.progress import progress
from nuisflow.slices.inference import ToySettings

PRECISION = 1e-3
"""Of the ends of intervals, in standard deviations."""


class Thrown(NamedTuple):
    """All pseudo-experiments, and the coverage at every true point."""

    experiments: list[tuple[Truth, toys.Toys]]
    coverage: list[dict[str, Any]]


def throw(model: UnbinnedModel, pools: Mapping[str, Events], settings: ToySettings) -> Thrown:
    """Fit pseudo-experiments at all true points, and the expected data there."""
    experimented, summaries = [], []
    listed = _listed(settings)
    for truth in progress(listed, "true points", len(listed)):
        pool, found = at(model, pools, truth, settings), None
        if truth.number:
            found = run(model, pool, truth, settings)
            experimented.append((truth, found))
        summaries.append(truths.described(truth, model.poi, found) | asimov(model, pool))
    return Thrown(experimented, summaries)


def _listed(settings: ToySettings) -> list[Truth]:
    """Return the true strengths of the signal, then the displaced points; rates are exact, and get no experiments."""
    points = [
        Truth(
            values={settings.poi: truths.SIGNAL} | dict.fromkeys(point.parameters, point.value),
            number=settings.toys.displaced_number if point.factor is None else 0,
            variation=point.variation,
            point=name,
            z=point.z,
        )
        for name, point in settings.displaced.items()
    ]
    return [Truth({settings.poi: value}, settings.toys.number) for value in settings.toys.truths] + points


def at(model: UnbinnedModel, pools: Mapping[str, Events], truth: Truth, settings: ToySettings) -> Events:
    """Return the events at a true point: those there, or nominal ones with factors on the rates of processes."""
    factors = np.ones(len(model.processes))
    factors[[name == model.description["signal"] for name in model.processes]] = truth.values[model.poi]
    point = settings.displaced.get(truth.point or "")
    if point is not None and point.factor is None:
        return pools[truth.point or "nominal"].scaled(factors)
    if point is not None and point.factor is not None:
        factors[[name in point.processes for name in model.processes]] *= point.factor
    return pools["nominal"].scaled(factors)


def run(model: UnbinnedModel, pool: Events, truth: Truth, settings: ToySettings) -> toys.Toys:
    """Fit pseudo-experiments at one true point."""
    mu, start = truth.values[model.poi], model.point(truth.values)
    names = ("throw_toys", settings.name, settings.repetition, truth.point or mu)
    rows = np.full((truth.number, 5), np.nan)
    ends = np.empty((truth.number, 2), dtype=np.int64)
    for row, data in enumerate(experiments.throw(model, pool, start, truth.number, *names, seed=settings.seed)):
        best, error, low, high, lowest, end, flag = model.experiment(data, start, PRECISION)
        rows[row], ends[row] = (best, low, high, error, lowest), (end, flag)
    fitted = ends[:, 0] == density_fits.CONVERGED
    bounded = fitted & (ends[:, 1] != density_fits.LOST)
    limited = bounded & (ends[:, 1] == density_fits.AT_BOUND)
    return toys.joined([toys.block_of(mu, list(rows.T), fitted, bounded, limited)])


def asimov(model: UnbinnedModel, pool: Events) -> dict[str, float | None]:
    """Return best fit and interval on the expected data of one true point, with nominal auxiliary data."""
    data = experiments.asimov(model, pool)
    best = model.fit(data)
    found = model.interval(data, best, model.poi)
    good = best.converged and np.isfinite([found.low, found.high]).all()
    low, high = found.low, found.high
    values = {"mu": float(best.values[model.index]), "low": low, "high": high}
    return {f"asimov_{name}": value if good and np.isfinite(value) else None for name, value in values.items()}
