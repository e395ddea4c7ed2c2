"""What a fit over z tells beyond that of any likelihood: the yields at its z, and whether dropped terms moved it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow.inference.conditional.likelihood import GridLikelihood
from nuisflow.inference.conditional.model import Data
from nuisflow.likelihood import measurements, sums
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.measurements import Groups

SHARPER = 0.1
"""Prior standard deviations of z by which Asimov data may fit better elsewhere without a remark."""


def measure(
    model: GridLikelihood,
    data: Data,
    best: FitResult,
    groups: Groups,
    *,
    edges: Mapping[str, Sequence[float]],
    background: Data,
    observed: bool,
) -> dict[str, Any]:
    """Return what `likelihood.measurements.measured_against` says of the *best* fit to *data*, and yields at its z.

    *background*: expected data without signal, for limits.
    """
    remarks = () if observed else (_sharper(model, data, best),)
    found = measurements.measured_against(model, data, best, groups, background, observed=observed, remarks=remarks)
    return found | {
        "yields": {"prefit": _yields(model, None, data, edges), "postfit": _yields(model, best, data, edges)}
    }


def _sharper(model: GridLikelihood, data: Data, best: FitResult) -> str:
    """Return a remark where Asimov data fit best at another z than the true one: dropped terms are to blame."""
    z = float(best.values[-1] - data.centre[0])
    if abs(z) <= SHARPER:
        return ""
    return (
        f"the expected data fit best at {model.name} = {z:.2f} instead of 0, where the score is sharper, which moves "
        f"{model.poi}: set rebinned to false"
    )


def _yields(
    model: GridLikelihood, result: FitResult | None, data: Data, edges: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return per channel the edges, the yields of each sample, their total with its error, and the data, at one z.

    That of the fit, or 0 before it; between the points of the grid everything is interpolated, the data too.
    """
    values = np.append(model.nominal.inits, 0.0) if result is None else result.values
    prefit = np.nan_to_num(model.constraints(data)[1]) * ~model.fixed
    covariance = np.diag(prefit**2) if result is None else result.covariance
    weights, slope = model.weights(values[-1]), model.weights(values[-1], 1)
    cells = [one.cells(values[:-1]) for one in model.models]
    rates = weights @ np.array([rate for rate, _ in cells])
    by_z = slope @ np.array([rate for rate, _ in cells])
    slopes = np.column_stack([np.tensordot(weights, np.array([part for _, part in cells]), axes=1), by_z])
    channels: dict[str, Any] = {}
    for name, first, last in model.nominal.channels:
        main = np.maximum(weights @ data.main[0, :, first:last], 0.0)
        channels[name] = {"edges": list(edges[name]), "samples": {}, "data": main}
        total, change, pieces = np.zeros(last - first), np.zeros((last - first, len(model.names))), {}
        places = zip(model.nominal.pieces.cells, model.nominal.plan.cells[:-1, 2], strict=True)
        for cell, start in ((cell, start) for cell, start in places if cell.channel == name):
            part = slice(start, start + last - first)
            channels[name]["samples"][cell.sample] = rates[part].tolist()
            total, change = total + rates[part], change + slopes[part]
            pieces[cell.sample] = (float(rates[part].sum()), slopes[part].sum(axis=0))
        errors = np.sqrt(np.maximum(np.einsum("bi,ij,bj->b", change, covariance, change), 0.0))
        whole = sums.summed(pieces, covariance)
        channels[name] |= {"total": total.tolist(), "error": errors.tolist(), "sums": whole}
    return channels
