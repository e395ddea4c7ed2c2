"""The terms that strategies add to the cross-entropy, where their values are known."""

import gaussians
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from nuisflow import strategies
from nuisflow.learning import batches, loop
from nuisflow.strategies import decorrelation, networks
from nuisflow.strategies.strategy import Events

SHIFT = ("shift",)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batch_of(z, labels, weights=None, points=None, counts=None):
    """Return a batch with these z, shape (events, variations), whose features are not looked at."""
    size = len(labels)
    empty = torch.zeros(size)
    weights = torch.ones(size) if weights is None else weights
    points = torch.zeros(size, 0, 1) if points is None else points
    return Events(
        torch.zeros(size, 1), labels, weights, z, weights, empty.long(), empty.long(), empty, points,
        torch.ones(points.shape[:2]) if counts is None else counts,
    )  # fmt: skip


# --- distance correlation -------------------------------------------------------------------------------------------


def reference(x, y, weights):
    """Return the squared distance correlation as Szekely, Rizzo and Bakirov define it, with weights; loops only."""
    share = weights / weights.sum()
    centred = []
    for values in (x, y):
        size = len(values)
        distances = np.array([[np.sqrt(np.sum((a - b) ** 2)) for b in values] for a in values])
        rows = [sum(share[j] * distances[i, j] for j in range(size)) for i in range(size)]
        total = sum(share[i] * rows[i] for i in range(size))
        centred.append(
            np.array([[distances[i, j] - rows[i] - rows[j] + total for j in range(size)] for i in range(size)])
        )
    covariance, first, second = (
        sum(share[i] * share[j] * a[i, j] * b[i, j] for i in range(len(x)) for j in range(len(x)))
        for a, b in ((centred[0], centred[1]), (centred[0], centred[0]), (centred[1], centred[1]))
    )
    return covariance / np.sqrt(first * second)


def correlation(x, y, weights):
    others = torch.from_numpy(y).T.unsqueeze(2) if y.ndim == 2 else torch.from_numpy(y)
    return float(decorrelation.distance_correlation(torch.from_numpy(x), others, torch.from_numpy(weights)))


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.integers(0, 10_000), st.integers(4, 14), st.integers(1, 3))
def test_the_distance_correlation_is_that_of_the_definition(seed, size, dimensions):
    generator = np.random.default_rng(seed)
    y = generator.normal(size=(size, dimensions))
    x = generator.normal(size=size) + y[:, 0] ** 2
    weights = generator.uniform(0.1, 3, size)
    together = correlation(x, y[np.newaxis], weights)
    assert together == pytest.approx(reference(x[:, np.newaxis], y, weights), rel=1e-9)
    each = sum(reference(x[:, np.newaxis], y[:, [index]], weights) for index in range(dimensions))
    assert correlation(x, y, weights) == pytest.approx(each, rel=1e-9)


def test_a_line_has_distance_correlation_one_and_independence_none():
    generator = np.random.default_rng(1)
    x, y, weights = generator.normal(size=1500), generator.normal(size=1500), generator.uniform(size=1500)
    assert correlation(x, (3 - 2 * x)[:, np.newaxis], weights) == pytest.approx(1, rel=1e-9)
    assert correlation(x, y[:, np.newaxis], weights) < 5 / 1500
    assert correlation(x, (x**2)[:, np.newaxis], weights) > 0.1  # without any linear correlation
    assert correlation(x, np.zeros((1500, 1)), weights) == 0
    assert correlation(np.full(1500, 0.5), y[:, np.newaxis], weights) == pytest.approx(0, abs=1e-9)


def test_a_weight_of_two_is_an_event_twice():
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=30), generator.normal(size=30)
    twice = np.r_[np.arange(30), np.arange(10)]
    expected = correlation(x[twice], y[twice][:, np.newaxis], np.ones(40))
    assert correlation(x, y[:, np.newaxis], np.r_[np.full(10, 2.0), np.ones(20)]) == pytest.approx(expected, rel=1e-9)


def test_the_gradient_of_the_distance_correlation_is_that_of_its_value():
    generator = np.random.default_rng(1)
    x = torch.from_numpy(generator.normal(size=12)).requires_grad_()
    y, weights = torch.from_numpy(generator.normal(size=(2, 12, 1))), torch.from_numpy(generator.uniform(size=12))
    assert torch.autograd.gradcheck(lambda values: decorrelation.distance_correlation(values, y, weights), x)


