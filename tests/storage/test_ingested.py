"""Tests of the columnar file of a sample: what is written comes back, by parts, and damage is noticed."""

import os
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nuisflow.storage import ingested
from nuisflow.storage.files import FileError

SIZE = 1003


def columns(size=SIZE):
    """Return a column of every type."""
    number = np.arange(size)
    return {
        "flag": number % 3 == 0,
        "n": number - 2**62,
        "hash": number.astype(np.uint64) + np.uint64(2**63),
        "pt": (number / 7).astype(np.float32),
        "weight": number / 7,
        "Jet_pt": ak.unflatten(np.arange(np.sum(number % 4), dtype=np.float32), number % 4),
        "nested": ak.unflatten(ak.unflatten(np.arange(2 * np.sum(number % 3)), 2), number % 3),
    }


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(ingested, "ROWS", 64)


def written(path, cut=100, size=SIZE):
    pieces = (
        {name: values[start : start + cut] for name, values in columns(size).items()} for start in range(0, size, cut)
    )
    assert ingested.write(path, pieces) == size
    return ingested.open(path)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert ingested.kind_of(found[name]) == ingested.kind_of(values)
        assert found[name].tolist() == values.tolist()


@pytest.mark.parametrize("cut", [1, 63, 64, 100, 128, 5000])
def test_every_type_comes_back_as_it_was_however_it_was_cut(tmp_path, cut):
    table = written(tmp_path / "s.arrow", cut)
    assert table.rows == SIZE
    assert table.columns == {name: ingested.kind_of(values) for name, values in columns().items()}
    assert_same(table.read(list(table.columns)), columns())


def test_the_bytes_of_a_file_do_not_depend_on_how_its_rows_came(tmp_path):
    written(tmp_path / "a.arrow", 17)
    written(tmp_path / "b.arrow", 640)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_rows_of_any_columns_are_those_of_the_whole(tmp_path_factory, data):
    path = Path(tmp_path_factory.getbasetemp()) / "any.arrow"
    table = ingested.open(path) if path.exists() else written(path)
    whole = columns()
    names = data.draw(st.lists(st.sampled_from(list(whole)), unique=True))
    start = data.draw(st.integers(0, SIZE))
    stop = data.draw(st.integers(start, SIZE))
    assert_same(table.read(names, start, stop), {name: whole[name][start:stop] for name in names})
    rows = np.array(sorted(data.draw(st.lists(st.integers(0, SIZE - 1)))), dtype=np.int64)
    assert_same(table.take(names, rows), {name: whole[name][rows] for name in names})


def test_rows_that_are_not_there_or_do_not_ascend_are_refused(tmp_path):
    table = written(tmp_path / "s.arrow")
    for rows in ([5, 4], [-1], [SIZE]):
        with pytest.raises(IndexError, match=r"s.arrow: numbers of rows must ascend, from 0 to below 1003"):
            table.take(["n"], np.array(rows))
    with pytest.raises(IndexError, match=r"s.arrow: rows 0 to 1004 of 1003"):
        table.read(["n"], 0, SIZE + 1)


def test_any_arrow_reader_reads_the_file(tmp_path):
    written(tmp_path / "s.arrow")
    table = pa.ipc.open_file(tmp_path / "s.arrow").read_all()
    assert table.to_pydict() == {name: values.tolist() for name, values in columns().items()}


def test_a_file_without_rows_has_its_columns(tmp_path):
    nothing = {name: values[:0] for name, values in columns().items()}
    assert ingested.write(tmp_path / "s.arrow", iter([nothing])) == 0
    table = ingested.open(tmp_path / "s.arrow")
    assert table.rows == 0
    assert_same(table.read(list(nothing)), nothing)


def test_what_was_read_can_be_changed_and_changes_nothing(tmp_path):
    table = written(tmp_path / "s.arrow")
    table.read(["pt"], 0, 64)["pt"][:] = -1
    assert table.read(["pt"], 0, 64)["pt"].tolist() == columns()["pt"][:64].tolist()


@pytest.mark.parametrize(("start", "stop"), [(0, 64), (64, 128), (960, SIZE), (64, 100), (70, 128), (0, 128)])
def test_what_need_not_be_writable_is_the_same(tmp_path, start, stop):
    table = written(tmp_path / "s.arrow")
    found = table.read(list(table.columns), start, stop, writable=False)
    assert_same(found, {name: values[start:stop] for name, values in columns().items()})


