import gaussians
import numpy as np
import pydantic
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import loop
from nuisflow.strategies import information, sensitivity_to_poi
from nuisflow.templates import binning

VARIATIONS = ("shift", "rate", "weight")
OPTIONS = {"strategy": "sensitivity_to_poi", "variations": VARIATIONS, "soft_bins": 6, "batch_size": 1000}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def made(**options):
    return strategies.read(OPTIONS | options)


def test_during_the_warm_up_loss_and_gradient_are_exactly_the_nominal_ones():
    strategy, nominal = made(warm_up=0.5), strategies.read({"strategy": "nominal"})
    batch = gaussians.batch_for(strategy)
    results = []
    for chosen in (strategy, nominal):
        nets = gaussians.networks_for(chosen)
        loss = chosen.loss(nets, batch, 0.4)["loss"]
        loss.backward()
        results.append((float(loss.detach()), [p.grad for p in nets["classifier"].parameters()]))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(*pair) for pair in zip(results[0][1], results[1][1], strict=True))


def test_the_validation_loss_is_that_of_the_binning_rule():
    strategy = made()
    batch, nets = gaussians.batch_for(strategy), gaussians.networks_for(strategy)
    nets["classifier"].eval()
    rows = information.Rows(batch)
    with torch.no_grad():
        found = strategy.loss(nets, batch, 0.0)["loss"].item()
        scores = strategy.output(nets, rows.features, batch.z).sigmoid().double().numpy()
    first, signal = scores[: len(batch.labels)], batch.labels.numpy() == 1
    fine = np.linspace(0, 1, binning.FINE_BINS + 1)
    contents = [np.histogram(first[s], fine, weights=batch.weights.numpy()[s])[0] for s in (signal, ~signal)]
    edges = fine[binning.quantiles(*contents, 6)]
    assert len(edges) == 7
    classes = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, 5)
    hard = torch.nn.functional.one_hot(torch.from_numpy(classes), 6).float()
    expected = float(strategy.uncertainty(rows, hard, mc_statistics=True))
    assert found == pytest.approx(expected, rel=5e-3)  # the event on an edge may be on either side


def test_narrow_edges_give_the_hard_histogram():
    strategy = made(bandwidth=1e-4, warm_up=0)
    batch, nets = gaussians.batch_for(strategy), gaussians.networks_for(strategy)
    soft = strategy.loss(nets, batch, 1.0)["loss"].item()
    nets["classifier"].eval()
    assert soft == pytest.approx(strategy.loss(nets, batch, 1.0)["loss"].item(), rel=2e-3)


def test_levels_are_the_quantiles_of_the_mixture_and_rise_with_the_score():
    generator = torch.Generator().manual_seed(3)
    logits, weights = torch.randn(4000, generator=generator), torch.rand(4000, generator=generator)
    knots = sensitivity_to_poi._knots(logits, weights, 8)
    levels = sensitivity_to_poi._levels(torch.cat([logits, torch.tensor([-9.0, 9.0])]), knots)
    for share in np.arange(1, 8) / 8:
        assert float(weights[levels[:-2] < share].sum() / weights.sum()) == pytest.approx(share, abs=2e-3)
    assert levels[:-2].min() == 0
    assert levels[-2] < 0
    assert levels[-1] > 1
    assert torch.all(levels[:-2][torch.argsort(logits)].diff() >= 0)


def test_memberships_add_up_to_one_and_their_sums_over_the_mixture_do_not_move_with_the_scores():
    generator = torch.Generator().manual_seed(1)
    levels = torch.rand(500, generator=generator, dtype=torch.double).requires_grad_()
    weights = torch.rand(500, generator=generator, dtype=torch.double)
    memberships = sensitivity_to_poi._soft(levels, weights, 4, 0.5)
    assert memberships.sum(dim=1).detach().numpy() == pytest.approx(1)
    assert memberships.min() >= 0
    for index in range(4):
        (gradient,) = torch.autograd.grad((memberships[:, index] * weights).sum(), levels, retain_graph=True)
        assert gradient.abs().max() < 1e-12


def test_the_gradient_follows_edges_that_follow_the_scores():
    # The edges solve: the soft share of the mixture above an edge is constant. Compare with moving one score.
    generator = torch.Generator().manual_seed(2)
    levels, weights, other = (torch.rand(200, generator=generator, dtype=torch.double) for _ in range(3))
    start, width = torch.tensor([1 / 3, 2 / 3]).double(), 0.5 / 3

    def above(values, edges, factors):
        return (torch.sigmoid((values.unsqueeze(1) - edges) / width) * factors.unsqueeze(1)).sum(dim=0)

    def solved(values):
        wanted = above(levels, start, weights)
        low, high = start - 1, start + 1
        for _ in range(80):
            middle = (low + high) / 2
            more = above(values, middle, weights) > wanted
            low, high = torch.where(more, middle, low), torch.where(more, high, middle)
        return (low + high) / 2

    moving = levels.clone().requires_grad_()
    memberships = sensitivity_to_poi._soft(moving, weights, 3, 0.5)
    (gradient,) = torch.autograd.grad((memberships[:, -1] * other).sum(), moving)
    for event in (3, 50, 120):
        step = torch.zeros_like(levels)
        step[event] = 1e-4
        up, down = (above(levels + s, solved(levels + s), other)[-1] for s in (step, -step))
        assert float(gradient[event]) == pytest.approx(float(up - down) / 2e-4, rel=1e-4, abs=1e-9)


def test_scores_of_all_folds_are_quantiles_of_the_mixture():
    pool = gaussians.pool(OPTIONS, events_seen=20_000)
    classifier, _ = loop.train(pool, pool.settings.training, "cpu")
    for number in range(2):
        parts = {
            name: classifier.score(columns)[columns["entry"] % 2 == number] for name, columns in pool.samples.items()
        }
        for share in (0.1, 0.5, 0.9):
            mixture = np.mean([np.mean(scores < share) for scores in parts.values()])
            assert mixture == pytest.approx(share, abs=0.04)


def test_mc_statistics_make_the_loss_larger():
    batch, nets = gaussians.batch_for(made(), number=500), gaussians.networks_for(made())
    without, with_them = (
        made(mc_statistics=choice, warm_up=0).loss(nets, batch, 0.5)["loss"].item() for choice in (False, True)
    )
    assert with_them > without * 1.1


def test_training_improves_on_the_cross_entropy_where_systematics_dominate():
    # The shift moves signal by one standard deviation in y: the best observable does not trust y.
    last = {}
    for warm_up in (1.0, 0.3):
        options = OPTIONS | {"warm_up": warm_up, "delta": 1.0}
        pool = gaussians.pool(options, number=8000, events_seen=60_000, learning_rate=0.01, batch_size=500)
        _, history = loop.train(pool, pool.settings.training, "cpu")
        last[warm_up] = np.mean([row["validation_loss"] for row in history if row["kept"]])
    assert last[0.3] < 0.97 * last[1.0]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in "ab":
        pool = gaussians.pool(OPTIONS, number=500, events_seen=5000)
        loop.train(pool, pool.settings.training, "cpu")[0].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("options", [{"soft_bins": 1}, {"bandwidth": 0}, {"warm_up": 1.5}, {"free": ("tes",)}])
def test_an_option_out_of_range_is_an_error(options):
    with pytest.raises(pydantic.ValidationError, match=next(iter(options))):
        made(**options)
