"""Where an uncertainty comes from: impacts of nuisance parameters, and the breakdown by source in two ways."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import likelihoods
from nuisflow.likelihood.constraints.parameters import SINGLE_BINS
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.likelihoods import Data, Likelihood, Row
from nuisflow.likelihood.model import Minima

STATISTICS, MC_STATISTICS, NORMALISATIONS, OTHER = "statistics", "MC statistics", "normalisations", "other"
OWN = "own constraint"  # of the parameter of interest, where it has one


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

    @property
    def sigma_variations(self) -> float:
        """*sigma_syst* without MC statistics, in quadrature: what all variations contribute."""
        return math.sqrt(max(self.sigma_syst**2 - self.sigma_mcstat**2, 0.0))


def _moved(likelihood: Likelihood, data: Data, best: FitResult, *, index: Integers, sizes: Floats, poi: int) -> Floats:
    """Return the changes (up and down, parameters) of the parameter of interest when each is held off its best fit.

    NaN where there is no size.
    """
    change, count, (lower, upper) = np.full((2, len(index)), np.nan), len(index), likelihood.bounds
    start, held = np.tile(best.values, (2 * count, 1)), np.tile(likelihood.fixed, (2 * count, 1))
    rows = np.arange(count)
    for half, sign in ((0, 1.0), (count, -1.0)):
        moved = np.clip(best.values[index] + sign * np.nan_to_num(sizes), lower[index], upper[index])
        start[rows + half, index], held[rows + half, index] = moved, True
    sized = np.flatnonzero(np.isfinite(np.tile(sizes, 2)))
    if not len(sized):
        return change
    minima = likelihood.minima(data, start[sized], held[sized], best.values)
    change.flat[sized] = np.where(minima.status == 0, minima.values[:, poi] - best.values[poi], np.nan)
    return change


def observable_shifts(likelihood: Likelihood, data: Data, best: FitResult, poi: str) -> Floats:
    """Return the changes (up and down, parameters) of the parameter of interest when each auxiliary measurement moves.

    By one standard deviation of the measurement (Pinto et al., arXiv:2307.04007); NaN without a constraint.
    """
    at, change = likelihoods.index(likelihood, poi), np.full((2, len(likelihood.names)), np.nan)
    for row, sign in enumerate((1.0, -1.0)):
        index, sets = likelihood.shifted(data, sign)
        if not len(index):
            continue
        start, held = np.tile(best.values, (len(index), 1)), np.tile(likelihood.fixed, (len(index), 1))
        minima = likelihood.minima(sets, start, held, best.values)
        change[row, index] = np.where(minima.status == 0, minima.values[:, at] - best.values[at], np.nan)
    change[:, likelihood.fixed] = np.nan
    return change


def impacts(
    likelihood: Likelihood, data: Data = None, poi: str | None = None, *, best: FitResult | None = None
) -> list[Impact]:
    """Return the impact of every free parameter on the parameter of interest, largest first."""
    name = poi or likelihood.poi
    at, best, rows = likelihoods.index(likelihood, name), best or likelihood.best(data), likelihood.parameters
    index = np.flatnonzero(likelihoods.others(likelihood, name))
    postfit = _moved(likelihood, data, best, index=index, sizes=best.errors[index], poi=at)
    prefit = _moved(likelihood, data, best, index=index, sizes=likelihood.constraints(data)[1][index], poi=at)
    observable = observable_shifts(likelihood, data, best, name)[:, index]
    found = [Impact(rows[i].name, rows[i].group, best.values[i], best.errors[i], *postfit[:, k], *prefit[:, k],
                    *observable[:, k]) for k, i in enumerate(index.tolist())]  # fmt: skip
    return sorted(found, key=lambda row: -np.nan_to_num(max(abs(row.up), abs(row.down))))


def breakdown(
    likelihood: Likelihood,
    data: Data = None,
    poi: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    best: FitResult | None = None,
) -> Breakdown:
    """Split the uncertainty of the parameter of interest by source.

    *groups*: names of parameters or modifiers. Added by themselves, for what is in no group: MC statistics
    (staterror, shapesys), normalisations (parameters without a constraint), other; and statistics. By freezing:
    sigma^2 = total^2 - (group frozen at its best fit)^2; statistics: all others frozen. By observables: auxiliary
    measurements shifted by one standard deviation, in quadrature; statistics: the main data's part, which includes
    the normalisations (they are measured by the data), to first order, or what is left of the Hessian's variance. The
    auxiliary measurement of the parameter of interest itself, if it has one, is a source of its own.
    """
    name = poi or likelihood.poi
    best, members = best or likelihood.best(data), _members(likelihood, name, groups or {})
    free = likelihoods.others(likelihood, name)
    sizes = _half_widths(likelihood, data, best, name, np.array([free & False, *members.values(), free]))
    total, stat = float(sizes[0]), float(sizes[-1])
    measured = ~np.isnan(likelihood.constraints(data)[1]) & ~likelihood.fixed
    shifts = np.where(measured, 0.5 * np.subtract(*observable_shifts(likelihood, data, best, name)), 0.0)
    sources = [Source(STATISTICS, stat, _main_part(likelihood, data, best, name, shifts))]
    for (group, member), size in zip(members.items(), sizes[1:-1], strict=True):
        observable = float(np.sqrt((shifts[member] ** 2).sum())) if group != NORMALISATIONS else np.nan
        sources.append(Source(group, float(np.sqrt(max(total**2 - size**2, 0.0))), observable))
    if own := shifts[likelihoods.index(likelihood, name)]:
        sources.append(Source(OWN, np.nan, abs(float(own))))
    mcstat = next((row.frozen for row in sources if row.group == MC_STATISTICS), 0.0)
    return Breakdown(total, stat, float(np.sqrt(max(total**2 - stat**2, 0.0))), mcstat, sources)


def _main_part(likelihood: Likelihood, data: Data, best: FitResult, poi: str, shifts: Floats) -> float:
    """Return the standard deviation from fluctuations of the main data, else what *shifts* leave of the variance."""
    at, found = likelihoods.index(likelihood, poi), likelihood.main_part(data, best, poi)
    rest = best.covariance[at, at] - (shifts**2).sum()
    return float(np.sqrt(max(rest, 0.0))) if np.isnan(found) else found


def _members(likelihood: Likelihood, poi: str, groups: Mapping[str, Sequence[str]]) -> dict[str, Booleans]:
    """Return which parameters belong to each group, those added by themselves last."""
    free = likelihoods.others(likelihood, poi)
    members = {group: likelihoods.named(likelihood, names) & free for group, names in groups.items()}
    return members | _ungrouped(likelihood.parameters, members, free)


def _ungrouped(rows: Sequence[Row], members: Mapping[str, Booleans], free: Booleans) -> dict[str, Booleans]:
    """Return the groups, not empty, of the *free* parameters *rows* that are in none.

    What a group of the same name has in *members* stays in it.
    """
    rest = free & ~np.any([*members.values(), np.zeros_like(free)], axis=0)
    mc = np.array([row.kind in SINGLE_BINS for row in rows], dtype=np.bool_)
    unconstrained = np.array([row.constraint == "none" for row in rows], dtype=np.bool_)
    found = {OTHER: rest & ~mc & ~unconstrained, NORMALISATIONS: rest & unconstrained, MC_STATISTICS: rest & mc}
    return {group: member | members.get(group, False) for group, member in found.items() if member.any()}


def _half_widths(likelihood: Likelihood, data: Data, best: FitResult, poi: str, held: Booleans) -> Floats:
    """Return half the width of the interval with each set of parameters held (one side if the other is at a bound)."""
    count, at = len(held), likelihoods.index(likelihood, poi)
    minima = Minima(np.tile(best.values, (count, 1)), np.full(count, best.twice_nll), np.zeros(count, int),
                    np.zeros(count, int))  # fmt: skip
    found = likelihood.intervals(minima, poi, data, held | likelihood.fixed, tolerance=1e-10)
    return half_widths(best.values[at] - found.low, found.high - best.values[at], found.flags, found.error)


def half_widths(below: Floats, above: Floats, flags: Integers, error: Floats | float) -> Floats:
    """Return half the widths of intervals: the mean of both sides, without those at a bound; else *error*."""
    sides = np.where([flags & 1, flags & 2], np.nan, [below, above])
    counts = np.isfinite(sides).sum(axis=0)
    return np.where(counts > 0, np.nansum(sides, axis=0) / np.maximum(counts, 1), error)
