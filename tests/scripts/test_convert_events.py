"""Tests of the script convert_events."""

import numpy as np
import pandas as pd
import pytest

from convert_events import convert_events
from nuisflow.events import ingestion
from nuisflow.storage import event_files, files

SETTINGS = {"dataset": {"kind": "flat", "columns": ["x", "n"]}, "sample": "s", "process": "", "seed": 0}


def test_a_csv_becomes_numbers_in_one_pass_and_the_same_bytes_again(tmp_path, monkeypatch):
    monkeypatch.setattr(ingestion, "ROWS", 10)
    table = pd.DataFrame({"n": [*range(19), 0.5], "unused": "text", "x": np.linspace(0, 1, 20)})
    for index, part in enumerate((table[:15], table[15:])):
        part.to_csv(tmp_path / f"{index}.csv.gz", index=False)
    raw = [tmp_path / "0.csv.gz", tmp_path / "1.csv.gz"]
    for name in "ab":
        convert_events(raw, tmp_path / f"{name}.parquet", settings=SETTINGS)
    found = event_files.read_rows(tmp_path / "a.parquet", ["x", "n"], 0, 20)
    assert found["n"].tolist() == table["n"].tolist()  # whole numbers until the last one
    assert found["x"].tolist() == table["x"].tolist()
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_file_without_events_is_named(tmp_path):
    (tmp_path / "s.csv").write_text("x,n\n")
    with pytest.raises(files.FileError, match=r"s\.csv: no events; an empty sample cannot be used"):
        convert_events([tmp_path / "s.csv"], tmp_path / "s.parquet", settings=SETTINGS)
    assert not (tmp_path / "s.parquet").exists()
