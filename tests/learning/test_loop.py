import zipfile

import gaussians
import numpy as np
import pytest
import torch

from nuisflow.learning import batches, loop
from nuisflow.learning.classifier import Classifier, device
from nuisflow.slices.training import Scoring
from nuisflow.strategies import metrics, networks
from nuisflow.strategies.strategy import Strategy, Task

SHIFTED = {"strategy": "augmentation", "variations": ["shift"]}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def trained(pool):
    return loop.train(pool, pool.settings.training, "cpu")


def a_task(pool, number=0, **changes):
    learning = pool.settings.learning.model_copy(update=changes)
    events = batches.fold_events(pool, number)
    return Task("toy, fold 0", networks.Architecture(2, learning.hidden, seed=1), events, learning, 1, "cpu")


class Recorder(Strategy):
    """The nominal strategy, which notes what it is given."""

    strategy: str = "recorder"

    def loss(self, networks, batch, progress):
        if torch.is_grad_enabled():
            SEEN.append((progress, batch))
        return super().loss(networks, batch, progress)


SEEN = []


@pytest.fixture
def seen():
    SEEN.clear()
    return SEEN


def test_area_under_the_curve_counts_pairs_and_half_of_the_ties():
    generator = np.random.default_rng(1)
    scores, labels, weights = generator.integers(0, 9, 60), generator.integers(0, 2, 60), generator.uniform(0, 2, 60)
    s, b = labels == 1, labels == 0
    wins = (scores[s, None] > scores[b]) + 0.5 * (scores[s, None] == scores[b])
    pairs = weights[s, None] * weights[b]
    expected = (pairs * wins).sum() / pairs.sum()
    assert metrics.area_under_curve(scores, labels, weights) == pytest.approx(expected)


def test_batches_cover_all_events_in_order_with_equal_sizes():
    pool = gaussians.pool(number=500)
    events = loop.to_device(batches.fold_events(pool, 0).train(), "cpu")
    parts = list(loop.sliced(events, 64))
    sizes = [len(part.labels) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 64
    assert torch.equal(torch.cat([part.features for part in parts]), events.features)


@pytest.mark.parametrize("gathered", [1, 20_000, 10**9])
def test_batches_in_random_order_are_the_same_however_many_are_copied_at_once(monkeypatch, gathered):
    monkeypatch.setattr(loop, "GATHERED", gathered)
    events = loop.to_device(batches.fold_events(gaussians.pool(number=500), 0).train(), "cpu")
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(events.labels))[:401])
    wanted = loop.sliced(type(events)(*(values[order] for values in events)), 64)
    for found, batch in zip(loop.shuffled(events, order, 64), wanted, strict=True):
        for one, other in zip(found, batch, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("budget", [100, 12_345])
def test_a_training_sees_exactly_its_budget_and_every_event_once_per_epoch(seen, budget):
    pool = gaussians.pool(number=2000)
    loop.loop(Recorder(), a_task(pool, events_seen=budget, patience=1000))
    assert sum(len(batch.labels) for _, batch in seen) == budget
    assert [progress for progress, _ in seen] == sorted(progress for progress, _ in seen)
    assert seen[0][0] == 0
    size = len(batches.fold_events(pool, 0).train().labels)
    first = np.concatenate([batch.entry.numpy() * 2 + batch.labels.numpy() for _, batch in seen])[:size]
    assert len(np.unique(first)) == len(first)


def test_the_budget_of_varied_events_is_exact_although_their_number_changes():
    regions = {"all": {"selection": "y > 0.5", "observable": "score"}}
    pool = gaussians.pool(SHIFTED, events={"regions": regions}, events_seen=12_345, patience=1000)
    _, history = trained(pool)
    assert [row["events_seen"] for row in history if row["fold"] == 1][-1] == 12_345
    assert len(history) / 2 < 20  # no crumbs of epochs at the end


def test_events_come_in_another_order_in_every_epoch(seen):
    loop.loop(Recorder(), a_task(gaussians.pool(number=200), batch_size=10_000, events_seen=800, patience=100))
    first, second = seen[0][1].entry, seen[1][1].entry
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)


