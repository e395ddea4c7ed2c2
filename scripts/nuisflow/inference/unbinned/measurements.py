"""What a fit of single events tells beyond that of any likelihood: the spread of replicas of the simulation."""

import math
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scores import scores, slopes
from nuisflow.likelihood import uncertainties
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.measurements import finite


def spread(replicas: pd.DataFrame, poi: str) -> float | None:
    """Return the standard deviation of the best fits of *poi* in bootstrap replicas of the simulation; None of one."""
    values = replicas.loc[replicas["converged"], poi]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def with_simulation(found: dict[str, Any], spread: float | None) -> dict[str, Any]:
    """Return what a fit *found* with the uncertainty of a finite simulation, the *spread* of replicas, in quadrature.

    The profile interval does not know it: its ends, and the coverage of pseudo-experiments, are without. Without
    replicas it is not known, which is not 0.
    """
    if spread is None:
        return found | {"sigma_mcstat": None}
    return found | {
        "sigma": math.hypot(found["sigma"], spread),
        "sigma_mcstat": spread,
        "breakdown": found["breakdown"] | {uncertainties.MC_STATISTICS: spread},
    }


BLOCK = 20_000
"""Events whose derivatives are in memory together."""


def scatter(model: UnbinnedModel, events: Events, result: FitResult) -> Floats:
    """Return how far the best fit to expected data scatters from simulation to simulation, (parameters,).

    The densities are taken as known: it is what remains if the training is perfect. *events*: those of the expected
    data. Yields and mean responses are those of the same events: an event of process p adds w times the derivative of
    ln R less that of ln of the intensity of p, and the mean over its process is none of chance, since more events of it
    change data and model alike. The sandwich formula, with the Hessian's covariance on both sides.
    ASSUME: contents of bins are exact.
    """
    size, number = len(model.names), len(model.processes)
    squares, sums, weights = np.zeros((number, size + 1, size + 1)), np.zeros((number, size)), np.zeros(number)
    for first in range(0, len(events.weight), BLOCK):
        rows = slice(first, first + BLOCK)
        values, fold, process = model.widened(events.values[rows]), events.fold[rows], events.process[rows]
        together = scores(model, values, fold)
        for index in range(number):
            inside = process == index
            weight, own = events.weight[rows][inside], slopes(model, values[inside], fold[inside], index)
            moved = np.concatenate([together[inside] - own, np.ones((len(weight), 1))], axis=1) * weight[:, None]
            squares[index] += moved.T @ moved
            sums[index] += moved[:, :size].sum(axis=0)
            weights[index] += weight.sum()
    # With the mean m over a process: sum of w^2 (d - m)(d - m)^T, from the sums of w^2 times (d, 1)(d, 1)^T.
    centred = [
        np.concatenate([np.eye(size), -(total / weight)[:, None]], axis=1)
        for total, weight in zip(sums, weights, strict=True)
    ]
    meat = sum(shift @ square @ shift.T for shift, square in zip(centred, squares, strict=True))
    variances = np.diagonal(result.covariance @ meat @ result.covariance)
    return np.asarray(np.sqrt(np.maximum(variances, 0.0)))


def shifts(model: UnbinnedModel, events: Events, result: FitResult) -> dict[str, dict[str, float | None]]:
    """Return how far from nominal every parameter is fitted, in units of its error: of expected data, 0 is right.

    *scatter*: what chance in the simulation alone makes of it, in the same units, even if all densities are right.
    """
    errors = np.where(result.errors > 0, result.errors, np.nan)
    found = {"shifts": result.values - model.inits, "scatter": scatter(model, events, result)}
    return {
        key: {name: finite(value) for name, value in zip(model.names, values / errors, strict=True)}
        for key, values in found.items()
    }
