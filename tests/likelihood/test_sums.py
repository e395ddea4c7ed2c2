"""Events of whole channels and their errors, against numerical derivatives and by hand."""

import numpy as np
import pytest
from workspace_strategies import KINDS, build

from nuisflow.likelihood import fits, sums
from nuisflow.likelihood.model import Model


@pytest.fixture(scope="module")
def model():
    return Model(build(np.random.default_rng(3), 2, 3, KINDS, bins=4))


def test_the_error_of_a_sum_is_the_numerical_propagation_of_the_fit(model):
    result, step = fits.fit(model), 1e-6
    found = sums.sums(model, result)
    for channel, first, last in model.channels:
        slope = [
            (model.expected(result.values + move)[first:last].sum() - model.expected(result.values - move)[first:last].sum())
            / (2 * step)
            for move in step * np.eye(len(result.values))
        ]  # fmt: skip
        value, error = found[channel][sums.TOTAL]
        assert value == pytest.approx(model.expected(result.values)[first:last].sum())
        assert error == pytest.approx(float(np.sqrt(slope @ result.covariance @ slope)), rel=1e-5)


def test_samples_add_up_to_the_total(model):
    for channel in sums.sums(model).values():
        parts = [value for name, (value, _) in channel.items() if name != sums.TOTAL]
        assert sum(parts) == pytest.approx(channel[sums.TOTAL][0])


def test_a_common_rate_moves_all_bins_together_and_a_free_one_adds_nothing_before_the_fit():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    samples = [
        {"name": "s", "data": [1.0, 2.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": [30.0, 70.0], "modifiers": [rate]},
    ]
    model = Model({
        "channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [31.0, 72.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}], "version": "1.0.0",
    })  # fmt: skip
    found = sums.sums(model)["c"]
    assert found["b"] == pytest.approx((100.0, 10.0), rel=0.01)  # not 10 % of each bin in quadrature, which is 7.6
    assert found["s"] == pytest.approx((3.0, 0.0))
    assert found["total"] == pytest.approx((103.0, 10.0), rel=0.01)
