"""What if an uncertainty were another? The information of all trainings, which is best where, and how exact that is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.comparison.trainings import Run
from nuisflow.inference import what_if
from nuisflow.inference.what_if import Information
from nuisflow.likelihood.constraints.parameters import SINGLE_BINS
from nuisflow.likelihood.model import Model

LUMINOSITY, SIMULATION = "events: luminosity", "events: simulation"
"""Sources that are not variations, whose names have no space."""
SCALES, LUMINOSITIES = (0.0, 0.5, 2.0, 3.0), (0.1, 0.5, 2.0, 30.0)
"""Where trainings are refitted: the ends of the sliders, half and double."""
SLIDERS = 12
"""Priors that have a slider: those that matter most."""
CLEAR = 0.03
"""A relative difference between trainings from which on their order has to be right."""
COLUMNS = ("training", "seed", "source", "scale", "gaussian", "exact")
_STEPS = 30

Sources = Mapping[str, Sequence[str]]


class Fitted(NamedTuple):
    """One run: its uncertainty today, as fitted, its information, and its workspace, if the likelihood is one."""

    sigma: float
    information: Information
    workspace: Mapping[str, Any] | None


class Place(NamedTuple):
    """A source at a scale of today's: which priors, which luminosity, whether the simulation is finite."""

    source: str
    scale: float

    def asked(self, sources: Sources) -> dict[str, Any]:
        """Return what `what_if.uncertainty` is asked."""
        if self.source == LUMINOSITY:
            return {"luminosity": self.scale}
        if self.source == SIMULATION:
            return {"simulation": self.scale > 0}
        return {"scales": dict.fromkeys(sources[self.source], self.scale)}


def places(sources: Iterable[str]) -> list[Place]:
    """Return where trainings are refitted."""
    found = [Place(source, scale) for source in sources for scale in SCALES]
    return [*found, *(Place(LUMINOSITY, scale) for scale in LUMINOSITIES), Place(SIMULATION, 0.0)]


def expected(run: Fitted, place: Place, sources: Sources) -> float:
    """Return the uncertainty at *place*: that of today times the ratio of both in the Gaussian limit.

    The spread of an unbinned training over replicas of the simulation stays as it is.
    """
    asked = place.asked(sources)
    spread = run.information.spread
    own = np.sqrt(max(run.sigma**2 - spread**2, 0.0))
    ratio = what_if.uncertainty(run.information, **asked) / what_if.uncertainty(run.information)
    return float(np.hypot(own * ratio, spread if asked.get("simulation", True) else 0.0))


