"""The profile of one data set along one parameter, followed along all of its valleys; Minuit where Newton fails."""

from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import starts
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import EDGE, FLAT, MESSAGES, NEGATIVE, Minima, Model, Values
from nuisflow.likelihood.starts import DISTINCT, further, sides

BRANCHES = 6  # minima that are followed along a profile
_DEEPER = 1e-7  # difference of -2 ln L from a better minimum
_ROUNDING = 4 * np.finfo(float).eps  # of -2 ln L, per event
_MANY, _ANCHORS = 10, 4  # evaluations of a fit, after which a metric nearer to it pays; such points of a profile


class Found(NamedTuple):
    """The deepest minimum found: all parameters, -2 ln L (infinite: nothing is physical; NaN: fits failed)."""

    values: Floats
    twice_nll: float


class Profile:
    """-2 ln L of one data set along one parameter, minimised over all others from several starts.

    Every fit starts at each of the minima that were found before (moved to the new value of the parameter) and, with
    two-sided parameters, at mirror images; a *thorough* one also at STARTS further points. *deepened*: how many times
    a thorough fit was needed, or a conditional fit lay below the best one. *problem*: why the last fit failed.
    """

    def __init__(self, model: Model, data: Values | None, index: int, begin: Floats) -> None:
        self.model, self.data, self.index, self.problem, self.deepened = model, data, index, "", 0
        self.least = _DEEPER + _ROUNDING * float(model.split(data)[0].sum())
        """By how much -2 ln L of one minimum is lower than that of another: rounding grows with the events."""
        self.mirrors = starts.mirrors(starts.two_sided(model))
        self.branches = np.atleast_2d(begin)
        self.anchors = [self.branches[0]]
        """Points whose Hessians serve as metric of fits of a large model; a fit that took many steps adds its own."""
        self.best: Found | None = None

    def minimise(self) -> None:
        """Find the best fit with a parameter that is not negative (thoroughly)."""
        free = self._fit(self.branches, self.model.fixed, thorough=True)
        depths = np.where(free.values[:, self.index] >= 0.0, free.twice_nll, np.inf)
        edge = self.conditional(0.0, thorough=True)
        if self.problem:
            return
        if not len(depths):
            self.problem = "the best fit is not found"
            return
        at = int(np.argmin(depths))
        here = Found(free.values[at], float(depths[at]))
        self.best = here if here.twice_nll < edge.twice_nll else edge
        self.anchors = [self.best.values]
        self.branches = np.vstack([self.branches, self.best.values])

    def q_tilde(self, value: float) -> float:
        """Return the test statistic of arXiv:1007.1727, equation 16, for a value of the parameter."""
        if self.best is None or self.best.values[self.index] >= value:
            return 0.0 if self.best else np.nan
        found = self.conditional(value)
        return max(found.twice_nll - self.best.twice_nll, 0.0) if not np.isnan(found.twice_nll) else np.nan

    def conditional(self, value: float, *, thorough: bool = False) -> Found:
        """Return the deepest minimum at a value of the parameter."""
        begins, held = self._moved(value), self.model.fixed.copy()
        held[self.index], self.problem = True, ""
        minima = self._fit(begins, held, thorough=thorough)
        if not len(minima.values):
            return self._alone(begins[0], held)
        order = np.argsort(minima.twice_nll)
        distinct = np.diff(minima.twice_nll[order], prepend=-np.inf) > DISTINCT
        self.branches = minima.values[order[distinct][:BRANCHES]]
        if minima.iterations.max() > _MANY and self._near(value)[self.index] != value:
            self.anchors = [*self.anchors[1 - _ANCHORS :], minima.values[order[0]]]
        lowest = Found(minima.values[order[0]], float(minima.twice_nll[order[0]]))
        if self.best and value >= 0.0 and lowest.twice_nll < self.best.twice_nll - self.least:
            self.deepened, self.best = self.deepened + 1, None
            self.minimise()
        return lowest

    def verify(self, value: float) -> None:
        """Fit at a value once more, from many starts where these may matter."""
        if self.mirrors or len(starts.curved(self.model)) or not self.model.large:
            self.conditional(value, thorough=True)

    def _near(self, value: float) -> Floats:
        """Return the point next to this value of the parameter whose metric is known."""
        return min(self.anchors, key=lambda point: abs(float(point[self.index]) - value))

    def _moved(self, value: float) -> Floats:
        """Return the branches at a value of the parameter; in a large model the others follow along straight lines."""
        begins, model = self.branches.copy(), self.model
        if model.large and self.best is not None:
            away = begins[:, [self.index]] - self.best.values[self.index]
            slopes = (begins - self.best.values) / np.where(away == 0.0, np.inf, away)
            begins = np.clip(begins + slopes * (value - begins[:, [self.index]]), model.lower, model.upper)
            begins[:, model.fixed] = self.branches[:, model.fixed]
        begins[:, self.index] = value
        return begins

    def _fit(self, begins: Floats, held: Booleans, *, thorough: bool) -> Minima:
        """Return the fits that converged; one that ended in a flat direction counts if another one is as deep."""
        more = [starts.mirrored(begins[:1], which, held) for which in self.mirrors]
        far = starts.scattered(self.model, begins[0], held)
        more.append(far[:0] if self.model.large else far)
        others = begins[:0]
        if thorough and not self.model.large:
            others = np.vstack([further(self.model, begins[0], held)[1:], sides(self.model, begins[0], held)])
        every = np.vstack([begins, *more, others])
        near = self._near(float(begins[0, self.index]))
        minima = self.model.minimise(self.data, every, held, tolerance=1e-10, near=near)
        for begin in far if self.model.large and thorough else ():  # what is found there is followed from then on
            minima = starts.together(minima, self.model.minimise(self.data, begin, held, tolerance=1e-10, near=begin))
        if thorough and len(away := starts.wide(self.model, minima.values[starts.deepest_of(minima)], held)):
            minima = starts.together(minima, self.model.minimise(self.data, away, held, tolerance=1e-10))
        good = np.isin(minima.status, (0, FLAT))
        depths = np.where(good, minima.twice_nll, np.inf)
        if thorough and good.any():
            usual = depths[: len(begins) + sum(map(len, more))]
            # Where no usual start was possible, `conditional` has always come here: nothing was computed without this.
            self.deepened += int(np.isfinite(usual).any() and depths.min() < usual.min() - self.least)
        if good.any() and minima.status[np.argmin(depths)] == FLAT and (depths < depths.min() + DISTINCT).sum() == 1:
            if not thorough:
                return self._fit(begins, held, thorough=True)
            self.problem, good = MESSAGES[FLAT], np.zeros_like(good)
        elif not good.any():
            if not thorough and not self.model.large:  # a minimum at another value may start at negative rates here
                return self._fit(begins, held, thorough=True)
            self.problem = MESSAGES[int(minima.status[0])]
        return Minima(minima.values[good], minima.twice_nll[good], minima.status[good], minima.iterations[good])

    def _alone(self, begin: Floats, held: Booleans) -> Found:
        """Return what Minuit finds where no fit converged."""
        if self.problem == MESSAGES[NEGATIVE]:
            return Found(begin, np.inf)
        values, twice, good, text = minimise_with_minuit(self.model, self.data, begin, held, self.problem)
        self.problem = "" if good else text
        return Found(values, twice if good else np.nan)


