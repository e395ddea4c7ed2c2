"""Everything that one fit of one workspace tells, as plain values for JSON and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow.likelihood import fits, limits, sums, toys, uncertainties
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

SCAN_POINTS = 41
SCAN_SIGMAS = 3.0


def data_of(model: Model, kind: str) -> np.ndarray:
    """Return the data to fit: those of the workspace (observed), or the nominal expectation (asimov)."""
    return np.asarray(model.data if kind == "observed" else model.asimov())


def measure(
    model: Model,
    kind: str,
    groups: Mapping[str, Sequence[str]],
    edges: Mapping[str, Sequence[float]],
    *,
    goodness_toys: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit *kind* (asimov or observed) data and return the best fit, uncertainties, tests, pulls, yields and more.

    The parts of the uncertainty add up: sigma^2 = sigma_stat^2 + sigma_syst^2 + sigma_mcstat^2. *goodness_toys*
    pseudo-experiments (made with *seed*) test the fit of observed data.
    """
    data = data_of(model, kind)
    result = fits.fit(model, data)
    interval = fits.interval(model, data, model.poi, result=result)
    parts = uncertainties.breakdown(model, data, groups=present(model, groups))
    poi = model.index(model.poi)
    systematic = np.sqrt(max(parts.sigma_syst**2 - parts.sigma_mcstat**2, 0.0))
    tested, untested = _tests(model, kind, data, result)
    found = {
        "mu": result.values[poi],
        "sigma": parts.sigma_total,
        "sigma_up": finite(interval.high - interval.value),
        "sigma_down": finite(interval.value - interval.low),
        "sigma_hessian": finite(result.errors[poi]),
        "sigma_stat": parts.sigma_stat,
        "sigma_syst": systematic,
        "sigma_mcstat": parts.sigma_mcstat,
        "breakdown": {source.group: source.frozen for source in parts.sources},
        "breakdown_observable": {source.group: finite(source.observable) for source in parts.sources},
        "parameters": _parameters(model, result),
        "correlation": {"names": list(result.names), "matrix": fits.correlations(result)},
        "intervals": _intervals(model, data, result, interval),
        "converged": result.converged,
        "message": "; ".join(filter(None, (_reason(result), interval.message, *untested))),
        "goodness_of_fit": _goodness(model, data, goodness_toys, seed) if kind == "observed" else None,
        **tested,
        "yields": {
            "prefit": _yields(model, data, None, edges),
            "postfit": _yields(model, data, result, edges),
        },
    }
    return {name: plain(part) for name, part in found.items()}


def _reason(result: fits.FitResult) -> str:
    """Return why a fit did not converge, or that it ends at the edge of the physical region; else ""."""
    edges = [remark for remark in result.message.split("; ") if "edge of the physical region" in remark]
    return "; ".join(edges) if result.converged else result.message


def _parameters(model: Model, result: fits.FitResult) -> list[dict[str, Any]]:
    """Return value, error, pull and constraint of the constrained parameters, then of the free ones (without)."""
    return [
        {"name": pull.parameter, "value": pull.value, "error": pull.error}
        | {"pull": pull.pull, "constraint": pull.constraint}
        for pull in fits.pulls(model, result)
    ] + [
        {"name": result.names[i], "value": result.values[i], "error": finite(result.errors[i])}
        | {"pull": None, "constraint": None}
        for i, parameter in enumerate(model.parameters)
        if parameter.constraint == "none" and not parameter.fixed
    ]


def _intervals(model: Model, data: np.ndarray, result: fits.FitResult, own: fits.Interval) -> dict[str, Any]:
    """Return how many profile intervals were compared with the Hessian's errors, and what was wrong with which.

    The factors of single bins are not checked: there are many, and each matters little. Nor are others than that of
    interest where there are more than `fits.PROFILES`.
    """
    names = [
        row.name
        for row in model.parameters
        if not row.fixed and row.kind not in fits.SINGLE_BINS and row.name != own.parameter
    ]
    asked = names if result.converged and len(names) <= fits.PROFILES else []
    profiled = progress(asked, "profile intervals", len(asked))
    found = [own, *(fits.interval(model, data, name, result=result) for name in profiled)]
    return {"checked": len(found), "remarks": {row.parameter: row.message for row in found if row.message}}


def _goodness(model: Model, data: np.ndarray, number: int, seed: int) -> dict[str, Any]:
    """Return the saturated goodness of fit: asymptotic, and from *number* pseudo-experiments (none: null)."""
    found = limits.goodness_of_fit(model, data)
    thrown = toys.goodness_of_fit_by_toys(model, data, number, seed, "fit_workspace") if number else None
    return {
        "chi2": found.statistic,
        "ndof": found.degrees,
        "p_value": finite(found.p_value),
        "toys": thrown and thrown._asdict(),
    }


