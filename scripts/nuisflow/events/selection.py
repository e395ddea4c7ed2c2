"""From raw columns to selected events with features, at any value of the nuisance parameters; in chunks, with dask."""

import functools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nuisflow import datasets, expressions
from nuisflow.events import parallel, parts, variations
from nuisflow.events.parts import EVERYTHING
from nuisflow.events.variations import Strength
from nuisflow.settings.configuration import Dask, Sample
from nuisflow.settings.systematics import Shift, Weight
from nuisflow.slices.events import FURTHER, EventSelection, Processing, expressions_of
from nuisflow.storage import event_files, ingested

Columns = dict[str, np.ndarray]
OUTSIDE = -1
SINGLE = 2**24
"""Whole numbers up to here are exact in single precision."""


class EventError(ValueError):
    """Events that cannot be used: empty, undefined or ambiguous."""


class Chunk(NamedTuple):
    """Of rows *start* to *stop* of the columnar file *path* of a sample those in *part* (`parts.inside`)."""

    path: Path
    start: int
    stop: int
    part: tuple[float, float] = EVERYTHING


def chunks(path: Path, size: int, part: tuple[float, float] = EVERYTHING) -> list[Chunk]:
    """Cut the rows of a sample, of which a random *part* is used, into pieces of at most *size* rows.

    Where *size* allows for it they are whole batches of the file, so that none is read twice.
    """
    size = max(size - size % ingested.ROWS, min(size, ingested.ROWS))
    rows = ingested.open(path).rows
    if not parts.inside(0, min(rows, size), part).any():
        few = f" in the part {part[0]:g} to {part[1]:g} of {rows} (toys.bootstrap.share)" if rows else ""
        raise EventError(f"{path}: no events{few}; an empty sample cannot be used")
    return [Chunk(path, start, min(start + size, rows), part) for start in range(0, rows, size)]


def part_of(selection: EventSelection, sample: Sample) -> tuple[float, float]:
    """Return which part of *sample* is used, as shares (`parts.inside`): all of collision data."""
    return EVERYTHING if sample.is_data else selection.rows


def columns_of(table: ingested.Table, selection: EventSelection, used: Collection[str] | None = None) -> list[str]:
    """Return the columns of *table* that are read, of those *used* (None: all).

    Collision data lack the branches that only simulation has.
    """
    raw = datasets.raw_columns(selection.dataset)
    return [name for name in raw if name in table.columns and (used is None or name in used)]


def grouped(columns: Columns, selection: EventSelection) -> Columns:
    """Return *columns* of a file as the data set knows them: lists of one collection together."""
    offered = datasets.of(selection.dataset)
    made: Columns = offered.grouped(columns) if hasattr(offered, "grouped") else columns
    return made


def read(chunk: Chunk, selection: EventSelection, sample: Sample, used: Collection[str] | None = None) -> Columns:
    """Return the raw columns of *chunk* and ``entry``, the number of the row, of the rows that belong to *sample*.

    *used*: the columns that are wanted, as `used_of` names them (None: all).
    """
    columns: Columns = {}
    for path in _parts(chunk.path, datasets.raw_columns(selection.dataset)):
        table = ingested.open(path)
        columns |= table.read(columns_of(table, selection, used), chunk.start, chunk.stop, writable=False)
    columns = grouped(columns, selection)
    columns["entry"] = np.arange(chunk.start, chunk.stop)
    for path in map(Path, sample.ratios):
        columns |= event_files.read_rows(path, [f"ratio_{path.parent.name}"], chunk.start, chunk.stop)
    if chunk.part != EVERYTHING:
        columns = _rows(columns, np.flatnonzero(parts.inside(chunk.start, chunk.stop, chunk.part)))
    if sample.selection is None:
        return columns
    chosen = expressions.decide(sample.selection, columns, f"{chunk.path}: selection of the sample")
    return _rows(columns, np.flatnonzero(chosen))


def _parts(path: Path, wanted: Collection[str]) -> list[Path]:
    """Return the files that have the *wanted* columns of the sample whose main ones are in *path*."""
    further = path.parent.parent / FURTHER / path.name
    complete = set(wanted) <= ingested.open(path).columns.keys()
    return [path] if complete or not further.exists() else [path, further]


