"""Read the files of the user, ROOT, Parquet and CSV: the only module that knows their formats.

A type means the same in all of them. Booleans (in CSV: true and false) stay booleans, whole numbers become int64,
fractions keep their precision, lists of numbers (ROOT only) become awkward arrays. What cannot be such a number is
refused, with its type and a remedy; a missing number is NaN.
"""

import contextlib
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.storage.files import REMEDY, FileError, MissingColumnError
from nuisflow.storage.ingested import LISTS, Kind
from nuisflow.storage.streams import Ended

Columns = dict[str, Any]
Text = Mapping[str, Sequence[str]]
"""Columns of text, and what may be in them."""
BOOLEAN, WHOLE, SINGLE, DOUBLE = (np.dtype(name) for name in ("bool", "int64", "float32", "float64"))
CODE = np.dtype("int16")
"""The type of a column of text: the index of what it may be."""
EXACT = 2**53
"""Whole numbers up to here are exact in double precision."""
_BLOCK = 8 << 20
_FLAGS = "flags must be true or false everywhere: fill what is missing, or write them as 0 and 1"


class Wider(Exception):  # noqa: N818 (no error: whoever catches it reads once more)
    """A column that looked like whole numbers has fractions, or misses some: it has to be read as float64."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def kinds(path: Path, columns: Sequence[str], tree: str, text: Text, most: int | None = None) -> dict[str, Kind | None]:
    """Return the type that every column of a file has, as far as can be told without reading it (None: not at all).

    *most*: bytes of a CSV file that are read for it, up to the end of a line.
    """
    with naming(path):
        match _format(path):
            case "root":
                return _kinds_of_root(path, columns, tree)
            case "parquet":
                return _kinds_of_parquet(path, columns, text)
            case _:
                return _kinds_of_csv(path, columns, text, most)


def pieces(
    path: Path, chosen: Mapping[str, Kind], rows: int, tree: str, text: Text, *, most: int | None = None
) -> Iterator[Columns]:
    """Yield all rows of a file, *rows* at a time and the rest, in the types *chosen*; may raise `Wider`.

    *most*: bytes of a CSV file that are read at all, up to the end of a line.
    """
    with naming(path):
        match _format(path):
            case "root":
                found = _iterate_root(path, chosen, rows, tree)
            case "parquet":
                found = _iterate_parquet(path, chosen, rows)
            case _:
                found = _iterate_csv(path, chosen, rows, text, most)
        for piece in found:
            yield {
                name: _codes(path, name, piece[name], text[name])
                if name in text
                else _as(path, name, piece[name], kind)
                for name, kind in chosen.items()
            }


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a reader raise into one error that names the file."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; check dataset.path and the files of the sample")
    try:
        yield
    except (FileError, MemoryError, Wider):
        raise
    except Exception as error:  # readers raise zlib, struct, Arrow, uproot, … errors for damaged bytes
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FileError(f"{path}: cannot be read ({reason}); truncated or damaged? {REMEDY}") from error


def _format(path: Path) -> str:
    name = path.name.lower()
    for kind, suffixes in {"root": (".root",), "parquet": (".parquet", ".pq"), "csv": (".csv", ".csv.gz")}.items():
        if name.endswith(suffixes):
            return kind
    raise FileError(f"{path}: unknown format; allowed are .root, .parquet, .csv and .csv.gz")


def check_columns(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    """Raise an error that names the first column that is missing, or there twice."""
    if missing := [name for name in wanted if name not in found]:
        close = difflib.get_close_matches(missing[0], found, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(list(found)[:40])}"
        text = f"{path}: no column {missing[0]!r}; {hint} (dataset.columns lists what is read)"
        raise MissingColumnError(text, missing)
    if twice := [name for name in wanted if list(found).count(name) > 1]:
        raise FileError(f"{path}: {list(found).count(twice[0])} columns are called {twice[0]!r}; rename all but one")


def meaning(kind: np.dtype[Any]) -> np.dtype[Any] | None:
    """Return the type in which values of numpy's type *kind* are kept; None: they are no numbers we can keep."""
    match kind.kind:
        case "b":
            return BOOLEAN
        case "i" | "u":
            return WHOLE
        case "f" if kind.itemsize <= 8:
            return DOUBLE if kind.itemsize == 8 else SINGLE
        case _:
            return None


