"""Pseudo-experiments made of reserved events: drawn with replacement at random true values, scored, binned and fitted.

The protocol of the Fair Universe challenge (arXiv:2410.02867, section 3): all nuisance parameters are drawn from their
priors, every event occurs n ~ Poisson(weight) times, and the prior measurements stay at nominal.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from nuisflow import expressions, names, seeds
from nuisflow.events import parallel, selection
from nuisflow.events.scored_events import TemplateError, snapped
from nuisflow.events.selection import Chunk, EventError, check_finite, chunks, read, select
from nuisflow.inference import interval_scores
from nuisflow.likelihood import toys
from nuisflow.likelihood.constraints import correlations
from nuisflow.likelihood.histfactory import Floats, Integers
from nuisflow.likelihood.model import Model
from nuisflow.settings.configuration import Dask, Sample
from nuisflow.settings.systematics import Luminosity, Rate, Shift, Weight
from nuisflow.slices.bootstrap import BootstrapSettings
from nuisflow.slices.events import EventSelection
from nuisflow.templates import conditional
from nuisflow.templates.histograms import Histogram

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier

Columns = dict[str, np.ndarray]
BLOCK = 100_000
"""Rows read at once. Random numbers depend on it, so that it must not follow the size of chunks or of memory."""
BATCH = 50_000
"""Events scored at once."""


class Truth(NamedTuple):
    """True values of one pseudo-experiment: signal strength, and z of every variation with a prior."""

    set: int
    experiment: int
    mu: float
    z: dict[str, float]


class Block(NamedTuple):
    """Consecutive reserved rows of one sample."""

    sample: str
    chunk: Chunk


class Filler(NamedTuple):
    """What puts events into bins: for every region its *edges*, *first* bin of all, and whether it is *scored*."""

    classifier: "Classifier"
    edges: tuple[np.ndarray, ...]
    first: tuple[int, ...]
    scored: tuple[bool, ...]
    size: int

    def bins(self, columns: Columns) -> Integers:
        """Return the bin of every selected event (as of `selection.select`), counted as in the workspace."""
        region = columns["region"]
        values = columns["observable"].astype(np.float64)
        chosen = np.array(self.scored)[region]
        names = ("entry", *self.classifier.features)
        values[chosen] = self.classifier.score({name: columns[name][chosen] for name in names})
        if not np.isfinite(values).all():
            raise TemplateError("the score or the observable of some events is NaN; exclude them in 'selection'")
        found = np.empty(len(values), dtype=np.int64)
        for index, (cuts, first) in enumerate(zip(self.edges, self.first, strict=True)):
            inside = region == index
            found[inside] = first + np.searchsorted(cuts[1:-1], snapped(values[inside], cuts), side="right")
        return found


def filler(classifier: "Classifier", templates: Mapping[str, Histogram], model: Model,
           selection: EventSelection) -> Filler:  # fmt: skip
    """Return what fills the bins of *templates* in the order of *model*; as events are numbered by *selection*."""
    edges, names = conditional.edges(templates), list(selection.regions)
    place = {name: (first, last) for name, first, last in model.channels}
    for name in names:
        first, last = place.get(name, (0, -1))
        if name not in edges or last - first != len(edges[name]) - 1:
            raise TemplateError(
                f"region {name!r}: templates and workspace have different bins; run fill_templates and build_workspace"
            )
    return Filler(
        classifier, tuple(edges[name] for name in names), tuple(place[name][0] for name in names),
        tuple(region.observable == "score" for region in selection.regions.values()), model.bins,
    )  # fmt: skip


# --- true values ----------------------------------------------------------------------------------------------------


def truths(settings: BootstrapSettings) -> list[Truth]:
    """Return the true values of all pseudo-experiments, set after set; more of them begin with the same ones."""
    chosen, found = settings.bootstrap, []
    for number in range(chosen.sets):
        # As in the challenge, the experiments of a set share the true signal strength.
        mu = seeds.generator(settings.seed, "bootstrap", number).uniform(*chosen.mu)
        found += [Truth(number, k, float(mu), _displacements(settings, number, k)) for k in range(chosen.number)]
    return found


def _displacements(settings: BootstrapSettings, number: int, experiment: int) -> dict[str, float]:
    """Return z of every variation: from its prior, within the limits that the data set knows."""
    # Of variations that are not decorrelated, which the configuration asks for, each is one parameter.
    parameters = [names.parameter(name, one.kind, (), "", "") for name, one in settings.variations.items()]
    noise = [
        seeds.generator(settings.seed, "bootstrap", number, experiment, name).standard_normal()
        for name in settings.variations
    ]
    blocks = correlations.blocks(block.model_dump() for block in settings.correlations)
    z = correlations.correlate(blocks, parameters, np.array(noise))
    limits = [settings.limits.get(name, np.inf) for name in settings.variations]
    return dict(zip(settings.variations, np.clip(z, np.negative(limits), limits).tolist(), strict=True))


def factor(truth: Truth, process: str, settings: BootstrapSettings) -> float:
    """Return what multiplies the expected events of *process*: signal strength, rates and luminosity."""
    result = truth.mu if process == settings.signal else 1.0
    for name, varied in settings.variations.items():
        if process not in (varied.processes or ()):
            continue
        if isinstance(varied, Rate):
            result *= float(varied.factor(truth.z[name]))
        elif isinstance(varied, Luminosity):
            result *= max(1 + varied.size * truth.z[name], 0.0)
    return float(result)


# --- events ---------------------------------------------------------------------------------------------------------


def fill(ingested: Mapping[str, Path], filler: Filler, settings: BootstrapSettings, dask: Dask) -> Floats:
    """Return the events in all bins of every pseudo-experiment, (1 + experiments, bins).

    The first row is what the reserved events expect at nominal, with the signal as simulated. How the blocks are shared
    among workers changes nothing.
    """
    blocks = [
        Block(sample, chunk)
        for sample in settings.samples
        for chunk in chunks(ingested[sample], BLOCK, settings.events.rows)
    ]
    work = functools.partial(fill_block, truths=truths(settings), filler=filler, settings=settings)
    total: Floats = sum(parallel.ordered_map(work, blocks, dask), start=np.zeros(()))
    return total


def fill_block(block: Block, truths: Sequence[Truth], filler: Filler, settings: BootstrapSettings) -> Floats:
    """Return what one block adds to every pseudo-experiment, as `fill` does."""
    import torch

    torch.set_num_threads(1)  # jobs and workers run side by side; the setting holds for one thread
    counts = np.zeros((1 + len(truths)) * filler.size)
    for group in batches(thrown(block, truths, settings)):
        columns = {name: np.concatenate([part[name] for _, part, _ in group]) for name in group[0][1]}
        row = np.repeat([index for index, _, _ in group], [len(number) for _, _, number in group])
        number = np.concatenate([number for _, _, number in group])
        counts += np.bincount(row * filler.size + filler.bins(columns), number, minlength=len(counts))
    return counts.reshape(-1, filler.size)


_Part = tuple[int, Columns, np.ndarray]


def batches(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Yield the parts in groups of about BATCH events."""
    group: list[_Part] = []
    for part in parts:
        group.append(part)
        if sum(len(number) for _, _, number in group) >= BATCH:
            yield group
            group = []
    if group:
        yield group


