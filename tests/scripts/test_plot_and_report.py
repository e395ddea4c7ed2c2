"""Tests of the scripts plot_comparison, plot_training and write_report, in the order of the workflow."""

from pathlib import Path

import pytest
import synthetic_results

from compare_trainings import compare_trainings
from nuisflow.report import page
from nuisflow.report.page import TABLES
from nuisflow.settings import sections
from nuisflow.slices import report as shown
from nuisflow.slices.report import COMPARISON_FIGURES, comparison, plots, report
from plot_comparison import plot_comparison
from plot_training import plot_training
from write_report import write_report

TEMPLATE = Path(page.__file__).with_name("report_template.html")
TRAININGS = {name: synthetic_results.TRAININGS[name] for name in ("nominal", "adversarial")}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(
        tmp_path_factory.mktemp("results"), trainings=TRAININGS, seeds=2, variations=3, bins=6, observed=True
    )


@pytest.fixture(scope="module")
def tables(analysis):
    paths = {name: analysis.folder / "comparison" / f"{name}.csv" for name in TABLES}
    compare_trainings(
        *(analysis.each(name) for name in ("fit.json", "history.csv", "scores.parquet")),
        analysis.events(),
        coverages=analysis.each("coverage.json"),
        impacts=analysis.each("impacts.csv"),
        outputs=paths,
        settings=sections.plain(comparison(analysis.settings)),
    )
    return paths


@pytest.fixture(scope="module")
def comparison_figures(analysis, tables):
    paths = [
        analysis.folder / "comparison" / f"{name}.{suffix}" for name in COMPARISON_FIGURES for suffix in ("svg", "pdf")
    ]
    plot_comparison(
        *(tables[name] for name in ("summary", "trainings", "coverage")),
        paths,
        settings=sections.plain(plots(analysis.settings)),
    )
    return paths


@pytest.fixture(scope="module")
def training_figures(analysis):
    paths = [
        analysis.folder / "trainings" / "adversarial" / "figures" / f"{name}.{suffix}"
        for name in shown.training_figures(analysis.settings)
        for suffix in ("svg", "pdf")
    ]
    plot_training(
        [analysis.of("adversarial", "history.csv", seed) for seed in (1, 2)],
        *(analysis.of("adversarial", name) for name in ("templates.json", "fit.json", "impacts.csv", "scan.csv")),
        figures=paths,
        settings=sections.plain(plots(analysis.settings)),
    )
    return paths


def test_every_figure_of_the_comparison_is_written(comparison_figures):
    check(comparison_figures)


def test_every_figure_of_a_training_is_written(training_figures):
    check(training_figures)


def check(paths):
    for path in paths:
        start = path.read_bytes()[:200]
        assert start.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")


def test_the_report_shows_all_figures(analysis, tables, comparison_figures, training_figures):
    output = analysis.folder / "report.html"
    drawn = [path for path in (*comparison_figures, *training_figures) if path.suffix == ".svg"]
    write_report(
        TEMPLATE,
        tables,
        analysis.each("fit.json"),
        analysis.each("templates_notes.json") + analysis.each("workspace_notes.json"),
        drawn,
        output=output,
        settings=sections.plain(report(analysis.settings)),
    )
    text = output.read_text()
    assert text.count("<svg") == len(drawn)
    assert len(text) < 1_000_000
    assert "adversarial (pivot)" in text
    assert sorted(path.name for path in analysis.folder.iterdir()) == [
        "comparison",
        "events",
        "report.html",
        "trainings",
    ]
