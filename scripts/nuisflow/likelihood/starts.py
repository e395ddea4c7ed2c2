"""Where fits start: further starting points for models whose likelihood may have several minima."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import FLAT, Minima, Model, Values
from nuisflow.likelihood.plans import AT, CODE, FIRST, FULL, LAST, LINEAR, NORMS, OWNER, SHAPES, START

STARTS = 6  # further starting points of a fit
MIRRORS = 4  # parameters whose sign is tried alone
# ASSUME: a parameter may have a minimum on either side of 0 when the part of its variations that is the same up and
# down changes chi2 by more than 0.02, and by more than a tenth of what the opposite part changes it by. (With an effect
# E in standard deviations of the data, a pull of r makes two minima from r E = 1/2 on.)
_EVEN, _RATIO = 0.02, 0.1
_FAR = 0.5  # standard deviations: a mirror image nearer to 0 would fall back to the side it came from


def further(model: Model, begin: Floats, held: Booleans) -> Floats:
    """Return the starting point and STARTS others, always the same, spread as the constraints are."""
    noise = np.random.default_rng(0).standard_normal((STARTS + 1, len(begin)))
    noise[0] = 0.0
    return begin + noise * np.where(held, 0.0, np.nan_to_num(widths(model)))


def widths(model: Model) -> Floats:
    """Return the prefit standard deviation of every parameter; NaN for those without a constraint."""
    powers = {"normal": 1.0, "poisson": -0.5, "none": np.nan}
    return np.array([row.width ** powers[row.constraint] for row in model.parameters])


def two_sided(model: Model) -> Integers:
    """Return the parameters whose up and down variations do the same, so that minima may lie on both sides of 0."""
    plan, even, odd = model.plan, np.zeros(len(model.plan.dense)), np.zeros(len(model.plan.dense))
    errors = np.sqrt(np.maximum(model.expected(), 1.0))
    for c in range(len(plan.cells) - 1):
        first, last, start = plan.cells[c, [FIRST, LAST, START]]
        bins = last - first
        for e in range(plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES]):
            owner, at = plan.shapes[e, OWNER], plan.shapes[e, AT]
            odd[owner] += ((plan.templates[0, at : at + bins] / errors[first:last]) ** 2).sum()
            even[owner] += ((8.0 * plan.templates[1, at : at + bins] / errors[first:last]) ** 2).sum()
        size = ((plan.nominal[start : start + bins] / errors[first:last]) ** 2).sum()
        for e in range(plan.cells[c, NORMS], plan.cells[c + 1, NORMS]):
            if plan.norms[e, CODE] != LINEAR:
                up, down = np.expm1(plan.coefficients[e, 6:8])
                odd[plan.norms[e, OWNER]] += (0.5 * (up - down)) ** 2 * size
                even[plan.norms[e, OWNER]] += (0.5 * (up + down)) ** 2 * size
    found = np.flatnonzero((even > _EVEN) & (even > _RATIO * odd))
    indices = plan.dense[found[np.argsort(-even[found])], FULL]
    free: Integers = indices[~model.fixed[indices]]
    return free


def deepest(model: Model, data: Values | None = None, start: Mapping[str, float] | Values | None = None,
            fixed: npt.ArrayLike | None = None, *, tolerance: float = 1e-6, workers: int | None = None,
            ) -> Minima:  # fmt: skip
    """Fit every data set as Model.minimise does, and return the deepest minimum of several fits where that may matter.

    In models with two-sided parameters every data set is fitted again from the mirror image of its minimum (all of
    these parameters at once, then the strongest one by one); fits that fail start again from STARTS further points.
    """
    minima = model.minimise(data, start, fixed, tolerance, workers)
    held = np.atleast_2d(model.fixed if fixed is None else np.array(fixed, dtype=np.bool_))
    sided = two_sided(model)
    alone = [sided[i : i + 1] for i in range(min(len(sided), MIRRORS))] if len(sided) > 1 else []
    for mirrored in (sided, *alone) if len(sided) else ():
        begin = minima.values.copy()
        x = begin[:, mirrored]
        begin[:, mirrored] = np.where(x < 0.0, 1.0, -1.0) * np.maximum(np.abs(x), _FAR)
        begin = np.where(held, minima.values, begin)
        minima = _lower(minima, model.minimise(data, begin, fixed, tolerance, workers))
    flat = np.atleast_2d(np.array(model.data if data is None else data, dtype=np.float64))
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


def _lower(one: Minima, two: Minima) -> Minima:
    """Return the lower of two minima of every data set; the first, where they are equal."""
    depth = [np.where(row.status == 0, row.twice_nll, np.inf) for row in (one, two)]
    second = depth[1] < depth[0] - 1e-6
    return Minima(
        np.where(second[:, None], two.values, one.values), np.where(second, two.twice_nll, one.twice_nll),
        np.where(second, two.status, one.status), one.iterations + two.iterations,
    )  # fmt: skip
