"""Tests of the script compare_trainings."""

import pytest
import synthetic_results

from compare_trainings import compare_trainings
from nuisflow.comparison.trainings import SUMMARY
from nuisflow.report.page import TABLES
from nuisflow.settings import sections
from nuisflow.slices.report import comparison
from nuisflow.storage import files


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(tmp_path_factory.mktemp("results"), seeds=2, variations=3, bins=6)


def run(analysis, folder, coverages=True):
    outputs = {name: folder / f"{name}.csv" for name in TABLES}
    compare_trainings(
        *(analysis.each(name) for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events(),
        coverages=analysis.each("coverage.json") if coverages else [],
        impacts=analysis.each("impacts.csv"),
        outputs=outputs,
        settings=sections.plain(comparison(analysis.settings)),
    )
    return {name: files.read_table(path) for name, path in outputs.items()}


def test_it_writes_all_tables(analysis, tmp_path):
    tables = run(analysis, tmp_path)
    assert list(tables["summary"].columns) == list(SUMMARY)
    assert {name: len(table) for name, table in tables.items()} == {
        "summary": 10,
        "trainings": 5,
        "breakdown": 40,
        "limits": 50,
        "impacts": 90,
        "coverage": 90,
        "robustness": 5,
        "held_out": 0,
    }
    assert (tables["summary"]["auc"].between(0.6, 1)).all()
    assert (tables["summary"]["events_seen"] == 6_000_000).all()
    assert tables["summary"]["train_seconds"].tolist() == pytest.approx([16.0] * 10)


def test_a_better_separation_gives_a_larger_auc(analysis, tmp_path):
    table = run(analysis, tmp_path)["trainings"].set_index("training")
    assert table.loc["parametrised", "auc"] > table.loc["nominal", "auc"]


def test_coverage_is_optional(analysis, tmp_path):
    tables = run(analysis, tmp_path, coverages=False)
    assert len(tables["coverage"]) == 0
    assert tables["summary"]["coverage"].isna().all()


def test_it_writes_the_same_bytes_whatever_the_order_of_the_inputs(analysis, tmp_path):
    run(analysis, tmp_path / "a")
    run(analysis._replace(folder=analysis.folder), tmp_path / "b")
    paths = {name: tmp_path / "c" / f"{name}.csv" for name in TABLES}
    compare_trainings(
        *(analysis.each(name)[::-1] for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events()[::-1],
        coverages=analysis.each("coverage.json")[::-1],
        impacts=analysis.each("impacts.csv")[::-1],
        outputs=paths,
        settings=sections.plain(comparison(analysis.settings)),
    )
    for name, path in paths.items():
        assert path.read_bytes() == (tmp_path / "a" / f"{name}.csv").read_bytes()
        assert path.read_bytes() == (tmp_path / "b" / f"{name}.csv").read_bytes()
