"""Events scored again at every hypothesised z: histograms at all z, and how events move between the bins with z."""

import copy
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hist
import numpy as np
import pandas as pd

from nuisflow.events import parts, scored_events
from nuisflow.events.scored_events import TemplateError, snapped
from nuisflow.progress import progress
from nuisflow.settings.conditional import NOMINAL, Grid
from nuisflow.settings.points import STANDARD
from nuisflow.slices.conditional import Rescoring
from nuisflow.storage import event_files
from nuisflow.templates.histograms import DATA, Histogram

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier

Columns = dict[str, np.ndarray]
Score = Callable[[Columns], np.ndarray]
"""Gives the scores (events, z of the grid) of events."""
Edges = Mapping[str, np.ndarray]
BLOCK = 100_000
"""Events that are scored at once."""

logger = logging.getLogger(__name__)


class Moving(NamedTuple):
    """Events of one process: their *bins* (events, z) among those of all regions, and weights in several folders."""

    process: str
    bins: np.ndarray
    weights: dict[str, np.ndarray]


class Filled(NamedTuple):
    """One histogram per region with axes process, variation, at (folder of the hypothesised z) and score; *patterns*.

    A row of *patterns*: events of one process at one true point that lie in the same bin at every z: their number,
    their weight, and the bins b0, b1, … (counted through all regions).
    """

    histograms: dict[str, Histogram]
    patterns: pd.DataFrame


def edges(templates: Mapping[str, Histogram]) -> dict[str, np.ndarray]:
    """Return the bin edges of every region."""
    return {region: np.asarray(histogram.axes["score"].edges) for region, histogram in templates.items()}


def offsets(edges: Edges) -> np.ndarray:
    """Return the first bin of every region among those of all regions, and at the end the number of all."""
    return np.cumsum([0, *(len(values) - 1 for values in edges.values())])


def scorer(classifier: "Classifier", grid: Grid) -> Score:
    """Return what gives the scores of a conditional classifier at every z of *grid*."""
    copies = []
    for z in grid.points.values():
        copied = copy.copy(classifier)
        copied.strategy = classifier.strategy.model_copy(update={"at": {grid.variation: z}})
        copies.append(copied)
    return lambda columns: np.stack([one.score(columns) for one in copies], axis=1)


def needed(events: Sequence[Path], settings: Rescoring) -> list[Path]:
    """Return the files of *events* that are scored, sample after sample."""
    wanted = (
        (folder, sample)
        for sample, process in settings.samples.items()
        for folder in scored_events.moved_folders(process, settings.shifts, settings.displaced)
    )
    return scored_events.chosen(events, wanted)


def move(path: Path, settings: Rescoring, edges: Edges, score: Score) -> Iterator[Moving]:
    """Yield the bins at every z of the events of a file, with the weights of all folders that share these events."""
    process, folder = settings.samples[path.stem], path.parent.name
    part, scale = scored_events.used(settings, path.stem)
    acting = [name for name, processes in settings.weights.items() if folder == NOMINAL and process in processes]
    factors = {f"{name}_{side}": f"factor_{name}_{side}" for name in acting for side in STANDARD}
    others = [name for name, point in settings.displaced.items() if point.variation in acting and name not in factors]
    columns = ["entry", "weight", "observable", *factors.values(), *settings.features]
    start = 0
    for read in event_files.read_event_parts(path, columns, {"region": settings.regions}, BLOCK):
        stop = start + len(read["weight"])
        weights = {folder: read["weight"]}
        weights |= {name: read["weight"] * read[factor] for name, factor in factors.items()}
        weights |= {name: scored_events.other_weights(path, name, start, stop) for name in others}
        used = parts.among(read["entry"], part)
        weights = {name: values[used] * scale for name, values in weights.items()}
        read = {name: values[used] for name, values in read.items()}
        yield Moving(process, _bins(read, path, settings, edges, score), weights)
        start = stop


