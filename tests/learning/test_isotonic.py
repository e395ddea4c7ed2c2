"""Calibration of scores: the regression, its order, and the training that asks for it."""

import gaussians
import numpy as np
import pydantic
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from sklearn.isotonic import IsotonicRegression

from nuisflow import strategies
from nuisflow.learning import batches, isotonic, loop, plain
from nuisflow.learning.classifier import Classifier
from nuisflow.templates import binning

CALIBRATED = {"strategy": "nominal", "calibrate": "isotonic"}


def events(size, seed=1):
    """Return scores of some ties, whether events are signal, and weights of which some are 0."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(2, 2, size), 3).astype(np.float32)
    return scores, (rng.uniform(0, 1, size) < scores**2).astype(np.float32), rng.exponential(1, size) * (scores != 0.5)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 3)), min_size=1, max_size=8))
def test_isotonic_regression_is_the_least_squares_solution_that_ascends(pairs):
    values, weights = np.array(pairs).T
    found = isotonic.regression(values, weights)
    assert np.all(np.diff(found) >= 0)

    def cost(solution):
        return np.sum(weights * (solution - values) ** 2)

    constraint = {"type": "ineq", "fun": np.diff} if len(values) > 1 else ()
    best = optimize.minimize(cost, np.sort(values), constraints=constraint, method="SLSQP")
    assert cost(found) <= best.fun + 1e-4


@pytest.mark.parametrize("size", [2, 5, 40, 5000])
def test_a_calibrated_score_is_scikit_learns_regression_and_a_hundredth_of_itself(size):
    scores, signal, weights = events(size)
    asked = np.linspace(0, 1, 20_001)
    known = weights > 0
    reference = IsotonicRegression(out_of_bounds="clip")
    reference.fit(scores[known].astype(float), signal[known], weights[known])
    expected = 0.99 * reference.predict(asked) + 0.01 * asked
    found = isotonic.measured(scores, signal, weights)
    inside = (asked >= scores[known].min()) & (asked <= scores[known].max())
    assert np.abs(found(asked) - expected)[inside].max() < 1e-6
    assert np.abs(found(asked) - expected).max() < 0.011


@given(st.integers(1, 300), st.integers(0, 10**6))
def test_no_two_scores_become_one_and_every_calibrated_score_leads_back(size, seed):
    found = isotonic.measured(*(values[:size] for values in events(size + 1, seed)))
    asked = np.linspace(0, 1, 10_001)
    values = found(asked)
    assert np.diff(values).min() > 0.9e-6
    assert 0 <= values[0] < values[-1] <= 1
    assert np.abs(found.undone(values) - asked).max() < 1e-9
    assert np.abs(found.undone(values.astype(np.float32)) - asked).max() < 2e-5


def test_bins_at_quantiles_hold_the_same_events_before_and_after():
    scores, signal, weights = events(20_000)
    raw = np.random.default_rng(2).beta(3, 1, 20_000).astype(np.float32)
    calibrated = isotonic.measured(scores, signal, weights)(raw).astype(np.float32)

    def bins(values):
        edges = np.linspace(values.min(), values.max(), binning.FINE_BINS + 1)
        contents = [np.histogram(values, edges, weights=1.0 * (signal == kind))[0] for kind in (1, 0)]
        return np.digitize(values, edges[binning.quantiles(*contents, 15)][1:-1])

    differ = bins(raw) != bins(calibrated)
    assert differ.sum() <= 5 * 14  # of 20,000: values as near to an edge as the grid of candidates is fine


def test_a_training_that_asks_for_it_differs_by_the_calibration_alone(tmp_path):
    torch.set_num_threads(1)
    pools = [gaussians.pool(options) for options in ({"strategy": "nominal"}, CALIBRATED)]
    usual, calibrated = (loop.train(pool, pool.settings.training, "cpu")[0] for pool in pools)
    columns = gaussians.columns(3000, (0.5, 0.5), 5)
    raw, found = usual.score(columns), calibrated.score(columns)
    assert usual.calibrations == [None, None]
    fold = batches.fold(columns["entry"], 2)
    for number, calibration in enumerate(calibrated.calibrations):
        assert found[fold == number] == pytest.approx(calibration(raw[fold == number]), abs=1e-7)
    calibrated.save(tmp_path / "model.pt")
    assert np.array_equal(Classifier.load(tmp_path / "model.pt").score(columns), found)
    without = plain.load(tmp_path / "model.pt")
    for one, other in zip(without.calibrations, calibrated.calibrations, strict=True):
        assert np.array_equal(one, other)
    assert np.median(np.abs(without.score(columns) - found)) < 1e-6
    assert np.abs(found - raw).max() > 0.01


def test_a_network_is_calibrated_by_validation_events_which_it_neither_learns_of_nor_scores():
    pool = gaussians.pool(CALIBRATED)
    model, _ = loop.train_fold(pool, pool.settings.training, 1, "cpu", {})
    scored, labels, weights = [], [], []
    for name, signal in (("signal", 1), ("background", 0)):
        columns = dict(pool.samples[name])
        held = batches.is_validation(columns["entry"], 0.2) & (batches.fold(columns["entry"], 2) == 0)
        features = np.stack([columns["x"][held], columns["y"][held]], axis=1)
        z = torch.zeros((held.sum(), 0))
        scaled = torch.from_numpy(model.scaling(features))
        scored.append(pool.settings.training.score(model.networks, scaled, z).detach().numpy())
        labels.append(np.full(held.sum(), signal))
        weights.append(np.full(held.sum(), 1 / held.sum()))
    reference = IsotonicRegression().fit(*map(np.concatenate, (scored, labels, weights)))
    asked = np.quantile(np.concatenate(scored), np.linspace(0.02, 0.98, 300)).astype(float)
    assert model.calibration(asked) == pytest.approx(0.99 * reference.predict(asked) + 0.01 * asked, abs=3e-3)


def test_calibrated_scores_are_probabilities_of_other_events():
    """The share of signal in bins of the score is the score, also of trees that have overgrown."""
    trees, errors = {"strategy": "boosted_trees", "rounds": 60, "depth": 8, "shrinkage": 1.0}, []
    test = gaussians.columns(40_000, (1, 1), 11), gaussians.columns(40_000, (0, 0), 12)
    for options in (trees, trees | {"calibrate": "isotonic"}):
        pool = gaussians.pool(options, number=10_000, patience=1000)
        made, _ = loop.train(pool, pool.settings.training, "cpu")
        edges, scores = np.linspace(0, 1, 11), [made.score(columns) for columns in test]
        signal, background = (np.histogram(score, edges)[0] for score in scores)
        total = np.histogram(np.concatenate(scores), edges, weights=np.concatenate(scores))[0]
        errors.append(np.abs(signal - total).sum() / (signal + background).sum())
    assert errors[1] < 0.02 < 0.03 < errors[0], errors


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strategy": "ensemble", "size": 3}, "is a mean over 3 members"),
        ({"strategy": "dropout"}, "is a mean over 20 members"),
        ({"strategy": "inferno", "variations": ["shift"], "bins": 8}, "is one of 8 classes"),
        ({"strategy": "optimal", "density": "gaussian"}, "comes from no network"),
        ({"strategy": "conditional", "variations": ["shift"]}, "is another one at every hypothesised z"),
    ],
)
def test_scores_that_one_regression_cannot_calibrate_are_refused_with_the_reason(options, reason):
    with pytest.raises(pydantic.ValidationError, match=f"calibrate: the score of the strategy .*{reason}.*remove"):
        strategies.read(options | {"calibrate": "isotonic"})


def test_an_ensemble_of_one_may_be_calibrated():
    assert strategies.read({"strategy": "ensemble", "size": 1, "calibrate": "isotonic"}).calibrate == "isotonic"
