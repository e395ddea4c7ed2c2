"""Tests of what is said about trainings away from nominal: numbers and words."""

import numpy as np
import pandas as pd
import pytest
import synthetic_results

from nuisflow.comparison import robustness, trainings
from nuisflow.report import robustness as departures
from nuisflow.report.robustness import cautions, coverages, headline
from nuisflow.slices import report
from nuisflow.storage import files


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(tmp_path_factory.mktemp("results"), seeds=3, variations=3, bins=6)


@pytest.fixture(scope="module")
def settings(analysis):
    return report.comparison(analysis.settings)


@pytest.fixture(scope="module")
def words(analysis):
    return report.plots(analysis.settings)


@pytest.fixture(scope="module")
def coverage(analysis, settings):
    toys = {run: files.read_json(path) for run, path in trainings.by_run(analysis.each("coverage.json")).items()}
    return trainings.coverage(toys, settings)


@pytest.fixture(scope="module")
def table(coverage, settings):
    return robustness.table(coverage, settings)


@pytest.fixture(scope="module")
def ranked(coverage):
    """Return the trainings by their uncertainty at nominal, as compare_trainings ranks them."""
    nominal = robustness.nominal(robustness.errors(coverage))
    order = nominal.groupby("training")["asimov_sigma"].median().sort_values().index
    return pd.DataFrame({"training": order, "data": "asimov"})


def changed(coverage, training, column, value, point=None, seeds=(1, 2, 3)):
    """Return *coverage* with another value at displaced points of one training."""
    rows = coverage["point"].notna() if point is None else coverage["point"] == point
    rows = rows & (coverage["training"] == training) & coverage["seed"].isin(seeds)
    return coverage.assign(**{column: coverage[column].mask(rows, value)})


def test_the_error_is_bias_and_half_width_in_quadrature(coverage):
    rows = robustness.errors(coverage)
    assert rows["asimov_bias"].to_numpy() == pytest.approx((coverage["asimov_mu"] - coverage["mu_true"]).to_numpy())
    assert (rows["asimov_error"] ** 2).to_numpy() == pytest.approx(
        (rows["asimov_bias"] ** 2 + rows["asimov_sigma"] ** 2).to_numpy()
    )


def test_the_nominal_rows_are_those_at_the_truth_of_the_displaced_points(coverage):
    rows = robustness.nominal(coverage)
    assert set(rows["mu_true"]) == {1.0}
    assert rows["point"].isna().all()
    assert len(rows) == 5 * 3


def test_the_smallest_worst_error_comes_first(table, coverage):
    assert table["worst_error"].is_monotonic_increasing
    assert sorted(table["training"]) == sorted(synthetic_results.TRAININGS)
    assert (table["worst_error"] >= table["sigma"]).all()
    assert table["relative"].iloc[0] == 0
    rows = robustness.errors(coverage)
    mine = rows[(rows["training"] == "trees") & rows["point"].notna()]
    by_hand = mine.groupby("seed")["asimov_error"].max()
    found = table.set_index("training").loc["trees"]
    assert found["worst_error"] == pytest.approx(by_hand.median())
    assert found["worst_error_spread"] == pytest.approx(by_hand.std(ddof=1))


def test_a_point_at_the_end_of_a_grid_counts_for_no_training(coverage, settings):
    point = coverage["point"].dropna().unique()[0]
    without = robustness.table(coverage, settings.model_copy(update={"ends": (point,)}))
    spoilt = coverage.assign(asimov_high=coverage["asimov_high"].mask(coverage["point"] == point))
    again = robustness.table(spoilt, settings.model_copy(update={"ends": (point,)}))
    assert without["worst_error"].tolist() == again["worst_error"].tolist()
    assert robustness.table(spoilt, settings)["worst_error"].isna().all()


def test_the_place_of_the_largest_bias_keeps_its_sign(coverage, settings):
    one = changed(coverage, "trees", "asimov_mu", -3.0, "energy_1_down")
    found = robustness.table(one, settings).set_index("training").loc["trees"]
    assert (found["largest_bias"], found["largest_bias_point"]) == (-4.0, "energy_1_down")
    assert found["worst_point"] == "energy_1_down"
    assert robustness.table(one, settings)["training"].iloc[-1] == "trees"


def test_the_significance_is_that_of_welchs_test_between_the_worst_errors(table, coverage):
    rows = robustness.errors(coverage)
    worst = rows[rows["point"].notna()].groupby(["training", "seed"])["asimov_error"].max()
    best = worst[table["training"].iloc[0]].to_numpy()
    for _, row in table.iloc[1:].iterrows():
        expected = trainings.difference(worst[row["training"]].to_numpy(), best)
        assert row["significance"] == pytest.approx(expected.significance)


def test_a_seed_whose_fit_failed_somewhere_is_counted_and_left_out(coverage, settings):
    broken = changed(coverage, "trees", "asimov_mu", np.nan, "weight_1_up", seeds=(2,))
    found = robustness.table(broken, settings).set_index("training").loc["trees"]
    assert (found["seeds"], found["failed"]) == (2, 1)
    nothing = changed(coverage, "trees", "asimov_mu", np.nan)
    found = robustness.table(nothing, settings)
    assert found["training"].iloc[-1] == "trees"
    assert np.isnan(found["worst_error"].iloc[-1])


