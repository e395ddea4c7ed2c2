import numpy as np
import pandas as pd
import pytest

from nuisflow.comparison.trainings import SUMMARY, Run, rank
from nuisflow.report import cautions, findings
from nuisflow.settings import configuration
from nuisflow.slices.report import ComparisonSettings, ReportSettings
from nuisflow.templates import smoothing

SETTINGS = ReportSettings(
    processes={},
    regions={},
    variations={"tes": "tau energy scale"},
    trainings={"nominal": "nominal", "adversarial": "pivot", "augmentation": "augmented"},
    plots=configuration.Plots(),
    poi="mu",
    blinded=False,
    configuration={"templates": {"binning": {"rule": "quantile", "number": 5}}, "regions": {"control": {}}},
)


def ranked(sigmas, data="asimov", labels=SETTINGS.trainings, **changes):
    """Return the ranking of trainings with these uncertainties of their seeds."""
    strategies = {name: (label, name) for name, label in labels.items()}
    settings = ComparisonSettings(signal="s", trainings=strategies, seeds=1, folds=2, samples={}, regions=(), scored=())
    rows = [
        dict.fromkeys(SUMMARY, np.nan)
        | {"training": name, "seed": seed, "data": data, "converged": True, "mu": 1.0, "sigma": sigma}
        | {
            "sigma_up": sigma,
            "sigma_down": sigma,
            "sigma_hessian": sigma,
            "sigma_mcstat": 0.1 * sigma,
            "sigma_stat": 0.8 * sigma,
        }
        | changes
        for name, values in sigmas.items()
        for seed, sigma in enumerate(values, start=1)
    ]
    return rank(pd.DataFrame(rows), settings)


def text(trainings, settings=SETTINGS):
    return " ".join(findings.headline(trainings, settings))


def test_an_established_difference_is_called_so():
    found = text(ranked({"nominal": [0.30, 0.31, 0.305, 0.302, 0.304], "adversarial": [0.20, 0.201, 0.202, 0.2, 0.2]}))
    assert "pivot has the smallest expected uncertainty: σ(μ) = 0.200 (median of 5 seeds" in found
    assert "34.2 % smaller than the 0.304 of nominal" in found
    assert "is established (" in found
    assert "All other trainings are worse by at least 3 standard deviations" in found


def test_a_difference_within_the_spread_is_undecided():
    found = text(ranked({"nominal": [0.21, 0.25, 0.23, 0.2, 0.24], "adversarial": [0.20, 0.24, 0.22, 0.2, 0.23]}))
    assert "is undecided (" in found
    assert "No difference to the best is established: nominal" in found


def test_medians_that_hide_a_difference_stand_beside_the_means():
    sigmas = {"adversarial": [0.20, 0.20, 0.20, 0.21, 0.21], "nominal": [0.201, 0.201, 0.201, 0.24, 0.25]}
    found = text(ranked(sigmas))
    assert "That is 0.5 % smaller than the 0.201 of nominal" in found
    gap = 0.2186 - 0.204
    error = np.sqrt(sum(np.var(values, ddof=1) for values in sigmas.values()) / 5)
    assert f"the means over seeds differ by {gap:.3f} ± {error:.3f}, which is undecided (" in found
    assert "hardly matters" not in found


def test_trainings_that_are_established_to_be_worse_are_named_beside_those_that_are_not():
    sigmas = {
        "adversarial": [0.20, 0.201, 0.202],
        "augmentation": [0.202, 0.201, 0.203],
        "nominal": [0.3, 0.302, 0.301],
    }
    found = text(ranked(sigmas))
    assert "Established to be worse: nominal (+49.8 %, " in found
    assert "sd). Not established: augmented (+0.5 %, 1.1 sd)." in found


def test_what_rounds_to_zero_has_no_sign():
    assert (findings.number(-0.0004, 3), findings.number(-0.0006, 3)) == ("0.000", "−0.001")
    assert (findings.percent(-0.0004), findings.percent(-0.0006)) == ("+0.0 %", "−0.1 %")


