"""Tests of training on more events than fit into memory: what is read, in which parts, and that nothing else changes."""

import tracemalloc

import gaussians
import numpy as np
import pytest
import torch

from nuisflow.learning import batches, loop, samples
from nuisflow.settings.configuration import Sample
from nuisflow.storage import event_files, ingested
from nuisflow.strategies import networks
from nuisflow.strategies.bayesian import Bayesian
from nuisflow.strategies.strategy import Strategy, Task

SHIFTED = {"strategy": "augmentation", "variations": ["shift"]}
MEANS = {"signal": ((1.0, 1.0), 1, 1.0), "background": ((0.0, 0.0), 2, 3.0)}


def written(folder, number=4000, *, ordered=False):
    """Write the events of `gaussians.pool` as ingested files, *ordered* by x if asked; return their paths."""
    for name, (mean, seed, weight) in MEANS.items():
        columns = gaussians.columns(number, mean, seed, weight)
        order = np.argsort(columns["x"]) if ordered else slice(None)
        ingested.write(folder / f"{name}.arrow", [{key: columns[key][order] for key in ("x", "y", "w")}])
    return {name: folder / f"{name}.arrow" for name in MEANS}


def opened(paths, training=None, **options):
    return batches.Pool.load(paths, gaussians.settings(training or {"strategy": "nominal"}, **options))


@pytest.fixture
def small(monkeypatch):
    """Let about 500 nominal events fit into memory."""
    monkeypatch.setattr(batches, "TRAINING", 500 * batches.row_bytes(gaussians.settings({"strategy": "nominal"})))


@pytest.mark.parametrize("training", [None, SHIFTED])
def test_an_ingested_file_trains_the_same_bytes_as_the_columns_in_memory(tmp_path, training):
    torch.set_num_threads(1)
    pools = opened(written(tmp_path), training, events_seen=5000), gaussians.pool(training, events_seen=5000)
    for name, pool in zip("ab", pools, strict=True):
        loop.train(pool, pool.settings.training, "cpu")[0].save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_are_taken_with_their_entry_and_the_ratios_that_belong_to_them(tmp_path):
    paths, ratio = written(tmp_path), np.random.default_rng(1).random(4000).astype(np.float32)
    place = tmp_path / "generator" / "signal.parquet"
    event_files.write_event_parts(place, iter([{"ratio_generator": ratio[:700]}, {"ratio_generator": ratio[700:]}]), {})
    settings = gaussians.settings({"strategy": "nominal"})
    sample = settings.samples["signal"].model_copy(update={"ratios": (str(place),)})
    source = samples.Ingested(paths["signal"], settings.events, sample)
    rows = np.array([3, 699, 700, 3999])
    taken, columns = source.take(rows), gaussians.columns(4000, (1.0, 1.0), 1)
    assert np.array_equal(taken["entry"], rows)
    assert np.array_equal(taken["ratio_generator"], ratio[rows])
    assert np.array_equal(taken["x"], columns["x"][rows])
    assert len(source.take(rows[:0])["ratio_generator"]) == 0


