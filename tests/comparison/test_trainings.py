from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import synthetic_results
from hypothesis import strategies as st
from scipy import stats

from nuisflow.comparison import trainings
from nuisflow.comparison.trainings import (
    COVERAGE,
    DATA,
    EPISTEMIC,
    LIMITS,
    UNCERTAINTIES,
    Budget,
    ComparisonError,
    Run,
)
from nuisflow.slices import report
from nuisflow.storage import files


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    return synthetic_results.make(tmp_path_factory.mktemp("results"), seeds=3, variations=3, observed=True, bins=6)


@pytest.fixture(scope="module")
def settings(analysis):
    return report.comparison(analysis.settings)


@pytest.fixture(scope="module")
def fits(analysis):
    return {run: files.read_json(path) for run, path in trainings.by_run(analysis.each("fit.json")).items()}


@pytest.fixture(scope="module")
def coverages(analysis):
    return {run: files.read_json(path) for run, path in trainings.by_run(analysis.each("coverage.json")).items()}


@pytest.fixture(scope="module")
def summary(analysis, settings, fits, coverages):
    budgets = {run: Budget(1000 * run.seed, 2.0) for run in fits}
    return trainings.summarise(fits, budgets, {Run("nominal", 1): 0.75}, coverages, settings)


def test_training_and_seed_are_read_from_the_path():
    assert trainings.run_of(Path("results/x/trainings/nominal_2/seed12/fit.json")) == ("nominal_2", 12)


@pytest.mark.parametrize("path", ["results/fit.json", "trainings/nominal/fit.json", "trainings/nominal/seed/fit.json"])
def test_path_without_training_and_seed_is_an_error(path):
    with pytest.raises(ComparisonError, match="expected a path like"):
        trainings.run_of(Path(path))


def test_seeds_are_ordered_as_numbers():
    runs = trainings.by_run([Path(f"trainings/a/seed{seed}/fit.json") for seed in (10, 9, 2)])
    assert [run.seed for run in runs] == [2, 9, 10]


def test_summary_has_one_row_per_training_seed_and_data_in_the_order_of_the_configuration(summary, settings):
    expected = [(name, seed, data) for name in settings.trainings for seed in (1, 2, 3) for data in DATA]
    assert list(zip(summary["training"], summary["seed"], summary["data"], strict=True)) == expected


def test_summary_has_the_columns_that_are_promised(summary):
    promised = (
        "training strategy seed data mu sigma sigma_stat sigma_syst sigma_mcstat auc coverage coverage_error bias "
        "pull_width interval_score events_seen train_seconds"
    )
    assert set(promised.split()) <= set(summary.columns)


def test_summary_repeats_the_numbers_of_the_fit(summary, fits):
    chosen = summary[(summary["training"] == "trees") & (summary["seed"] == 2) & (summary["data"] == "observed")].iloc[
        0
    ]
    result = fits[Run("trees", 2)]["observed"]
    for name in ("mu", *UNCERTAINTIES):
        assert chosen[name] == pytest.approx(abs(result[name]))
    assert chosen["strategy"] == "boosted_trees"
    assert chosen["p_value"] == result["goodness_of_fit"]["p_value"]


def test_distances_to_the_ends_of_the_interval_are_positive_whatever_their_sign_in_the_fit(fits):
    result = dict(fits[Run("nominal", 1)]["asimov"], sigma_down=-0.3)
    assert trainings.fit_row(result)["sigma_down"] == pytest.approx(0.3)


def test_summary_has_the_tests_of_each_fit(summary, fits):
    chosen = summary[(summary["training"] == "trees") & (summary["seed"] == 2)].set_index("data")
    for data in DATA:
        result = fits[Run("trees", 2)][data]
        assert chosen.loc[data, "significance"] == result["significance"]["sigmas"]
        assert chosen.loc[data, "limit_expected"] == result["limits"]["expected"][2]
        assert chosen.loc[data, "interval_remarks"] == len(result["intervals"]["remarks"])
        assert chosen.loc[data, "simulated_events"] == 402
    assert chosen.loc["observed", "p_value_toys"] == 0.42
    assert chosen.loc["observed", "limit_observed"] == fits[Run("trees", 2)]["observed"]["limits"]["observed"]
    assert chosen.loc["asimov", ["p_value", "p_value_toys", "limit_observed"]].isna().all()


def test_fits_without_tests_have_none_in_the_summary(fits):
    bare = {
        name: value for name, value in fits[Run("trees", 2)]["asimov"].items() if name not in ("limits", "intervals")
    }
    found = trainings.tests(dict(bare, significance=None))
    assert np.isnan(list(found.values())).all()
    assert np.isnan(trainings.fewest_events({"asimov": bare}))


