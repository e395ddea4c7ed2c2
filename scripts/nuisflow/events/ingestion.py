"""From the files of one sample to its columnar file: the only place where files of the user are judged and read.

Rows are numbered for good, file after file in the order in which they are given. Everything behind reads `ingested`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from nuisflow import datasets, expressions, seeds
from nuisflow.progress import progress
from nuisflow.slices.events import Ingestion
from nuisflow.storage import ingested, records, user_files
from nuisflow.storage.files import FileError, MissingColumnError
from nuisflow.storage.ingested import LISTS, Kind
from nuisflow.storage.user_files import BOOLEAN, CODE, DOUBLE

Columns = dict[str, Any]
State = tuple[int, ...]
HEAD = 1 << 18
"""Bytes of a CSV file that its first rows are looked for in."""
ROWS = 100_000
"""Rows of published events that are converted at once: the random numbers in them depend on it."""

logger = logging.getLogger(__name__)


class Read(TypedDict):
    """A file that was read: *rows* of the sample, their *weight* in sum (None: not known before selection)."""

    path: str
    size: int
    sha256: str
    rows: int
    weight: float | None


class Shared(TypedDict):
    """Another sample that reads some of the same *files*, and the selection of the rows of *both*."""

    files: list[str]
    both: str


def ingest(
    paths: Sequence[Path], output: Path, settings: Ingestion, shared: Mapping[str, Shared] | None = None
) -> list[Read]:
    """Write the rows of *paths* that belong to the sample to the columnar file *output*; return what was read.

    *shared*: the other samples that read some of these files; no row may belong to two.
    """
    states = [_state(path) for path in paths]
    kinds = joined_kinds({path: file_kinds(path, settings) for path in paths}, settings)
    with ThreadPoolExecutor(1) as pool:
        checksums = [pool.submit(records.checksum, path) for path in paths]
        while True:  # once, and once more for every column of whole numbers that turns out to have fractions or gaps
            found = {
                path: Read(path=str(path), size=path.stat().st_size, sha256="", rows=0, weight=None) for path in paths
            }
            pieces = _counted(_scaled(paths, kinds, settings), found, settings, shared or {})
            try:
                ingested.write(output, _judged(progress(pieces, "pieces"), found, states, checksums))
            except user_files.Wider as wider:
                logger.info("column %r has fractions or gaps after all: read once more as float64", wider.column)
                kinds = kinds | {wider.column: DOUBLE}
                continue
            return list(found.values())


def _judged(
    pieces: Iterator[Columns], found: Mapping[Path, Read], states: Sequence[State], checksums: Sequence[Future[str]]
) -> Iterator[Columns]:
    """Yield all *pieces*, then raise an error if the files are not what they were, have no rows, or are copies."""
    yield from pieces
    seen: dict[str, Path] = {}
    for (path, read), state, checksum in zip(found.items(), states, checksums, strict=True):
        read["sha256"] = checksum.result()
        if _state(path) != state:
            raise FileError(f"{path}: was changed while it was read; wait until it is complete, and run again")
        if read["rows"] and (other := seen.setdefault(read["sha256"], path)) != path:
            raise FileError(
                f"{path}: is a copy of {other}, so that its events would count twice; leave one of them out"
            )
        logger.info("%(path)s: %(rows)d rows, sum of weights %(weight)s, sha256 %(sha256)s", read)
    if not any(read["rows"] for read in found.values()):
        raise FileError(f"{', '.join(map(str, found))}: no events; an empty sample cannot be used")


def _state(path: Path) -> State:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; check dataset.path and the files of the sample") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


# --- types ------------------------------------------------------------------------------------------------------------


def joined_kinds(found: Mapping[Path, Mapping[str, Kind | None]], settings: Ingestion) -> dict[str, Kind]:
    """Return the type of every column that is read in all files, from what was *found* in each (`file_kinds`)."""
    kinds: dict[str, Kind] = {}
    owners: dict[str, Path] = {}
    for path, columns in found.items():
        for name, kind in columns.items():
            if kind is not None:
                kinds[name] = _both(name, kinds.get(name, kind), kind, owners.setdefault(name, path), path)
    kept = [name for name in _wanted(settings) if _is_converted(settings) or name in settings.columns]
    return {name: kinds.get(name, DOUBLE) for name in kept}


def file_kinds(
    path: Path, settings: Ingestion, most: int | None = None, optional: Collection[str] = ()
) -> dict[str, Kind | None]:
    """Return the type of every column in the file *path*, as far as its head tells (None: not at all).

    *most*: as in `user_files.kinds`. Columns that are *optional* need not be there.
    """
    text = getattr(datasets.MODULES[settings.origin.kind], "TEXT", {})
    wanted = [*_wanted(settings), *optional]
    try:
        kinds = user_files.kinds(path, wanted, settings.origin.tree, text, most=most)
    except MissingColumnError as lacking:
        if not lacking.columns <= set(optional):
            raise
        there = [name for name in wanted if name not in lacking.columns]
        kinds = user_files.kinds(path, there, settings.origin.tree, text, most=most)
    for name, kind in kinds.items():
        if kind == LISTS and settings.origin.kind != "nanoaod":
            remedy = "read jagged branches with `kind: nanoaod`"
            raise FileError(f"{path}: column {name!r} is not one number per event but lists of numbers; {remedy}")
    return kinds


def _wanted(settings: Ingestion) -> Sequence[str]:
    return getattr(datasets.MODULES[settings.origin.kind], "RAW", None) or settings.declared


def _is_converted(settings: Ingestion) -> bool:
    return hasattr(datasets.MODULES[settings.origin.kind], "convert")


def _both(name: str, first: Kind, second: Kind, owner: Path, path: Path) -> Kind:
    """Return the type of a column that is *first* in one file and *second* in another."""
    if first == second:
        return first
    if LISTS in (first, second) or BOOLEAN in (first, second) or not isinstance(first, np.dtype):
        raise FileError(f"{path}: column {name!r} is {second}, but {first} in {owner}; write the same type everywhere")
    return np.promote_types(first, second)


# --- rows -------------------------------------------------------------------------------------------------------------


def _scaled(paths: Sequence[Path], kinds: Mapping[str, Kind], settings: Ingestion) -> Iterator[tuple[Path, Columns]]:
    """Yield the rows of the sample, with weights that add up to what is expected, where that is said."""
    expected = settings.origin.expected
    scale = None if expected is None else expected / _total(paths, kinds, settings, expected)
    for path, columns in _rows(paths, kinds, settings):
        yield path, columns if scale is None else columns | {"weight": columns["weight"] * scale}


def first_rows(path: Path, kinds: Mapping[str, Kind], settings: Ingestion, number: int) -> Columns:
    """Return at most *number* rows of a file from its beginning on; none of an empty one. May raise `Wider`."""
    columns = next(_rows([path], kinds, settings, (number, HEAD)), (path, {}))[1]
    return {name: columns[name] for name in settings.columns if name in columns}


def _rows(
    paths: Sequence[Path], kinds: Mapping[str, Kind], settings: Ingestion, part: tuple[int, int] | None = None
) -> Iterator[tuple[Path, Columns]]:
    """Yield the rows of the sample, piece by piece; random numbers are the same in every pass.

    *part*: the rows of a piece, and the bytes of a CSV file that are read at all.
    """
    origin = settings.origin
    module = datasets.MODULES[origin.kind]
    text = getattr(module, "TEXT", {})
    # The name under which these numbers have always been drawn: results stay the same.
    generator = seeds.generator(origin.seed, "convert_events", settings.sample)
    rows, most = part or ((ROWS if _is_converted(settings) else 2 * ingested.ROWS), None)
    for path in paths:
        for columns in user_files.pieces(path, kinds, rows, origin.tree, text, most=most):
            if _is_converted(settings):
                wide = {name: values.astype(DOUBLE if name not in text else CODE) for name, values in columns.items()}
                yield path, module.convert(wide, origin.process, generator, **origin.options)
            else:
                yield path, columns


def _total(paths: Sequence[Path], kinds: Mapping[str, Kind], settings: Ingestion, expected: float) -> float:
    """Return the sum of weights of the rows that the sample selects."""
    total, rows, chosen = 0.0, 0, settings.origin.selection
    for _, columns in _rows(paths, kinds, settings):
        weight = columns["weight"]
        if chosen is not None:
            weight = weight[expressions.decide(chosen, columns, f"samples.{settings.sample}.selection")]
        total, rows = total + float(weight.sum()), rows + len(weight)
    logger.info("%s: %d events, sum of weights %.6g, scaled to %g", settings.sample, rows, total, expected)
    if not total > 0:
        raise FileError(
            f"{', '.join(map(str, paths))}: the weights of the {rows} events of {settings.sample!r} add up to "
            f"{total:g}; they cannot be scaled to {expected:g} expected events"
        )
    return total


def _counted(
    pieces: Iterator[tuple[Path, Columns]],
    found: Mapping[Path, Read],
    settings: Ingestion,
    shared: Mapping[str, Shared],
) -> Iterator[Columns]:
    """Yield the columns that are kept; note in *found* what every file has, and refuse rows of two samples."""
    for path, columns in pieces:
        read, size = found[path], len(next(iter(columns.values())))
        if settings.weight is not None:
            weights = expressions.evaluate(settings.weight, columns, size)
            read["weight"] = (read["weight"] or 0.0) + float(np.sum(weights, dtype=float))
        for other, claim in shared.items():
            if str(path) in claim["files"]:
                _check_shared(path, columns, read["rows"], claim["both"], (settings.sample, other))
        read["rows"] += size
        yield {name: columns[name] for name in settings.columns}


def _check_shared(path: Path, columns: Columns, first: int, both: str, samples: tuple[str, str]) -> None:
    """Raise an error if a row belongs to two *samples*."""
    if len(rows := np.flatnonzero(expressions.decide(both, columns, "selections of these samples"))):
        raise FileError(
            f"{path}: {len(rows)} rows (the first is {first + rows[0]}) belong to the samples {samples[0]!r} and "
            f"{samples[1]!r} and would count twice; make the selections of these samples exclude each other"
        )
