import json
import os
import subprocess
import sys

import hist
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from nuisflow.storage import event_files, files, sources

COLUMNS = {"pt": np.array([1.5, 2.5, 3.5, 4.5]), "njets": np.array([0, 1, 2, 3], dtype=np.int64)}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"mu": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"mu": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_json_does_not_know_is_an_error(tmp_path):
    with pytest.raises(files.FileError, match="result.json"):
        files.write_json(tmp_path / "result.json", {"mu": float("nan")})
    assert not (tmp_path / "result.json").exists()


def test_damaged_json_says_what_to_do(tmp_path):
    (tmp_path / "fit.json").write_text('{"mu": ')
    with pytest.raises(files.FileError, match="delete the file and run again"):
        files.read_json(tmp_path / "fit.json")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_survives(tmp_path, suffix):
    table = pd.DataFrame({"training": ["a", "b"], "sigma": [0.1, 0.2]})
    files.write_table(tmp_path / f"table.{suffix}", table)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / f"table.{suffix}"), table, check_dtype=False)


ROWS = [
    {
        "fold": 0,
        "loss": 0.1,
        "auc": np.nan,
        "name": 'say "a", b',
        "kept": True,
        "only_here": 3,
    },
    {"fold": 1, "loss": np.float64(1e-7), "auc": None, "name": None, "kept": False},
    {"fold": np.int64(2), "loss": np.inf, "auc": 1 / 3, "name": "μ", "kept": True, "new": 2**40},
    {"fold": 3, "loss": 7, "auc": 1e16, "name": "", "kept": True, "only_here": 0},
]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[1:3], [{"none": None, "x": 1}, {"none": None, "x": 2}]])
def test_rows_are_written_to_the_byte_as_pandas_writes_them(tmp_path, rows):
    files.write_rows(tmp_path / "rows.csv", rows)
    files.write_table(tmp_path / "table.csv", pd.DataFrame(rows))
    assert (tmp_path / "rows.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()


def test_histograms_survive_with_variances(tmp_path):
    histogram = hist.Hist.new.StrCat(["a", "b"], name="process").Var([0, 0.3, 1], name="score").Weight()
    histogram.fill(process=["a", "a", "b"], score=[0.1, 0.5, 0.5], weight=[2.0, 3.0, -1.0])
    files.write_histograms(tmp_path / "templates.json", {"signal": histogram})
    again = files.read_histograms(tmp_path / "templates.json")["signal"]
    assert again == histogram
    assert [axis.name for axis in again.axes] == ["process", "score"]


def test_an_event_without_a_category_has_none(tmp_path):
    path = tmp_path / "toys.parquet"
    parts = [
        {"x": np.arange(3.0), "point": np.full(3, -1)},
        {"x": np.arange(10.0), "point": np.array([0, -1, 1] * 3 + [1])},
    ]
    assert event_files.write_event_parts(path, iter(parts), {"point": ["up", "down"]}) == 13
    expected = [None] * 3 + ["up", None, "down"] * 3 + ["down"]
    assert pq.read_table(path).column("point").to_pylist() == expected


def test_event_parts_keep_order_and_categories(tmp_path):
    path = tmp_path / "events.parquet"
    parts = [
        {"weight": np.array([1.0, 2.0]), "region": np.array([1, 0])},
        {"weight": np.array([3.0]), "region": np.array([1])},
    ]
    assert event_files.write_event_parts(path, iter(parts), {"region": ["signal", "control"]}) == 3
    assert pd.read_parquet(path)["region"].tolist() == ["control", "signal", "control"]
    read = list(event_files.read_event_parts(path, ["weight"], {"region": ["control", "signal"]}, rows=2))
    assert np.concatenate([part["weight"] for part in read]).tolist() == [1, 2, 3]
    assert np.concatenate([part["region"] for part in read]).tolist() == [0, 1, 0]


def test_an_unexpected_category_is_named(tmp_path):
    path = tmp_path / "events.parquet"
    event_files.write_event_parts(path, iter([{"region": np.array([0])}]), {"region": ["old"]})
    with pytest.raises(files.FileError, match="'old'; expected signal"):
        list(event_files.read_event_parts(path, [], {"region": ["signal"]}))


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"mu": 1})
    code = f"""
import resource
from nuisflow.storage import files
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
files.write_json({str(path)!r}, list(range(100_000)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "File too large" in done.stderr
    assert json.loads(path.read_text()) == {"mu": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    files.write_json(path, {"mu": 1})
    code = f"""
