"""Read and write the events that the workflow makes: simulated ones in ROOT, selected ones and scores in Parquet."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.storage import ingested
from nuisflow.storage.files import FileError, replacing
from nuisflow.storage.user_files import array, check_columns, naming, parquet

Columns = dict[str, np.ndarray]
TREE = "events"
BASKET = 50_000
"""Events per basket of the ROOT files we write: small enough that a chunk reads whole baskets only."""
GROUP = 20_000
"""Events per row group of the Parquet files we write, at least."""
_AT_ONCE = 1 << 16
"""Values of a column that the writer of Parquet takes at once: by a thousand, as it does by default, it is slower."""


def write_root(path: Path | str, columns: Columns) -> None:
    """Write *columns* as the TTree `TREE` of a new ROOT file."""
    import uproot

    size = len(next(iter(columns.values())))
    with replacing(path) as temporary, uproot.recreate(temporary, compression=uproot.LZ4(1)) as root:
        tree = root.mktree(TREE, {name: values.dtype for name, values in columns.items()})
        for start in range(0, size, BASKET):
            tree.extend({name: values[start : start + BASKET] for name, values in columns.items()})


def count_rows(path: Path) -> int:
    """Return the number of rows of a file of `write_event_parts`."""
    with naming(path):
        return int(parquet(path).metadata.num_rows)


def read_rows(path: Path, columns: Sequence[str], start: int, stop: int) -> Columns:
    """Return rows *start* to *stop* of a file of `write_event_parts`, in the types in which they were written."""
    with naming(path):
        status = path.stat()
        metadata, ends = _kept_footer(path.absolute(), (status.st_ino, status.st_size, status.st_mtime_ns))
        source = parquet(path, metadata=metadata)
        check_columns(path, columns, source.schema_arrow.names)
        # The row group of row start, and the one after that of row stop - 1:
        first = int(np.searchsorted(ends, start, side="right"))
        last = min(int(np.searchsorted(ends, stop, side="left")) + 1, len(ends))
        table = source.read_row_groups(range(first, last), columns=list(columns))
        table = table.slice(start - (int(ends[first - 1]) if first else 0), stop - start)
        return {name: array(table.column(name).combine_chunks()) for name in columns}


@functools.lru_cache(maxsize=2)
def _kept_footer(path: Path, _status: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """Return what a Parquet file says of itself and the row after each row group, of a file that is as *_status* says.

    Read once, not for every piece: in a file of a billion events it is as large as many pieces.
    """
    metadata = parquet(path).metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return metadata, np.cumsum(rows, dtype=np.int64)


def write_event_parts(path: Path | str, parts: Iterator[Columns], categories: Mapping[str, Sequence[str]]) -> int:
    """Write *parts* to a Parquet file and return the number of rows; a row group has at least `GROUP`, but the last.

    Columns named in *categories* hold indices into the given names (-1: none) and are stored as dictionary-encoded
    strings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    with replacing(path) as temporary, contextlib.ExitStack() as stack:
        writer: Any = None
        for columns in _groups(parts):
            arrays = {name: _arrow(values, categories.get(name)) for name, values in columns.items()}
            # Numbers always have a value: nothing about missing ones is written.
            fields = [pa.field(name, array.type, nullable=name in categories) for name, array in arrays.items()]
            table = pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields))
            if writer is None:
                texts: Any = list(categories) or False  # numbers hardly repeat: dictionaries cost time and space
                # Nobody looks for events by bounds of their columns, which "statistics" would be.
                options = {"compression": "lz4", "write_statistics": False, "write_page_checksum": True}
                options |= {"use_dictionary": texts, "write_batch_size": _AT_ONCE}
                writer = stack.enter_context(pq.ParquetWriter(temporary, table.schema, **options))
            writer.write_table(table)
            rows += table.num_rows
        if writer is None:
            raise FileError(f"{path}: nothing to write")
        stack.close()
    return rows


def _groups(parts: Iterator[Columns]) -> Iterator[Columns]:
    """Yield *parts*, small ones joined to at least `GROUP` rows: each costs time and space of its own."""
    waiting: list[Columns] = []
    for columns in parts:
        waiting.append(columns)
        if sum(len(next(iter(part.values()))) for part in waiting) >= GROUP:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[Columns]) -> Columns:
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _arrow(values: np.ndarray, names: Sequence[str] | None) -> Any:
    import pyarrow as pa

    if names is None:
        return ingested.plain(values)
    texts = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    dictionary = pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))
    indices = ingested.plain(values.astype(np.int16))
    if np.any(none := values < 0):
        valid = pa.py_buffer(np.packbits(~none, bitorder="little"))
        indices = pa.Array.from_buffers(indices.type, len(values), [valid, indices.buffers()[1]])
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def read_event_parts(
    path: Path,
    columns: Sequence[str],
    categories: Mapping[str, Sequence[str]],
    rows: int = 200_000,
    only: tuple[str, str] | None = None,
) -> Iterator[Columns]:
    """Yield at most *rows* rows at a time of a file of `write_event_parts`; memory does not grow with the file.

    Columns named in *categories* hold text and become indices (int64) into the given names. *only*: a column of these
    and its text; row groups without it are left out.
    """
    with naming(path):
        source = parquet(path, read_dictionary=list(categories))
        check_columns(path, [*columns, *categories], source.schema_arrow.names)
        groups = list(range(source.num_row_groups)) if only is None else _groups_with(source, *only)
        step = max(rows // GROUP, 1)  # a reader keeps what it has read until its last group
        for first in range(0, len(groups), step):
            for batch in source.iter_batches(rows, groups[first : first + step], columns=[*columns, *categories]):
                numbers = {name: array(batch.column(name)) for name in columns}
                yield numbers | {
                    name: _indices(path, name, batch.column(name), known) for name, known in categories.items()
                }


def _groups_with(source: Any, column: str, text: str) -> list[int]:
    """Return the row groups that have *text* in a dictionary-encoded column."""
    found = []
    for group in range(source.num_row_groups):
        values = source.read_row_group(group, columns=[column]).column(column).unique().to_pylist()
        if text in values:
            found.append(group)
    return found


def texts(path: Path, column: str) -> list[str]:
    """Return the different texts of a column of a file of `write_event_parts`, in the order of their appearance."""
    with naming(path):
        source = parquet(path, read_dictionary=[column])
        check_columns(path, [column], source.schema_arrow.names)
        found = (batch.column(column).dictionary.to_pylist() for batch in source.iter_batches(columns=[column]))
        return list(dict.fromkeys(text for known in found for text in known))


def _indices(path: Path, column: str, values: Any, names: Sequence[str]) -> np.ndarray:
    """Return the index into *names* of every value of a dictionary-encoded column."""
    known = {name: index for index, name in enumerate(names)}
    codes = np.asarray([known.get(name, -1) for name in values.dictionary.to_pylist()], dtype=np.int64)
    found = codes[array(values.indices)]
    if np.any(found < 0):
        unknown = sorted(set(values.dictionary.to_pylist()) - known.keys())
        raise FileError(f"{path}: column {column!r} has {unknown[0]!r}; expected {', '.join(names)}")
    return np.asarray(found)
