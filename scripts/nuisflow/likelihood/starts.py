"""Where fits start, and start again: models whose likelihood may have several minima."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.constraints.parameters import widths
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import FLAT, Minima, Model, Values
from nuisflow.likelihood.plans import AT, CODE, CORNER, FIRST, FULL, LAST, LINEAR, NORMS, OWNER, SCALING, SHAPES, START

STARTS = 6  # further starting points of a fit
WIDE, STRAINED = 64, 3.0  # starting points of a fit that ends with a pull above this, or at a bound
MIRRORS, SWEEPS = 8, 3  # parameters whose sign is tried alone; how often, where that finds deeper minima
SIDES = 6  # parameters whose signs are tried in all combinations, for a single data set
# ASSUME: a parameter may have a minimum on either side of 0 when the part of its variations that is the same up and
# down changes chi2 by more than 0.02, and by more than a tenth of what the opposite part changes it by. (With an effect
# E in standard deviations of the data, a pull of r makes two minima from r E = 1/2 on.)
EVEN, RATIO = 0.02, 0.1
_BENT = 1e-3  # the same of a parameter with a corner at 0, where each side has a slope of its own
DISTINCT = 1e-4  # difference of -2 ln L between two minima
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


def everywhere(model: Model, data: Values | None, begin: Floats, held: Booleans) -> Minima:
    """Return many fits of one data set, from all kinds of starting points about *begin*; the first starts there."""
    begins = np.vstack([of(model, begin, held) for of in (further, scattered, sides)])
    minima = model.minimise(data, begins, held, tolerance=1e-10)
    if model.plan.dense[:, CORNER].any():
        again = deepest(model, data, minima.values[deepest_of(minima)], held, tolerance=1e-10)
        minima = together(minima, again)
    away = wide(model, minima.values[deepest_of(minima)], held)
    return together(minima, model.minimise(data, away, held, tolerance=1e-10)) if len(away) else minima


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
    found = np.flatnonzero((even > EVEN) & (even > RATIO * odd) | bent & (even > _BENT))
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
    groups, rows = mirrors(two_sided(model)), np.arange(len(minima.values))
    for _ in range(SWEEPS if groups else 0):
        before = minima.twice_nll[rows]
        for which in groups:
            here = Minima(minima.values[rows], minima.twice_nll[rows], minima.status[rows], minima.iterations[rows])
            fix = chosen(held, rows)
            begin = mirrored(here.values, which, fix)
            found = _lower(here, model.minimise(chosen(flat, rows), begin, fix, tolerance, workers, near=near))
            minima.values[rows], minima.twice_nll[rows], minima.status[rows], minima.iterations[rows] = found
        rows = rows[minima.twice_nll[rows] < before - DISTINCT]
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


def chosen(sets: npt.NDArray[Any], rows: Integers) -> npt.NDArray[Any]:
    """Return these rows of what every data set has; what is the same for all stays one row."""
    return sets[rows] if len(sets) > 1 else sets


def mirrors(sided: Integers) -> list[Integers]:
    """Return which parameters change sides together: all that are two-sided, then the strongest one by one."""
    alone = [sided[i : i + 1] for i in range(min(len(sided), MIRRORS))] if len(sided) > 1 else []
    return [sided, *alone] if len(sided) else []


def mirrored(values: Floats, which: Integers, held: Booleans) -> Floats:
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
