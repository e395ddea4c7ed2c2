"""Scores of intervals: those of the Fair Universe challenge, to rounding."""

import importlib.util
import math
import sys
import types

import numpy as np
import pytest

from nuisflow.inference import interval_scores
from nuisflow.likelihood import toys


def random_table(generator, sets, number):
    true = np.repeat(generator.uniform(0.1, 3.0, sets), number)
    value = true + generator.normal(0, 0.5, sets * number)
    half = generator.uniform(0.1, 1.2) * generator.uniform(0.5, 1.5, (2, sets * number))
    names = np.repeat(np.arange(sets), number)
    return interval_scores.measurements(names, true, value, (value - half[0], value + half[1]))


@pytest.fixture(scope="module")
def scoring():
    """The scoring program of the challenge; what draws its figures may be missing."""
    pytest.importorskip("HiggsML", reason="HiggsML 0.1.5 is not installed (optional oracle)")
    if missing := importlib.util.find_spec("mpld3") is None:
        sys.modules["mpld3"] = types.ModuleType("mpld3")  # of the figures only
    found = pytest.importorskip("HiggsML.score")
    if missing:
        del sys.modules["mpld3"]  # other tests ask whether it is there
    return found.Scoring()


def theirs(scoring, table):
    """Return coverage, width, score, RMSE and MAE as Scoring.compute_scores does before it rounds them."""
    sets = [table.of(number) for number in np.unique(table.sets)]
    rmses, maes = (
        [
            np.mean([one(mu, hat, delta) for mu, hat, delta in zip(part.true, part.value, part.delta, strict=True)])
            for part in sets
        ]
        for one in (scoring.RMSE_score, scoring.MAE_score)
    )
    width, coverage, score = scoring.Quantiles_Score(table.true, table.low, table.high)
    return coverage, width, score, np.mean(rmses), np.mean(maes)


@pytest.mark.oracle
def test_scores_equal_those_of_higgsml_in_a_thousand_random_cases(scoring):
    generator = np.random.default_rng(4)
    for _ in range(1000):
        table = random_table(generator, generator.integers(1, 4), generator.integers(1, 12))
        found = interval_scores.scores(table)
        ours = (found.coverage, found.width, found.score, found.rmse, found.mae)
        np.testing.assert_allclose(ours, theirs(scoring, table), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("covered", "expected"), [(600, -5.1515533409), (800, -5.3658345355), (750, -2.8928453479)])
def test_the_published_check_values_come_back(covered, expected):
    inside = np.arange(1000) < covered
    low = np.where(inside, -0.5, 0.1)
    table = interval_scores.measurements(np.arange(1000) % 10, 0.0, low + 0.5, (low, low + 1.0))
    assert interval_scores.scores(table).score == pytest.approx(expected, abs=1e-9)


def test_failed_experiments_count_as_not_covered_and_change_no_width():
    table = random_table(np.random.default_rng(1), 2, 50)
    value = table.value.copy()
    value[:10] = math.nan
    whole, some = interval_scores.scores(table), interval_scores.scores(table._replace(value=value))
    left = interval_scores.scores(interval_scores.Measurements(*(part[10:] for part in table)))
    assert (some.number, some.failed, whole.failed) == (100, 10, 0)
    assert some.coverage == pytest.approx(0.9 * left.coverage)
    assert (some.width, some.rmse, some.mae, some.bias) == pytest.approx((left.width, left.rmse, left.mae, left.bias))


def test_every_set_counts_the_same_in_rmse_and_mae():
    few, many = random_table(np.random.default_rng(2), 1, 5), random_table(np.random.default_rng(3), 1, 50)
    joined = interval_scores.Measurements(
        *map(np.concatenate, zip(few, many._replace(sets=many.sets + 1), strict=True))
    )
    parts = [interval_scores.scores(table) for table in (few, many)]
    found = interval_scores.scores(joined)
    assert found.rmse == pytest.approx(np.mean([part.rmse for part in parts]))
    assert found.mae == pytest.approx(np.mean([part.mae for part in parts]))


def test_a_single_true_value_gives_the_score_of_the_toys():
    table = random_table(np.random.default_rng(5), 1, 200)
    expected = toys.interval_score(table.low, table.high, table.true, interval_scores.LEVEL)
    assert interval_scores.scores(table).score == pytest.approx(expected, rel=1e-12)


def test_the_summary_has_every_set_and_no_number_that_is_none():
    table = random_table(np.random.default_rng(6), 3, 4)
    failed = table._replace(value=np.where(table.sets == 1, math.nan, table.value))
    found = interval_scores.summary(failed)
    assert [row["set"] for row in found["sets"]] == [0, 1, 2]
    assert [row["failed"] for row in found["sets"]] == [0, 4, 0]
    assert found["sets"][1]["width"] is None
    assert found["sets"][1]["coverage"] == 0