def _bins(read: Columns, path: Path, settings: Rescoring, edges: Edges, score: Score) -> np.ndarray:
    """Return the bins (events, z) among those of all regions."""
    first, grid = offsets(edges), len(settings.grid.points)
    scored = np.isin(read["region"], [settings.regions.index(name) for name in settings.scored])
    values = np.repeat(read["observable"].astype(np.float64)[:, None], grid, axis=1)
    values[scored] = score({name: read[name][scored] for name in ("entry", *settings.features)})
    if not np.isfinite(values).all():
        raise TemplateError(f"{path}: the score or the observable of some events is NaN; exclude them in 'selection'")
    found = np.empty(values.shape, dtype=np.int32)
    for number, (region, cuts) in enumerate(edges.items()):
        inside = read["region"] == settings.regions.index(region)
        found[inside] = first[number] + np.searchsorted(cuts[1:-1], snapped(values[inside], cuts), side="right")
    return found


def fill_files(events: Sequence[Path], settings: Rescoring, edges: Edges, score: Score) -> Filled:
    """Add up those of the files *events* that are needed, in the bins *edges*."""
    paths = needed(events, settings)
    moving = (
        part for path in progress(paths, "files scored", len(paths)) for part in move(path, settings, edges, score)
    )
    return fill(moving, edges, settings)


def whole(settings: Rescoring) -> Rescoring:
    """Return *settings* of a part as those of all nominal events, without any variation."""
    alone: dict[str, Any] = {name: {} for name in ("used", "shifts", "weights", "displaced", "renormalised")}
    return settings.model_copy(update=alone | {"thrown": (NOMINAL,)})


def fill(moving: Iterable[Moving], edges: Edges, settings: Rescoring) -> Filled:
    """Add up the events of all pieces."""
    names = _names(settings)
    processes = list(dict.fromkeys([*settings.processes, *settings.samples.values()]))
    size, grid = int(offsets(edges)[-1]), len(settings.grid.points)
    sums = np.zeros((2, len(processes), len(names), grid, size))
    patterns: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for piece in moving:
        row = processes.index(piece.process)
        for folder, weights in piece.weights.items():
            for g, power in ((g, power) for g in range(grid) for power in (1, 2)):
                counted = np.bincount(piece.bins[:, g], weights**power, minlength=size)
                sums[power - 1, row, names.index(folder), g] += counted
            if folder in settings.thrown and piece.process != DATA:
                found = _patterns(piece.bins, weights, size)
                patterns.setdefault((folder, piece.process), []).append(found)
    _copy_nominal(sums, processes, names, settings)
    factors = _renormalise(sums, processes, names, edges, settings)
    tables = [_joined(parts).assign(point=key[0], process=key[1]) for key, parts in patterns.items()]
    for key, table in zip(patterns, tables, strict=True):
        table["weight"] *= factors[key][table["b0"]] if key in factors else 1.0
    return Filled(_histograms(sums, processes, names, edges, settings), pd.concat(_with_nominal(tables, settings)))


def _names(settings: Rescoring) -> list[str]:
    """Return the folders that the histograms tell of."""
    varied = [f"{name}_{side}" for name in (*settings.shifts, *settings.weights) for side in STANDARD]
    return list(dict.fromkeys([NOMINAL, *settings.grid.points, *varied, *settings.displaced]))


def _copy_nominal(sums: np.ndarray, processes: list[str], names: list[str], settings: Rescoring) -> None:
    """Give every process its nominal events, times a factor on its rate, in the folders that do not change them."""
    for row, process in enumerate(processes):
        for column, name in enumerate(names):
            point = settings.displaced.get(name)
            rate = point.factor if point is not None and process in point.processes else None
            if rate is not None or not _acts(name, process, settings):
                sums[0, row, column] = sums[0, row, 0] * (rate or 1.0)
                sums[1, row, column] = sums[1, row, 0] * (rate or 1.0) ** 2


