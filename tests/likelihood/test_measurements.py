import json
import math

import numpy as np
import pytest

from nuisflow.comparison.trainings import fit_row
from nuisflow.likelihood import fits, limits, measurements
from nuisflow.likelihood.model import Model

EDGES = {"signal": np.linspace(0, 1, 4)}


def workspace(observed=(58.0, 75.0, 62.0), bounds=(-5.0, 10.0)):
    signal = [{"name": "mu", "type": "normfactor", "data": None}]
    background = [
        {"name": "tes", "type": "histosys", "data": {"hi_data": [42, 51, 63], "lo_data": [38, 49, 57]}},
        {"name": "staterror_signal", "type": "staterror", "data": [2.0, 3.0, 4.0]},
    ]
    samples = [
        {"name": "s", "data": [5.0, 10.0, 20.0], "modifiers": signal},
        {"name": "b", "data": [40.0, 50.0, 60.0], "modifiers": background},
    ]
    poi = {"name": "mu", "inits": [1.0], "bounds": [list(bounds)]}
    return {
        "channels": [{"name": "signal", "samples": samples}],
        "observations": [{"name": "signal", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [poi]}}],
        "version": "1.0.0",
    }


@pytest.fixture(scope="module")
def model():
    return Model(workspace())


@pytest.fixture(scope="module")
def found(model):
    return {
        kind: measurements.measure(model, kind, {"scales": ["tes"]}, EDGES, goodness_toys=400, seed=1)
        for kind in ("asimov", "observed")
    }


def test_everything_can_be_written_as_json(found):
    json.dumps(found, default=lambda value: value.tolist(), allow_nan=False)


def test_a_fit_to_data_that_does_not_converge_is_written_all_the_same_with_tests_of_its_goodness_asked_for():
    """Two factors on all that is expected: nothing tells them apart."""
    content = workspace()
    for sample in content["channels"][0]["samples"]:
        sample["modifiers"] = [{"name": name, "type": "normfactor", "data": None} for name in ("mu", "twin")]
    found = measurements.measure(Model(content), "observed", {}, EDGES, goodness_toys=5, seed=1)
    assert not found["converged"]
    toys = found["goodness_of_fit"]["toys"]
    assert (toys["p_value"], toys["p_low"], toys["failed"]) == (None, None, 5)
    json.dumps(found, default=lambda value: value.tolist(), allow_nan=False)
    assert math.isnan(fit_row(found)["p_value_toys"])


def test_asimov_data_give_the_expected_significance_and_limits_without_signal(found, model):
    tested = found["asimov"]
    assert tested["significance"]["sigmas"] == limits.significance(model, model.asimov()).sigmas
    assert tested["limits"]["observed"] is None
    assert tested["limits"]["expected"] == list(limits.limits(model, model.asimov({"mu": 0.0})).expected)
    assert tested["goodness_of_fit"] is None


def test_observed_data_give_observed_tests(found, model):
    tested = found["observed"]
    assert tested["limits"]["observed"] == limits.limits(model, model.data).observed
    assert tested["significance"]["q0"] == limits.significance(model, model.data).q0
    quality = tested["goodness_of_fit"]
    assert quality["p_value"] == limits.goodness_of_fit(model, model.data).p_value
    assert quality["toys"]["number"] == 400
    assert quality["toys"]["p_low"] < quality["toys"]["p_value"] < quality["toys"]["p_high"]
    assert abs(quality["toys"]["p_value"] - quality["p_value"]) < 0.15


def test_goodness_by_toys_can_be_left_out(model):
    assert measurements.measure(model, "observed", {}, EDGES)["goodness_of_fit"]["toys"] is None


def test_a_signal_strength_that_cannot_vanish_is_not_tested():
    model = Model(workspace(bounds=(0.5, 10.0)))
    tested = measurements.measure(model, "asimov", {}, EDGES)
    assert tested["significance"] is tested["limits"] is None


def test_a_limit_beyond_the_bound_is_null():
    model = Model(workspace(bounds=(-5.0, 1.2)))
    tested = measurements.measure(model, "asimov", {}, EDGES)
    assert tested["limits"]["expected"][0] is not None
    assert tested["limits"]["expected"][-1] is None


def test_a_flat_direction_is_written_as_null_with_its_reason():
    case = workspace()
    free = {"name": "k", "type": "normfactor", "data": None}
    case["channels"][0]["samples"][0]["modifiers"].append(free)
    tested = measurements.measure(Model(case), "observed", {}, EDGES)
    json.dumps(tested, allow_nan=False)
    assert tested["converged"] is False
    assert "flat mostly along" in tested["message"]
    assert fit_row(tested)["converged"] is False


def test_a_background_that_cannot_explain_the_data_has_no_significance_and_says_so():
    case = workspace(observed=(5.0, 3.0, 2.0))
    case["channels"][0]["samples"] = case["channels"][0]["samples"][:1]
    tested = measurements.measure(Model(case), "observed", {}, EDGES)
    json.dumps(tested, allow_nan=False)
    assert tested["significance"] == {"q0": None, "sigmas": None, "p_value": None}
    assert tested["limits"]["observed"] is None
    assert "significance: the fit without signal failed" in tested["message"]


def test_profile_intervals_of_every_parameter_but_those_of_bins_are_checked(found):
    assert found["asimov"]["intervals"]["checked"] == 2
    assert found["asimov"]["intervals"]["remarks"] == {}


def test_an_interval_unlike_the_hessian_is_named():
    lopsided = workspace()
    lopsided["channels"][0]["samples"][1]["modifiers"][0]["data"] = {"hi_data": [60, 50, 40], "lo_data": [39, 50, 61]}
    model = Model(lopsided)
    remarks = measurements.measure(model, "asimov", {}, EDGES)["intervals"]["remarks"]
    interval = fits.interval(model, model.asimov(), "tes")
    assert remarks["tes"] == interval.message
    assert "disagrees" in remarks["tes"]


def test_both_breakdowns_have_the_same_groups_and_the_observable_one_adds_up(found):
    for result in found.values():
        assert result["breakdown"].keys() == result["breakdown_observable"].keys()
        total = math.hypot(*(value or 0.0 for value in result["breakdown_observable"].values()))
        assert total == pytest.approx(result["sigma_hessian"], rel=0.05)
