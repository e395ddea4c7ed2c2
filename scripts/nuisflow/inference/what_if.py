"""What one training would measure if priors, luminosity or simulation were others: in the Gaussian limit, and exactly.

The Fisher information of the Asimov data is that of the main data, which grows with the luminosity, plus 1 / width^2
of every prior. A factor of a single bin (MC statistics) is measured by its bin alone, and eliminated in closed form:

    I(L) = L A - L^2 B (L d + t)^-1 B^T + diag(p / s^2)

with A of the parameters that act on many bins, B between these and the factors, d of the factors, t of their
simulation, p of the priors and s their scales. Correlated priors have the inverse of their covariance in place of
p / s^2; their correlations stay as their widths change. A parameter whose prior has no width (s = 0) is fixed, and
tells correlated ones nothing, as in the limit of small s. Of a parameter that is fixed in the workspace its value is
known: what is correlated with it has the conditional prior, at every scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from nuisflow.likelihood.constraints import auxiliary, correlations
from nuisflow.likelihood.constraints.parameters import SINGLE_BINS
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import Minima, Model
from nuisflow.likelihood.uncertainties import half_widths

LARGEST, MOST = 40, 4000
"""Parameters, and numbers of their relation to factors of bins, up to which nothing is approximated."""
_DIGITS = 7

Scales = Mapping[str, float]


class Information(NamedTuple):
    """The Fisher information of one training, the parameter of interest first; see above for the letters.

    *data*: A (parameters, parameters); *mixed*: B (parameters, factors); *own*: d, *simulated*: t (factors);
    *priors*: p, 0 without one. *spread*: uncertainty of the finite simulation that no parameter has. *correlation*:
    of the priors (parameters, parameters); None if all are independent.
    """

    names: tuple[str, ...]
    data: Floats
    mixed: Floats
    own: Floats
    simulated: Floats
    priors: Floats
    spread: float = 0.0
    correlation: Floats | None = None


def of_workspace(model: Model) -> Information:
    """Return the information of the Asimov data of a workspace, fixed parameters left out."""
    total = 0.5 * model.derivatives(model.inits, model.asimov()).hessian[0]
    return _sorted(model, ~model.fixed, total, model.names)


def of_covariance(model: Model, fit: Mapping[str, Any]) -> Information:
    """Return the information of Asimov data whose *fit* has further parameters, of prior width 1, behind *model*'s."""
    names = fit["correlation"]["names"]
    errors = {row["name"]: row["error"] or 0.0 for row in fit["parameters"]}
    scale = np.array([errors.get(name, 0.0) for name in names])
    covariance = np.array(fit["correlation"]["matrix"], dtype=np.float64) * np.outer(scale, scale)
    free = scale > 0
    total = np.zeros_like(covariance)
    total[np.ix_(free, free)] = np.linalg.inv(covariance[np.ix_(free, free)])
    return _sorted(model, free, total, names)


def of_events(description: Mapping[str, Any], fit: Mapping[str, Any]) -> Information:
    """Return the information of a likelihood of single events: its *fit* has that of the data, without the priors.

    *description*: parameters with the widths of their priors, as in densities.json.
    """
    found = fit["information"]
    widths = {row["name"]: row["width"] for row in description["parameters"]}
    priors = np.array([1 / widths[name] ** 2 if widths[name] else 0.0 for name in found["names"]])
    data, none = np.array(found["matrix"], dtype=np.float64), np.zeros((len(priors), 0))
    spread = float(fit["asimov"]["sigma_mcstat"] or 0.0)
    correlation = _correlation(correlations.blocks(description.get("correlations", ())), found["names"])
    return Information(tuple(found["names"]), data, none, none[0], none[0], priors, spread, correlation)


