"""Tests of what is said of classifiers beside the measurement: separation, over-training, calibration."""

import numpy as np
import pytest
from scipy import stats

from nuisflow.comparison import classifiers
from nuisflow.comparison.classifiers import BACKGROUND, SIGNAL, Scores
from nuisflow.comparison.trainings import Run
from nuisflow.learning import batches, isotonic
from nuisflow.slices.review import JudgementSettings
from nuisflow.storage import event_files

SETTINGS = JudgementSettings(
    **{"signal": "s", "samples": {"higgs": "s", "z": "b"}, "trained": ("higgs", "z"), "regions": ("signal", "control")},
    **{"scored": ("signal",), "folds": 3, "validation_fraction": 0.2, "seed": 1, "features": ("x",)},
    learns={"nominal": True},
)  # fmt: skip


def scores_of(events, folds=1):
    """Return the scores of events: (fold, whether signal, scores, weights)."""
    found = Scores.empty(folds)
    for fold, signal, score, weight in events:
        found.add(np.full(len(score), fold), signal, np.asarray(score), np.asarray(weight, dtype=float))
    return found


def calibrated(rng, size, truth=lambda score: score):
    """Return scores of events that are signal with the probability *truth* of their score."""
    score = rng.uniform(0, 1, size)
    signal = rng.uniform(0, 1, size) < truth(score)
    return score, signal


def sample(score, signal, folds=1):
    """Return the scores of both classes, in folds by turns."""
    fold = np.arange(len(score)) % folds
    events = [
        (number, kind, score[chosen], np.ones(chosen.sum()))
        for number in range(folds)
        for kind in (True, False)
        for chosen in ((signal == kind) & (fold == number),)
    ]
    return scores_of(events, folds)


def test_the_area_under_the_roc_curve_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    signal, background = rng.beta(3, 2, 400), rng.beta(2, 3, 300)
    found = scores_of([(0, True, signal, np.ones(400)), (0, False, background, np.ones(300))])
    expected = np.mean(signal[:, None] > background[None])
    assert classifiers.auc(found.weights[0]) == pytest.approx(expected, abs=2e-3)
    curve = classifiers.roc(found.weights[0])
    assert np.trapezoid(curve[SIGNAL], curve[BACKGROUND]) == pytest.approx(expected, abs=5e-3)
    assert curve[0][0] == curve[1][0] == 0
    assert curve[0][-1] == curve[1][-1] == pytest.approx(1)


def test_the_kolmogorov_test_is_scipys_for_events_of_equal_weight():
    rng = np.random.default_rng(2)
    first, second = rng.beta(2, 2, 900), rng.beta(2.2, 2, 700)
    held, trained = (scores_of([(0, True, one, np.full(len(one), 0.3))]) for one in (first, second))
    distance, p_value = classifiers.kolmogorov(held, trained, 0, SIGNAL)
    expected = stats.ks_2samp(first, second)
    assert distance == pytest.approx(expected.statistic, abs=3e-3)
    assert p_value == pytest.approx(expected.pvalue, rel=0.2)


