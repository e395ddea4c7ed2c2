"""Derivatives of the logarithm of the density of single events by all parameters, at nominal."""

import numpy as np

from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.histfactory import Floats, Integers


def scores(model: UnbinnedModel, values: Floats, term: Integers) -> Floats:
    """Return the derivatives of ln R by all parameters, (events, parameters).

    *values*: `UnbinnedModel.widened` ones; *term*: fold, or region with bins, of each.
    """
    share = shares(model, values, term)
    return np.asarray(sum(share[:, p, None] * slopes(model, values, term, p) for p in range(share.shape[1])))


def shares(model: UnbinnedModel, values: Floats, term: Integers) -> Floats:
    """Return the part of every process in the intensity at every event, (events, processes)."""
    s, size = model.structure, len(model.processes)
    intensity = np.exp(values[:, :size].astype(np.float64)) * s.number[s.region[term]]
    return np.asarray(intensity / intensity.sum(axis=1, keepdims=True))


def slopes(model: UnbinnedModel, values: Floats, term: Integers, process: int) -> Floats:
    """Return the derivatives of ln of the intensity of one process at every event, (events, parameters)."""
    s, size = model.structure, len(model.processes)
    found = np.tile(of_rates(model)[:, process], (len(values), 1))
    for k, place in enumerate(s.learned):
        alone = np.eye(len(s.learned), dtype=np.int64)[k]
        common = s.powers.tolist().index(alone.tolist())
        found[:, place] += (s.yields[s.region, process, common] - s.norms[:, process, common])[term]
        for c in range(s.first[process], s.first[process + 1]):
            if (s.monomials[c] == alone).all():
                found[:, place] += values[:, size + c]
    return found


def of_rates(model: UnbinnedModel) -> Floats:
    """Return the derivatives of ln of the yields by the parameters that are factors, (parameters, processes)."""
    s = model.structure
    linear = np.where(s.linear, 1.0 / np.where(model.inits == 0, 1.0, model.inits)[:, None], 0.0)
    return np.asarray(linear + s.rates[..., 0])
