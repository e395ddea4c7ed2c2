"""What every feature does to the measurement: σ(mu) when its values are those of other events.

Permutation importance (L. Breiman, doi:10.1023/A:1010933404324) in the currency of the fit: an event keeps its process,
weight and all other features, at nominal and in every variation; its score is asked anew, templates are refilled and
Asimov data fitted. What σ(mu) gains is what the feature is worth; where σ(mu) falls, the feature brings more systematic
uncertainty than it separates.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import seeds
from nuisflow.comparison.review.conditions import Key
from nuisflow.likelihood import fits
from nuisflow.likelihood.model import Model
from nuisflow.likelihood.uncertainties import breakdown
from nuisflow.slices.inference import Filling, WorkspaceSettings
from nuisflow.slices.review import PermutationSettings
from nuisflow.storage import event_files
from nuisflow.templates import filling, workspaces
from nuisflow.templates.histograms import NOMINAL, Histogram

logger = logging.getLogger(__name__)

Score = Callable[[Mapping[str, np.ndarray]], np.ndarray]
CHOSEN = 1 << 43
"""Key of the hashes that choose events: the same at nominal and in every variation."""


class Drawn(NamedTuple):
    """Events of all files together, in the regions whose observable is the score.

    *key*: index of their file; *event*: number of the event, the same in every folder; *region*: index; *columns*:
    features, ``entry``, ``weight`` and factors, 1 where a file has them not; *scale*: events that each stands for.
    """

    keys: list[Key]
    key: np.ndarray
    event: np.ndarray
    region: np.ndarray
    scale: np.ndarray
    columns: dict[str, np.ndarray]


class Asked(NamedTuple):
    """What a training measures with: its templates, of which the bins are kept, and how they become a workspace."""

    templates: Mapping[str, Histogram]
    filling: Filling
    workspace: WorkspaceSettings


class Uncertainty(NamedTuple):
    """Half of the profile interval of mu, and its part by systematic variations; NaN without a fit."""

    sigma: float
    syst: float


# --- events ---------------------------------------------------------------------------------------------------------


def draw(paths: Mapping[Key, Path], features: Sequence[str], settings: Filling, most: int) -> Drawn:
    """Return about *most* nominal events of all samples, and the same events in every variation.

    A sample has its share of them by its expected events and, for one half, by its number of processes, so that small
    processes are seen. Which events: by a hash of their numbers.
    """
    shares = _shares(paths, most)
    factors = {key: filling.factors(*key, settings) for key in paths}
    every = dict.fromkeys(name for names in factors.values() for name in names)
    names = list(settings.regions)
    scored = [names.index(name) for name in settings.scored]
    parts: dict[str, list[np.ndarray]] = {}
    for index, (key, path) in enumerate(paths.items()):
        columns, share = ("entry", "weight", *features, *factors[key]), shares[key[1]]
        for rows in event_files.read_event_parts(path, columns, {"region": names}):
            inside = np.isin(rows["region"], scored) & (seeds.uniform(rows["entry"], CHOSEN) < share)
            few = dict.fromkeys(every, np.ones(int(inside.sum())))
            few |= {name: values[inside] for name, values in rows.items()}
            few |= {"key": np.full(len(few["entry"]), index), "scale": np.full(len(few["entry"]), 1 / share)}
            few["event"] = few["entry"] + (list(settings.samples).index(key[1]) << 48)
            for name, values in few.items():
                parts.setdefault(name, []).append(values)
    found = {name: np.concatenate(values) for name, values in parts.items()}
    own, event, region, scale = (found.pop(name) for name in ("key", "event", "region", "scale"))
    return Drawn(list(paths), own, event, region, scale, found)


def _shares(paths: Mapping[Key, Path], most: int) -> dict[str, float]:
    """Return which share of the events of every sample is taken, at most 1."""
    sizes, expected = {}, {}
    for (folder, sample), path in paths.items():
        if folder == NOMINAL:
            weights = [rows["weight"].sum() for rows in event_files.read_event_parts(path, ("weight",), {})]
            sizes[sample], expected[sample] = event_files.count_rows(path), abs(float(sum(weights)))
    whole, number = sum(expected.values()) or 1.0, len(sizes)
    wanted = {name: most * (0.5 * expected[name] / whole + 0.5 / number) for name in sizes}
    return {name: min(1.0, wanted[name] / max(size, 1)) for name, size in sizes.items()}


# --- permutations ---------------------------------------------------------------------------------------------------


class Exchange:
    """Where every event is in every folder, so that it has the same partner at nominal and in all variations."""

    def __init__(self, events: Drawn, settings: Filling) -> None:
        """Find the rows of all *events*; what is not selected at nominal is taken from where it is."""
        number, self.event = np.unique(events.event, return_inverse=True)
        folders = list(dict.fromkeys([NOMINAL, *(folder for folder, _ in events.keys)]))
        self.folder = np.array([folders.index(name) for name, _ in events.keys])[events.key]
        self.table = np.full((len(folders), len(number)), -1)
        self.table[self.folder, self.event] = np.arange(len(events.key))
        first = np.argmax(self.table >= 0, axis=0)
        self.anywhere = self.table[first, np.arange(len(number))]
        alternative = np.array([sample in settings.alternatives for _, sample in events.keys])[events.key]
        self.alternative = alternative[self.anywhere]

    def partners(self, generator: np.random.Generator) -> np.ndarray:
        """Return for every row that of another event, in the same folder if it is there, at nominal if not.

        Events of alternative samples have partners among themselves.
        """
        order = np.arange(len(self.anywhere))
        for group in (self.alternative, ~self.alternative):
            order[group] = generator.permutation(order[group])
        other = order[self.event]
        found = self.table[self.folder, other]
        return np.asarray(np.where(found < 0, self.anywhere[other], found))


def _bins(scores: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, len(edges) - 2))


# --- uncertainties --------------------------------------------------------------------------------------------------


def uncertainties(
    score: Score, events: Drawn, exchange: Exchange, asked: Asked, chosen: PermutationSettings
) -> Iterator[tuple[str, Uncertainty]]:
    """Yield σ(mu) of the events as they are (feature ''), then with every feature permuted, of one trained classifier.

    The permutations are the same for all trainings. A feature without variance changes nothing, and is not asked.
    """
    inputs = {name: events.columns[name] for name in (*chosen.features, "entry")}
    whole = measured(score(inputs), events, asked)
    yield "", whole
    for name in chosen.features:
        if np.ptp(inputs[name]) == 0:
            yield name, whole
            continue
        partners = exchange.partners(seeds.generator(chosen.seed, "permutation", name))
        yield name, measured(score(inputs | {name: inputs[name][partners]}), events, asked)


def measured(scores: np.ndarray, events: Drawn, asked: Asked) -> Uncertainty:
    """Return σ(mu) from Asimov data of templates that *scores* fill, in the bins of the training's own.

    Regions whose observable is no score stay as they are. Statistics of the simulation are those of all events. NaN if
    templates cannot become a workspace: some events, or permuted ones, may sum up to less than 0 where all do not.
    """
    made = filled(scores, events, asked.templates, asked.filling)
    try:
        model = Model(workspaces.build(made, asked.workspace).workspace)
    except workspaces.WorkspaceError as error:
        logger.warning("no fit with these events: %s", error)
        return Uncertainty(np.nan, np.nan)
    data = model.asimov()
    best = fits.fit(model, data)
    if not best.converged:
        return Uncertainty(np.nan, np.nan)
    found = breakdown(model, data, best=best)
    return Uncertainty(found.sigma_total, found.sigma_variations)


def filled(
    scores: np.ndarray, events: Drawn, templates: Mapping[str, Histogram], settings: Filling
) -> dict[str, Histogram]:
    """Return the templates of all regions, those of scores filled anew."""
    made = {name: filling.empty(templates[name].axes["score"].edges, settings) for name in settings.scored}
    for region, histogram in made.items():
        edges, number = histogram.axes["score"].edges, list(settings.regions).index(region)
        bins = _bins(scores, edges)
        for index, key in enumerate(events.keys):
            rows = np.flatnonzero((events.key == index) & (events.region == number))
            _add(histogram, key, settings, events, (bins[rows], rows))
    groups = {
        name: tuple(tuple(region for region in group if region in made) for group in chosen)
        for name, chosen in settings.renormalised.items()
    }
    made = filling.completed(made, settings.model_copy(update={"renormalised": groups}))
    return {name: made.get(name, one) for name, one in templates.items()}


def _add(
    histogram: Histogram, key: Key, settings: Filling, events: Drawn, binned: tuple[np.ndarray, np.ndarray]
) -> None:
    """Add *binned* rows of one file (bins, rows) to the templates that they fill.

    Variances are those of all events that they stand for.
    """
    bins, rows = binned
    folder, sample = key
    view: Any = histogram.view()
    columns: dict[str, str | None] = {settings.alternatives.get(sample, folder): None}
    columns |= {column.removeprefix("factor_"): column for column in filling.factors(*key, settings)}
    process = histogram.axes["process"].index(settings.samples[sample])
    for template, column in columns.items():
        place = process, histogram.axes["variation"].index(template)
        weight = events.columns["weight"][rows] * (1.0 if column is None else events.columns[column][rows])
        for field, values in (("value", weight), ("variance", weight**2)):
            view[field][place] += np.bincount(bins, values * events.scale[rows], view.shape[2])
