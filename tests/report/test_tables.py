import numpy as np
import pandas as pd
import pytest

from nuisflow.comparison.trainings import BANDS, DATA, EPISTEMIC
from nuisflow.report import tables
from nuisflow.settings import configuration
from nuisflow.slices.report import PlotSettings

SETTINGS = PlotSettings(
    processes={},
    regions={},
    variations={"tes": "tau energy scale", "jes": "jet energy scale"},
    trainings={"nominal": "Nominal", "trees": "Trees"},
    plots=configuration.Plots(),
    poi="mu",
    blinded=False,
)


def results():
    """Return tables of two trainings and two seeds; the trees are better."""
    rows = [
        {"training": name, "seed": seed, "data": data, "converged": True, "sigma": sigma + 0.01 * seed}
        | {
            "significance": 1 / sigma,
            "limit_expected": 2 * sigma,
            "limit_observed": 3 * sigma if data == "observed" else np.nan,
        }
        | {"p_value": 0.3, "p_value_toys": 1e-5, "interval_remarks": float(seed == 1), "simulated_events": 100.4 + seed}
        for name, sigma in (("nominal", 0.3), ("trees", 0.2))
        for seed in (1, 2)
        for data in DATA
    ]
    limits = [
        {
            "training": row["training"],
            "seed": row["seed"],
            "data": row["data"],
            "band": band,
            "value": (3 + band) * row["sigma"],
        }
        for row in rows
        for band in BANDS
    ]
    trainings = [
        {"training": name, "data": data, "sigma": sigma, "sigma_hessian": sigma, "sigma_syst": 0.6 * sigma}
        for data in DATA
        for name, sigma in (("trees", 0.2), ("nominal", 0.3))
    ]
    breakdown = [
        {"training": name, "seed": seed, "data": "asimov", "group": group, "sigma": share * sigma}
        | {"sigma_observable": np.nan if group == "normalisations" else observable * sigma}
        for name, sigma in (("nominal", 0.3), ("trees", 0.2))
        for seed in (1, 2)
        for group, share, observable in (("statistics", 0.6, 0.8), ("scales", 0.5, 0.6), ("normalisations", 0.4, 0.0))
    ]
    impacts = [
        {"training": name, "seed": seed, "data": data, "parameter": parameter}
        | {"impact_up": size, "impact_down": -size, "observable_up": 0.5 * size, "observable_down": -0.5 * size}
        for name in ("nominal", "trees")
        for seed in (1, 2)
        for data in DATA
        for parameter, size in (("jes", 0.1), ("tes", -0.2), ("staterror_a[0]", 0.06), ("staterror_a[1]", 0.08))
    ]
    columns = {"summary": rows, "limits": limits, "trainings": trainings, "breakdown": breakdown, "impacts": impacts}
    return {name: pd.DataFrame(content) for name, content in columns.items()}


def test_tests_stand_in_the_order_of_the_configuration():
    found = tables.tested(results(), "observed", SETTINGS)
    assert [row["label"] for row in found] == list(SETTINGS.trainings.values()) == ["Nominal", "Trees"]
    found = found[::-1]
    assert found[0]["significance"] == "5.0"
    assert found[0]["limit_expected"] == "0.400"
    assert found[0]["limit_observed"] == "0.600"
    assert found[0]["bands"] == ["0.430 to 0.860", "0.215 to 1.075"]
    assert (found[0]["p_value"], found[0]["p_value_toys"]) == ("0.300", "< 0.001")
    assert (found[0]["remarks"], found[0]["events"]) == ("1 of 2", "101")


def test_tests_that_were_not_made_are_dashes():
    made = results()
    names = ["significance", "limit_expected", "limit_observed", "interval_remarks", "simulated_events"]
    made["summary"][names] = np.nan
    (_, row) = tables.tested(made | {"limits": made["limits"].iloc[:0]}, "asimov", SETTINGS)
    assert {row[name] for name in ("significance", "limit_expected", "remarks", "events")} == {"–"}
    assert row["bands"] == ["–", "–"]