import os, signal
from nuisflow.storage import files
with files.replacing({str(path)!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, check=False)
    assert json.loads(path.read_text()) == {"mu": 1}


@pytest.mark.parametrize("kind", ["events", "table"])
def test_a_changed_bit_in_a_parquet_file_of_ours_is_never_read_as_a_number(tmp_path, kind):
    path, random = tmp_path / "events.parquet", np.random.default_rng(1)
    columns = {"weight": random.normal(size=500), "region": random.integers(0, 2, 500)}
    if kind == "events":
        event_files.write_event_parts(path, iter([columns]), {"region": ["signal", "control"]})
    else:
        files.write_table(path, pd.DataFrame(columns))
    before, content, found = pd.read_parquet(path), path.read_bytes(), 0
    for place in random.integers(0, len(content), 100):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            if kind == "events":
                parts = list(event_files.read_event_parts(path, ["weight"], {"region": ["signal", "control"]}))
                assert (
                    np.concatenate([part["weight"] for part in parts]).tobytes()
                    == before["weight"].to_numpy().tobytes()
                )
            else:
                pd.testing.assert_frame_equal(files.read_table(path), before)
        except files.FileError as error:
            assert str(path) in str(error)  # noqa: PT017
            found += 1
    assert found > 50


def test_pages_of_parquet_that_others_wrote_need_no_checksum(tmp_path):
    pd.DataFrame(COLUMNS).to_parquet(tmp_path / "events.parquet")
    assert event_files.read_rows(tmp_path / "events.parquet", ["pt"], 0, 4)["pt"].tolist() == COLUMNS["pt"].tolist()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n3,", b"a,b\n1,2\n\xff\xfe,1\n"], ids=["empty", "cut", "no text"])
def test_a_damaged_table_says_what_to_do(tmp_path, content):
    (tmp_path / "scan.csv").write_bytes(content)
    with pytest.raises(files.FileError, match=r"scan\.csv: cannot be read as a table .*delete the file and run again"):
        files.read_table(tmp_path / "scan.csv")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": "\xff"}', b'{"a": {"uhi_schema": 1}}', b"[1]"])
def test_damaged_histograms_say_what_to_do(tmp_path, content):
    (tmp_path / "templates.json").write_bytes(content)
    with pytest.raises(files.FileError, match=r"templates\.json: not .*delete the file and run again"):
        files.read_histograms(tmp_path / "templates.json")


def test_a_writer_removes_what_killed_ones_left_and_nothing_else(tmp_path):
    host = os.uname().nodename
    left = [f".{host}-999999999-fit.json", ".other-1-fit.json"]
    kept = [f".{host}-{os.getppid()}-fit.json", f".{host}-999999999-a_fit.json", ".notes-fit.json", "a.json"]
    for name in left + kept:
        (tmp_path / name).write_text("{")
    files.write_json(tmp_path / "fit.json", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "fit.json"])


@pytest.mark.parametrize(("least", "groups"), [(0, [7, 0, 13, 1, 29, 0]), (9, [20, 30, 0]), (50_000, [50])])
def test_pieces_of_a_parquet_file_are_those_of_the_whole_whatever_its_row_groups(tmp_path, monkeypatch, least, groups):
    monkeypatch.setattr(event_files, "GROUP", least)
    path = tmp_path / "events.parquet"
    parts = np.split(np.arange(50, dtype=np.float32), [7, 7, 20, 21, 50])  # two of them have no rows
    event_files.write_event_parts(path, iter([{"x": part} for part in parts]), {})
    written = pq.ParquetFile(path).metadata
    assert [written.row_group(group).num_rows for group in range(written.num_row_groups)] == groups
    for start in range(0, 51, 3):
        for stop in range(start, 54, 4):
            piece = event_files.read_rows(path, ["x"], start, stop)["x"]
            assert piece.tolist() == list(range(start, min(stop, 50)))


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    path = tmp_path / "events.parquet"
    for size in (10, 20):
        event_files.write_event_parts(path, iter([{"x": np.arange(size, dtype=np.float32)}]), {})
        assert len(event_files.read_rows(path, ["x"], 0, 100)["x"]) == size
