import copy

import numpy as np
import pytest
import torch
import xgboost

from nuisflow.strategies import networks


def test_a_network_has_the_layers_that_were_asked_for():
    network = networks.Architecture(7, (5, 3), "tanh").network("classifier")
    assert [tuple(p.shape) for p in network.parameters()] == [(5, 7), (5,), (3, 5), (3,), (1, 3), (1,)]
    assert [type(layer).__name__ for layer in network] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]


def test_first_weights_depend_on_seed_and_name_alone():
    torch.manual_seed(5)
    first = networks.Architecture(4, (3,), seed=1).network("classifier").state_dict()
    networks.Architecture(4, (3,), seed=1).network("adversary")
    second = networks.Architecture(4, (3,), seed=1).network("classifier").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for other in (
        networks.Architecture(4, (3,), seed=2).network("classifier"),
        networks.Architecture(4, (3,), seed=1).network("adversary"),
    ):
        assert not torch.equal(first["0.weight"], other.state_dict()["0.weight"])


def test_making_a_network_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    networks.Architecture(4, (3,)).network("classifier")
    assert torch.equal(torch.rand(3), expected)


def test_adam_takes_the_steps_of_torch():
    torch.manual_seed(1)
    ours = networks.Architecture(3, (8, 8), "silu").network("classifier")
    theirs = copy.deepcopy(ours)
    optimiser, reference = networks.Adam(list(ours.parameters())), torch.optim.Adam(theirs.parameters(), lr=0.01)
    for _ in range(50):
        x = torch.randn(32, 3)
        for network, adam in ((ours, optimiser), (theirs, reference)):
            adam.clear() if adam is optimiser else adam.zero_grad()
            (network(x).squeeze(1) - x[:, 0] * x[:, 1]).square().mean().backward()
        optimiser.step(0.01)
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_trees_are_the_same_after_saving_and_loading():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(500, 3)).astype(np.float32)
    booster = xgboost.train(
        {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(x, label=x[:, 0] > 0, nthread=1), 10
    )
    trees, copied = networks.Trees(), networks.Trees()
    trees.grow(booster)
    copied.load_state_dict(trees.state_dict())
    logits = trees(torch.from_numpy(x))
    assert torch.equal(copied(torch.from_numpy(x)), logits)
    expected = booster.predict(xgboost.DMatrix(x, nthread=1))
    assert logits.squeeze(1).sigmoid().numpy() == pytest.approx(expected, rel=1e-5)
    assert trees.get_extra_state().dtype == torch.uint8
