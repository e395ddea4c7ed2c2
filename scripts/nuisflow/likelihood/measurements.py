"""Everything that one fit of a likelihood tells, as plain values for JSON and tables; and the yields of workspaces."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow.likelihood import fits, likelihoods, limits, sums, toys, uncertainties
from nuisflow.likelihood.constraints import parameters
from nuisflow.likelihood.likelihoods import Data, Likelihood
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

SCAN_POINTS = 41
SCAN_SIGMAS = 3.0
STRENGTHS = ("normfactor", "signal")
"""Kinds of parameters that may be the strength of a signal, which is tested against none."""

Groups = Mapping[str, Sequence[str]]


def data_of(model: Model, kind: str) -> np.ndarray:
    """Return the data to fit: those of the workspace (observed), or the nominal expectation (asimov)."""
    return np.asarray(model.data if kind == "observed" else model.asimov())


def measure(
    model: Model,
    kind: str,
    groups: Groups,
    edges: Mapping[str, Sequence[float]],
    *,
    goodness_toys: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit *kind* (asimov or observed) data and return what `measured` says, and the yields before and after the fit.

    *goodness_toys* pseudo-experiments (made with *seed*) test the fit of observed data. Profile intervals of all
    parameters are checked but those of single bins: there are many, and each matters little. Nor are others than that
    of interest where there are more than `fits.PROFILES`.
    """
    data, observed = data_of(model, kind), kind == "observed"
    best = model.best(data)
    rows = [row.name for row in model.parameters if not row.fixed and row.kind not in parameters.SINGLE_BINS]
    profiled = [name for name in rows if name != model.poi] if best.converged else []
    found = measured(
        model,
        data,
        best,
        groups,
        lambda: limits.limits(model, data if observed else model.asimov({model.poi: 0.0})),
        observed=observed,
        profiled=profiled if len(profiled) <= fits.PROFILES else [],
    )
    if observed and goodness_toys:
        thrown = toys.goodness_of_fit_by_toys(model, data, goodness_toys, seed, "fit_workspace")
        found["goodness_of_fit"]["toys"] = plain(thrown._asdict())
    yields = {"prefit": _yields(model, data, None, edges), "postfit": _yields(model, data, best, edges)}
    return found | {"yields": plain(yields)}


