"""Tests of hypotheses on one data set: goodness of fit, discovery significance, CLs upper limits (asymptotic)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nuisflow.likelihood import covariances, fits, likelihoods
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.likelihoods import Data, Likelihood
from nuisflow.likelihood.model import Model, Values
from nuisflow.likelihood.valleys.profiles import Profile
from nuisflow.progress import Reporter

BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
NAMES = ("observed", *(f"expected {name}" for name in ("-2 sigma", "-1 sigma", "median", "+1 sigma", "+2 sigma")))
_PRECISION = 1e-8  # of a limit (relative), and of the CLs there
_LEAST = 1e-300  # CLs, below which it counts as this, so that its logarithm exists
_CLOSE = 1e-6  # CLs at a limit is this close to its level, else there is none
_WIDER = (4.0, 64.0, 1024.0)  # upper bounds that are tried where a limit lies beyond that of the workspace, relative
_BEYOND = "beyond"
_ATTEMPTS = 8


class GoodnessOfFit(NamedTuple):
    """-2 ln of the likelihood ratio to the saturated model, its degrees of freedom and chi-squared p value."""

    statistic: float
    degrees: int
    p_value: float


class Significance(NamedTuple):
    """Test of no signal (q0); *sigmas* and *p_value* are one-sided and asymptotic. NaN where a fit failed."""

    q0: float
    sigmas: float
    p_value: float


class Cls(NamedTuple):
    """CLs of one signal strength: observed, and expected for -2, -1, 0, 1, 2 sigma fluctuations of the background."""

    poi: float
    observed: float
    expected: tuple[float, ...]


class Limits(NamedTuple):
    """Upper limits: observed, and expected for -2, -1, 0, 1, 2 sigma; NaN where there is none, *problems* says why."""

    observed: float
    expected: tuple[float, ...]
    level: float
    problems: tuple[str, ...] = ()


def goodness_of_fit(likelihood: Likelihood, data: Data = None, best: FitResult | None = None) -> GoodnessOfFit:
    """Compare the best fit with the saturated model (Cousins 2013); NaN where there is none."""
    return compared(likelihood, *likelihood.saturated(data, best or likelihood.best(data)))


def compared(likelihood: Likelihood, statistic: float, number: int) -> GoodnessOfFit:
    """Return the p value of a saturated *statistic* of *number* main data, by the chi-squared distribution.

    Degrees of freedom: main data minus free parameters without a constraint.
    """
    from scipy import special

    rows = zip(likelihood.parameters, likelihood.fixed, strict=True)
    degrees = number - sum(row.constraint == "none" and not fixed for row, fixed in rows)
    p_value = float(special.gammaincc(0.5 * degrees, 0.5 * max(statistic, 0.0))) if degrees > 0 else math.nan
    return GoodnessOfFit(statistic, degrees, p_value)


def significance(
    likelihood: Likelihood, data: Data = None, poi: str | None = None, *, best: FitResult | None = None
) -> Significance:
    """Return the significance against no signal: q0 of arXiv:1007.1727, equation 12."""
    from scipy import special

    name = poi or likelihood.poi
    best, null = best or likelihood.best(data), likelihood.best(data, {name: 0.0})
    if not (math.isfinite(best.twice_nll) and math.isfinite(null.twice_nll)):
        return Significance(math.nan, math.nan, math.nan)
    signal = best.values[likelihoods.index(likelihood, name)] > 0
    q0 = max(null.twice_nll - best.twice_nll, 0.0) if signal else 0.0
    return Significance(q0, math.sqrt(q0), float(special.ndtr(-math.sqrt(q0))))


def asimov_fit(model: Model, data: Values | None = None, fixed: Mapping[str, float] | None = None) -> Floats:
    """Return the Asimov data of the best fit to *data*, with parameters fixed at these values."""
    return model.asimov(fits.fit(model, data, fixed=fixed).values)


def cls(model: Model, data: Values | None, value: float, poi: str | None = None) -> Cls:
    """Return the asymptotic CLs of a signal strength (test statistic q-tilde, arXiv:1007.1727, section 3.5).

    NaN where a fit failed.
    """
    return table(model, data, [value], poi)[0]


def table(model: Model, data: Values | None, values: Sequence[float], poi: str | None = None) -> list[Cls]:
    """Return `cls` of several signal strengths, whose fits help each other."""
    name = poi or model.poi
    calculator = _of_workspace(reaching(model, name, values), data, name)
    for value in values:
        calculator.verify(value)
    return [calculator(value) for value in values]


def reaching(model: Model, poi: str, values: Sequence[float]) -> Model:
    """Return the model with an upper bound of the signal strength that is not below any of the *values* to be tested.

    A best fit above a tested value says nothing against it: with a bound below, the one at the bound would.
    """
    upper = float(model.upper[model.index(poi)])
    return model if max(values, default=upper) <= upper else model.bounded({poi: (None, float(max(values)))})


def tail_ratio(shift: float, root: float) -> float:
    """Return CLs = Phi(-(shift + root)) / Phi(-shift) for root >= 0, also where both tails are too small for a number.

    By scaled complementary error functions: Phi(-x) = exp(-x^2 / 2) erfcx(x / sqrt 2) / 2.
    """
    from scipy import special

    if shift <= 0.0:
        return float(special.ndtr(-(shift + root)) / special.ndtr(-shift))
    scaled = special.erfcx((shift + root) / math.sqrt(2.0)) / special.erfcx(shift / math.sqrt(2.0))
    return float(math.exp(-root * (shift + 0.5 * root)) * scaled)


class _Profile(Protocol):
    """What the test statistics come from; *problem*: why there is none; *deepened*: how often a minimum got deeper."""

    deepened: int
    problem: str

    def q_tilde(self, value: float) -> float:
        """Return the test statistic of arXiv:1007.1727, equation 16."""
        ...

    def verify(self, value: float) -> None:
        """Fit once more, with more care."""
        ...


class _Along:
    """-2 ln L of one data set of any likelihood along its parameter of interest; it has one minimum."""

    deepened, problem = 0, ""

    def __init__(self, likelihood: Likelihood, data: Data) -> None:
        self.likelihood, self.data, self.index = likelihood, data, likelihoods.index(likelihood, likelihood.poi)
        self.held = (likelihood.fixed | (np.arange(len(likelihood.names)) == self.index))[None, :]
        best = likelihood.best(data)
        self.error = float(best.errors[self.index])
        self.best = best if best.values[self.index] >= 0 else likelihood.best(data, {likelihood.poi: 0.0})
        self.problem = "" if self.best.converged else f"a fit failed: {self.best.message}"
        self.last = self.best.values

    def q_tilde(self, value: float) -> float:
        """Return the test statistic of arXiv:1007.1727, equation 16, for a value of the parameter."""
        if self.best.values[self.index] >= value:
            return 0.0
        start = self.last[None, :].copy()
        start[0, self.index] = value
        found = self.likelihood.minima(self.data, start, self.held, self.best.values)
        if found.status[0] != 0:
            self.problem = "a fit did not converge, or ended where its parameters may go no further"
            return math.nan
        self.last = found.values[0]
        return max(float(found.twice_nll[0]) - self.best.twice_nll, 0.0)

    def verify(self, value: float) -> None:
        """Look for a deeper minimum: there is none."""


class _Calculator:
    """CLs of signal strengths from the *profiles* of data and of expected data; what was computed is kept.

    *step*: the standard deviation of the signal strength in background; *problem*: why there is nothing to compute.
    """

    def __init__(self, profiles: Sequence[_Profile], step: float, problem: str) -> None:
        self.profiles, self.step, self.problem = profiles, step, problem
        self.known: dict[float, Cls] = {}
        self.reporter = Reporter("limit: signal strengths tested")
        self.problem = problem or self.reason()

    def __call__(self, value: float) -> Cls:
        """Return the CLs of a signal strength; NaN where a fit failed."""
        if value not in self.known:
            self.known[value] = self._calculate(value)
            self.reporter.tell(len(self.known))
        return self.known[value]

    def depth(self) -> int:
        """Return how many times a deeper minimum was found than before."""
        return sum(profile.deepened for profile in self.profiles)

    def verify(self, value: float) -> None:
        """Fit at a signal strength once more, from many starts; `depth` tells whether that found something deeper."""
        for profile in () if self.problem else self.profiles:
            profile.verify(value)

    def reason(self) -> str:
        """Return why the last CLs is not a number."""
        return next((profile.problem for profile in self.profiles if profile.problem), "")

    def _calculate(self, value: float) -> Cls:
        nothing = Cls(value, math.nan, (math.nan,) * len(BANDS))
        if self.problem:
            return nothing
        one, other = self.profiles
        q = one.q_tilde(value)
        q_asimov = q if one is other else other.q_tilde(value)
        if not (math.isfinite(q) and math.isfinite(q_asimov)):
            return nothing
        root = math.sqrt(q_asimov)
        if root == 0.0:
            return Cls(value, 1.0, (1.0,) * len(BANDS))
        shift = math.sqrt(q) - root if q <= q_asimov else (q - q_asimov) / (2.0 * root)
        rows = [tail_ratio(x, root) for x in (shift, *(-band for band in BANDS))]
        return Cls(value, rows[0], tuple(rows[1:]))


def _of_workspace(model: Model, data: Values | None, poi: str) -> _Calculator:
    """Return the calculator of a workspace: several minima are possible, and Asimov data follow from the data."""
    index = model.index(poi)
    background = Profile(model, data, index, model.inits)
    found = background.conditional(0.0, thorough=True)
    problem = f"the fit without signal failed: {background.problem}" if background.problem else ""
    if not problem and (places := fits.edges(model, data, found.values, _held(model, index))):
        problem = (
            f"the fit without signal lies at the edge of the physical region, where asymptotic formulae do not "
            f"hold: beyond it {places}"
        )
    if problem:
        return _Calculator((background,), math.nan, problem)
    asimov = model.asimov(found.values)
    profiles = background, Profile(model, asimov, index, found.values)
    step = _step(model, asimov, found.values, index)
    for profile in profiles:
        profile.minimise()
    return _Calculator(profiles, step, "")


def _step(model: Model, data: Floats, values: Floats, index: int) -> float:
    """Return the standard deviation of the signal strength in background, the first step of a search for a limit."""
    variance = covariances.covariance(model, data, values, model.fixed)[0][index, index]
    return math.sqrt(variance) if variance > 0.0 else 0.1 * float(model.upper[index])


def _held(model: Model, index: int) -> Booleans:
    held: Booleans = model.fixed | (np.arange(len(model.names)) == index)
    return held


def limits(model: Model, data: Values | None = None, poi: str | None = None, level: float = 0.95, *,
           widen: bool = False) -> Limits:  # fmt: skip
    """Return the CLs upper limits at this confidence level, observed and expected, with asymptotic formulae.

    Fits start from several points, and again from more of them at every limit. There is no limit where a fit failed,
    nor beyond the parameter's upper bound, unless it is to be *widened*: then *problems* say how far it reaches.
    """
    name = poi or model.poi
    upper = float(model.upper[model.index(name)])
    found = _within(_of_workspace(model, data, name), upper, level)
    beyond = [i for i, (_, problem) in enumerate(found) if problem == _BEYOND]
    if not beyond:
        return _limits(found, level)
    wide = found
    for factor in _WIDER:
        wider = model.bounded({name: (None, factor * upper)})
        wide = _within(_of_workspace(wider, data, name), factor * upper, level)
        if all(wide[i][1] != _BEYOND for i in beyond):
            break
    if widen:
        return _limits([(v, f"is beyond {_WIDER[-1] * upper:g}" if p == _BEYOND else p) for v, p in wide], level)
    for i in beyond:
        value, problem = wide[i]
        needed = f"with wider bounds it is {value:.4g}" if math.isfinite(value) else f"with wider bounds it {problem}"
        needed = f"it is not below {_WIDER[-1] * upper:g} either" if problem == _BEYOND else needed
        found[i] = math.nan, f"is beyond the upper bound {upper:g} of {name}; {needed} (--widen looks there)"
    return _limits(found, level)


def _limits(found: Sequence[tuple[float, str]], level: float) -> Limits:
    """Return what was found, with the problems by name of the limit; the same one of several is told once."""
    texts: dict[str, list[str]] = {}
    for name, (_, problem) in zip(NAMES, found, strict=True):
        if problem:
            texts.setdefault(problem, []).append(name)
    whole = [
        f"there are no limits: {text}" if len(names) == len(NAMES) else f"the {', '.join(names)} limit {text}"
        for text, names in texts.items()
    ]
    return Limits(found[0][0], tuple(value for value, _ in found[1:]), level, tuple(whole))


def upper_limits(likelihood: Likelihood, data: Data, background: Data, level: float = 0.95) -> Limits:
    """Return the CLs upper limits on the parameter of interest of any likelihood with one minimum, as `limits`.

    *background*: expected data without signal, at the best fit of the nuisance parameters to *data* without signal.
    """
    profiles = [_Along(likelihood, data)]
    profiles.append(profiles[0] if data is background else _Along(likelihood, background))
    upper, name = float(likelihood.bounds[1][profiles[0].index]), likelihood.poi
    step = profiles[1].error if profiles[1].error > 0 else 0.1 * upper
    found = _within(_Calculator(profiles, step, ""), upper, level)
    beyond = f"is beyond the upper bound {upper:g} of {name}"
    return _limits([(value, beyond if problem == _BEYOND else problem) for value, problem in found], level)


def _within(calculator: _Calculator, upper: float, level: float) -> list[tuple[float, str]]:
    """Return every limit (or NaN) and why there is none (or "") within the bounds."""
    from scipy import special

    if calculator.problem:
        return [(math.nan, calculator.problem)] * len(NAMES)
    # In units of half-normal tails CLs is about linear in the signal strength; scaled to be CLs - target next to it.
    wanted = float(special.ndtri(0.5 * (1.0 - level)))
    scale = math.sqrt(2.0 / math.pi) * math.exp(-0.5 * wanted**2)

    def excess(i: int) -> Callable[[float], float]:
        def function(value: float) -> float:
            found = calculator(value)
            cls_ = (found.observed, *found.expected)[i]
            return scale * (float(special.ndtri(0.5 * max(cls_, _LEAST))) - wanted)

        return function

    for _ in range(_ATTEMPTS):
        depth = calculator.depth()
        roots = [_root(excess(i), calculator.step, upper, calculator.reason) for i in range(len(NAMES))]
        for value in {value for value, problem in roots if not problem}:
            calculator.verify(value)
        if calculator.depth() == depth:
            return roots
        calculator.known.clear()  # a deeper minimum changes what was computed before
    return [(math.nan, "is not found: every fit finds a deeper minimum")] * len(NAMES)


def _root(function: Callable[[float], float], step: float, upper: float, reason: Callable[[], str],
          ) -> tuple[float, str]:  # fmt: skip
    """Return where *function* falls through 0 between 0 and *upper*, or NaN and why it does not.

    NaN is never taken for a sign. The Illinois method (BIT 11 (1971) 168) on a bracket: few evaluations, and no import
    of scipy.optimize, which would take longer than all fits of a limit.
    """
    low, at_low, high, ceiling = 0.0, function(0.0), min(step, upper), math.inf
    while not (at_high := function(high)) <= 0.0:
        barred = math.isfinite(ceiling) or math.isnan(at_high)  # some strength above is without an answer
        if math.isnan(at_low) or (barred and high - low <= 1e-6 * high):
            return math.nan, f"is not found up to {low:.4g}; beyond, {reason()}"
        if math.isnan(at_high):
            ceiling = high
        elif high >= upper:
            return math.nan, _BEYOND
        else:
            low, at_low = high, at_high
        high = 0.5 * (low + ceiling) if math.isfinite(ceiling) else min(2.0 * high, upper)
    kept, true = 0, (at_low, at_high)  # the end that stayed in the last step: its value is halved, lest it stays
    while high - low > _PRECISION * high and at_high < 0.0:
        middle = low + (high - low) * at_low / (at_low - at_high)
        value = function(middle)
        if math.isnan(value):
            return math.nan, f"is not found: at {middle:.4g}, {reason()}"
        if abs(value) < _PRECISION:
            return middle, ""
        if value > 0.0:
            low, at_low, at_high, kept, true = middle, value, at_high * (0.5 if kept == 1 else 1.0), 1, (value, true[1])
        else:
            high, at_high, at_low, kept, true = (
                middle,
                value,
                at_low * (0.5 if kept == -1 else 1.0),
                -1,
                (true[0], value),
            )
    if min(abs(true[0]), abs(true[1])) < _CLOSE or true[1] == 0.0:
        return high, ""
    return math.nan, f"is not found: CLs jumps over its level at {high:.6g}"
