"""Events and their scores, which stand in different files, read together, region by region, in bounded memory."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow.events import parts
from nuisflow.settings.points import STANDARD, Point
from nuisflow.slices.events import Partial
from nuisflow.storage import event_files

Columns = dict[str, np.ndarray]
Key = tuple[str, str]
Blocks = Mapping[Key, tuple[int, int]]


class TemplateError(ValueError):
    """Events or scores that cannot become templates."""


class Part(NamedTuple):
    """The events of one sample in one variation; their scores are rows *start* to *stop* of the file *scores*.

    Without *scores* (no region's observable is the score), *start* and *stop* are the rows of the events. *used*: the
    part of the rows of the sample that is used (`parts.inside`), with weights times *factor*.
    """

    path: Path
    variation: str
    sample: str
    scores: Path | None
    start: int
    stop: int
    used: tuple[float, float] = parts.EVERYTHING
    factor: float = 1.0


def used(settings: Partial, sample: str) -> tuple[tuple[float, float], float]:
    """Return the part of the rows of *sample* that is used, and the factor on their weights."""
    return (settings.used[sample], settings.factor) if sample in settings.used else (parts.EVERYTHING, 1.0)


class Regions(NamedTuple):
    """All regions in the order of the configuration, and those whose observable is the score."""

    names: Sequence[str]
    scored: Collection[str]


def blocks(scores: Path, variations: Sequence[str], samples: Sequence[str]) -> Blocks:
    """Return which rows of *scores* belong to which variation and sample."""
    names = {"variation": variations, "sample": samples}
    found: dict[Key, tuple[int, int]] = {}
    row = 0
    for rows in event_files.read_event_parts(scores, (), names):
        codes = rows["variation"] * len(samples) + rows["sample"]
        changes = [0, *(np.flatnonzero(np.diff(codes)) + 1), len(codes)]
        for first, last in itertools.pairwise(changes):
            if first == last:
                continue
            key = (variations[rows["variation"][first]], samples[rows["sample"][first]])
            start, stop = found.get(key, (row + first, row + first))
            if stop != row + first:
                raise TemplateError(
                    f"{scores}: the rows of {'/'.join(key)} do not stand together (again in row {row + first}); "
                    "delete the file and run score_events again"
                )
            found[key] = (start, row + last)
        row += len(codes)
    return found


def part(path: Path, scores: Path | None, blocks: Blocks, scored_as: str | None = None) -> Part:
    """Return the part of the events file *path*, ``<variation>/<sample>.parquet``; the number of scores must agree.

    *scored_as*: the variation whose scores are these events' too (default: their own).
    """
    variation, sample = path.parent.name, path.stem
    rows = event_files.count_rows(path)
    if scores is None:
        return Part(path, variation, sample, None, 0, rows)
    key = (scored_as or variation, sample)
    start, stop = blocks.get(key, (0, 0))
    if stop - start != rows:
        raise TemplateError(
            f"{scores}: {stop - start} scores of {'/'.join(key)}, but {path} has {rows} events; "
            "delete the scores and run score_events again"
        )
    return Part(path, variation, sample, scores, start, stop)


def chosen(events: Sequence[Path], wanted: Iterable[Key]) -> list[Path]:
    """Return the files of *events*, ``<variation>/<sample>.parquet``, that are *wanted*, in that order."""
    paths = {(path.parent.name, path.stem): path for path in events}
    keys = list(wanted)
    if missing := ["/".join(key) for key in keys if key not in paths]:
        raise TemplateError(f"events of {', '.join(missing)} are missing; run process_events for them")
    return [paths[key] for key in keys]


def moved_folders(process: str, shifts: Mapping[str, Collection[str]], displaced: Mapping[str, Point]) -> list[str]:
    """Return the folders in which events of *process* have features of their own: nominal, and shifts at all points.

    *shifts*: the processes on which each acts.
    """
    names: dict[str, None] = {"nominal": None}
    for name, processes in shifts.items():
        if process in processes:
            names |= dict.fromkeys(f"{name}_{side}" for side in STANDARD)
            names |= dict.fromkeys(key for key, point in displaced.items() if point.variation == name)
    return list(names)


def other_weights(nominal: Path, folder: str, start: int, stop: int) -> np.ndarray:
    """Return the weights of rows of the *nominal* events at another point of a weight variation, its *folder*."""
    path = nominal.parent.parent / folder / nominal.name
    found = event_files.read_rows(path, ["weight"], start, stop)["weight"]
    if len(found) != stop - start:
        raise TemplateError(f"{path} has fewer events than the nominal file; delete it and run process_events")
    return found


def rows(part: Part, regions: Regions, factors: Sequence[str] = ()) -> Iterator[tuple[str, Columns]]:
    """Yield the events of *part* region by region: ``value`` (score or observable), ``weight`` and *factors*."""
    some = part.used != parts.EVERYTHING
    columns, names = ("weight", "observable", *factors, *(("entry",) if some else ())), {"region": regions.names}
    start = part.start
    for events in event_files.read_event_parts(part.path, columns, names):
        events["value"] = events.pop("observable").astype(np.float64)
        if part.scores is not None:
            score = event_files.read_rows(part.scores, ["score"], start, start + len(events["value"]))["score"]
            _insert_scores(events, score, part.scores, regions)
        start += len(events["value"])
        if some:
            used = parts.among(events.pop("entry"), part.used)
            events = {name: values[used] for name, values in events.items()}
            events["weight"] = events["weight"] * part.factor
        for index, region in enumerate(regions.names):
            if np.any(inside := events["region"] == index):
                chosen = {name: values[inside] for name, values in events.items() if name != "region"}
                _check_finite(chosen, part, region, regions)
                yield region, chosen


def _insert_scores(events: Columns, score: np.ndarray, scores: Path, regions: Regions) -> None:
    """Set the value of the rows in scored regions."""
    scored = np.array([name in regions.scored for name in regions.names])[events["region"]]
    if np.any(bad := scored & ((score < 0) | (score > 1))):
        raise TemplateError(f"{scores}: the score {score[bad][0]:g} is outside [0, 1]; run score_events again")
    events["value"][scored] = score[scored]


def _check_finite(columns: Columns, part: Part, region: str, regions: Regions) -> None:
    origin = part.scores if region in regions.scored else part.path
    for name, values in columns.items():
        if not np.all(finite := np.isfinite(values)):
            path, what = (origin, "score or observable") if name == "value" else (part.path, name)
            raise TemplateError(
                f"{path}: {what} is NaN or infinite in {np.count_nonzero(~finite)} events of "
                f"{part.variation}/{part.sample} in region {region!r}; exclude such events in 'selection'"
            )


def clipped(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return *values*, as precise as float32, moved into the range of *edges*, whose upper end belongs to no bin."""
    # ASSUME: events below the first or above the last edge belong to the first or last bin, so that none is lost.
    inside: np.ndarray = np.clip(snapped(values, edges), edges[0], np.nextafter(edges[-1], -np.inf))
    return inside


def snapped(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return *values*, as precise as float32, with those that are an edge in this precision set to the edge itself.

    An observable of 0.7 would lie below the edge 0.7: rounded to float32 it is smaller.
    """
    rounded = np.asarray(edges).astype(np.float32).astype(np.float64)
    if np.array_equal(rounded, edges):
        return values
    nearest = np.minimum(np.searchsorted(rounded, values), len(edges) - 1)
    return np.where(rounded[nearest] == values, np.asarray(edges)[nearest], values)
