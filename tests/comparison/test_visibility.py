"""Tests of how visible variations are: nothing where nothing changes, the true area where all is known."""

import numpy as np
import pytest
from analyses import FLAT, changed
from scipy import special, stats

from nuisflow.comparison.review import visibility
from nuisflow.comparison.review.visibility import Side
from nuisflow.settings.checks import reading
from nuisflow.slices import review
from nuisflow.storage import event_files


def side(rng, size, mean=0.0, weighted=True):
    weight = rng.exponential(1, size) if weighted else np.ones(size)
    return Side(rng.normal([mean, 0], 1, (size, 2)).astype(np.float32), weight, rng.uniform(size=size) < 0.5)


def test_equal_events_are_told_apart_as_often_as_chance_says():
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(80):
        found = visibility.tell(side(rng, 1200), side(rng, 800), 1)
        pulls.append((found.auc - 0.5) / found.error)
    assert stats.kstest(pulls, "norm").pvalue > 0.01


def test_the_area_of_a_shifted_gaussian_is_the_known_one_and_its_feature_is_named():
    rng = np.random.default_rng(2)
    found = visibility.tell(side(rng, 20_000), side(rng, 20_000, 1.0), 1)
    assert found.auc == pytest.approx(special.ndtr(1 / np.sqrt(2)), abs=4 * found.error)
    assert found.feature == 0


def test_too_few_events_say_nothing_and_a_feature_without_variance_tells_nothing():
    rng = np.random.default_rng(3)
    assert visibility.tell(side(rng, 30), side(rng, 3000), 1) is None
    first, second = (Side(np.ones((500, 2), np.float32), np.ones(500), np.arange(500) % 2 == 0) for _ in range(2))
    found = visibility.tell(first, second, 1)
    assert (found.auc, found.feature) == (0.5, None)


CONTENT = changed(
    FLAT,
    ("features", ["x"]),
    ("samples.data", {"process": "data", "files": ["data.csv"]}),
    ("variations", {
        "scale": {"kind": "shift", "columns": {"x": "x + z"}, "processes": ["b"]},
        "tilt": {"kind": "weight", "factor": "1 + z * x", "processes": ["b"]},
        "idle": {"kind": "rate", "size": 0.1, "processes": ["s", "b"]},
    }),
    ("fit", {"unblind": True}),
)  # fmt: skip


def test_shifts_and_weights_are_seen_rates_of_all_are_not_and_data_are_compared_where_they_are_shown(tmp_path):
    settings, paths = review.visibility(reading.check(CONTENT, "test")), {}
    rng = np.random.default_rng(4)
    needed = review.event_files([*settings.conditions.values(), *settings.shown])
    for folder, sample in needed:
        x = rng.normal(0.6 * (folder == "scale_up") + 0.5 * (sample == "data"), 1, 8000).astype(np.float32)
        columns = {"entry": np.arange(8000), "region": np.zeros(8000, int), "weight": np.ones(8000), "x": x}
        if (folder, sample) == ("nominal", "b"):
            columns["factor_tilt_up"] = np.exp(0.5 * x)
        paths[folder, sample] = tmp_path / folder / f"{sample}.parquet"
        event_files.write_event_parts(paths[folder, sample], iter([columns]), {"region": ["signal"]})
    rows = {row["name"]: row for row in visibility.rows(paths, settings)}
    assert list(rows) == ["scale_up", "tilt_up", "idle_up", "data"]
    assert all(rows[name]["significance"] > 5 for name in ("scale_up", "tilt_up", "data"))
    assert abs(rows["idle_up"]["significance"]) < 4
    assert set(rows["data"]) == set(visibility.COLUMNS)


def test_blinded_data_are_not_looked_at_and_of_hundreds_of_variations_the_first_are_asked():
    blinded = changed(CONTENT, ("fit.unblind", False))
    assert review.visibility(reading.check(blinded, "test")).shown == ()
    many = {f"rate{index}": {"kind": "rate", "size": 0.1} for index in range(200)}
    found = review.visibility(reading.check(changed(blinded, ("variations", many)), "test"))
    assert list(found.conditions) == ["nominal", *(f"rate{index}_up" for index in range(review.MOST))]
