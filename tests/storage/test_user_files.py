"""Tests of reading the files of users in every format, piece by piece."""

import gzip

import numpy as np
import pandas as pd
import pytest
import uproot

from nuisflow.storage import user_files
from nuisflow.storage.files import FileError

COLUMNS = {"pt": np.array([1.5, 2.5, 3.5, 4.5]), "njets": np.array([0, 1, 2, 3], dtype=np.int64)}


@pytest.fixture(params=["root", "rntuple", "parquet", "csv", "csv.gz"])
def event_file(request, tmp_path):
    path = tmp_path / f"events.{'root' if request.param == 'rntuple' else request.param}"
    match request.param:
        case "root" | "rntuple":
            with uproot.recreate(path) as root:
                (root.mktree if request.param == "root" else root.mkrntuple)("events", COLUMNS)
        case "parquet":
            pd.DataFrame(COLUMNS).to_parquet(path, row_group_size=3)
        case _:
            pd.DataFrame(COLUMNS).to_csv(path, index=False)
    return path


def pieces(path, columns, rows, text=None):
    kinds = user_files.kinds(path, columns, "events", text or {})
    return list(user_files.pieces(path, kinds, rows, "events", text or {}))


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1, 1, 1, 1]), (3, [3, 1]), (4, [4]), (100, [4])])
def test_every_format_gives_the_same_rows_in_pieces_of_any_size(event_file, rows, sizes):
    found = pieces(event_file, ["njets", "pt"], rows)
    assert [len(piece["pt"]) for piece in found] == sizes
    for name, values in COLUMNS.items():
        joined = np.concatenate([piece[name] for piece in found])
        assert joined.dtype == values.dtype
        assert joined.tolist() == values.tolist()


def test_a_wrong_column_is_named_with_the_file_and_a_suggestion(event_file):
    with pytest.raises(FileError, match=r"events\..*no column 'njet'; did you mean 'njets'"):
        user_files.kinds(event_file, ["njet"], "events", {})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_text_becomes_its_place_among_the_known_names(tmp_path, suffix):
    path, table = tmp_path / f"events.{suffix}", pd.DataFrame({"label": ["s", "b", "b"], "x": [1, 2, 3]})
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    (columns,) = pieces(path, ["label", "x"], 10, {"label": ("b", "s")})
    assert columns["label"].tolist() == [1, 0, 0]
    with pytest.raises(FileError, match="column 'label' has 's'; expected a, b"):
        pieces(path, ["label", "x"], 10, {"label": ("a", "b")})


def test_a_gzip_that_ends_early_is_named(tmp_path):
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(b"pt\n" + b"1.0\n" * 1000)[:-12])
    with pytest.raises(FileError, match=r"events\.csv\.gz: cannot be read"):
        pieces(path, ["pt"], 10)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00pt\n1\n")
    with pytest.raises(FileError, match=r"s\.csv: cannot be read"):
        pieces(tmp_path / "s.csv", ["pt"], 10)