def test_trainings_whose_fits_failed_have_no_tests():
    made = results()
    made["summary"]["converged"] = made["summary"]["training"] == "trees"
    assert [row["label"] for row in tables.tested(made, "asimov", SETTINGS)] == ["Trees"]


def test_both_methods_of_the_breakdown_show_their_own_numbers_and_sums():
    frozen, observed = (tables.breakdown_table(results(), SETTINGS, method) for method in tables.METHODS)
    assert frozen["names"] == observed["names"] == ["Nominal", "Trees"]
    assert dict(frozen["rows"])["scales"] == [("0.150", 25.0), ("0.100", 25.0)]
    assert dict(observed["rows"])["scales"] == [("0.180", 36.0), ("0.120", 36.0)]
    assert dict(observed["rows"])["normalisations"][0] == ("–", 0.0)
    assert (
        dict(observed["totals"])["sum in quadrature"][1][0]
        == dict(observed["totals"])["total (Hessian)"][1][0]
        == "0.200"
    )


def test_impacts_are_sorted_and_the_factors_of_all_bins_added():
    held, shifted = (tables.impact_table(results(), SETTINGS, kind) for kind in ("impact", "observable"))
    assert held["rows"] == [("tau energy scale", ["0.200", "0.200"]), ("jet energy scale", ["0.100", "0.100"])]
    assert shifted["rows"][-1] == ("MC statistics, all bins", ["0.050", "0.050"])


def test_a_parameter_that_moves_the_result_to_one_side_only_has_the_mean_size_of_both_changes():
    """+0.3 and +0.2 are 0.25, not 0.05, which would rank it below all others."""
    made = results()
    jes = made["impacts"]["parameter"] == "jes"
    made["impacts"].loc[jes, ["impact_up", "impact_down"]] = [0.3, 0.2]
    rows = tables.impact_table(made, SETTINGS)["rows"]
    assert rows == [("jet energy scale", ["0.250", "0.250"]), ("tau energy scale", ["0.200", "0.200"])]


def test_without_variations_the_factors_of_all_bins_are_the_only_impact():
    made = results()
    made["impacts"] = made["impacts"][made["impacts"]["parameter"].str.endswith("]")]
    held, shifted = (tables.impact_table(made, SETTINGS, kind) for kind in ("impact", "observable"))
    assert (held["names"], held["rows"]) == (["Nominal", "Trees"], [])
    assert shifted["rows"] == [("MC statistics, all bins", ["0.050", "0.050"])]


def test_very_many_impacts_are_cut_and_counted():
    made = results()
    more = [made["impacts"].assign(parameter=f"p{i}") for i in range(30)]
    table = tables.impact_table(made | {"impacts": pd.concat([made["impacts"], *more])}, SETTINGS)
    assert (len(table["rows"]), table["left"]) == (25, 7)


@pytest.mark.parametrize(("value", "text"), [(np.nan, "–"), (0.0, "< 0.001"), (0.0007, "0.001"), (1.0, "1.000")])
def test_probabilities_never_read_as_zero(value, text):
    assert tables.probability(value) == text


def test_the_spread_between_members_stands_apart_from_the_total():
    found = results()
    plain = tables.breakdown_table(found, SETTINGS)
    rows = [
        {
            "training": "trees",
            "seed": seed,
            "data": "asimov",
            "group": EPISTEMIC,
            "sigma": 0.08 + 0.01 * seed,
        }
        for seed in (1, 2)
    ]
    found["breakdown"] = pd.concat([found["breakdown"], pd.DataFrame(rows)])
    for method in tables.METHODS:
        table = tables.breakdown_table(found, SETTINGS, method)
        assert table["rows"] == tables.breakdown_table(results(), SETTINGS, method)["rows"]
        assert table["totals"] == tables.breakdown_table(results(), SETTINGS, method)["totals"]
    assert tables.breakdown_table(found, SETTINGS)["apart"] == [
        ("epistemic spread (not part of the total)", ["–", "0.095"])
    ]
    assert table["apart"] == plain["apart"] == []