@pytest.mark.parametrize("piece", [80, 1000, 10**6])
def test_only_rows_that_belong_to_the_sample_are_its_events(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(samples, "PIECE", piece)
    monkeypatch.setattr(samples, "READ", 400)
    settings, path = gaussians.settings({"strategy": "nominal"}), written(tmp_path, 1003)["signal"]
    sample = Sample(process="signal", weight="w", selection="x > 0.7")
    source = samples.Ingested(path, settings.events, sample)
    wanted = np.flatnonzero(gaussians.columns(1003, (1.0, 1.0), 1)["x"] > 0.7)
    rows, entry = map(np.concatenate, zip(*source.pieces(), strict=True))
    assert np.array_equal(rows, wanted)
    assert np.array_equal(entry, wanted)
    assert source.size == len(wanted)


def blocks(fold, number=10**9, seed=1):
    return list(fold.epoch(number, np.random.default_rng(seed)))


def entries(fold):
    """Return labels and entries of the training events of *fold* as one number per event."""
    events = fold.train()
    return events.entry * 2 + events.labels.astype(int)


def test_an_epoch_in_blocks_has_every_event_once_and_another_one_other_blocks(tmp_path, small):
    fold = batches.fold_events(opened(written(tmp_path)), 0)
    parts = blocks(fold)
    assert len(parts) == -(-fold.train_total // fold.limit) > 5
    assert max(part.train_size for part in parts) < 1.3 * fold.limit
    everything = fold.pool.rows(0, validation=False)
    for name, rows in everything.items():
        assert np.array_equal(np.sort(np.concatenate([part.train_rows[name] for part in parts])), rows)
    again = blocks(fold, seed=2)
    assert not np.array_equal(again[0].train_rows["signal"], parts[0].train_rows["signal"])


def test_every_block_is_a_random_part_of_all_events_whatever_their_order(tmp_path, small):
    fold = batches.fold_events(opened(written(tmp_path, ordered=True)), 0, scales=False)
    everything = np.concatenate([part.train().features[:, 0] for part in blocks(fold)])
    pulls = []
    for seed in range(5):
        for part in blocks(fold, seed=seed):
            x = part.train().features[:, 0]
            pulls.append((x.mean() - everything.mean()) / (everything.std() / np.sqrt(len(x))))
    assert np.abs(pulls).max() < 4
    assert 0.7 < np.std(pulls) < 1.2  # random, not arranged to agree


def test_fewer_events_than_all_are_as_many_as_wanted_and_random(tmp_path, small):
    fold = batches.fold_events(opened(written(tmp_path, ordered=True)), 0)
    parts = blocks(fold, number=900)
    assert len(parts) == 2
    assert sum(part.train_size for part in parts) == pytest.approx(900, abs=4 * 30)
    rows = np.sort(np.concatenate([part.train_rows["signal"] for part in parts]))
    assert len(np.unique(rows)) == len(rows)
    assert rows.mean() == pytest.approx(2000, abs=4 * 4000 / np.sqrt(12 * 450))


def test_no_training_sees_events_in_the_order_of_the_file(tmp_path, small):
    SEEN.clear()
    pool = opened(written(tmp_path, ordered=True), events_seen=7000, batch_size=100)
    loop.train_fold(pool, Recorder(), 0, "cpu", {})
    assert sum(map(len, SEEN)) == 7000
    for entry in SEEN:
        assert abs(np.corrcoef(np.arange(len(entry)), entry)[0, 1]) < 0.5
        assert entry.min() < 1000 < 3000 < entry.max()
    means = [entry.mean() for entry in SEEN]
    assert np.std(means) < 1.3 * 4000 / np.sqrt(12 * 100)


SEEN = []


class Recorder(Strategy):
    """The nominal strategy, which notes the entries that it trains on."""

    strategy: str = "recorder"

    def loss(self, networks, batch, progress):
        if torch.is_grad_enabled():
            SEEN.append(batch.entry.numpy())
        return super().loss(networks, batch, progress)


def test_a_fold_that_is_too_large_has_a_random_part_of_it_and_says_so(tmp_path, small, caplog):
    paths = written(tmp_path)
    with caplog.at_level("INFO"):
        fold = batches.fold_events(opened(paths), 0)
    assert fold.train_size == pytest.approx(fold.limit, abs=5 * np.sqrt(fold.limit))
    assert fold.train_total == sum(map(len, fold.pool.rows(0, validation=False).values()))
    assert f"fold 0: {fold.train_total} events before the selection train; at most 500 are held" in caplog.text
    again = batches.fold_events(opened(paths), 0)
    assert np.array_equal(entries(fold), entries(again))
    mean = np.mean([gaussians.columns(4000, (1.0, 1.0), 1)["x"].mean(), gaussians.columns(4000, (0, 0), 2)["x"].mean()])
    assert fold.scaling.mean[0] == pytest.approx(mean, abs=4 * 1.12 / np.sqrt(500))


def test_of_many_validation_events_a_random_part_is_used(tmp_path, monkeypatch):
    pool = opened(written(tmp_path), validation_fraction=0.5)
    whole = batches.fold_events(pool, 0)
    size = batches.row_bytes(pool.settings)
    monkeypatch.setattr(batches, "VALIDATION", 400 * size)
    part = batches.fold_events(pool, 0)
    assert part.validation_size == pytest.approx(400, abs=80)
    for name, rows in part.validation_rows.items():
        assert np.isin(rows, whole.validation_rows[name]).all()
    assert np.array_equal(part.train_rows["signal"], whole.train_rows["signal"])
    monkeypatch.setattr(batches, "FEWEST", 100)
    monkeypatch.setattr(batches, "TOGETHER", 200 * 300)
    together = batches.fold_events(pool, 0, points=np.zeros((2, 0)), together=100)
    assert together.validation_size == pytest.approx(200, abs=60)


def test_a_part_of_the_events_stands_for_all_of_them(tmp_path, small):
    fold = batches.fold_events(opened(written(tmp_path)), 0)
    for part in [fold, *blocks(fold)]:
        events = part.train()
        share = len(events.labels) / 8000
        for label in (0, 1):
            assert events.share[events.labels == label].sum() == pytest.approx(share, rel=0.25)


def test_a_posterior_knows_of_all_events_that_train_not_only_of_those_in_memory(tmp_path, small):
    fold, found = batches.fold_events(opened(written(tmp_path)), 0), []
    learning = fold.pool.settings.learning
    task = Task("toy", networks.Architecture(2, (4,), seed=1), fold, learning, 1, "cpu")
    Bayesian().fit(task, lambda strategy, _: found.append(strategy.events) or ({}, []))
    assert found[0] == pytest.approx(fold.train_total, rel=0.1)  # signal and background are of equal number


def test_memory_does_not_grow_with_the_events(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "TRAINING", 20_000 * batches.row_bytes(gaussians.settings(SHIFTED)))
    monkeypatch.setattr(batches, "VALIDATION", 5000 * batches.row_bytes(gaussians.settings(SHIFTED)))
    monkeypatch.setattr(samples, "PIECE", 40_000)
    monkeypatch.setattr(batches, "READ", 20_000)
    peaks = []
    for number in (60_000, 600_000):
        paths = written(tmp_path / str(number), number)
        pool = opened(paths, SHIFTED, events_seen=150_000)
        tracemalloc.start()
        loop.train_fold(pool, pool.settings.training, 0, "cpu", {})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] < 30e6
