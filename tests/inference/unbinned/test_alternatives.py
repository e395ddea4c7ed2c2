"""Likelihoods of single events with a two-point variation: the answer is that of the known densities."""

import numpy as np
import pytest
from alternatives import exact, exact_errors, likelihood, pool

from nuisflow.inference.closure import shifts
from nuisflow.inference.unbinned import events as experiments
from nuisflow.learning import loop

NAMES = ("mu", "weight", "generator", "rate")


def fitted(model, events):
    best = model.fit(experiments.asimov(model, events))
    assert best.converged
    assert best.names == NAMES
    return best


@pytest.mark.parametrize("sides", [(1.0,), (1.0, -1.0)])
def test_true_densities_give_the_errors_of_the_fisher_information(sides):
    """2,000 background and 200 signal events, 200,000 simulated of each: samples of one side or two say the same."""
    events = pool(sides=sides, number=200_000, weight=0.01)
    model, nominal = likelihood(events, exact(sides))
    best = fitted(model, nominal)
    assert best.errors == pytest.approx(exact_errors(200, 2000), rel=0.01)
    apart = np.abs(best.values - model.inits) / shifts.scatter(model, nominal, best)
    assert (apart[[0, 2, 3]] < 3).all()


@pytest.mark.slow
@pytest.mark.parametrize("sides", [(1.0,), (1.0, -1.0)])
def test_learned_densities_give_the_errors_of_the_fisher_information(sides):
    training = {"batch_size": 4096, "hidden": [64, 64]}
    events = pool(sides=sides, number=100_000, weight=0.02, training=training, learning_rate=0.004,
                  batch_size=4096, events_seen=1_500_000)  # fmt: skip
    classifier, _ = loop.train(events, events.settings.training, "cpu")
    model, nominal = likelihood(events, lambda _, columns: classifier.densities(columns))
    best, known = fitted(model, nominal), exact_errors(200, 2000)
    assert best.errors == pytest.approx(known, rel=0.04)
    assert (np.abs(best.values - model.inits) / known < 0.35).all()


@pytest.mark.slow
def test_few_alternative_events_promise_no_smaller_errors_than_the_fisher_information():
    """2,000 events each, seen hundreds of times: networks know them by heart, held-out events take that back."""
    training = {"batch_size": 4096, "hidden": [64, 64, 64]}
    events = pool(number=2000, training=training, seed=1, learning_rate=0.004, batch_size=4096, events_seen=1_000_000)
    classifier, _ = loop.train(events, events.settings.training, "cpu")
    known, row = exact_errors(200, 2000), NAMES.index("generator")
    measured = [fold.networks["measured"] for fold in classifier.folds]
    factors = [one.get_buffer("scales")[0].item() for one in measured]
    assert min(factors) < 0.95
    found = fitted(*likelihood(events, lambda _, columns: classifier.densities(columns))).errors[row] / known[row]
    for one in measured:
        one.get_buffer("scales").fill_(1.0)
    naive = fitted(*likelihood(events, lambda _, columns: classifier.densities(columns))).errors[row] / known[row]
    assert naive < 0.95 < found


def test_expected_data_of_few_simulated_events_scatter_as_the_sandwich_formula_says():
    """The spread over 60 simulations of 2,000 events for 2,000 expected ones; every fit has the true densities."""
    values, predicted = [], []
    for seed in range(60):
        model, nominal = likelihood(pool(number=2000, seed=seed), exact((1.0,)))
        best = fitted(model, nominal)
        values.append(best.values)
        predicted.append(shifts.scatter(model, nominal, best))
    spread = np.std(values, axis=0, ddof=1)
    assert spread[[0, 2, 3]] == pytest.approx(np.mean(predicted, axis=0)[[0, 2, 3]], rel=0.3)  # known to 9 %
    assert spread[0] > 0.7 * exact_errors(200, 2000)[0]  # as large as the statistical error itself
