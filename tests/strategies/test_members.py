"""Strategies whose score is a mean over members: networks, sets of dropped units or draws of the weights."""

import gaussians
import numpy as np
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import loop
from nuisflow.learning.classifier import Classifier
from nuisflow.strategies import networks
from nuisflow.strategies.bayesian import START

ARCHITECTURE = networks.Architecture(2, (32, 16), "relu", 1)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def trained(options, **learning):
    pool = gaussians.pool(options, **learning)
    return loop.train(pool, pool.settings.training, "cpu")


def untrained(name, **options):
    strategy = strategies.read({"strategy": name} | options)
    return strategy, {key: net.eval() for key, net in strategy.networks(ARCHITECTURE).items()}


def events(number=700):
    return torch.randn(number, 2, generator=torch.Generator().manual_seed(1)), torch.zeros(number, 0)


@pytest.mark.parametrize("name", ["ensemble", "dropout", "bayesian"])
def test_scores_do_not_depend_on_the_other_events_nor_on_when_they_are_asked_for(name, tmp_path):
    classifier, _ = trained({"strategy": name}, number=500, events_seen=4000)
    classifier.save(tmp_path / "model.pt")
    columns = gaussians.columns(9000, (0, 0), 5)
    expected = classifier.score(columns)
    torch.manual_seed(77)  # nothing is drawn in scoring
    copied = Classifier.load(tmp_path / "model.pt")
    assert np.array_equal(copied.score(columns), expected)
    part = {key: values[4321:4400] for key, values in columns.items()}
    assert np.array_equal(copied.score(part), expected[4321:4400])
    members = copied.member_scores(part)
    assert members.shape == (79, classifier.strategy.members)
    assert members.mean(axis=1) == pytest.approx(expected[4321:4400], rel=1e-5)


# --- ensembles ------------------------------------------------------------------------------------------------------


def test_an_ensemble_of_identical_members_is_the_member():
    strategy, nets = untrained("ensemble", size=4)
    for net in nets.values():
        net.load_state_dict(nets["member0"].state_dict())
    features, z = events()
    torch.testing.assert_close(strategy.score(nets, features, z), nets["member0"](features).squeeze(1).sigmoid())


