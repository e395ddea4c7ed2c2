"""The likelihood of (mu, z) between templates on a grid of z: one HistFactory model and one set of data at each.

The data are the same at all z, unless the observable f(x; z) is recomputed at every hypothesised one.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.inference.conditional.splines import AT_LOWER, AT_UPPER, NOT_FOUND, Search, deviance, spline
from nuisflow.likelihood import starts
from nuisflow.likelihood.constraints.parameters import Parameter
from nuisflow.likelihood.covariances import covariance
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import FLAT, Model, Values

SUBDIVISION = 16
"""Points between two z of the grid at which a minimum is looked for, before it is found exactly."""
FAILED, EDGE = 1, 2  # flags of a fit
MOST, APART = 2, 0.5
"""Parameters whose sides are fitted one by one; how far from 0 these fits start, in prior deviations."""


class Data(NamedTuple):
    """Data sets, binned at every z of the grid; *centre*: the auxiliary measurement of z, in prior deviations.

    *main*: (sets, points, bins); *auxiliary*: (sets, points, constrained parameters); *centre*: (sets).
    """

    main: Floats
    auxiliary: Floats
    centre: Floats

    def take(self, rows: Integers | Sequence[int]) -> "Data":
        """Return some of the sets, or one several times."""
        index = np.asarray(rows, dtype=np.int64)
        return Data(self.main[index], self.auxiliary[index], self.centre[index])


class Held(NamedTuple):
    """What a fit holds: *parameters* (sets, parameters; booleans) where it starts, *z* (sets) where it is not NaN."""

    parameters: Booleans | None = None
    z: Floats | None = None

    def take(self, rows: Integers) -> "Held":
        """Return what is held in some sets."""
        parameters = None if self.parameters is None else self.parameters[rows]
        return Held(parameters, None if self.z is None else self.z[rows])


NOTHING = Held()


class Side(NamedTuple):
    """Models at all z, with some parameters (*which*) bounded to one side of 0 each (*signs*)."""

    models: tuple[Model, ...]
    which: Integers
    signs: Floats

    def begin(self, start: Floats) -> Floats:
        """Return where fits start on this side (..., parameters)."""
        found = start.copy()
        found[..., self.which] = self.signs * np.maximum(np.abs(found[..., self.which]), APART)
        return found


def sides(models: Sequence[Model], nominal: Model) -> list[Side]:
    """Return all sides of the strongest parameters whose variations do the same up and down; one, if there are none."""
    which, found = starts.two_sided(nominal)[:MOST], list[Side]()
    for signs in itertools.product((1.0, -1.0), repeat=len(which)):
        bounds = {
            nominal.names[i]: (0.0, None) if sign > 0 else (None, 0.0) for i, sign in zip(which, signs, strict=True)
        }
        found.append(Side(tuple(model.bounded(bounds) for model in models), which, np.array(signs)))
    return found


class Fits(NamedTuple):
    """Best fits: *values* (sets, parameters and z last), *flags* add up: 1 a fit at some z failed, 2 z at an edge.

    *error*: standard deviation of the parameter of interest, by the second derivative of its profile (NaN if fixed).
    *points* (sets, points, parameters): the best fit at every z of the grid. *twice_nll* has no constants.
    """

    values: Floats
    error: Floats
    twice_nll: Floats
    flags: Integers
    points: Floats


class Ends(NamedTuple):
    """Profile-likelihood intervals of the parameter of interest; flags as in likelihood.Intervals."""

    low: Floats
    high: Floats
    flags: Integers


class Curve(NamedTuple):
    """-2 ln L along z at one z per set, and its first and second derivative by z."""

    value: Floats
    slope: Floats
    bend: Floats


class GridModel:
    """Models at increasing *z* (in prior standard deviations), all with the same parameters but z itself.

    Between the grid points, the residuals of all bins and auxiliary measurements (signed roots of their parts of
    -2 ln L) are cubic splines in z, and so -2 ln L, the sum of their squares and of (z - centre)^2, is 0 where data
    and model agree. With 3 points the splines are parabolas.

    Where the data depend on z, the terms of the data alone are dropped, as in arXiv:2105.08742: z where the
    observable is sharper gets likelier, which is right only if its sharpness at the true z is the same for all z.
    """

    def __init__(self, models: Sequence[Model], z: Values, name: str = "z") -> None:
        self.models, self.z, self.name = tuple(models), np.array(z, dtype=np.float64), name
        first = self.models[0]
        if len(self.models) != len(self.z) or len(self.z) < 3 or (np.diff(self.z) <= 0).any():
            raise ValueError(f"a grid needs one model at each of 3 or more increasing z, not {self.z.tolist()}")
        for model, value in zip(self.models, self.z, strict=True):
            if model.names != first.names or model.channels != first.channels:
                odd = ", ".join(sorted(set(model.names) ^ set(first.names))) or "bins"
                raise ValueError(f"the models at {name} = {self.z[0]:g} and {value:g} differ in {odd}; use fewer bins")
        if any(model.structure.extended.correlations for model in self.models):
            raise ValueError(f"fits over {name} take constraints as independent; remove the correlations")
        row = Parameter(name, name, "z", 0.0, self.z[0], self.z[-1], fixed=False, constraint="normal", width=1.0,
                        auxiliary=0.0)  # fmt: skip
        self.names, self.parameters = (*first.names, name), (*first.parameters, row)
        self.fixed: Booleans = np.append(first.fixed, False)
        self.bounds = np.append(first.lower, self.z[0]), np.append(first.upper, self.z[-1])
        self.poi, self.index, self.bins = first.poi, first.index(first.poi), first.bins
        self.limits = float(first.lower[self.index]), float(first.upper[self.index])
        self.nominal = self.models[int(np.abs(self.z).argmin())]
        self.sides = sides(self.models, self.nominal)
        rows = [[model.parameters[i] for i in first.constrained] for model in self.models]
        shape = (len(self.z), len(first.constrained))
        self.poisson: Booleans = np.array([row.constraint == "poisson" for row in rows[0]], dtype=np.bool_)
        widths = np.array([[row.width for row in part] for part in rows]).reshape(shape)
        self.widths = np.where(self.poisson, 1.0, widths)
        self.auxiliary = np.array([[row.auxiliary for row in part] for part in rows]).reshape(shape)
        inverse, _ = covariance(self.nominal, self.nominal.asimov(), self.nominal.inits, self.nominal.fixed)
        variance = float(inverse[self.index, self.index])
        self.scale = np.sqrt(variance) if variance > 0 else 0.1 * (self.limits[1] - self.limits[0])
        self._coefficients = spline(self.z)
        inner = np.linspace(self.z[:-1], self.z[1:], SUBDIVISION, endpoint=False)
        self._fine = np.concatenate([inner.T.ravel(), self.z[-1:]])
        self._matrix = self.weights(self._fine)

    # --- data -------------------------------------------------------------------------------------------------------

    def data(self, main: Values, auxiliary: Values | None = None, centre: Values = 0.0) -> Data:
        """Return data sets from main data (sets, points, bins), or (points, bins) of one; the rest from the models."""
        bins = np.array(main, dtype=np.float64)
        bins = bins if bins.ndim == 3 else bins[None]
        if bins.shape[1:] != (len(self.z), self.bins):
            raise ValueError(f"data of shape {np.shape(main)}: expected (sets, {len(self.z)} z, {self.bins} bins)")
        given = self.auxiliary if auxiliary is None else np.asarray(auxiliary, dtype=np.float64)
        full = np.array(np.broadcast_to(given, (len(bins), *self.auxiliary.shape)))
        return Data(bins, full, np.array(np.broadcast_to(np.asarray(centre, dtype=np.float64), len(bins))))

    def flat(self, data: Data, point: int) -> Floats:
        """Return main and auxiliary data at one point of the grid, as its model takes them."""
        return np.hstack([data.main[:, point], data.auxiliary[:, point]])

    # --- fits -------------------------------------------------------------------------------------------------------

    def start(self, sets: int, values: Mapping[str, Values] | None = None) -> Floats:
        """Return the initial values (sets, points, parameters), with some replaced by name (one, or one per set)."""
        begin = np.tile(np.array([model.inits for model in self.models]), (sets, 1, 1))
        for name, value in (values or {}).items():
            begin[:, :, self.nominal.index(name)] = np.asarray(value, dtype=np.float64).reshape(-1, 1)
        return begin

    def fit(self, data: Data, start: Floats | None = None, held: Held = NOTHING, *, quick: bool = False) -> Fits:
        """Find the best fit of every data set, from *start* (sets, points, parameters).

        The parameter of interest is where its profile is lowest (more precise than where the fits at the grid points
        lead), the others follow from their best fits at the grid points. *quick*: to 1 % of its standard deviation.
        """
        best = self.along(data, self.start(len(data.main)) if start is None else start, held)
        poi, step = best.values[:, self.index], np.full(len(best.values), 0.5 * self.scale)
        for part in (0.3,) if quick else (0.3, 0.03, 0.03):
            at = [self.fit_at(data, best.points, poi + side * step, held).twice_nll for side in (-1, 0, 1)]
            bend = at[0] + at[2] - 2 * at[1]
            curved = bend > 0
            error = np.where(curved, step * np.sqrt(2 / np.where(curved, bend, 1.0)), np.nan)
            move = np.where(curved, step * (at[0] - at[2]) / np.where(curved, 2 * bend, 1.0), 0.0)
            poi = np.clip(poi + np.clip(move, -20 * step, 20 * step), *self.limits)
            step = np.where(curved, part * error, step)
        found = self.fit_at(data, best.points, poi, held)
        return found._replace(error=error, flags=found.flags | best.flags & FAILED)

    def fit_at(self, data: Data, start: Floats, poi: Values, held: Held = NOTHING) -> Fits:
        """Fit with the parameter of interest at *poi* (sets), all else from *start*."""
        begin = start.copy()
        begin[:, :, self.index] = np.broadcast_to(np.asarray(poi, dtype=np.float64), len(begin))[:, None]
        fixed = np.zeros((len(begin), len(self.names) - 1), dtype=np.bool_)
        fixed[:, self.index] = True
        return self.along(data, begin, held._replace(parameters=fixed if held[0] is None else fixed | held[0]))

    def along(self, data: Data, start: Floats, held: Held = NOTHING) -> Fits:
        """Fit every data set at every z of the grid, and find the best z between.

        Where variations do the same up and down, each side of 0 is fitted by itself, at all z, and the deepest counts:
        between points of two valleys residuals are not known.
        """
        best = self._along(self.sides[0], data, start, held)
        for side in self.sides[1:]:
            other = self._along(side, data, start, held)
            deeper = (other.flags & FAILED == 0) & ((best.flags & FAILED > 0) | (other.twice_nll < best.twice_nll))
            for part, found in zip(best, other, strict=True):
                part[deeper] = found[deeper]
        return best

    def _along(self, side: Side, data: Data, start: Floats, held: Held) -> Fits:
        """Fit as `along` does, on one side."""
        fixed = np.broadcast_to(self.nominal.fixed, (len(start), len(self.names) - 1))
        fixed = fixed if held.parameters is None else fixed | held.parameters
        points, failed = np.empty(start.shape), np.zeros(len(start), dtype=np.bool_)
        start = np.where(fixed[:, None, :], start, side.begin(start))
        for g, model in enumerate(side.models):
            minima = model.minimise(self.flat(data, g), start[:, g], fixed)
            points[:, g] = minima.values
            failed |= (minima.status != 0) & (minima.status != FLAT)
        residuals = self.residuals(points, data)
        z, edge = self._best(residuals, data, held.z)
        twice = self._curve(z, residuals, data).value
        values = np.einsum("sg,sgp->sp", self.weights(z), points)
        flags = FAILED * (failed | ~np.isfinite(twice)) + EDGE * edge
        return Fits(np.column_stack([values, z]), np.full(len(z), np.nan), twice, flags, points)

    def slopes(self, best: Fits, data: Data) -> tuple[Floats, Floats]:
        """Return d(values)/dz of fits `along` the grid (sets, parameters), and the variance of z (sets) there."""
        z = best.values[:, -1]
        bend = self._curve(z, self.residuals(best.points, data), data).bend
        follow = np.einsum("sg,sgp->sp", self.weights(z, 1), best.points)
        return follow, np.where(bend > 0, 2 / np.where(bend > 0, bend, 1.0), np.nan)

    # --- between the points -----------------------------------------------------------------------------------------

    def weights(self, z: Values, derivative: int = 0) -> Floats:
        """Return the weights (..., points) of the values at the grid points in a spline at *z*, or in a derivative."""
        at = np.asarray(z, dtype=np.float64)
        piece = np.clip(np.searchsorted(self.z, at, side="right") - 1, 0, len(self.z) - 2)
        step, c = (at - self.z[piece])[..., None], self._coefficients[:, piece]  # cubic first
        if derivative == 0:
            return np.asarray(((c[0] * step + c[1]) * step + c[2]) * step + c[3])
        return np.asarray((3 * c[0] * step + 2 * c[1]) * step + c[2] if derivative == 1 else 6 * c[0] * step + 2 * c[1])

    def residuals(self, points: Floats, data: Data) -> Floats:
        """Return the residuals (sets, points, bins and auxiliary measurements) of the fits *points*.

        The sum of their squares is -2 ln L relative to the saturated model: a deviance for Poisson terms.
        """
        parts = []
        for g, model in enumerate(self.models):
            expected = model.asimov(points[:, g])
            given, found = data.auxiliary[:, g], expected[:, self.bins :]
            counted = deviance(np.where(self.poisson, given, 1.0), np.where(self.poisson, found, 1.0))
            measured = np.where(self.poisson, counted, (given - found) / self.widths[g])
            parts.append(np.hstack([deviance(data.main[:, g], expected[:, : self.bins]), measured]))
        return np.stack(parts, axis=1)

    def _dropped(self, data: Data) -> Floats:
        """Return what dropping the terms of the data alone adds to -2 ln L (sets, points): 0 if all z have the same."""
        terms = 2 * (data.main - data.main * np.log(np.where(data.main > 0, data.main, 1.0))).sum(axis=2)
        return np.asarray(terms - terms.min(axis=1, keepdims=True))

    def _best(self, residuals: Floats, data: Data, held: Floats | None) -> tuple[Floats, Booleans]:
        """Return the best z of every set (or the one held), and whether it is an end of the grid."""
        total = ((self._matrix @ residuals) ** 2).sum(axis=2) + self._dropped(data) @ self._matrix.T
        total += (self._fine - data.centre[:, None]) ** 2
        lowest = np.where(np.isfinite(total), total, np.inf).argmin(axis=1)
        z, last = self._fine[lowest], len(self._fine) - 1
        low, high = self._fine[np.maximum(lowest - 1, 0)], self._fine[np.minimum(lowest + 1, last)]
        for _ in range(4):
            curve = self._curve(z, residuals, data)
            newton = z - curve.slope / np.where(curve.bend > 0, curve.bend, np.inf)
            z = np.clip(newton, low, high)
        free = np.isnan(held) if held is not None else np.ones(len(z), dtype=np.bool_)
        return np.where(free, z, z if held is None else held), free & ((z <= self.z[0]) | (z >= self.z[-1]))

    def _curve(self, z: Floats, residuals: Floats, data: Data) -> Curve:
        """Return -2 ln L along z at one *z* per set."""
        weights, terms, pull = [self.weights(z, order) for order in range(3)], self._dropped(data), z - data.centre
        here, slope, bend = (np.einsum("sg,sgn->sn", weight, residuals) for weight in weights)
        extra = [np.einsum("sg,sg->s", weight, terms) for weight in weights]
        return Curve(
            (here**2).sum(axis=1) + extra[0] + pull**2,
            2 * (here * slope).sum(axis=1) + extra[1] + 2 * pull,
            2 * (slope**2 + here * bend).sum(axis=1) + extra[2] + 2,
        )

    # --- intervals --------------------------------------------------------------------------------------------------

    def ends(
        self, data: Data, best: Fits, held: Held = NOTHING, *, sigmas: float = 1.0, tolerance: float = 1e-4
    ) -> Ends:
        """Return where -2 ln L, profiled over all else, rises by sigmas^2 on both sides of *best*.

        *tolerance* is that of the root of the rise.
        """
        step = np.where(best.error > 0, best.error, self.scale)
        ends, flags = [], np.zeros(len(step), dtype=np.int64)
        for sign, flag in ((-1.0, AT_LOWER), (1.0, AT_UPPER)):
            search = Search(best.values[:, self.index], sign * sigmas * step, sigmas, self.limits)
            for _ in range(25):
                if not len(search.todo):
                    break
                rows = search.todo
                found = self.fit_at(data.take(rows), best.points[rows], search.here[rows], held.take(rows))
                rise = np.where(found.flags & FAILED, np.nan, found.twice_nll - best.twice_nll[rows])
                search.advance(np.sqrt(np.maximum(rise, 0.0)), tolerance)
            lost = (search.state == NOT_FOUND) | ~np.isfinite(best.twice_nll)
            ends.append(np.where(lost, np.nan, search.here))
            flags |= np.where(lost, NOT_FOUND, np.where(search.state == AT_LOWER, flag, 0))
        return Ends(ends[0], ends[1], flags)
