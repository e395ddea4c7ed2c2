import subprocess
import sys
from pathlib import Path
from typing import get_args

import analyses
import gaussians
import numpy as np
import pydantic
import pytest
import torch

from nuisflow import strategies
from nuisflow.learning import batches, loop, plain
from nuisflow.learning.classifier import Classifier
from nuisflow.learning.loop import Task
from nuisflow.storage import sources
from nuisflow.strategies import adversarial, metrics, networks

SHIFT = ("shift",)
VARIED = {"strategy": "augmentation", "variations": SHIFT}
PIVOT = {"strategy": "adversarial", "variations": SHIFT}
NAMES = list(strategies.STRATEGIES)
USER_FILE = str(analyses.ROOT / "config" / "examples" / "user_strategy.py")
OBSERVABLE = {"expression": "x + y", "binning": {"low": -4, "high": 6}, "inputs": ("x", "y")}
REQUIRED = {
    "clairvoyant": {"at": {"shift": 1.0}},
    "observable": OBSERVABLE,
    "optimal": {"density": "gaussian"},
    "unbinned": {"acting": {"background": SHIFT, "signal": SHIFT}, "signal": "signal", "batch_size": 256},
    "user": {"file": USER_FILE},
}
PLAIN = ["nominal", "boosted_trees", "augmentation", "parametrised", "adversarial", "clairvoyant"]
PLAIN += ["decorrelation", "domain_adaptation", "tangent"]  # whose score is the sigmoid of a network or of trees
TRAINED = [name for name in NAMES if name not in ("observable", "optimal")]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def made(name, **options):
    common = {"strategy": name} | ({"variations": SHIFT} if needs(name) else {})
    return strategies.read(common | REQUIRED.get(name, {}) | options)


def needs(name):
    return strategies.STRATEGIES[name].needs_variations


def trained(training_options, **options):
    pool = gaussians.pool(training_options, **options)
    return loop.train(pool, pool.settings.training, "cpu")


def a_batch(strategy, size=300):
    pool = gaussians.pool(strategy.model_dump(), number=size)
    events = batches.fold_events(pool, 0, points=strategy.points())
    z = strategy.draw(np.random.default_rng(1), events.train_size)
    return loop.to_device(events.train(z), "cpu")


def parameters(classifier):
    return [p for model in classifier.folds for p in model.networks["classifier"].state_dict().values()]


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_is_registered_under_its_name_and_lies_in_a_file_of_this_name(name):
    chosen = strategies.STRATEGIES[name]
    assert made(name).strategy == name
    assert Path(sys.modules[chosen.__module__].__file__).stem == name
    assert chosen in get_args(get_args(strategies.AnyStrategy)[0])


@pytest.mark.parametrize("name", NAMES)
def test_every_option_is_explained_and_every_strategy_says_what_it_is(name):
    chosen = strategies.STRATEGIES[name]
    assert chosen.__doc__ != strategies.Strategy.__doc__
    assert all(field.description for key, field in chosen.model_fields.items() if key != "strategy")


def test_the_configuration_imports_neither_torch_nor_xgboost():
    code = (
        "import sys; import nuisflow.settings.checks.reading, nuisflow.slices.training; "
        "print([m for m in ('torch', 'xgboost', 'scipy', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adversarial", {"strength": -1}), ("adversarial", {"strength": float("inf")}), ("adversarial", {"width": 0}),
        ("adversarial", {"components": 0}), ("adversarial", {"warm_up": 1.0}), ("augmentation", {"width": -0.1}),
        ("parametrised", {"width": float("nan")}), ("boosted_trees", {"depth": 0}), ("boosted_trees", {"shrinkage": 2}),
        ("nominal", {"strength": 1}), ("nominal", {"hidden": [0]}),
        ("decorrelation", {"strength": -1}), ("decorrelation", {"of": "data"}), ("decorrelation", {"pairs": 1}),
        ("domain_adaptation", {"strength": -1}), ("domain_adaptation", {"width": 0}),
        ("domain_adaptation", {"domain_hidden": [0]}), ("tangent", {"strength": float("nan")}), ("tangent", {"step": 0}),
        ("clairvoyant", {"at": {}}), ("clairvoyant", {"at": {"rate": 1}}), ("clairvoyant", {"at": {"shift": 11}}),
        ("ensemble", {"size": 0}), ("ensemble", {"budget": "double"}), ("dropout", {"rate": 1}),
        ("dropout", {"rate": -0.1}), ("dropout", {"samples": 0}), ("bayesian", {"prior": 0}),
        ("bayesian", {"samples": 0}), ("bayesian", {"strength": -1}),
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_an_error(name, options):
    with pytest.raises(pydantic.ValidationError, match=next(iter(options))):
        made(name, **options)


