import dataclasses

import gaussians
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nuisflow.learning import batches, blocks, scaling
from nuisflow.settings.systematics import Rate

REGIONS = {
    "inside": {"selection": "y > 0", "observable": "score"},
    "control": {"selection": "y <= 0", "observable": "x"},
}
SHIFTED = {"strategy": "augmentation", "variations": ["shift"]}


def everything(pool: batches.Pool) -> batches.Rows:
    return {name: np.arange(len(columns["entry"])) for name, columns in pool.samples.items()}


def test_no_event_of_a_fold_trains_or_validates_its_network():
    pool = gaussians.pool(folds=3)
    for number in range(3):
        for validation in (False, True):
            rows = pool.rows(number, validation=validation)
            for name, chosen in rows.items():
                assert not np.any(pool.samples[name]["entry"][chosen] % 3 == number)


def test_training_and_validation_share_no_event_and_together_are_all_other_folds():
    pool = gaussians.pool(folds=3)
    train, validation = (pool.rows(1, validation=part)["signal"] for part in (False, True))
    entry = pool.samples["signal"]["entry"]
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.flatnonzero(entry % 3 != 1))


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.integers(2, 7), st.integers(0, 2**40))
def test_validation_takes_its_fraction_of_every_fold(fraction, folds, start):
    entry = start + np.arange(20_000)
    chosen = batches.is_validation(entry, fraction)
    for number in range(folds):
        share = chosen[batches.fold(entry, folds) == number].mean()
        assert abs(share - fraction) < 5 * np.sqrt(fraction * (1 - fraction) * folds / len(entry))


def test_validation_does_not_depend_on_which_other_events_are_there():
    entry = np.arange(1000)
    some = np.random.default_rng(1).permutation(1000)[:300]
    assert np.array_equal(batches.is_validation(entry, 0.2)[some], batches.is_validation(entry[some], 0.2))


@settings(deadline=None)
@given(
    arrays.arrays(np.float64, st.integers(4, 50), elements=st.floats(1e-3, 1e3)),
    st.floats(1e-6, 1e6),
    st.randoms(use_true_random=False),
)
def test_balance_gives_equal_classes_and_does_not_depend_on_the_scale_of_weights(weights, scale, random):
    labels = np.array([0, 1] + [random.randint(0, 1) for _ in weights[2:]])
    balanced = batches.balance(weights, labels)
    assert balanced[labels == 1].sum() == pytest.approx(balanced[labels == 0].sum(), rel=1e-5)
    assert balanced.mean() == pytest.approx(1, rel=1e-5)
    assert batches.balance(weights * scale, labels) == pytest.approx(balanced, rel=1e-5)


def test_balance_needs_both_classes():
    with pytest.raises(ValueError, match="no signal events to train on"):
        batches.balance(np.ones(3), np.zeros(3))
    with pytest.raises(ValueError, match="no background events to train on"):
        batches.balance(np.array([1.0, 0.0]), np.array([1, 0]))


def test_rows_that_take_turns_leave_a_fold_without_a_class_unless_there_is_another_number_of_folds():
    """A file whose even rows are signal: with two folds, all of it is of fold 0, whose network learns of fold 1."""
    columns = gaussians.columns(400, (0, 0), 1)
    taking_turns = {
        name: {key: values[start::2] for key, values in columns.items()}
        for start, name in enumerate(["signal", "background"])
    }
    pool = batches.Pool(taking_turns, gaussians.settings({"strategy": "nominal"}))
    with pytest.raises(ValueError, match=r"no signal events .* row modulo learning.folds; .* another number of folds"):
        batches.fold_events(pool, 0)
    pool = batches.Pool(taking_turns, gaussians.settings({"strategy": "nominal"}, folds=3))
    for fold in range(3):
        events = batches.fold_events(pool, fold).train()
        assert set(events.labels) == {0, 1}
        assert not np.any(events.entry % 3 == fold)


