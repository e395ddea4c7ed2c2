"""Where fits start, and start again: models whose likelihood may have several minima; Minuit where Newton fails."""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.constraints.parameters import widths
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import EDGE, FLAT, MESSAGES, NEGATIVE, Minima, Model, Values
from nuisflow.likelihood.plans import AT, CODE, CORNER, FIRST, FULL, LAST, LINEAR, NORMS, OWNER, SCALING, SHAPES, START

STARTS = 6  # further starting points of a fit
WIDE, STRAINED = 64, 3.0  # starting points of a fit that ends with a pull above this, or at a bound
MIRRORS, SWEEPS = 8, 3  # parameters whose sign is tried alone; how often, where that finds deeper minima
SIDES = 6  # parameters whose signs are tried in all combinations, for a single data set
# ASSUME: a parameter may have a minimum on either side of 0 when the part of its variations that is the same up and
# down changes chi2 by more than 0.02, and by more than a tenth of what the opposite part changes it by. (With an effect
# E in standard deviations of the data, a pull of r makes two minima from r E = 1/2 on.)
_EVEN, _RATIO = 0.02, 0.1
_BENT = 1e-3  # the same of a parameter with a corner at 0, where each side has a slope of its own
BRANCHES = 6  # minima that are followed along a profile
_DISTINCT, _DEEPER = 1e-4, 1e-7  # differences of -2 ln L between two minima, and of one from a better one
_ROUNDING = 4 * np.finfo(float).eps  # of -2 ln L, per event
_MANY, _ANCHORS = 10, 4  # evaluations of a fit, after which a metric nearer to it pays; such points of a profile
_FAR = 0.5  # standard deviations: a mirror image nearer to 0 would fall back to the side it came from


def further(model: Model, begin: Floats, held: Booleans) -> Floats:
    """Return the starting point and STARTS others, always the same, spread as the constraints are."""
    noise = np.random.default_rng(0).standard_normal((STARTS + 1, len(begin)))
    noise[0] = 0.0
    return begin + noise * np.where(held, 0.0, np.nan_to_num(widths(model.parameters)))


def scattered(model: Model, begin: Floats, held: Booleans) -> Floats:
    """Return STARTS points with curved parameters all over their bounds, each in another part; none without such ones.

    A polynomial of one or several parameters has the same rates at several places, each of which may be a minimum.
    """
    where = curved(model)
    where = where[~held[where]]
    if not len(where):
        return np.empty((0, len(begin)))
    random, found = np.random.default_rng(2), np.tile(begin, (STARTS, 1))
    for i in where:
        parts = (random.permutation(STARTS) + 0.5) / STARTS
        found[:, i] = model.lower[i] + parts * (model.upper[i] - model.lower[i])
    return found


def sides(model: Model, begin: Floats, held: Booleans) -> Floats:
    """Return points with the strongest two-sided parameters at 1 or -1 in all combinations; none without such ones."""
    where = two_sided(model)
    where = where[~held[where]][:SIDES]
    signs = list(itertools.product((-1.0, 1.0), repeat=len(where))) if len(where) else []
    found: Floats = np.tile(begin, (len(signs), 1))
    for point, sign in zip(found, signs, strict=True):
        point[where] = sign
    return np.clip(found, model.lower, model.upper)


def curved(model: Model) -> Integers:
    """Return the parameters with polynomials beyond the first power, or with products of several of them."""
    if model.curved is None:
        model.curved = _curved(model)
    return model.curved


def _curved(model: Model) -> Integers:
    plan = model.plan
    of = np.repeat(np.arange(len(plan.cells) - 1), np.diff(plan.cells[:, NORMS]))
    scaling = plan.norms[:, CODE] == SCALING
    several = np.bincount(of[scaling], minlength=len(plan.cells))[of] > 1
    owners = np.unique(plan.norms[scaling & (several | plan.coefficients[:, 1:6].any(axis=1)), OWNER])
    indices = plan.dense[owners, FULL]
    found: Integers = indices[~model.fixed[indices]]
    return found


def valleys(model: Model) -> bool:
    """Tell whether the likelihood of a model may have several minima, unless it is so large that looking takes long."""
    return not model.large and bool(len(two_sided(model)) or len(curved(model)))