def chosen(runs: Mapping[Run, Fitted], sources: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the *sources* that matter most to any training, as they stand, at most `SLIDERS`."""
    gains = {
        name: max((1 - _without(run.information, parameters) for run in runs.values()), default=0.0)
        for name, parameters in sources.items()
    }
    most = sorted(gains, key=lambda name: -gains[name])[:SLIDERS]
    return {name: parameters for name, parameters in sources.items() if name in most and gains[name] > 0}


def _without(found: Information, parameters: Sequence[str]) -> float:
    """Return the uncertainty if some parameters were known, in units of today's."""
    total, free = what_if.matrix(found)
    free &= np.diag(total) > 0
    covariance = np.linalg.inv(total[np.ix_(free, free)])
    names = np.array(found.names)[free]
    gone = np.flatnonzero(np.isin(names, list(parameters)))
    across = covariance[0, gone]
    return float(np.sqrt(1 - across @ np.linalg.solve(covariance[np.ix_(gone, gone)], across) / covariance[0, 0]))


# --- exactly --------------------------------------------------------------------------------------------------------


def table(runs: Mapping[Run, Fitted], sources: Sources) -> pd.DataFrame:
    """Return one row per run and place: the Gaussian limit beside an exact refit, nan if the likelihood is another."""
    rows = [
        (*run, *place, expected(fitted, place, sources), exact)
        for run, fitted in runs.items()
        for place, exact in zip(places(sources), _refits(fitted, sources), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _refits(fitted: Fitted, sources: Sources) -> list[float]:
    """Return the uncertainty of exact refits at all places."""
    if fitted.workspace is None:
        return [np.nan] * len(places(sources))
    model = Model(fitted.workspace)
    bins = [row.name for row in model.parameters if row.kind in SINGLE_BINS]
    found = []
    for place in places(sources):
        if place.source == LUMINOSITY:
            found.append(what_if.refit(Model(what_if.exposed(fitted.workspace, place.scale))))
        elif place.source == SIMULATION:
            found.append(what_if.refit(model, bins))
        else:
            names = [name for name in sources[place.source] if name in model.names]
            scales = dict.fromkeys(names, place.scale)
            found.append(what_if.refit(what_if.rescaled(model, scales), () if place.scale else names))
    return found


def swapped(found: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of trainings in another order than exact refits have them, although these differ clearly.

    Medians over seeds; ``first`` is better in the Gaussian limit, ``second`` by refits, by more than `CLEAR`.
    """
    known = found.dropna(subset=["exact"])
    middle = known.pivot_table(["gaussian", "exact"], ["source", "scale", "training"], aggfunc="median").reset_index()
    pairs = middle.merge(middle, on=["source", "scale"], suffixes=("_first", "_second"))
    wrong = (pairs["gaussian_first"] < pairs["gaussian_second"]) & (
        pairs["exact_first"] > (1 + CLEAR) * pairs["exact_second"]
    )
    return pairs.loc[wrong]


# --- which is best where --------------------------------------------------------------------------------------------


def medians(runs: Mapping[Run, Fitted], place: Place, sources: Sources) -> dict[str, float]:
    """Return the uncertainty of every training at *place*: medians over seeds."""
    found: dict[str, list[float]] = {}
    for run, fitted in runs.items():
        found.setdefault(run.training, []).append(expected(fitted, place, sources))
    return {name: float(np.median(values)) for name, values in found.items()}


def changes(runs: Mapping[Run, Fitted], sources: Sources) -> list[dict[str, Any]]:
    """Return where another training becomes the best if one source alone changes: the next place to each side of today.

    ``scale``: of today's; ``side``: "below" or "above" it ``training`` is better than ``best``, that of today; ``end``:
    the uncertainties of both at the end of the slider. Nothing without runs.
    """
    if not runs:
        return []
    today = medians(runs, Place(LUMINOSITY, 1.0), sources)
    best = min(today, key=lambda name: today[name])
    found: list[dict[str, Any]] = []
    for source in [*sources, LUMINOSITY]:
        ends = (LUMINOSITIES if source == LUMINOSITY else SCALES)[0::3]
        for side, end in zip(("below", "above"), ends, strict=True):
            path = np.geomspace(1.0, end, _STEPS) if source == LUMINOSITY else np.linspace(1.0, end, _STEPS)

            def leader(scale: float, source: str = source) -> str:
                there = medians(runs, Place(source, scale), sources)
                return min(there, key=lambda name: there[name])

            place = _first(path, leader, best)
            if place is not None:
                beyond = medians(runs, Place(source, float(path[-1])), sources)
                scale, other = place
                numbers = {"end": float(path[-1]), "sigma": beyond[other], "sigma_best": beyond[best]}
                found.append(
                    {"source": source, "side": side, "scale": scale, "training": other, "best": best} | numbers
                )
    return found


def _first(path: Sequence[float] | np.ndarray, leader: Callable[[float], str], best: str) -> tuple[float, str] | None:
    """Return the first place on *path* where *best* does not lead, to a thousandth, and who leads there."""
    inside = float(path[0])
    for outside in map(float, path[1:]):
        if leader(outside) == best:
            inside = outside
            continue
        for _ in range(6):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if leader(middle) == best else (inside, middle)
        return outside, leader(outside)
    return None


def content(runs: Mapping[Run, Fitted], sources: Sources) -> dict[str, Any]:
    """Return all that the page needs to answer by itself, as plain values."""
    kept = [name for parameters in sources.values() for name in parameters]
    return {
        "sources": {name: list(parameters) for name, parameters in sources.items()},
        "runs": [
            {**run._asdict(), "sigma": fitted.sigma, **what_if.plain(what_if.reduced(fitted.information, kept))}
            for run, fitted in runs.items()
        ],
        "changes": changes(runs, sources),
    }
