"""Tests of the script ingest_events: what the files of a user become, and which are refused."""

import gzip
import os
from datetime import UTC, datetime
from decimal import Decimal

import ingesting
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ingest_events import ingest_events
from nuisflow import expressions
from nuisflow.storage import ingested, user_files
from nuisflow.storage.files import FileError

SUFFIXES = ("root", "rntuple", "parquet", "csv", "csv.gz")
NUMBER = np.arange(40)
COLUMNS = {
    "bad": NUMBER % 4 == 0,
    "n": (NUMBER - 5).astype(np.int32),
    "x": (NUMBER / 7).astype(np.float32),
    "y": np.linspace(0, 1, 40),
}


def written(folder, columns, suffix, name="s"):
    path = folder / f"{name}.{'root' if suffix == 'rntuple' else suffix}"
    if suffix in ("root", "rntuple"):
        with uproot.recreate(path) as root:
            getattr(root, "mktree" if suffix == "root" else "mkrntuple")("Events", columns)
    elif suffix == "parquet":
        pd.DataFrame(columns).to_parquet(path, row_group_size=17)
    else:
        pd.DataFrame(columns).to_csv(path, index=False)
    return path


def ingest(paths, *columns, kept=None, shared=None, weight=None):
    """Ingest *paths* and return the table."""
    settings = {
        "origin": {"kind": "flat", "tree": "Events"}, "sample": "s", "weight": weight,
        "columns": kept or columns, "declared": columns,
    }  # fmt: skip
    output = paths[0].parent / "out" / "s.arrow"
    ingest.files = ingest_events(paths, output, settings=settings, shared=shared or {})
    return ingested.open(output)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_type_means_the_same_in_every_format(tmp_path, suffix):
    table = ingest([written(tmp_path, COLUMNS, suffix)], "bad", "n", "x", "y")
    single = "float64" if suffix.startswith("csv") else "float32"
    assert table.columns == {"bad": np.bool_, "n": np.int64, "x": np.dtype(single), "y": np.float64}
    for name, values in table.read(list(COLUMNS)).items():
        np.testing.assert_allclose(values, COLUMNS[name], rtol=1e-7, err_msg=name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_not_of_a_flag_is_right_in_every_format(tmp_path, suffix):
    columns = ingest([written(tmp_path, COLUMNS, suffix)], "bad", "y").read(["bad", "y"])
    assert np.count_nonzero(expressions.evaluate("~bad", columns)) == 30
    assert np.count_nonzero(expressions.evaluate("~(bad | (y > 0.75))", columns)) == 22
    assert expressions.evaluate("bad + (y > 0.5)", columns).tolist() == [
        int(bad) + int(y > 0.5) for bad, y in zip(columns["bad"], columns["y"], strict=True)
    ]


def test_flags_of_0_and_1_in_csv_are_whole_numbers(tmp_path):
    (tmp_path / "s.csv").write_text("flag,truth\n0,true\n1,False\n")
    assert ingest([tmp_path / "s.csv"], "flag", "truth").columns == {"flag": np.int64, "truth": np.bool_}


def test_whole_numbers_are_exact_beyond_double_precision(tmp_path):
    large = np.array([2**53 + 1, -(2**62) - 1], dtype=np.int64)
    for suffix in SUFFIXES:
        path = written(tmp_path, {"n": large}, suffix)
        assert ingest([path], "n").read(["n"])["n"].tolist() == large.tolist()


def test_a_column_of_whole_numbers_may_end_with_a_fraction_or_miss_one(tmp_path, monkeypatch):
    monkeypatch.setattr(user_files, "_BLOCK", 64)
    for last, expected in (("0.5", 0.5), ("", np.nan), ("1e3", 1000.0)):
        (tmp_path / "s.csv").write_text("n,x\n" + "".join(f"{k},1\n" for k in range(50)) + f"{last},1\n")
        found = ingest([tmp_path / "s.csv"], "n", "x").read(["n", "x"])
        np.testing.assert_equal(found["n"], [*map(float, range(50)), expected])
        assert found["x"].dtype == np.int64
    pq.write_table(pa.table({"n": pa.array([1, None, 3])}), tmp_path / "s.parquet")
    np.testing.assert_equal(ingest([tmp_path / "s.parquet"], "n").read(["n"])["n"], [1, np.nan, 3])


def test_files_of_a_sample_share_the_type_that_holds_all_their_values(tmp_path):
    paths = [tmp_path / "a.csv", written(tmp_path, {"x": np.float32([0.5])}, "parquet", "b")]
    paths[0].write_text("x\n1\n2\n")
    table = ingest(paths, "x")
    assert table.columns == {"x": np.float64}
    assert table.read(["x"])["x"].tolist() == [1, 2, 0.5]
    large = written(tmp_path, {"x": np.array([2**53 + 1])}, "parquet", "c")
    with pytest.raises(FileError, match=r"c.parquet: column 'x' has whole numbers beyond 2\*\*53, not exact as float"):
        ingest([large, paths[1]], "x")
    paths[0].write_text("x\ntrue\n")
    with pytest.raises(FileError, match=r"b.parquet: column 'x' is float32, but bool in .*a.csv; write the same type"):
        ingest(paths, "x")


def test_a_decimal_number_is_the_same_in_files_of_different_precision(tmp_path):
    """-99.9 stands for 'undefined' in all of them; as float32 in float64 it would be -99.90000152587890625."""
    values = [-99.9, 0.1, 2.5, np.inf, np.nan, 3.4e38, 1e-42]
    single = written(tmp_path, {"x": np.float32(values)}, "root", "a")
    half = written(tmp_path, {"x": np.float16([-99.9, 0.1])}, "parquet", "b")
    double = tmp_path / "c.csv"
    double.write_text("x\n-99.9\n0.1\n")
    found = ingest([single, half, double], "x").read(["x"])
    np.testing.assert_array_equal(found["x"], [*values, -99.9, 0.1, -99.9, 0.1])
    assert np.count_nonzero(expressions.evaluate("x == -99.9", found)) == 3
    found = ingest([half], "x").read(["x"])
    assert found["x"].dtype == np.float32
    assert expressions.evaluate("x == -99.9", found).tolist() == [True, False]


def test_unsigned_numbers_beyond_the_range_are_refused_with_a_remedy(tmp_path):
    for suffix in ("root", "rntuple", "parquet"):
        path = written(tmp_path, {"event": np.array([1, 2**63], dtype=np.uint64)}, suffix)
        with pytest.raises(
            FileError, match=rf"{path.name}: column 'event' has {2**63}, beyond 2\*\*63 - 1; write it as"
        ):
            ingest([path], "event")
    small = np.array([0, 2**63 - 1], dtype=np.uint64)
    assert ingest([written(tmp_path, {"n": small}, "parquet", "t")], "n").read(["n"])["n"].tolist() == small.tolist()


@pytest.mark.parametrize(
    "lines",
    [["18446744073709551615", "1"], ["9007199254740993", ""], ["0.5", "1", "-9007199254740993"], ["9" * 30, "1"]],
)
def test_whole_numbers_of_csv_that_float64_would_round_are_refused(tmp_path, monkeypatch, lines):
    (tmp_path / "s.csv").write_text("event,x\n" + "".join(f"{line},1\n" for line in lines))
    for block in (8 << 20, 64):
        monkeypatch.setattr(user_files, "_BLOCK", block)
        with pytest.raises(FileError, match=r"s.csv: column 'event' has whole numbers beyond 2\*\*53, .* split it"):
            ingest([tmp_path / "s.csv"], "event")
    assert ingest([tmp_path / "s.csv"], "x").read(["x"])["x"].tolist() == [1] * len(lines)


def test_large_numbers_of_csv_that_are_no_whole_numbers_are_float64(tmp_path):
    (tmp_path / "s.csv").write_text("x\n1e25\n123456789012345678901.0\n9007199254740992\ninf\n")
    found = ingest([tmp_path / "s.csv"], "x").read(["x"])["x"]
    assert found.tolist() == [1e25, 123456789012345678901.0, 2.0**53, np.inf]


def test_rows_are_numbered_file_by_file_in_the_order_given(tmp_path):
    paths = [
        written(tmp_path, {"x": part}, "parquet", name) for name, part in zip("ba", np.split(NUMBER, [30]), strict=True)
    ]
    assert ingest(paths, "x").read(["x"])["x"].tolist() == NUMBER.tolist()
    assert ingest(paths[::-1], "x").read(["x"])["x"].tolist() == [*range(30, 40), *range(30)]


def test_the_record_has_size_rows_weights_and_checksum_of_every_file(tmp_path):
    paths = [
        written(tmp_path, {"x": part}, "csv", name) for name, part in zip("ab", np.split(NUMBER, [30]), strict=True)
    ]
    ingest(paths, "x", weight="0.5 * x")
    assert [entry["rows"] for entry in ingest.files] == [30, 10]
    assert [entry["weight"] for entry in ingest.files] == [0.5 * sum(range(30)), 0.5 * sum(range(30, 40))]
    assert [entry["size"] for entry in ingest.files] == [path.stat().st_size for path in paths]
    assert [entry["sha256"][:8] for entry in ingest.files] == [_sha256(path)[:8] for path in paths]


def _sha256(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_declared_column_that_nothing_uses_must_exist_and_is_not_kept(tmp_path):
    path = written(tmp_path, COLUMNS, "root")
    assert list(ingest([path], "x", "y", kept=["y"]).columns) == ["y"]
    with pytest.raises(FileError, match=r"s.root: no column 'yy'; did you mean 'y'\?"):
        ingest([path], "x", "yy", kept=["x"])


# What is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([True, None]), "bool with 1 nulls; flags must be true or false everywhere"),
        (pa.array([Decimal("1.5"), Decimal(2)]), r"decimal128\(.*\); write it as float64"),
        (pa.array([datetime(2020, 1, 1, tzinfo=UTC)] * 2), r"timestamp\[.*\]; write it as a number, e.g. seconds"),
        (pa.array(["a", "b"]), "string; leave it out, or write a number"),
        (pa.array([[1.0], [2.0, 3.0]]), "list<.*>; leave it out, or write a number"),
    ],
)
def test_what_is_no_number_is_refused_with_its_type_and_a_remedy(tmp_path, values, message):
    pq.write_table(pa.table({"odd": values}), tmp_path / "s.parquet")
    with pytest.raises(FileError, match=rf"s.parquet: column 'odd' is not one number per event but {message}"):
        ingest([tmp_path / "s.parquet"], "odd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,n\n1,2\n3,4,5\n", "line 3 has 3 fields, the header 2; a separator at the end of lines, or names of rows"),
        ("x,n\n1,2\n3\n", "line 3 has 1 fields, the header 2"),
        ("x,n\n1,2\n3,4", "ends within a line: broken off"),
        ("x,n\n1,a\n", "column 'n' is not one number per event but text; leave it out, or write a number"),
        ("x,n\n", "no events; an empty sample cannot be used"),
        ("", "is empty; delete it"),
        ("x,x,n\n1,2,3\n", "2 columns are called 'x'; rename all but one"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "csv.gz"])