def test_z_of_zero_gives_the_nominal_events_bit_for_bit():
    pool = gaussians.pool(SHIFTED, events={"regions": REGIONS})
    nominal, at_zero = pool.events(everything(pool)), pool.events(everything(pool), np.zeros((8000, 1)))
    for first, second in zip(nominal, at_zero, strict=True):
        assert np.array_equal(first, second)


def test_every_event_is_shifted_by_its_own_z_where_the_variation_acts():
    pool = gaussians.pool(SHIFTED, number=30_000)  # more than one block
    z = np.random.default_rng(1).normal(size=(60_000, 1))
    events = pool.events(everything(pool), z)
    y = np.concatenate([pool.samples["signal"]["y"] + z[:30_000, 0], pool.samples["background"]["y"]])
    np.testing.assert_allclose(events.features[:, 1], y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(events.z, z, rtol=1e-6)
    assert np.array_equal(events.labels, np.repeat([1, 0], 30_000))
    assert np.array_equal(events.entry, np.tile(np.arange(30_000), 2))
    assert np.array_equal(events.process, np.repeat([1, 0], 30_000))  # alphabetical


def test_events_that_the_shift_moves_into_or_out_of_the_selection_are_in_or_out():
    pool = gaussians.pool(SHIFTED, events={"regions": REGIONS})
    z = np.random.default_rng(1).normal(size=(8000, 1))
    events = pool.events(everything(pool), z)
    y = np.concatenate([pool.samples["signal"]["y"] + z[:4000, 0].astype(np.float32), pool.samples["background"]["y"]])
    assert np.array_equal(events.entry, np.tile(np.arange(4000), 2)[y > 0])
    np.testing.assert_allclose(events.z, z[y > 0], rtol=1e-6)


def test_events_of_regions_with_another_observable_are_left_out():
    pool = gaussians.pool(events={"regions": REGIONS})
    assert pool.events(everything(pool)).features[:, 1].min() > 0


def test_a_configuration_without_a_scored_region_is_an_error():
    regions = {"all": {"selection": None, "observable": "x"}}
    with pytest.raises(ValueError, match="none has the observable 'score'"):
        gaussians.pool(events={"regions": regions})


def test_expected_events_carry_the_physical_weight():
    pool = gaussians.pool()
    events = pool.events(everything(pool))
    assert np.array_equal(events.expected, np.repeat(np.float32([1, 3]), 4000))
    assert events.weights == pytest.approx(1)


def test_rates_multiply_weights_in_their_order_whatever_the_hashes_of_their_names():
    """Products of floating point depend on the order, that of a set of texts changes from process to process."""
    rates = {f"rate_{index}": Rate(kind="rate", size=0.07 + 0.01 * index) for index in range(9)}
    settings = gaussians.settings({"strategy": "augmentation", "variations": ["rate"]})
    settings = settings.model_copy(update={"variations": rates})
    columns, z = gaussians.columns(500, (0, 0), 1), np.random.default_rng(1).normal(size=(500, len(rates)))
    found = blocks.Maker(settings)._at("signal", columns, z).weights
    expected = columns["w"].astype(float)
    for rate, values in zip(rates.values(), z.T, strict=True):
        expected = expected * rate.factor(values)
    assert np.array_equal(found, expected)


def test_rates_and_weights_act_on_the_weights_of_their_processes_only():
    pool = gaussians.pool({"strategy": "augmentation", "variations": ["rate", "weight"]})
    z = np.stack([np.full(8000, 2.0), np.full(8000, -0.5)], axis=1)
    events = pool.events(everything(pool), z)
    x = np.concatenate([pool.samples["signal"]["x"], pool.samples["background"]["x"]])
    expected = np.repeat([1.0, 3 * 1.1**2], 4000) * (1 - 0.05 * x)
    np.testing.assert_allclose(events.expected, expected, rtol=1e-5)


def test_z_of_the_wrong_length_is_an_error():
    pool = gaussians.pool(SHIFTED)
    with pytest.raises(ValueError, match="z has 3 rows for 8000 events"):
        pool.events(everything(pool), np.zeros((3, 1)))


def test_a_negative_weight_is_an_error_that_names_sample_entry_and_remedy():
    pool = gaussians.pool()
    pool.samples["background"]["w"][7] = -1
    with pytest.raises(ValueError, match=r"'background'.*negative weight \(first: entry 7\).*with train: false"):
        pool.events(everything(pool))


def test_an_event_whose_weight_a_variation_makes_negative_counts_nothing_at_this_z():
    pool = gaussians.pool({"strategy": "augmentation", "variations": ["weight"]})
    events = pool.events(everything(pool), np.full((8000, 1), -8.0))  # factor 1 - 0.8 x
    x = np.concatenate([pool.samples["signal"]["x"], pool.samples["background"]["x"]])
    assert np.array_equal(events.expected == 0, 1 - 0.8 * x.astype(np.float64) <= 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_feature_that_is_not_a_number_is_an_error_that_names_sample_and_feature(bad):
    pool = gaussians.pool()
    pool.samples["signal"]["x"][5] = bad
    with pytest.raises(ValueError, match=r"'signal'.*'x'.*entry 5"):
        pool.events(everything(pool))


def test_a_weight_that_is_not_a_number_is_an_error():
    pool = gaussians.pool()
    pool.samples["signal"]["w"][5] = np.nan
    with pytest.raises(ValueError, match=r"'signal'.*'weight'"):
        pool.events(everything(pool))


def test_scaled_features_have_weighted_mean_zero_and_deviation_one():
    generator = np.random.default_rng(1)
    features = generator.normal(3, 7, size=(5000, 2)).astype(np.float32)
    weights = generator.uniform(0.5, 2, 5000)
    scaled = scaling.measured(features, weights, None)(features)
    assert np.average(scaled, axis=0, weights=weights) == pytest.approx(0, abs=1e-5)
    assert np.average(scaled**2, axis=0, weights=weights) == pytest.approx(1, rel=1e-5)


def test_undefined_values_become_the_mean_of_the_defined_ones():
    features = np.array([[1.0], [3.0], [-25.0], [5.0]], dtype=np.float32)
    found = scaling.measured(features, np.ones(4), -25.0)
    assert found.mean[0] == pytest.approx(3)
    assert found(features)[2, 0] == 0
    assert found(features)[:, 0] == pytest.approx(np.array([-2, 0, 0, 2]) / np.sqrt(8 / 3))


@pytest.mark.parametrize("values", [[4.0, 4.0, 4.0], [-25.0, -25.0, -25.0], [4.0, -25.0, 4.0]])
def test_a_feature_without_spread_becomes_zero(values):
    features = np.array(values, dtype=np.float32)[:, None]
    assert np.all(scaling.measured(features, np.ones(3), -25.0)(features) == 0)


def test_an_undefined_value_that_float32_rounds_is_left_out_of_the_scaling():
    features = np.array([[-99.9], [1.0], [3.0], [-99.9]], dtype=np.float32)
    scaled = scaling.measured(features, np.ones(4), -99.9)(features)
    assert np.allclose(scaled.ravel(), [0, -1, 1, 0])


def test_features_of_a_fold_are_scaled_by_its_own_training_events():
    pool = gaussians.pool()
    events = batches.fold_events(pool, 0)
    nominal = events.train()
    assert np.average(nominal.features, axis=0, weights=nominal.weights) == pytest.approx(0, abs=1e-5)
    other = batches.fold_events(pool, 1)
    assert not np.array_equal(events.scaling.mean, other.scaling.mean)


def test_thinned_events_are_a_subset_of_the_wanted_size():
    events = batches.fold_events(gaussians.pool(), 0)
    thin = events.thinned(100, np.random.default_rng(1))
    assert thin.train_size == 100
    for name, rows in thin.train_rows.items():
        assert np.isin(rows, events.train_rows[name]).all()
        assert len(np.unique(rows)) == len(rows)
    assert dataclasses.replace(thin, train_rows=events.train_rows) == events
    assert events.thinned(10**9, np.random.default_rng(1)) is events


POINTS = {"strategy": "augmentation", "variations": ["shift", "rate", "weight"]}
STEPS = np.array([[0.5, 0, 0], [-0.5, 0, 0], [0, 0.5, 0], [0, -0.5, 0], [0, 0, 0.5], [0.3, 0.5, -0.5]])


def identities(events):
    """Return labels and entries as one number per event."""
    return events.entry * 2 + events.labels.astype(int)


def test_events_at_points_are_those_of_a_varied_fold():
    pool = gaussians.pool(POINTS, events={"regions": REGIONS})
    fold = batches.fold_events(pool, 0, points=STEPS)
    together, names = fold.train(), identities(fold.train())
    assert len(np.unique(names)) == len(names)
    for index, point in enumerate(STEPS):
        own = fold.pool.events(fold.train_rows, np.tile(point, (fold.train_size, 1)), fold.scaling)
        place = {name: row for row, name in enumerate(names)}
        rows = [place[name] for name in identities(own)]
        assert np.array_equal(together.points[rows, index], own.features)
        np.testing.assert_allclose(together.counts[rows, index], own.expected, rtol=1e-6)
        others = np.setdiff1d(np.arange(len(names)), rows)
        assert not together.counts[others, index].any()
        assert np.array_equal(together.points[others, index], together.features[others])


def test_events_at_points_are_the_nominal_ones_and_some_of_weight_zero():
    pool = gaussians.pool(POINTS, events={"regions": REGIONS})
    nominal, together = (batches.fold_events(pool, 0, points=steps).train() for steps in (None, STEPS))
    kept = together.weights > 0
    assert np.array_equal(identities(together)[kept], identities(nominal))
    assert 0 < np.sum(~kept) < 0.2 * len(kept)
    for name in ("features", "labels", "expected", "share"):
        assert np.array_equal(getattr(together, name)[kept], getattr(nominal, name))
        assert name in ("features", "labels") or not getattr(together, name)[~kept].any()
    assert nominal.points.shape == (len(nominal.labels), 0, 2)
    assert nominal.counts.shape == (len(nominal.labels), 0)


def test_shares_of_all_folds_add_up_to_one_per_class():
    pool = gaussians.pool(number=3001, folds=3)
    sums = {0: 0.0, 1: 0.0}
    for validation in (False, True):
        events = pool.events(pool.rows(1, validation=validation))
        for label in sums:
            sums[label] += events.share[events.labels == label].sum()
    assert sums[0] == pytest.approx(2 / 3, rel=1e-3)
    assert sums[1] == pytest.approx(2 / 3, rel=1e-3)


def test_raw_events_are_read_once_for_all_epochs_as_far_as_they_may_stay_in_memory(monkeypatch):
    pool, read = gaussians.pool(SHIFTED, number=500), []
    take = type(pool.samples["signal"]).take
    monkeypatch.setattr(
        type(pool.samples["signal"]), "take", lambda self, rows: read.append(len(rows)) or take(self, rows)
    )
    events, z = batches.fold_events(pool, 0), np.random.default_rng(1)
    del read[:]
    drawn = z.normal(size=(events.train_size, 1))
    first = events.train(drawn)
    again = events.train(drawn)
    assert sum(read) == 0  # measuring the scale of the features has read them
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    monkeypatch.setattr(batches, "KEPT", 0)
    assert all(np.array_equal(one, other) for one, other in zip(first, events.train(drawn), strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(first, events.train(drawn), strict=True))
    assert sum(read) > events.train_size  # nothing stays
    assert not pool._kept