def test_intervals_that_cover_wrongly_are_named():
    rows = [
        {"label": "A", "coverage": "68.1 ± 0.2 %", "off": False},
        {"label": "B", "coverage": "60.2 ± 0.2 %", "off": True},
    ]
    assert findings.covers(rows).endswith(
        "in 60.2 ± 0.2 % to 68.1 ± 0.2 % of pseudo-experiments; wrong by more than chance: B."
    )
    assert findings.covers(rows[:1]).endswith(
        "in 68.1 ± 0.2 % of pseudo-experiments; none is wrong by more than chance."
    )


def test_a_smallest_uncertainty_that_does_not_hold_stands_beside_the_smallest_that_does():
    table = ranked({"nominal": [0.30, 0.30], "adversarial": [0.20, 0.20], "augmentation": [0.25, 0.25]})
    covered = {"nominal": 0.68, "adversarial": 0.10, "augmentation": 0.50}

    def sentences(**shares):
        tables = [toys(share).assign(training=name) for name, share in (covered | shares).items()]
        return findings.headline(table, SETTINGS, coverage=pd.concat(tables))

    (found,) = [text for text in sentences() if "too narrow" in text]
    assert found == (
        "But its intervals are too narrow: they contain the true value in 10.0 ± 0.2 % of pseudo-experiments instead of "
        "68.3 %. Of those whose intervals are not known to be too narrow, nominal has the smallest: 0.300."
    )
    assert not [text for text in sentences() if "undecided" in text or "established" in text]
    assert "No other training is known to do better." in " ".join(sentences(nominal=0.6))
    assert sentences(adversarial=0.68, nominal=0.1) == findings.headline(table, SETTINGS)
    assert sentences(adversarial=0.9) == findings.headline(table, SETTINGS)  # too wide is safe


def test_whether_an_uncertainty_holds_is_asked_at_the_true_value_nearest_to_one():
    table = ranked({"nominal": [0.30, 0.30], "adversarial": [0.20, 0.20]})
    coverage = pd.concat(
        [toys(0.1).assign(training="adversarial", mu_true=0.0), toys(0.68).assign(training="adversarial")]
    )
    assert findings.headline(table, SETTINGS, coverage=coverage) == findings.headline(table, SETTINGS)


def test_of_very_many_trainings_the_next_best_are_named_and_the_others_counted():
    many = {f"training_{index}": f"number {index}" for index in range(24)}
    found = text(ranked({name: [0.2 + 0.001 * index] for index, name in enumerate(many)}, labels=many))
    names = [f"number {index} (+{0.5 * index:.1f} %)" for index in range(1, 6)]
    assert f"No difference to the best is established: {', '.join(names)} and 18 more may be as good." in found


def test_a_spread_too_small_to_be_written_is_not_called_zero():
    assert "which spread by less than 0.001)" in text(
        ranked({"nominal": [0.3, 0.30001], "adversarial": [0.2, 0.200001]})
    )


def test_one_seed_decides_nothing():
    found = text(ranked({"nominal": [0.30], "adversarial": [0.20]}))
    assert "(a single seed)" in found
    assert "undecided." in found
    assert "one seed says nothing about the randomness of training" in found


def test_few_seeds_are_cautioned_and_many_are_not():
    assert "2 seeds resolve only large differences" in text(
        ranked({"nominal": [0.3, 0.31], "adversarial": [0.2, 0.21]})
    )
    many = {"nominal": [0.3, 0.31, 0.3, 0.31, 0.3], "adversarial": [0.2, 0.21, 0.2, 0.21, 0.2]}
    assert "be careful" not in text(ranked(many))


def test_equal_trainings_are_called_equal():
    found = text(ranked({"nominal": [0.2001, 0.2002], "adversarial": [0.2, 0.2001]}))
    assert "it hardly matters which is used" in found


def test_a_single_training_is_not_compared():
    assert "There is no other training to compare it with" in text(ranked({"nominal": [0.2, 0.21]}))


def test_without_any_converged_fit_there_is_no_winner():
    assert "nothing to compare" in text(ranked({"nominal": [0.2, 0.21]}, converged=False))


def test_data_do_not_choose_the_training():
    expected = ranked({"nominal": [0.3, 0.31], "adversarial": [0.2, 0.21]})
    observed = ranked({"nominal": [0.1, 0.11], "adversarial": [0.4, 0.41]}, data="observed")
    found = text(pd.concat([expected, observed]))
    assert "pivot has the smallest expected uncertainty" in found
    assert found.startswith(
        "Observed: μ = 1.00 +0.41 −0.41. By pivot, chosen by its expected uncertainty, not by the data."
    )
    assert "The best fits of all 2 trainings lie between 1.00 and 1.00." in found