def thrown(block: Block, truths: Sequence[Truth], settings: BootstrapSettings) -> Iterator[_Part]:
    """Yield the index of a row of the result, the selected events of one block, and how often each occurs."""
    sample = settings.samples[block.sample]
    raw = read(block.chunk, settings.events, sample)
    if not len(raw["entry"]):
        return
    acting = {
        name: varied
        for name, varied in settings.variations.items()
        if isinstance(varied, Shift | Weight) and sample.process in (varied.processes or ())
    }
    nominal = _checked(select(raw, settings.events, sample, {}, {}), block.sample, settings)
    yield 0, nominal, nominal["weight"]
    early = _cumulative(raw, block.sample, settings) if _is_early(raw, sample, acting) else None
    for index, truth in enumerate(truths, start=1):
        names = (truth.set, truth.experiment, block.sample, block.chunk.start)
        random = seeds.generator(settings.seed, "bootstrap", *names)
        size = factor(truth, sample.process, settings)
        if early is not None:
            number = picked(early, size, random)
            rows = np.flatnonzero(number)
            drawn, number = {name: values[rows] for name, values in raw.items()}, number[rows]
            if not len(rows):
                continue
        else:
            drawn = raw
        found = _checked(select(drawn, settings.events, sample, acting, truth.z), block.sample, settings)
        number = number[found["row"]] if early is not None else random.poisson(size * found["weight"])
        kept = np.flatnonzero(number)
        yield index, {name: values[kept] for name, values in found.items()}, number[kept]


