"""Where the chi-squared of a fit comes from."""

import numpy as np
import pytest
from scipy import stats

from nuisflow.comparison import agreement
from nuisflow.likelihood import fits, limits
from nuisflow.likelihood.model import Model


def result(chi2, **regions):
    """Return a fit with these (data, expected) of every region."""
    postfit = {name: {"data": data, "total": total} for name, (data, total) in regions.items()}
    return {"goodness_of_fit": {"chi2": chi2}, "yields": {"postfit": postfit}}


def test_the_deviance_of_a_bin_is_that_of_poisson_probabilities():
    for seen, mean in ((0, 3.0), (7, 3.0), (40, 55.5)):
        ratio = stats.poisson.logpmf(seen, mean) - stats.poisson.logpmf(seen, max(seen, 1e-300))
        assert agreement.deviances([seen], [mean])[0] == pytest.approx(-2 * ratio)


def test_many_events_pull_as_gaussian_ones():
    found = agreement.of(result(0.0, a=([10_300, 9_800], [10_000, 10_000])))
    assert found.regions[0].pulls == pytest.approx([3.0, -2.0], rel=0.02)


def test_a_bin_whose_own_factor_has_moved_to_the_data_is_not_called_good():
    fit = result(99.0, a=([130, 100], [130, 100]))
    fit["parameters"] = [{"name": "staterror_a[0]", "pull": 3.0}, {"name": "staterror_a[1]", "pull": None}]
    (region,) = agreement.of(fit).regions
    assert region.chi2 == pytest.approx(9.0)


def test_the_worst_region_comes_first_and_its_largest_pulls_are_named_with_their_bins():
    found = agreement.of(result(99.0, good=([100, 101], [100, 100]), bad=([100, 160, 60], [100, 100, 100])))
    assert [region.name for region in found.regions] == ["bad", "good"]
    (bin_, pull), (other, low) = agreement.largest(found.regions[0], 2)
    assert (bin_, other) == (2, 3)
    assert pull > 5 > 0 > low
    assert found.auxiliary == pytest.approx(99.0 - sum(region.chi2 for region in found.regions))


def test_regions_and_constraints_together_are_the_saturated_chi_squared_of_the_likelihood():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.2, "lo": 0.8}}
    samples = [
        {"name": "s", "data": [5.0, 2.0, 1.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": [50.0, 60.0, 70.0], "modifiers": [rate]},
    ]
    model = Model({
        "channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [70.0, 62.0, 40.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}], "version": "1.0.0",
    })  # fmt: skip
    best, quality = fits.fit(model), limits.goodness_of_fit(model)
    (pull,) = fits.pulls(model, best)
    found = agreement.of(result(quality.statistic, c=([70.0, 62.0, 40.0], model.expected(best.values))))
    assert found.auxiliary == pytest.approx(pull.pull**2, rel=1e-6)


def test_without_a_chi_squared_the_rest_is_unknown():
    assert np.isnan(agreement.of({"yields": {"postfit": {"a": {"data": [1], "total": [1]}}}}).auxiliary)