def test_a_csv_file_that_is_not_whole_is_refused(tmp_path, suffix, content, message):
    path = tmp_path / f"s.{suffix}"
    path.write_bytes(gzip.compress(content.encode()) if suffix == "csv.gz" else content.encode())
    with pytest.raises(FileError, match=message) as caught:
        ingest([path], "x", "n")
    assert f"{path}: " in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))


def test_text_among_the_numbers_of_a_csv_file_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr(user_files, "_BLOCK", 64)
    (tmp_path / "s.csv").write_text("x,n\n" + "1,2\n" * 50 + "1,abc\n")
    with pytest.raises(FileError, match=r"s.csv: column 'n' is not one number per event but text: 'abc' in line 52;"):
        ingest([tmp_path / "s.csv"], "x", "n")


@pytest.mark.parametrize("suffix", ["root", "rntuple", "parquet", "csv.gz"])
def test_a_truncated_file_is_named(tmp_path, suffix):
    path = written(tmp_path, COLUMNS, suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileError, match=rf"{path.name}: .*"):
        ingest([path], "x", "y")


def test_a_wrong_tree_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with uproot.recreate(tmp_path / "s.root") as root:
        root["events"] = {"x": NUMBER}
    with pytest.raises(
        FileError, match=r"s.root: no tree 'Events'; it has events \(set dataset.tree, or tree of the sample\)"
    ):
        ingest([tmp_path / "s.root"], "x")
    with pytest.raises(FileError, match=r"t.root: no such file; check dataset.path"):
        ingest([tmp_path / "t.root"], "x")
    (tmp_path / "s.xlsx").write_text("")
    with pytest.raises(FileError, match=r"s.xlsx: unknown format; allowed are .root, .parquet, .csv and .csv.gz"):
        ingest([tmp_path / "s.xlsx"], "x")


