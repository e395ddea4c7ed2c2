"""The Fisher information of one training at other priors, luminosity and simulation."""

import copy

import numpy as np
import pytest

from nuisflow.inference import what_if
from nuisflow.likelihood.model import Model

SIGNAL, BACKGROUND, TILT = np.array([4.0, 12.0, 30.0]), np.array([700.0, 250.0, 90.0]), np.array([-0.05, 0.0, 0.08])
ERRORS, RATE = np.array([9.0, 6.0, 4.0]), 0.03


def workspace():
    """Return signal and background in three bins: a shape that tilts the background, a rate of it, MC statistics."""
    shape = {"hi_data": (BACKGROUND * (1 + TILT)).tolist(), "lo_data": (BACKGROUND * (1 - TILT)).tolist()}
    background = [
        {"name": "tilt", "type": "histosys", "data": shape},
        {"name": "rate", "type": "normsys", "data": {"hi": 1 + RATE, "lo": 1 / (1 + RATE)}},
        {"name": "staterror_a", "type": "staterror", "data": ERRORS.tolist()},
    ]
    signal = [{"name": "mu", "type": "normfactor", "data": None}]
    samples = [
        {"name": "signal", "data": SIGNAL.tolist(), "modifiers": signal},
        {"name": "background", "data": BACKGROUND.tolist(), "modifiers": background},
    ]
    return {
        "channels": [{"name": "a", "samples": samples}],
        "observations": [{"name": "a", "data": (SIGNAL + BACKGROUND).tolist()}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def by_hand(tilt=1.0, rate=1.0, luminosity=1.0, simulation=True):
    """Return sigma(mu) from the covariance of the bins: Poisson, simulation, and every source of its own width.

    sigma(mu)^2 = 1 / (s^T V^-1 s) is the same as the Fisher information with all parameters, by Woodbury's identity.
    """
    total, moved = luminosity * (SIGNAL + BACKGROUND), luminosity * BACKGROUND
    covariance = np.diag(total + (luminosity * ERRORS) ** 2 * simulation)
    covariance = covariance + tilt**2 * np.outer(moved * TILT, moved * TILT)
    covariance = covariance + (rate * np.log1p(RATE)) ** 2 * np.outer(moved, moved)
    signal = luminosity * SIGNAL
    return 1 / np.sqrt(signal @ np.linalg.solve(covariance, signal))


MODEL = Model(workspace())
FOUND = what_if.of_workspace(MODEL)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("luminosity", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("simulation", [True, False])
def test_the_gaussian_limit_is_the_covariance_of_the_bins_by_hand(tilt, luminosity, simulation):
    asked = {"tilt": tilt, "rate": 2.0}
    value = what_if.uncertainty(FOUND, asked, luminosity, simulation=simulation)
    assert value == pytest.approx(by_hand(tilt, 2.0, luminosity, simulation), rel=1e-4)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_refits_agree_where_everything_is_nearly_linear(scale):
    exact = what_if.refit(what_if.rescaled(MODEL, {"tilt": scale}))
    assert exact == pytest.approx(what_if.uncertainty(FOUND, {"tilt": scale}), rel=0.01)
    more = what_if.refit(Model(what_if.exposed(workspace(), scale)))
    assert more == pytest.approx(what_if.uncertainty(FOUND, luminosity=scale), rel=0.01)


def test_a_prior_of_another_width_is_a_template_of_another_size():
    # The prior twice as wide and the variation half as large are the same likelihood as long as both are linear.
    other = copy.deepcopy(workspace())
    shape = other["channels"][0]["samples"][1]["modifiers"][0]["data"]
    shape |= {"hi_data": (BACKGROUND * (1 + 2 * TILT)).tolist(), "lo_data": (BACKGROUND * (1 - 2 * TILT)).tolist()}
    assert what_if.refit(what_if.rescaled(MODEL, {"tilt": 2.0})) == pytest.approx(what_if.refit(Model(other)), rel=1e-5)


def test_a_refit_today_and_one_with_all_known_are_those_of_the_breakdown():
    from nuisflow.likelihood import uncertainties

    parts = uncertainties.breakdown(MODEL, MODEL.asimov())
    assert what_if.refit(MODEL) == pytest.approx(parts.sigma_total, rel=1e-6)
    others = [name for name in MODEL.names if name != "mu"]
    assert what_if.refit(MODEL, others) == pytest.approx(parts.sigma_stat, rel=1e-6)


def test_the_covariance_of_a_fit_gives_the_same_as_its_workspace():
    from nuisflow.likelihood import measurements

    fit = measurements.measure(MODEL, "asimov", {}, {"a": [0, 1, 2, 3]})
    found = what_if.of_covariance(MODEL, fit)
    for asked in ({}, {"scales": {"tilt": 2.0}}, {"luminosity": 3.0}, {"simulation": False}):
        assert what_if.uncertainty(found, **asked) == pytest.approx(what_if.uncertainty(FOUND, **asked), rel=1e-4)


def test_the_information_of_events_gets_its_priors_and_the_spread_of_replicas():
    description = {"parameters": [{"name": "mu", "width": 0.0}, {"name": "tilt", "width": 0.5}]}
    fit = {
        "information": {"names": ["mu", "tilt"], "matrix": [[9.0, 2.0], [2.0, 3.0]]},
        "asimov": {"sigma_mcstat": 0.1},
    }
    found = what_if.of_events(description, fit)
    assert found.spread == 0.1
    assert what_if.uncertainty(found, {"tilt": 2.0}) == pytest.approx((9 - 4 / (3 + 1 / 1.0)) ** -0.5)
    assert what_if.uncertainty(found, {"tilt": 0.0}) == pytest.approx(1 / 3)


def test_a_large_information_keeps_what_it_says_of_sliders_today(monkeypatch):
    monkeypatch.setattr(what_if, "LARGEST", 2)
    small = what_if.reduced(FOUND, ["tilt"])
    assert small.names == ("mu", "tilt")
    for asked in ({}, {"scales": {"tilt": 2.0}}, {"scales": {"tilt": 0.0}}, {"simulation": False}):
        assert what_if.uncertainty(small, **asked) == pytest.approx(what_if.uncertainty(FOUND, **asked), rel=1e-9)


def test_a_free_parameter_without_effect_does_not_matter():
    names = ("mu", "idle")
    none = np.zeros((2, 0))
    found = what_if.Information(names, np.diag([4.0, 0.0]), none, none[0], none[0], np.zeros(2))
    assert what_if.uncertainty(found) == 0.5


# --- correlated priors


RHO = 0.6


def correlated():
    return workspace() | {
        "extensions": {"correlations": [{"parameters": ["tilt", "rate"], "correlation": [[1, RHO], [RHO, 1]]}]}
    }


def correlated_by_hand(tilt=1.0, rate=1.0, luminosity=1.0):
    """Return sigma(mu) from the covariance of the bins, in which the two sources go together."""
    total, moved = luminosity * (SIGNAL + BACKGROUND), luminosity * BACKGROUND
    slopes = np.array([tilt * moved * TILT, rate * np.log1p(RATE) * moved])
    covariance = np.diag(total + (luminosity * ERRORS) ** 2) + slopes.T @ np.array([[1, RHO], [RHO, 1]]) @ slopes
    return 1 / np.sqrt(luminosity * SIGNAL @ np.linalg.solve(covariance, luminosity * SIGNAL))


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("luminosity", [1.0, 10.0])
def test_correlated_priors_keep_their_correlation_at_other_widths(tilt, luminosity):
    found = what_if.of_workspace(Model(correlated()))
    value = what_if.uncertainty(found, {"tilt": tilt, "rate": 2.0}, luminosity)
    assert value == pytest.approx(correlated_by_hand(tilt, 2.0, luminosity), rel=1e-4)


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
def test_refits_of_correlated_priors_agree_with_the_gaussian_limit(scale):
    model, held = Model(correlated()), () if scale else ("tilt",)
    exact = what_if.refit(what_if.rescaled(model, {"tilt": scale}), held)
    assert exact == pytest.approx(correlated_by_hand(tilt=scale), rel=0.01)


@pytest.mark.parametrize(("tilt", "luminosity"), [(1.0, 1.0), (0.5, 1.0), (3.0, 1.0), (1.0, 10.0), (2.0, 30.0)])
def test_what_is_correlated_with_a_fixed_parameter_has_the_conditional_prior(tilt, luminosity):
    """Of two normal variables with correlation rho, one has the width sqrt(1 - rho^2) where the other is known."""
    known = correlated()
    known["measurements"] = [{"name": "m", "config": {"poi": "mu", "parameters": [{"name": "rate", "fixed": True}]}}]
    model, right = Model(known), by_hand(tilt * np.sqrt(1 - RHO**2), 0.0, luminosity)
    value = what_if.uncertainty(what_if.of_workspace(model), {"tilt": tilt}, luminosity)
    assert value == pytest.approx(right, rel=1e-4)
    exact = what_if.refit(what_if.rescaled(Model(what_if.exposed(known, luminosity)), {"tilt": tilt}))
    assert exact == pytest.approx(right, rel=0.01)


def test_a_large_information_keeps_what_is_correlated_with_a_slider(monkeypatch):
    monkeypatch.setattr(what_if, "LARGEST", 2)
    found = what_if.of_workspace(Model(correlated()))
    small = what_if.reduced(found, ["tilt"])
    assert set(small.names) == {"mu", "tilt", "rate"}
    for asked in ({}, {"scales": {"tilt": 2.0}}, {"scales": {"tilt": 0.0}}):
        assert what_if.uncertainty(small, **asked) == pytest.approx(what_if.uncertainty(found, **asked), rel=1e-9)


def test_the_information_of_events_has_the_correlations_of_their_description():
    parameters = [{"name": "mu", "width": 0.0}, {"name": "a", "width": 0.5}, {"name": "b", "width": 1.0}]
    block = {"parameters": ["a", "b"], "correlation": [[1, RHO], [RHO, 1]]}
    matrix = np.array([[9.0, 2.0, 1.0], [2.0, 3.0, 0.5], [1.0, 0.5, 2.0]])
    fit = {"information": {"names": ["mu", "a", "b"], "matrix": matrix.tolist()}, "asimov": {"sigma_mcstat": 0.0}}
    found = what_if.of_events({"parameters": parameters, "correlations": [block]}, fit)
    matrix[1:, 1:] += np.linalg.inv([[0.25, 0.5 * RHO], [0.5 * RHO, 1.0]])
    assert what_if.uncertainty(found) == pytest.approx(np.sqrt(np.linalg.inv(matrix)[0, 0]))
