"""Tests of prediction sets: honest for weighted events, as MAPIE's for equal ones, and lower where nature is elsewhere."""

import numpy as np
import pytest
from analyses import FLAT, changed
from mapie.classification import SplitConformalClassifier

from nuisflow.comparison.review import conditions, conformal
from nuisflow.comparison.review.conformal import BINS, LEVEL, Classes
from nuisflow.comparison.trainings import Run
from nuisflow.settings.checks import reading
from nuisflow.slices import review
from nuisflow.storage import event_files

CENTRES = (np.arange(BINS) + 0.5) / BINS
PROBABILITIES = np.stack([1 - CENTRES, CENTRES], axis=1)


def thrown(rng, size, classes=2):
    """Return items, their probabilities of every class, and a class of each that is drawn with these."""
    values = rng.dirichlet(np.full(classes, 0.7), size)
    return values, (values.cumsum(axis=1) < rng.uniform(size=(size, 1))).sum(axis=1).clip(max=classes - 1)


def test_sets_of_weighted_events_have_the_threshold_of_the_weighted_quantile():
    rng = np.random.default_rng(1)
    values, labels = thrown(rng, 4000)
    weight = rng.exponential(1, 4000) * (1 + 3 * (values[:, 1] > 0.7))
    calibration = np.zeros((4000, 2))
    calibration[np.arange(4000), labels] = weight
    found = conformal.sets(calibration, values, 2000, rng)
    wrong = 1 - values[np.arange(4000), labels]
    order = np.argsort(wrong)
    shares = np.cumsum(weight[order]) / weight.sum()
    low, high = (wrong[order][np.searchsorted(shares, LEVEL + change)] for change in (-1e-3, 2e-3))
    assert low <= (1 - values[found]).max() <= high
    assert np.array_equal(found, 1 - values <= (1 - values[found]).max())


def test_sets_of_equal_events_are_those_that_mapie_makes_of_them_one_by_one():
    rng = np.random.default_rng(2)
    values, labels = thrown(rng, 999, classes=3)
    calibration = np.zeros((999, 3))
    calibration[np.arange(999), labels] = 2.5
    asked = SplitConformalClassifier(conformal._known(3), confidence_level=LEVEL, conformity_score="lac")
    expected = asked.conformalize(values, labels).predict_set(values)[1][:, :, 0]
    assert np.array_equal(conformal.sets(calibration, values, 999, rng), expected)


def test_sets_hold_as_often_as_they_say_for_other_events_of_the_same_weights():
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        halves = []
        for _ in range(2):
            values, labels = thrown(rng, 1500)
            events = np.zeros((BINS, 2))
            place = np.minimum((values[:, 1] * BINS).astype(int), BINS - 1)
            np.add.at(events, (place, labels), 0.5 + values[:, 0])
            halves.append(events)
        contained = conformal.sets(halves[0], PROBABILITIES, 1000, rng)
        found.append(np.sum(halves[1] * contained) / halves[1].sum())
    assert np.mean(found) == pytest.approx(LEVEL, abs=3 * np.std(found) / np.sqrt(60) + 0.002)


def test_what_is_drawn_is_the_share_of_every_weight_rounded_up_or_down():
    rng = np.random.default_rng(4)
    weights = rng.exponential(1, 300) * (rng.uniform(size=300) < 0.7)
    number = conformal.resampled(weights, 1234, rng)
    assert number.sum() == 1234
    assert np.all(np.abs(number - 1234 * weights / weights.sum()) < 1)


def test_coverage_and_sizes_are_those_counted_by_hand():
    contained = np.array([[True, False], [True, True], [False, False]])
    weights = np.array([[3.0, 1.0], [1.0, 2.0], [0.0, 1.0]])
    found = conformal.held(contained, Classes(weights, weights), 100.0)
    assert found["coverage_background"] == pytest.approx(1)
    assert found["coverage_signal"] == pytest.approx(0.5)
    assert found["coverage"] == pytest.approx(0.75)
    assert found["size"] == pytest.approx((0.75 + 0.25) / 2 + 2 * (0.25 + 0.5) / 2)
    assert found["all"] == pytest.approx((0.25 + 0.5) / 2)
    assert found["empty"] == pytest.approx(0.25 / 2)
    assert found["coverage_error"] == pytest.approx(np.sqrt(0.5 * 0.5 / 4 / 4 + 0.09 / 100))
    assert conformal.held(contained, Classes(weights * [1, 0], weights), 100.0) is None


# --- events ---------------------------------------------------------------------------------------------------------

VARIED = changed(
    FLAT,
    ("variations", {
        "scale": {"kind": "shift", "columns": {"x": "x + z"}, "processes": ["s"]},
        "tilt": {"kind": "weight", "factor": "1 + 0.1 * z * x", "processes": ["b"]},
        "rate": {"kind": "rate", "size": 0.5, "processes": ["b"]},
        "generator": {"kind": "two_point", "up": ["other"]},
    }),
    ("samples.other", {"process": "b", "files": ["other.csv"], "weight": "w"}),
    ("toys", {"displacements": {"up2": 2}}),
)  # fmt: skip


def settings_of(content=VARIED):
    return review.conformal(reading.check(content, "test"))