def test_the_kolmogorov_test_of_weighted_events_is_honest():
    """With effective numbers of events, equal distributions fail it as often as the p-value says."""
    rng = np.random.default_rng(3)

    def thrown(size):
        return scores_of([(0, True, rng.uniform(0, 1, size), rng.exponential(1, size))])

    values = np.array([classifiers.kolmogorov(thrown(800), thrown(1500), 0, SIGNAL)[1] for _ in range(600)])
    assert np.mean(values < 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(values < 0.5) == pytest.approx(0.5, abs=0.07)


def test_calibrated_scores_have_the_calibration_error_of_a_perfect_calibration():
    score, signal = calibrated(np.random.default_rng(4), 60_000)
    found = classifiers.reliability(sample(score, signal), np.random.default_rng(5))
    assert found["ece"] == pytest.approx(found["ece_expected"], rel=0.5)
    assert found["ece"] < 0.01
    assert found["ece_low"] <= found["ece"] <= found["ece_high"]


def test_scores_that_are_too_sure_are_found_and_mended_by_isotonic_regression():
    rng = np.random.default_rng(6)
    score, signal = calibrated(rng, 90_000, lambda score: 0.5 + 0.6 * (score - 0.5))
    found = classifiers.reliability(sample(score, signal, folds=3), rng)
    assert found["ece"] == pytest.approx(0.4 * 0.25, abs=0.01)
    assert found["ece_low"] < 0.1 < found["ece_high"] + 0.003
    assert found["ece_calibrated"] < 0.015


def test_the_band_of_a_calibration_error_beyond_fluctuations_is_its_spread_over_samples():
    rng = np.random.default_rng(7)
    found = []
    for _ in range(150):
        score, signal = calibrated(rng, 6000, lambda score: score**2)
        found.append(classifiers.reliability(sample(score, signal), rng))
    spread = np.std([one["ece"] for one in found])
    assert np.mean([one["ece_high"] - one["ece_low"] for one in found]) / 2 == pytest.approx(spread, rel=0.25)


def test_a_calibrated_score_is_told_beside_what_it_was_before():
    rng = np.random.default_rng(6)
    score, signal = calibrated(rng, 90_000, lambda score: 0.5 + 0.6 * (score - 0.5))
    before, after = sample(score, signal), sample(0.5 + 0.6 * (score - 0.5), signal)
    found = classifiers.reliability(after, np.random.default_rng(5), before)
    assert found["calibrated"]
    assert found["ece"] == pytest.approx(0.4 * 0.25, abs=0.01)
    assert found["ece_calibrated"] == classifiers.reliability(after, rng)["ece"] < 0.01
    assert min(found["points"][0]) < 0.1 < 0.2 < min(found["points_calibrated"][0])


def test_bins_of_a_few_events_are_in_the_calibration_error_but_not_shown():
    """Of 40 events at 0.1 and 8 at 0.7, all signal: the share in the second bin would be 1, without an error."""
    score, signal = np.repeat([0.1, 0.7], [40, 8]), np.repeat([True, False, True], [4, 36, 8])
    found = classifiers.reliability(sample(score, signal), np.random.default_rng(5))
    assert found["points"][0] == pytest.approx([0.1], abs=1e-3)
    ten = classifiers.reliability(
        sample(*(np.append(one, two) for one, two in ((score, [0.7] * 4), (signal, [True] * 4)))),
        np.random.default_rng(5),
    )
    assert ten["points"][0] == pytest.approx([0.1, 0.7], abs=1e-3)


def test_scores_before_their_calibration_are_found_from_those_in_the_file(tmp_path):
    rng = np.random.default_rng(3)
    raw, size = rng.uniform(0, 1, 3000).astype(np.float32), 3000
    maps = [isotonic.measured(raw, rng.uniform(0, 1, size) < raw**power, np.ones(size)) for power in (1, 2, 3)]
    entry = np.arange(size)
    fold = batches.fold(entry, 3)
    values = np.choose(fold, [calibration(raw) for calibration in maps]).astype(np.float32)
    columns = {"entry": entry, "region": np.zeros(size, dtype=int), "weight": np.ones(size), "observable": raw}
    event_files.write_event_parts(tmp_path / "nominal" / "higgs.parquet", iter([columns]), {"region": SETTINGS.regions})
    names = {"variation": ["nominal"], "sample": ["higgs"]}
    parts = iter([{"variation": np.zeros(size, np.int16), "sample": np.zeros(size, np.int16), "score": values}])
    event_files.write_event_parts(tmp_path / "scores.parquet", parts, names)
    settings = SETTINGS.model_copy(update={"samples": {"higgs": "s"}})
    events = {"higgs": tmp_path / "nominal" / "higgs.parquet"}
    found = classifiers.held_out(tmp_path / "scores.parquet", events, settings, maps)
    expected = scores_of([(number, True, raw[fold == number], np.ones(1000)) for number in range(3)], folds=3)
    moved = np.abs(np.cumsum(found.weights - expected.weights, axis=-1))  # by rounding, across the edge of one bin
    assert moved.max() <= 3
    used = classifiers.held_out(tmp_path / "scores.parquet", events, settings)
    assert np.abs(np.cumsum(used.weights - expected.weights, axis=-1)).max() > 50


def test_seen_events_are_those_that_their_network_was_trained_on(tmp_path):
    """The score tells which network answered: never that of the event's own fold, nor one that kept it for validation."""
    rng = np.random.default_rng(8)
    events = {}
    for name in ("higgs", "z"):
        columns = {
            "entry": np.arange(500),
            "region": rng.integers(0, 2, 500),
            "weight": np.full(500, 2.0),
            "x": np.arange(500, dtype=np.float32),
        }
        events[name] = tmp_path / f"{name}.parquet"
        event_files.write_event_parts(events[name], iter([columns]), {"region": SETTINGS.regions})
    asked = []

    def score(columns):
        asked.append((columns["x"].astype(int), batches.fold(columns["entry"], 3)))
        return np.full(len(columns["x"]), 0.5)

    found = classifiers.seen(score, ("x",), events, SETTINGS)
    for entry, network in asked:
        assert np.all(batches.fold(entry, 3) != network)
        assert not batches.is_validation(entry, 0.2).any()
    assert found.weights.sum() == 2 * sum(len(entry) for entry, _ in asked)


def test_what_learns_nothing_has_nothing_to_compare_and_one_class_has_no_curve():
    found = scores_of([(0, True, [0.2, 0.7], [1, 1])])
    settings = SETTINGS.model_copy(update={"folds": 1})
    (row,), curves = classifiers.judge(Run("nominal", 1), found, None, settings)
    assert row["auc"] is row["auc_trained"] is row["p_value_signal"] is None
    assert curves["roc"] is curves["points"] is curves["trained"] is None
    assert curves["networks"] == [{"held_out": None, "seen": None}]


def test_every_network_has_a_curve_of_held_out_and_one_of_seen_events():
    """The first network separates; the second keeps a quarter of the signal as low as half of the background."""
    first = [(0, True, [0.9], [1]), (0, False, [0.1], [1])]
    held = scores_of([*first, (1, True, [0.2, 0.9], [1, 3]), (1, False, [0.1, 0.3], [1, 1])], folds=2)
    seen = scores_of([*first, (1, True, [0.9], [1]), (1, False, [0.1], [1])], folds=2)
    _, curves = classifiers.judge(Run("nominal", 1), held, seen, SETTINGS.model_copy(update={"folds": 2}))
    points = [[np.transpose(network[kind]).tolist() for kind in ("held_out", "seen")] for network in curves["networks"]]
    assert [0.0, 1.0] in points[0][0]
    assert [0.0, 0.75] in points[1][0]
    assert [0.0, 1.0] not in points[1][0]
    assert [0.0, 1.0] in points[1][1]


def test_the_importance_of_a_feature_is_the_area_that_is_lost_without_it(tmp_path):
    rng = np.random.default_rng(9)
    events = {}
    for name, shift in (("higgs", 0.3), ("z", 0.0)):
        columns = {
            "entry": np.arange(4000),
            "region": np.zeros(4000, dtype=int),
            "weight": np.ones(4000),
            "x": rng.uniform(shift, 0.7 + shift, 4000).astype(np.float32),
            "idle": rng.uniform(0, 1, 4000).astype(np.float32),
        }
        events[name] = tmp_path / f"{name}.parquet"
        event_files.write_event_parts(events[name], iter([columns]), {"region": SETTINGS.regions})
    found = classifiers.importance(lambda columns: columns["x"], ("x", "idle"), events, SETTINGS)
    expected = 1 - 0.5 * (0.4 / 0.7) ** 2 - 0.5  # uniform distributions that overlap in 4 of 7 parts
    assert found == {"x": pytest.approx(expected, abs=0.02), "idle": 0}
