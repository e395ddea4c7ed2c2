"""Fits of one data set: best fit, profile intervals, scans, pulls, impacts, breakdown of the uncertainty, yields."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nuisflow import likelihood, starts
from nuisflow.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood import Minima, Model, Values

# ASSUME: profile and Hessian intervals disagree when an end differs by more than 10 % of the standard deviation.
DISAGREEMENT = 0.1
prefit_widths = starts.widths
SINGLE_BINS = ("staterror", "shapesys")  # kinds of parameters that act on one bin each
STATISTICS, MC_STATISTICS, NORMALISATIONS, OTHER = "statistics", "MC statistics", "normalisations", "other"


class FitResult(NamedTuple):
    """A best fit; errors and covariance from the exact Hessian (0 for fixed parameters, NaN where undefined).

    *message*: "converged" or why not, followed by remarks (parameters at a bound, negative expected rates).
    """

    names: tuple[str, ...]
    values: Floats
    errors: Floats
    covariance: Floats
    twice_nll: float
    converged: bool
    message: str


class Interval(NamedTuple):
    """Profile-likelihood interval [low, high], the standard deviation from the Hessian, and a warning or ""."""

    parameter: str
    value: float
    low: float
    high: float
    error: float
    message: str


class Scan(NamedTuple):
    """-2 ln L, profiled, above its minimum, at each point of a parameter."""

    parameter: str
    points: Floats
    twice_delta_nll: Floats
    converged: Booleans


class Pull(NamedTuple):
    """Best fit of a constrained parameter: *pull*, *constraint*: its shift, error in units of the prefit width."""

    parameter: str
    value: float
    error: float
    pull: float
    constraint: float


class Impact(NamedTuple):
    """Change of the parameter of interest when a nuisance parameter moves up or down.

    *up*, *down*: held one postfit standard deviation off its best fit; *prefit_*: one prefit width off;
    *observable_*: its auxiliary measurement shifted by one standard deviation (these add up in quadrature).
    """

    parameter: str
    group: str
    value: float
    error: float
    up: float
    down: float
    prefit_up: float
    prefit_down: float
    observable_up: float
    observable_down: float


class Source(NamedTuple):
    """Part of the total uncertainty: by freezing and subtracting in quadrature, and by shifted observables."""

    group: str
    frozen: float
    observable: float


class Breakdown(NamedTuple):
    """Total uncertainty of the parameter of interest and its parts.

    *sigma_stat*: all other parameters frozen; *sigma_syst*: total minus that, in quadrature; *sigma_mcstat*: frozen
    MC-statistics parameters subtracted from the total.
    """

    sigma_total: float
    sigma_stat: float
    sigma_syst: float
    sigma_mcstat: float
    sources: list[Source]


class Yield(NamedTuple):
    """Expected events of a sample ("total": their sum) in a bin, with the error propagated from the parameters."""

    channel: str
    bin: int
    sample: str
    value: float
    error: float


def fit(model: Model, data: Values | None = None, *, start: Mapping[str, float] | Values | None = None,
        fixed: Mapping[str, float] | None = None) -> FitResult:  # fmt: skip
    """Fit one data set (default: the observed one), with the parameters *fixed* at these values.

    Without a *start*, the fit starts at the initial values and, since variations that do not mirror each other make
    several minima, at further points within the constraints; the deepest minimum counts. Where Newton does not
    converge, Minuit minimises with the same gradient; the message says so.
    """
    held, begin = _held(model, fixed, start)
    begins = starts.further(model, begin, held) if start is None else begin
    minima = model.minimise(data, begins, held, tolerance=1e-10)
    deepest = int(np.argmin(np.where(minima.status == 0, minima.twice_nll, np.inf)))
    best = 0 if minima.twice_nll[0] < minima.twice_nll[deepest] + 1e-7 else deepest
    values, twice, status = minima.values[best], float(minima.twice_nll[best]), int(minima.status[best])
    message, converged = likelihood.MESSAGES[status], status in (0, likelihood.FLAT)  # FLAT: the covariance names it
    if not converged and status != likelihood.NEGATIVE:
        values, twice, converged, message = likelihood.minimise_with_minuit(model, data, values, held, message)
    covariance, problem = likelihood.covariance(model, data, values, held)
    remarks = [message if not (converged and problem) else "", problem, *_remarks(model, data, values, held)]
    text = "; ".join(remark for remark in remarks if remark)
    errors = np.sqrt(np.diagonal(covariance))
    return FitResult(model.names, values, errors, covariance, twice, not problem and converged, text)


def _held(model: Model, fixed: Mapping[str, float] | None, start: Mapping[str, float] | Values | None,
          ) -> tuple[Booleans, Floats]:  # fmt: skip
    """Return which parameters are fixed, and the starting point with their values in it."""
    held, begin = model.fixed.copy(), model.point(start)
    for name, value in (fixed or {}).items():
        held[model.index(name)], begin[model.index(name)] = True, value
    return held, begin


def _remarks(model: Model, data: Values | None, values: Floats, held: Booleans) -> list[str]:
    """Return what a reader must know about a best fit: parameters at a bound, negative rates."""
    remarks = []
    for name, value, lower, upper, fixed in zip(model.names, values, model.lower, model.upper, held, strict=True):
        if not fixed and value in (lower, upper):
            remarks.append(f"{name} is at its {'lower' if value == lower else 'upper'} bound {value:g}")
    rates = model.expected(values)
    empty = np.flatnonzero((rates <= 0) & (model.split(data)[0][0] > 0))
    remarks += [f"{model.place(int(b))} has data but no expected events" for b in empty]
    _, slopes = totals(model, values) if (rates < 0).any() else (rates, np.zeros(0))
    for b in np.flatnonzero(rates < 0):
        worst = model.names[int(np.argmin(slopes[b] * (values - model.inits)))]
        remarks.append(f"{model.place(int(b))}: the expected rate {rates[b]:.3g} is negative (mostly by {worst})")
    return remarks


def interval(model: Model, data: Values | None = None, parameter: str | None = None, *, sigmas: float = 1.0,
             result: FitResult | None = None, fixed: Mapping[str, float] | None = None) -> Interval:  # fmt: skip
    """Return the profile-likelihood interval (as MINOS) of a parameter (default: the parameter of interest).

    The message warns where an end differs from the Hessian's by more than DISAGREEMENT, lies at a bound, or is not
    found; a deeper minimum met on the way is adopted.
    """
    name = parameter or model.poi
    held, _ = _held(model, fixed, None)
    best = result or fit(model, data, fixed=fixed)
    for attempt in range(3):
        minima = Minima(best.values[None, :], np.array([best.twice_nll]), np.zeros(1, int), np.zeros(1, int))
        found = model.intervals(minima, name, data, held, sigmas=sigmas, tolerance=1e-10)
        if not found.flags[0] & 8 or attempt == 2:
            break
        best = _deeper(model, data, name, best, fixed)
    low, high, error, flags = (float(part[0]) for part in found)
    value = float(best.values[model.index(name)])
    remarks = _warning(value, low, high, error * sigmas, int(flags)), _beyond(model, data, best, held, name, low, high)
    return Interval(name, value, low, high, error, "; ".join(remark for remark in remarks if remark))


def _beyond(model: Model, data: Values | None, best: FitResult, held: Booleans, name: str, *ends: float) -> str:
    """Name the bins that expect a negative number of events at the ends of an interval (none if they have data)."""
    index, found = model.index(name), [end for end in ends if np.isfinite(end)]
    if model.split(data)[0].all() or not found:
        return ""
    start = np.tile(best.values, (len(found), 1))
    start[:, index] = found
    minima = model.minimise(data, start, held | (np.arange(len(held)) == index))
    lowest = model.expected(minima.values)[minima.status == likelihood.NEGATIVE].argmin(axis=1)
    places = dict.fromkeys(model.place(int(b)) for b in lowest)
    return f"it reaches negative expected events in {' and '.join(places)}, which has no data" if places else ""


def _deeper(
    model: Model, data: Values | None, name: str, best: FitResult, fixed: Mapping[str, float] | None
) -> FitResult:
    """Refit from several standard deviations off on both sides and return the deepest minimum."""
    index = model.index(name)
    step = best.errors[index] if np.isfinite(best.errors[index]) else 0.1 * (model.upper[index] - model.lower[index])
    fits = [best]
    for shift in (-3, -2, -1, 1, 2, 3):
        start = best.values.copy()
        start[index] += shift * step
        fits.append(fit(model, data, start=start, fixed=fixed))
    return min((row for row in fits if row.converged), key=lambda row: row.twice_nll, default=best)


def _warning(value: float, low: float, high: float, error: float, flags: int) -> str:
    remarks = []
    if flags & 1:
        remarks.append("the lower end is at the bound")
    if flags & 2:
        remarks.append("the upper end is at the bound")
    if flags & 4:
        remarks.append("an end was not found")
    if flags & 8:
        remarks.append("a deeper minimum exists")
    below, above = (np.nan if flags & (4 | bit) else end for bit, end in ((1, low), (2, high)))
    return "; ".join([*remarks, *disagreements(value, below, above, error)])


def disagreements(value: float, low: float, high: float, error: float) -> list[str]:
    """Return a remark for every end that is not where the Hessian's *error* puts it; NaN ends are none."""
    return [
        f"the {side} error {size:.4g} disagrees with {error:.4g} from the Hessian"
        for side, size in (("lower", value - low), ("upper", high - value))
        if not np.isnan(size) and not abs(size - error) <= DISAGREEMENT * error
    ]