def test_without_displaced_points_there_is_nothing_to_say(coverage, settings, words, ranked):
    table = robustness.table(trainings.undisplaced(coverage), settings)
    assert len(table) == 0
    assert list(table.columns) == list(robustness.COLUMNS)
    assert headline(table, ranked, trainings.undisplaced(coverage), words) == []
    assert departures.rows(table, coverage, words) == []
    assert coverages(trainings.undisplaced(coverage), words)["rows"] == []


def test_the_table_survives_being_written_and_read(table, tmp_path):
    files.write_table(tmp_path / "robustness.csv", table)
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "robustness.csv"), table, check_dtype=False)


def test_the_curves_pass_through_nominal_once_per_variation_and_seed(coverage):
    curves = robustness.curves(coverage)
    centre = curves[curves["z"] == 0]
    assert centre.groupby(["training", "variation"]).size().tolist() == [3] * (5 * 3)
    assert (centre["asimov_bias"] == 0).all()


# --- words


def test_a_single_training_is_not_called_the_best_away_from_nominal(table, coverage, words, ranked):
    (text,) = headline(table.iloc[:1], ranked, coverage, words)
    assert "there is no other training to compare it with" in text
    assert f"with {table['label'].iloc[0]} (median of 3 seeds" in text
    assert "smallest" not in text


def test_the_lowest_of_several_honest_coverages_is_what_a_simulation_says():
    draws = np.random.default_rng(1).normal(robustness.LEVEL, 0.01, (20_000, 12)).min(axis=1)
    assert robustness.lowest_if_honest(np.full(12, 0.01)) == pytest.approx(np.median(draws), abs=2e-4)
    assert robustness.lowest_if_honest(np.array([0.01])) == pytest.approx(robustness.LEVEL)
    assert np.isnan(robustness.lowest_if_honest(np.zeros(0)))


def test_the_row_of_the_lowest_coverage_says_of_how_many_points_and_what_to_expect(coverage, settings, words):
    table = robustness.table(coverage, settings)
    row = departures.rows(table, coverage, words)[0]
    assert row["points"] == table["coverage_points"].iloc[0] == 4
    assert row["honest"] == f"{100 * table['lowest_if_honest'].iloc[0]:.1f} %"
    assert table["lowest_if_honest"].iloc[0] < robustness.LEVEL


def test_the_headline_names_the_most_robust_training_and_where_it_is_worst(table, coverage, words, ranked):
    (text,) = headline(table, ranked, coverage, words)
    best = table.iloc[0]
    assert f"{best['label']} has the smallest error" in text
    assert f"{best['worst_error']:.3f}" in text
    assert departures.place(best["worst_point"], coverage, words) in text
    assert "by up to 1 prior standard deviation of" in text


def test_the_headline_compares_with_the_best_at_nominal_if_that_is_another(coverage, settings, words, ranked):
    first = ranked["training"].iloc[0]
    other = robustness.table(changed(coverage, first, "asimov_mu", 3.0, "energy_1_up"), settings)
    (text,) = headline(other, ranked, coverage, words)
    assert f"{words.trainings[first]}, the best at nominal, has +" in text
    (same,) = headline(robustness.table(coverage, settings), ranked, coverage, words)
    assert ("It is the best at nominal too" in same) == (
        robustness.table(coverage, settings)["training"].iloc[0] == first
    )


def test_points_are_named_by_label_and_true_value(coverage, words):
    assert departures.place("energy_1_down", coverage, words) == "energy scale 1 −1 σ"
    assert departures.place(None, coverage, words) == "–"
    lumi = words.model_copy(update={"variations": {"lumi": "Luminosity"}})
    assert robustness.label("luminosity", lumi) == "Luminosity"


def test_under_coverage_away_from_nominal_is_a_warning_and_marked(coverage, settings, words):
    assert cautions(coverage, {}, words) == []
    bad = changed(coverage, "trees", "coverage", 0.5, "energy_1_up")
    (caution,) = cautions(bad, {}, words)
    assert "boosted trees (50 % at energy scale 1 +1 σ)" in caution.text
    assert caution.details == ("boosted trees: 50.0 % at energy scale 1 +1 σ",)
    table = coverages(bad, words)
    column = table["names"].index("boosted trees")
    cells = {place: cells[column] for place, cells in table["rows"]}
    assert cells["energy scale 1 +1 σ"] == ("50.0", True)
    assert not cells["energy scale 1 −1 σ"][1]
    assert "weight 1 +1 σ" in cells
    assert "rate 1 +1 σ" not in cells
    row = next(
        row for row in departures.rows(robustness.table(bad, settings), bad, words) if row["training"] == "trees"
    )
    assert (row["off"], row["coverage_place"]) == (True, "energy scale 1 +1 σ")


def test_points_stand_in_the_order_of_variations_and_true_values(coverage, words):
    places = [place for place, _ in coverages(coverage, words)["rows"]]
    assert places == ["energy scale 1 −1 σ", "energy scale 1 +1 σ", "weight 1 −1 σ", "weight 1 +1 σ"]