def _refused(path: Path, name: str, what: object, remedy: str) -> FileError:
    return FileError(f"{path}: column {name!r} is not one number per event but {what}; {remedy}")


def _as(path: Path, name: str, values: Any, kind: Kind) -> Any:
    """Return *values* in the type *kind*, all of them exactly, or raise an error."""
    if not isinstance(values, np.ndarray):
        return _lists(values) if kind == LISTS else _as(path, name, np.asarray(values), kind)
    if values.dtype.kind == "u" and values.dtype.itemsize == 8 and np.any(large := values > np.iinfo(np.int64).max):
        remedy = f"write it as float64, or as two columns: {name} // 2**32 and {name} % 2**32"
        raise FileError(f"{path}: column {name!r} has {values[large][0]}, beyond 2**63 - 1; {remedy}")
    if kind == DOUBLE and values.dtype.kind in "iu" and len(values) and max(abs(int(values.min())), int(values.max())) > EXACT:  # fmt: skip  # noqa: E501
        raise _inexact(path, name)
    return _widened(values, kind)


def _widened(values: np.ndarray, kind: Any) -> np.ndarray:
    """Return *values* as *kind*; fractions of less precision become the decimal numbers that they were: -99.9 stays so.

    ASSUME: the shortest decimal number that is the value in its own precision, at most half of its last digit away.
    """
    if values.dtype.kind == "f" and np.dtype(kind).kind == "f" and values.dtype.itemsize < np.dtype(kind).itemsize:
        return values.astype(np.bytes_).astype(kind)
    return values.astype(kind, copy=False)


def _inexact(path: Path, name: str) -> FileError:
    remedy = "fill gaps and write no fractions in it, in no file, or split it into x // 2**32 and x % 2**32"
    return FileError(f"{path}: column {name!r} has whole numbers beyond 2**53, not exact as float64; {remedy}")


def _lists(values: Any) -> Any:
    """Return an awkward array with whole numbers as int64, like those of flat columns."""
    import awkward as ak

    def widened(layout: Any, **_: Any) -> Any:
        if not layout.is_numpy:
            return None
        return ak.contents.NumpyArray(_widened(layout.data, meaning(layout.data.dtype)))

    return ak.transform(widened, ak.from_regular(values, axis=None))