def _renormalise(
    sums: np.ndarray, processes: list[str], names: list[str], edges: Edges, settings: Rescoring
) -> dict[tuple[str, str], np.ndarray]:
    """Scale processes to their nominal yield where a shift shall not change it; return the factors by folder, process.

    Factors have shape (bins of all regions,). An event is in one bin of its region at every hypothesised z, so that the
    yields at all of them are the same.
    """
    factors: dict[tuple[str, str], np.ndarray] = {}
    first, regions = offsets(edges), list(edges)
    places = {name: np.arange(first[index], first[index + 1]) for index, name in enumerate(regions)}
    for name, groups in settings.renormalised.items():
        sides = {f"{name}_{side}" for side in STANDARD}
        sides |= {key for key, point in settings.displaced.items() if point.variation == name}
        for folder, process, group in itertools.product(sorted(sides), settings.shifts[name], groups):
            row, column = processes.index(process), names.index(folder)
            inside = np.concatenate([places[region] for region in group])
            total, target = float(sums[0, row, column, 0, inside].sum()), float(sums[0, row, 0, 0, inside].sum())
            if total * target > 0:
                factors.setdefault((folder, process), np.ones(sums.shape[-1]))[inside] = factor = target / total
                sums[0, row, column][:, inside] *= factor
                sums[1, row, column][:, inside] *= factor**2
    return factors


def _acts(folder: str, process: str, settings: Rescoring) -> bool:
    """Return whether *process* has events, or weights, of its own in *folder*."""
    if folder == NOMINAL:
        return True
    acting = [name for name, processes in (settings.shifts | settings.weights).items() if process in processes]
    sides = [f"{name}_{side}" for name in acting for side in STANDARD]
    points = [name for name, point in settings.displaced.items() if point.variation in acting]
    return folder in sides or folder in points


def _histograms(
    sums: np.ndarray, processes: list[str], names: list[str], edges: Edges, settings: Rescoring
) -> dict[str, Histogram]:
    first, found = offsets(edges), {}
    for number, (region, cuts) in enumerate(edges.items()):
        histogram: Histogram = hist.Hist(
            hist.axis.StrCategory(processes, name="process"),
            hist.axis.StrCategory(names, name="variation"),
            hist.axis.StrCategory(list(settings.grid.points), name="at"),
            hist.axis.Variable(cuts, name="score", flow=False),
            storage=hist.storage.Weight(),
        )
        view: Any = histogram.view()
        view["value"], view["variance"] = sums[..., first[number] : first[number + 1]]
        found[region] = histogram
    return found


# --- patterns -------------------------------------------------------------------------------------------------------


def _patterns(bins: np.ndarray, weights: np.ndarray, size: int) -> pd.DataFrame:
    """Return how many events, of which weight, have the same bins at every z."""
    if bins.shape[1] * math.log2(max(size, 2)) < 63:
        codes = bins.astype(np.int64) @ (size ** np.arange(bins.shape[1], dtype=np.int64))
        _, where, inverse = np.unique(codes, return_index=True, return_inverse=True)
        rows = bins[where]
    else:
        rows, inverse = np.unique(bins, axis=0, return_inverse=True)
    table = {"events": np.bincount(inverse.ravel()), "weight": np.bincount(inverse.ravel(), weights)}
    return pd.DataFrame(table | {f"b{g}": rows[:, g] for g in range(bins.shape[1])})


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    keys = [name for name in parts[0].columns if name not in ("events", "weight")]
    return pd.concat(parts).groupby(keys, as_index=False, sort=True).sum()


def _with_nominal(tables: Sequence[pd.DataFrame], settings: Rescoring) -> Iterator[pd.DataFrame]:
    """Yield all patterns; those of processes that a true point does not change are the nominal ones."""
    found = {(str(table["point"].iloc[0]), str(table["process"].iloc[0])): table for table in tables}
    for point in settings.thrown:
        for process in settings.processes:
            if (table := found.get((point, process))) is not None:
                yield table
            elif (nominal := found.get((NOMINAL, process))) is not None and not _acts(point, process, settings):
                yield nominal.assign(point=point)
