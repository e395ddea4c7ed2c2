"""Everything that one fit of a grid of models over z tells, as plain values: the same as of one workspace."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nuisflow.inference.conditional.model import EDGE, FAILED, NOTHING, Data, Fits, GridModel, Held
from nuisflow.likelihood import covariances, fits, limits, sums, uncertainties
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.measurements import SCAN_POINTS, SCAN_SIGMAS, finite

SHARPER = 0.1
"""Prior standard deviations of z by which Asimov data may fit better elsewhere without a remark."""

Groups = Mapping[str, Sequence[str]]


class Best(NamedTuple):
    """The best fit of one data set: as a grid of models sees it, and with errors (z last)."""

    data: Data
    fits: Fits
    result: fits.FitResult


class Sides(NamedTuple):
    """Changes of the parameter of interest, up and down, by each parameter (z last); NaN where there is none."""

    up: Floats
    down: Floats


def best_fit(model: GridModel, data: Data) -> Best:
    """Fit one data set; errors from the curvature at the best z, and from how the best fit follows z."""
    found = model.fit(data)
    free = model.along(data, found.points)
    follow, variance = model.slopes(free, data)
    low = int(np.clip(np.searchsorted(model.z, found.values[0, -1]) - 1, 0, len(model.z) - 2))
    share = (found.values[0, -1] - model.z[low]) / (model.z[low + 1] - model.z[low])
    size = len(model.names)
    covariance, problems = np.zeros((size, size)), []
    for point, weight in ((low, 1 - share), (low + 1, share)):
        one = model.models[point]
        inverse, problem = covariances.covariance(one, model.flat(data, point)[0], free.points[0, point], one.fixed)
        covariance[:-1, :-1] += weight * inverse
        problems.append(problem if weight else "")
    direction = np.append(follow[0], 1.0)
    covariance += variance[0] * np.outer(direction, direction)
    flags = int(found.flags[0])
    text = "; ".join(dict.fromkeys(filter(None, [flagged(model, flags), *problems])))
    errors = np.sqrt(np.diagonal(covariance))
    done = not flags & FAILED and not text.replace(flagged(model, flags), "")
    result = fits.FitResult(model.names, found.values[0], errors, covariance, float(found.twice_nll[0]), done, text)
    return Best(data, found, result)


def flagged(model: GridModel, flags: int) -> str:
    """Return what the flags of a fit mean, or ""."""
    remarks = []
    if flags & FAILED:
        remarks.append(f"the fit did not converge at some {model.name}")
    if flags & EDGE:
        ends = f"{model.z[0]:g} or {model.z[-1]:g}"
        remarks.append(f"{model.name} is best at an end of its grid ({ends}): add points beyond to toys.displacements")
    return "; ".join(remarks)


def measure(
    model: GridModel, data: Data, groups: Groups, edges: Mapping[str, Sequence[float]], *, asimov: bool
) -> dict[str, Any]:
    """Fit one data set and return best fit, uncertainties, significance, pulls and yields, as `measurements.measure`.

    Upper limits and pseudo-experiments for the goodness of fit are not made: null.
    """
    best = best_fit(model, data)
    result, poi = best.result, model.index
    interval = model.intervals(data, best.fits, tolerance=1e-8)
    sizes = breakdown(model, best, groups)
    total, stat = sizes.pop(""), sizes[uncertainties.STATISTICS]
    mcstat = sizes.get(uncertainties.MC_STATISTICS, 0.0)
    low, high = float(interval.low[0]), float(interval.high[0])
    value = float(result.values[poi])
    remark = _remark(value, low, high, float(result.errors[poi]))
    return {
        "mu": value,
        "sigma": total,
        "sigma_up": finite(high - value),
        "sigma_down": finite(value - low),
        "sigma_hessian": finite(result.errors[poi]),
        "sigma_stat": stat,
        "sigma_syst": math.sqrt(max(total**2 - stat**2 - mcstat**2, 0.0)),
        "sigma_mcstat": mcstat,
        "breakdown": sizes,
        "breakdown_observable": _observable_sizes(model, best, groups),
        "parameters": _parameters(model, best),
        "correlation": {"names": list(result.names), "matrix": fits.correlations(result)},
        "intervals": {"checked": 1, "remarks": {model.poi: remark} if remark else {}},
        "converged": result.converged,
        "message": "; ".join(filter(None, (result.message, remark, _sharper(model, best) if asimov else ""))),
        "goodness_of_fit": None if asimov else _goodness(model, best),
        "significance": _significance(model, best),
        "limits": None,
        "yields": {"prefit": _yields(model, None, data, edges), "postfit": _yields(model, result, data, edges)},
    }


def _remark(value: float, low: float, high: float, error: float) -> str:
    if not np.isfinite([low, high]).all():
        return "an end was not found"
    return "; ".join(fits.disagreements(value, low, high, error))


def _sharper(model: GridModel, best: Best) -> str:
    """Return a remark where Asimov data fit best at another z than the true one: dropped terms are to blame."""
    z = float(best.result.values[-1] - best.data.centre[0])
    if model.kept or abs(z) <= SHARPER:
        return ""
    return (
        f"the expected data fit best at {model.name} = {z:.2f} instead of 0, where the score is sharper, which moves "
        f"{model.poi}: set data_terms to 'kept'"
    )


def _goodness(model: GridModel, best: Best) -> dict[str, Any]:
    """Return the saturated goodness of fit at the best z (asymptotic)."""
    from scipy import special

    z = best.result.values[-1]
    residuals = model.weights(z) @ model.residuals(best.fits.points, best.data)[0]
    chi2 = float((residuals**2).sum() + (z - best.data.centre[0]) ** 2)
    rows = model.nominal.parameters
    degrees = model.bins - sum(row.constraint == "none" and not row.fixed for row in rows)
    p_value = float(special.gammaincc(0.5 * degrees, 0.5 * chi2)) if degrees > 0 else math.nan
    return {"chi2": chi2, "ndof": degrees, "p_value": finite(p_value), "toys": None}


def _significance(model: GridModel, best: Best) -> dict[str, float] | None:
    """Return the asymptotic significance of the signal."""
    from scipy import special

    if not best.result.converged or not model.limits[0] <= 0 < model.limits[1]:
        return None
    null = model.fit_at(best.data, best.fits.points, 0.0)
    signal = best.result.values[model.index] > 0
    q0 = max(float(null.twice_nll[0] - best.fits.twice_nll[0]), 0.0) if signal else 0.0
    return limits.Significance(q0, math.sqrt(q0), float(special.ndtr(-math.sqrt(q0))))._asdict()


# --- parts of the uncertainty ---------------------------------------------------------------------------------------


def breakdown(model: GridModel, best: Best, groups: Groups) -> dict[str, float]:
    """Return half the width of the interval (key ""), and the parts of it by source, by freezing as `fits.breakdown`.

    Statistics: all frozen but the parameter of interest. Frozen parameters, and z, stay at the best fit.
    """
    members = _members(model, groups)
    everything = np.arange(len(model.names)) != model.index
    frozen = np.array([np.zeros_like(everything), *members.values(), everything])
    sets = len(frozen)
    data, start = best.data.take([0] * sets), _at(model, np.tile(best.result.values[:-1], (sets, 1)))
    held = Held(frozen[:, :-1], np.where(frozen[:, -1], best.result.values[-1], np.nan))
    base = model.fit_at(data, start, best.result.values[model.index], held)
    base = base._replace(error=np.full(sets, best.fits.error[0]))
    found = model.intervals(data, base, held, tolerance=1e-8)
    value = best.result.values[model.index]
    sizes = uncertainties.half_widths(value - found.low, found.high - value, found.flags, best.fits.error[0])
    total = float(sizes[0])
    parts = {uncertainties.STATISTICS: float(sizes[-1])}
    for name, size in zip(members, sizes[1:-1], strict=True):
        parts[name] = math.sqrt(max(total**2 - size**2, 0.0))
    return {"": total} | parts


def _members(model: GridModel, groups: Groups) -> dict[str, np.ndarray]:
    """Return which parameters (z last) belong to each group; those in none are added as `fits.breakdown` does."""
    free = np.append(~model.nominal.fixed, True)
    free[model.index] = False
    owner = np.array([*(row.group for row in model.nominal.parameters), model.name])
    members = {
        group: free & (np.isin(model.names, list(names)) | np.isin(owner, list(names)))
        for group, names in groups.items()
    }
    members = {group: member for group, member in members.items() if member.any()}
    return members | uncertainties.ungrouped(model.nominal.parameters, members, free)


def _at(model: GridModel, values: Floats) -> Floats:
    """Return *values* (sets, parameters) at every z: constrained ones at the same distance in constraint widths."""
    which = model.nominal.constrained
    point = int(np.abs(model.z).argmin())
    start = np.repeat(values[:, None, :], len(model.z), axis=1)
    distance = (values[:, which] - model.auxiliary[point]) / model.widths[point]
    apart = model.auxiliary + distance[:, None, :] * model.widths
    start[:, :, which] = np.where(model.poisson, start[:, :, which], apart)
    return start


def _observable_sizes(model: GridModel, best: Best, groups: Groups) -> dict[str, float | None]:
    """Return the parts of the uncertainty by shifted auxiliary measurements; statistics: the rest, in quadrature."""
    sides = observable_shifts(model, best)
    sizes = np.nan_to_num(0.5 * (sides.up - sides.down)) ** 2
    parts = {group: math.sqrt(float(sizes[member].sum())) for group, member in _members(model, groups).items()}
    rest = float(best.result.covariance[model.index, model.index] - sizes.sum())
    return {uncertainties.STATISTICS: math.sqrt(max(rest, 0.0))} | {
        group: None if group == uncertainties.NORMALISATIONS else size for group, size in parts.items()
    }


def observable_shifts(model: GridModel, best: Best) -> Sides:
    """Return the changes when each auxiliary measurement moves by one standard deviation."""
    which = model.nominal.constrained
    count, data = len(which) + 1, best.data
    found = []
    for sign in (1.0, -1.0):
        auxiliary = np.tile(data.auxiliary, (count, 1, 1))
        sizes = np.where(model.poisson, np.sqrt(np.maximum(data.auxiliary[0], 0.0)), model.widths)
        auxiliary[np.arange(count - 1), :, np.arange(count - 1)] += sign * sizes.T
        auxiliary = np.where(model.poisson, np.maximum(auxiliary, 0.0), auxiliary)
        centre = np.tile(data.centre, count)
        centre[-1] += sign
        moved = Data(np.tile(data.main, (count, 1, 1)), auxiliary, centre)
        change = _moved(model, best, moved, NOTHING, np.tile(best.fits.points, (count, 1, 1)))
        found.append(_spread(change, np.append(which, len(model.names) - 1), model))
    return Sides(*found)


def _moved(model: GridModel, best: Best, data: Data, held: Held, start: Floats) -> Floats:
    """Return by how much the best fits of some data sets differ from *best* in the parameter of interest."""
    found = model.fit(data, start, held)
    return np.where(found.flags == 0, found.values[:, model.index] - best.result.values[model.index], np.nan)


def _spread(change: Floats, which: Integers, model: GridModel) -> Floats:
    """Return *change* of the parameters *which*, among all (z last); NaN for the others and for fixed ones."""
    full = np.full(len(model.names), np.nan)
    full[which] = change
    full[:-1][model.nominal.fixed] = np.nan
    return full


def value_shifts(model: GridModel, best: Best, which: Integers, sizes: Floats) -> Sides:
    """Return the changes when each parameter of *which* (indices, z last) is held off its best fit by its *sizes*."""
    count, last, found = len(which), len(model.names) - 1, []
    lower = np.append(model.nominal.lower, model.z[0])[which]
    upper = np.append(model.nominal.upper, model.z[-1])[which]
    for sign in (1.0, -1.0):
        step = sign * np.nan_to_num(sizes[which])
        values = np.clip(best.result.values[which] + step, lower, upper)
        rows, others = np.arange(count), which < last
        moved, parameters = np.tile(best.result.values[:-1], (count, 1)), np.zeros((count, last), dtype=np.bool_)
        moved[rows[others], which[others]], parameters[rows[others], which[others]] = values[others], True
        start, z = _at(model, moved), np.where(others, np.nan, values)
        change = _moved(model, best, best.data.take([0] * count), Held(parameters, z), start)
        found.append(_spread(np.where(np.isfinite(sizes[which]), change, np.nan), which, model))
    return Sides(*found)


# --- tables ---------------------------------------------------------------------------------------------------------


def _prefit(model: GridModel) -> Floats:
    return np.append(fits.prefit_widths(model.nominal), 1.0)


def _pulls(model: GridModel, best: Best) -> dict[str, dict[str, Any]]:
    found = {
        row.parameter: {"name": row.parameter, "value": row.value, "error": row.error, "pull": row.pull}
        | {"constraint": row.constraint}
        for row in fits.pulls(model.nominal, best.result)
    }
    z, error = float(best.result.values[-1]), finite(best.result.errors[-1])
    pull = z - float(best.data.centre[0])
    return {model.name: {"name": model.name, "value": z, "error": error, "pull": pull, "constraint": error}} | found


def _parameters(model: GridModel, best: Best) -> list[dict[str, Any]]:
    """Return value, error, pull and constraint of the constrained parameters, then of the free ones (without)."""
    result = best.result
    free = [
        {"name": row.name, "value": result.values[i], "error": finite(result.errors[i]), "pull": None}
        | {"constraint": None}
        for i, row in enumerate(model.nominal.parameters)
        if row.constraint == "none" and not row.fixed
    ]
    return [*_pulls(model, best).values(), *free]


def impact_rows(model: GridModel, data: Data, kind: str) -> list[dict[str, Any]]:
    """Return one row per nuisance parameter, the largest impact first, as `measurements.impact_rows`."""
    best = best_fit(model, data)
    which = np.flatnonzero(np.append(~model.nominal.fixed, True) & (np.arange(len(model.names)) != model.index))
    postfit = value_shifts(model, best, which, best.result.errors)
    prefit = value_shifts(model, best, which, _prefit(model))
    observable, pulls = observable_shifts(model, best), _pulls(model, best)
    rows = [
        {"data": kind, "parameter": name, "impact_up": postfit.up[i], "impact_down": postfit.down[i]}
        | {"prefit_up": prefit.up[i], "prefit_down": prefit.down[i]}
        | {"observable_up": observable.up[i], "observable_down": observable.down[i]}
        | {word: pulls[name][word] if name in pulls else None for word in ("pull", "constraint")}
        for i, name in ((int(i), model.names[i]) for i in which)
    ]
    return sorted(rows, key=lambda row: -np.nan_to_num(max(abs(row["impact_up"]), abs(row["impact_down"]))))


def scan_rows(model: GridModel, data: Data, kind: str) -> list[dict[str, Any]]:
    """Return the profile of the parameter of interest within three standard deviations of the best fit."""
    best = model.fit(data)
    reach = SCAN_SIGMAS * float(np.nan_to_num(best.error[0], nan=model.scale))
    value = float(best.values[0, model.index])
    points = np.linspace(max(model.limits[0], value - reach), min(model.limits[1], value + reach), SCAN_POINTS)
    found = model.fit_at(data.take([0] * len(points)), np.tile(best.points, (len(points), 1, 1)), points)
    heights = found.twice_nll - best.twice_nll[0]
    return [{"data": kind, "mu": mu, "delta": delta} for mu, delta in zip(points, heights, strict=True)]


def _yields(
    model: GridModel, result: fits.FitResult | None, data: Data, edges: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """Return per channel the edges, the yields of each sample, their total with its error, and the data, at one z.

    That of the fit, or 0 before it; between the points of the grid everything is interpolated, the data too.
    """
    values = np.append(model.nominal.inits, 0.0) if result is None else result.values
    prefit = np.nan_to_num(_prefit(model)) * np.append(~model.nominal.fixed, True)
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
        places = zip(model.nominal.structure.cells, model.nominal.plan.cells[:-1, 2], strict=True)
        for cell, start in ((cell, start) for cell, start in places if cell.channel == name):
            part = slice(start, start + last - first)
            channels[name]["samples"][cell.sample] = rates[part].tolist()
            total, change = total + rates[part], change + slopes[part]
            pieces[cell.sample] = (float(rates[part].sum()), slopes[part].sum(axis=0))
        errors = np.sqrt(np.maximum(np.einsum("bi,ij,bj->b", change, covariance, change), 0.0))
        whole = sums.summed(pieces, covariance)
        channels[name] |= {"total": total.tolist(), "error": errors.tolist(), "sums": whole}
    return channels
