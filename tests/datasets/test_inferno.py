import gaussians
import numpy as np
import pydantic
import pytest
import torch
from analyses import changed, shipped

from nuisflow import strategies
from nuisflow.learning import batches, loop
from nuisflow.learning.classifier import Classifier
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices import inference
from nuisflow.strategies import information, networks
from nuisflow.strategies.strategy import Task

VARIATIONS = ("shift", "rate")
OPTIONS = {"strategy": "inferno", "variations": VARIATIONS, "bins": 5, "batch_size": 1000, "unbiased": False}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def made(**options):
    return strategies.read(OPTIONS | options)


def oracle(strategy, nets, batch, temperature):
    """Return the loss from the formula of the paper, with numpy loops over points and parameters."""

    def histogram(features, weights):
        with torch.no_grad():
            logits = nets["classifier"](features).double().numpy() / temperature
        soft = np.exp(logits - logits.max(axis=1, keepdims=True))
        soft /= soft.sum(axis=1, keepdims=True)
        return (soft * weights[:, None]).sum(axis=0)

    labels, share, expected = (values.double().numpy() for values in (batch.labels, batch.share, batch.expected))
    scale = np.where(labels == 1, 1 / share[labels == 1].sum(), 1 / share[labels == 0].sum())
    total = histogram(batch.features, expected * scale)
    slopes = [histogram(batch.features, expected * scale * labels)]
    for index in range(len(strategy.variations)):
        up, down = (histogram(batch.points[:, point], batch.counts[:, point].double().numpy() * scale) for point in (2 * index, 2 * index + 1))  # fmt: skip
        slopes.append((up - down) / (2 * strategy.delta))
    filled = total > 0
    slopes, total = [slope[filled] for slope in slopes], total[filled]
    matrix = np.zeros((len(slopes), len(slopes)))
    for i, one in enumerate(slopes):
        for j, other in enumerate(slopes):
            matrix[i, j] = np.sum(one * other / total)
        if i and strategy.variations[i - 1] not in strategy.free:
            matrix[i, i] += 1
    return np.sqrt(np.linalg.inv(matrix)[0, 0])


@pytest.mark.parametrize("free", [(), ("shift",), VARIATIONS])
@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 3.0), (0.5, np.sqrt(0.3)), (1.0, 0.1)])
def test_the_loss_is_the_formula_of_the_paper(free, progress, temperature):
    strategy = made(free=free)
    batch, nets = gaussians.batch_for(strategy), gaussians.networks_for(strategy)
    found = strategy.loss(nets, batch, progress)["loss"].item()
    assert found == pytest.approx(oracle(strategy, nets, batch, temperature), rel=1e-3)


def test_in_evaluation_bins_are_hard_and_agree_with_the_score():
    strategy = made()
    batch, nets = gaussians.batch_for(strategy), gaussians.networks_for(strategy)
    nets["classifier"].eval()
    assert strategy.loss(nets, batch, 0.0)["loss"].item() == pytest.approx(
        oracle(strategy, nets, batch, 1e-6), rel=1e-3
    )
    score = strategy.score(nets, batch.features, batch.z)
    logits = strategy.output(nets, batch.features, batch.z)
    assert torch.equal((score * 5 - 0.5).round().long(), logits.argmax(dim=1))


def test_the_loss_does_not_depend_on_the_order_of_the_outputs():
    strategy = made()
    batch, nets = gaussians.batch_for(strategy), gaussians.networks_for(strategy)
    before = strategy.loss(nets, batch, 0.5)["loss"].item()
    last = nets["classifier"][-1]
    with torch.no_grad():
        for values in last.parameters():
            values.copy_(values.flip(0))
    assert strategy.loss(nets, batch, 0.5)["loss"].item() == pytest.approx(before, rel=1e-5)


def trained(options=None, **learning):
    pool = gaussians.pool(OPTIONS | (options or {}), learning_rate=0.01, **learning)
    return pool, *loop.train(pool, pool.settings.training, "cpu")