def measured(
    likelihood: Likelihood,
    data: Data,
    best: fits.FitResult,
    groups: Groups,
    limited: Callable[[], limits.Limits],
    *,
    observed: bool,
    profiled: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the *best* fit to *data*, uncertainties, tests, pulls and more, as plain values.

    The parts of the uncertainty add up: sigma^2 = sigma_stat^2 + sigma_syst^2 + sigma_mcstat^2. *limited* finds the
    upper limits; *profiled*: further parameters whose profile intervals are compared with the Hessian's errors;
    *remarks*: what else the message is to say.
    """
    interval = likelihood.interval(data, best, likelihood.poi)
    parts = uncertainties.breakdown(likelihood, data, groups=present(likelihood, groups), best=best)
    poi = likelihoods.index(likelihood, likelihood.poi)
    tested, untested = _tests(likelihood, data, best, limited, observed=observed)
    found = {
        "mu": best.values[poi],
        "sigma": parts.sigma_total,
        "sigma_up": finite(interval.high - interval.value),
        "sigma_down": finite(interval.value - interval.low),
        "sigma_hessian": finite(best.errors[poi]),
        "sigma_stat": parts.sigma_stat,
        "sigma_syst": parts.sigma_variations,
        "sigma_mcstat": parts.sigma_mcstat,
        "breakdown": {source.group: source.frozen for source in parts.sources},
        "breakdown_observable": {source.group: finite(source.observable) for source in parts.sources},
        "parameters": _parameters(likelihood, data, best),
        "correlation": {"names": list(best.names), "matrix": fits.correlations(best)},
        "intervals": _intervals(likelihood, data, best, interval, profiled),
        "converged": best.converged,
        "message": "; ".join(dict.fromkeys(filter(None, (_reason(best), *remarks, interval.message, *untested)))),
        "goodness_of_fit": _goodness(likelihood, data, best) if observed else None,
        **tested,
    }
    return {name: plain(part) for name, part in found.items()}


def measured_against(
    likelihood: Likelihood,
    data: Data,
    best: fits.FitResult,
    groups: Groups,
    background: Data,
    *,
    observed: bool,
    remarks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return `measured` of a likelihood with one minimum, whose limits need the expected *background* as data."""
    return measured(
        likelihood,
        data,
        best,
        groups,
        lambda: limits.upper_limits(likelihood, data if observed else background, background),
        observed=observed,
        remarks=[*best.message.split("; "), *remarks],
    )


def _reason(result: fits.FitResult) -> str:
    """Return why a fit did not converge, or that it ends at the edge of the physical region; else ""."""
    edges = [remark for remark in result.message.split("; ") if "edge of the physical region" in remark]
    return "; ".join(edges) if result.converged else result.message


def _parameters(likelihood: Likelihood, data: Data, best: fits.FitResult) -> list[dict[str, Any]]:
    """Return value, error, pull and constraint of the constrained parameters, then of the free ones (without)."""
    return [
        {"name": pull.parameter, "value": pull.value, "error": pull.error}
        | {"pull": pull.pull, "constraint": pull.constraint}
        for pull in fits.pulls(likelihood, best, data)
    ] + [
        {"name": best.names[i], "value": best.values[i], "error": finite(best.errors[i])}
        | {"pull": None, "constraint": None}
        for i, parameter in enumerate(likelihood.parameters)
        if parameter.constraint == "none" and not likelihood.fixed[i]
    ]


def _intervals(
    likelihood: Likelihood, data: Data, best: fits.FitResult, own: fits.Interval, profiled: Sequence[str]
) -> dict[str, Any]:
    """Return how many profile intervals were compared with the Hessian's errors, and what was wrong with which."""
    rows = progress(profiled, "profile intervals", len(profiled))
    found = [own, *(likelihood.interval(data, best, name) for name in rows)]
    return {"checked": len(found), "remarks": {row.parameter: row.message for row in found if row.message}}


def _goodness(likelihood: Likelihood, data: Data, best: fits.FitResult) -> dict[str, Any] | None:
    """Return the saturated goodness of fit (asymptotic; that by pseudo-experiments: null), if there is one."""
    found = limits.goodness_of_fit(likelihood, data, best)
    if np.isnan(found.statistic):
        return None
    return {"chi2": found.statistic, "ndof": found.degrees, "p_value": finite(found.p_value), "toys": None}


def _tests(
    likelihood: Likelihood,
    data: Data,
    best: fits.FitResult,
    limited: Callable[[], limits.Limits],
    *,
    observed: bool,
) -> tuple[dict[str, dict[str, Any] | None], list[str]]:
    """Return significance and upper limits of the signal, null where they have no meaning; and why there is no number.

    Asimov data contain the signal: they give the expected significance, but expected limits are those without signal.
    """
    poi = likelihoods.index(likelihood, likelihood.poi)
    lower, upper = (float(bound[poi]) for bound in likelihood.bounds)
    if not best.converged or likelihood.parameters[poi].kind not in STRENGTHS or not lower <= 0 < upper:
        return {"significance": None, "limits": None}, []
    found, tested = limited(), limits.significance(likelihood, data, best=best)
    why = [f"limits: {problem}" for problem in found.problems]
    why += [] if np.isfinite(tested.q0) else ["significance: the fit without signal failed"]
    values = {
        "level": found.level,
        "observed": finite(found.observed) if observed else None,
        "expected": [finite(value) for value in found.expected],
    }
    return {"significance": tested._asdict(), "limits": values}, why


def present(likelihood: Likelihood, groups: Groups) -> dict[str, list[str]]:
    """Return *groups* without the parameters that the likelihood left out because they have no effect."""
    known = {*likelihood.names, *(row.group for row in likelihood.parameters)}
    kept = {group: [name for name in names if name in known] for group, names in groups.items()}
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


def drawn(model: Model, data: np.ndarray, best: fits.FitResult) -> dict[str, Any]:
    """Return what figures of one fit draw: parameters, correlations, and yields in numbered bins before and after."""
    edges = {name: np.arange(last - first + 1.0).tolist() for name, first, last in model.channels}
    yields = {"prefit": _yields(model, data, None, edges), "postfit": _yields(model, data, best, edges)}
    correlation = {"names": list(best.names), "matrix": fits.correlations(best)}
    return {
        name: plain(part)
        for name, part in (
            ("parameters", _parameters(model, data, best)),
            ("correlation", correlation),
            ("yields", yields),
            ("signals", _scaled(model)),
        )
    }


def _scaled(model: Model) -> list[str]:
    """Return the samples that the parameter of interest acts on."""
    return sorted({cell.sample for cell in model.structure.cells for _, name in cell.modifiers if name == model.poi})


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


def impact_rows(
    likelihood: Likelihood, data: Data, kind: str, best: fits.FitResult | None = None
) -> list[dict[str, Any]]:
    """Return one row per nuisance parameter: how it moves the POI, its pull and its constraint (none if it is free)."""
    best = best or likelihood.best(data)
    return rows_of(uncertainties.impacts(likelihood, data, best=best), fits.pulls(likelihood, best, data), kind)


def rows_of(impacts: Sequence[uncertainties.Impact], pulls: Sequence[fits.Pull], kind: str) -> list[dict[str, Any]]:
    """Return impacts as rows, with the pulls and constraints of the parameters."""
    known = {pull.parameter: pull for pull in pulls}
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
            "pull": known[impact.parameter].pull if impact.parameter in known else None,
            "constraint": known[impact.parameter].constraint if impact.parameter in known else None,
        }
        for impact in impacts
    ]


def scan_rows(
    likelihood: Likelihood, data: Data, kind: str, best: fits.FitResult | None = None
) -> list[dict[str, Any]]:
    """Return the profile likelihood of the POI at points within three standard deviations of the best fit."""
    best, poi = best or likelihood.best(data), likelihoods.index(likelihood, likelihood.poi)
    low, high = (float(bound[poi]) for bound in likelihood.bounds)
    reach = SCAN_SIGMAS * best.errors[poi]
    points = np.linspace(max(low, best.values[poi] - reach), min(high, best.values[poi] + reach), SCAN_POINTS)
    scan = fits.scan(likelihood, data, likelihood.poi, points, best)
    return [
        {"data": kind, "mu": mu, "delta": delta} for mu, delta in zip(scan.points, scan.twice_delta_nll, strict=True)
    ]
