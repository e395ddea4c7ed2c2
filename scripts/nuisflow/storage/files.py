"""Read and write every format; the only module that knows formats.

Files appear whole or not at all: they are written beside their final place and renamed, so that a killed job or a full
disk leaves no half file that could be taken for a result.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from nuisflow.storage import disks

if TYPE_CHECKING:
    import hist
    import pandas as pd

replacing = disks.replacing
REMEDY = "delete it and run again, or fetch it again if the workflow does not make it"


class FileError(ValueError):
    """A file that is missing, damaged, or not what it should be."""


class MissingColumnError(FileError):
    """A file without *columns* that are asked for."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        super().__init__(text)
        self.columns = frozenset(columns)


def write_text(path: Path | str, text: str) -> None:
    """Write *text* in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: Any) -> None:
    """Write *content* as JSON; NaN and infinity are errors, since JSON has no such numbers."""
    try:
        text = json.dumps(content, indent=1, allow_nan=False, default=_plain)
    except ValueError as error:
        raise FileError(f"{path}: {error}: a result that is not a number cannot be written") from None
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:
    """Turn numpy values into what JSON knows."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not JSON ({error}); delete the file and run again") from None


def write_table(path: Path | str, table: "pd.DataFrame") -> None:
    """Write *table* as CSV or Parquet, by the suffix of *path*."""
    with replacing(path) as temporary:
        if Path(path).suffix == ".csv":
            table.to_csv(temporary, index=False, lineterminator="\n")
        else:
            table.to_parquet(temporary, index=False, write_page_checksum=True)


def write_rows(path: Path | str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write *rows* as CSV, to the byte as `write_table` does, which would import pandas: a second of a short job.

    Numbers of a column are whole if all are; what a row does not have, None and NaN are empty.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_cells([row.get(name) for row in rows]) for name in names]
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))


def _cells(values: list[Any]) -> list[Any]:
    """Return *values* of one column as CSV shows them: as fractions if one is a fraction or missing."""
    whole = all(isinstance(value, bool | int | np.bool_ | np.integer) for value in values)
    if whole or any(isinstance(value, str) for value in values):
        return ["" if value is None else value for value in values]
    numbers = [np.nan if value is None else float(value) for value in values]
    return ["" if np.isnan(number) else number for number in numbers]


def read_table(path: Path | str) -> "pd.DataFrame":
    """Read a CSV or Parquet file as a table."""
    import pandas as pd

    try:
        if Path(path).suffix == ".csv":
            if not Path(path).read_bytes().endswith(b"\n"):
                raise ValueError("it ends within a line")
            return pd.read_csv(path)
        return pd.read_parquet(path, page_checksum_verification=True)
    except Exception as error:  # pandas and Arrow raise errors of many types for damaged bytes
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FileError(f"{path}: cannot be read as a table ({reason}); delete the file and run again") from error


def write_array(path: Path | str, blocks: Iterator[np.ndarray]) -> None:
    """Write *blocks* of rows of one type as one NumPy array (.npy); memory does not grow with their number."""
    with replacing(path) as temporary, temporary.open("w+b") as handle:
        kind, rows = None, 0
        for block in blocks:
            if kind is None:
                kind = block.dtype
                _write_header(handle, kind, 0)
            handle.write(block.tobytes())
            rows += len(block)
        if kind is None:
            raise FileError(f"{path}: nothing to write")
        handle.seek(0)
        _write_header(handle, kind, rows)  # of the same length: NumPy leaves room for any number of rows


def _write_header(handle: BinaryIO, kind: np.dtype[Any], rows: int) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(handle, header)


def write_histograms(path: Path | str, histograms: "Mapping[str, hist.Hist[Any]]") -> None:
    """Write named histograms as JSON in the UHI schema, which any histogram library reads."""
    import uhi.io.json

    def encode(value: Any) -> Any:
        try:
            return uhi.io.json.default(value)
        except TypeError:
            return _plain(value)

    text = json.dumps(dict(histograms), default=encode, indent=None)
    write_text(path, text + "\n")


def read_histograms(path: Path | str) -> "dict[str, hist.Hist[Any]]":
    """Read what `write_histograms` wrote."""
    import hist
    import uhi.io.json

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"), object_hook=uhi.io.json.object_hook)
        return {name: hist.Hist(histogram) for name, histogram in content.items()}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not JSON ({error}); delete the file and run again") from None
    except Exception as error:  # a damaged letter of a key or a kind; hist and uhi raise errors of many types
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise FileError(f"{path}: not histograms ({reason}); delete the file and run again") from error
