"""-ln L and its gradient at many points side by side, by matrix products per cell (sample in a channel).

Arrays are (what, lanes): every lane is a point with its own data. Parameters of single bins ("local") are profiled in
closed form as in kernels.rates, all others are "dense"; -ln L is less its saturated value.
"""

from typing import Any, NamedTuple

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels import norms
from nuisflow.likelihood.plans import (
    ADDED,
    AT,
    FIRST,
    FULL,
    KIND,
    LAST,
    LOCAL,
    MIXED,
    NORMS,
    OWNER,
    POLYNOMIAL,
    QUADRATIC,
    SHAPE,
    SHAPES,
    START,
    Plan,
)

_NOTHING = 1e-50  # a rate above that of any product with a factor norms.TINY
NORMAL, POISSON = 1, 2


class Cell(NamedTuple):
    """A sample in a channel: its bins, nominal rates, whether local parameters scale it, norms, shapes with templates.

    *odd*, *even*: (shapes, bins), views of Plan.templates.
    """

    bins: slice
    nominal: Floats
    local: bool
    norms: slice
    owners: Integers
    odd: Floats
    even: Floats


class Group(NamedTuple):
    """Cells of a channel with the same shapes, whose templates are one matrix (cells and bins, odd and even shapes).

    *twice*: the owners, and the same again behind all dense parameters.
    """

    cells: Integers
    bins: slice
    local: bool
    owners: Integers
    twice: Integers
    nominal: Floats
    templates: Floats


class Lanes(NamedTuple):
    """Points and data, (parameters or bins, lanes); *held* tells which local parameters are.

    *auxiliary* belongs to the local parameters, *centre* to the dense ones.
    """

    x: Floats
    gamma: Floats
    held: Booleans
    data: Floats
    auxiliary: Floats
    centre: Floats

    def part(self, lanes: Integers | slice) -> "Lanes":
        """Return some of the lanes."""
        x, gamma, held, data, auxiliary, centre = self
        rows = (data[:, lanes], auxiliary[:, lanes], centre[:, lanes])
        return Lanes(x[:, lanes], gamma[:, lanes], held[:, lanes], *rows)


class Shared(NamedTuple):
    """What all derivatives need of one evaluation: factors of cells, ratios of norms, polynomials, rates of cells.

    *ratios*: logarithmic derivatives; *bends*: second derivatives over values; *bases*: rates of cells without factors,
    *grouped*: the same as (cells, bins, lanes) of every group.
    """

    factors: Floats
    ratios: Floats
    bends: Floats
    turn: Floats
    curl: Floats
    bases: list[Floats]
    grouped: list[Floats]


class Profiled(NamedTuple):
    """Bins after their local parameters are profiled, see kernels.rates._profile; *nll*: (lanes,)."""

    nll: Floats
    gamma: Floats
    rate: Floats
    under: Floats
    residual: Floats
    two: Floats
    joint: Floats
    free: Booleans