def wide(model: Model, values: Floats, held: Booleans) -> Floats:
    """Return starting points all over the bounds for a fit that ended, at *values*, under strain; none for others.

    Far from the centres of the constraints variations stop mirroring each other, factors reach 0, and -ln L has further
    valleys, wherever they are: constrained parameters start anywhere within five standard deviations, factors of
    single bins and free ones within a factor of seven.
    """
    centres, spread = model.inits, np.nan_to_num(widths(model.parameters))
    pulls = np.where(held, 0.0, np.abs(values - centres) * (spread > 0) / np.where(spread > 0, spread, 1.0))
    scales = np.array([row.constraint != "normal" or row.kind == "staterror" for row in model.parameters])
    bound = ~held & ((values <= model.lower) | (values >= model.upper))
    if model.large or not ((pulls > STRAINED) | bound).any():
        return np.empty((0, len(values)))
    where = np.random.default_rng(1).uniform(-1.0, 1.0, (WIDE, len(values)))
    factors = np.where(where < -0.9, 1e-3, np.exp(2.0 * where))
    begins = np.where(scales, np.where(values > 0.0, values, centres) * factors, centres + 5.0 * where * spread)
    found: Floats = np.where(held, values, np.clip(begins, model.lower, model.upper))
    return found


def two_sided(model: Model) -> Integers:
    """Return the parameters whose up and down variations do the same, so that minima may lie on both sides of 0."""
    if model.sided is None:
        model.sided = _two_sided(model)
    return model.sided


def _two_sided(model: Model) -> Integers:
    """Look for them in the templates and the factors."""
    plan, even, odd = model.plan, np.zeros(len(model.plan.dense)), np.zeros(len(model.plan.dense))
    errors = np.sqrt(np.maximum(model.expected(), 1.0))
    for c in range(len(plan.cells) - 1):
        first, last, start = plan.cells[c, [FIRST, LAST, START]]
        bins = last - first
        begin, end = plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]
        at = plan.shapes[begin, AT] if end > begin else 0  # the templates of a cell follow each other
        parts = plan.templates[:, at : at + (end - begin) * bins].reshape(2, end - begin, bins) / errors[first:last]
        np.add.at(odd, plan.shapes[begin:end, OWNER], (parts[0] ** 2).sum(axis=1))
        np.add.at(even, plan.shapes[begin:end, OWNER], ((8.0 * parts[1]) ** 2).sum(axis=1))
        size = ((plan.nominal[start : start + bins] / errors[first:last]) ** 2).sum()
        norms = np.arange(plan.cells[c, NORMS], plan.cells[c + 1, NORMS])
        norms = norms[~np.isin(plan.norms[norms, CODE], (LINEAR, SCALING))]
        up, down = np.expm1(plan.coefficients[norms, 6:8].T)
        np.add.at(odd, plan.norms[norms, OWNER], (0.5 * (up - down)) ** 2 * size)
        np.add.at(even, plan.norms[norms, OWNER], (0.5 * (up + down)) ** 2 * size)
    bent = plan.dense[:, CORNER] > 0
    found = np.flatnonzero((even > _EVEN) & (even > _RATIO * odd) | bent & (even > _BENT))
    indices = plan.dense[found[np.argsort(-even[found])], FULL]
    free: Integers = indices[~model.fixed[indices]]
    return free


def deepest(model: Model, data: Values | None = None, start: Mapping[str, float] | Values | None = None,
            fixed: npt.ArrayLike | None = None, *, tolerance: float = 1e-6, workers: int | None = None,
            near: Floats | None = None) -> Minima:  # fmt: skip
    """Fit every data set as Model.minimise does, and return the deepest minimum of several fits where that may matter.

    In models with two-sided parameters every data set is fitted again from the mirror image of its minimum (all of
    these parameters at once, then the strongest one by one), and where that was deeper from those of the new one; fits
    that fail start again from STARTS further points.
    """
    minima = model.minimise(data, start, fixed, tolerance, workers, near=near)
    held = np.atleast_2d(model.fixed if fixed is None else np.array(fixed, dtype=np.bool_))
    if model.large and near is None and len(minima.values) == 1:
        near = minima.values[0]
    flat = np.atleast_2d(np.array(model.data if data is None else data, dtype=np.float64))
    mirrors, rows = _mirrors(two_sided(model)), np.arange(len(minima.values))
    for _ in range(SWEEPS if mirrors else 0):
        before = minima.twice_nll[rows]
        for which in mirrors:
            here = Minima(minima.values[rows], minima.twice_nll[rows], minima.status[rows], minima.iterations[rows])
            fix = _chosen(held, rows)
            begin = _mirrored(here.values, which, fix)
            found = _lower(here, model.minimise(_chosen(flat, rows), begin, fix, tolerance, workers, near=near))
            minima.values[rows], minima.twice_nll[rows], minima.status[rows], minima.iterations[rows] = found
        rows = rows[minima.twice_nll[rows] < before - _DISTINCT]
        if not len(rows):
            break
    for point in scattered(model, model.inits, model.fixed):
        begin, where = minima.values.copy(), curved(model)
        begin[:, where] = np.where(held[:, where], begin[:, where], point[where])
        # The metric of a large model is of one place, and of none that depends on other data sets.
        minima = _lower(minima, model.minimise(data, begin, fixed, tolerance, workers, near=point))
    begins = np.atleast_2d(model.point(start))
    failed: Integers = np.flatnonzero((minima.status != 0) & (minima.status != FLAT))
    for i in failed:
        one, begin, fix = flat[min(i, len(flat) - 1)], begins[min(i, len(begins) - 1)], held[min(i, len(held) - 1)]
        found = model.minimise(one, further(model, begin, fix), fix, tolerance, workers=1)
        best = int(np.argmin(np.where(found.status == 0, found.twice_nll, np.inf)))
        if found.status[best] == 0:
            for part, value in zip(minima, found, strict=True):
                part[i] = value[best]
    return minima