def test_every_variation_is_shown_by_the_events_that_it_moves_and_nominal_ones_for_the_rest():
    found = {
        name: {(one.sample, one.folder, one.scored_as, one.factor, one.scale) for one in condition.sources}
        for name, condition in settings_of().conditions.items()
    }
    b, s = (("b", "nominal", "nominal", None, 1.0), ("s", "nominal", "nominal", None, 1.0))
    assert found["nominal"] == {b, s}
    assert found["scale_up2"] == {b, ("s", "scale_up2", "scale_up2", None, 1.0)}
    assert found["tilt_down"] == {s, ("b", "nominal", "nominal", "factor_tilt_down", 1.0)}
    assert found["tilt_up2"] == {s, ("b", "tilt_up2", "nominal", None, 1.0)}
    assert found["rate_up"] == {s, ("b", "nominal", "nominal", None, 1.5)}
    assert found["generator_up"] == {s, ("other", "nominal", "nominal", None, 1.0)}
    assert "generator_down" not in found


def test_a_variation_of_one_region_leaves_events_elsewhere_where_they_are():
    content = changed(VARIED, ("regions", {"a": {"selection": "x > 0"}, "c": {"selection": "x <= 0"}}))
    content = changed(content, ("variations.scale.regions", ["a"]))
    (*_, moved, kept) = sorted(settings_of(content).conditions["scale_up"].sources, key=lambda one: (one.sample, one.folder != "scale_up"))  # fmt: skip
    assert (moved.folder, moved.regions, kept.folder, kept.regions) == ("scale_up", ("a",), "nominal", ("c",))


@pytest.fixture(scope="module")
def files_of_events(tmp_path_factory):
    """Write events whose score is good at nominal and less good for a signal that is moved; return paths by key."""
    folder, rng, settings = tmp_path_factory.mktemp("events"), np.random.default_rng(5), settings_of()
    keys = review.event_files(settings.conditions.values())
    blocks, found = {False: [], True: []}, {}
    variations, samples = list(dict.fromkeys(key[0] for key in keys)), list(settings.samples)
    for variation, sample in keys:
        size = 6000
        columns = {"entry": np.arange(size), "region": np.zeros(size, np.int8), "weight": rng.exponential(1, size)}
        if (variation, sample) == ("nominal", "b"):
            columns |= {
                f"factor_tilt_{side}": np.full(size, 1.0 + 0.1 * sign) for side, sign in (("up", 1), ("down", -1))
            }
        found[variation, sample] = folder / variation / f"{sample}.parquet"
        event_files.write_event_parts(found[variation, sample], iter([columns]), {"region": ["signal"]})
        if variation == "tilt_up2":
            continue
        shift = {"nominal": 0, "scale_up": -1, "scale_down": 1, "scale_up2": -2}[variation]
        logit = rng.normal(1.0 + 0.5 * shift if sample == "s" else -1.0, 1.4, size)
        same = np.ones(size, np.int8)
        blocks[variation == "scale_up2"].append(
            {"variation": variations.index(variation) * same, "sample": samples.index(sample) * same,
             "score": (1 / (1 + np.exp(-logit))).astype(np.float32)}
        )  # fmt: skip
    names = {"variation": variations, "sample": samples}
    for displaced, parts in blocks.items():
        event_files.write_event_parts(folder / f"scores{int(displaced)}.parquet", iter(parts), names)
    return folder, found


def rows_of(files_of_events, settings):
    folder, paths = files_of_events
    taken = conformal.taken(paths, settings)
    return list(
        conformal.rows(Run("nominal", 1), folder / "scores0.parquet", folder / "scores1.parquet", taken, settings)
    )


def test_coverage_is_the_stated_one_at_nominal_and_falls_with_the_shift_of_the_signal(files_of_events):
    rows = {row["point"]: row for row in rows_of(files_of_events, settings_of())}
    nominal = rows["nominal"]
    assert nominal["coverage"] == pytest.approx(LEVEL, abs=4 * nominal["coverage_error"])
    assert nominal["coverage_error"] < 0.01
    assert (
        rows["scale_up2"]["coverage_signal"] < rows["scale_up"]["coverage_signal"] < nominal["coverage_signal"] - 0.02
    )
    assert rows["scale_down"]["coverage_signal"] > nominal["coverage_signal"] + 0.02
    for name in ("rate_up", "tilt_up"):  # of one background, shares stay
        assert rows[name]["coverage"] == pytest.approx(nominal["coverage"], abs=1e-9)
    assert rows["generator_up"]["coverage"] == pytest.approx(LEVEL, abs=0.03)


def test_some_events_of_a_file_stand_for_all(files_of_events):
    _, paths = files_of_events
    few, every = (conditions.take(paths["nominal", "b"], (), ("signal",), most) for most in (700, 6000))
    assert len(few.rows) == 667
    assert np.array_equal(few.rows, np.arange(0, 6000, 9))
    assert np.array_equal(few.columns["weight"], 9 * every.columns["weight"][few.rows])
    assert np.array_equal(few.columns["entry"], few.rows)


def test_the_same_seed_gives_the_same_rows_and_every_run_has_the_columns(files_of_events):
    first, second = (rows_of(files_of_events, settings_of()) for _ in range(2))
    assert first == second
    assert set(first[0]) == set(conformal.COLUMNS)


def test_where_nothing_is_signal_there_are_no_sets(files_of_events):
    assert rows_of(files_of_events, settings_of().model_copy(update={"signal": "none"})) == []
