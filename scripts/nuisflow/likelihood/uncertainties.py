"""Where an uncertainty comes from: impacts of nuisance parameters, and the breakdown by source in two ways."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nuisflow.likelihood import starts
from nuisflow.likelihood.covariances import along
from nuisflow.likelihood.fits import SINGLE_BINS, FitResult, fit, prefit_widths
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import Minima, Model, Values, named
from nuisflow.progress import progress

PART = 100  # fits between two reports of progress
STATISTICS, MC_STATISTICS, NORMALISATIONS, OTHER = "statistics", "MC statistics", "normalisations", "other"


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


def _parts(number: int) -> list[Integers]:
    """Split fits into parts that are reported; each is large enough to be fitted side by side."""
    return np.array_split(np.arange(number), max(1, number // PART)) if number else []


def _shifted(model: Model, data: Values | None, best: FitResult, *, index: Integers, sizes: Floats, poi: int) -> Floats:
    """Return the changes (up and down, parameters) of the parameter of interest when each is held off its best fit."""
    count = len(index)
    start, held = np.tile(best.values, (2 * count, 1)), np.tile(model.fixed, (2 * count, 1))
    rows = np.arange(count)
    for half, sign in ((0, 1.0), (count, -1.0)):
        moved = np.clip(best.values[index] + sign * sizes, model.lower[index], model.upper[index])
        start[rows + half, index], held[rows + half, index] = moved, True
    change = np.full(2 * count, np.nan)
    for part in progress(_parts(2 * count), "impacts: part", len(_parts(2 * count))):
        minima = starts.deepest(model, data, start[part], held[part], tolerance=1e-10, near=best.values)
        change[part] = np.where(minima.status == 0, minima.values[:, poi] - best.values[poi], np.nan)
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
        for part in progress(_parts(len(sets)), "impacts of auxiliary measurements: part", len(_parts(len(sets)))):
            minima = starts.deepest(model, sets[part], best.values, tolerance=1e-10, near=best.values)
            shift = minima.values[:, model.index(poi)] - best.values[model.index(poi)]
            change[row, model.constrained[part]] = np.where(minima.status == 0, shift, np.nan)
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
    members = {group: named(model, names) & free for group, names in groups.items()}
    return members | ungrouped(model.parameters, members, free)


class Row(Protocol):
    """What a parameter says of itself."""

    @property
    def kind(self) -> str:
        """What it acts as."""
        ...

    @property
    def constraint(self) -> str:
        """What constrains it, or "none"."""
        ...


def ungrouped(rows: Sequence[Row], members: Mapping[str, Booleans], free: Booleans) -> dict[str, Booleans]:
    """Return the groups, not empty, of the *free* parameters, *rows* and perhaps others after them, that are in none.

    What a group of the same name has in *members* stays in it.
    """
    rest = free & ~np.any([*members.values(), np.zeros_like(free)], axis=0)
    mc, unconstrained = np.zeros_like(free), np.zeros_like(free)
    mc[: len(rows)] = [row.kind in SINGLE_BINS for row in rows]
    unconstrained[: len(rows)] = [row.constraint == "none" for row in rows]
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
    rates, change = along(model, best.values, best.covariance[model.index(poi)])
    return float(np.sqrt((change**2 / np.where(rates > 0, rates, np.inf)).sum()))