def minimise_with_minuit(model: Model, data: Values | None, values: Floats, held: Booleans, reason: str,
            ) -> tuple[Floats, float, bool, str]:  # fmt: skip
    """Minimise with Minuit and our gradient, from where Newton stopped (or from the start)."""
    import iminuit

    main, auxiliary = model.split(data)
    flat = np.concatenate([main[0], auxiliary[0][model.constrained]])

    def value(point: Floats) -> float:
        result = float(model.derivatives(point, flat).twice_nll[0])
        return result if np.isfinite(result) else 1e300

    def gradient(point: Floats) -> Floats:
        slopes: Floats = np.nan_to_num(model.derivatives(point, flat).gradient[0])
        return slopes

    minuit = iminuit.Minuit(value, values, grad=gradient)
    minuit.errordef, minuit.strategy, minuit.print_level = 1.0, 2, 0
    minuit.limits = list(zip(model.lower, model.upper, strict=True))
    minuit.fixed = list(held)
    minuit.migrad(ncall=100_000)
    polished = model.minimise(flat, np.array(minuit.values), held, tolerance=1e-10)
    if polished.status[0] == 0:
        return polished.values[0], float(polished.twice_nll[0]), True, "converged after Minuit"
    # Minuit knows nothing of the physical region: what it finds beyond is no minimum of ours.
    beyond = bool(np.any((main[0] == 0) & (model.expected(np.array(minuit.values)) < -EDGE)))
    good = bool(minuit.valid) and value(np.array(minuit.values)) < 1e300 and not beyond
    text = f"converged with Minuit only ({reason})" if good else f"{reason}; Minuit did not converge either"
    return np.array(minuit.values), float(minuit.fval) if good else np.inf, good, text
