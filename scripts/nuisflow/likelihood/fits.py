"""Fits of one data set: best fit, profile intervals, scans, pulls, impacts, breakdown of the uncertainty, yields."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import covariances, likelihoods, starts
from nuisflow.likelihood.covariances import samples, totals
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.likelihoods import Data, Likelihood
from nuisflow.likelihood.model import EDGE, FLAT, MESSAGES, NEGATIVE, Minima, Model, Values
from nuisflow.likelihood.valleys import profiles
from nuisflow.likelihood.valleys.ends import AT_EDGE, DEEPER, NOT_FOUND, intervals

# ASSUME: profile and Hessian intervals disagree when an end differs by more than 10 % of the standard deviation.
DISAGREEMENT = 0.1
# ASSUME: with more parameters than this, only that of interest gets a profile interval (each takes several fits of all
# parameters), unless more are asked for.
PROFILES = 100


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
    several minima, at further points within the constraints (a large model: where such variations are, on their other
    sides), and far outside of them where the result is under strain; the deepest minimum counts. Where Newton does not
    converge, Minuit minimises with the same gradient; the message says so.
    """
    held, begin = _held(model, fixed, start)
    if model.large and start is None:
        minima = starts.deepest(model, data, begin, held, tolerance=1e-10)
    elif start is None:
        minima = starts.everywhere(model, data, begin, held)
    else:
        minima = model.minimise(data, begin, held, tolerance=1e-10)
    deepest = starts.deepest_of(minima)
    best = 0 if minima.twice_nll[0] < minima.twice_nll[deepest] + 1e-7 else deepest
    values, twice, status = minima.values[best], float(minima.twice_nll[best]), int(minima.status[best])
    message, converged = MESSAGES[status], status in (0, FLAT)  # FLAT: the covariance names it
    if not converged and status != NEGATIVE:
        values, twice, converged, message = profiles.minimise_with_minuit(model, data, values, held, message)
    covariance, problem = covariances.covariance(model, data, values, held)
    message = MESSAGES[0] if status == FLAT and not problem else message
    remarks = [message if not (converged and problem) else "", problem, *_remarks(model, data, values, held)]
    text = "; ".join(remark for remark in remarks if remark)
    errors = np.sqrt(np.diagonal(covariance))
    return FitResult(model.names, values, errors, covariance, twice, not problem and converged, text)


def impossible(result: FitResult) -> bool:
    """Return whether there is no likelihood, whatever the free parameters are: the fixed ones cannot be true."""
    return not result.converged and any(text in result.message for text in (MESSAGES[2], MESSAGES[NEGATIVE]))


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
    _, slopes = totals(model, values) if (rates < -EDGE).any() else (rates, np.zeros(0))
    for b in np.flatnonzero(rates < -EDGE):
        worst = model.names[int(np.argmin(slopes[b] * (values - model.inits)))]
        remarks.append(f"{model.place(int(b))}: the expected rate {rates[b]:.3g} is negative (mostly by {worst})")
    remarks += _idle(model, values, held)
    ends = edges(model, data, values, held)
    return [*remarks, f"the best fit is at the edge of the physical region: beyond it {ends}"] if ends else remarks


def _idle(model: Model, values: Floats, held: Booleans) -> list[str]:
    """Name the parameters that nothing fixes where others are at a bound or held, such as at a signal of 0."""
    at_bound = ~held & ((values <= model.lower) | (values >= model.upper))
    if not (at_bound | (held & ~model.fixed)).any():
        return []
    names = [model.names[i] for i in np.flatnonzero(covariances.idle(model, values, held | at_bound))]
    return [f"flat here, without a prior: {', '.join(names)} (the error is that of the range)"] if names else []


def edges(model: Model, data: Values | None, values: Floats, held: Booleans) -> str:
    """Name the bins without data that would expect a negative number of events beyond a point, and by what; or ""."""
    found = [
        f"{model.place(int(b))}, which has no data, would expect a negative number of events (mostly by "
        f"{model.names[int(np.argmin(slopes * (values - model.inits) * ~held))]})"
        for b, slopes in zip(*covariances.edge(model, data, values, held), strict=True)
    ]
    return " and ".join(found)


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
        minima = _alone(best)
        found = intervals(model, minima, name, data, held, sigmas=sigmas, tolerance=1e-10, thorough=True)
        if not found.flags[0] & DEEPER or attempt == 2:
            break
        best = _deeper(model, data, name, best, fixed)
    low, high, error, flags = (float(part[0]) for part in found)
    index = model.index(name)
    value = float(best.values[index])
    if int(flags) & NOT_FOUND and best.converged and (held == model.fixed).all() and not held[index]:
        (low, one), (high, two) = (
            (end, int(flags) & (AT_EDGE | bit))
            if np.isfinite(end)
            else _searched(model, data, best, index=index, target=sign * sigmas, error=error)
            for sign, bit, end in ((-1.0, 1, low), (1.0, 2, high))
        )
        flags = int(flags) & DEEPER | one | two
    remarks = _warning(value, low, high, error * sigmas, int(flags))
    if int(flags) & AT_EDGE:
        ends = [end for end, bound in ((low, model.lower[index]), (high, model.upper[index])) if end != bound]
        remarks += _beyond(model, data, best, held, index=index, ends=ends)
    return Interval(name, value, low, high, error, "; ".join(remarks))


def _alone(best: FitResult) -> Minima:
    """Return one fit as several are given."""
    status = np.array([0 if best.converged else 1])
    return Minima(best.values[None, :], np.array([best.twice_nll]), status, np.zeros(1, int))


