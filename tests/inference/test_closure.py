"""Differences between two weighted sets of the same events: chance is told from error, by chi-squared and classifier."""

import numpy as np
import pytest

from nuisflow.inference.closure import probes
from nuisflow.inference.closure.differences import Sets, difference, edges, separation


def moved(seed, size=4000, tilt=0.0, shift=0.3):
    """Return Gaussian events reweighted to a mean of *shift*, times exp(*tilt* x), and the same events moved there."""
    x = np.random.default_rng(seed).normal(size=size)
    weight = np.exp((shift + tilt) * x - 0.5 * shift**2)
    return Sets(weight, np.ones(size), x[:, None], x[:, None] + shift, np.arange(size))


def of(sets):
    return difference(sets, sets.x[:, 0], sets.y[:, 0], (sets.y[:, 0], sets.second))


def test_bins_of_equal_contents_are_quantiles_and_ties_make_fewer():
    assert edges(np.arange(100.0), np.ones(100), 4) == pytest.approx([24, 49, 74])
    assert edges(np.zeros(10), np.ones(10), 4).size == 0


def test_a_right_reweighting_has_the_chi_squared_of_chance():
    found = [of(moved(seed)) for seed in range(60)]
    assert {one.ndof for one in found} == {9}
    assert np.mean([one.chi2 for one in found]) == pytest.approx(9, abs=1.7)  # 4 standard errors
    assert np.mean([one.p_value < 0.1 for one in found]) < 0.3
    assert found[0].first.sum() == pytest.approx(found[0].second.sum())


def test_a_wrong_reweighting_is_as_large_as_data_would_see_it():
    """exp(0.05 x) too much moves the mean by 0.05: 0.05 sqrt(4000) = 3.2 standard deviations of 4000 events."""
    found = of(moved(3, tilt=0.05))
    assert found.p_value < 1e-3
    assert found.in_data == pytest.approx(3.2, abs=1.6)


def test_identical_sets_differ_in_nothing():
    x = np.random.default_rng(5).normal(size=(500, 1))
    found = of(Sets(np.ones(500), np.ones(500), x, x, np.arange(500)))
    assert (found.chi2, found.p_value, found.in_data) == (0.0, 1.0, 0.0)


def test_a_classifier_finds_what_differs_and_nothing_else():
    expected = (4000.0, 4000.0)
    areas = [separation(moved(seed), expected) for seed in range(12)]
    pulls = [(one.auc - 0.5) / one.error for one in areas]
    assert np.sqrt(np.mean(np.square(pulls))) < 1.8
    wrong = separation(moved(1, size=20_000, tilt=0.3), (20_000.0, 20_000.0))
    assert wrong.auc - 0.5 > 4 * wrong.error
    # Two unit Gaussians 0.3 apart: area Phi(0.3 / sqrt(2)) = 0.584; trees on half of the events reach a little less.
    assert wrong.auc == pytest.approx(0.575, abs=0.02)


def test_places_are_along_every_parameter_and_at_pairs_of_them():
    found = [place for group in probes.groups(["a", "b"]) for place in group]
    assert sum(place.is_anchor for place in found) == 4
    assert {"a": 1.0, "b": -1.0} in [dict(place.z) for place in found]
    assert [place.words for place in found if place.is_shown and not place.is_anchor] == [
        "a = 1, b = 1",
        "a = 1, b = -1",
    ]


def unpaired(seed, shift, size=2000):
    """Return many weighted events and *size* others, all in one table as observed events are beside the model."""
    random = np.random.default_rng(seed)
    x = np.concatenate([random.normal(size=20_000), random.normal(shift, 1, size)])[:, None]
    model = np.arange(len(x)) < 20_000
    return Sets(np.where(model, size / 20_000, 0.0), np.where(model, 0.0, 1.0), x, x, np.arange(len(x)))


def test_data_and_model_that_share_no_event_are_compared_by_their_own_errors():
    parts = [unpaired(seed, 0.0) for seed in range(40)]
    chi2 = [difference(one, one.x[:, 0], one.x[:, 0], (one.x[:, 0], one.second)).chi2 for one in parts]
    assert np.mean(chi2) == pytest.approx(9, abs=4 * np.sqrt(2 * 9 / 40))
    areas = [separation(one, (2000.0, 2000.0), tested=len(one.entry)) for one in parts[:12]]
    assert np.sqrt(np.mean([((one.auc - 0.5) / one.error) ** 2 for one in areas])) < 1.8
    wrong = separation(unpaired(1, 0.4), (2000.0, 2000.0), tested=22_000)
    assert wrong.auc - 0.5 > 4 * wrong.error