def test_training_reduces_the_expected_uncertainty_and_it_is_close_to_that_of_the_exact_ratio():
    # With a rate of 10 % alone, the best bins are those of the likelihood ratio, exp(x + y).
    pool, _, history = trained({"variations": ("rate",), "bins": 12}, number=10_000, events_seen=80_000)
    events = batches.fold_events(pool, 0, points=np.array([[0.5], [-0.5]]))
    validation = loop.to_device(events.validation(), "cpu")
    ratio = (
        events.scaling.deviation[0] * validation.features[:, 0]
        + events.scaling.deviation[1] * validation.features[:, 1]
    )
    edges = torch.quantile(ratio[validation.labels == 1], torch.linspace(0, 1, 51)[1:-1])
    fine = torch.nn.functional.one_hot(torch.bucketize(ratio, edges), 50).float()
    best = float(made(variations=("rate",)).uncertainty(information.Rows(validation), fine, mc_statistics=False))
    rows = [row for row in history if row["fold"] == 0]
    kept = next(row["validation_loss"] for row in rows if row["kept"])
    assert rows[0]["validation_loss"] > kept
    assert best * 0.999 < kept < best * 1.1


def test_the_score_is_a_class_of_its_fold_and_rises_with_the_share_of_signal():
    pool, classifier, history = trained(events_seen=50_000)
    parts = {name: classifier.score(columns) for name, columns in pool.samples.items()}
    index = {name: scores * 10 - 0.5 for name, scores in parts.items()}
    for name, values in index.items():
        assert np.allclose(values, values.round(), atol=1e-5)
        assert np.array_equal(values.round().astype(int) % 2, pool.samples[name]["entry"] % 2)
    for number in range(2):
        signal, background = (np.bincount(index[name].round().astype(int), minlength=10)[number::2] for name in ("signal", "background"))  # fmt: skip
        filled = signal + background > 50
        assert np.all(np.diff((signal / np.maximum(signal + background, 1))[filled]) > -0.02)
        kept = next(row for row in history if row["fold"] == number and row["kept"])
        assert kept["auc"] > 0.65


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name in "abc":
        pool = gaussians.pool(OPTIONS, number=500, events_seen=5000)
        if name == "c":
            pool.settings = pool.settings.model_copy(update={"repetition": 2})
        loop.train(pool, pool.settings.training, "cpu")[0].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_a_saved_classifier_gives_the_same_classes(tmp_path):
    pool, classifier, _ = trained(number=500, events_seen=5000)
    classifier.save(tmp_path / "model.pt")
    copied = Classifier.load(tmp_path / "model.pt")
    columns = pool.samples["signal"]
    assert np.array_equal(copied.score(columns), classifier.score(columns))
    assert copied.strategy.classes == 5


def test_events_at_fixed_points_are_made_once(monkeypatch):
    pool = gaussians.pool(OPTIONS, number=1000)
    calls = []
    train = batches.FoldEvents.train
    monkeypatch.setattr(batches.FoldEvents, "train", lambda self, z=None: calls.append(z) or train(self, z))
    strategy = pool.settings.training
    learning = pool.settings.learning.model_copy(update={"events_seen": 3333})
    events = batches.fold_events(pool, 0, points=strategy.points())
    loop.loop(strategy, Task("toy", networks.Architecture(2, (8,), seed=1), events, learning, 1, "cpu"))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": ("tes",)}, "free.*tes.*not among the variations"), ({"bins": 1}, "bins"), ({"delta": 0}, "delta"),
        ({"temperature": 0}, "temperature"), ({"start": -1}, "start"),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_an_error(options, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        made(**options)


def inferno_in(name):
    training_options = {"strategy": "inferno", "variations": ["tes"], "bins": 7}
    content = shipped(name)
    return reading.check(changed(content, ("trainings", content["trainings"] | {"bins": training_options})))


def test_the_bins_are_those_of_the_strategy_whatever_the_binning_says():
    settings = inferno_in("config")
    chosen = inference.filling(settings, "bins").regions["signal"]
    assert (chosen.rule, chosen.number, chosen.low, chosen.high) == ("uniform", 7 * settings.learning.folds, 0, 1)
    assert chosen.minimum_events == settings.templates.binning.minimum_events
    assert inference.filling(settings, "nominal") == inference.filling(settings)
    assert inference.filling(settings, "nominal").regions["signal"] == settings.templates.binning


def test_bins_without_an_order_are_not_smoothed():
    settings = inferno_in("config")
    assert settings.templates.smooth
    assert inference.workspace(settings, "bins").templates.smooth == {}
    assert inference.workspace(settings, "nominal").templates.smooth == settings.templates.smooth


def test_too_many_bins_are_an_error_with_the_limit():
    content = changed(
        shipped("config"), ("trainings", {"a": {"strategy": "inferno", "variations": ["tes"], "bins": 600}})
    )
    with pytest.raises(ConfigurationError, match=r"trainings\.a\.bins: 600 bins in each of 2 folds: at most 1000"):
        reading.check(content)