def test_the_classifier_approaches_the_best_possible():
    # two unit Gaussians at distance sqrt(2): the AUC of the likelihood ratio is Phi(1) = 0.8413
    classifier, history = trained(gaussians.pool(number=10_000, events_seen=100_000))
    test = gaussians.columns(50_000, (1, 1), 11), gaussians.columns(50_000, (0, 0), 12)
    scores = np.concatenate([classifier.score(columns) for columns in test])
    auc = metrics.area_under_curve(scores, np.repeat([1, 0], 50_000), np.ones(100_000))
    assert auc == pytest.approx(0.8413, abs=0.005)
    assert [row["auc"] for row in history if row["kept"]] == pytest.approx([auc, auc], abs=0.02)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    for name in "ab":
        torch.manual_seed(ord(name))  # whatever happened before
        trained(gaussians.pool(SHIFTED, number=500, events_seen=3000))[0].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    pool = gaussians.pool(SHIFTED, number=500, events_seen=3000)
    pool.settings = pool.settings.model_copy(update={"repetition": 2})
    trained(pool)[0].save(tmp_path / "c")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_early_stopping_restores_the_best_state_and_waits_as_long_as_told():
    pool = gaussians.pool(number=60)  # few events and many epochs: the network memorises them
    task = a_task(pool, hidden=(32, 32), learning_rate=0.03, events_seen=100_000, patience=7)
    strategy = pool.settings.training
    nets, history = loop.loop(strategy, task)
    losses = [row["validation_loss"] for row in history]
    best = int(np.argmin(losses))
    assert len(history) == best + 1 + 7
    assert [row["kept"] for row in history] == [float(number == best) for number in range(len(history))]
    validation = loop.to_device(task.fold.validation(), "cpu")
    with torch.no_grad():
        assert float(strategy.loss(nets, validation, 1.0)["loss"]) == pytest.approx(losses[best], rel=1e-4)
    assert losses[-1] > losses[best]


def test_no_event_is_scored_by_a_network_that_saw_it():
    # Signal and background are the same: what a network scores above chance, it has memorised.
    pool = gaussians.pool(
        number=150, signal=(0, 0), hidden=(128, 128), learning_rate=0.02, events_seen=40_000, validation_fraction=0.1
    )
    strategy = Memorising(**pool.settings.training.model_dump())
    classifier, _ = loop.train(pool, strategy, "cpu")
    columns = {name: np.concatenate([part[name] for part in pool.samples.values()]) for name in ("x", "y", "entry")}
    labels, ones = np.repeat([1, 0], 150), np.ones(300)
    honest = metrics.area_under_curve(classifier.score(columns), labels, ones)
    swapped = columns | {"entry": columns["entry"] + 1}  # scored by the network of the other fold, which saw them
    seen = metrics.area_under_curve(classifier.score(swapped), labels, ones)
    assert abs(honest - 0.5) < 4 * np.sqrt(301 / 12 / 150**2)
    assert seen > 0.8


class Memorising(Strategy):
    stops_early = False
    strategy: str = "nominal"


def test_the_scale_of_the_weights_does_not_matter():
    scores = []
    for scale in (1.0, 1024.0):
        pool = gaussians.pool(number=500, events_seen=5000)
        pool.samples["background"]["w"] *= np.float32(scale)
        scores.append(trained(pool)[0].score(pool.samples["signal"]))
    np.testing.assert_allclose(*scores, rtol=1e-4)


def test_the_score_of_an_event_does_not_depend_on_the_others():
    classifier, _ = trained(gaussians.pool(number=500, events_seen=2000))
    columns = gaussians.columns(10_000, (0, 0), 5)
    scores = classifier.score(columns)
    assert scores.dtype == np.float32
    some = np.random.default_rng(1).permutation(10_000)[:777]
    assert np.array_equal(classifier.score({name: values[some] for name, values in columns.items()}), scores[some])
    assert classifier.score({name: values[:0] for name, values in columns.items()}).shape == (0,)


