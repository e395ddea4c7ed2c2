"""Which training would be the best if an uncertainty were another."""

import numpy as np
import pandas as pd
import pytest

from nuisflow.comparison import what_if
from nuisflow.comparison.trainings import Run
from nuisflow.inference.what_if import Information

SOURCES = {"jes": ["jes"], "tes": ["tes"]}
NONE = np.zeros((3, 0))


def fitted(stat, jes, tes, sigma=None):
    """Return a run of three parameters: sigma^2 = stat^2 + jes^2 + tes^2, whose sources do nothing but bias mu."""
    big = 1e-9  # the data say next to nothing of the sources
    slopes = np.array([1.0, jes, tes]) / stat
    data = np.outer(slopes, slopes) + np.diag([0.0, big, big])
    information = Information(("mu", "jes", "tes"), data, NONE, NONE[0], NONE[0], np.array([0.0, 1.0, 1.0]))
    return what_if.Fitted(sigma or float(np.sqrt(stat**2 + jes**2 + tes**2)), information, None)


RUNS = {Run("plain", 1): fitted(0.20, 0.20, 0.0), Run("robust", 1): fitted(0.24, 0.10, 0.0)}


def test_uncertainties_follow_the_quadratic_sum():
    place = what_if.Place("jes", 2.0)
    assert what_if.expected(RUNS[Run("plain", 1)], place, SOURCES) == pytest.approx(np.hypot(0.20, 0.40), rel=1e-6)


def test_the_leader_changes_where_both_are_equal():
    # 0.2^2 + (0.2 s)^2 = 0.24^2 + (0.1 s)^2 at s^2 = 0.0176 / 0.03
    (row,) = [row for row in what_if.changes(RUNS, SOURCES) if row["source"] == "jes"]
    assert (row["training"], row["best"], row["side"]) == ("plain", "robust", "below")
    assert row["scale"] == pytest.approx(np.sqrt(0.0176 / 0.03), abs=2e-3)
    assert (row["sigma"], row["sigma_best"]) == pytest.approx((0.2, 0.24), rel=1e-6)


def test_sources_that_do_nothing_have_no_slider():
    assert list(what_if.chosen(RUNS, SOURCES)) == ["jes"]


def test_only_the_sources_that_matter_most_have_a_slider(monkeypatch):
    monkeypatch.setattr(what_if, "SLIDERS", 1)
    runs = {Run("plain", 1): fitted(0.20, 0.05, 0.1)}
    assert list(what_if.chosen(runs, SOURCES)) == ["tes"]


def test_a_single_training_has_no_rival():
    assert what_if.changes({Run("plain", 1): RUNS[Run("plain", 1)]}, SOURCES) == []


def test_without_a_fit_that_converged_there_are_no_answers():
    assert what_if.content({}, {}) == {"sources": {}, "runs": [], "changes": []}
    assert what_if.table({}, {}).empty


def test_trainings_in_another_order_than_refits_have_them_are_found_if_they_differ_clearly():
    rows = [("a", 1, "jes", 2.0, 0.20, 0.22), ("b", 1, "jes", 2.0, 0.21, 0.21), ("c", 1, "jes", 2.0, 0.22, 0.215)]
    found = what_if.swapped(pd.DataFrame(rows, columns=list(what_if.COLUMNS)))
    assert list(zip(found["training_first"], found["training_second"], strict=True)) == [("a", "b")]
