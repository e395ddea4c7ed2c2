"""What the report says of the closure of learned densities."""

import copy

import pytest
import yaml
from analyses import ROOT

from nuisflow.comparison.trainings import Run
from nuisflow.report import closure
from nuisflow.report.plots import closure as drawn
from nuisflow.settings.checks import reading
from nuisflow.slices.report import plots

SETTINGS = plots(reading.check(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()), "config.yaml"))
ROW = {"chi2": 9.0, "ndof": 9, "p_value": 0.4, "in_data": 0.0}
ROW |= {"edges": [0.0, 1.0, 3.0], "first": [10.0, 9.0], "second": [11.0, 8.0], "error": [3.0, 3.0]}
OBSERVED = {
    "features": [{"feature": "met"} | ROW, {"feature": "mass"} | ROW],
    "log_ratio": ROW,
    "classifier": {"auc": 0.51, "error": 0.01, "in_data": 0.0},
    "events": {"model": 20.0, "data": 19.0},
}
GOOD = {
    "normalisation": {
        "ratios": {"signal": 0.001},
        "norms": 0.001,
        "yields": [],
        "places": [
            {
                "process": "ttbar", "place": "tes = 1", "z": {"tes": 1.0}, "response": 0.01, "response_error": 0.001,
                "yield": 0.0001, "yield_error": 0.0001, "outside": 0.0001, "largest": 0.001,
            }
        ],
    },
    "reweighting": {
        "features": [
            {
                "process": "ttbar", "place": "tes = 1", "feature": "met", "chi2": 12.0, "ndof": 9, "p_value": 0.2,
                "in_data": 0.7,
            }
        ],
        "classifier": [{"process": "ttbar", "place": "all", "auc": 0.501, "error": 0.002, "in_data": 0.0}],
    },
    "calibration": [],
    "shifts": {"mu": 0.01, "tes": -0.05},
    "scatter": {"mu": 0.02, "tes": 0.02},
    "support": {"data": 90, "outside": {}},
    "confirmed": [{"process": "ttbar", "variation": "generator", "fold": 0, "factor": 0.8, "error": 0.1}],
    "convergence": {"binned": [{"bins": 50, "sigma": 0.21}], "unbinned": 0.2},
    "events": {"effective": {"ttbar": 1000.0}, "largest": 0.001},
}  # fmt: skip


def cautioned(*path, value):
    """Return the cautions where the number at *path* has another value."""
    found = copy.deepcopy(GOOD)
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return closure.cautions({Run("nominal", 1): found}, SETTINGS)


def test_densities_that_close_are_not_warned_of():
    assert closure.cautions({Run("nominal", 1): GOOD}, SETTINGS) == []
    assert closure.section({}) == []
    assert ("Largest part of one event in the information", "0.1 %") in closure.section(GOOD)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("reweighting", "features", 0, "p_value"), 1e-9, "met of ttbar at tes = 1"),
        (("normalisation", "places", 0, "yield"), 0.03, "yield of ttbar at tes = 1: +3.0 %"),
        (("normalisation", "places", 0, "response"), -0.2, "mean response of ttbar at tes = 1: −20.0 %"),
        (("normalisation", "places", 0, "outside"), 0.1, "10 % outside"),
        (("convergence", "binned", 0, "sigma"), 0.18, "−10.0 % in 50 bins"),
        (("events", "largest"), 0.2, "20 % of the information"),
        (("shifts", "tes"), -0.3, "tes by −0.30 of its error (by chance: ± 0.02)"),
        (("normalisation", "ratios", "signal"), -0.03, "the mean ratio of signal is off by −3.0 %"),
        (("normalisation", "norms"), 0.05, "described to +5.0 % only"),
        (
            ("normalisation", "yields"),
            [{"process": "ttbar", "place": "tes_up", "off": None}],
            "yield of ttbar at tes_up: there are no events",
        ),
        (
            ("normalisation", "yields"),
            [{"process": "ttbar", "place": "tes_up", "off": 0.03}],
            "ttbar at tes_up: its polynomial is off by +3.0 %",
        ),
        (("support", "outside"), {"met": 3}, "3 of 90 events, by met"),
        (("confirmed", 0, "factor"), 0.6, "ttbar, generator (fold 0): 0.60 ± 0.10"),
    ],
)
def test_what_does_not_close_is_warned_of_with_training_and_place(path, value, words):
    (found,) = cautioned(*path, value=value)
    assert "Nominal (seed 1)" in found.text
    assert found.remedy
    assert words in found.details[0]


def test_a_shift_that_few_simulated_events_make_by_chance_is_not_blamed_on_the_training():
    found = copy.deepcopy(GOOD) | {"shifts": {"mu": 1.4, "tes": 0.0}, "scatter": {"mu": 1.2, "tes": 0.02}}
    (caution,) = closure.cautions({Run("nominal", 1): found}, SETTINGS)
    assert "Too few simulated events" in caution.text
    assert caution.details == ("Nominal (seed 1): mu by 1.40 of its error (by chance: ± 1.20)",)


def test_a_classifier_must_see_what_data_would_see_too():
    assert not cautioned("reweighting", "classifier", 0, "auc", value=0.6)
    bad = {"process": "ttbar", "place": "all", "auc": 0.6, "error": 0.002, "in_data": 3.0}
    (found,) = cautioned("reweighting", "classifier", 0, value=bad)
    assert "a classifier tells ttbar, varied apart: AUC 0.600" in found.details[0]


def test_data_that_look_like_the_model_are_shown_and_not_warned_of():
    assert not cautioned("observed", value=OBSERVED)
    words = dict(closure.section(GOOD | {"observed": OBSERVED}))
    assert words["Classifier between data and fitted model"] == "AUC 0.5100 ± 0.0100"
    assert words["Feature in which they differ most"] == "met: χ² = 9.0 for 9, p-value 0.4"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classifier": {"auc": 0.55, "error": 0.01}}, "a classifier tells data from the model: AUC 0.5500"),
        ({"log_ratio": ROW | {"p_value": 1e-5}}, "ln R: χ² = 9 for 9, chance 1e-05"),
        ({"features": [{"feature": "met"} | ROW | {"p_value": 1e-4}, {"feature": "mass"} | ROW]}, "met: χ²"),
    ],
)
def test_data_that_differ_from_the_model_are_warned_of(changes, words):
    (found,) = cautioned("observed", value=OBSERVED | changes)
    assert "Nominal (seed 1)" in found.text
    assert words in found.details[0]


def test_one_of_many_features_may_differ_by_chance():
    assert not cautioned("observed", value=OBSERVED | {"features": [{"feature": "met"} | ROW | {"p_value": 6e-4}] * 2})


def test_a_hyphen_in_the_name_of_a_parameter_is_no_minus_sign():
    place = drawn._place(
        {"place": "tes = -1, lumi = 0.5"}, SETTINGS.model_copy(update={"variations": {"tes": "t-scale"}})
    )
    assert place.startswith("t-scale = −1, ")