def test_equal_scores_have_a_finite_gradient():
    x = torch.full((8,), 0.5, requires_grad=True)
    decorrelation.distance_correlation(x, torch.randn(1, 8, 1), torch.ones(8)).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(("of", "rows"), [("background", [0, 1, 2]), ("signal", [4, 5, 6]), ("all", range(7))])
def test_the_penalty_is_over_the_events_asked_for(of, rows):
    scores, z = torch.rand(7), torch.randn(7, 1)
    labels, weights = torch.tensor([0.0, 0, 0, 1, 1, 1, 1]), torch.tensor([1.0, 2, 1, 0, 1, 1, 2])
    strategy = strategies.read({"strategy": "decorrelation", "variations": SHIFT, "of": of})
    found = strategy._penalty(scores, batch_of(z, labels, weights))
    rows = list(rows)
    expected = decorrelation.distance_correlation(scores[rows], z[rows].T.unsqueeze(2), weights[rows])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_more_events_than_pairs_are_thinned_evenly_and_none_are_no_penalty():
    strategy = strategies.read({"strategy": "decorrelation", "variations": SHIFT, "pairs": 100})
    scores, z = torch.rand(1000), torch.randn(1000, 1)
    found = strategy._penalty(scores, batch_of(z, torch.zeros(1000)))
    expected = decorrelation.distance_correlation(scores[::10], z[::10].T.unsqueeze(2), torch.ones(100))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert float(strategy._penalty(scores, batch_of(z, torch.ones(1000)))) == 0


def trained(options, **learning):
    pool = gaussians.pool(options, **learning)
    return loop.train(pool, pool.settings.training, "cpu")


def moved(classifier):
    """Return by how much the score of signal changes, root mean square, when the variation moves y from -1 to +1."""
    signal = gaussians.columns(4000, (1, 1), 8)
    up, down = (classifier.score(signal | {"y": signal["y"] + np.float32(step)}) for step in (1, -1))
    return float(np.sqrt(np.mean((up - down) ** 2)))


LEARNING = {"number": 4000, "events_seen": 60_000, "learning_rate": 3e-3, "batch_size": 512}


@pytest.mark.parametrize(
    ("name", "options"),
    [("decorrelation", {"of": "signal", "strength": 3}), ("tangent", {"strength": 300})],
)
def test_a_penalty_takes_the_variation_out_of_the_score_and_leaves_the_rest(name, options):
    plain, _ = trained({"strategy": name, "variations": SHIFT} | options | {"strength": 0}, **LEARNING)
    bent, history = trained({"strategy": name, "variations": SHIFT} | options, **LEARNING)
    assert moved(plain) > 0.15
    assert moved(bent) < 0.2 * moved(plain)
    assert history[-1]["auc"] > 0.73  # 0.760 with x alone


def test_the_strength_of_the_decorrelation_is_zero_while_warming_up():
    strategy = strategies.read({"strategy": "decorrelation", "variations": SHIFT, "strength": 2.0, "warm_up": 0.25})
    nets = strategy.networks(networks.Architecture(1, (16,), seed=1))
    torch.manual_seed(1)
    batch = batch_of(torch.randn(50, 1), torch.zeros(50))._replace(features=torch.randn(50, 1))
    before, after = (
        {name: float(value.detach()) for name, value in strategy.loss(nets, batch, progress).items()}
        for progress in (0.24, 0.25)
    )
    assert before["loss"] == before["classifier"]
    assert after["loss"] == pytest.approx(after["classifier"] + 2 * after["correlation"])


# --- tangents -------------------------------------------------------------------------------------------------------