def scan(model: Model, data: Values | None, parameter: str, points: Values) -> Scan:
    """Return -2 ln L profiled over all other parameters at the *points*, relative to the best fit."""
    best, values = fit(model, data), np.array(points, dtype=np.float64)
    index = model.index(parameter)
    held, start = model.fixed.copy(), np.tile(best.values, (len(values), 1))
    held[index], start[:, index] = True, values
    minima = starts.deepest(model, data, start, held, tolerance=1e-10)
    return Scan(parameter, values, minima.twice_nll - best.twice_nll, minima.status == 0)


def pulls(model: Model, result: FitResult) -> list[Pull]:
    """Return pull and constraint of every constrained parameter that is not fixed."""
    widths, rows = prefit_widths(model), []
    for i in model.constrained:
        row = model.parameters[i]
        centre = row.auxiliary / row.width if row.constraint == "poisson" else row.auxiliary
        if not row.fixed:
            pull = (result.values[i] - centre) / widths[i]
            rows.append(Pull(row.name, result.values[i], result.errors[i], pull, result.errors[i] / widths[i]))
    return rows


def correlations(result: FitResult) -> Floats:
    """Return the correlation matrix; rows of fixed parameters are 0 but for the diagonal."""
    errors = np.where(result.errors > 0, result.errors, 1.0)
    matrix: Floats = result.covariance / np.outer(errors, errors)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _shifted(model: Model, data: Values | None, best: FitResult, *, index: Integers, sizes: Floats, poi: int) -> Floats:
    """Return the changes (up and down, parameters) of the parameter of interest when each is held off its best fit."""
    count = len(index)
    start, held = np.tile(best.values, (2 * count, 1)), np.tile(model.fixed, (2 * count, 1))
    rows = np.arange(count)
    for half, sign in ((0, 1.0), (count, -1.0)):
        moved = np.clip(best.values[index] + sign * sizes, model.lower[index], model.upper[index])
        start[rows + half, index], held[rows + half, index] = moved, True
    minima = starts.deepest(model, data, start, held, tolerance=1e-10)
    change = np.where(minima.status == 0, minima.values[:, poi] - best.values[poi], np.nan)
    return np.where(np.isfinite(sizes), change.reshape(2, count), np.nan)


