"""How far from the truth expected data are fitted, and how far chance in the simulation alone would bring them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scores import scores, slopes
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.measurements import finite


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
    for rows in events.blocks():
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


def shifts(
    model: UnbinnedModel, events: Events, fitted: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, float | None]]:
    """Return how far from nominal every parameter is fitted, in units of its error: of expected data, 0 is right.

    *fitted*: the parameters of that fit, as in fit.json, which is its start here. *scatter*: what chance in the
    simulation alone makes of it, in the same units, even if all densities are right.
    """
    point = model.point({row["name"]: row["value"] for row in fitted})
    result = model.fit(experiments.asimov(model, events), point)
    errors = np.where(result.errors > 0, result.errors, np.nan)
    found = {"shifts": result.values - model.inits, "scatter": scatter(model, events, result)}
    return {
        key: {name: finite(value) for name, value in zip(model.names, values / errors, strict=True)}
        for key, values in found.items()
    }