def _chosen(sets: npt.NDArray[Any], rows: Integers) -> npt.NDArray[Any]:
    """Return these rows of what every data set has; what is the same for all stays one row."""
    return sets[rows] if len(sets) > 1 else sets


def _mirrors(sided: Integers) -> list[Integers]:
    """Return which parameters change sides together: all that are two-sided, then the strongest one by one."""
    alone = [sided[i : i + 1] for i in range(min(len(sided), MIRRORS))] if len(sided) > 1 else []
    return [sided, *alone] if len(sided) else []


def _mirrored(values: Floats, which: Integers, held: Booleans) -> Floats:
    """Return *values* with these parameters on the other side of 0, unless they are held."""
    begin = values.copy()
    x = begin[..., which]
    begin[..., which] = np.where(x < 0.0, 1.0, -1.0) * np.maximum(np.abs(x), _FAR)
    return np.where(held, values, begin)


def _lower(one: Minima, two: Minima) -> Minima:
    """Return the lower of two minima of every data set; the first, where they are equal."""
    depth = [np.where(row.status == 0, row.twice_nll, np.inf) for row in (one, two)]
    second = depth[1] < depth[0] - 1e-6
    return Minima(
        np.where(second[:, None], two.values, one.values), np.where(second, two.twice_nll, one.twice_nll),
        np.where(second, two.status, one.status), one.iterations + two.iterations,
    )  # fmt: skip


def deepest_of(minima: Minima) -> int:
    """Return which of several fits is the deepest that found a minimum, a flat one included; 0 if none did."""
    return int(np.argmin(np.where(np.isin(minima.status, (0, FLAT)), minima.twice_nll, np.inf)))


def together(*several: Minima) -> Minima:
    """Return several sets of minima as one."""
    return Minima(*(np.concatenate(parts) for parts in zip(*several, strict=True)))


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
        self.mirrors = _mirrors(two_sided(model))
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
        distinct = np.diff(minima.twice_nll[order], prepend=-np.inf) > _DISTINCT
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
        if self.mirrors or len(curved(self.model)) or not self.model.large:
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
        more = [_mirrored(begins[:1], which, held) for which in self.mirrors]
        far = scattered(self.model, begins[0], held)
        more.append(far[:0] if self.model.large else far)
        others = begins[:0]
        if thorough and not self.model.large:
            others = np.vstack([further(self.model, begins[0], held)[1:], sides(self.model, begins[0], held)])
        every = np.vstack([begins, *more, others])
        near = self._near(float(begins[0, self.index]))
        minima = self.model.minimise(self.data, every, held, tolerance=1e-10, near=near)
        for begin in far if self.model.large and thorough else ():  # what is found there is followed from then on
            minima = together(minima, self.model.minimise(self.data, begin, held, tolerance=1e-10, near=begin))
        if thorough and len(away := wide(self.model, minima.values[deepest_of(minima)], held)):
            minima = together(minima, self.model.minimise(self.data, away, held, tolerance=1e-10))
        good = np.isin(minima.status, (0, FLAT))
        depths = np.where(good, minima.twice_nll, np.inf)
        if thorough and good.any():
            usual = depths[: len(begins) + sum(map(len, more))]
            # Where no usual start was possible, `conditional` has always come here: nothing was computed without this.
            self.deepened += int(np.isfinite(usual).any() and depths.min() < usual.min() - self.least)
        if good.any() and minima.status[np.argmin(depths)] == FLAT and (depths < depths.min() + _DISTINCT).sum() == 1:
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
