import math

import numpy as np
import pytest

from nuisflow import seeds


def test_a_generator_depends_on_seed_and_names_only():
    first, again = seeds.generator(1, "toys", 3).random(5), seeds.generator(1, "toys", 3).random(5)
    assert np.array_equal(first, again)


def test_hashes_of_events_are_uniform_and_those_of_two_keys_independent():
    entry = np.arange(100_000)
    one, other = seeds.uniform(entry), seeds.uniform(entry, 7)
    for values in (one, other, (one + other) % 1):
        assert np.abs(np.histogram(values, 20, (0, 1))[0] / 5000 - 1).max() < 4.5 / np.sqrt(5000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(entry))
    assert np.array_equal(seeds.uniform(entry[500:600], 7), other[500:600])


def test_intervals_that_touch_have_every_hash_once():
    values = np.array([0.0, 0.3, np.nextafter(0.5, 0), 0.5, 1.0])
    found = [seeds.between(values, low, high) for low, high in ((0.0, 0.5), (0.5, 1.0))]
    assert np.array_equal(found, [[True, True, True, False, False], [False, False, False, True, True]])


def test_different_names_give_different_streams():
    streams = {seeds.number(*names) for names in [(1, "a", "b"), (1, "ab"), (1, "b", "a"), (2, "a", "b"), (1, "a", 1)]}
    assert len(streams) == 5


def test_replicas_are_poisson_and_independent_of_each_other_and_of_samples():
    entry = np.arange(200_000)
    one, two, other = (seeds.poisson(entry, *key) for key in ((1, "a"), (2, "a"), (1, "b")))
    for number in range(5):
        assert (one == number).mean() == pytest.approx(math.exp(-1) / math.factorial(number), abs=0.004)
    assert one.mean() == pytest.approx(1, abs=0.01)
    for second in (two, other):
        assert np.corrcoef(one, second)[0, 1] == pytest.approx(0, abs=0.01)
    assert (seeds.poisson(entry, 0, "a") == 1).all()
    assert seeds.poisson(entry[500:], 1, "a").tolist() == one[500:].tolist()