def _checked(columns: Columns, sample: str, settings: BootstrapSettings) -> Columns:
    """Return *columns* if all are finite numbers and no weight is negative."""
    check_finite(columns, settings.events.features, sample)
    _check_positive(columns["weight"], columns["entry"], sample)
    return columns


def _check_positive(weights: Floats, entry: Integers, sample: str) -> None:
    if len(bad := np.flatnonzero(weights < 0)):
        raise EventError(
            f"sample {sample!r}: toys.bootstrap cannot draw events with negative weights: there are {len(bad)} "
            f"(first: entry {entry[bad[0]]}); remove the section toys.bootstrap"
        )


def _is_early(raw: Columns, sample: Sample, acting: Mapping[str, Shift | Weight]) -> bool:
    """Return whether weights are the same at every z, so that events may be drawn before they are shifted."""
    used = {"weight"} if sample.weight is None else expressions.names(sample.weight)
    if any(isinstance(varied, Weight) for varied in acting.values()) or not used <= set(raw):
        return False
    named = any(isinstance(varied, Shift) and varied.columns is None for varied in acting.values())
    moved = {name for varied in acting.values() if isinstance(varied, Shift) for name in varied.columns or ()}
    return not used & moved and (used <= {"weight"} or not named)


def _cumulative(raw: Columns, sample: str, settings: BootstrapSettings) -> Floats | None:
    """Return the running sum of the weights of all rows, 0 for those without a weight: they are not selected.

    None where some cannot be drawn, which matters only if these are selected.
    """
    weights = selection.weights(raw, settings.events, settings.samples[sample])
    if np.any((weights < 0) | np.isinf(weights)):
        return None
    return np.cumsum(np.nan_to_num(weights))


def picked(cumulative: Floats, size: float, random: np.random.Generator) -> Integers:
    """Return how often every row occurs, n ~ Poisson(size times its weight): first the sum, then the rows."""
    number = random.poisson(size * cumulative[-1])
    rows = np.searchsorted(cumulative, np.sort(random.random(number)) * cumulative[-1], side="right")
    return np.bincount(np.minimum(rows, len(cumulative) - 1), minlength=len(cumulative))


# --- fits -----------------------------------------------------------------------------------------------------------

FITTED = ("mu_hat", "p16", "p84")


def measure(model: Model, data: Floats, poi: str, workers: int | None = None) -> pd.DataFrame:
    """Return best fit and 68.27 % profile interval of *poi* for every row of *data* (experiments, bins).

    The auxiliary data are nominal: "the calibration says 0". Columns mu_hat, p16, p84 (NaN if failed) and converged.
    """
    starts = range(0, len(data), toys.BLOCK)
    fitted = toys.joined(
        [toys.fitted(model, data[first : first + toys.BLOCK], model.inits, poi, workers) for first in starts]
    )
    found = pd.DataFrame(dict(zip(FITTED, (fitted.value, fitted.low, fitted.high), strict=True)))
    found[~fitted.bounded] = np.nan
    return found.assign(converged=fitted.bounded)


def table(settings: BootstrapSettings, fitted: pd.DataFrame) -> pd.DataFrame:
    """Return one row per pseudo-experiment: true values, z of every parameter as ``z_<variation>``, and the fit."""
    thrown = truths(settings)
    head = pd.DataFrame(
        {
            "set": [truth.set for truth in thrown],
            "experiment": [truth.experiment for truth in thrown],
            "mu_true": [truth.mu for truth in thrown],
        }
    )
    z = pd.DataFrame({f"z_{name}": [truth.z[name] for truth in thrown] for name in settings.variations})
    return pd.concat([head, fitted, z], axis=1)


def scored(experiments: pd.DataFrame) -> interval_scores.Measurements:
    """Return the experiments of a `table`, ready for their scores."""
    sets, true, value, low, high = (experiments[name].to_numpy() for name in ("set", "mu_true", *FITTED))
    return interval_scores.measurements(sets, true, value, (low, high))


def expectation(fitted: pd.DataFrame) -> dict[str, float | None]:
    """Return the first row of *fitted*, of what the reserved events expect: how far they fluctuate from the templates.

    All pseudo-experiments share this fluctuation, since all are made of these events.
    """
    row = fitted.iloc[0]
    return {name: float(row[name]) if row["converged"] else None for name in FITTED}