def observable_shifts(model: Model, data: Values | None, best: FitResult, poi: str) -> Floats:
    """Return the changes (up and down, parameters) of the parameter of interest when each auxiliary measurement moves.

    By one standard deviation of the measurement (Pinto et al., arXiv:2307.04007); NaN without a constraint.
    """
    main, auxiliary = model.split(data)
    flat = np.concatenate([main[0], auxiliary[0][model.constrained]])
    poisson = np.array([model.parameters[i].constraint == "poisson" for i in model.constrained], dtype=np.bool_)
    widths = np.array([model.parameters[i].width for i in model.constrained])
    sizes = np.where(poisson, np.sqrt(np.maximum(flat[model.bins :], 0.0)), widths)
    change = np.full((2, len(model.names)), np.nan)
    for row, sign in enumerate((1.0, -1.0)):
        sets = np.tile(flat, (len(sizes), 1))
        sets[np.arange(len(sizes)), model.bins + np.arange(len(sizes))] += sign * sizes
        sets[:, model.bins :] = np.where(poisson, np.maximum(sets[:, model.bins :], 0.0), sets[:, model.bins :])
        minima = starts.deepest(model, sets, best.values, tolerance=1e-10) if len(sets) else None
        if minima is not None:
            shift = minima.values[:, model.index(poi)] - best.values[model.index(poi)]
            change[row, model.constrained] = np.where(minima.status == 0, shift, np.nan)
    change[:, model.fixed] = np.nan
    return change


