"""Fits side by side in blocks: quasi-Newton steps in the metric of one factorised Hessian, which need gradients only.

The metric is the exact Hessian at a point near all fits, or the Fisher information there where data sets differ, which
depends on no data: they do not influence each other. A parameter held in one fit only is taken out of the metric by a
correction of low rank (Schur).
"""

# ruff: noqa: PLR0917 (as kernels, functions take their arrays by position)

from typing import NamedTuple

import numpy as np

from nuisflow.likelihood.blocks import curvature
from nuisflow.likelihood.blocks.evaluation import POISSON, Blocks, Lanes
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers

SIDE_BY_SIDE = 64
_ROUNDS, _PAIRS = 60, 8  # evaluations of a fit in one metric; past steps that correct it
_RENEWALS = 4  # of the metric of a fit that has not ended by then: another one where it is
_UNFINISHED, _EXTRAORDINARY = -2.0, -1.0  # status of fits that go on in another metric, or by other means
_CLOSER = 0.1  # fits end when -ln L can fall by this part of the tolerance: steps are less exact than Newton's
_KEPT = 8  # metrics of a model
_CORRECTED = 40  # parameters that are held in one fit but not in the metric, at most


class Problem(NamedTuple):
    """What is to be fitted over all parameters, as model.Problem: rows are of one data set each, or of all."""

    data: Floats
    auxiliary: Floats
    start: Floats
    fixed: Booleans

    def rows(self, index: Integers) -> "Problem":
        """Return these rows, single ones repeated."""
        data, auxiliary, start = (_rows(part, index) for part in self[:3])
        return Problem(data, auxiliary, start, self.fixed[index if len(self.fixed) > 1 else np.zeros_like(index)])


def _rows(part: Floats, index: Integers) -> Floats:
    return part[index if len(part) > 1 else np.zeros_like(index)]


def lanes_of(blocks: Blocks, problem: Problem) -> Lanes:
    """Return rows as lanes."""
    at, some = np.maximum(blocks.local, 0), (blocks.local >= 0)[:, None]
    start, auxiliary, fixed = problem.start.T, problem.auxiliary.T, problem.fixed.T
    local = np.where(some, auxiliary[at], 1.0)
    return Lanes(start[blocks.dense], start[at], fixed[at] & some, problem.data.T, local, auxiliary[blocks.dense])


class Metric:
    """The inverse Hessian by the dense parameters at a point, over those that are not *held*.

    Exact for *data* (main and auxiliary, NaN: what the point expects); without, and where that is not positive
    definite, the Fisher information.
    """

    def __init__(self, blocks: Blocks, point: Floats, held: Booleans, data: tuple[Floats, Floats] | None) -> None:
        asimov = _asimov(blocks, point)
        still, free = asimov.held[:, 0] & held[np.maximum(blocks.local, 0)], ~held[blocks.dense]
        self.inverse, self.free = np.zeros((len(free),) * 2), free[:, None]
        for exact in ([data] if data else []) + [None]:
            lanes = asimov
            if exact:
                auxiliary = np.where(asimov.held, exact[1][np.maximum(blocks.local, 0)][:, None], 1.0)
                auxiliary = np.where(np.isnan(auxiliary), asimov.auxiliary, auxiliary)
                centre = exact[1][blocks.dense][:, None]
                centre = np.where(np.isnan(centre), asimov.centre, centre)
                lanes = asimov._replace(data=exact[0][:, None], auxiliary=auxiliary, centre=centre)
            found = curvature.at(blocks, lanes)
            try:
                part = found.profiled((found.joint > 0.0) & ~still)[np.ix_(free, free)]
                self.inverse[np.ix_(free, free)] = inverted(part)
                return
            except np.linalg.LinAlgError:
                if exact is None:
                    raise

    def apply(self, vectors: Floats, active: Booleans) -> Floats:
        """Return metric x vectors of every lane, over its *active* parameters only (Schur complements)."""
        result: Floats = self.inverse @ (vectors * active)
        extra = self.free & ~active
        counts = extra.sum(axis=0)
        one = np.flatnonzero(counts == 1)
        if len(one):
            k = extra[:, one].argmax(axis=0)
            result[:, one] -= self.inverse[:, k] * (result[k, one] / self.inverse[k, k])
        for lane in np.flatnonzero(counts > 1):
            k = np.flatnonzero(extra[:, lane])
            result[:, lane] -= self.inverse[:, k] @ np.linalg.solve(self.inverse[np.ix_(k, k)], result[k, lane])
        return result * active


def _asimov(blocks: Blocks, point: Floats) -> Lanes:
    """Return the expectation of a point as its data, all local parameters held (where there are any)."""
    some = (blocks.local >= 0)[:, None]
    gamma, x = np.where(some, point[np.maximum(blocks.local, 0)][:, None], 1.0), point[blocks.dense][:, None]
    auxiliary = np.where((blocks.kinds == POISSON)[:, None], blocks.widths * gamma, gamma)
    centre = np.where(blocks.poisson[:, None], np.where(blocks.poisson[:, None], blocks.width, 0.0) * x, x)
    rest, under = blocks.rates(blocks.shared(x))
    return Lanes(x, gamma, some, np.maximum(rest + gamma * under, 0.0), auxiliary, centre)