def test_limits_have_a_row_per_band_and_observed_ones_another(fits, settings):
    table = trainings.limits(fits, settings)
    assert list(table.columns) == list(LIMITS)
    chosen = table[(table["training"] == "trees") & (table["seed"] == 1)]
    expected = chosen[(chosen["data"] == "observed") & (chosen["limit"] == "expected")]
    assert expected["band"].tolist() == [-2, -1, 0, 1, 2]
    assert expected["value"].is_monotonic_increasing
    assert chosen.loc[chosen["limit"] == "observed", "data"].tolist() == ["observed"]
    without = {run: dict(fit, asimov=dict(fit["asimov"], limits=None), observed=None) for run, fit in fits.items()}
    assert len(trainings.limits(without, settings)) == 0


def test_impacts_of_all_trainings_stand_in_one_table(analysis, settings):
    tables = {run: files.read_table(path) for run, path in trainings.by_run(analysis.each("impacts.csv")).items()}
    found = trainings.impacts(tables, settings)
    assert list(found.columns[:4]) == ["training", "seed", "data", "parameter"]
    assert len(found) == sum(len(table) for table in tables.values())
    one = found[(found["training"] == "trees") & (found["seed"] == 3)]
    np.testing.assert_array_equal(one["impact_up"], tables[Run("trees", 3)]["impact_up"])


def test_breakdown_has_both_methods(fits, settings):
    table = trainings.breakdown(fits, settings)
    chosen = table[(table["training"] == "trees") & (table["seed"] == 1) & (table["data"] == "asimov")]
    expected = fits[Run("trees", 1)]["asimov"]["breakdown_observable"]
    found = chosen.set_index("group")["sigma_observable"].dropna().to_dict()
    assert found == {group: expected[group] for group in found}
    assert len(found) == len(expected) - 1  # synthetic results freeze no statistics


def test_missing_numbers_become_nan(fits):
    result = dict(fits[Run("nominal", 1)]["asimov"], sigma=None, goodness_of_fit=None)
    row = trainings.fit_row(result)
    assert np.isnan(row["sigma"])
    assert np.isnan(row["p_value"])


def test_coverage_of_the_summary_is_the_one_at_the_nominal_truth(summary, coverages):
    row = summary[(summary["training"] == "nominal") & (summary["seed"] == 1)].iloc[0]
    at_one = next(entry for entry in coverages[Run("nominal", 1)] if entry["mu_true"] == 1)
    assert row["coverage"] == at_one["coverage"]
    assert row["coverage_error"] == at_one["coverage_error"]


def test_coverage_of_the_summary_is_never_that_of_a_displaced_point(coverages, fits, settings):
    entries = coverages[Run("nominal", 1)]
    displaced_first = {Run("nominal", 1): sorted(entries, key=lambda entry: entry["point"] is None)}
    budgets = {Run("nominal", 1): Budget(1, 1.0)}
    chosen = {Run("nominal", 1): fits[Run("nominal", 1)]}
    summary = trainings.summarise(chosen, budgets, {}, displaced_first, settings)
    at_one = next(entry for entry in entries if entry["mu_true"] == 1 and entry["point"] is None)
    assert set(summary["coverage"]) == {at_one["coverage"]}


def test_without_pseudo_experiments_there_is_no_coverage(fits, settings):
    budgets = dict.fromkeys(fits, Budget(1, 1.0))
    summary = trainings.summarise(fits, budgets, {}, {}, settings)
    assert summary["coverage"].isna().all()
    table = trainings.coverage({}, settings)
    assert len(table) == 0
    assert list(table.columns) == list(COVERAGE)


def test_coverage_table_has_a_row_per_training_seed_and_truth(coverages, settings):
    table = trainings.coverage(coverages, settings)
    assert len(table) == 5 * 3 * (3 + 2 * 3)
    assert len(trainings.undisplaced(table)) == 5 * 3 * 3
    chosen = table[(table["training"] == "trees") & (table["seed"] == 3)]
    expected = [entry["coverage_low"] for entry in coverages[Run("trees", 3)]]
    assert [None if np.isnan(low) else low for low in chosen["coverage_low"]] == expected
    assert list(table.columns) == list(COVERAGE)
    assert not table.loc[table["toys"] > 0].drop(columns=["variation", "point"]).isna().any(axis=None)


def test_trainings_of_several_members_have_a_row_for_their_spread(fits, settings):
    members = pd.DataFrame({"variance": [0.05, 0.07], "covariance": [0.04, 0.05]})
    table = trainings.breakdown(fits, settings, {Run("trees", 1): members})
    extra = table[table["group"] == EPISTEMIC]
    assert extra[["training", "seed", "data"]].to_numpy().tolist() == [["trees", 1, "asimov"]]
    assert extra["sigma"].tolist() == pytest.approx([np.sqrt(0.015)])
    assert extra["sigma_observable"].isna().all()
    assert trainings.spread(members.assign(covariance=0.1)) == 0  # rounding must not make it imaginary