@pytest.mark.parametrize("name", [name for name in NAMES if not needs(name)])
def test_a_strategy_that_knows_no_variations_refuses_them(name):
    with pytest.raises(pydantic.ValidationError, match="knows no variations; remove"):
        made(name, variations=("tes",))


@pytest.mark.parametrize("name", TRAINED)
def test_every_strategy_trains_saves_and_gives_scores_that_separate_the_classes(name, tmp_path):
    classifier, history = trained(made(name).model_dump(), events_seen=100_000)
    classifier.save(tmp_path / "model.pt")
    copied = Classifier.load(tmp_path / "model.pt")
    signal, background = gaussians.columns(2000, (1, 1), 8), gaussians.columns(2000, (0, 0), 9)
    scores = np.concatenate([copied.score(signal), copied.score(background)])
    assert np.array_equal(scores[:2000], classifier.score(signal))
    assert scores.min() >= 0
    assert scores.max() <= 1
    without_torch = plain.load(tmp_path / "model.pt")
    assert (without_torch is not None) == (name in PLAIN)
    if without_torch is not None:
        assert without_torch.score(signal) == pytest.approx(scores[:2000], abs=1e-6)
        assert without_torch.score(signal).dtype == np.float32
    # 0.841 is possible, and the pivot gives some away; classes in no order have an AUC of any size
    if made(name).classes is None:
        assert metrics.area_under_curve(scores, np.repeat([1, 0], 2000), np.ones(4000)) > 0.78
    for number in range(2):
        rows = [row for row in history if row["fold"] == number]
        assert {"epoch", "events_seen", "seconds", "train_loss", "validation_loss", "auc", "kept"} <= rows[0].keys()
        assert sum(row["kept"] for row in rows) == (5 if name == "ensemble" else 1)
        assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("name", TRAINED)
def test_the_same_seed_gives_the_same_bytes(name, tmp_path):
    for file in "ab":
        trained(made(name).model_dump(), number=300, events_seen=2000)[0].save(tmp_path / file)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


WITHOUT_STRENGTH = [
    ("adversarial", {"strength": 0, "warm_up": 0, "adversary": "mixture"}),
    ("adversarial", {"strength": 0, "warm_up": 0, "adversary": "regression"}),
    ("decorrelation", {"strength": 0, "warm_up": 0, "z": "each"}),
    ("decorrelation", {"strength": 0, "warm_up": 0, "z": "together", "of": "all"}),
    ("domain_adaptation", {"strength": 0}),
    ("tangent", {"strength": 0}),
    ("ensemble", {"size": 1}),
    ("dropout", {"rate": 0}),
    ("user", {"options": {"gamma": 0}}),
]


