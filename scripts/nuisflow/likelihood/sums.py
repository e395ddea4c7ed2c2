"""Expected events of whole channels, per sample and in total, with errors that know how bins move together."""

import math

from nuisflow.likelihood import covariances
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model

Sums = dict[str, dict[str, tuple[float, float]]]
"""By channel and sample (or ``total``): events and their error."""
TOTAL = "total"


def sums(model: Model, result: FitResult | None = None) -> Sums:
    """Return the expected events of every sample and their total in every channel: prefit, or of a fit.

    Errors are propagated linearly with the exact derivatives; prefit ones from the constraints only, so that a rate
    without a prior adds nothing.
    """
    values = model.inits if result is None else result.values
    covariance = covariances.prefit(model) if result is None else result.covariance
    pieces: dict[str, dict[str, tuple[float, Floats]]] = {name: {} for name, _, _ in model.channels}
    for channel, sample, rates, slopes in covariances.samples(model, values):
        pieces[channel][sample] = (float(rates.sum()), slopes.sum(axis=0))
    return {channel: summed(found, covariance) for channel, found in pieces.items()}


def summed(samples: dict[str, tuple[float, Floats]], covariance: Floats) -> dict[str, tuple[float, float]]:
    """Return events and error of each of *samples*, given as events and their derivatives, and of their sum."""
    whole = (sum(value for value, _ in samples.values()), sum(slope for _, slope in samples.values()))
    return {
        name: (value, math.sqrt(max(float(slope @ covariance @ slope), 0.0)))
        for name, (value, slope) in (samples | {TOTAL: whole}).items()
    }
