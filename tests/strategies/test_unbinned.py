"""Density ratios and responses: what is learned of two Gaussians is what is known of them."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from nuisflow import strategies
from nuisflow.strategies import calibration, networks
from nuisflow.strategies.strategy import Events, Task

ACTING = {"background": ("shift", "weight"), "other": ("weight",), "signal": ()}


def strategy(**options):
    given = {"strategy": "unbinned", "variations": ["shift", "weight"], "hidden": [8]}
    return strategies.read(given | options).informed(ACTING, "signal")


def test_a_process_has_monomials_of_the_variations_that_act_on_it():
    chosen = strategy(degree=3, pairs=[["shift", "weight"]])
    assert chosen.monomials("background").tolist() == [
        [1, 0], [2, 0], [3, 0], [0, 1], [0, 2], [0, 3], [1, 1],
    ]  # fmt: skip
    assert chosen.monomials("other").tolist() == [[0, 1], [0, 2], [0, 3]]
    assert len(chosen.monomials("signal")) == 0
    assert chosen.outputs == 3 + 7 + 3


def test_every_event_has_one_z_or_those_of_a_pair():
    z = strategy(width=0.5, pairs=[["shift", "weight"]]).draw(np.random.default_rng(1), 3000)
    moved = (z != 0).sum(axis=1)
    assert set(moved) == {1, 2}
    assert (moved == 2).mean() == pytest.approx(1 / 3, abs=0.05)
    assert np.abs(z).max() <= 0.5 * math.sqrt(3)
    both = z[moved == 2]
    assert np.sign(both[:, 0] * both[:, 1]).mean() == pytest.approx(0, abs=0.1)
    assert (strategy().draw(np.random.default_rng(1), 500) != 0).sum(axis=1).tolist() == [1] * 500


def test_responses_are_none_before_the_training_and_always_at_nominal():
    chosen = strategy()
    nets = chosen.networks(networks.Architecture(3, (8,), seed=1))
    found = chosen.densities(nets, torch.randn(50, 3), torch.zeros(50, 2))
    assert found.shape == (50, chosen.outputs)
    assert (found[:, 3:] == 0).all()
    assert found[:, :3].logsumexp(dim=1).detach().numpy() == pytest.approx(np.zeros(50), abs=1e-6)


def test_the_score_is_the_share_of_the_signal_among_backgrounds_in_their_proportion():
    chosen = strategy()
    nets = chosen.networks(networks.Architecture(3, (8,), seed=1))
    nets["measured"].get_buffer("events").copy_(torch.tensor([30.0, 10.0, 5.0]))
    features = torch.randn(50, 3)
    shares = chosen.densities(nets, features, torch.zeros(50, 2))[:, :3].exp().detach().numpy()
    background = (30 * shares[:, 0] + 10 * shares[:, 1]) / 40
    score = chosen.score(nets, features, torch.zeros(50, 2)).detach().numpy()
    assert score == pytest.approx(shares[:, 2] / (shares[:, 2] + background), abs=1e-6)


def test_calibration_turns_distorted_ratios_into_right_ones():
    """Classes with densities N(-1, 1), N(1, 1), and logits that are too steep and bent."""
    random = np.random.default_rng(3)
    process = np.repeat([0, 1], 40_000)
    x = random.normal(2.0 * process - 1, 1)
    true = np.stack([-x, x], axis=1)  # centred: ln of the ratio is 2 x
    distorted = 1.6 * true + 0.05 * true**3 * np.array([1.0, 1.0])
    measured = strategy(variations=["shift"]).informed({"a": ("shift",), "b": ("shift",)}, "b")
    measured = measured.networks(networks.Architecture(1, (4,), seed=1))["measured"]
    shares = np.full(len(x), 1 / 40_000)
    calibration.calibrate(measured, *map(torch.from_numpy, (distorted, process, shares)))
    found = calibration.calibrated(measured, torch.from_numpy(distorted)).numpy()
    apart = (found[:, 1] - found[:, 0]) - 2 * x
    assert np.abs(apart[np.abs(x) < 2]).max() < 0.2  # before: 3.2; the inverse of a cubic is none
    assert abs(np.average(apart)) < 0.03


def test_calibration_of_right_ratios_changes_little():
    random = np.random.default_rng(4)
    process = np.repeat([0, 1, 2], 20_000)
    x = random.normal(np.array([-1.0, 0.0, 2.0])[process], 1)
    logs = -0.5 * (x[:, None] - np.array([-1.0, 0.0, 2.0])) ** 2
    centred = logs - logs.mean(axis=1, keepdims=True)
    chosen = strategy()
    measured = chosen.networks(networks.Architecture(1, (4,), seed=1))["measured"]
    calibration.calibrate(measured, *map(torch.from_numpy, (centred, process, np.full(len(x), 1 / 20_000))))
    shares = torch.softmax(calibration.calibrated(measured, torch.from_numpy(centred)), dim=1).numpy()
    known = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    assert np.abs(shares - known).max() < 0.03
    assert np.mean([shares[process == p].mean(axis=0) for p in range(3)], axis=0) * 3 == pytest.approx(1, abs=1e-3)


class Gaussians:
    """Events x of two processes at any z: the background moves by 0.3 z and its weight grows by exp(0.1 z x)."""

    def __init__(self, size: int) -> None:
        self.size = size
        random = np.random.default_rng(5)
        self.x = np.concatenate([random.normal(0, 1, size), random.normal(1, 0.5, size)])
        self.process = np.repeat([0, 1], size)

    train_total = train_size = validation_size = property(lambda self: 2 * self.size)

    def train(self, z=None):
        at = np.zeros((2 * self.size, 1)) if z is None else z
        moved = self.x + np.where(self.process == 0, 0.3 * at[:, 0], 0)
        weight = np.where(self.process == 0, 100 / self.size, 10 / self.size)
        ones = np.ones(2 * self.size, np.float32)
        return Events(
            features=moved.astype(np.float32)[:, None],
            labels=self.process.astype(np.float32),
            weights=ones,
            z=at.astype(np.float32),
            expected=weight.astype(np.float32),
            process=self.process,
            entry=np.arange(2 * self.size),
            share=ones,
            points=self.x.astype(np.float32)[:, None, None],
            counts=weight.astype(np.float32)[:, None],
        )

    validation = train

    def epoch(self, number, generator):
        yield self


def test_trained_ratios_and_responses_are_those_of_the_densities():
    from nuisflow.learning import loop
    from nuisflow.settings.configuration import Learning

    chosen = strategies.read({"strategy": "unbinned", "variations": ["shift"], "hidden": [32, 32], "batch_size": 1024})
    chosen = chosen.informed({"background": ("shift",), "signal": ()}, "signal")
    learning = Learning(events_seen=600_000, batch_size=1024, learning_rate=0.004)
    architecture = networks.Architecture(1, (32, 32), "relu", 7)
    nets, history = chosen.fit(Task("test", architecture, Gaussians(30_000), learning, 7, "cpu"), loop.loop)
    x = np.linspace(-1.5, 2, 40)
    found = chosen.densities(nets, torch.from_numpy(x).float()[:, None], torch.zeros(40, 1)).detach().numpy()
    ratio = found[:, 1] - found[:, 0]
    known = -0.5 * ((x - 1) / 0.5) ** 2 - math.log(0.5) + 0.5 * x**2
    assert np.abs(ratio - known)[known > -3].max() < 0.15
    for z in (-1.0, 0.5, 1.0):
        response = found[:, 2] * z + found[:, 3] * z**2
        assert np.abs(response - (0.3 * z * x - 0.045 * z**2)).max() < 0.04
    assert {"train_ratios", "train_response_background", "validation_loss"} <= history[-1].keys()
    assert history[-1]["kept"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pairs": [["shift", "scale"]]}, "scale"),
        ({"pairs": [["shift", "shift"]]}, "one variation"),
        ({"degree": 0}, "degree"),
    ],
)
def test_what_makes_no_polynomial_is_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        strategy(**options)


# --- several networks -----------------------------------------------------------------------------------------------


def test_shares_and_coefficients_of_several_networks_are_means_of_theirs():
    """By numpy: the mean of the softmax of every member, and of the outputs of its responses."""
    chosen = strategy(size=3, calibrate=None)
    nets = chosen.networks(networks.Architecture(3, (8,), seed=1))
    features = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    for net in nets.values():
        for values in net.parameters():
            torch.nn.init.normal_(values, std=0.3, generator=torch.Generator().manual_seed(int(values.sum() * 1e6)))
    logits = np.stack([nets[f"member{k}_ratios"](features).detach().numpy() for k in range(3)]).astype(float)
    shares = (np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).mean(axis=0)
    found = chosen.densities(nets, features, torch.zeros(50, 2)).detach().numpy()
    assert np.exp(found[:, :3]) == pytest.approx(shares, abs=1e-5)
    parts = [[nets[f"member{k}_response_{name}"](features).detach().numpy() for k in range(3)]
             for name in ("background", "other")]  # fmt: skip
    assert found[:, 3:] == pytest.approx(np.concatenate([np.mean(part, axis=0) for part in parts], axis=1), abs=1e-5)


def test_one_network_is_what_it_was_without_the_option():
    alone, given = (strategy(**options) for options in ({}, {"size": 1, "budget": "each"}))
    nets = alone.networks(networks.Architecture(3, (8,), seed=1))
    again = given.networks(networks.Architecture(3, (8,), seed=1))
    assert set(nets) == {"ratios", "response_background", "response_other", "measured"}
    features, z = torch.randn(50, 3), torch.zeros(50, 2)
    assert torch.equal(alone.densities(nets, features, z), given.densities(again, features, z))


def test_members_share_the_budget_and_are_read_again_as_they_were(tmp_path):
    from alternatives import pool

    from nuisflow.learning import loop
    from nuisflow.learning.classifier import Classifier

    events = pool(number=2000, training={"size": 2}, events_seen=8000)
    classifier, history = loop.train(events, events.settings.training, "cpu")
    assert {row["member"] for row in history} == {0, 1}
    assert max(row["events_seen"] for row in history) <= 8000
    classifier.save(tmp_path / "model.pt")
    columns = events.samples["background"]
    found = classifier.densities(columns)
    assert np.array_equal(Classifier.load(tmp_path / "model.pt").densities(columns), found)
    assert found[:, :2].std() > 0
    first, second = (classifier.folds[0].networks[f"member{k}_ratios"][0].weight for k in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("factor", "noise"), [(1.0, 0.0), (0.5, 0.0), (2.0, 0.0), (1.0, 1.0)])
def test_held_out_events_confirm_the_part_of_a_logarithm_that_is_true(factor, noise):
    """N(0, 1) against N(0.5, 1): ln S is 0.5 x - 0.125. With noise of variance 1 on it, the slope is 0.25 / 1.25."""
    random, size = np.random.default_rng(3), 40_000
    x = np.concatenate([random.normal(0, 1, size), random.normal(0.5, 1, size)])
    varied = np.repeat([0.0, 1.0], size)
    logits = factor * (0.5 * x + noise * random.normal(size=2 * size)) + 3.0
    found, error = calibration.confirmed(logits, varied, np.ones(2 * size))
    known = 0.25 / (0.25 + noise**2) / factor
    assert abs(found - known) < 4 * error
    assert error < 0.05 * max(known, 0.5) / min(factor, 1.0)
    assert calibration.confirmed(logits[:size], varied[:size], np.ones(size)) == (1.0, np.inf)


def test_ratios_are_calibrated_by_polynomials_or_not_at_all():
    assert strategy().calibrate == "polynomial"
    for other in (True, False, "isotonic"):
        with pytest.raises(ValidationError, match="Input should be 'polynomial'"):
            strategy(calibrate=other)
