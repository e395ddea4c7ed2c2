"""What one training measures with a part of the events: expected uncertainty, coverage, and how far from the whole."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.inference import truths
from nuisflow.inference.truths import Truth
from nuisflow.likelihood import uncertainties
from nuisflow.likelihood.likelihoods import Data, Likelihood
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import ToySettings


def measure(model: Model, whole: Mapping[str, np.ndarray], settings: ToySettings) -> dict[str, Any]:
    """Return the fit to Asimov data, coverage in pseudo-experiments of *model* itself, and the fit to the *whole*.

    *whole*: the events that all of the simulation expects in the bins of every region. How far the best fit to it is
    from 1 is an error of the templates, which no pseudo-experiment of their own model shows.
    """
    (truth,) = truths.listed(model, {}, settings)
    expected = np.concatenate([whole[name] for name, _, _ in sorted(model.channels, key=lambda row: row[1])])
    return {
        "asimov": expected_uncertainty(model, model.asimov()),
        "coverage": [truths.summary(model, truth, truths.throw(model, truth, settings))],
        "whole": truths.asimov(model, Truth({settings.poi: truths.SIGNAL}, 0, expected=expected)),
    }


def expected_uncertainty(likelihood: Likelihood, data: Data) -> dict[str, Any]:
    """Return the uncertainty of the fit to Asimov *data* and its parts, whose squares add up, as in ``fit.json``."""
    best = likelihood.best(data)
    parts = uncertainties.breakdown(likelihood, data, best=best)
    return {
        "converged": best.converged,
        "sigma": parts.sigma_total,
        "sigma_stat": parts.sigma_stat,
        "sigma_syst": parts.sigma_variations,
        "sigma_mcstat": parts.sigma_mcstat,
    }