def _sorted(model: Model, free: Booleans, total: Floats, names: Sequence[str]) -> Information:
    """Return *total* (parameters of *model*, then others of width 1) in parts, the parameter of interest first."""
    rows, blocks = auxiliary.given(model.parameters, model.structure.extended.correlations, free[: len(model.names)])
    priors, factor = np.ones(len(names)), np.zeros(len(names), dtype=np.bool_)
    for index, row in enumerate(rows):
        normal = 0.0 if row.constraint == "none" else 1 / row.width**2
        priors[index] = row.width if row.constraint == "poisson" else normal
        factor[index] = row.kind in SINGLE_BINS
    poi = model.index(model.poi)
    shared = np.array([poi, *np.flatnonzero(free & ~factor & (np.arange(len(names)) != poi))])
    bins = np.flatnonzero(free & factor)
    chosen = tuple(names[index] for index in shared)
    correlation = _correlation(blocks, chosen)
    data = total - np.diag(priors)
    data[np.ix_(shared, shared)] = total[np.ix_(shared, shared)] - _precision(priors[shared], correlation)
    return Information(
        chosen,
        data[np.ix_(shared, shared)],
        data[np.ix_(shared, bins)],
        np.diag(data)[bins],
        priors[bins],
        priors[shared],
        correlation=correlation,
    )


def _correlation(blocks: Sequence[correlations.Correlation], names: Sequence[str]) -> Floats | None:
    """Return the correlation matrix of the priors of all *names*, if there are any *blocks* of correlated ones."""
    return correlations.matrix(blocks, names) if blocks else None


def _precision(priors: Floats, correlation: Floats | None) -> Floats:
    """Return the inverse covariance of the priors (1 / width^2 each, 0 without one)."""
    if correlation is None:
        return np.diag(priors)
    known, found = priors > 0, np.zeros(correlation.shape)
    root = np.sqrt(priors[known])
    found[np.ix_(known, known)] = np.linalg.inv(correlation[np.ix_(known, known)]) * np.outer(root, root)
    return found


# --- the Gaussian limit ---------------------------------------------------------------------------------------------


def matrix(
    found: Information, scales: Scales | None = None, luminosity: float = 1.0, *, simulation: bool = True
) -> Any:
    """Return the information at other *scales* of priors (by parameter), and which parameters are not fixed there."""
    size = np.array([(scales or {}).get(name, 1.0) for name in found.names])
    free = (found.priors == 0) | (size > 0)
    total = luminosity * found.data
    if simulation:
        weight = luminosity**2 / (luminosity * found.own + found.simulated)
        total = total - (found.mixed * weight) @ found.mixed.T
    prior, known = np.zeros(total.shape), np.ix_(free, free)
    correlation = None if found.correlation is None else found.correlation[known]
    prior[known] = _precision(found.priors[free] / np.where(found.priors > 0, size, 1.0)[free] ** 2, correlation)
    return total + prior, free


def uncertainty(
    found: Information, scales: Scales | None = None, luminosity: float = 1.0, *, simulation: bool = True
) -> float:
    """Return the standard deviation of the parameter of interest; nan if it is not determined."""
    total, free = matrix(found, scales, luminosity, simulation=simulation)
    chosen = total[np.ix_(free, free)]
    chosen = chosen[np.ix_(np.diag(chosen) > 0, np.diag(chosen) > 0)]
    try:
        variance = float(np.linalg.inv(chosen)[0, 0])
    except np.linalg.LinAlgError:
        return np.nan
    return float(np.sqrt(variance)) if variance > 0 else np.nan


def reduced(found: Information, kept: Sequence[str]) -> Information:
    """Return a smaller information with the parameters *kept* and those without a prior alone, if it is large.

    All others are eliminated as they are today: exact at today's luminosity, where the factors of bins become as many
    as there are parameters left, half of which the data know. What is correlated with a parameter is kept with it.
    """
    if len(found.names) <= LARGEST and found.mixed.size <= MOST:
        return found
    stay = np.array([not index or name in kept for index, name in enumerate(found.names)])
    if found.correlation is not None:
        groups = sparse.csgraph.connected_components(found.correlation)[1]
        stay = np.isin(groups, groups[stay])
    correlation = None if found.correlation is None else found.correlation[np.ix_(stay, stay)]
    with_, without = (
        _eliminated(matrix(found, simulation=simulation)[0], stay) - _precision(found.priors[stay], correlation)
        for simulation in (True, False)
    )
    values, vectors = np.linalg.eigh(without - with_)
    half = np.full(len(values), 0.5)
    mixed = vectors * np.sqrt(np.maximum(values, 0.0))
    names = tuple(name for name, keep in zip(found.names, stay, strict=True) if keep)
    return Information(names, without, mixed, half, half, found.priors[stay], found.spread, correlation)


