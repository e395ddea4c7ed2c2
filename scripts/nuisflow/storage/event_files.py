"""Read and write columns of events in every format; the only module that knows formats of events."""

import contextlib
import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.storage.files import REMEDY, FileError, replacing

Columns = dict[str, np.ndarray]
TREE = "events"
BASKET = 50_000
"""Events per basket of the ROOT files we write: small enough that a chunk reads whole baskets only."""


def write_root(path: Path | str, columns: Columns) -> None:
    """Write *columns* as the TTree `TREE` of a new ROOT file."""
    import uproot

    size = len(next(iter(columns.values())))
    with replacing(path) as temporary, uproot.recreate(temporary, compression=uproot.LZ4(1)) as root:
        tree = root.mktree(TREE, {name: values.dtype for name, values in columns.items()})
        for start in range(0, size, BASKET):
            tree.extend({name: values[start : start + BASKET] for name, values in columns.items()})


def count_rows(path: Path, tree: str = TREE) -> int:
    """Return the number of rows of an event file (ROOT TTree or RNTuple, Parquet)."""
    with _naming(path):
        match _kind(path):
            case "root":
                return int(_opened(path, tree).num_entries)
            case "parquet":
                return int(_parquet(path).metadata.num_rows)
            case kind:
                raise FileError(f"{path}: a {kind} file is read as a whole only (iterate_rows)")


def read_rows(path: Path, columns: Sequence[str], start: int, stop: int, tree: str = TREE) -> Columns:
    """Return rows *start* to *stop* of an event file as flat numpy arrays, one per column.

    Missing and jagged columns are errors that name the file and the column.
    """
    with _naming(path):
        match _kind(path):
            case "root":
                arrays = _read_root(path, columns, start, stop, tree, library="np")
                return {name: _flat(path, name, np.asarray(arrays[name])) for name in columns}
            case "parquet":
                return _read_parquet(path, columns, start, stop)
            case kind:
                raise FileError(f"{path}: a {kind} file is read as a whole only (iterate_rows)")


def iterate_rows(
    path: Path, columns: Sequence[str], rows: int, text: Mapping[str, Sequence[str]] | None = None, tree: str = TREE
) -> Iterator[Columns]:
    """Yield at most *rows* rows at a time, in one pass over the file: numbers as float64.

    Columns named in *text* hold text and become indices into the given names. A CSV file cannot be entered in the
    middle, so that `read_rows` reads it anew for every piece: this is the way to read all of it.
    """
    text = text or {}
    with _naming(path):
        match _kind(path):
            case "root":
                pieces = _iterate_root(path, columns, rows, tree)
            case "parquet":
                pieces = _iterate_parquet(path, columns, rows)
            case _:
                pieces = _iterate_csv(path, columns, rows, text)
        for piece in pieces:
            yield {
                name: _codes(path, name, piece[name], text[name])
                if name in text
                else _wide(_flat(path, name, piece[name]))
                for name in columns
            }


def _iterate_root(path: Path, columns: Sequence[str], rows: int, tree: str) -> Iterator[Columns]:
    import uproot

    with uproot.open(path) as root:
        events = _tree(root, path, tree)
        _check_columns(path, columns, events.keys())
        for arrays in events.iterate(list(columns), step_size=rows, library="np"):
            yield {name: np.asarray(arrays[name]) for name in columns}


def _iterate_parquet(path: Path, columns: Sequence[str], rows: int) -> Iterator[Columns]:
    source = _parquet(path)
    _check_columns(path, columns, source.schema_arrow.names)
    for batch in source.iter_batches(rows, columns=list(columns)):
        yield {name: _array(batch.column(name)) for name in columns}


def _iterate_csv(path: Path, columns: Sequence[str], rows: int, text: Mapping[str, Sequence[str]]) -> Iterator[Columns]:
    import pandas as pd

    _check_columns(path, columns, list(pd.read_csv(path, nrows=0).columns))
    types = dict.fromkeys(text, object)
    with pd.read_csv(path, usecols=list(columns), chunksize=rows, dtype=types) as tables:
        for table in tables:
            if len(table):  # a file without rows is one empty table, of no type
                yield {name: table[name].to_numpy() for name in columns}


def _wide(values: np.ndarray) -> np.ndarray:
    """Return numbers in one type for all pieces of a file: a column of whole numbers may end with a fraction."""
    return values.astype(np.float64)


