"""How far profile intervals reach: the one meaning of an interval of a workspace.

Fits to data, pseudo-experiments, breakdowns and what-if refits all ask `intervals`.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood import starts
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.model import FLAT, NEGATIVE, Intervals, Minima, Model, Values

AT_LOWER, AT_UPPER, NOT_FOUND, DEEPER, AT_EDGE = 1, 2, 4, 8, 16  # flags of model.Intervals
VALLEY = 1e-3  # of -2 ln L: how much deeper another valley is, at the end of an interval, that moves this
_LOWER = 1e-5  # of -2 ln L: how much deeper than the best fit a fit is that shows a better one
_CLOSE = 1e-4  # of the height of an end: from there one Newton step is exact
_STEPS, _NARROW = 60, 1e-7


def intervals(model: Model, minima: Minima, parameter: str, data: Values | None = None,
              fixed: npt.ArrayLike | None = None, *, sigmas: float = 1.0, tolerance: float = 1e-6,
              workers: int | None = None, thorough: bool = False) -> Intervals:  # fmt: skip
    """Return where -2 ln L, minimised over all else, rises by sigmas^2 on both sides of each best fit.

    The minimum is the deepest of all valleys (as `starts.deepest` finds it; a *thorough* search starts everywhere):
    where another one than that of the best fit is deeper at an end, the interval reaches on to the end of that. What
    lies beyond a place where all valleys are higher belongs to no interval, as for MINOS.
    """
    found = model.crossings(minima, parameter, data, fixed, sigmas=sigmas, tolerance=tolerance, workers=workers)
    if not starts.valleys(model):
        return found
    sets = np.atleast_2d(np.array(model.data if data is None else data, dtype=np.float64))
    held = np.atleast_2d(np.array(model.fixed if fixed is None else fixed, dtype=np.bool_))
    index = model.index(parameter)
    free = np.broadcast_to(~held[:, index], len(minima.values)) & (minima.status == 0)
    held[:, index] = True
    profiles, flags = _Profiles(model, sets, held, index, workers, thorough), found.flags.copy()
    for ends, bit in ((found.low, AT_LOWER), (found.high, AT_UPPER)):
        rows = np.flatnonzero(free & np.isfinite(ends) & (found.flags & bit == 0))
        if len(rows):
            ends[rows], more = _reached(profiles, minima, rows, ends[rows], -sigmas if bit == AT_LOWER else sigmas)
            flags[rows] |= more
    return found._replace(flags=flags)


class _Profiles(NamedTuple):
    """-2 ln L along one parameter, which is *held* as others are, of many data sets."""

    model: Model
    data: Floats
    held: Booleans
    parameter: int
    workers: int | None
    thorough: bool

    def at(self, start: Floats, rows: Integers) -> Minima:
        """Return the deepest fits of these data sets; -2 ln L is NaN where they failed, infinite at negative rates."""
        data, held = starts.chosen(self.data, rows), starts.chosen(self.held, rows)
        found = starts.deepest(self.model, data, start, held, workers=self.workers)
        for i, begin in enumerate(start if self.thorough else start[:0]):
            one, fix = data[min(i, len(data) - 1)], held[min(i, len(held) - 1)]
            usual = Minima(found.values[[i]], found.twice_nll[[i]], found.status[[i]], found.iterations[[i]])
            every = starts.together(usual, starts.everywhere(self.model, one, begin, fix))
            best = starts.deepest_of(every)
            for part, values in zip(found, every, strict=True):
                part[i] = values[best]
        good = np.isin(found.status, (0, FLAT))
        depth = np.where(good, found.twice_nll, np.where(found.status == NEGATIVE, np.inf, np.nan))
        return found._replace(twice_nll=depth)

    def slopes(self, values: Floats, rows: Integers) -> Floats:
        """Return the derivatives of -2 ln L along the profile, at fits."""
        gradient: Floats = self.model.derivatives(values, starts.chosen(self.data, rows)).gradient[:, self.parameter]
        return gradient


def _reached(profiles: _Profiles, minima: Minima, rows: Integers, ends: Floats, sigmas: float,
             ) -> tuple[Floats, Integers]:  # fmt: skip
    """Return the *ends* of these intervals, moved on where another valley is deeper there, and their flags.

    *sigmas*: by how many standard deviations the profile rises there, negative for the lower end.
    """
    start, flags, model = minima.values[rows], np.zeros(len(rows), dtype=np.int64), profiles.model
    start[:, profiles.parameter] = ends
    there = profiles.at(start, rows)
    rise = there.twice_nll - minima.twice_nll[rows]
    flags[rise < -_LOWER] = DEEPER
    moved = np.flatnonzero((rise >= -_LOWER) & (rise < sigmas**2 - VALLEY))
    if len(moved) and not profiles.thorough and len(starts.two_sided(model)) + len(starts.curved(model)) > 1:
        flags[moved] = DEEPER  # where there are two valleys, there may be many: left to a thorough search
    elif len(moved):
        search = _Search(profiles, minima, rows[moved], ends[moved], there.values[moved], sigmas=sigmas)
        ends = ends.copy()
        ends[moved], flags[moved] = search.run()
    return ends, flags


class _Search:
    """Ends beyond points *inside* of the intervals, where fits are at *known* values: Newton's steps, then halving."""

    def __init__(self, profiles: _Profiles, minima: Minima, rows: Integers, inside: Floats, known: Floats, *,
                 sigmas: float) -> None:  # fmt: skip
        self.profiles, self.rows, self.known, self.height = profiles, rows, known, abs(sigmas)
        self.best, self.lowest = minima.values[rows, profiles.parameter], minima.twice_nll[rows]
        self.side, model = np.sign(sigmas), profiles.model
        self.bound, self.bit = ((model.upper[profiles.parameter], AT_UPPER) if sigmas > 0.0
                                else (model.lower[profiles.parameter], AT_LOWER))  # fmt: skip
        self.inside, self.outside = inside, np.full(len(rows), self.side * np.inf)
        self.here, self.wall = inside.copy(), np.zeros(len(rows), dtype=np.bool_)
        self.ends, self.flags = np.full(len(rows), np.nan), np.full(len(rows), NOT_FOUND)

    def run(self) -> tuple[Floats, Integers]:
        """Return the ends and their flags."""
        left = np.arange(len(self.rows))
        for _ in range(_STEPS):
            if not len(left):
                break
            left = left[~self._step(left)]
        return self.ends, self.flags

    def _step(self, left: Integers) -> Booleans:
        """Fit where the search is; move on, and return what has ended."""
        here, start = self.here[left], self.known[left]
        start[:, self.profiles.parameter] = here
        there = self.profiles.at(start, self.rows[left])
        rise = there.twice_nll - self.lowest[left]
        good, height = np.isfinite(rise), np.sqrt(np.maximum(rise, 0.0))
        self.known[left[good]] = there.values[good]
        follow = np.full(len(left), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = self.profiles.slopes(there.values[good], self.rows[left[good]])
            follow[good] = here[good] + (self.height - height[good]) * 2.0 * height[good] / slopes
        above = height > self.height
        self.inside[left] = np.where(above, self.inside[left], here)
        self.outside[left] = np.where(above, here, self.outside[left])
        self.wall[left] = np.where(above, np.isinf(rise), self.wall[left])
        self.here[left] = self._next(left, follow)
        ended = [
            (np.isnan(rise), np.nan, NOT_FOUND),
            (rise < -_LOWER, np.nan, NOT_FOUND | DEEPER),
            (np.isfinite(follow) & (np.abs(height - self.height) < _CLOSE * self.height), follow, 0),
            (~above & (here == self.bound), self.bound, self.bit),
            (self.wall[left] & self._narrow(left), self.inside[left], AT_EDGE | self.bit),
        ]
        masks, ends, flags = zip(*ended, strict=True)
        self.ends[left] = np.select(masks, np.broadcast_arrays(*ends, here)[:-1], np.nan)
        self.flags[left] = np.select(masks, flags, NOT_FOUND)
        over: Booleans = np.any(masks, axis=0)
        return over

    def _narrow(self, left: Integers) -> Booleans:
        """Return where the place of the end is known."""
        inside = self.inside[left]
        narrow: Booleans = np.abs(self.outside[left] - inside) <= _NARROW * np.abs(inside - self.best[left])
        return narrow

    def _next(self, left: Integers, follow: Floats) -> Floats:
        """Return where to fit next: *follow*, if it is a place where the end may be."""
        best, inside, outside = self.best[left], self.inside[left], self.outside[left]
        far = best + 2.0 * (inside - best)
        outward = (self.side * (follow - inside) > 0.0) & (np.abs(follow - best) <= 4.0 * np.abs(inside - best))
        free = self.side * np.minimum(self.side * np.where(outward, follow, far), self.side * self.bound)
        between = (self.side * (follow - inside) > 0.0) & (self.side * (outside - follow) > 0.0)
        return np.where(np.isinf(outside), free, np.where(between, follow, 0.5 * (inside + outside)))
