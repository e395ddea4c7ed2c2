"""Everything that one fit of a likelihood of single events tells, as plain values: the same as of one workspace."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import fits, limits, uncertainties
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.likelihood.kernels.density_fits import AT_BOUND, LOST
from nuisflow.likelihood.measurements import SCAN_POINTS, SCAN_SIGMAS, finite

Groups = Mapping[str, Sequence[str]]
LEVEL = 0.95


class Best(NamedTuple):
    """The best fit of one data set."""

    data: Data
    result: FitResult


def best_fit(model: UnbinnedModel, data: Data) -> Best:
    """Fit one data set."""
    return Best(data, model.fit(data))


def measure(model: UnbinnedModel, best: Best, groups: Groups, background: Data, *, asimov: bool) -> dict[str, Any]:
    """Return best fit, uncertainties, significance, limits and pulls, as `likelihood.measurements.measure`.

    *background*: expected data without signal, for limits. Yields are not told: None.
    """
    result, data = best.result, best.data
    low, high, flag = model.interval(data, result)
    value, error = float(result.values[0]), float(result.errors[0])
    sizes = breakdown(model, best, groups)
    total, stat = sizes.pop(""), sizes[uncertainties.STATISTICS]
    remark = "an end was not found" if flag == LOST else "; ".join(fits.disagreements(value, low, high, error))
    limited, why = upper_limits(model, data, background, asimov=asimov)
    return {
        "mu": value,
        "sigma": total,
        "sigma_up": finite(high - value),
        "sigma_down": finite(value - low),
        "sigma_hessian": finite(error),
        "sigma_stat": stat,
        "sigma_syst": math.sqrt(max(total**2 - stat**2, 0.0)),
        "sigma_mcstat": 0.0,
        "breakdown": sizes,
        "breakdown_observable": _observable_sizes(model, best, groups),
        "parameters": _parameters(model, best),
        "correlation": {"names": list(result.names), "matrix": fits.correlations(result)},
        "intervals": {"checked": 1, "remarks": {model.poi: remark} if remark else {}},
        "converged": result.converged,
        "message": "; ".join(filter(None, (result.message, remark, why))),
        "goodness_of_fit": None,
        "significance": _significance(model, best),
        "limits": limited,
        "yields": None,
    }


def spread(replicas: pd.DataFrame, poi: str) -> float | None:
    """Return the standard deviation of the best fits of *poi* in bootstrap replicas of the simulation; None of one."""
    values = replicas.loc[replicas["converged"], poi]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def with_simulation(found: dict[str, Any], spread: float | None) -> dict[str, Any]:
    """Return what a fit *found* with the uncertainty of a finite simulation, the *spread* of replicas, in quadrature.

    The profile interval does not know it: its ends, and the coverage of pseudo-experiments, are without.
    """
    if spread is None:
        return found
    return found | {
        "sigma": math.hypot(found["sigma"], spread),
        "sigma_mcstat": spread,
        "breakdown": found["breakdown"] | {uncertainties.MC_STATISTICS: spread},
    }


def shifts(model: UnbinnedModel, result: FitResult) -> dict[str, float | None]:
    """Return how far from nominal every parameter is fitted, in units of its error: of expected data, 0 is right."""
    apart = (result.values - model.inits) / np.where(result.errors > 0, result.errors, np.nan)
    return {name: finite(value) for name, value in zip(model.names, apart, strict=True)}


def _held(model: UnbinnedModel, *indices: int) -> Booleans:
    found = np.zeros(len(model.names), dtype=np.bool_)
    found[list(indices)] = True
    return found


def profiled(model: UnbinnedModel, best: Best, data: Data, values: Mapping[int, float]) -> FitResult:
    """Return the fit to *data* with some parameters held at *values*, from the best fit."""
    start = best.result.values.copy()
    start[list(values)] = list(values.values())
    return model.fit(data, start, _held(model, *values))


def _significance(model: UnbinnedModel, best: Best) -> dict[str, float] | None:
    """Return the asymptotic significance of the signal."""
    from scipy import special

    if not best.result.converged or not model.limits[0] <= 0 < model.limits[1]:
        return None
    null = profiled(model, best, best.data, {0: 0.0})
    if not null.converged:
        return None
    q0 = max(null.twice_nll - best.result.twice_nll, 0.0) if best.result.values[0] > 0 else 0.0
    return limits.Significance(q0, math.sqrt(q0), float(special.ndtr(-math.sqrt(q0))))._asdict()


# --- limits ---------------------------------------------------------------------------------------------------------


def upper_limits(
    model: UnbinnedModel, data: Data, background: Data, *, asimov: bool
) -> tuple[dict[str, Any] | None, str]:
    """Return the CLs upper limits by asymptotic formulae (arXiv:1007.1727), and why there are none.

    *background*: expected data without signal. The expected limits are where the root of its q(mu) is
    N + Phi^-1(1 - 0.05 Phi(N)); the observed one compares both data sets at the same mu.
    """
    from scipy import special

    null = best_fit(model, background)
    if not null.result.converged:
        return None, f"limits: the fit to expected data without signal: {null.result.message}"
    bands = [band + special.ndtri(1 - (1 - LEVEL) * special.ndtr(band)) for band in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    found = [model.end(background, null.result, float(band), precision=1e-4) for band in bands]
    expected = [high if flag == 0 else math.nan for high, flag in found]
    observed = math.nan if asimov else _observed_limit(model, data, null, expected)
    missing = [name for name, value in (("expected", expected[2]), ("observed", observed)) if not math.isfinite(value)]
    missing = [name for name in missing if name == "expected" or not asimov]
    why = f"limits: the {', '.join(missing)} one is beyond {model.limits[1]:g}, or a fit failed" if missing else ""
    rows = {"level": LEVEL, "observed": finite(observed) if not asimov else None}
    return rows | {"expected": [finite(value) for value in expected]}, why


def _observed_limit(model: UnbinnedModel, data: Data, null: Best, expected: Sequence[float]) -> float:
    """Return where CLs of *data* falls to 0.05 above the best fit; NaN if it does not within the bounds."""
    from scipy import optimize

    best = best_fit(model, data)
    lowest = best.result
    if not lowest.converged:
        return math.nan
    if lowest.values[0] < 0:
        lowest = profiled(model, best, data, {0: 0.0})

    def excess(value: float) -> float:
        one, other = (profiled(model, start, sample, {0: value}) for start, sample in ((best, data), (null, null.data)))
        if not (one.converged and other.converged):
            return math.nan
        q = max(one.twice_nll - lowest.twice_nll, 0.0)
        return _log_cls(math.sqrt(q), math.sqrt(max(other.twice_nll - null.result.twice_nll, 1e-12))) - math.log(
            1 - LEVEL
        )

    low, high = max(float(best.result.values[0]), 1e-6), model.limits[1]
    guess = [value for value in expected if math.isfinite(value)]
    step = guess[0] if guess else 0.1 * high
    end = low
    while end < high:
        end = min(end + step, high)
        height = excess(end)
        if not math.isfinite(height):
            return math.nan
        if height < 0:
            return float(optimize.brentq(excess, low, end, xtol=1e-5))
        low, step = end, 1.5 * step
    return math.nan


def _log_cls(root: float, expected: float) -> float:
    """Return ln CLs from the roots of q-tilde of the data and of expected data (arXiv:1007.1727, section 3.6)."""
    from scipy import special

    if root <= expected:
        return float(special.log_ndtr(-root) - special.log_ndtr(expected - root))
    q, asimov = root**2, expected**2
    both, background = (q + asimov) / (2 * expected), (q - asimov) / (2 * expected)
    return float(special.log_ndtr(-both) - special.log_ndtr(-background))


# --- parts of the uncertainty ---------------------------------------------------------------------------------------


def breakdown(model: UnbinnedModel, best: Best, groups: Groups) -> dict[str, float]:
    """Return half the width of the interval (key ""), and its parts by source, by freezing as `fits.breakdown`."""
    total = _half_width(model, best, _held(model))
    everything = np.arange(len(model.names)) != 0
    parts = {uncertainties.STATISTICS: _half_width(model, best, everything)}
    for name, member in _members(model, groups).items():
        parts[name] = math.sqrt(max(total**2 - _half_width(model, best, member) ** 2, 0.0))
    return {"": total} | parts


def _half_width(model: UnbinnedModel, best: Best, held: Booleans) -> float:
    """Return half the width of the interval with *held* parameters at the best fit; one side if the other is bound."""
    fixed = model.fit(best.data, best.result.values, held) if held.any() else best.result
    low, high, flag = model.interval(best.data, fixed, held)
    value = fixed.values[0]
    sides = [abs(end - value) for end in (low, high) if math.isfinite(end)]
    if flag == AT_BOUND and len(sides) > 1:
        sides = [side for side, end in zip(sides, (low, high), strict=True) if end not in model.limits] or sides
    return float(np.mean(sides)) if sides else math.nan


def _members(model: UnbinnedModel, groups: Groups) -> dict[str, Booleans]:
    """Return which parameters belong to each group; those in none are told as of workspaces."""
    free = np.arange(len(model.names)) != 0
    members = {group: free & np.isin(model.names, list(names)) for group, names in groups.items()}
    members = {group: member for group, member in members.items() if member.any()}
    return members | uncertainties.ungrouped(model.parameters, members, free)


def _observable_sizes(model: UnbinnedModel, best: Best, groups: Groups) -> dict[str, float | None]:
    """Return the parts of the uncertainty by shifted auxiliary measurements; statistics: the rest, in quadrature."""
    up, down = observable_shifts(model, best)
    sizes = np.nan_to_num(0.5 * (up - down)) ** 2
    parts = {group: math.sqrt(float(sizes[member].sum())) for group, member in _members(model, groups).items()}
    rest = float(best.result.covariance[0, 0] - sizes.sum())
    return {uncertainties.STATISTICS: math.sqrt(max(rest, 0.0))} | {
        group: None if group == uncertainties.NORMALISATIONS else size for group, size in parts.items()
    }


def observable_shifts(model: UnbinnedModel, best: Best) -> tuple[Floats, Floats]:
    """Return the changes of the parameter of interest when each auxiliary measurement moves by one deviation."""
    found = []
    for sign in (1.0, -1.0):
        change = np.full(len(model.names), np.nan)
        for index in np.flatnonzero(model.constrained):
            centre = best.data.centre.copy()
            centre[index] += sign * model.widths[index]
            moved = model.fit(best.data._replace(centre=centre), best.result.values)
            change[index] = moved.values[0] - best.result.values[0] if moved.converged else np.nan
        found.append(change)
    return found[0], found[1]


def value_shifts(model: UnbinnedModel, best: Best, sizes: Floats) -> tuple[Floats, Floats]:
    """Return the changes of the parameter of interest when each other parameter is held off its best fit by *sizes*."""
    found, s = [], model.structure
    for sign in (1.0, -1.0):
        change = np.full(len(model.names), np.nan)
        for index in range(1, len(model.names)):
            if not np.isfinite(sizes[index]):
                continue
            place = float(np.clip(best.result.values[index] + sign * sizes[index], s.lower[index], s.upper[index]))
            moved = profiled(model, best, best.data, {index: place})
            change[index] = moved.values[0] - best.result.values[0] if moved.converged else np.nan
        found.append(change)
    return found[0], found[1]


# --- tables ---------------------------------------------------------------------------------------------------------


def _parameters(model: UnbinnedModel, best: Best) -> list[dict[str, Any]]:
    """Return value, error, pull and constraint of the constrained parameters, then of the free ones (without)."""
    rows = []
    for index in (*np.flatnonzero(model.constrained), *np.flatnonzero(~model.constrained)):
        value, error = float(best.result.values[index]), finite(best.result.errors[index])
        row: dict[str, Any] = {"name": model.names[index], "value": value, "error": error}
        pull = constraint = None
        if model.constrained[index]:
            width = float(model.widths[index])
            pull = (value - float(best.data.centre[index])) / width
            constraint = None if error is None else error / width
        rows.append(row | {"pull": pull, "constraint": constraint})
    return rows


def impact_rows(model: UnbinnedModel, best: Best, kind: str) -> list[dict[str, Any]]:
    """Return one row per nuisance parameter, the largest impact first, as `measurements.impact_rows`."""
    postfit = value_shifts(model, best, best.result.errors)
    prefit = value_shifts(model, best, np.where(model.constrained, model.widths, np.nan))
    observable, pulls = observable_shifts(model, best), {row["name"]: row for row in _parameters(model, best)}
    rows = [
        {"data": kind, "parameter": name}
        | {f"impact_{side}": values[i] for side, values in zip(("up", "down"), postfit, strict=True)}
        | {f"prefit_{side}": values[i] for side, values in zip(("up", "down"), prefit, strict=True)}
        | {f"observable_{side}": values[i] for side, values in zip(("up", "down"), observable, strict=True)}
        | {word: pulls[name][word] for word in ("pull", "constraint")}
        for i, name in enumerate(model.names)
        if i != 0
    ]
    return sorted(rows, key=lambda row: -np.nan_to_num(max(abs(row["impact_up"]), abs(row["impact_down"]))))


def scan_rows(model: UnbinnedModel, best: Best, kind: str) -> list[dict[str, Any]]:
    """Return the profile of the parameter of interest within three standard deviations of the best fit."""
    value, reach = float(best.result.values[0]), SCAN_SIGMAS * float(np.nan_to_num(best.result.errors[0], nan=1.0))
    points = np.linspace(max(model.limits[0], value - reach), min(model.limits[1], value + reach), SCAN_POINTS)
    found = [profiled(model, best, best.data, {0: float(point)}) for point in points]
    heights = [one.twice_nll - best.result.twice_nll if one.converged else math.nan for one in found]
    return [{"data": kind, "mu": float(mu), "delta": delta} for mu, delta in zip(points, heights, strict=True)]