def metric(blocks: Blocks, point: Floats, held: Booleans, data: tuple[Floats, Floats] | None) -> Metric:
    """Return the metric at a point; the last ones are kept, since fits next to each other share theirs."""
    key = b"".join(part.tobytes() for part in (point, held, *(data or ())))
    if key not in blocks.metrics:
        while len(blocks.metrics) >= _KEPT:
            blocks.metrics.pop(next(iter(blocks.metrics)))
        blocks.metrics[key] = Metric(blocks, point, held, data)
    found: Metric = blocks.metrics[key]
    return found


def inverted(matrix: Floats) -> Floats:
    """Return the inverse of a positive definite matrix; raise LinAlgError where it is none."""
    from scipy.linalg import lapack

    if not len(matrix):  # nothing is free; LAPACK would complain on stderr
        return matrix
    diagonal = np.diagonal(matrix)
    if not (diagonal > 0.0).all():
        raise np.linalg.LinAlgError
    scale = 1.0 / np.sqrt(diagonal)
    root, problem = lapack.dpotrf(matrix * scale * scale[:, None], lower=True, clean=True, overwrite_a=True)
    if problem:  # it is not positive definite
        raise np.linalg.LinAlgError
    half, _ = lapack.dpotri(root, lower=True, overwrite_c=True)
    inverse: Floats = half + half.T
    inverse[np.diag_indices_from(inverse)] *= 0.5
    return inverse * scale * scale[:, None]