def _eliminated(total: Floats, stay: Booleans) -> Floats:
    """Return the information of the parameters that *stay*, all others profiled."""
    away = ~stay & (np.diag(total) > 0)
    own, across = total[np.ix_(away, away)], total[np.ix_(stay, away)]
    result: Floats = total[np.ix_(stay, stay)] - across @ np.linalg.solve(own, across.T)
    return result


def plain(found: Information) -> dict[str, Any]:
    """Return an information as plain values: of the symmetric matrix the rows up to the diagonal, one after another.

    *priors*: the diagonal of the inverse covariance of the priors, *coupled*: what else there is, as rows of (row,
    column, value) below it.
    """
    precision = _precision(found.priors, found.correlation)
    lower = found.data[np.tril_indices(len(found.names))]
    parts = {"data": lower, "mixed": found.mixed.ravel(), "own": found.own, "simulated": found.simulated}
    parts |= {"priors": np.diag(precision)}
    numbers = {key: [float(f"{value:.{_DIGITS}g}") for value in values] for key, values in parts.items()}
    coupled = [[int(i), int(j), float(precision[i, j])] for i, j in np.argwhere(np.tril(precision, -1))]
    return {"names": list(found.names), **numbers, "coupled": coupled, "spread": found.spread}


# --- exactly --------------------------------------------------------------------------------------------------------


def rescaled(model: Model, scales: Scales) -> Model:
    """Return the same model with the widths of normal priors times *scales* (by parameter); 0: fixed, see `refit`."""
    structure, gone = model.structure, {name for name, scale in scales.items() if not scale}
    rows = tuple(row._replace(width=row.width * (scales.get(row.name) or 1.0)) for row in structure.parameters)
    rest = structure.extended.among(set(model.names) - gone)
    extended = structure.extended._replace(correlations=rest)
    return Model(structure._replace(parameters=rows, extended=extended))


def exposed(workspace: Mapping[str, Any], luminosity: float) -> dict[str, Any]:
    """Return a workspace whose data and templates are *luminosity* times as many, known as well as before."""
    channels = [
        channel | {"samples": [_exposed(sample, luminosity) for sample in channel["samples"]]}
        for channel in workspace["channels"]
    ]
    observed = [row | {"data": _times(row["data"], luminosity)} for row in workspace["observations"]]
    return {**workspace, "channels": channels, "observations": observed}


def _exposed(sample: Mapping[str, Any], luminosity: float) -> dict[str, Any]:
    modifiers = []
    for modifier in sample["modifiers"]:
        data = modifier["data"]
        if modifier["type"] in SINGLE_BINS:
            data = _times(data, luminosity)
        elif modifier["type"] == "histosys":
            data = {side: _times(values, luminosity) for side, values in data.items()}
        modifiers.append({**modifier, "data": data})
    return {**sample, "data": _times(sample["data"], luminosity), "modifiers": modifiers}


def _times(values: Sequence[float], factor: float) -> list[float]:
    return [value * factor for value in values]


def refit(model: Model, held: Sequence[str] = ()) -> float:
    """Return half the width of the profile interval of the parameter of interest, of Asimov data; *held*: fixed."""
    data, index = model.asimov(), model.index(model.poi)
    fixed = model.fixed | np.isin(model.names, list(held))
    twice = model.twice_nll(model.inits, data)
    minima = Minima(model.inits[None], twice, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    found = model.intervals(minima, model.poi, data, fixed, tolerance=1e-8)
    value = model.inits[index]
    return float(half_widths(value - found.low, found.high - value, found.flags, found.error)[0])