def select(
    columns: Columns,
    selection: EventSelection,
    sample: Sample,
    varied: Mapping[str, Shift | Weight],
    z: Mapping[str, float | np.ndarray],
) -> Columns:
    """Return the selected events of *columns* at *z*: every shift applied, everything derived recomputed.

    The result has ``entry``, ``row`` (index into *columns*), ``region`` (index into the selection's regions),
    ``weight`` (float64, weight variations included), ``observable`` (float32; NaN where it is the score) and the
    features (float32), each of shape (selected events,).
    """
    row, region, kept = _kept(columns, selection, sample, varied, z)
    weight = weights(kept, selection, sample)
    for name, variation in varied.items():
        if isinstance(variation, Weight) and np.any(z.get(name, 0.0)):
            strength = np.broadcast_to(np.asarray(_at(z, row)[name], dtype=float), row.shape)
            weight = weight * variations.factor(variation, kept, strength, name)
    return {
        "entry": kept["entry"],
        "row": row,
        "region": region,
        "weight": weight,
        "observable": _observables(kept, region, selection),
        **{name: np.asarray(kept[name], dtype=np.float32) for name in selection.features},
    }


def _kept(
    columns: Columns,
    selection: EventSelection,
    sample: Sample,
    varied: Mapping[str, Shift | Weight],
    z: Mapping[str, Strength],
) -> tuple[np.ndarray, np.ndarray, Columns]:
    """Return the rows of the selected events, their regions, and all columns at *z* that describe them."""
    shifts = {name: variation for name, variation in varied.items() if isinstance(variation, Shift)}
    offered = datasets.of(selection.dataset)
    if hasattr(offered, "needed"):
        return _kept_stepwise(columns, selection, _describing(selection, sample, varied.values()), shifts, z)
    moved, whole = variations.shifted(columns, selection.dataset, shifts, z), getattr(offered, "whole", False)
    decisive = derived(moved, selection, None if whole else _deciding(selection))
    region = _regions(decisive, selection)
    row = np.flatnonzero(region != OUTSIDE)
    if whole:
        return row, region[row], _rows(decisive, row)
    return row, region[row], derived(_rows(moved, row), selection, _describing(selection, sample, varied.values()))


def _kept_stepwise(
    columns: Columns,
    selection: EventSelection,
    describing: set[str],
    shifts: Mapping[str, Shift],
    z: Mapping[str, Strength],
) -> tuple[np.ndarray, np.ndarray, Columns]:
    """Return what `_kept` does, where the data set knows what it needs: every row is shifted and derived alone.

    Only what decides is made for every event: all else costs far more.
    """
    deciding = _deciding(selection)
    moved = variations.shifted(_only(columns, _needed(selection, deciding, shifts)), selection.dataset, shifts, z)
    decisive = derived(moved, selection, deciding)
    region = _regions(decisive, selection)
    row = np.flatnonzero(region != OUTSIDE)
    made = {*datasets.of(selection.dataset).DERIVED, *selection.derived} & deciding
    known = _rows(_only(decisive, made), row)
    raw = _rows(_only(columns, _needed(selection, describing, shifts)), row)
    moved = variations.shifted(raw, selection.dataset, shifts, _at(z, row))
    return row, region[row], derived(moved, selection, describing, known)


def _needed(selection: EventSelection, wanted: Collection[str], shifts: Mapping[str, Shift]) -> set[str]:
    """Return the raw columns of which those *wanted* are made at any z of *shifts*."""
    changes = [shift.columns for shift in shifts.values() if shift.columns is not None]
    used = [*changes, *(expressions.names(text) for change in changes for text in change.values())]
    named = [shift.shift for shift in shifts.values() if shift.shift is not None]
    return {"entry", *wanted, *datasets.of(selection.dataset).needed(wanted, named)}.union(*used)


def _at(z: Mapping[str, Strength], rows: np.ndarray) -> dict[str, Strength]:
    """Return *z* of the *rows*."""
    return {name: value[rows] if np.ndim(value) else value for name, value in z.items()}  # type: ignore[index]


def _only(columns: Columns, names: Collection[str]) -> Columns:
    return {name: values for name, values in columns.items() if name in names}