class Blocks:
    """A plan without bin factors besides one constrained local parameter per bin, laid out in blocks."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.metrics: dict[bytes, Any] = {}
        """The last metrics of fits, see steps.metric."""
        self.dense, self.local = plan.dense[:, FULL], plan.local[:, FULL]
        self.cells = [_cell(plan, c) for c in range(len(plan.cells) - 1)]
        self.groups = _groups(self.cells, len(self.dense))
        self.channels: dict[int, list[int]] = {}
        """The cells of every channel, by its first bin."""
        for c, cell in enumerate(self.cells):
            self.channels.setdefault(cell.bins.start, []).append(c)
        self.kinds, self.mixed = plan.local[:, KIND], plan.local[:, MIXED].astype(bool)
        lower, upper, width = plan.parameters
        at = np.maximum(self.local, 0)
        self.lowest, self.highest, self.widths = (row[at][:, None] for row in (lower, upper, width))
        self.lower, self.upper, self.width = (row[self.dense][:, None] for row in (lower, upper, width))
        self.normal, self.poisson = (plan.dense[:, KIND] == kind for kind in (NORMAL, POISSON))
        self.owners = plan.norms[:, OWNER]

    def shared(self, x: Floats, *, bent: bool = False) -> Shared:
        """Return norms, polynomials and rates of cells at points (dense parameters, lanes); *bends* when asked for."""
        inside = (self.plan.dense[:, SHAPE] == POLYNOMIAL)[:, None] & (np.abs(x) <= 1.0)
        y, outer = x * x, np.where(x > 0.0, 8.0, -8.0)
        even = np.where(inside, y * (15.0 + y * (3.0 * y - 10.0)), 8.0 * np.abs(x))
        turn = np.where(inside, x * (30.0 + y * (18.0 * y - 40.0)), outer)
        curl = np.where(inside, 30.0 + y * (90.0 * y - 120.0), 0.0)
        if (bent_shapes := self.plan.dense[:, SHAPE] == QUADRATIC).any():
            z = x[bent_shapes]
            even[bent_shapes] = np.where(np.abs(z) <= 1.0, 8.0 * z * z, 16.0 * np.abs(z) - 8.0)
            turn[bent_shapes] = 16.0 * np.clip(z, -1.0, 1.0)
            curl[bent_shapes] = np.where(np.abs(z) <= 1.0, 16.0, 0.0)
        factors, ratios = np.ones((len(self.cells), x.shape[1])), np.empty((len(self.owners), x.shape[1]))
        bends = np.empty_like(ratios) if bent else np.empty((0, 0))
        norms.factors(self.plan, np.ascontiguousarray(x), factors, ratios, bends)
        both, grouped, bases = np.concatenate([x, even]), [], [np.zeros((0, 0))] * len(self.cells)
        for group in self.groups:
            base = group.templates @ both[group.twice] + group.nominal
            grouped.append(base.reshape(len(group.cells), -1, x.shape[1]))
            for c, rows in zip(group.cells, grouped[-1], strict=True):
                bases[c] = rows
        return Shared(factors, ratios, bends, turn, curl, bases, grouped)

    def rates(self, shared: Shared) -> tuple[Floats, Floats]:
        """Return the rates of all bins that their local parameters do not scale, and those that they do."""
        sums = np.zeros((2, len(self.local), shared.factors.shape[1]))
        for group, bases in zip(self.groups, shared.grouped, strict=True):
            sums[int(group.local), group.bins] += np.einsum("cl,cbl->bl", shared.factors[group.cells], bases)
        return sums[0], sums[1]

    def profile(self, lanes: Lanes, shared: Shared) -> Profiled:
        """Profile the local parameters that are not held; return -ln L and what its derivatives need."""
        rest, under = self.rates(shared)
        some, gamma, curvature = self.kinds >= 0, np.ones_like(rest), np.zeros_like(rest)
        root, nll = gamma.copy(), self._penalty(lanes)
        with np.errstate(all="ignore"):
            for kind, roots in ((NORMAL, _normal_roots), (POISSON, _poisson_roots)):
                at = np.flatnonzero(self.kinds == kind)
                if len(at):
                    aux, width = lanes.auxiliary[at], self.widths[at]
                    root[at] = roots(rest[at], under[at], lanes.data[at], aux, width)
                    inside = np.minimum(np.maximum(root[at], self.lowest[at]), self.highest[at])
                    gamma[at] = g = np.where(lanes.held[at], lanes.gamma[at], inside)
                    curvature[at] = 1.0 / width**2 if kind == NORMAL else aux / g**2
                    nll += (0.5 * ((g - aux) / width) ** 2 if kind == NORMAL else _poisson(width * g, aux)).sum(axis=0)
            rate = rest + gamma * under
            nll += _poisson(rate, lanes.data).sum(axis=0)
            full = lanes.data > 0.0
            residual = np.where(full, 1.0 - lanes.data / rate, 1.0)
            two = np.where(full, lanes.data / rate**2, 0.0)
        joint = two * under * under + curvature
        free = some[:, None] & ~lanes.held & (root == gamma) & (joint > 0.0)
        nll = np.where(np.isfinite(nll), nll, np.inf)
        return Profiled(nll, gamma, rate, under, residual, two, joint, free)

    def _penalty(self, lanes: Lanes) -> Floats:
        """Return the constraint terms of the dense parameters (lanes,)."""
        n, p = self.normal, self.poisson
        total: Floats = 0.5 * (((lanes.x[n] - lanes.centre[n]) / self.width[n]) ** 2).sum(axis=0)
        if p.any():
            total += _poisson(self.width[p] * lanes.x[p], lanes.centre[p]).sum(axis=0)
        one, other = self.plan.pairs.T
        total += self.plan.couplings[:-1] @ ((lanes.x - lanes.centre)[one] * (lanes.x - lanes.centre)[other])
        return total

    def gradient(self, lanes: Lanes, shared: Shared, bins: Profiled) -> Floats:
        """Return the gradient of -ln L by the dense parameters (dense parameters, lanes)."""
        result = self.pulls(lanes)
        totals = np.empty_like(shared.factors)
        scaled = bins.residual * bins.gamma
        for group, bases in zip(self.groups, shared.grouped, strict=True):
            pull = shared.factors[group.cells][:, None, :] * (scaled if group.local else bins.residual)[group.bins]
            totals[group.cells] = np.einsum("cbl,cbl->cl", pull, bases)
            if number := len(group.owners):
                found = group.templates.T @ pull.reshape(len(group.templates), -1)
                result[group.owners] += found[:number] + shared.turn[group.owners] * found[number:]
        norms.pulls(self.plan, shared.ratios, totals, result)
        return result

    def pulls(self, lanes: Lanes) -> Floats:
        """Return the gradient of the constraint terms of the dense parameters."""
        result, p = np.zeros_like(lanes.x), self.poisson
        result[self.normal] = (lanes.x[self.normal] - lanes.centre[self.normal]) / self.width[self.normal] ** 2
        if p.any():
            with np.errstate(all="ignore"):
                down = np.where(lanes.centre[p] > 0.0, lanes.centre[p] / lanes.x[p], 0.0)
            result[p] = self.width[p] - down
        for (one, other), coupling in zip(self.plan.pairs, self.plan.couplings[:-1], strict=True):
            result[one] += coupling * (lanes.x[other] - lanes.centre[other])
            result[other] += coupling * (lanes.x[one] - lanes.centre[one])
        return result

    def evaluate(self, lanes: Lanes) -> tuple[Profiled, Floats]:
        """Return -ln L with its bins, and the gradient."""
        shared = self.shared(lanes.x)
        bins = self.profile(lanes, shared)
        return bins, self.gradient(lanes, shared, bins)


def possible(plan: Plan) -> bool:
    """Tell whether a plan can be laid out in blocks: one constrained parameter at most acts on single bins."""
    return not plan.slots.size and not (plan.local[:, KIND] == 0).any() and not plan.local[:, ADDED].any()


def _cell(plan: Plan, c: int) -> Cell:
    first, last, start = plan.cells[c, [FIRST, LAST, START]]
    begin, end, bins = plan.cells[c, SHAPES], plan.cells[c + 1, SHAPES], last - first
    at = plan.shapes[begin, AT] if end > begin else 0  # the templates of a cell follow each other
    odd, even = (row[at : at + (end - begin) * bins].reshape(end - begin, bins) for row in plan.templates)
    nominal, norms = plan.nominal[start : start + bins], slice(plan.cells[c, NORMS], plan.cells[c + 1, NORMS])
    return Cell(
        slice(first, last), nominal, bool(plan.cells[c, LOCAL]), norms, plan.shapes[begin:end, OWNER], odd, even
    )


def _groups(cells: list[Cell], dense: int) -> list[Group]:
    """Return the cells in groups, each of which needs one matrix product."""
    alike: dict[tuple[int, bool, bytes], list[int]] = {}
    for c, cell in enumerate(cells):
        alike.setdefault((cell.bins.start, cell.local, cell.owners.tobytes()), []).append(c)
    found = []
    for members in alike.values():
        first, rows = cells[members[0]], [cells[c] for c in members]
        templates = np.concatenate([np.concatenate([row.odd, row.even]).T for row in rows])
        nominal = np.concatenate([row.nominal for row in rows])[:, None]
        twice = np.concatenate([first.owners, first.owners + dense])
        found.append(Group(np.array(members), first.bins, first.local, first.owners, twice, nominal, templates))
    return found


def _poisson(rate: Floats, data: Floats) -> Floats:
    """Return rate - data ln(rate), less its minimum; as kernels.rates._poisson."""
    full = data > 0.0
    with np.errstate(all="ignore"):
        logarithm = np.log(np.where(full, data / rate, 1.0))
    found: Floats = np.where(full, np.where(rate > _NOTHING, rate - data + data * logarithm, np.inf), rate)
    return found


def _normal_roots(rest: Floats, under: Floats, data: Floats, auxiliary: Floats, width: Floats) -> Floats:
    """Return the local parameters that minimise -ln L of their bins, as kernels.rates._root."""
    pull = width * under
    offset = rest + under * auxiliary - pull * pull
    root = np.sqrt(offset * offset + 4.0 * pull * pull * data)
    rate = np.where(offset > 0.0, 0.5 * (offset + root), 2.0 * pull * pull * data / (root - offset))
    moved = np.where(rate > 0.0, auxiliary - width * pull * (1.0 - data / rate), auxiliary)
    found: Floats = np.where(data == 0.0, auxiliary - width * pull, moved)
    return found


def _poisson_roots(rest: Floats, under: Floats, data: Floats, auxiliary: Floats, width: Floats) -> Floats:
    """Return the local parameters of shapesys modifiers, as kernels.rates._root."""
    total = under + width
    a, b, c = total * under, total * rest - (data + auxiliary) * under, -auxiliary * rest
    root = np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0))
    q = -0.5 * (b + np.copysign(root, b))
    one, two = np.where(a != 0.0, q / a, np.nan), np.where(q != 0.0, c / q, 0.0)
    swap = (two > one) | ~np.isfinite(one)
    one, two = np.where(swap, two, one), np.where(swap, one, two)
    found = np.where(rest + one * under > 0.0, one, two)
    single: Floats = np.where(total > 0.0, auxiliary / total, np.inf)
    return np.where((data == 0.0) | (under == 0.0), single, found)