def test_the_points_of_a_tangent_are_one_step_off_in_both_directions():
    strategy = strategies.read({"strategy": "tangent", "variations": ("shift", "rate"), "step": 0.5})
    assert np.array_equal(strategy.points(), [[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])


def test_the_slope_is_the_derivative_of_the_score_along_the_variation():
    # The variation moves y of signal by z and leaves x and background alone; features are in units of their spread.
    pool = gaussians.pool({"strategy": "tangent", "variations": SHIFT, "step": 1e-2, "strength": 7.0}, number=500)
    strategy = pool.settings.training
    events = batches.fold_events(pool, 0, points=strategy.points())
    batch = loop.to_device(events.train(), "cpu")
    nets = strategy.networks(networks.Architecture(2, (16,), "tanh", seed=1))
    features = batch.features.clone().requires_grad_()
    strategy.score(nets, features, batch.z).sum().backward()
    slopes = features.grad[:, 1] / float(events.scaling.deviation[1]) * batch.labels
    losses = {name: value.detach() for name, value in strategy.loss(nets, batch, 0.5).items()}
    assert float(losses["slope"]) == pytest.approx(float((batch.weights * slopes**2).mean()), rel=2e-3)
    assert float(losses["loss"]) == pytest.approx(float(losses["classifier"] + 7 * losses["slope"]), rel=1e-6)


def test_a_rate_has_no_slope():
    pool = gaussians.pool({"strategy": "tangent", "variations": ("rate",)}, number=200)
    strategy = pool.settings.training
    batch = loop.to_device(batches.fold_events(pool, 0, points=strategy.points()).train(), "cpu")
    nets = strategy.networks(networks.Architecture(2, (16,), seed=1))
    assert float(strategy.loss(nets, batch, 0.5)["slope"].detach()) == 0


def test_an_event_that_is_not_selected_on_both_sides_does_not_count():
    events = {"regions": {"all": {"selection": "y < 1.5", "observable": "score"}}}
    pool = gaussians.pool({"strategy": "tangent", "variations": SHIFT}, number=1000, events=events)
    strategy = pool.settings.training
    batch = loop.to_device(batches.fold_events(pool, 0, points=strategy.points()).train(), "cpu")
    nets = strategy.networks(networks.Architecture(2, (16,), seed=1))
    slopes = strategy._derivatives(nets, batch)[:, 0]
    assert torch.equal(slopes != 0, (batch.counts > 0).all(dim=1) & (batch.labels == 1))
    assert 0 < int((slopes == 0)[batch.labels == 1].sum()) < int(batch.labels.sum())


# --- domains --------------------------------------------------------------------------------------------------------


def test_one_half_of_the_events_is_nominal_and_the_other_has_the_width_asked_for():
    strategy = strategies.read({"strategy": "domain_adaptation", "variations": ("shift", "rate"), "width": 2.0})
    z = strategy.draw(np.random.default_rng(1), 20_000)
    nominal = np.all(z == 0, axis=1)
    assert np.mean(nominal) == pytest.approx(0.5, abs=0.02)
    assert np.all(z[~nominal] != 0)
    assert z[~nominal].std(axis=0) == pytest.approx(2, rel=0.03)


def domain_gradients(strength, progress):
    """Return the gradients of a batch: of the first layer, of the last one and of the domain classifier."""
    strategy = strategies.read({"strategy": "domain_adaptation", "variations": SHIFT, "strength": strength})
    nets = strategy.networks(networks.Architecture(1, (8,), seed=1))
    torch.manual_seed(1)
    z = torch.randn(200, 1) * (torch.rand(200, 1) < 0.5)
    batch = batch_of(z, (torch.rand(200) < 0.5).float())._replace(features=torch.randn(200, 1) + z)
    losses = strategy.loss(nets, batch, progress)
    losses["loss"].backward()
    return [next(iter(net.parameters())).grad for net in (nets["classifier"][0], nets["classifier"][2], nets["domain"])]


def test_the_features_get_the_reversed_gradient_and_the_domain_classifier_its_own():
    without, one, two = (domain_gradients(strength, 1.0) for strength in (0.0, 1.0, 2.0))
    torch.testing.assert_close(two[0] - without[0], 2 * (one[0] - without[0]), rtol=1e-3, atol=1e-7)
    assert float((one[0] - without[0]).abs().max()) > 1e-4
    for index in (1, 2):  # of the classifier's last layer and of the domain classifier
        torch.testing.assert_close(one[index], without[index])
    torch.testing.assert_close(domain_gradients(2.0, 0.0)[0], without[0])  # the factor rises from 0


def test_the_domains_cannot_be_told_where_the_variation_acts_on_nothing():
    pool = gaussians.pool({"strategy": "domain_adaptation", "variations": SHIFT}, number=4000, events_seen=60_000)
    shift = pool.settings.variations["shift"].model_copy(update={"processes": ()})
    pool.settings = pool.settings.model_copy(update={"variations": {"shift": shift}})
    _, history = loop.train(pool, pool.settings.training, "cpu")
    assert history[-1]["train_domain"] == pytest.approx(np.log(2), abs=0.01)


def test_a_hidden_layer_that_knows_the_domain_loses_it():
    found = {}
    for strength in (0.0, 30.0):
        options = {"strategy": "domain_adaptation", "variations": SHIFT, "width": 3.0, "strength": strength}
        classifier, history = trained(options, **LEARNING)
        found[strength] = (history[-1]["validation_domain"], moved(classifier))
        assert history[-1]["auc"] > 0.7
    assert found[0.0][0] < np.log(2) - 0.05
    assert found[30.0][0] > found[0.0][0] + 0.015
    assert found[30.0][1] < 0.6 * found[0.0][1]