def _rows(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _regions(columns: Columns, selection: EventSelection) -> np.ndarray:
    """Return the index of the region of every event, `OUTSIDE` for none; an event in two regions is an error."""
    size = len(next(iter(columns.values())))
    common = np.ones(size, dtype=bool)
    if selection.selection is not None:
        common &= expressions.decide(selection.selection, columns, "selection", selection.derived)
    region = np.full(size, OUTSIDE, dtype=np.int16)
    names = list(selection.regions)
    for index, (name, chosen) in enumerate(selection.regions.items()):
        inside = common
        if chosen.selection is not None:
            place = f"regions.{name}.selection"
            inside = common & expressions.decide(chosen.selection, columns, place, selection.derived, common)
        if index and np.any(both := inside & (region != OUTSIDE)):
            other = names[region[both][0]]
            raise EventError(
                f"regions {other!r} and {name!r} overlap: {both.sum()} events are in both; "
                f"make their selections exclusive (entry {columns['entry'][both][0]})"
            )
        region += inside * np.int16(index - OUTSIDE)
    return region


def weights(columns: Columns, selection: EventSelection, sample: Sample) -> np.ndarray:
    """Return the expected number of events that each row stands for; those in use stand for the others too."""
    size = len(columns["entry"])
    if sample.process == "data":
        return np.ones(size)
    text = "weight" if sample.weight is None else sample.weight
    weight = expressions.evaluate(text, columns, size, "weight of the sample")
    low, high = part_of(selection, sample)
    return np.array(weight, dtype=np.float64) / (high - low)


def _observables(columns: Columns, region: np.ndarray, selection: EventSelection) -> np.ndarray:
    values = np.full(len(region), np.nan, dtype=np.float32)
    for index, (name, chosen) in enumerate(selection.regions.items()):
        if chosen.observable != "score":
            inside, place = region == index, f"regions.{name}.observable"
            rows = _rows(columns, np.flatnonzero(inside))
            found = expressions.evaluate(chosen.observable, rows, place=place)
            _check_whole(found, chosen.observable, place)
            values[inside] = found
    return values


def _check_whole(values: np.ndarray, text: str, place: str) -> None:
    """Raise `EventError` for whole numbers that single precision, in which observables are kept, would round."""
    if values.dtype.kind in "iu" and np.any(large := np.abs(values) > SINGLE):
        value = int(values[large][0])
        raise EventError(
            f"{place}: {text!r} is {value} in some events, but an observable has single precision, which rounds whole "
            f"numbers beyond 2**24; subtract an offset here and from the edges, such as ({text}) - {value}"
        )


def check_finite(columns: Columns, features: Sequence[str], sample: str) -> None:
    """Raise `EventError` naming the sample, column and entry of the first value that is not a finite number."""
    for name in ("weight", *features):
        if not np.all(finite := np.isfinite(columns[name])):
            bad = np.flatnonzero(~finite)
            raise EventError(
                f"sample {sample!r}: column {name!r} is NaN or infinite in {len(bad)} events "
                f"(first: entry {columns['entry'][bad[0]]}); exclude them in 'selection' or give a value in 'derived'"
            )


def check_learnable(columns: Columns, sample: str) -> None:
    """Raise `EventError` for events of which no classifier can learn, since their weights are negative."""
    if len(bad := np.flatnonzero(columns["weight"] < 0)):
        raise EventError(
            f"sample {sample!r}: {len(bad)} events have a negative weight (first: entry {columns['entry'][bad[0]]}), "
            "and classifiers cannot learn from them: make them a sample of their own, of the same files, with "
            f"train: false, by its 'selection' (such as mc_weight < 0 there and mc_weight >= 0 in samples.{sample})"
        )


def process(path: Path, settings: Processing, dask: Dask) -> Iterator[Columns]:
    """Yield the selected events of one sample at one variation, chunk by chunk, in the order of its rows.

    Columns are those of `select` without ``row``, and in nominal ``factor_<name>_up`` and ``_down`` of every weight
    variation and ``factor_<name>_member<number>`` of every weight set.
    """
    pieces = chunks(path, dask.chunk_size, part_of(settings.events, settings.sample))
    work = functools.partial(_process_chunk, settings=settings, used=used_of(settings))
    selected = 0
    for columns in parallel.ordered_map(work, pieces, dask):
        selected += len(columns["entry"])
        yield columns
    logging.getLogger(__name__).info(
        "%s: %d of %d events selected", settings.name, selected, sum(piece.stop - piece.start for piece in pieces)
    )


def used_of(settings: Processing) -> set[str] | None:
    """Return the raw columns that `processed` uses; None: perhaps all."""
    selection, sample = settings.events, settings.sample
    if not hasattr(datasets.of(selection.dataset), "needed"):
        return None
    shifts = {name: shift for name, shift in settings.variations.items() if isinstance(shift, Shift)}
    varied = [*settings.variations.values(), *settings.weights.values()]
    return _needed(selection, _deciding(selection) | _describing(selection, sample, varied), shifts)


def _process_chunk(chunk: Chunk, settings: Processing, used: Collection[str] | None) -> Columns:
    return processed(read(chunk, settings.events, settings.sample, used), settings)


def processed(raw: Columns, settings: Processing) -> Columns:
    """Return what `process` yields of the *raw* columns of the rows that belong to the sample."""
    varied = dict.fromkeys(settings.variations, settings.z)
    columns = select(raw, settings.events, settings.sample, settings.variations, varied)
    check_finite(columns, settings.events.features, settings.name)
    rows = columns.pop("row")
    for name, shift in settings.variations.items():
        if isinstance(shift, Shift) and shift.columns is not None:
            variations.require_defined(shift, _rows(raw, rows), settings.events.dataset, settings.z, name)
    hiding = _hiding(settings)
    chosen: Columns = {}
    if settings.weights or hiding:
        wanted = _describing(settings.events, settings.sample, settings.weights.values())
        chosen = derived(_rows(raw, rows), settings.events, wanted)
    for place, text, region in hiding:
        among = None if region is None else columns["region"] == region
        known = {"z": np.ones(len(rows))} | chosen
        expressions.require_decided(text, known, place, settings.events.derived, among)
    for name, variation in settings.weights.items():
        variations.require_defined(variation, chosen, settings.events.dataset, 1.0, name)
        for side, factor in variations.factors(variation, chosen, name).items():
            columns[f"factor_{name}_{side}"] = factor.astype(np.float32)
    return columns


def _hiding(settings: Processing) -> list[tuple[str, str, int | None]]:
    """Return place and text of what could hide undefined values (NaN) in a comparison, and its region if it has one.

    Nominal events tell: a shift changes numbers into numbers.
    """
    if settings.variation is not None:
        return []
    selection, sample = settings.events, settings.sample
    found: list[tuple[str, str, int | None]] = [("features", name, None) for name in selection.features]
    found += (
        [] if sample.weight is None or sample.process == "data" else [("weight of the sample", sample.weight, None)]
    )
    for index, (name, region) in enumerate(selection.regions.items()):
        found += [] if region.observable == "score" else [(f"regions.{name}.observable", region.observable, index)]
    for name, chosen in settings.weights.items():
        texts = (chosen.up, chosen.down, chosen.factor) if isinstance(chosen, Weight) else chosen.expressions
        found += [(f"variations.{name}", text, None) for text in texts if text is not None]
    return [entry for entry in found if expressions.compares(entry[1], selection.derived)]


def _deciding(selection: EventSelection) -> set[str]:
    """Return the names of all columns that decide which events are selected: few, beside those of the features."""
    texts = [selection.selection, *(chosen.selection for chosen in selection.regions.values())]
    return _through_derived(selection, set[str]().union(*(expressions.names(text) for text in texts if text)))


def _describing(selection: EventSelection, sample: Sample, varied: Iterable[Any]) -> set[str]:
    """Return the names of all columns of which features, observables and weights of selected events are made."""
    observables = [chosen.observable for chosen in selection.regions.values()]
    texts = [text for text in (*expressions_of(sample, varied), *observables) if text]
    return _through_derived(selection, {*selection.features, "weight"}.union(*map(expressions.names, texts)))


def _through_derived(selection: EventSelection, wanted: set[str]) -> set[str]:
    """Return the *wanted* columns and all that these are derived of in the configuration."""
    for name, expression in reversed(selection.derived.items()):
        if name in wanted:
            wanted = wanted | expressions.names(expression)
    return wanted


def derived(
    columns: Columns, selection: EventSelection, wanted: Collection[str] | None = None, known: Columns | None = None
) -> Columns:
    """Return *columns* with everything derived from them; what is not *wanted* (None: all is) may be missing.

    What is *known* of it already is not made again.
    """
    known = known or {}
    ratios = {name: values for name, values in columns.items() if name.startswith("ratio_")}
    missing = None if wanted is None else [name for name in wanted if name not in known]
    columns = datasets.of(selection.dataset).reconstruct(columns, missing) | ratios | known
    for name, expression in selection.derived.items():
        if name not in known and (wanted is None or name in wanted):
            columns = columns | {name: expressions.evaluate(expression, columns, place=f"derived.{name}")}
    return columns