def test_a_byte_that_changed_is_noticed_wherever_it_is(tmp_path):
    path, size = tmp_path / "s.arrow", 150
    ingested.write(path, [columns(size)])
    whole, noticed = path.read_bytes(), 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            table = ingested.open(path)
            found = table.read(list(table.columns))
        except FileError as error:
            noticed += f"{path}: " in str(error) and "delete it and run again" in str(error)
        else:  # a byte that only fills up
            assert_same(found, columns(size))
            noticed += 1
    assert noticed == len(range(0, len(whole), 7))


def test_a_damaged_batch_is_named_and_the_others_are_read(tmp_path):
    path = tmp_path / "s.arrow"
    written(path)
    whole = path.read_bytes()
    value = columns()["weight"][500].tobytes()
    path.write_bytes(whole.replace(value, bytes([value[0] ^ 1]) + value[1:]))
    table = ingested.open(path)
    assert table.read(["weight"], 0, 448)["weight"].tolist() == columns()["weight"][:448].tolist()
    assert table.read(["n"])["n"].tolist() == columns()["n"].tolist()
    with pytest.raises(FileError, match=r"s.arrow: column 'weight' is damaged in batch 7; delete it and run again"):
        table.read(["weight"])


def test_a_truncated_file_is_noticed_when_it_is_opened(tmp_path):
    path = tmp_path / "s.arrow"
    written(path)
    whole = path.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(FileError, match=r"s.arrow: cannot be read \(.*\); truncated or damaged\? delete it"):
            ingested.open(path)


def test_an_arrow_file_of_others_is_refused_when_it_is_read(tmp_path):
    batch = pa.record_batch({"x": pa.array([1.0, 2.0])})
    with pa.ipc.new_file(tmp_path / "s.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(FileError, match=r"s.arrow: cannot be read"):
        ingested.open(tmp_path / "s.arrow").read(["x"])


def test_a_file_that_is_written_anew_is_another_table(tmp_path):
    old = written(tmp_path / "s.arrow")
    assert ingested.open(tmp_path / "s.arrow") is old
    ingested.write(tmp_path / "s.arrow", [{"x": np.arange(3)}])
    assert ingested.open(tmp_path / "s.arrow").rows == 3
    with pytest.raises(FileError, match=r"s.arrow: was written anew while it was read; run again"):
        old.read(["n"])


def test_a_file_or_column_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none.arrow: no such file; run again to have it made"):
        ingested.open(tmp_path / "none.arrow")
    with pytest.raises(FileError, match=r"s.arrow: no column 'pz'; it has flag, n, hash"):
        written(tmp_path / "s.arrow").read(["pz"])


def test_pieces_that_do_not_agree_are_refused_and_nothing_is_left(tmp_path):
    path = tmp_path / "s.arrow"
    with pytest.raises(FileError, match=r"s.arrow: column 'x' is int64 in some rows and float64 in others"):
        ingested.write(path, [{"x": np.arange(3)}, {"x": np.arange(3.0)}])
    with pytest.raises(FileError, match=r"s.arrow: column 'y' is float64 in some rows and missing in others"):
        ingested.write(path, [{"x": np.arange(3), "y": np.arange(3.0)}, {"x": np.arange(3)}])
    for odd in (np.array(["a"]), np.zeros((2, 2)), ak.Array(["a"]), ak.Array([[{"x": 1}]]), ak.Array([[None]])):
        with pytest.raises(FileError, match=r"s.arrow: column 'x' holds neither numbers nor lists of numbers"):
            ingested.write(path, [{"x": odd}])
    with pytest.raises(FileError, match=r"s.arrow: nothing to write"):
        ingested.write(path, [])
    assert list(tmp_path.iterdir()) == []


READ = """
import resource, sys
from nuisflow.storage import ingested
table = ingested.open(sys.argv[1])
names = list(table.columns)
table.read(names, 0, 100_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for start in range(0, table.rows, 100_000):
    table.read(names, start, min(start + 100_000, table.rows))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(ingested, "ROWS", 65_536)
    part = {f"c{index}": np.arange(500_000.0) for index in range(10)}
    ingested.write(tmp_path / "s.arrow", [part] * 5)  # 200 MB
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    command = [sys.executable, "-c", READ, str(tmp_path / "s.arrow")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(scripts)}
    )
    unit = 1024 if sys.platform == "linux" else 1
    assert int(done.stdout) * unit < 40e6
