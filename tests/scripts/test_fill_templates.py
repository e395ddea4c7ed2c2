"""Tests of the script fill_templates."""

import numpy as np
import pytest
from tests.templates import test_filling

from fill_templates import fill_templates
from nuisflow.settings import sections
from nuisflow.storage import files
from nuisflow.templates import histograms as templates
from nuisflow.templates.filling import TemplateError


def run(folder, events=None, name="templates"):
    paths, scores = test_filling.write(folder / "in", events)
    output, notes = folder / f"{name}.json", folder / f"{name}_notes.json"
    fill_templates(paths, scores, output, notes, settings=sections.plain(test_filling.filling()))
    return output, notes


def test_it_writes_histograms_that_any_uhi_library_reads(tmp_path):
    output, _ = run(tmp_path)
    histograms = files.read_histograms(output)
    assert list(histograms) == ["signal", "control"]
    assert histograms["signal"].axes.name == ("process", "variation", "score")
    assert list(histograms["signal"].axes["process"]) == ["higgs", "z", "tt", "data"]
    variations = ["nominal", "tes_up", "tes_down", "pileup_up", "pileup_down"]
    assert list(histograms["signal"].axes["variation"]) == variations
    columns = test_filling.selected(test_filling.all_events(), [("tes_up", "higgs")], "signal")
    content = templates.content(histograms["signal"], "higgs", "tes_up")
    assert content.values.sum() == pytest.approx(columns["weight"].sum())


def test_it_writes_what_was_done_as_records(tmp_path):
    _, notes = run(tmp_path)
    records = files.read_json(notes)
    assert [set(record) for record in records] == [
        {"rule", "kind", "region", "process", "variation", "bin", "text"} for _ in records
    ]
    assert {(record["rule"], record["kind"]) for record in records} >= {("fill_templates", "out_of_range")}


def test_twice_the_same_events_are_the_same_bytes(tmp_path):
    first, second = (run(tmp_path, name=name)[0] for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


def test_after_an_error_nothing_is_written(tmp_path):
    events = test_filling.all_events()
    events["tes_up", "z"]["weight"][3] = np.nan
    with pytest.raises(TemplateError, match=r"z.parquet: weight is NaN or infinite"):
        run(tmp_path, events)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