@pytest.mark.parametrize(("name", "options"), WITHOUT_STRENGTH)
def test_strength_zero_gives_exactly_the_nominal_loss_and_gradient(name, options):
    strategy = made(name, **options)
    batch = a_batch(strategy)
    found = []
    for chosen in (strategy, made("nominal")):
        nets = chosen.networks(networks.Architecture(2, (16, 8), seed=1))
        loss = chosen.loss(nets, batch, 0.5)["loss"]
        loss.backward()
        first = nets["classifier" if "classifier" in nets else "member0"]
        found.append((float(loss.detach()), [p.grad for p in first.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6 if name in ("ensemble", "user") else 0, abs=0)
    for mine, nominal in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(mine, nominal, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in TRAINED if name != "boosted_trees"])
def test_the_score_is_the_mean_of_the_scores_of_the_members(name):
    strategy = made(name)
    nets = strategy.networks(networks.Architecture(2, (16, 8), seed=1))
    for net in nets.values():
        net.eval()
    features, z = torch.randn(50, 2), torch.zeros(50, len(strategy.variations))
    with torch.inference_mode():
        scores, members = strategy.score(nets, features, z), strategy.member_scores(nets, features, z)
    assert members.shape == (50, strategy.members)
    torch.testing.assert_close(members.mean(dim=1), scores)
    assert (strategy.members > 1) == (name in ("ensemble", "dropout", "bayesian"))
    assert strategy.members == 1 or float(members.std(dim=1).min()) > 1e-5


def test_clairvoyant_trains_at_its_z_and_only_there():
    strategy = made("clairvoyant", variations=("rate", "shift", "weight"), at={"shift": 2.0, "weight": -1.0})
    z = strategy.draw(np.random.default_rng(1), 3)
    assert np.array_equal(z, np.tile([0.0, 2.0, -1.0], (3, 1)))
    batch = a_batch(made("clairvoyant", at={"shift": 2.0}))
    nominal = a_batch(made("nominal"))
    moved = (batch.features - nominal.features)[batch.labels == 1]
    assert torch.all(batch.z == 2)
    assert float(moved[:, 0].abs().max()) == 0
    assert float(moved[:, 1].min()) == pytest.approx(float(moved[:, 1].max()), rel=1e-4)
    assert float(moved[:, 1].min()) > 1  # 2 in units of the feature's spread


def test_clairvoyant_at_zero_is_the_nominal_training_bit_for_bit():
    options = {"strategy": "clairvoyant", "variations": SHIFT, "at": {"shift": 0.0}}
    nominal, there = (trained(chosen, number=500) for chosen in ({"strategy": "nominal"}, options))
    assert all(torch.equal(*pair) for pair in zip(parameters(nominal[0]), parameters(there[0]), strict=True))


def test_clairvoyant_is_better_at_its_z_than_the_nominal_training():
    # Signal at (1, 1) moves to (1, -1): the nominal training takes y for the wrong sign.
    signal, background = gaussians.columns(4000, (1, -1), 8), gaussians.columns(4000, (0, 0), 9)
    auc = {}
    for name, options in {"nominal": {}, "clairvoyant": {"variations": SHIFT, "at": {"shift": -2.0}}}.items():
        classifier, _ = trained({"strategy": name} | options, number=4000, events_seen=60_000)
        scores = np.concatenate([classifier.score(signal), classifier.score(background)])
        auc[name] = metrics.area_under_curve(scores, np.repeat([1, 0], 4000), np.ones(8000))
    assert auc["clairvoyant"] == pytest.approx(0.841, abs=0.015)  # Phi(sqrt 2 / sqrt 2)
    assert auc["nominal"] < 0.6


def test_strength_zero_trains_the_network_of_augmentation():
    pivot, varied = (
        [row["train_loss"] for row in trained(options, number=500, events_seen=5000, patience=1000)[1]]
        for options in (PIVOT | {"strength": 0}, VARIED)
    )
    assert len(pivot) > 10
    assert pivot == varied


def test_augmentation_of_width_zero_is_the_nominal_training():
    nominal, varied = (trained(options, number=500) for options in ({"strategy": "nominal"}, VARIED | {"width": 0}))
    assert all(torch.equal(*pair) for pair in zip(parameters(nominal[0]), parameters(varied[0]), strict=True))
    assert [row["validation_loss"] for row in nominal[1]] == [row["validation_loss"] for row in varied[1]]


def test_z_is_drawn_anew_in_every_epoch_with_the_width_asked_for():
    strategy, generator = made("augmentation", variations=("shift", "rate"), width=2.0), np.random.default_rng(1)
    first, second = strategy.draw(generator, 20_000), strategy.draw(generator, 20_000)
    assert first.shape == (20_000, 2)
    assert not np.array_equal(first, second)
    assert first.std(axis=0) == pytest.approx(2, rel=0.03)
    assert np.corrcoef(first.T)[0, 1] == pytest.approx(0, abs=0.03)


def test_a_parametrised_network_learns_the_dependence_on_z():
    # Signal at (0, z), background at (0, 0): nothing can be told apart at z = 0, and the sign of y matters at z = +-2.
    pool = gaussians.pool(
        {"strategy": "parametrised", "variations": SHIFT, "width": 2}, signal=(0, 0), number=8000, events_seen=150_000
    )
    strategy = pool.settings.training
    events = batches.fold_events(pool, 0)
    task = Task("toy", networks.Architecture(2, (32, 32), seed=1), events, pool.settings.learning, 1, "cpu")
    nets, _ = loop.loop(strategy, task)
    for z in (2.0, -2.0):
        at_z = loop.to_device(events.validation(np.full((events.validation_size, 1), z)), "cpu")
        auc = {}
        for told in (z, 0.0, -z):
            scores = strategy.score(nets, at_z.features, torch.full_like(at_z.z, told)).detach().numpy()
            auc[told] = metrics.area_under_curve(scores, at_z.labels.numpy(), at_z.weights.numpy())
        assert auc[z] == pytest.approx(0.9214, abs=0.015)  # Phi(2 / sqrt 2)
        assert auc[-z] < 0.2
        assert auc[z] > auc[0.0] + 0.1


@pytest.mark.parametrize("kind", ["mixture", "regression"])
def test_the_adversary_reduces_the_dependence_of_the_score_on_z(kind):
    # x separates the classes without z; y does it too, but moves with z.
    shifts = {}
    for strength in (0.0, 20.0):
        options = PIVOT | {"strength": strength, "adversary": kind}
        classifier, history = trained(options, number=8000, events_seen=100_000, learning_rate=3e-3)
        signal, background = gaussians.columns(4000, (1, 1), 8), gaussians.columns(4000, (0, 0), 9)
        moved = signal | {"y": signal["y"] + np.float32(1)}
        shifts[strength] = np.mean(classifier.score(moved)) - np.mean(classifier.score(signal))
        scores = np.concatenate([classifier.score(signal), classifier.score(background)])
    assert shifts[0.0] > 0.08
    assert abs(shifts[20.0]) < 0.3 * shifts[0.0]
    assert metrics.area_under_curve(scores, np.repeat([1, 0], 4000), np.ones(8000)) > 0.7  # 0.760 with x alone
    assert {"train_classifier", "train_adversary", "validation_adversary"} <= history[-1].keys()


def test_the_adversary_without_information_learns_the_prior_of_z():
    # The variation acts on no event: the best adversary knows N(0, width) only, of entropy ln(2 pi e width^2) / 2.
    pool = gaussians.pool(PIVOT | {"width": 2.0}, number=8000, events_seen=150_000)
    shift = pool.settings.variations["shift"].model_copy(update={"processes": ()})
    pool.settings = pool.settings.model_copy(update={"variations": {"shift": shift}})
    _, history = loop.train(pool, pool.settings.training, "cpu")
    assert history[-1]["train_adversary"] == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 4), abs=0.02)