def impacts(model: Model, data: Values | None = None, poi: str | None = None) -> list[Impact]:
    """Return the impact of every free parameter on the parameter of interest, largest first."""
    name = poi or model.poi
    at, best = model.index(name), fit(model, data)
    index = np.flatnonzero(~model.fixed & (np.arange(len(model.names)) != at))
    postfit = _shifted(model, data, best, index=index, sizes=best.errors[index], poi=at)
    prefit = _shifted(model, data, best, index=index, sizes=prefit_widths(model)[index], poi=at)
    observable = observable_shifts(model, data, best, name)[:, index]
    rows = [Impact(model.names[i], model.parameters[i].group, best.values[i], best.errors[i], *postfit[:, k],
                   *prefit[:, k], *observable[:, k]) for k, i in enumerate(index)]  # fmt: skip
    return sorted(rows, key=lambda row: -np.nan_to_num(max(abs(row.up), abs(row.down))))


def breakdown(model: Model, data: Values | None = None, poi: str | None = None,
              groups: Mapping[str, Sequence[str]] | None = None) -> Breakdown:  # fmt: skip
    """Split the uncertainty of the parameter of interest by source.

    *groups*: names of parameters or modifiers. Added by themselves, for what is in no group: MC statistics
    (staterror, shapesys), normalisations (parameters without a constraint), other; and statistics. By freezing:
    sigma^2 = total^2 - (group frozen at its best fit)^2; statistics: all others frozen. By observables: auxiliary
    measurements shifted by one standard deviation, in quadrature; statistics: the main data's part, which includes
    the normalisations (they are measured by the data), to first order.
    """
    name = poi or model.poi
    best, members = fit(model, data), _members(model, name, groups or {})
    frozen = [np.zeros_like(model.fixed), *members.values(), np.arange(len(model.names)) != model.index(name)]
    sizes = _half_widths(model, data, best, name, np.array(frozen) | model.fixed)
    total, stat = float(sizes[0]), float(sizes[-1])
    shifts = np.nan_to_num(0.5 * np.subtract(*observable_shifts(model, data, best, name)))
    sources = [Source(STATISTICS, stat, _data_part(model, best, name))]
    for (group, member), size in zip(members.items(), sizes[1:-1], strict=True):
        observable = float(np.sqrt((shifts[member] ** 2).sum())) if group != NORMALISATIONS else np.nan
        sources.append(Source(group, float(np.sqrt(max(total**2 - size**2, 0.0))), observable))
    mcstat = next((row.frozen for row in sources if row.group == MC_STATISTICS), 0.0)
    return Breakdown(total, stat, float(np.sqrt(max(total**2 - stat**2, 0.0))), mcstat, sources)


def _members(model: Model, poi: str, groups: Mapping[str, Sequence[str]]) -> dict[str, Booleans]:
    """Return which parameters belong to each group, those added by themselves last."""
    free = ~model.fixed & (np.arange(len(model.names)) != model.index(poi))
    members = {group: likelihood.named(model, names) & free for group, names in groups.items()}
    return members | ungrouped(model, members, free)


