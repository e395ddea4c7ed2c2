"""Tests of aleatoric and epistemic parts: exact for known members, and larger where nothing was learnt."""

import gaussians
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats

from nuisflow.comparison.review import epistemic
from nuisflow.comparison.review.epistemic import NEIGHBOURS, Events
from nuisflow.comparison.trainings import Run
from nuisflow.learning import loop
from nuisflow.slices.classifiers import JudgementSettings
from nuisflow.storage import event_files

SETTINGS = JudgementSettings(
    **{"signal": "s", "samples": {"higgs": "s", "z": "b"}, "trained": ("higgs", "z"), "regions": ("signal", "control")},
    **{"scored": ("signal",), "folds": 2, "validation_fraction": 0.2, "seed": 1, "features": ("x", "y", "same")},
    learns={"nominal": True},
)  # fmt: skip


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_parts_add_up_and_are_those_of_scipy(scores):
    values = np.array(scores)
    probabilities = np.stack([1 - values, values], axis=2)
    found = epistemic.parts(probabilities)
    assert found.total == pytest.approx(found.aleatoric + found.epistemic, abs=1e-9)
    assert found.total == pytest.approx(stats.entropy(probabilities.mean(axis=1), base=2, axis=-1), abs=1e-9)
    assert np.all((found.epistemic >= 0) & (found.epistemic <= 1))


def test_members_that_agree_are_only_aleatoric_and_those_that_are_sure_of_opposites_only_epistemic():
    found = epistemic.parts(np.array([[[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]]))
    assert found.aleatoric == pytest.approx([1, 0])
    assert found.epistemic == pytest.approx([0, 1])


def written(folder, size=3000):
    rng, paths = np.random.default_rng(1), {}
    for name, shift in (("higgs", 1.0), ("z", 0.0)):
        columns = {
            "entry": np.arange(size),
            "region": rng.integers(0, 2, size),
            "weight": rng.exponential(1, size),
            "x": rng.normal(shift, 1, size).astype(np.float32),
            "y": rng.normal(0, 5, size).astype(np.float32),
            "same": np.full(size, 3, np.float32),
        }
        paths[name] = folder / f"{name}.parquet"
        event_files.write_event_parts(paths[name], iter([columns]), {"region": SETTINGS.regions})
    return paths


def test_distances_are_to_training_events_of_the_other_folds_and_know_no_feature_without_variance(tmp_path):
    events = epistemic.taken(written(tmp_path), SETTINGS)
    assert events.weight[events.signal].sum() == pytest.approx(0.5)
    assert events.weight[~events.signal].sum() == pytest.approx(0.5)
    found = epistemic.distances(events, SETTINGS)
    values = np.stack([events.columns["x"] / events.columns["x"].std(), events.columns["y"] / events.columns["y"].std()], axis=1)  # fmt: skip
    entry = events.columns["entry"]
    validation = epistemic.batches.is_validation(entry, 0.2)
    for index in (0, 7, 500):
        other = (entry % 2 != entry[index] % 2) & ~validation
        every = np.sort(spatial.distance.cdist(values[[index]], values[other])[0])
        assert found[index] == pytest.approx(every[:NEIGHBOURS].mean(), rel=1e-5)


def test_without_training_events_or_variance_nothing_is_near():
    columns = {"entry": np.arange(50), "x": np.ones(50), "y": np.ones(50), "same": np.ones(50)}
    events = Events(columns, np.ones(50), np.arange(50) % 2 == 0, np.ones(50, bool))
    assert np.isnan(epistemic.distances(events, SETTINGS)).all()
    assert epistemic.told_by(np.full(50, np.nan), np.arange(50.0), np.ones(50)) == 0
    assert epistemic.told_by(np.ones(50), np.arange(50.0), np.ones(50)) == 0


def test_what_tells_all_of_the_epistemic_part_has_all_of_its_variance():
    rng = np.random.default_rng(2)
    steps = rng.integers(0, 4, 4000).astype(float)
    weight = rng.exponential(1, 4000)
    assert epistemic.told_by(steps, 3 * steps**2, weight) == pytest.approx(1)
    assert epistemic.told_by(rng.normal(size=4000), steps, weight) < 0.02
    noisy = steps + rng.normal(0, steps.std(), 4000)
    assert epistemic.told_by(steps, noisy, np.ones(4000)) == pytest.approx(0.5, abs=0.04)


@pytest.mark.slow
def test_members_disagree_most_far_from_what_they_have_learnt():
    """An ensemble that has seen Gaussian events is asked of some that lie elsewhere."""
    pool = gaussians.pool({"strategy": "ensemble", "size": 5, "budget": "each"}, number=4000, events_seen=40_000)
    classifier, _ = loop.train(pool, pool.settings.training, "cpu")
    near, far = gaussians.columns(3000, (0.5, 0.5), 5), gaussians.columns(3000, (-6, 8), 6)
    found = []
    for columns in (near, far):
        scores = classifier.member_scores(columns)
        found.append(epistemic.parts(np.stack([1 - scores, scores], axis=2).astype(float)))
    share = [one.epistemic.mean() / one.total.mean() for one in found]
    assert share[1] > 2 * share[0]


def test_the_row_of_a_training_names_the_feature_that_tells_where_members_disagree(tmp_path):
    events = epistemic.taken(written(tmp_path), SETTINGS)

    def members(columns):
        spread = 0.05 + 0.4 * (np.abs(columns["y"]) > 5)
        return np.stack([0.5 - spread, 0.5 + spread], axis=1)

    distance = epistemic.distances(events, SETTINGS)
    row, curves = epistemic.judge(Run("nominal", 1), members, events, distance, SETTINGS)
    assert row["feature"] == "y"
    assert set(row) == set(epistemic.COLUMNS)
    assert row["total"] == pytest.approx(1)
    assert row["aleatoric"] + row["epistemic"] == pytest.approx(row["total"])
    where, _, _, part, error = curves["feature"]
    assert part[0] > 3 * min(part)
    assert len(where) == len(error) == epistemic.BINS