def test_a_saved_classifier_gives_the_same_scores(tmp_path):
    classifier, _ = trained(gaussians.pool(SHIFTED, number=500, events_seen=2000))
    classifier.save(tmp_path / "model.pt")
    copied = Classifier.load(tmp_path / "model.pt")
    columns = gaussians.columns(1000, (0, 0), 5)
    columns["x"][3] = -999  # undefined
    assert np.array_equal(copied.score(columns), classifier.score(columns))
    assert copied.strategy == classifier.strategy
    torch.load(tmp_path / "model.pt", weights_only=True)


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04" + b"\0" * 100])
def test_a_damaged_model_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt.*train again"):
        Classifier.load(tmp_path / "model.pt")


def test_a_truncated_model_is_an_error(tmp_path):
    trained(gaussians.pool(number=500, events_seen=500))[0].save(tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="train again"):
        Classifier.load(tmp_path / "model.pt")


def test_a_changed_bit_in_a_number_of_a_model_is_an_error(tmp_path):
    trained(gaussians.pool(number=500, events_seen=500))[0].save(tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt") as parts:
        part = next(name for name in parts.namelist() if name.endswith("data/0"))
        number = parts.read(part)
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content.replace(number, bytes([number[0] ^ 1]) + number[1:], 1))
    with pytest.raises(ValueError, match=r"model\.pt: .*data/0 is damaged.*train again"):
        Classifier.load(tmp_path / "model.pt")


def test_a_model_for_other_features_or_folds_is_refused():
    classifier, _ = trained(gaussians.pool(number=500, events_seen=500))
    classifier.check(Scoring(features=("x", "y"), folds=2))
    for features, folds in ((("y", "x"), 2), (("x", "y"), 3)):
        with pytest.raises(ValueError, match="train again"):
            classifier.check(Scoring(features=features, folds=folds))


def test_a_loss_that_is_not_a_number_is_an_error_that_names_training_step_and_remedy():
    with pytest.raises(ValueError, match=r"training toy, fold 0: .* at step \d+ \(epoch \d+.*lower learning_rate"):
        loop.loop(Recorder(), a_task(gaussians.pool(number=500), learning_rate=1e30, events_seen=5000))


class Blind(Strategy):
    """The nominal strategy, whose loss on validation events is a number between these parts of the budget only."""

    strategy: str = "blind"
    low: float = 2.0
    high: float = 2.0

    def loss(self, networks, batch, progress):
        terms = super().loss(networks, batch, progress)
        is_seen = torch.is_grad_enabled() or self.low < progress < self.high
        return terms if is_seen else terms | {"loss": terms["loss"] * torch.nan}


def test_a_validation_loss_that_is_never_a_number_is_an_error_that_names_training_epoch_and_remedy():
    words = r"training toy, fold 0: .*not a number in any of \d+ epochs \(epoch \d+: nan\).* or remove the training"
    with pytest.raises(ValueError, match=words):
        loop.loop(Blind(), a_task(gaussians.pool(number=500), events_seen=3000))


def test_a_validation_loss_that_is_a_number_at_times_decides_which_state_is_kept():
    task = a_task(gaussians.pool(number=500), events_seen=2000, patience=9)
    _, history = loop.loop(Blind(low=0.3, high=0.7), task)
    kept = [row for row in history if row["kept"]]
    assert len(kept) == 1
    assert 600 < kept[0]["events_seen"] < 1400


def test_asking_for_a_gpu_that_is_not_there_is_an_error():
    assert device("cpu") == "cpu"
    assert device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="use 'auto' or 'cpu'"):
            device("cuda")


class Dropout(Strategy):
    strategy: str = "dropout"

    def networks(self, architecture):
        return {"classifier": torch.nn.Sequential(torch.nn.Dropout(0.5), architecture.network("classifier"))}


def test_random_numbers_of_a_network_are_reproducible():
    states = []
    for noise in (1, 2):
        torch.manual_seed(noise)  # whatever happened before
        states.append(loop.loop(Dropout(), a_task(gaussians.pool(number=200), events_seen=1000))[0]["classifier"])
    for first, second in zip(*(net.state_dict().values() for net in states), strict=True):
        assert torch.equal(first, second)