def _tests(
    model: Model, kind: str, data: np.ndarray, result: fits.FitResult
) -> tuple[dict[str, dict[str, Any] | None], list[str]]:
    """Return significance and upper limits of the signal, null where they have no meaning; and why there is no number.

    Asimov data contain the signal: they give the expected significance, but expected limits are those without signal.
    """
    poi = model.parameters[model.index(model.poi)]
    if not result.converged or poi.kind != "normfactor" or not poi.lower <= 0 < poi.upper:
        return {"significance": None, "limits": None}, []
    observed = kind == "observed"
    found = limits.limits(model, data if observed else model.asimov({model.poi: 0.0}))
    tested = limits.significance(model, data)
    why = [f"limits: {problem}" for problem in found.problems]
    why += [] if np.isfinite(tested.q0) else ["significance: the fit without signal failed"]
    limited = {
        "level": found.level,
        "observed": finite(found.observed) if observed else None,
        "expected": [finite(value) for value in found.expected],
    }
    return {"significance": tested._asdict(), "limits": limited}, why


def present(model: Model, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return *groups* without the parameters that the workspace left out because they have no effect."""
    kept = {group: [name for name in names if name in model.names] for group, names in groups.items()}
    return {group: names for group, names in kept.items() if names}


def finite(value: float) -> float | None:
    """Return *value*, or None (null in JSON) where there is none, such as an end of an interval that was not found."""
    return float(value) if np.isfinite(value) else None


def plain(value: Any) -> Any:
    """Return *value* with null in place of NaN and infinity, which JSON does not know, and lists in place of arrays."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    return finite(float(value)) if isinstance(value, float | np.floating) else value


def _yields(
    model: Model, data: np.ndarray, result: fits.FitResult | None, edges: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return per channel the edges, the yields of each sample, their total with its error, the data, and `sums`."""
    channels: dict[str, Any] = {}
    whole = sums.sums(model, result)
    for name, first, last in model.channels:
        channels[name] = {"edges": list(edges[name]), "samples": {}, "data": data[first:last], "sums": whole[name]}
    for item in fits.yields(model, result):
        channel = channels[item.channel]
        if item.sample == "total":
            channel.setdefault("total", []).append(item.value)
            channel.setdefault("error", []).append(item.error)
        else:
            channel["samples"].setdefault(item.sample, []).append(item.value)
    return channels


def yields_at(
    model: Model, kind: str, other: fits.FitResult, edges: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, Any]]:
    """Return the yields before a fit and after the fit of another likelihood with parameters of the same names.

    Parameters that only *model* has, such as those of MC statistics, stay at their initial values, without errors.
    """
    values, covariance = model.inits.copy(), np.zeros((len(model.names),) * 2)
    own = [index for index, name in enumerate(model.names) if name in other.names]
    place = [other.names.index(model.names[index]) for index in own]
    values[own] = other.values[place]
    covariance[np.ix_(own, own)] = other.covariance[np.ix_(place, place)]
    errors = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    result = fits.FitResult(model.names, values, errors, covariance, other.twice_nll, other.converged, other.message)
    data = data_of(model, kind)
    stages = {"prefit": _yields(model, data, None, edges), "postfit": _yields(model, data, result, edges)}
    return {name: plain(stage) for name, stage in stages.items()}


def impact_rows(model: Model, kind: str) -> list[dict[str, Any]]:
    """Return one row per nuisance parameter: how it moves the POI, its pull and its constraint (none if it is free)."""
    data = data_of(model, kind)
    pulls = {pull.parameter: pull for pull in fits.pulls(model, fits.fit(model, data))}
    return [
        {
            "data": kind,
            "parameter": impact.parameter,
            "impact_up": impact.up,
            "impact_down": impact.down,
            "prefit_up": impact.prefit_up,
            "prefit_down": impact.prefit_down,
            "observable_up": impact.observable_up,
            "observable_down": impact.observable_down,
            "pull": pulls[impact.parameter].pull if impact.parameter in pulls else None,
            "constraint": pulls[impact.parameter].constraint if impact.parameter in pulls else None,
        }
        for impact in uncertainties.impacts(model, data)
    ]


def scan_rows(model: Model, kind: str) -> list[dict[str, Any]]:
    """Return the profile likelihood of the POI at points within three standard deviations of the best fit."""
    data = data_of(model, kind)
    result = fits.fit(model, data)
    poi = model.index(model.poi)
    low, high = (model.parameters[poi].lower, model.parameters[poi].upper)
    reach = SCAN_SIGMAS * result.errors[poi]
    points = np.linspace(max(low, result.values[poi] - reach), min(high, result.values[poi] + reach), SCAN_POINTS)
    scan = fits.scan(model, data, model.poi, points)
    return [
        {"data": kind, "mu": mu, "delta": delta} for mu, delta in zip(scan.points, scan.twice_delta_nll, strict=True)
    ]
