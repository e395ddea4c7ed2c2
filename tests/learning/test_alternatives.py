"""Samples of two-point variations beside nominal ones, as density ratios are learned of them."""

import math

import numpy as np
import pytest
from alternatives import GROWTH, MOVE, pool

from nuisflow.learning import loop


def test_alternatives_are_compared_with_the_nominal_events_drawn_at_their_side():
    events, strategy = pool(sides=(1.0, -1.0)), pool(sides=(1.0, -1.0)).settings.training
    rows = {name: np.arange(source.size) for name, source in events.samples.items()}
    z = strategy.draw(np.random.default_rng(1), sum(map(len, rows.values())))
    found = events.events(rows, z, points=strategy.points())
    assert np.isin(found.z[:, 1], [-1.0, 0.0, 1.0]).all()
    background, there = found.process == 0, found.counts[:, 0] > 0
    for side in (1.0, -1.0):
        at = background & (found.z[:, 1] == side)
        drawn, alternative = found.counts[at & there, 0].sum(), found.expected[at & ~there].sum()
        assert found.expected[at & there].sum() == 0
        assert alternative / drawn == pytest.approx(GROWTH**side, rel=0.03)
    assert found.counts[background, 0].sum() == pytest.approx(20_000)  # of ratios: nominal events only, all of them
    weighted = ~background & (found.z[:, 0] != 0)
    assert found.expected[weighted].sum() > 0


def test_at_nominal_alternatives_are_not_there():
    events = pool()
    rows = {name: np.arange(source.size) for name, source in events.samples.items()}
    assert len(events.events(rows).labels) == 40_000


@pytest.mark.parametrize("sides", [(1.0,), (1.0, -1.0)])
def test_the_learned_response_is_the_ratio_of_the_alternative_to_nominal(sides):
    """ln S = z (ln 1.2 + x / 2) - z^2 / 8: on one side a straight line through the alternative at +1."""
    events = pool(sides=sides, learning_rate=0.004, batch_size=1024, events_seen=500_000)
    model, _ = loop.train_fold(events, events.settings.training, 0, "cpu", {})
    x = np.linspace(-1.5, 1.5, 30)
    features = model.scaling(np.stack([x, np.zeros(30)], axis=1).astype(np.float32))
    torch = pytest.importorskip("torch")
    values = torch.from_numpy(features), torch.zeros(30, 2)
    strategy = events.settings.training
    found = strategy.densities(model.networks, *values).detach().numpy()[:, 2:-2]
    assert found.shape == (30, len(sides))
    for side in sides:
        response = sum(found[:, power] * side ** (power + 1) for power in range(len(sides)))
        assert np.abs(response - side * (math.log(GROWTH) + MOVE * x) + MOVE**2 / 2).max() < 0.08
    far = strategy.densities(model.networks, torch.full((1, 2), 50.0), torch.zeros(1, 2))[0, 2:-2].detach().numpy()
    assert np.abs(far).max() < math.log(GROWTH) + 4 * MOVE  # no response to an alternative where neither has events
    unlimited = model.networks["measured"].get_buffer("limits")[-2:]
    assert (unlimited.abs() > 1e29).all()  # that to a weight is known wherever there are events
