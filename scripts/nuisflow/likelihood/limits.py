"""Tests of hypotheses on one data set: goodness of fit, discovery significance, CLs upper limits (asymptotic)."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from nuisflow.likelihood import fits
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model, Values

BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
_PRECISION = 1e-8  # of a limit (relative), and of the CLs there


class GoodnessOfFit(NamedTuple):
    """-2 ln of the likelihood ratio to the saturated model, its degrees of freedom and chi-squared p value."""

    statistic: float
    degrees: int
    p_value: float


class Significance(NamedTuple):
    """Test of no signal (q0); *sigmas* and *p_value* are one-sided and asymptotic."""

    q0: float
    sigmas: float
    p_value: float


class Cls(NamedTuple):
    """CLs of one signal strength: observed, and expected for -2, -1, 0, 1, 2 sigma fluctuations of the background."""

    poi: float
    observed: float
    expected: tuple[float, ...]


class Limits(NamedTuple):
    """Upper limits: observed, and expected for -2, -1, 0, 1, 2 sigma; NaN beyond the parameter's bound."""

    observed: float
    expected: tuple[float, ...]
    level: float


def goodness_of_fit(model: Model, data: Values | None = None) -> GoodnessOfFit:
    """Compare the best fit with the saturated model (Cousins 2013).

    Degrees of freedom: bins minus free parameters without a constraint.
    """
    from scipy import special

    best = fits.fit(model, data)
    statistic = best.twice_nll - float(model.constants(data)[0])
    free = sum(row.constraint == "none" and not row.fixed for row in model.parameters)
    degrees = model.bins - free
    p_value = float(special.gammaincc(0.5 * degrees, 0.5 * max(statistic, 0.0))) if degrees > 0 else math.nan
    return GoodnessOfFit(statistic, degrees, p_value)


def significance(model: Model, data: Values | None = None, poi: str | None = None) -> Significance:
    """Return the significance against no signal: q0 of arXiv:1007.1727, equation 12."""
    from scipy import special

    name = poi or model.poi
    best, null = fits.fit(model, data), fits.fit(model, data, fixed={name: 0.0})
    q0 = max(null.twice_nll - best.twice_nll, 0.0) if best.values[model.index(name)] > 0 else 0.0
    return Significance(q0, math.sqrt(q0), float(special.ndtr(-math.sqrt(q0))))


def asimov_fit(model: Model, data: Values | None = None, fixed: Mapping[str, float] | None = None) -> Floats:
    """Return the Asimov data of the best fit to *data*, with parameters fixed at these values."""
    return model.asimov(fits.fit(model, data, fixed=fixed).values)


def cls(model: Model, data: Values | None, value: float, poi: str | None = None) -> Cls:
    """Return the asymptotic CLs of a signal strength (test statistic q-tilde, arXiv:1007.1727, section 3.5)."""
    return _calculator(model, data, poi or model.poi)(value)


def _calculator(model: Model, data: Values | None, poi: str) -> Callable[[float], Cls]:
    """Return the function from a signal strength to its CLs; what does not depend on it is fitted once."""
    from scipy import special

    background = fits.fit(model, data, fixed={poi: 0.0})
    asimov = model.asimov(background.values)
    lowest = [_lowest(model, sample, poi, background) for sample in (data, asimov)]

    def calculate(value: float) -> Cls:
        q, q_asimov = (_q_tilde(model, sample, poi, value, best)
                       for sample, best in zip((data, asimov), lowest, strict=True))  # fmt: skip
        root = math.sqrt(q_asimov)
        if root == 0.0:
            return Cls(value, 1.0, (1.0,) * len(BANDS))
        shift = math.sqrt(q) - root if q <= q_asimov else (q - q_asimov) / (2.0 * root)
        rows = [float(special.ndtr(-(x + root)) / special.ndtr(-x)) for x in (shift, *(-band for band in BANDS))]
        return Cls(value, rows[0], tuple(rows[1:]))

    return calculate


def _lowest(model: Model, data: Values | None, poi: str, start: FitResult) -> FitResult:
    """Return the best fit with a signal that is not negative."""
    best = fits.fit(model, data, start=start.values)
    return best if best.values[model.index(poi)] >= 0 else fits.fit(model, data, start=start.values, fixed={poi: 0.0})


def _q_tilde(model: Model, data: Values | None, poi: str, value: float, best: FitResult) -> float:
    if best.values[model.index(poi)] >= value:
        return 0.0
    held = fits.fit(model, data, start=best.values, fixed={poi: value})
    return max(held.twice_nll - best.twice_nll, 0.0)


def limits(model: Model, data: Values | None = None, poi: str | None = None, level: float = 0.95) -> Limits:
    """Return the CLs upper limits at this confidence level, observed and expected, with asymptotic formulae."""
    name = poi or model.poi
    calculate = _calculator(model, data, name)
    known: dict[float, Cls] = {}

    def cached(value: float) -> Cls:
        known[value] = known.get(value) or calculate(value)
        return known[value]

    upper = float(model.upper[model.index(name)])
    size = fits.fit(model, data).errors[model.index(name)]
    step = float(size) if size > 0 else 0.1 * upper

    def excess(i: int) -> Callable[[float], float]:
        return lambda value: (cached(value).observed, *cached(value).expected)[i] - (1.0 - level)

    roots = [_root(excess(i), step, upper) for i in range(1 + len(BANDS))]
    return Limits(roots[0], tuple(roots[1:]), level)


def _root(function: Callable[[float], float], step: float, upper: float) -> float:
    """Return where *function* falls through 0 between 0 and *upper*; NaN if it does not.

    The Illinois method (BIT 11 (1971) 168) on a bracket: few evaluations, and no import of scipy.optimize, which would
    take longer than all fits of a limit.
    """
    low, at_low, high = 0.0, function(0.0), min(step, upper)
    while (at_high := function(high)) > 0.0:
        if high >= upper:
            return math.nan
        low, at_low, high = high, at_high, min(2.0 * high, upper)
    kept = 0  # the end that stayed in the last step: its value is halved, lest it stays for ever
    while high - low > _PRECISION * high and at_high < 0.0:
        middle = low + (high - low) * at_low / (at_low - at_high)
        value = function(middle)
        if abs(value) < _PRECISION:
            return middle
        if value > 0.0:
            low, at_low, at_high, kept = middle, value, at_high * (0.5 if kept == 1 else 1.0), 1
        else:
            high, at_high, at_low, kept = middle, value, at_low * (0.5 if kept == -1 else 1.0), -1
    return high
