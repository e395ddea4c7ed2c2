"""What a training of one size would measure."""

import numpy as np
import pyhf
import pytest

from nuisflow.inference import studies
from nuisflow.likelihood import measurements
from nuisflow.likelihood.model import Model
from nuisflow.settings.configuration import Toys
from nuisflow.slices.inference import ToySettings

SIGNAL, BACKGROUND, ERRORS = [5.0, 20.0, 40.0], [300.0, 200.0, 100.0], [12.0, 9.0, 7.0]
TOYS = ToySettings(poi="mu", toys=Toys(number=2000), displaced={}, name="nominal", repetition=1, seed=1)


@pytest.fixture(scope="module")
def model():
    background = [
        {"name": "staterror_signal", "type": "staterror", "data": ERRORS},
        {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
    ]
    samples = [
        {"name": "s", "data": SIGNAL, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": BACKGROUND, "modifiers": background},
    ]
    content = {
        "channels": [{"name": "signal", "samples": samples}],
        "observations": [{"name": "signal", "data": [305.0, 220.0, 140.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    pyhf.Workspace(content)
    return Model(content)


def test_the_uncertainty_and_its_parts_are_those_of_an_ordinary_fit(model):
    ordinary = measurements.measure(model, "asimov", {}, {"signal": [0, 1, 2, 3]})
    found = studies.expected_uncertainty(model, model.asimov())
    assert found == {name: pytest.approx(ordinary[name]) for name in found}


def test_the_whole_at_its_own_expectation_gives_back_the_truth_and_intervals_cover(model):
    found = studies.measure(model, {"signal": np.add(SIGNAL, BACKGROUND)}, TOYS)
    assert found["whole"]["asimov_mu"] == pytest.approx(1, abs=1e-4)
    (covered,) = found["coverage"]
    assert (covered["mu_true"], covered["toys"]) == (1.0, 2000)
    assert covered["coverage"] == pytest.approx(0.683, abs=0.04)


def test_the_whole_at_twice_the_signal_is_found_there(model):
    found = studies.measure(model, {"signal": 2 * np.array(SIGNAL) + BACKGROUND}, TOYS)
    assert found["whole"]["asimov_mu"] == pytest.approx(2, abs=1e-3)