def test_all_files_are_looked_at_before_one_is_read(tmp_path):
    paths = [written(tmp_path, {"x": NUMBER}, "csv", "a"), written(tmp_path, {"y": NUMBER}, "csv", "b")]
    with pytest.raises(FileError, match=r"b.csv: no column 'x'"):
        ingest(paths, "x")


def test_a_copy_of_a_file_is_refused_and_files_without_rows_are_not_copies(tmp_path):
    paths = [written(tmp_path, {"x": NUMBER}, "csv", name) for name in "ab"]
    with pytest.raises(FileError, match=r"b.csv: is a copy of .*a.csv, so that its events would count twice"):
        ingest(paths, "x")
    assert not list((tmp_path / "out").glob("*"))
    empty = [written(tmp_path, {"x": NUMBER[:0]}, "csv", name) for name in "cd"]
    assert ingest([paths[0], *empty], "x").rows == 40


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path, {"x": NUMBER}, "csv")
    pieces = user_files.pieces

    def changing(*arguments, **options):
        yield from pieces(*arguments)
        os.utime(path, (1, 1))

    monkeypatch.setattr(user_files, "pieces", changing)
    with pytest.raises(FileError, match=r"s.csv: was changed while it was read; wait until it is complete"):
        ingest([path], "x")


def test_a_row_of_two_samples_is_refused_and_selections_that_exclude_each_other_are_not(tmp_path):
    path = written(tmp_path, COLUMNS, "csv")
    shared = {"other": {"files": [str(path)], "both": "(bad) & (n > 20)"}}
    with pytest.raises(FileError, match=r"s.csv: 3 rows \(the first is 28\) belong to the samples 's' and 'other'"):
        ingest([path], "bad", "n", shared=shared)
    shared["other"]["both"] = "(bad) & (~bad)"
    assert ingest([path], "bad", "n", shared=shared).rows == 40


def test_lists_of_whole_numbers_do_not_overflow(tmp_path):
    import awkward as ak

    from nuisflow.settings.configuration import NanoaodDataset

    with uproot.recreate(tmp_path / "s.root") as root:
        root["Events"] = {"Jet_id": ak.Array([[1, 2], []]), "nMuon": np.array([0, 3], dtype=np.uint32)}
    dataset = NanoaodDataset(kind="nanoaod", branches=["Jet_id", "nMuon"], functions="f.py", columns=["x"])
    found = ingesting.whole(ingesting.of_files([tmp_path / "s.root"], dataset))
    assert found["Jet_id"].tolist() == [[1, 2], []]
    assert str(found["Jet_id"].type) == "2 * var * int64"
    assert (found["nMuon"] - 1).tolist() == [-1, 2]  # not 2**32 - 1
