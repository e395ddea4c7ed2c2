"""Goodness of fit of single events: p values are uniform where the model is right, and small where it is not."""

import numpy as np
import pytest
from known_densities import BACKGROUND, SIGNAL, densities_of, described, simulated
from scipy import stats

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned import goodness
from nuisflow.inference.unbinned.model import UnbinnedModel

MODEL, SIMULATED = UnbinnedModel(described()), simulated(11, 20_000)


def events(seed, width=2.0, number=BACKGROUND):
    """Return the data of one experiment whose background may have another width."""
    random = np.random.default_rng(seed)
    numbers = random.poisson([SIGNAL, number])
    x = np.concatenate([random.normal(1, 0.5, numbers[0]), random.normal(0, width, numbers[1])])
    return MODEL.data(np.ones(len(x)), densities_of(x), random.integers(0, 2, len(x)))


def judged(data, number=0):
    best = MODEL.best(data)
    return goodness.test(MODEL, SIMULATED, data, best, number=number, seed=1)


def test_ln_r_is_that_of_the_densities():
    x, values = np.linspace(-4, 4, 9), np.array([1.5, 0.7, -0.5])
    data = MODEL.data(np.ones(9), densities_of(x), np.zeros(9, dtype=np.int64))
    both = stats.norm(0, 2).pdf(x) + stats.norm(1, 0.5).pdf(x)
    background = BACKGROUND * 1.1**-0.5 * 1.1**0.7 * stats.norm(0.4 * 0.7, 2).pdf(x)
    known = np.log((background + 1.5 * SIGNAL * stats.norm(1, 0.5).pdf(x)) / both)
    assert MODEL.log_ratio(data, values) == pytest.approx(known)


def test_bins_have_equal_contents_and_the_expected_total():
    binned = goodness.Binned(MODEL, SIMULATED, MODEL.inits)
    expected = binned.expected(MODEL.inits)
    assert len(expected) == 20
    assert expected == pytest.approx(np.full(20, (SIGNAL + BACKGROUND) / 20), rel=0.01)
    assert binned.expected(np.array([2.0, 0.0, 0.0])).sum() == pytest.approx(2 * SIGNAL + BACKGROUND)
    data = experiments.asimov(MODEL, SIMULATED)
    assert binned.counted(data) == pytest.approx(expected)
    assert sum(binned.statistic(data, MODEL.inits)) == pytest.approx(0, abs=1e-9)


def test_p_values_of_right_models_are_uniform():
    found = [judged(events(seed), 60)["toys"]["p_value"] for seed in range(40)]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    chi2 = [judged(events(seed)) for seed in range(40)]
    assert np.mean([one["chi2"] for one in chi2]) == pytest.approx(chi2[0]["ndof"], abs=4 * np.sqrt(2 * 19 / 40))


def test_experiments_at_a_negative_signal_lack_the_background_that_it_takes_away():
    """The intensity is that of the densities, B b(x) - |mu| S s(x): counted in a window around the signal and in all."""
    values = np.array([-0.8, 0.0, 0.0])
    there = SIMULATED.to_draw(MODEL, values)
    assert (there.weight >= 0.0).all()
    data = list(experiments.throw(MODEL, there, values, 300, seed=3))
    total = BACKGROUND - 0.8 * SIGNAL
    counts = np.array([len(one.weight) for one in data])
    assert counts.mean() == pytest.approx(total, abs=4 * np.sqrt(total / 300))
    share = np.concatenate([one.ratio[1] / one.ratio[0] for one in data])  # of signal: largest near x = 1
    x = np.linspace(-8.0, 8.0, 4001)
    signal, background = SIGNAL * stats.norm(1, 0.5).pdf(x), BACKGROUND * stats.norm(0, 2).pdf(x)
    inside = signal / background > 0.5 * (signal / background).max()
    expected = np.trapezoid(np.where(inside, background - 0.8 * signal, 0.0), x)
    seen = (share > 0.5 * (signal / background).max()).sum() / 300
    assert seen == pytest.approx(expected, abs=5 * np.sqrt(expected / 300) + 0.02 * expected)
    strengths = [MODEL.best(one).values[0] for one in data[:60]]
    assert np.mean(strengths) == pytest.approx(-0.8, abs=4 * np.std(strengths) / np.sqrt(60))


def test_a_background_of_another_width_fits_worse_than_all_experiments():
    """Where ln R is the same for both signs of a distance, the shape must differ in it: 3 instead of 2."""
    found = judged(events(5, width=3.5), 60)
    assert found["p_value"] < 1e-3
    assert found["toys"]["p_value"] < 0.05


def test_a_wrong_yield_is_in_the_pulls():
    found = judged(events(6, number=1.8 * BACKGROUND))
    assert found["pulls"] > 3
    assert found["chi2"] > found["pulls"]
