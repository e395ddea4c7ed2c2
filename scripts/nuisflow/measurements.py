"""Everything that one fit of one workspace tells, as plain values for JSON and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow import fits, likelihood, limits

SCAN_POINTS = 41
SCAN_SIGMAS = 3.0


def data_of(model: likelihood.Model, kind: str) -> np.ndarray:
    """Return the data to fit: those of the workspace (observed), or the nominal expectation (asimov)."""
    return np.asarray(model.data if kind == "observed" else model.asimov())


def measure(
    model: likelihood.Model, kind: str, groups: Mapping[str, Sequence[str]], edges: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Fit *kind* (asimov or observed) data and return the best fit, uncertainties, pulls, correlations and yields.

    The parts of the uncertainty add up: sigma^2 = sigma_stat^2 + sigma_syst^2 + sigma_mcstat^2.
    """
    data = data_of(model, kind)
    result = fits.fit(model, data)
    interval = fits.interval(model, data, model.poi, result=result)
    parts = fits.breakdown(model, data, groups=present(model, groups))
    goodness = limits.goodness_of_fit(model, data) if kind == "observed" else None
    poi = model.index(model.poi)
    systematic = np.sqrt(max(parts.sigma_syst**2 - parts.sigma_mcstat**2, 0.0))
    return {
        "mu": result.values[poi],
        "sigma": parts.sigma_total,
        "sigma_up": _number(interval.high - interval.value),
        "sigma_down": _number(interval.value - interval.low),
        "sigma_hessian": _number(result.errors[poi]),
        "sigma_stat": parts.sigma_stat,
        "sigma_syst": systematic,
        "sigma_mcstat": parts.sigma_mcstat,
        "breakdown": {source.group: source.frozen for source in parts.sources},
        "breakdown_observable": {source.group: _number(source.observable) for source in parts.sources},
        "parameters": [
            {"name": pull.parameter, "value": pull.value, "error": pull.error}
            | {"pull": pull.pull, "constraint": pull.constraint}
            for pull in fits.pulls(model, result)
        ]
        + [
            {"name": result.names[i], "value": result.values[i], "error": _number(result.errors[i])}
            | {"pull": None, "constraint": None}
            for i, parameter in enumerate(model.parameters)
            if parameter.constraint == "none" and not parameter.fixed
        ],
        "correlation": {"names": list(result.names), "matrix": fits.correlations(result)},
        "converged": result.converged,
        "message": "; ".join(filter(None, (result.message if not result.converged else "", interval.message))),
        "goodness_of_fit": None
        if goodness is None
        else {"chi2": goodness.statistic, "ndof": goodness.degrees, "p_value": goodness.p_value},
        "yields": {
            "prefit": _yields(model, data, None, edges),
            "postfit": _yields(model, data, result, edges),
        },
    }


def present(model: likelihood.Model, groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return *groups* without the parameters that the workspace left out because they have no effect."""
    kept = {group: [name for name in names if name in model.names] for group, names in groups.items()}
    return {group: names for group, names in kept.items() if names}


def _number(value: float) -> float | None:
    """Return *value*, or None (null in JSON) where an end of an interval was not found."""
    return float(value) if np.isfinite(value) else None


def _yields(
    model: likelihood.Model, data: np.ndarray, result: fits.FitResult | None, edges: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return per channel the edges, the yields of each sample, their total with its error, and the data."""
    channels: dict[str, Any] = {}
    for name, first, last in model.channels:
        channels[name] = {"edges": list(edges[name]), "samples": {}, "data": data[first:last]}
    for item in fits.yields(model, result):
        channel = channels[item.channel]
        if item.sample == "total":
            channel.setdefault("total", []).append(item.value)
            channel.setdefault("error", []).append(item.error)
        else:
            channel["samples"].setdefault(item.sample, []).append(item.value)
    return channels


def impact_rows(model: likelihood.Model, kind: str) -> list[dict[str, Any]]:
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
        for impact in fits.impacts(model, data)
    ]


def scan_rows(model: likelihood.Model, kind: str) -> list[dict[str, Any]]:
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