def test_breakdown_has_a_row_per_group(fits, settings):
    table = trainings.breakdown(fits, settings)
    chosen = table[(table["training"] == "trees") & (table["seed"] == 1) & (table["data"] == "asimov")]
    assert dict(zip(chosen["group"], chosen["sigma"], strict=True)) == fits[Run("trees", 1)]["asimov"]["breakdown"]


def test_results_of_an_unknown_training_are_an_error(fits, settings):
    with pytest.raises(ComparisonError, match="'other', which is not in trainings: nominal"):
        trainings.breakdown({Run("other", 1): fits[Run("nominal", 1)]}, settings)


def test_budget_adds_up_folds():
    history = pd.DataFrame(
        {"fold": [0, 0, 1, 1, 1], "events_seen": [5, 10, 5, 10, 15], "seconds": [1.0, 2.0, 1.5, 2.5, 3.5]}
    )
    assert trainings.budget(history) == (25, 5.5)


# --- ranking --------------------------------------------------------------------------------------------------------


def test_ranking_puts_the_smallest_median_first(summary, settings):
    ranked = trainings.rank(summary, settings)
    for data in DATA:
        table = ranked[ranked["data"] == data]
        assert table["sigma"].is_monotonic_increasing
        assert table["rank"].tolist() == [1, 2, 3, 4, 5]
        assert table["relative"].iloc[0] == 0


def test_ranking_has_median_and_spread_over_seeds(summary, settings):
    ranked = trainings.rank(summary, settings)
    row = ranked[(ranked["training"] == "trees") & (ranked["data"] == "asimov")].iloc[0]
    values = summary.loc[(summary["training"] == "trees") & (summary["data"] == "asimov"), "sigma"]
    assert row["sigma"] == np.median(values)
    assert row["sigma_spread"] == pytest.approx(np.std(values, ddof=1))
    assert (row["seeds"], row["failed"]) == (3, 0)


def test_fits_that_did_not_converge_are_counted_and_left_out(summary, settings):
    broken = summary.copy()
    broken.loc[(broken["training"] == "trees") & (broken["seed"] == 1), ["converged", "sigma"]] = [False, 1e-6]
    broken.loc[broken["training"] == "nominal", "converged"] = False
    ranked = trainings.rank(broken, settings)
    table = ranked[ranked["data"] == "asimov"].set_index("training")
    assert (table.loc["trees", "seeds"], table.loc["trees", "failed"]) == (2, 1)
    assert table.loc["trees", "sigma"] > 1e-3
    assert table.index[-1] == "nominal"
    assert np.isnan(table.loc["nominal", "sigma"])


@hypothesis.given(
    st.lists(st.floats(0.1, 1), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0.1, 1), min_size=2, max_size=6, unique=True),
)
def test_difference_is_that_of_welchs_test(ours, best):
    hypothesis.assume(np.std(ours) > 1e-3 and np.std(best) > 1e-3)
    found = trainings.difference(np.array(ours), np.array(best))
    oracle = stats.ttest_ind(ours, best, equal_var=False)
    assert found.value == pytest.approx(np.mean(ours) - np.mean(best))
    assert 2 * stats.norm.sf(abs(found.significance)) == pytest.approx(oracle.pvalue, rel=1e-6)
    assert found.significance * found.value >= 0


def test_two_seeds_count_for_less_than_ten():
    few = trainings.difference(np.array([1.0, 1.2]), np.array([2.0, 2.2]))
    many = trainings.difference(np.array([1.0, 1.2] * 5), np.array([2.0, 2.2] * 5))
    assert abs(few.significance) < 3 < abs(many.significance)


def test_one_seed_has_no_significance():
    found = trainings.difference(np.array([0.3]), np.array([0.2, 0.21]))
    assert found.value == pytest.approx(0.095)
    assert np.isnan(found.significance)


@pytest.mark.parametrize(("ours", "expected"), [([0.3, 0.3], np.inf), ([0.1, 0.1], -np.inf), ([0.2, 0.2], 0.0)])
def test_trainings_without_spread_differ_surely_or_not_at_all(ours, expected):
    assert trainings.difference(np.array(ours), np.array([0.2, 0.2])).significance == expected


def test_ranking_survives_being_written_and_read(summary, settings, tmp_path):
    ranked = trainings.rank(summary, settings)
    files.write_table(tmp_path / "trainings.csv", ranked)
    again = files.read_table(tmp_path / "trainings.csv")
    pd.testing.assert_frame_equal(ranked, again, check_dtype=False)
