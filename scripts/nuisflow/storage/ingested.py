"""The columnar file of one sample: an Arrow IPC file, uncompressed, that is read by parts and notices damage.

Anything that knows Arrow reads it. Rows stand in batches of `ROWS`; the metadata of every batch has one checksum per
column, with which a process compares what it reads, once. Bytes are read, not mapped: mapped pages count as memory of
the job, and a file that shrinks on a network disk would kill it without a word.
"""

import contextlib
import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nuisflow.storage.files import FileError, replacing

Columns = dict[str, Any]
"""Columns by name: numpy arrays, or awkward arrays of lists."""
LISTS: Literal["lists"] = "lists"
Kind = np.dtype[Any] | Literal["lists"]
"""The type of a column: numpy's for one number per row, or ``LISTS``."""
ROWS = 65_536
"""Rows per batch: what is read, compared and gathered at once."""
CHECKSUMS = b"xxh3_64"
_REMEDY = "delete it and run again"


def open(path: Path | str) -> "Table":  # noqa: A001 (as gzip.open and wave.open)
    """Return the table in the file *path*; one that did not change since the last call is not looked at again."""
    place = Path(path).absolute()
    return _kept(place, _status(place))


def _status(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; run again to have it made") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _kept(path: Path, status: tuple[int, ...]) -> "Table":
    return Table(path, status)


class Table:
    """The columns of a file (see `open`): *rows* of them, and in *columns* their types (numpy's, or ``LISTS``)."""

    def __init__(self, path: Path, status: tuple[int, ...]) -> None:
        self.path = path
        self.status = status
        self.columns: dict[str, Kind] = {}
        with self._reading(()) as source:
            batches: int = source.num_record_batches
            self._types = {field.name: field.type for field in source.schema}
            self.columns = {name: _kind(kind) for name, kind in self._types.items()}
        with self._reading(list(self.columns)[:1]) as source:
            self.rows: int = (batches - 1) * ROWS + source.get_batch(batches - 1).num_rows if batches else 0
        self._compared = {name: bytearray(batches) for name in self.columns}

    def read(
        self, columns: Sequence[str], start: int = 0, stop: int | None = None, *, writable: bool = True
    ) -> Columns:
        """Return rows *start* to *stop* (default: all) of *columns*.

        Arrays that need not be *writable* are the bytes as they were read, not a copy, where rows are a whole batch.
        """
        stop = self.rows if stop is None else stop
        if not 0 <= start <= stop <= self.rows:
            raise IndexError(f"{self.path}: rows {start} to {stop} of {self.rows}")
        edges = [start, *range(start - start % ROWS + ROWS, stop, ROWS), stop]
        cuts = [
            (low // ROWS, slice(low % ROWS, low % ROWS + high - low))
            for low, high in itertools.pairwise(edges)
            if low < high
        ]
        if not writable and len(cuts) == 1 and cuts[0][1] == slice(0, min(ROWS, self.rows - start)):
            return self._whole(columns, cuts[0][0])
        return self._gathered(columns, cuts, stop - start)

    def take(self, columns: Sequence[str], rows: np.ndarray) -> Columns:
        """Return the *rows* of *columns*, numbers that ascend; batches without any of them are not read."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows[0] < 0 or rows[-1] >= self.rows or np.any(rows[1:] < rows[:-1])):
            raise IndexError(f"{self.path}: numbers of rows must ascend, from 0 to below {self.rows}")
        batches, first = np.unique(rows // ROWS, return_index=True)
        parts = np.split(rows % ROWS, first[1:])
        return self._gathered(columns, list(zip(batches.tolist(), parts, strict=False)), len(rows))

    def _gathered(self, columns: Sequence[str], cuts: Sequence[tuple[int, Any]], size: int) -> Columns:
        """Return parts of batches one after the other, *size* rows; arrays of numbers are filled as they are read."""
        if not columns:
            return {}
        self._check(columns)
        numbers = {name: np.empty(size, kind) for name in columns if (kind := self.columns[name]) != LISTS}
        lists: dict[str, list[Any]] = {name: [] for name in columns if name not in numbers}
        place = dict.fromkeys(columns, 0)
        with self._reading(columns) as source:
            for batch, cut in cuts:
                for name, array in self._batch(source, batch).items():
                    if name in lists:
                        lists[name].append(_lists(array)[cut])
                        continue
                    values = _numbers(array)[cut]
                    numbers[name][place[name] : place[name] + len(values)] = values
                    place[name] += len(values)
        return {name: numbers[name] if name in numbers else self._joined(name, lists[name]) for name in columns}

    def _whole(self, columns: Sequence[str], batch: int) -> Columns:
        """Return all rows of a batch; nothing but lists is copied."""
        self._check(columns)
        with self._reading(columns) as source:
            arrays = self._batch(source, batch)
        return {
            name: self._joined(name, [_lists(arrays[name])]) if self.columns[name] == LISTS else _numbers(arrays[name])
            for name in columns
        }

    def _check(self, columns: Sequence[str]) -> None:
        """Raise an error that names the first of *columns* that is not there."""
        if missing := [name for name in columns if name not in self.columns]:
            raise FileError(f"{self.path}: no column {missing[0]!r}; it has {', '.join(self.columns)}; {_REMEDY}")

    def _joined(self, name: str, parts: list[Any]) -> Any:
        """Return the parts of a column of lists as one, in memory of its own."""
        import awkward as ak
        import pyarrow as pa

        return ak.to_packed(ak.concatenate(parts)) if parts else _lists(pa.array([], self._types[name]))

    def _batch(self, source: Any, index: int) -> Columns:
        """Return the Arrow arrays of a batch, compared with their checksums if they were not yet."""
        batch = source.get_batch_with_custom_metadata(index)
        arrays = dict(zip(batch.batch.schema.names, batch.batch.columns, strict=True))
        for name, array in arrays.items():
            if not self._compared[name][index]:
                known = json.loads(batch.custom_metadata[CHECKSUMS])
                if known.get(name) != _checksum(name, index, array):
                    raise FileError(f"{self.path}: column {name!r} is damaged in batch {index}; {_REMEDY}")
                self._compared[name][index] = 1
        return arrays

    @contextlib.contextmanager
    def _reading(self, columns: Sequence[str]) -> Iterator[Any]:
        """Give what reads the batches, of *columns* only (none: all); errors name the file.

        Damaged bytes make Arrow raise errors of many types, a length that is damaged one of memory.
        """
        import pyarrow as pa

        fields = [index for index, name in enumerate(self.columns) if name in columns]
        try:
            if _status(self.path) != self.status:
                raise FileError(f"{self.path}: was written anew while it was read; run again")
            with pa.OSFile(str(self.path)) as file:
                yield pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields))
        except FileError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError) and not isinstance(error, pa.ArrowException):
                raise
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise FileError(f"{self.path}: cannot be read ({reason}); truncated or damaged? {_REMEDY}") from error


def write(path: Path | str, pieces: Iterable[Mapping[str, Any]]) -> int:
    """Write *pieces*, columns of the same names and types, one below the other; return the number of rows."""
    import pyarrow as pa

    rows = 0
    with replacing(path) as temporary, contextlib.ExitStack() as stack:
        writer: Any = None
        for index, columns in enumerate(_batches(path, pieces)):
            arrays = {name: _arrow(path, name, values) for name, values in columns.items()}
            if writer is None:
                schema = pa.schema([pa.field(name, array.type, nullable=False) for name, array in arrays.items()])
                writer = stack.enter_context(pa.ipc.new_file(str(temporary), schema))
            checksums = json.dumps({name: _checksum(name, index, array) for name, array in arrays.items()})
            batch = pa.record_batch(list(arrays.values()), schema=schema)
            writer.write_batch(batch, custom_metadata={CHECKSUMS: checksums.encode()})
            rows += batch.num_rows
        if writer is None:
            raise FileError(f"{path}: nothing to write")
        stack.close()
    return rows


def _batches(path: Path | str, pieces: Iterable[Mapping[str, Any]]) -> Iterator[Columns]:
    """Yield *pieces* cut anew, into batches of `ROWS` rows; the last has what is left, the only one may have none."""
    left: Columns | None = None
    cut = False
    for piece in pieces:
        columns = dict(piece) if left is None else _below(path, left, piece)
        size = len(next(iter(columns.values())))
        for start in range(0, size - size % ROWS, ROWS):
            cut = True
            yield {name: values[start : start + ROWS] for name, values in columns.items()}
        left = {name: values[size - size % ROWS :] for name, values in columns.items()}
    if left is not None and not (cut and not len(next(iter(left.values())))):
        yield left


def _below(path: Path | str, first: Columns, second: Mapping[str, Any]) -> Columns:
    """Return *second* below *first*, whose columns must be the same."""
    kinds = [{name: str(kind_of(values)) for name, values in part.items()} for part in (first, second)]
    if kinds[0] != kinds[1]:
        name, kind = next(pair for pair in {**kinds[1], **kinds[0]}.items() if pair not in kinds[1].items())
        raise FileError(f"{path}: column {name!r} is {kind} in some rows and {kinds[1].get(name, 'missing')} in others")
    return {
        name: _concatenated([values, second[name]]) if len(values) else second[name] for name, values in first.items()
    }


def _concatenated(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import awkward as ak

    return ak.concatenate(parts)


def kind_of(values: Any) -> Kind:
    """Return the type that a column of these *values* has."""
    return values.dtype if isinstance(values, np.ndarray) else LISTS


# --- between arrays and Arrow -----------------------------------------------------------------------------------------


def _arrow(path: Path | str, name: str, values: Any) -> Any:
    """Return numbers or lists of them as an Arrow array whose buffers hold nothing else."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "biuf":
        return plain(values)
    if not isinstance(values, np.ndarray) and getattr(values, "layout", None) is not None:
        import awkward as ak

        layout = ak.to_packed(ak.from_regular(values, axis=None)).layout
        if (array := _nested(layout)) is not None:
            return array
    kind = f"{values.dtype} of {values.ndim} dimensions" if isinstance(values, np.ndarray) else values.type
    raise FileError(f"{path}: column {name!r} holds neither numbers nor lists of numbers ({kind})")


def plain(values: np.ndarray) -> Any:
    """Return what ``pyarrow.array`` does, which would import pandas: half a second in each of many short jobs."""
    import pyarrow as pa

    if values.dtype.kind == "b":
        bits = np.packbits(values, bitorder="little")
        return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _nested(layout: Any) -> Any:
    """Return the Arrow array of a packed awkward layout; None for anything but numbers and lists of them."""
    import pyarrow as pa

    if layout.is_list and layout.parameters.get("__array__") is None and hasattr(layout, "offsets"):
        content = _nested(layout.content)
        offsets = pa.py_buffer(np.ascontiguousarray(layout.offsets.data, np.int64))
        kind = None if content is None else pa.large_list(pa.field("item", content.type, nullable=False))
        return kind and pa.Array.from_buffers(kind, layout.length, [None, offsets], children=[content])
    return plain(np.asarray(layout.data)) if layout.is_numpy and layout.data.dtype.kind in "biuf" else None


def _numbers(array: Any) -> np.ndarray:
    """Return the numbers of an Arrow array; but for booleans, which are bits, nothing is copied."""
    kind, buffer = _kind(array.type), array.buffers()[-1]
    if not len(array) or kind == LISTS:
        return np.empty(0, kind)
    if kind == np.bool_:
        bits = np.frombuffer(buffer, np.uint8)
        return np.unpackbits(bits, count=len(array), bitorder="little").view(np.bool_)
    return np.frombuffer(buffer, kind, count=len(array))


def _lists(array: Any) -> Any:
    """Return an Arrow array of lists as an awkward one; nothing is copied."""
    import awkward as ak

    return ak.Array(_layout(array))


def _layout(array: Any) -> Any:
    from awkward import contents, index

    if _kind(array.type) != LISTS:
        return contents.NumpyArray(_numbers(array))
    offsets = np.frombuffer(array.buffers()[1], np.int64, count=len(array) + 1) if len(array) else np.zeros(1, np.int64)
    return contents.ListOffsetArray(index.Index64(offsets), _layout(array.values))


def _kind(kind: Any) -> Kind:
    """Return the type of a column whose Arrow type is *kind*."""
    return LISTS if hasattr(kind, "value_type") else np.dtype(kind.to_pandas_dtype())


def _checksum(name: str, batch: int, array: Any) -> str:
    """Return the checksum of a column of a batch: of its bytes, and of what they mean."""
    import xxhash

    found = xxhash.xxh3_64(f"{name}:{array.type}:{batch}:{len(array)}".encode())
    for part in _bytes(array):
        found.update(part)
    return found.hexdigest()


def _bytes(array: Any) -> Iterator[Any]:
    """Yield the bytes of an Arrow array without those that only fill up."""
    if _kind(array.type) == LISTS:
        if len(array):
            yield memoryview(array.buffers()[1])[: 8 * (len(array) + 1)]
        yield from _bytes(array.values)
    elif len(array):
        yield memoryview(array.buffers()[-1])[: -(-len(array) * array.type.bit_width // 8)]
