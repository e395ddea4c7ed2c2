"""The report's comparison with known answers."""

from pathlib import Path

import pandas as pd
from analyses import ROOT, shipped

from nuisflow.report import known_answers
from nuisflow.settings.checks import reading
from nuisflow.slices import report

SETTINGS = report.report(reading.check(shipped("inferno")))
OURS = pd.DataFrame(
    {"training": ["nominal", "optimal", "Analytic likelihood"], "seeds": [5, 5, 0]}
    | {name: [15.0, 15.1, 14.70123] for name in ("b0", "b1", "b2", "b3", "b4")}
)
FOUND = {"published": OURS, "literature": pd.read_csv(ROOT / "config" / "published" / "inferno.csv")}


def test_ours_stand_first_then_what_is_best_possible_then_what_was_published():
    parts = known_answers.sections(FOUND, SETTINGS)["parts"]
    assert [title for title, _ in parts][:2] == ["This run, median over seeds", known_answers.REFERENCES]
    assert [row["label"] for row in parts[0][1]] == ["Classifier", "Optimal classifier"]
    assert parts[1][1] == [{"label": "Analytic likelihood", "cells": ["14.70"] * 5}]
    assert parts[2][1][3] == {"label": "INFERNO 2", "cells": ["15.71", "16.87", "16.95", "16.88", "18.67"]}


def test_what_is_better_than_possible_is_named():
    assert known_answers.sections(FOUND, SETTINGS)["impossible"] == []
    wrong = OURS.assign(b2=[13.0, 14.6, 14.70123])
    assert known_answers.sections(FOUND | {"published": wrong}, SETTINGS)["impossible"] == ["Classifier (b2)"]


def test_what_floats_is_said_in_words():
    words = dict(known_answers.sections(FOUND, SETTINGS)["scenarios"])
    assert words["b0"] == "the signal"
    assert words["b2"] == "the signal, r, λ"
    assert words["b4"].startswith("the signal, r (with its prior)")


def test_without_scenarios_there_is_nothing_to_show():
    assert known_answers.sections({}, SETTINGS) is None
    assert known_answers.exact_rows({}) == []


def test_files_are_known_by_their_place():
    paths = [Path("results/inferno/comparison/published.csv"), Path("config/published/inferno.csv")]
    assert list(known_answers.by_name(paths)) == ["published", "literature"]


def test_exact_templates_are_shown_as_text():
    table = pd.DataFrame(
        [
            {
                "classifier": "aware",
                "binning": "10 quantile bins",
                "truth": 1.5707963,
                "auc": 0.97832,
                "sigma": 0.06851,
                "sigma_known": 0.06851,
                "toys": 100,
                "coverage": 0.68,
                "coverage_error": 0.047,
                "bias": -0.001,
                "deviation": 0.07,
            },
            {
                "classifier": "aware",
                "binning": "10 uniform bins",
                "truth": 1.5707963,
                "auc": 0.97832,
                "sigma": 0.08671,
                "sigma_known": 0.08671,
                "toys": None,
                "coverage": None,
                "coverage_error": None,
                "bias": None,
                "deviation": None,
            },
        ]
    )
    first, second = known_answers.exact_rows({"exact": table})
    assert first["coverage"] == "68.00 ± 4.70 %"
    assert (first["sigma"], first["auc"], first["bias"]) == ("0.0685", "0.9783", "−0.0010")
    assert second["coverage"] == ""
