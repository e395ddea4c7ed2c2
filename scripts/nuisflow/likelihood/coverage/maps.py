"""A coverage map: pseudo-experiments at random true points, one each, and whether the interval contains the truth.

The parameter of interest is uniform in a range, parameters with a constraint are drawn from it (their priors). Where
among all true points the intervals cover too rarely say `regions` (cells) and `regression` (smoothly).
"""

from typing import NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.constraints import auxiliary, parameters
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import EDGE, Model
from nuisflow.progress import progress

BLOCK = 5000  # true points between two reports of progress; each block has its own random numbers
_SIGMAS = 3.0


class Map(NamedTuple):
    """True points and what became of them, one row each.

    *names*: the parameter of interest, then the constrained ones that act on more than single bins; *points* (rows,
    names) are in their own units and in prior standard deviations off nominal. *fitted*: the fit converged; *bounded*:
    both ends of the interval were found; *covered*: it contains the truth. *reach*: the range of the parameter of
    interest; *impossible*: points that are left out since a bin would expect a negative number of events.
    """

    names: tuple[str, ...]
    reach: tuple[float, float]
    points: Floats
    covered: Booleans
    fitted: Booleans
    bounded: Booleans
    impossible: int

    @property
    def choosing(self) -> Booleans:
        """The half of the points that chooses where to look; what is found there is counted with the others."""
        return np.asarray(np.arange(len(self.points)) % 2 == 0)


def run(model: Model, number: int, seed: int, *names: object, reach: tuple[float, float] | None = None,
        workers: int | None = None) -> Map:  # fmt: skip
    """Fit one pseudo-experiment at each of *number* random true points; return what became of them.

    *reach*: where the parameter of interest is drawn (default: `reach_of`). Parameters of single bins (MC statistics)
    are drawn from their priors too, but not kept; those without a constraint stay at their initial values. The points
    depend on seed, names and block only, not on the number of *workers* (threads).
    """
    within = reach or reach_of(model)
    kept = coordinates(model)
    centre, width = map(np.nan_to_num, model.constraints())
    spread = np.where(width > 0.0, width, 1.0)
    blocks, parts = range(0, number, BLOCK), []
    for k, first in enumerate(progress(blocks, f"coverage map: blocks of {BLOCK} points", len(blocks))):
        random = seeds.generator(seed, "map", *map(str, names), k)
        truth = drawn(model, BLOCK, within, random)
        data = toys.fluctuated(model, _possible(model, model.asimov(truth)), random)
        rows = np.flatnonzero(model.expected(truth).min(axis=1) >= -EDGE)
        rows = rows[rows < number - first]
        thrown = toys.fitted(model, data[rows], truth[rows], model.poi, workers)
        good = thrown.fitted & thrown.bounded
        inside = good & (thrown.low <= thrown.true) & (thrown.true <= thrown.high)
        where = (truth[rows] - centre) / spread
        where[:, kept[0]] = thrown.true
        parts.append((where[:, kept], inside, thrown.fitted, thrown.bounded))
    points, covered, fitted, bounded = (np.concatenate(part) for part in zip(*parts, strict=True))
    labels = tuple(model.names[i] for i in kept)
    return Map(labels, within, points, covered, fitted, bounded, number - len(points))


def reach_of(model: Model) -> tuple[float, float]:
    """Return the default range of the parameter of interest: three expected standard deviations, within its bounds.

    Around its initial value, at which the expectation is fitted; raise ValueError where that fit fails.
    """
    at = model.index(model.poi)
    best = fits.fit(model, model.asimov())
    if not best.converged or not best.errors[at] > 0.0:
        raise ValueError(f"coverage map: no range of {model.poi} is given, and the expectation has no fit: "
                         f"{best.message}")  # fmt: skip
    size, value = _SIGMAS * float(best.errors[at]), float(model.inits[at])
    return max(value - size, float(model.lower[at])), min(value + size, float(model.upper[at]))


def coordinates(model: Model) -> list[int]:
    """Return the positions of the parameter of interest and of the constrained ones that act on several bins."""
    poi = model.index(model.poi)
    free = [int(i) for i in model.constrained if i != poi and not model.fixed[i]]
    return [poi, *(i for i in free if model.parameters[i].kind not in parameters.SINGLE_BINS)]


def drawn(model: Model, number: int, reach: tuple[float, float], random: np.random.Generator) -> Floats:
    """Return random true points (number, parameters), within the bounds of all parameters.

    ASSUME: parameters that bounds cut lie at the bound; the rest as `auxiliary.drawn`.
    """
    blocks = model.structure.extended.correlations
    points = auxiliary.drawn(model.parameters, blocks, ~model.fixed, number, random)
    np.clip(points, model.lower, model.upper, out=points)
    points[:, model.index(model.poi)] = random.uniform(*reach, number)
    return points


def _possible(model: Model, truth: Floats) -> Floats:
    """Return expected data with 0 in place of negative numbers of events: such points are left out afterwards."""
    rates = truth[:, : model.bins]
    return np.hstack([np.maximum(rates, 0.0), truth[:, model.bins :]])