def _codes(path: Path, name: str, values: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Return the index into *known* of every text in *values*."""
    found, places = np.unique(values.astype(str), return_inverse=True)
    if unknown := [str(text) for text in found if text not in known]:
        raise FileError(f"{path}: column {name!r} has {unknown[0]!r}; expected {', '.join(known)}")
    return np.array([list(known).index(text) for text in found], dtype=np.int8)[places]


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a reader raise into one error that names the file."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; check dataset.path and the files of the sample")
    try:
        yield
    except (FileError, MemoryError):
        raise
    except Exception as error:  # readers raise zlib, struct, Arrow, uproot, … errors for damaged bytes
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FileError(f"{path}: cannot be read ({reason}); truncated or damaged? {REMEDY}") from error


def _kind(path: Path) -> str:
    name = path.name.lower()
    for kind, suffixes in {"root": (".root",), "parquet": (".parquet", ".pq"), "csv": (".csv", ".csv.gz")}.items():
        if name.endswith(suffixes):
            return kind
    raise FileError(f"{path}: unknown format; allowed are .root, .parquet, .csv and .csv.gz")


def _check_columns(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in found]:
        close = difflib.get_close_matches(missing[0], found, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(list(found)[:40])}"
        raise FileError(f"{path}: no column {missing[0]!r}; {hint} (dataset.columns lists what is read)")


def _tree(root: Any, path: Path, tree: str) -> Any:
    if path.stat().st_size < root.file.fEND:
        raise FileError(f"{path}: truncated, {path.stat().st_size} of {root.file.fEND} bytes; {REMEDY}")
    names = [name for name, kind in root.classnames(cycle=False).items() if kind == "TTree" or "RNTuple" in kind]
    if tree not in names:
        raise FileError(f"{path}: no tree {tree!r}; it has {', '.join(names) or 'none'} (set dataset.tree)")
    return root[tree]


def _opened(path: Path, tree: str) -> Any:
    """Return a tree of a ROOT file; the last one is kept, since its directory takes as long to read as many events."""
    status = path.stat()
    return _kept_tree(path.absolute(), tree, (status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _kept_tree(path: Path, tree: str, _status: tuple[int, ...]) -> Any:
    """Return the tree of a file that is as *_status* says; uproot holds no file open and, so, no arrays in memory."""
    import uproot

    return _tree(uproot.open(path, array_cache=None), path, tree)


def _read_root(path: Path, columns: Sequence[str], start: int, stop: int, tree: str, **options: Any) -> Any:
    events = _opened(path, tree)
    _check_columns(path, columns, events.keys())
    return events.arrays(list(columns), entry_start=start, entry_stop=stop, **options)


def read_jagged(path: Path, branches: Sequence[str], start: int, stop: int, tree: str = TREE) -> dict[str, Any]:
    """Return rows *start* to *stop* of *branches* of a ROOT file as awkward arrays: numbers, or lists of them."""
    with _naming(path):
        arrays: dict[str, Any] = _read_root(path, branches, start, stop, tree, library="ak", how=dict)
        return arrays


def _parquet(path: Path, **options: Any) -> Any:
    """Open a Parquet file; pages that have a checksum, as ours do, are compared with it when they are read."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, page_checksum_verification=True, **options)


def _read_parquet(path: Path, columns: Sequence[str], start: int, stop: int) -> Columns:
    status = path.stat()
    metadata, ends = _kept_footer(path.absolute(), (status.st_ino, status.st_size, status.st_mtime_ns))
    source = _parquet(path, metadata=metadata)
    _check_columns(path, columns, source.schema_arrow.names)
    first = int(
        np.searchsorted(ends, start, side="right")
    )  # the row group of row start, and the one after row stop - 1
    last = min(int(np.searchsorted(ends, stop, side="left")) + 1, len(ends))
    table = source.read_row_groups(range(first, last), columns=list(columns))
    table = table.slice(start - (int(ends[first - 1]) if first else 0), stop - start)
    return {name: _flat(path, name, _array(table.column(name).combine_chunks())) for name in columns}


@functools.lru_cache(maxsize=2)
def _kept_footer(path: Path, _status: tuple[int, ...]) -> tuple[Any, np.ndarray]:
    """Return what a Parquet file says of itself and the row after each row group, of a file that is as *_status* says.

    Read once, not for every piece: in a file of a billion events it is as large as many pieces.
    """
    import pyarrow.parquet as pq

    metadata = pq.ParquetFile(path).metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return metadata, np.cumsum(rows, dtype=np.int64)


def _flat(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return numbers as float32, float64 or int64, whichever holds them exactly."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        jagged = values.ndim > 1 or (len(values) and np.ndim(values[0]) == 1)
        remedy = "; read jagged branches with `kind: nanoaod`" if jagged and _kind(path) == "root" else ""
        raise FileError(f"{path}: column {name!r} is not one number per event (jagged, text or object){remedy}")
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind in "biu":
        return values.astype(np.int32 if values.dtype.itemsize < 4 else np.int64)
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values


def write_event_parts(path: Path | str, parts: Iterator[Columns], categories: Mapping[str, Sequence[str]]) -> int:
    """Write *parts*, one row group each, to a Parquet file and return the number of rows.

    Columns named in *categories* hold indices into the given names and are stored as dictionary-encoded strings.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = 0
    with replacing(path) as temporary, contextlib.ExitStack() as stack:
        writer: Any = None
        for columns in parts:
            table = pa.table({name: _arrow(values, categories.get(name)) for name, values in columns.items()})
            if writer is None:
                texts: Any = list(categories) or False  # numbers hardly repeat: dictionaries cost time and space
                options = {"compression": "zstd", "use_dictionary": texts, "write_page_checksum": True}
                writer = stack.enter_context(pq.ParquetWriter(temporary, table.schema, **options))
            writer.write_table(table)
            rows += table.num_rows
        if writer is None:
            raise FileError(f"{path}: nothing to write")
        stack.close()
    return rows


def _arrow(values: np.ndarray, names: Sequence[str] | None) -> Any:
    import pyarrow as pa

    if names is None:
        return _numbers(values)
    texts = [name.encode() for name in names]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    dictionary = pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))
    return pa.DictionaryArray.from_arrays(_numbers(values.astype(np.int16)), dictionary)


def _numbers(values: np.ndarray) -> Any:
    """Return what ``pyarrow.array`` does, which would import pandas: half a second in each of many short jobs."""
    import pyarrow as pa

    if values.dtype.kind not in "iuf":
        return pa.array(values)
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def _array(values: Any) -> np.ndarray:
    """Return an Arrow array as numpy's, like ``to_numpy``, which would import pandas."""
    import pyarrow as pa

    plain = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not plain or values.null_count or not len(values):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    numbers = np.frombuffer(values.buffers()[1], values.type.to_pandas_dtype())
    return numbers[values.offset : values.offset + len(values)]


def read_event_parts(
    path: Path, columns: Sequence[str], categories: Mapping[str, Sequence[str]], rows: int = 200_000
) -> Iterator[Columns]:
    """Yield at most *rows* rows at a time of a file of `write_event_parts`; memory does not grow with the file.

    Columns named in *categories* hold text and become indices (int64) into the given names.
    """
    with _naming(path):
        source = _parquet(path, read_dictionary=list(categories))
        _check_columns(path, [*columns, *categories], source.schema_arrow.names)
        for batch in source.iter_batches(rows, columns=[*columns, *categories]):
            numbers = {name: _flat(path, name, _array(batch.column(name))) for name in columns}
            yield numbers | {
                name: _indices(path, name, batch.column(name), known) for name, known in categories.items()
            }


def texts(path: Path, column: str) -> list[str]:
    """Return the different texts of a column of a file of `write_event_parts`, in the order of their appearance."""
    with _naming(path):
        source = _parquet(path, read_dictionary=[column])
        _check_columns(path, [column], source.schema_arrow.names)
        found = (batch.column(column).dictionary.to_pylist() for batch in source.iter_batches(columns=[column]))
        return list(dict.fromkeys(text for known in found for text in known))


def _indices(path: Path, column: str, values: Any, names: Sequence[str]) -> np.ndarray:
    """Return the index into *names* of every value of a dictionary-encoded column."""
    known = {name: index for index, name in enumerate(names)}
    codes = np.asarray([known.get(name, -1) for name in values.dictionary.to_pylist()], dtype=np.int64)
    found = codes[_array(values.indices)]
    if np.any(found < 0):
        unknown = sorted(set(values.dictionary.to_pylist()) - known.keys())
        raise FileError(f"{path}: column {column!r} has {unknown[0]!r}; expected {', '.join(names)}")
    return np.asarray(found)
