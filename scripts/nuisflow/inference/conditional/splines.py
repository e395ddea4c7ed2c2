"""What a fit over z is made of: residuals, splines between points of a grid, a search for many roots at once."""

import numpy as np

from nuisflow.likelihood.histfactory import Floats, Integers

AT_LOWER, AT_UPPER, NOT_FOUND = 1, 2, 4  # flags of an interval, as in likelihood.Intervals


class Search:
    """Looks for the ends of intervals of many data sets on one side: secants, kept between brackets."""

    def __init__(self, centre: Floats, step: Floats, target: float, limits: tuple[float, float]) -> None:
        self.centre, self.sign, self.target, self.limits = centre, np.sign(step), target, limits
        self.bound = np.where(step > 0, limits[1], limits[0])
        self.inside, self.outside = centre.copy(), np.inf * self.sign
        self.before, self.height = centre.copy(), np.zeros(len(centre))
        self.here = np.clip(centre + step, *limits)
        self.state = np.where(centre == self.bound, AT_LOWER, NOT_FOUND)
        self.todo: Integers = np.flatnonzero(np.isfinite(step) & (centre != self.bound))

    def advance(self, rise: Floats, tolerance: float) -> None:
        """Take in the *rise* of the sets to do, and choose where to look next."""
        rows, here = self.todo, self.here[self.todo]
        reached, low = np.abs(rise - self.target) < tolerance, rise < self.target
        stuck = (here == self.bound[rows]) & low & ~reached
        self.state[rows[reached]], self.state[rows[stuck]] = 0, AT_LOWER
        self.inside[rows[low]], self.outside[rows[~low]] = here[low], here[~low]
        climb = rise - self.height[rows]
        secant = here + (self.target - rise) * (here - self.before[rows]) / np.where(climb != 0, climb, np.nan)
        sign, inside, outside = self.sign[rows], self.inside[rows], self.outside[rows]
        between = (sign * (secant - inside) > 0) & (sign * (outside - secant) > 0)
        known = np.isfinite(outside)
        middle = np.where(known, 0.5 * (inside + np.where(known, outside, 0.0)), 2 * here - self.centre[rows])
        self.before[rows], self.height[rows] = here, rise
        going = np.isfinite(rise) & ~reached & ~stuck
        self.here[rows[going]] = np.clip(np.where(between, secant, middle), *self.limits)[going]
        self.todo = rows[going]


def deviance(data: Floats, expected: Floats) -> Floats:
    """Return the signed root of a Poisson term of -2 ln L relative to the saturated model; NaN if it is impossible."""
    rate = np.where(expected > 0, expected, np.where(data > 0, np.nan, 0.0))
    excess = data - rate
    relative = np.where(data > 0, excess / np.where(rate > 0, rate, 1.0), 0.0)
    return np.asarray(np.sign(excess) * np.sqrt(np.maximum(2 * (data * np.log1p(relative) - excess), 0.0)))


def spline(z: Floats) -> Floats:
    """Return the coefficients (4, pieces, points) of splines that are 1 at one point of the grid and 0 at others."""
    from scipy.interpolate import CubicSpline

    return np.asarray(CubicSpline(z, np.eye(len(z))).c)