def test_once_data_are_looked_at_significance_and_limit_of_the_signal_come_first():
    tables = [
        ranked({"nominal": [0.3, 0.31], "adversarial": [0.2, 0.21]}, data=data) for data in ("asimov", "observed")
    ]
    summary = pd.DataFrame(
        {"training": "adversarial", "seed": seed, "data": data, "converged": True}
        | {"significance": 3.2 if data == "asimov" else 4.1 + seed, "limit_expected": 0.456}
        | {"limit_observed": 1.234 if data == "observed" else np.nan}
        for data in ("asimov", "observed")
        for seed in (1, 2)
    )
    first = findings.headline(pd.concat(tables), SETTINGS, summary)[0]
    assert first == (
        "Observed: μ = 1.00 +0.21 −0.21; significance of the signal 5.6 σ (expected 3.2 σ); "
        "upper limit on μ 1.23 at 95 % CL (expected 0.46)."
    )


def test_a_difference_between_trainings_is_never_given_in_sigma():
    tables = {"nominal": [0.21, 0.25, 0.23, 0.2, 0.24], "adversarial": [0.20, 0.24, 0.22, 0.2, 0.23]}
    assert "σ" not in text(ranked(tables)).replace("σ(μ)", "")
    assert findings.sureness(1.44) == "undecided (1.4 sd)"


def test_blinded_data_are_mentioned():
    blinded = SETTINGS.model_copy(update={"blinded": True})
    assert "blinded" in text(ranked({"nominal": [0.2, 0.21]}), blinded)
    assert "blinded" not in text(ranked({"nominal": [0.2, 0.21]}))


# --- warnings -------------------------------------------------------------------------------------------------------


def toys(coverage, number=10_000, failed=0, pull=0.0, unbounded=0, limited=0):
    error = np.sqrt(coverage * (1 - coverage) / number)
    return pd.DataFrame(
        [
            {"training": "nominal", "seed": seed, "mu_true": 1.0, "toys": number, "failed": failed, "pull_mean": pull}
            | {"unbounded": unbounded, "limited": limited}
            | {"coverage": coverage, "coverage_low": coverage - error, "coverage_high": coverage + error}
            for seed in (1, 2)
        ]
    )


def cautioned(trainings=None, coverage=None, fits=None):
    tables = {
        "trainings": ranked({"nominal": [0.2, 0.21]}) if trainings is None else trainings,
        "coverage": toys(findings.TARGET) if coverage is None else coverage,
    }
    return cautions.cautions(tables, fits or {}, SETTINGS)


def warnings(**given):
    """Return what to be careful about as text, each with its remedy, which none lacks."""
    found = cautioned(**given)
    assert all(caution.remedy for caution in found)
    return [f"{caution.text} {caution.remedy}" for caution in found]


def test_good_results_have_no_warnings():
    assert warnings() == []


@pytest.mark.parametrize(("coverage", "words"), [(0.60, "too narrow"), (0.80, "too wide")])
def test_wrong_coverage_is_reported(coverage, words):
    (found,) = warnings(coverage=toys(coverage))
    assert words in found
    assert f"{100 * coverage:.1f} ±" in found


@pytest.mark.parametrize(
    "given", [{"coverage": 0.5}, {"coverage": findings.TARGET, "pull": 2.0}], ids=["narrow", "bias"]
)
def test_of_single_events_the_remedy_is_not_about_bins_alone(given):
    table = ranked({"nominal": [0.2, 0.21]})
    (binned,) = warnings(trainings=table, coverage=toys(**given))
    (unbinned,) = warnings(trainings=table.assign(strategy="unbinned"), coverage=toys(**given))
    assert unbinned == f"{binned} Of single events: raise events_seen or the degree of the training; see the closure."


@pytest.mark.parametrize(("score", "remedy"), [(None, "rebinned of these trainings to false"), (0.0, "more events")])
def test_intervals_of_data_that_are_binned_anew_at_every_z_have_a_remedy_of_their_own(score, remedy):
    fits = {Run("nominal", 1): {"score": {"asimov": score}}}
    (found,) = warnings(coverage=toys(0.60), fits=fits)
    assert "60.0 ±" in found
    assert remedy in found
    assert "rebinned" in found or score == 0