def _searched(model: Model, data: Values | None, best: FitResult, *, index: int, target: float, error: float,
              ) -> tuple[float, int]:  # fmt: skip
    """Return an end of an interval that was not found, by halving, every fit from many starts; and flags.

    *target*: by how many standard deviations the profile rises there, negative for the lower end.
    """
    value, up = float(best.values[index]), target > 0.0
    bound = float((model.upper if up else model.lower)[index])
    if value == bound:
        return bound, 2 if up else 1
    profile = profiles.Profile(model, data, index, best.values)
    size = error if error > 0.0 else 0.1 * float(model.upper[index] - model.lower[index])
    inside, outside, wall, here = value, np.nan, False, value + target * size
    for _ in range(60):
        here = float(np.clip(here, model.lower[index], model.upper[index]))
        rise = profile.conditional(here, thorough=True).twice_nll - best.twice_nll
        if np.isnan(rise) or rise < -1e-5:
            break
        height = np.sqrt(max(rise, 0.0))
        if abs(height - abs(target)) < 1e-5:
            return here, 0
        if height > abs(target):
            outside, wall = here, bool(np.isinf(height))
        elif here == bound:
            return bound, 2 if up else 1
        else:
            inside = here
        if abs(outside - inside) < 1e-7 * size:
            return (inside, AT_EDGE | (2 if up else 1)) if wall else (np.nan, 4)
        here = 0.5 * (inside + outside) if np.isfinite(outside) else value + 2.0 * (here - value)
    return np.nan, 4


def _beyond(
    model: Model, data: Values | None, best: FitResult, held: Booleans, *, index: int, ends: list[float]
) -> list[str]:
    """Name the bins in which the physical region ends, of the *ends* of an interval."""
    start, fixed = np.tile(best.values, (len(ends), 1)), held | (np.arange(len(held)) == index)
    start[:, index] = ends
    minima = model.minimise(data, start, fixed)
    texts = [edges(model, data, values, held) for values in minima.values]
    return [f"the physical region ends where {text}" for text in dict.fromkeys(texts) if text]


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


def _warning(value: float, low: float, high: float, error: float, flags: int) -> list[str]:
    """Return what the flags mean and where the Hessian disagrees; it is of no meaning for a value at a bound."""
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
    inside = value not in {low if flags & 1 else None, high if flags & 2 else None}
    return [*remarks, *(disagreements(value, below, above, error) if inside else [])]


def disagreements(value: float, low: float, high: float, error: float) -> list[str]:
    """Return a remark for every end that is not where the Hessian's *error* puts it; NaN ends are none."""
    return [
        f"the {side} error {size:.4g} disagrees with {error:.4g} from the Hessian"
        for side, size in (("lower", value - low), ("upper", high - value))
        if not np.isnan(size) and not abs(size - error) <= DISAGREEMENT * error
    ]


def by_profile(likelihood: Likelihood, data: Data, best: FitResult, parameter: str) -> Interval:
    """Return the interval around a best fit; a likelihood with one minimum needs no more care than this."""
    at = likelihoods.index(likelihood, parameter)
    found = likelihood.intervals(_alone(best), parameter, data, likelihood.fixed[None, :], tolerance=1e-10)
    value, error, low, high = (float(x) for x in (best.values[at], best.errors[at], found.low[0], found.high[0]))
    remarks = _warning(value, low, high, error, int(found.flags[0]))
    return Interval(parameter, value, low, high, error, "; ".join(remarks))


def scan(likelihood: Likelihood, data: Data, parameter: str, points: Values, best: FitResult | None = None) -> Scan:
    """Return -2 ln L profiled over all other parameters at the *points*, relative to the best fit."""
    best, values = best or likelihood.best(data), np.array(points, dtype=np.float64)
    at = likelihoods.index(likelihood, parameter)
    start = np.tile(best.values, (len(values), 1))
    start[:, at] = values
    held = np.tile(likelihood.fixed | (np.arange(start.shape[1]) == at), (len(values), 1))
    minima = likelihood.minima(data, start, held, best.values)
    return Scan(parameter, values, minima.twice_nll - best.twice_nll, minima.status == 0)


def pulls(likelihood: Likelihood, result: FitResult, data: Data = None) -> list[Pull]:
    """Return pull and constraint of every constrained parameter that is not fixed."""
    centres, widths = likelihood.constraints(data)
    pulled, constraint = (result.values - centres) / widths, result.errors / widths
    return [
        Pull(result.names[i], result.values[i], result.errors[i], pulled[i], constraint[i])
        for i in np.flatnonzero(~np.isnan(widths) & ~likelihood.fixed)
    ]


def correlations(result: FitResult) -> Floats:
    """Return the correlation matrix; rows of fixed parameters are 0 but for the diagonal."""
    errors = np.where(result.errors > 0, result.errors, 1.0)
    matrix: Floats = result.covariance / np.outer(errors, errors)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def yields(model: Model, result: FitResult | None = None) -> list[Yield]:
    """Return the expected events of every sample and their total in every bin: prefit, or of a fit.

    Errors are propagated linearly with the exact derivatives; prefit ones from the constraints only.
    """
    values = model.inits if result is None else result.values
    covariance = covariances.prefit(model) if result is None else result.covariance
    rows = []
    for channel, sample, rates, slopes in samples(model, values):
        rows += _yields(channel, sample, rates, slopes, covariance)
    total, slopes = totals(model, values)
    for channel, first, last in model.channels:
        rows += _yields(channel, "total", total[first:last], slopes[first:last], covariance)
    return rows


def _yields(channel: str, sample: str, rates: Floats, slopes: Floats, covariance: Floats) -> list[Yield]:
    errors = np.sqrt(np.einsum("bi,ij,bj->b", slopes, covariance, slopes))
    return [Yield(channel, bin_, sample, float(rates[bin_]), float(errors[bin_])) for bin_ in range(len(rates))]
