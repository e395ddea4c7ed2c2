import numpy as np

from nuisflow import seeds


def test_a_generator_depends_on_seed_and_names_only():
    first, again = seeds.generator(1, "toys", 3).random(5), seeds.generator(1, "toys", 3).random(5)
    assert np.array_equal(first, again)


def test_different_names_give_different_streams():
    streams = {seeds.number(*names) for names in [(1, "a", "b"), (1, "ab"), (1, "b", "a"), (2, "a", "b"), (1, "a", 1)]}
    assert len(streams) == 5