def test_a_coverage_off_by_chance_or_by_little_is_not_reported():
    assert warnings(coverage=toys(0.66, number=200)) == []
    assert warnings(coverage=toys(0.680, number=1_000_000)) == []


def test_failed_pseudo_experiments_are_reported():
    (found,) = warnings(coverage=toys(findings.TARGET, failed=500))
    assert "fits to pseudo-experiments failed: nominal (1000 of 20000)" in found


def test_intervals_without_an_end_are_reported_by_themselves_and_those_at_a_limit_are_no_trouble():
    (found,) = warnings(coverage=toys(findings.TARGET, unbounded=300, limited=4000))
    assert "have an interval without an end: nominal (600 of 20000)" in found


def test_a_bias_beyond_chance_is_reported():
    (found,) = warnings(coverage=toys(findings.TARGET, pull=-0.23))
    assert "biased, in units of their uncertainty on average: nominal (−0.23)" in found
    assert warnings(coverage=toys(findings.TARGET, number=200, pull=0.15)) == []


def simulation(events):
    """Return the fits of one training whose bin with the fewest simulated events has so many."""
    row = {"region": "signal", "variation": "tes_down", "bin": 4, "bins": 5, "events": events}
    other = row | {"variation": "nominal", "events": 10 * events}
    return {Run("nominal", 1): {"simulation": [other]}, Run("nominal", 2): {"simulation": [row, other]}}


def parts(share, inflation):
    """Return a ranking with this MC-statistical share of sigma, and this total without it over the statistical part."""
    table = ranked({"nominal": [0.2, 0.2]})
    table["sigma_mcstat"] = share * table["sigma"]
    table["sigma_stat"] = table["sigma"] * np.sqrt(1 - share**2) / inflation
    return table


def test_an_uncertainty_without_the_simulation_is_not_compared_with_others_in_silence():
    table = ranked({"nominal": [0.2, 0.2], "adversarial": [0.3, 0.3]})
    table["sigma_mcstat"] = [np.nan, 0.05]
    (found,) = warnings(trainings=table)
    assert "uncertainty of nominal does not include the finite simulation" in found
    assert "replicas" in found
    table["sigma_mcstat"] = np.nan
    assert warnings(trainings=table) == []  # all alike


def test_a_best_training_without_the_simulation_stands_beside_the_best_other_one_without_it():
    table = ranked({"nominal": [0.2, 0.2], "adversarial": [0.5, 0.5]})
    table["sigma_mcstat"] = [np.nan, 0.3]
    assert "without the finite simulation, which the others contain: without it, pivot has 0.400." in text(table)
    for values in ([0.1, np.nan], [np.nan, np.nan], [np.nan, 0.001]):
        table["sigma_mcstat"] = values
        assert "finite simulation" not in text(table)


def test_large_mc_statistics_are_reported_once_for_all_trainings():
    table = ranked({"nominal": [0.2, 0.2], "adversarial": [0.3, 0.3]}, sigma_stat=0.15)
    table["sigma_mcstat"] = 0.5 * table["sigma"]
    (found,) = warnings(trainings=table, fits=simulation(1000))
    assert "nominal (50 %) and pivot (50 %)" in found
    assert "cover" not in found


def test_small_mc_statistics_are_not_reported_however_few_the_events_are():
    assert warnings(trainings=parts(0.3, 5.0), fits=simulation(11)) == []


def test_few_simulated_events_that_dominate_are_reported_with_their_number():
    (found,) = warnings(trainings=parts(0.9, 1.2), fits=simulation(25))
    assert "nominal (90 % of σ, 25 events): intervals cover too rarely" in found
    (found,) = warnings(trainings=parts(0.9, 1.2), fits=simulation(2500))
    assert "cover" not in found


def test_parameters_that_act_like_the_signal_are_reported_whatever_the_number_of_events():
    (found,) = warnings(trainings=parts(0.6, 4.0), fits=simulation(400))
    assert "act almost like the signal strength: intervals then cover too rarely" in found