def _codes(path: Path, name: str, values: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Return the index into *known* of every text in *values*."""
    found, places = np.unique(values.astype(str), return_inverse=True)
    if unknown := [str(text) for text in found if text not in known]:
        raise FileError(f"{path}: column {name!r} has {unknown[0]!r}; expected {', '.join(known)}")
    return np.array([list(known).index(text) for text in found], dtype=CODE)[places]


# --- ROOT -------------------------------------------------------------------------------------------------------------


def _tree(root: Any, path: Path, tree: str) -> Any:
    if path.stat().st_size < root.file.fEND:
        raise FileError(f"{path}: truncated, {path.stat().st_size} of {root.file.fEND} bytes; {REMEDY}")
    names = [name for name, kind in root.classnames(cycle=False).items() if kind == "TTree" or "RNTuple" in kind]
    if tree not in names:
        raise FileError(
            f"{path}: no tree {tree!r}; it has {', '.join(names) or 'none'} (set dataset.tree, or tree of the sample)"
        )
    return root[tree]


def _kinds_of_root(path: Path, columns: Sequence[str], tree: str) -> dict[str, Kind | None]:
    import uproot

    with uproot.open(path) as root:
        events = _tree(root, path, tree)
        check_columns(path, columns, events.keys())
        arrays = events.arrays(list(columns), entry_stop=0, library="ak", how=dict)
        return {name: _kind_of_branch(path, name, arrays[name]) for name in columns}


def _kind_of_branch(path: Path, name: str, values: Any) -> Kind:
    """Return the type of a branch: of its numbers, or lists if it has lists of numbers."""
    layout = values.layout
    while layout.is_list and layout.parameter("__array__") is None:
        layout = layout.content
    if layout.is_numpy and layout.parameter("__array__") is None and (kind := meaning(layout.data.dtype)):
        return kind if values.ndim == 1 else LISTS
    raise _refused(path, name, str(values.type).partition(" * ")[2], "leave it out")


def _iterate_root(path: Path, chosen: Mapping[str, Kind], rows: int, tree: str) -> Iterator[Columns]:
    import uproot

    lists = any(kind == LISTS for kind in chosen.values())
    options: dict[str, Any] = {"library": "ak", "how": dict} if lists else {"library": "np"}
    with uproot.open(path) as root:
        yield from _tree(root, path, tree).iterate(list(chosen), step_size=rows, **options)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def parquet(path: Path, **options: Any) -> Any:
    """Open a Parquet file; pages that have a checksum, as ours do, are compared with it when they are read."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, page_checksum_verification=True, **options)


def _kinds_of_parquet(path: Path, columns: Sequence[str], text: Text) -> dict[str, Kind | None]:
    schema = parquet(path).schema_arrow
    check_columns(path, columns, schema.names)
    return {name: CODE if name in text else _kind_of_arrow(path, name, schema.field(name).type) for name in columns}


def _kind_of_arrow(path: Path, name: str, kind: Any) -> Kind:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return BOOLEAN
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return meaning(np.dtype(kind.to_pandas_dtype())) or DOUBLE
    if pa.types.is_decimal(kind):
        raise _refused(path, name, kind, "write it as float64")
    if pa.types.is_temporal(kind):
        raise _refused(path, name, kind, "write it as a number, e.g. seconds since 1970")
    raise _refused(path, name, kind, "leave it out, or write a number")


def _iterate_parquet(path: Path, chosen: Mapping[str, Kind], rows: int) -> Iterator[Columns]:
    for batch in parquet(path).iter_batches(rows, columns=list(chosen), use_threads=False):
        yield {name: _from_arrow(path, name, batch.column(name), kind) for name, kind in chosen.items()}


def _from_arrow(path: Path, name: str, values: Any, kind: Kind) -> np.ndarray:
    """Return an Arrow array as numpy's; missing values are NaN, which whole numbers do not have."""
    import pyarrow as pa

    if values.null_count and pa.types.is_boolean(values.type):
        raise _refused(path, name, f"bool with {values.null_count} nulls", _FLAGS)
    if values.null_count and pa.types.is_integer(values.type):
        if kind == WHOLE:
            raise Wider(name)
        if np.any(np.abs(array(values.drop_null()).astype(np.float64)) > EXACT):
            raise _refused(path, name, f"{values.type} beyond 2**53 with {values.null_count} nulls", "fill the nulls")
    return array(values)


def array(values: Any) -> np.ndarray:
    """Return an Arrow array as numpy's, like ``to_numpy``, which would import pandas."""
    import pyarrow as pa

    plain = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not plain or values.null_count or not len(values):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    numbers = np.frombuffer(values.buffers()[1], values.type.to_pandas_dtype())
    return numbers[values.offset : values.offset + len(values)]


# --- CSV --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _csv(path: Path, columns: Sequence[str], types: Mapping[str, Any], most: int | None) -> Iterator[tuple[Any, Ended]]:
    """Give a reader of *columns* (in the first *most* bytes), one thread: so that an error has its row."""
    import pyarrow as pa
    from pyarrow import csv

    with Ended(path, most) as stream:
        try:
            yield (
                csv.open_csv(
                    io.BufferedReader(stream, _BLOCK),
                    read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
                    convert_options=csv.ConvertOptions(include_columns=columns, column_types=types),
                ),
                stream,
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise _explained(path, str(error)) from error


def _explained(path: Path, error: str) -> Exception:
    """Return what an error of the CSV reader means for the user; `Wider` if whole numbers have a fraction."""
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", error):
        row, expected, got = found.groups()
        remedy = "a separator at the end of lines, or names of rows without a heading? write as many as in the header"
        return FileError(f"{path}: line {row} has {got} fields, the header {expected}; {remedy}")
    if found := re.search(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to (\w+): invalid value '(.*)'", error):  # fmt: skip  # noqa: E501
        column, row, kind, value = found.groups()
        name = _header(path)[int(column)]
        if kind == "int64" and _is_number(value):
            return Wider(name)
        remedy = _FLAGS if kind == "bool" else "correct it, or leave the column out"
        return _refused(path, name, f"text: {value!r} in line {row}", remedy)
    return FileError(f"{path}: cannot be read ({error.splitlines()[0]}); truncated or damaged? {REMEDY}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV file."""
    import csv

    with io.TextIOWrapper(io.BufferedReader(Ended(path)), encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream), [])


def _kinds_of_csv(path: Path, columns: Sequence[str], text: Text, most: int | None) -> dict[str, Kind | None]:
    import pyarrow as pa

    if not (header := _header(path)):
        raise FileError(f"{path}: is empty; {REMEDY}")
    check_columns(path, columns, header)
    with _csv(path, columns, dict.fromkeys(text, pa.string()), most) as (reader, _):
        types = {field.name: field.type for field in reader.schema}
    return {
        name: CODE if name in text else None if pa.types.is_null(kind) else _kind_of_csv(path, name, kind)
        for name, kind in types.items()
    }


def _kind_of_csv(path: Path, name: str, kind: Any) -> Kind:
    import pyarrow as pa

    if pa.types.is_string(kind):
        raise _refused(path, name, "text", "leave it out, or write a number")
    return _kind_of_arrow(path, name, kind)


def _iterate_csv(path: Path, chosen: Mapping[str, Kind], rows: int, text: Text, most: int | None) -> Iterator[Columns]:
    import pyarrow as pa

    types = {name: pa.string() if name in text else pa.from_numpy_dtype(kind) for name, kind in chosen.items()}
    with _csv(path, list(chosen), types, most) as (reader, stream):
        left: list[Any] = []
        doubles = {name for name, kind in chosen.items() if kind == DOUBLE and name not in text}
        for batch in reader:
            for name in [name for name in doubles if np.any(np.abs(array(batch.column(name))) >= EXACT)]:
                _check_exact(path, name, most)
                doubles.remove(name)
            left.append(batch)
            table = pa.Table.from_batches(left)
            whole = table.num_rows - table.num_rows % rows
            for start in range(0, whole, rows):
                yield _columns(path, table.slice(start, rows), chosen)
            left = table.slice(whole).to_batches()
        if stream.last != b"\n":
            raise FileError(f"{path}: ends within a line: broken off? {REMEDY}, or end its last line if it is whole")
        if left:
            yield _columns(path, pa.Table.from_batches(left), chosen)


def _check_exact(path: Path, name: str, most: int | None) -> None:
    """Raise an error if the text of a column that is read as float64 has whole numbers that are not exact in it."""
    import pyarrow as pa
    from pyarrow import compute

    with _csv(path, [name], {name: pa.string()}, most) as (reader, _):
        for batch in reader:
            found = batch.column(0).filter(compute.match_substring_regex(batch.column(0), r"^\s*[+-]?[0-9]{16,}\s*$"))
            if any(abs(int(text)) > EXACT for text in found.to_pylist()):
                raise _inexact(path, name)


def _columns(path: Path, table: Any, chosen: Mapping[str, Kind]) -> Columns:
    return {name: _from_arrow(path, name, table.column(name).combine_chunks(), kind) for name, kind in chosen.items()}
