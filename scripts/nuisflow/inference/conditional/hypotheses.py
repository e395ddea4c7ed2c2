"""From histograms at every hypothesised z to models, expected data and pseudo-data of the fit over z."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import hist
import numpy as np
import pandas as pd

from nuisflow import seeds
from nuisflow.inference.conditional.likelihood import GridLikelihood
from nuisflow.inference.conditional.model import Data, GridModel
from nuisflow.inference.conditional.observables import Observables
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.model import Model
from nuisflow.settings import configuration
from nuisflow.settings.conditional import NOMINAL, Grid
from nuisflow.settings.points import STANDARD
from nuisflow.slices.inference import WorkspaceSettings
from nuisflow.templates import workspaces
from nuisflow.templates.histograms import DATA, Histogram

BLOCK = 500
NUMBERS = 4_000_000
"""Random numbers that are held at once."""


class Pool(NamedTuple):
    """Events at one true point: expected *signal* and *background* of every pattern of *bins* (patterns, points)."""

    signal: Floats
    background: Floats
    bins: Integers


def build(
    histograms: Mapping[str, Histogram], grid: Grid, settings: WorkspaceSettings, scored: float | None
) -> list[dict[str, Any]]:
    """Return the workspace at every z of *grid*, without its variation; all events have the score at *scored*.

    All have the same data: expected ones are those at z = 0. Without *scored*, events and data have the score at the z
    of the workspace.
    """
    scores = {z: folder for folder, z in grid.points.items()}
    others = {name: value for name, value in settings.variations.items() if name != grid.variation}
    chosen = settings.model_copy(
        update={
            "variations": others,
            "templates": settings.templates.model_copy(
                update={
                    "prune": configuration.Pruning(),  # all models need the same parameters
                    "symmetrise": {name: how for name, how in settings.templates.symmetrise.items() if name in others},
                    "smooth": {name: how for name, how in settings.templates.smooth.items() if name in others},
                }
            ),
        }
    )
    found = []
    for folder, z in grid.points.items():
        score = folder if scored is None else scores[scored]
        at = {region: _templates(histogram, folder, score, chosen) for region, histogram in histograms.items()}
        try:
            found.append(workspaces.build(at, chosen).workspace)
        except workspaces.WorkspaceError as error:
            raise workspaces.WorkspaceError(f"{grid.variation} = {z:g}, score at {score}: {error}") from error
    if scored is not None:
        data = found[list(grid.points.values()).index(0.0)]["observations"]
        found = [space | {"observations": data} for space in found]
    return found


def _templates(histogram: Histogram, folder: str, score: str, settings: WorkspaceSettings) -> Histogram:
    """Return the templates at the z of *folder*, of the score at that of *score*: axes process, variation and score.

    ASSUME: the effect of another variation, as a factor on every bin, is the one at z = 0 of events with this score.
    """
    shaped = [name for name, value in settings.variations.items() if value.kind in ("shift", "weight")]
    names = [NOMINAL, *(f"{name}_{side}" for name in shaped for side in STANDARD)]
    processes = list(histogram.axes["process"])
    found: Histogram = hist.Hist(
        hist.axis.StrCategory(processes, name="process"),
        hist.axis.StrCategory(names, name="variation"),
        hist.axis.Variable(histogram.axes["score"].edges, name="score"),
        storage=hist.storage.Weight(),
    )
    view: Any = found.view(flow=True)
    own, base = (_part(histogram, at=score, variation=name).view() for name in (folder, NOMINAL))
    for row, process in enumerate(processes):
        source: Any = base[row] if process == DATA else own[row]
        for column, name in enumerate(names):
            varied = _part(histogram, at=score, variation=name).view()["value"][row]
            nominal = base["value"][row]
            ratio = np.divide(varied, nominal, out=np.ones_like(nominal), where=nominal > 0)
            view["value"][row, column, 1:-1] = source["value"] * ratio
            view["variance"][row, column, 1:-1] = source["variance"] * ratio**2
    return found


def observables(histograms: Mapping[str, Histogram], grid: Grid, settings: WorkspaceSettings) -> Observables:
    """Return the likelihoods over z of events scored at every z, or the one whose data are binned anew at each."""
    z = list(grid.points.values())

    def likelihood(scored: float | None) -> GridLikelihood:
        models = [Model(space) for space in build(histograms, grid, settings, scored)]
        return GridLikelihood(models, z, grid.variation)

    return Observables(likelihood, z, rebinned=grid.rebinned)


def described(
    histograms: Mapping[str, Histogram], grid: Grid, settings: WorkspaceSettings, scored: Mapping[str, float | None]
) -> dict[str, Any]:
    """Return the workspaces at every z, for tools: of the score at nominal, and at that of observed data if it differs.

    *scored*: the z of the score by kind of data; ``None``: at the z of each workspace.
    """
    nominal = None if grid.rebinned else 0.0
    found: dict[str, Any] = {
        "grid": grid.points,
        "score": nominal,
        "workspaces": build(histograms, grid, settings, nominal),
    }
    if (other := scored.get("observed", nominal)) != nominal:
        found["observed"] = {"score": other, "workspaces": build(histograms, grid, settings, other)}
    return found


class Expected(NamedTuple):
    """Expected events in the bins of models with *channels* (name, start, stop), scored at every z."""

    histograms: Mapping[str, Histogram]
    channels: tuple[tuple[str, int, int], ...]
    signal: str

    def at(self, folder: str, mu: float = 1.0) -> Floats:
        """Return the expectation (points, bins) at the true point *folder*.

        Negative sums, of events with negative weights, become 0.
        """
        parts = []
        for region, _, _ in self.channels:
            values = _part(self.histograms[region], variation=folder).values()
            names = list(self.histograms[region].axes["process"])
            factors = [0.0 if name == DATA else mu if name == self.signal else 1.0 for name in names]
            parts.append(np.maximum(np.tensordot(factors, values, axes=1), 0.0))
        return np.concatenate(parts, axis=1)

    def observed(self) -> Floats:
        """Return the collision data (points, bins)."""
        parts = [
            _part(self.histograms[region], variation=NOMINAL, process=DATA).values() for region, _, _ in self.channels
        ]
        return np.concatenate(parts, axis=1)

    def places(self) -> Integers:
        """Return the bin of the models for each bin of all regions in their order; -1 where a region is left out."""
        first = {name: start for name, start, _ in self.channels}
        sizes = {region: len(histogram.axes["score"]) for region, histogram in self.histograms.items()}
        parts = [
            first[region] + np.arange(size) if region in first else np.full(size, -1) for region, size in sizes.items()
        ]
        return np.concatenate(parts)


def _part(histogram: Histogram, **place: str) -> Any:
    """Return a part of a histogram."""
    chosen: Any = place
    return histogram[chosen]


def pool(patterns: pd.DataFrame, point: str, signal: str, places: Integers) -> Pool:
    """Return the events at the true point *point*; *places*: the bin of the models for each bin of the patterns."""
    chosen = patterns[patterns["point"] == point]
    names = [name for name in chosen.columns if name.startswith("b") and name[1:].isdigit()]
    split = {
        "signal": np.where(chosen["process"] == signal, chosen["weight"], 0.0),
        "background": np.where(chosen["process"] == signal, 0.0, chosen["weight"]),
    }
    joined = chosen[names].assign(**split).groupby(names, as_index=False, sort=True).sum()
    bins = places[joined[names].to_numpy(dtype=np.int64)]
    return Pool(joined["signal"].to_numpy(), joined["background"].to_numpy(), bins)


def throw(
    model: GridModel, pool: Pool, values: Mapping[str, float], number: int, *names: object, seed: int
) -> Iterator[Data]:
    """Yield blocks of pseudo-data: every event is there a Poisson number of times, and moves between bins with z.

    Events with the same bins at every z are drawn together. A pattern whose expected number is negative has none, and
    the others of its bin at nominal z fewer, so that its sum stays. *values*: the true values of the parameter of
    interest, of nuisance parameters and of z; auxiliary data fluctuate around them.
    """
    from scipy import sparse

    rates = _positive(values[model.poi] * pool.signal + pool.background, pool.bins[:, np.abs(model.z).argmin()])
    points, inside = pool.bins.shape[1], pool.bins >= 0
    columns = (pool.bins + model.bins * np.arange(points))[inside]
    rows = np.repeat(np.arange(len(rates)), points).reshape(pool.bins.shape)[inside]
    lies = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(rates), points * model.bins))
    for k, first in enumerate(range(0, number, BLOCK)):
        random = seeds.generator(seed, *map(str, names), k)
        auxiliary, centre = _auxiliary(model, values, random)
        size, main = min(BLOCK, number - first), []
        step = max(1, NUMBERS // max(len(rates), 1))
        for start in range(0, size, step):
            drawn = random.poisson(rates, (min(step, size - start), len(rates)))
            main.append(np.asarray(drawn @ lies))
        sets = np.concatenate(main).reshape(size, points, model.bins)
        yield Data(sets, auxiliary[:size], centre[:size])


def _positive(rates: Floats, bins: Integers) -> Floats:
    """Return *rates* (patterns,) without negative ones, with the same sum in each of their *bins* (-1: none), or 0."""
    drawn = np.maximum(rates, 0.0)
    whole, positive = (np.bincount(bins + 1, one) for one in (rates, drawn))
    left = np.maximum(whole, 0.0) / np.where(positive > 0, positive, 1.0)
    return np.asarray(drawn * left[bins + 1])


def _auxiliary(model: GridModel, values: Mapping[str, float], random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return auxiliary data (block, points, constrained) and measurements of z (block) around their true values.

    ASSUME: auxiliary measurements fluctuate together at all z, those of MC statistics too: the events are the same.
    """
    first = model.models[0]
    true = {name: value for name, value in values.items() if name in first.names}
    centre = first.point(true)[first.constrained]
    noise = random.standard_normal((BLOCK, 1, len(centre) + 1))
    auxiliary = centre + model.widths * noise[:, :, :-1]
    if model.poisson.any():
        raise ValueError("pseudo-experiments over z know no parameters with a Poisson constraint; use staterror")
    return auxiliary, values.get(model.name, 0.0) + noise[:, 0, -1]
