"""Uncertainties against the number of events, and their power laws."""

import numpy as np
import pytest
from scipy import stats

from nuisflow import seeds
from nuisflow.comparison import studies
from nuisflow.comparison.trainings import Run
from nuisflow.slices.report import ComparisonSettings

SIZES = np.array([0.1, 0.1, 0.3, 0.3, 1.0, 1.0])
COMPARISON = ComparisonSettings(
    signal="s", trainings={"a": ("A", "nominal")}, seeds=2, folds=2, samples={}, regions=(), scored=()
)


def measured(sigma, found=1.0, coverage=0.68):
    parts = {"sigma_stat": 0.1, "sigma_syst": 0.2 * sigma, "sigma_mcstat": 0.05}
    covered = {"mu_true": 1.0, "point": None, "coverage": coverage, "coverage_error": 0.01}
    fit = {"converged": True, "sigma": sigma, **parts}
    return {"asimov": fit, "coverage": [covered], "whole": {"asimov_mu": found}}


def test_an_exact_power_law_is_found_with_its_exponent_and_no_error():
    found = studies.law(SIZES, 0.2 * SIZES**-0.5)
    assert (found.exponent, found.at_whole) == (pytest.approx(-0.5), pytest.approx(0.2))
    assert found.error == pytest.approx(0, abs=1e-12)
    assert found(0.25) == pytest.approx(0.4)


def test_the_error_of_the_exponent_is_that_of_a_linear_regression_with_few_values():
    values = 0.2 * SIZES**-0.3 * np.exp(seeds.generator(1, "law").normal(0, 0.05, len(SIZES)))
    (slope, constant), covariance = np.polyfit(np.log(SIZES), np.log(values), 1, cov=True)
    found = studies.law(SIZES, values)
    assert found == pytest.approx((slope, stats.t(4).ppf(0.841344746) * np.sqrt(covariance[0, 0]), np.exp(constant)))


@pytest.mark.parametrize("seeds_per_size", [1, 2, 10])
def test_the_error_covers_the_true_exponent_as_often_as_it_should(seeds_per_size):
    rng, sizes = seeds.generator(2, "law", seeds_per_size), np.repeat([0.1, 0.3, 1.0], seeds_per_size)
    laws = [studies.law(sizes, 0.3 * sizes**-0.2 * np.exp(rng.normal(0, 0.04, len(sizes)))) for _ in range(2000)]
    pulls = np.array([(found.exponent + 0.2) / found.error for found in laws])
    assert np.mean(np.abs(pulls) < 1) == pytest.approx(0.683, abs=0.042)  # four standard deviations


def test_two_values_have_a_power_law_without_an_error_and_one_size_has_none():
    assert np.isnan(studies.law(np.array([0.1, 1.0]), np.array([0.2, 0.1])).error)
    assert studies.law(np.array([1.0, 1.0]), np.array([0.2, 0.1])) is None
    assert studies.law(np.array([0.1, 1.0]), np.array([0.0, 0.1])) is None


def test_the_table_has_a_row_per_study_size_training_and_seed_with_the_distance_from_the_whole():
    results = {
        ("simulated_events", "0.3"): {Run("a", 1): measured(0.4, found=1.1), Run("a", 2): measured(0.42)},
        ("simulated_events", "1"): {Run("a", seed): measured(0.3) for seed in (1, 2)},
    }
    table = studies.table(results, COMPARISON)
    assert list(table.columns) == list(studies.COLUMNS)
    assert table[["size", "seed", "sigma"]].to_numpy().tolist() == [[0.3, 1, 0.4], [0.3, 2, 0.42], [1, 1, 0.3], [1, 2, 0.3]]  # fmt: skip
    assert table["shift"].to_numpy() == pytest.approx([0.25, 0, 0, 0])
    laws = studies.laws(table).set_index("quantity")
    assert laws.loc["sigma", "exponent"] == pytest.approx(np.log(0.3 / np.sqrt(0.4 * 0.42)) / np.log(1 / 0.3))
    assert (laws.loc["sigma", "sizes"], laws.loc["sigma", "seeds"]) == (2, 2)


def test_a_fit_that_did_not_converge_is_listed_and_counts_in_no_power_law():
    bad = measured(5.0)
    bad["asimov"]["converged"] = False
    results = {("training_events", "0.1"): {Run("a", 1): bad}, ("training_events", "1"): {Run("a", 1): measured(0.3)}}
    table = studies.table(results, COMPARISON)
    assert table["converged"].tolist() == [False, True]
    assert studies.laws(table).empty


def test_the_ordinary_run_is_the_whole_of_every_study():
    fit = measured(0.3)
    found = studies.whole({"asimov": fit["asimov"] | {"mu": 1.06}, "observed": None}, fit["coverage"])
    table = studies.table({("training_events", "1"): {Run("a", 1): found}}, COMPARISON)
    assert table.iloc[0][["sigma", "coverage", "mu_whole"]].tolist() == [0.3, 0.68, 1.06]
    assert table["shift"].iloc[0] == pytest.approx(0.2)


def test_an_unknown_statistical_part_of_the_simulation_is_missing_and_has_no_power_law():
    """A likelihood of single events without replicas."""
    results = {("simulated_events", size): {Run("a", 1): measured(0.3)} for size in ("0.3", "1")}
    for found in results.values():
        found[Run("a", 1)]["asimov"]["sigma_mcstat"] = None
    table = studies.table(results, COMPARISON)
    assert table["sigma_mcstat"].isna().all()
    assert studies.laws(table)["quantity"].tolist() == ["sigma", "sigma_syst"]