def test_the_density_of_the_adversary_integrates_to_one():
    torch.manual_seed(1)
    predicted = torch.randn(4, 1, 9).double()
    z = torch.linspace(-60, 60, 40_001).double()
    for row in predicted:
        density = torch.exp(-adversarial._mixture(row.expand(len(z), 1, 9), z.unsqueeze(1))).squeeze(1)
        assert float(torch.trapezoid(density, z)) == pytest.approx(1, rel=1e-4)


def test_the_gradient_is_reversed_and_the_value_is_not():
    x = torch.tensor([0.3, -2.0], requires_grad=True)
    y = adversarial.reversed_gradient(x, 3.0)
    assert torch.equal(y, x)
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((2,), -3.0))


def test_the_strength_is_zero_while_warming_up():
    strategy = made("adversarial", strength=2.0, warm_up=0.25)
    nets, batch = strategy.networks(networks.Architecture(2, (16,), seed=1)), a_batch(strategy)
    before, after = (
        {name: float(value.detach()) for name, value in strategy.loss(nets, batch, progress).items()}
        for progress in (0.24, 0.25)
    )
    assert before["loss"] == before["classifier"]
    assert after["loss"] == pytest.approx(after["classifier"] - 2 * after["adversary"])


def test_trees_do_not_depend_on_the_options_of_networks():
    trees = made("boosted_trees")
    changed = made("boosted_trees", hidden=(7,), learning_rate=0.5)
    assert trees.changes() == changed.changes()
    assert made("nominal", hidden=(7,), events_seen=5).changes() == {"hidden": (7,), "events_seen": 5}


def test_trees_stop_when_the_validation_loss_does_not_get_better_and_keep_the_best():
    _, history = trained({"strategy": "boosted_trees", "shrinkage": 0.5}, number=1000, patience=5)
    rows = [row for row in history if row["fold"] == 0]
    losses = [row["validation_loss"] for row in rows]
    best = int(np.argmin(losses))
    assert len(rows) == best + 1 + 5 < 300
    assert [row["kept"] for row in rows] == [float(number == best) for number in range(len(rows))]


def test_trees_cut_on_undefined_values_as_they_are():
    pool = gaussians.pool({"strategy": "boosted_trees"}, number=3000, signal=(0, 0))
    pool.samples["signal"]["x"][:1500] = -999  # half of the signal is undefined, no background is
    classifier, _ = loop.train(pool, pool.settings.training, "cpu")
    columns = gaussians.columns(1000, (0, 0), 9)
    assert np.mean(classifier.score(columns | {"x": np.full(1000, -999, np.float32)})) > 0.95
    assert np.mean(classifier.score(columns)) < 0.45