class _History:
    """The last steps of all lanes and the changes of their gradients (L-BFGS)."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Floats, Floats, Floats]] = []

    def add(self, step: Floats, change: Floats, good: Booleans) -> None:
        """Keep a step of the *good* lanes; the gradients of others may be infinite."""
        step, change = np.where(good, step, 0.0), np.where(good, change, 0.0)
        along = np.einsum("pl,pl->l", step, change)
        use = along > 1e-10 * np.einsum("pl,pl->l", step, step)
        self.pairs = [*self.pairs[-_PAIRS + 1 :], (step, change, np.where(use, 1.0 / np.where(use, along, 1.0), 0.0))]

    def forget(self, lanes: Booleans) -> None:
        """Drop what is known of these lanes, whose active parameters have changed."""
        for _, _, weight in self.pairs:
            weight[lanes] = 0.0

    def part(self, lanes: Integers) -> None:
        """Keep these lanes."""
        self.pairs = [(step[:, lanes], change[:, lanes], weight[lanes]) for step, change, weight in self.pairs]

    def direction(self, metric: Metric, gradient: Floats, active: Booleans) -> Floats:
        """Return the quasi-Newton step."""
        q, shares = gradient * active, []
        for step, change, weight in reversed(self.pairs):
            share = weight * np.einsum("pl,pl->l", step, q)
            q = q - share * change
            shares.append(share)
        result = metric.apply(q, active)
        for (step, change, weight), share in zip(self.pairs, reversed(shares), strict=True):
            result += step * (share - weight * np.einsum("pl,pl->l", change, result))
        return -result * active


def _active(blocks: Blocks, free: Booleans, x: Floats, gradient: Floats) -> Booleans:
    """Return the parameters that are free and not at a bound that pulls outwards."""
    found: Booleans = free & ~(((x <= blocks.lower) & (gradient >= 0.0)) | ((x >= blocks.upper) & (gradient <= 0.0)))
    return found


def descend(blocks: Blocks, metric: Metric, problem: Problem, tolerance: float, values: Floats, result: Floats,
            ) -> None:  # fmt: skip
    """Fit rows side by side: write best fits into *values*, (-ln L, status 0, evaluations) into *result*.

    Fits that are on their way have the status _UNFINISHED, and their values are where they are. The status of a row
    that is no ordinary case stays as it was.
    """
    free = ~problem.fixed.T[blocks.dense]
    lanes, rows, history = lanes_of(blocks, problem), np.arange(len(problem.start)), _History()
    fine = (metric.free & ~free).sum(axis=0) <= _CORRECTED
    bins, gradient = blocks.evaluate(lanes)
    nll, share = bins.nll, np.ones(len(rows))
    step, slope, last = np.zeros_like(lanes.x), np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_)
    renew, active = np.ones(len(rows), dtype=np.bool_), np.ones_like(free)
    for count in range(1, _ROUNDS):
        now = _active(blocks, free, lanes.x, gradient)
        history.forget((now != active).any(axis=0))
        active, new = now, history.direction(metric, gradient, now)
        step = np.where(renew, new, step)
        slope = np.where(renew, np.einsum("pl,pl->l", new, gradient), slope)
        last = np.where(renew, -0.5 * slope < _CLOSER * tolerance, last)
        share = np.where(renew, 1.0, share)
        there = np.minimum(np.maximum(lanes.x + share * step, blocks.lower), blocks.upper)
        there = np.where(step == 0.0, lanes.x, there)
        trial, pull = blocks.evaluate(lanes._replace(x=there))
        with np.errstate(invalid="ignore"):
            wanted = 1e-4 * np.minimum(np.einsum("pl,pl->l", gradient, there - lanes.x), 0.0)
            good = trial.nll <= nll + wanted + 1e-13 * (1.0 + np.abs(nll))
        done = last & fine & (trial.nll <= nll + 1e-9) & _physical(blocks, trial.rate, trial.under, lanes.data)
        for lane in np.flatnonzero(done):
            _store(blocks, values[rows[lane]], problem.start[rows[lane]], there[:, lane], trial.gamma[:, lane])
            result[rows[lane]] = trial.nll[lane], 0.0, count
        history.add(there - lanes.x, pull - gradient, good)
        share, renew = np.where(good, share, 0.25 * share), good
        lanes = lanes._replace(x=np.where(good, there, lanes.x))
        gradient, nll = np.where(good, pull, gradient), np.where(good, trial.nll, nll)
        way = ~done & ~last & fine & np.isfinite(nll)
        keep = np.flatnonzero(way & (share > 1e-4))
        ends = way & (share <= 1e-4) if count < _ROUNDS - 1 else way
        for lane in np.flatnonzero(ends):
            _store(blocks, values[rows[lane]], problem.start[rows[lane]], lanes.x[:, lane], lanes.gamma[:, lane])
            result[rows[lane]] = nll[lane], _UNFINISHED, count
        if not len(keep):
            return
        if len(keep) < len(rows):
            lanes, rows, fine, free, active = lanes.part(keep), rows[keep], fine[keep], free[:, keep], active[:, keep]
            gradient, nll, share, renew = gradient[:, keep], nll[keep], share[keep], renew[keep]
            step, slope, last = step[:, keep], slope[keep], last[keep]
            history.part(keep)


def _physical(blocks: Blocks, rate: Floats, under: Floats, data: Floats) -> Booleans:
    """Tell the lanes in which no bin without data expects a negative number of events (kernels.rates.allowed)."""
    scaled = ((blocks.kinds >= 0) & ~blocks.mixed)[:, None]
    return np.asarray(((np.where(scaled, under, rate) >= 0.0) | (data > 0.0)).all(axis=0))


def _store(blocks: Blocks, values: Floats, start: Floats, x: Floats, gamma: Floats) -> None:
    values[:] = start
    values[blocks.dense] = x
    some = blocks.local >= 0
    values[blocks.local[some]] = gamma[some]


def chosen(blocks: Blocks, problem: Problem, start: Floats, near: Floats | None) -> Metric | None:
    """Return the metric of fits: exact at a point *near* them for one data set, else by the Fisher information.

    That is taken at *start*, so that a data set is fitted alike in whatever company. None where there is no metric.
    """
    same = near is not None and bool((problem.data == problem.data[0]).all())
    alike = bool((problem.auxiliary == problem.auxiliary[0])[:, ~np.isnan(problem.auxiliary[0])].all())
    data = (problem.data[0], np.where(alike, problem.auxiliary[0], np.nan)) if same else None
    try:
        return metric(blocks, start if near is None else near, np.asarray(problem.fixed.all(axis=0)), data)
    except np.linalg.LinAlgError:
        return None


def fit(blocks: Blocks, own: Metric, problem: Problem, tolerance: float, values: Floats, result: Floats) -> None:
    """Fit all data sets as `descend` does."""
    for first in range(0, len(values), SIDE_BY_SIDE):
        some = np.arange(first, min(first + SIDE_BY_SIDE, len(values)))
        part = slice(first, first + len(some))
        descend(blocks, own, problem.rows(some), tolerance, values[part], result[part])
        for i in np.flatnonzero(result[part, 1] == _UNFINISHED) + first:
            _renewed(blocks, problem.rows(np.array([i])), tolerance, values[i : i + 1], result[i : i + 1])


def _renewed(blocks: Blocks, problem: Problem, tolerance: float, values: Floats, result: Floats) -> None:
    """Go on with one fit in metrics of its own, each at the point where the one before has led."""
    for _ in range(_RENEWALS):
        try:
            own = Metric(blocks, values[0], problem.fixed[0], (problem.data[0], problem.auxiliary[0]))
        except np.linalg.LinAlgError:
            break
        count = result[0, 2]
        descend(blocks, own, problem._replace(start=values.copy()), tolerance, values, result)
        result[0, 2] += count
        if result[0, 1] != _UNFINISHED:
            break
    if result[0, 1] == _UNFINISHED:
        result[0, 1] = _EXTRAORDINARY