def test_the_bin_with_the_fewest_simulated_events_is_named():
    settings = SETTINGS.model_copy(update={"regions": {"signal": ("signal region", "score")}})
    assert findings.scarcest(simulation(1234.4), settings) == (
        "The fewest effective simulated background events are 1,234, in bin 5 of 5 of signal region "
        "(nominal (seed 2), tau energy scale down)."
    )
    assert findings.scarcest({Run("nominal", 1): {}}, settings) == ""


def test_profile_intervals_unlike_the_hessian_are_counted():
    def fit(*names):
        return {"asimov": {"intervals": {"checked": 5, "remarks": dict.fromkeys(names, "disagrees")}}, "observed": None}

    fits = {Run("nominal", 1): fit("tes", "mu"), Run("nominal", 2): fit("tes"), Run("nominal", 3): fit()}
    assert findings.intervals(fits, SETTINGS).endswith("3 of 15: tau energy scale (2) and μ (1).")
    assert findings.intervals({Run("nominal", 3): fit()}, SETTINGS).endswith("0 of 5.")
    assert findings.intervals({Run("nominal", 3): {"asimov": {}}}, SETTINGS) == ""


def test_the_account_counts_all_that_failed_or_was_changed():
    fits = {
        Run("nominal", 1): {"asimov": {"converged": True}, "observed": {"converged": False}},
        Run("nominal", 2): {"asimov": {"converged": True}, "observed": None},
    }
    notes = [{"kind": kind} for kind in ("merged", "merged", "pruned", "same_side")]
    found = findings.account({"coverage": toys(findings.TARGET, failed=3, unbounded=1, limited=700)}, fits, notes)
    assert found[0] == "Fits that did not converge: 1 of 3."
    assert found[1] == (
        "Pseudo-experiments whose fit failed: 6 of 20,000; without an end of the interval: 2; with an end at a bound or "
        "at the edge of what is physical: 1,400."
    )
    assert "2 bins merged, 0 templates filled up, 1 effects pruned" in found[2]


def test_an_interval_unlike_the_parabolic_error_is_reported():
    (found,) = warnings(trainings=ranked({"nominal": [0.2, 0.2]}, sigma_hessian=0.16))
    assert "differs from the parabolic error of the Hessian: nominal (asimov data, +25 %)" in found


def test_a_poor_description_of_the_data_is_reported():
    (found,) = warnings(trainings=ranked({"nominal": [0.2, 0.2]}, data="observed", p_value=1e-4))
    assert "poorly: nominal (p-value < 0.001)." in found


def test_a_poor_description_names_regions_and_the_bins_with_the_largest_pulls():
    yields = {"signal": {"data": [100, 180, 100], "total": [100, 100, 100]}, "control": {"data": [101], "total": [100]}}
    fit = {
        "observed": {
            "converged": True,
            "parameters": [],
            "yields": {"postfit": yields},
            "goodness_of_fit": {"chi2": 60.0},
        }
    }
    table = ranked({"nominal": [0.2, 0.2]}, data="observed", p_value=1e-4)
    (found,) = cautioned(trainings=table, fits={Run("nominal", 1): fit})
    assert "χ² by region: signal 51.6 in 3 bins, control 0.0 in 1 bins and nuisance parameters 8.4" in found.text
    assert "largest pulls in signal: bin 2 (+7.2)" in found.text


def binned(**bins):
    yields = {region: {"total": [1.0] * number} for region, number in bins.items()}
    return {"asimov": {"converged": True, "parameters": [], "yields": {"prefit": yields}}}


def test_a_region_of_which_one_bin_is_left_is_reported():
    (found,) = warnings(fits={Run("nominal", 1): binned(signal=4), Run("adversarial", 1): binned(signal=1)})
    assert "One bin is left of signal for pivot (seed 1)" in found
    assert warnings(fits={Run("nominal", 1): binned(signal=2)}) == []


def test_a_region_that_was_asked_for_in_one_bin_is_not_reported(monkeypatch):
    configuration = SETTINGS.configuration | {"regions": {"control": {"binning": {"rule": "edges", "edges": [0, 1]}}}}
    monkeypatch.setattr(f"{__name__}.SETTINGS", SETTINGS.model_copy(update={"configuration": configuration}))
    assert warnings(fits={Run("nominal", 1): binned(control=1)}) == []