def test_an_ensemble_of_one_is_the_nominal_training():
    one, nominal = (trained({"strategy": name} | options, number=500) for name, options in
                    (("ensemble", {"size": 1}), ("nominal", {})))  # fmt: skip
    for mine, other in zip(one[0].folds, nominal[0].folds, strict=True):
        pairs = zip(mine.networks["member0"].parameters(), other.networks["classifier"].parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    assert [row["validation_loss"] for row in one[1]] == [row["validation_loss"] for row in nominal[1]]


@pytest.mark.parametrize(("budget", "seen"), [("shared", 10_000), ("each", 40_000)])
def test_members_share_the_budget_unless_each_has_its_own(budget, seen):
    options = {"strategy": "ensemble", "size": 4, "budget": budget}
    classifier, history = trained(options, number=1000, events_seen=10_000, patience=1000)
    for number in range(2):
        rows = [row for row in history if row["fold"] == number]
        assert rows[-1]["events_seen"] == pytest.approx(seen, rel=1e-3)
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
        assert np.all(np.diff([row["events_seen"] for row in rows]) > 0)
        assert np.all(np.diff([row["seconds"] for row in rows]) >= 0)
        assert {row["member"] for row in rows if row["kept"]} == {0, 1, 2, 3}
    first = [next(net.parameters()) for net in classifier.folds[0].networks.values()]
    assert not any(torch.equal(first[0], other) for other in first[1:])


# --- dropout --------------------------------------------------------------------------------------------------------


def test_dropout_at_rate_zero_is_the_nominal_training():
    none, nominal = (trained({"strategy": name} | options, number=500) for name, options in
                     (("dropout", {"rate": 0.0, "samples": 1}), ("nominal", {})))  # fmt: skip
    for mine, other in zip(none[0].folds, nominal[0].folds, strict=True):
        pairs = zip(mine.networks["classifier"].parameters(), other.networks["classifier"].parameters(), strict=True)
        assert all(torch.equal(*pair) for pair in pairs)
    columns = gaussians.columns(500, (0, 0), 9)
    assert np.array_equal(none[0].score(columns), nominal[0].score(columns))


def test_a_member_of_dropout_is_the_network_without_the_dropped_units():
    strategy, nets = untrained("dropout", rate=0.4, samples=3)
    features, z = events()
    linear = [layer for layer in nets["classifier"] if isinstance(layer, torch.nn.Linear)]
    masks = [layer.masks for layer in nets["classifier"] if isinstance(layer, networks.Dropout)]
    for member in range(3):
        values = features
        for layer, mask in zip(linear, masks, strict=False):
            values = layer(values).relu()
            values[:, mask[member, 0] == 0] = 0
            values = values / 0.6
        expected = linear[-1](values).squeeze(1).sigmoid()
        torch.testing.assert_close(strategy.member_scores(nets, features, z)[:, member], expected)


def test_units_are_dropped_at_the_rate_asked_for_in_training_and_in_the_masks():
    layer = networks.Dropout(500, 0.3, 200, torch.Generator().manual_seed(1))
    assert float((layer.masks == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(layer.masks.mean()) == pytest.approx(1, abs=0.01)
    torch.manual_seed(1)
    values = layer.train()(torch.ones(200, 500))
    assert float((values == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(layer.eval()(torch.ones(2, 500)), torch.ones(2, 500))


# --- distributions of weights ---------------------------------------------------------------------------------------


def layer(inputs=6, outputs=4, width=0.3, samples=2):
    torch.manual_seed(1)
    return networks.UncertainLinear(torch.nn.Linear(inputs, outputs), width, samples, torch.Generator().manual_seed(2))


def test_the_divergence_is_that_of_two_normal_distributions():
    uncertain = layer()
    with torch.no_grad():
        uncertain.spread.uniform_(-0.2, 0.1)
    posterior = torch.distributions.Normal(uncertain.mean, torch.exp(uncertain.logarithm))
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 0.7)).sum()
    torch.testing.assert_close(uncertain.divergence(0.7), expected)


def test_outputs_in_training_have_the_mean_and_the_spread_that_the_weights_imply():
    uncertain = layer(width=1.0)
    values = torch.tensor([[1.0, -2.0, 0.5, 3.0, 0.0, 1.0]]).expand(40_000, 6)
    torch.manual_seed(3)
    outputs = uncertain.train()(values)
    widths = torch.exp(uncertain.logarithm)
    variances = (widths[:, :-1] * values[0]).square().sum(dim=1) + widths[:, -1].square()
    torch.testing.assert_close(outputs.mean(dim=0), uncertain.eval()(values[:1])[0], rtol=0, atol=0.04)
    torch.testing.assert_close(outputs.var(dim=0), variances, rtol=0.03, atol=0)
    drawn = layer(width=1.0, samples=40_000).sample(values[:1])[:, 0]
    torch.testing.assert_close(drawn.var(dim=0), variances, rtol=0.03, atol=0)


def test_the_mean_weights_are_at_first_those_of_the_nominal_network():
    strategy, nets = untrained("bayesian", strength=0.0)
    nominal = ARCHITECTURE.network("classifier")
    features, z = events()
    torch.testing.assert_close(strategy.output(nets, features, z), nominal(features).squeeze(1))
    first = next(iter(nets["classifier"]))
    assert torch.exp(first.logarithm).unique().item() == pytest.approx(START / np.sqrt(2))


def test_the_loss_is_the_cross_entropy_and_the_divergence_per_event():
    pool = gaussians.pool({"strategy": "bayesian", "strength": 0.5, "events": 2000.0}, number=300)
    strategy, nominal = pool.settings.training, strategies.read({"strategy": "nominal"})
    batch = loop.to_device(loop.batches.fold_events(pool, 0).train(), "cpu")
    nets = {key: net.eval() for key, net in strategy.networks(ARCHITECTURE).items()}
    losses = strategy.loss(nets, batch, 0.5)
    plain = nominal.loss(nominal.networks(ARCHITECTURE), batch, 0.5)["loss"]
    torch.testing.assert_close(losses["loss"], plain + 0.5 * strategy.divergence(nets) / 2000)
    without = strategy.model_copy(update={"strength": 0.0}).loss(nets, batch, 0.5)["loss"]
    torch.testing.assert_close(without, plain, rtol=1e-6, atol=0)


def test_the_posterior_of_the_weights_of_a_linear_model_is_found():
    # No hidden layer: logistic regression, whose posterior follows from the Hessian (Laplace) for many events. The
    # mean-field widths are those at fixed other weights, 1 / sqrt of the Hessian's diagonal (and of the prior).
    pool = gaussians.pool({"strategy": "bayesian", "hidden": ()}, number=2000, events_seen=250_000, hidden=(),
                          learning_rate=1e-2, batch_size=400)  # fmt: skip
    classifier, _ = loop.train(pool, pool.settings.training, "cpu")
    batch = loop.to_device(loop.batches.fold_events(pool, 0).train(), "cpu")
    uncertain = next(iter(classifier.folds[0].networks["classifier"]))
    inputs = torch.cat([batch.features, torch.ones(len(batch.labels), 1)], dim=1)
    scores = (inputs @ uncertain.mean.detach()[0]).sigmoid()
    effective = batch.weights.sum() ** 2 / batch.weights.square().sum() / batch.weights.sum()
    curvature = effective * (batch.weights * scores * (1 - scores)) @ inputs.square() + 1
    torch.testing.assert_close(torch.exp(uncertain.logarithm.detach()[0]), 1 / curvature.sqrt(), rtol=0.1, atol=0)


def test_more_events_stand_against_the_prior_and_the_weights_become_surer():
    spread = {}
    for number in (200, 4000):
        classifier, _ = trained({"strategy": "bayesian"}, number=number, events_seen=40_000, learning_rate=3e-3)
        members = classifier.member_scores(gaussians.columns(1000, (0.5, 0.5), 3))
        spread[number] = float(members.std(axis=1).mean())
    assert spread[4000] < 0.6 * spread[200]