def ungrouped(model: Model, members: Mapping[str, Booleans], free: Booleans) -> dict[str, Booleans]:
    """Return the groups, not empty, of the *free* parameters of a model (and perhaps others) that are in none yet.

    What a group of the same name has in *members* stays in it.
    """
    rest = free & ~np.any([*members.values(), np.zeros_like(free)], axis=0)
    mc, unconstrained = np.zeros_like(free), np.zeros_like(free)
    mc[: len(model.parameters)] = [row.kind in SINGLE_BINS for row in model.parameters]
    unconstrained[: len(model.parameters)] = [row.constraint == "none" for row in model.parameters]
    found = {OTHER: rest & ~mc & ~unconstrained, NORMALISATIONS: rest & unconstrained, MC_STATISTICS: rest & mc}
    return {group: member | members.get(group, False) for group, member in found.items() if member.any()}


def _half_widths(model: Model, data: Values | None, best: FitResult, poi: str, held: Booleans) -> Floats:
    """Return half the width of the interval with each set of parameters held (one side if the other is at a bound)."""
    count, index = len(held), model.index(poi)
    minima = Minima(np.tile(best.values, (count, 1)), np.full(count, best.twice_nll), np.zeros(count, int),
                    np.zeros(count, int))  # fmt: skip
    found = model.intervals(minima, poi, data, held, tolerance=1e-10)
    return half_widths(best.values[index] - found.low, found.high - best.values[index], found.flags, found.error)


def half_widths(below: Floats, above: Floats, flags: Integers, error: Floats | float) -> Floats:
    """Return half the widths of intervals: the mean of both sides, without those at a bound; else *error*."""
    sides = np.where([flags & 1, flags & 2], np.nan, [below, above])
    counts = np.isfinite(sides).sum(axis=0)
    return np.where(counts > 0, np.nansum(sides, axis=0) / np.maximum(counts, 1), error)


def _data_part(model: Model, best: FitResult, poi: str) -> float:
    """Return the standard deviation of the parameter of interest from the Poisson fluctuations of the main data."""
    rates, slopes = totals(model, best.values)
    change = slopes @ best.covariance[model.index(poi)]
    return float(np.sqrt((change**2 / np.where(rates > 0, rates, np.inf)).sum()))


def totals(model: Model, values: Floats) -> tuple[Floats, Floats]:
    """Return the expected main data (bins) and their derivatives (bins, parameters)."""
    _, jacobian = model.cells(values)
    slopes = np.zeros((model.bins, len(model.names)))
    for first, last, start in model.plan.cells[:-1, :3]:
        slopes[first:last] += jacobian[start : start + last - first]
    return model.expected(values), slopes


def yields(model: Model, result: FitResult | None = None) -> list[Yield]:
    """Return the expected events of every sample and their total in every bin: prefit, or of a fit.

    Errors are propagated linearly with the exact derivatives; prefit ones from the constraints only.
    """
    values = model.inits if result is None else result.values
    prefit = np.where(model.fixed, 0.0, np.nan_to_num(prefit_widths(model)))
    covariance = np.diag(prefit**2) if result is None else result.covariance
    rates, slopes = model.cells(values)
    rows = []
    for cell, (first, last, start) in zip(model.structure.cells, model.plan.cells[:-1, :3], strict=True):
        part = slice(start, start + last - first)
        rows += _yields(cell.channel, cell.sample, rates[part], slopes[part], covariance)
    total, slopes = totals(model, values)
    for channel, first, last in model.channels:
        rows += _yields(channel, "total", total[first:last], slopes[first:last], covariance)
    return rows


def _yields(channel: str, sample: str, rates: Floats, slopes: Floats, covariance: Floats) -> list[Yield]:
    errors = np.sqrt(np.einsum("bi,ij,bj->b", slopes, covariance, slopes))
    return [Yield(channel, bin_, sample, float(rates[bin_]), float(errors[bin_])) for bin_ in range(len(rates))]