def test_ten_trainings_with_the_same_trouble_are_one_line_with_all_cases_folded():
    fits = {
        Run(f"training_{number}", 1): {"asimov": {"converged": True, "message": "at its bound", "parameters": []}}
        for number in range(10)
    }
    (found,) = cautioned(fits=fits)
    assert found.text.startswith("10 fits converged with a remark: training_0 (seed 1), ")
    assert found.text.endswith("and 5 more.")
    assert len(found.details) == 10


def test_fits_that_did_not_converge_are_reported_with_their_message():
    fits = {Run("adversarial", 2): {"asimov": {"converged": False, "message": "flat in mu", "parameters": []}}}
    (found,) = cautioned(fits=fits)
    assert found.text == "1 of 1 fits did not converge and are left out: pivot (seed 2), asimov data."
    assert found.details == ("pivot (seed 2), asimov data: flat in mu",)


def test_messages_of_converged_fits_are_reported():
    fit = {"asimov": {"converged": True, "message": "at its bound", "parameters": []}}
    (found,) = cautioned(fits={Run("nominal", seed): fit for seed in range(1, 6)})
    assert found.details[0] == "nominal (seed 1), asimov data: at its bound"
    assert found.text.startswith("5 fits converged with a remark: nominal (seed 1), nominal (seed 2), ")
    (single,) = cautioned(fits={Run("nominal", 1): fit})
    assert single.text == "1 fit converged with a remark: nominal (seed 1)."


def test_large_pulls_are_reported_once_with_the_largest_value():
    def fit(pull):
        parameters = [
            {"name": "tes", "pull": pull},
            {"name": "staterror_a[1]", "pull": 4.0},
            {"name": "mu", "pull": None},
        ]
        return {"observed": {"converged": True, "parameters": parameters}}

    found = warnings(fits={Run("nominal", 1): fit(-2.4), Run("nominal", 2): fit(2.2), Run("nominal", 3): fit(0.3)})
    assert len(found) == 1
    assert "pull nuisance parameters far, in prior standard deviations: tau energy scale (−2.4)." in found[0]


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "places"), [(0.2312, 3), (23.9, 1), (1234.0, 0), (0.0123, 4), (0.0, 3), (np.nan, 3)])
def test_decimals_show_three_significant_digits(value, places):
    assert findings.decimals(value) == places


def test_numbers_have_real_minus_signs_and_dashes_for_what_is_missing():
    assert findings.number(-0.5, 2) == "−0.50"
    assert findings.percent(-0.012) == "−1.2 %"
    assert findings.number(np.nan, 2) == findings.percent(np.nan) == findings.deviations(np.nan) == "–"
    assert findings.deviations(np.inf) == "> 10 sd"


def test_a_weight_whose_sides_both_change_yields_to_one_side_nearly_everywhere_is_named_with_the_remedy():
    nominal = np.array([50.0, 30.0])
    text = smoothing.same_side(nominal, 0.98 * nominal, 0.94 * nominal)
    weight = {"kind": "weight", "up": "sf_up", "down": "sf_down", "label": "muon SF"}
    content = {
        "variations": {"sf": weight, "jes": {"kind": "shift"}, "tag": weight | {"processes": ["s"]}},
        "processes": {"s": {}, "b": {}},
        "regions": {"signal": {}, "control": {}},
    }
    settings = SETTINGS.model_copy(update={"configuration": content})

    def told(*places, variation="sf", text=text):
        found = [{"kind": "same_side", "variation": variation, "text": text} | place for place in places]
        notes = [(Run(training, 1), note) for training in ("nominal", "adversarial") for note in found]
        return list(cautions.same_sides(notes, settings))

    places = [{"region": region, "process": process} for region in ("signal", "control") for process in ("s", "b")]
    (caution,) = told(*places)
    assert caution.text == "Up and down of a weight change the yields in the same direction: muon SF."
    assert "write the ratio, such as up: sf_up / sf" in caution.remedy
    assert len(caution.details) == 4
    assert (
        "muon SF: control, b: up and down change the yield in the same direction (-2.00% and -6.00%)" in caution.details
    )
    assert len(told(*places[:3])) == 1
    assert told(*places[:2]) == []
    assert len(told(*places[::2], variation="tag")) == 1
    assert told(*places, variation="jes") == []
    shape = smoothing.same_side(nominal, nominal + np.array([5, -5]), nominal + np.array([4, -4]))
    assert told(*places, text=shape) == []
