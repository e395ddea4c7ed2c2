"""Tests of random parts of events: exact shares, no row in two, and nothing of the order of the files in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nuisflow import seeds
from nuisflow.events import parts


@given(st.integers(0, 10**12), st.integers(0, 3000), st.floats(0, 1), st.integers(0, 3000))
def test_a_row_is_in_exactly_one_of_two_parts_wherever_it_is_asked_for(start, number, share, cut):
    first, second = (parts.inside(start, start + number, part) for part in ((0.0, share), (share, 1.0)))
    assert np.array_equal(first, ~second)
    cut = min(cut, number)
    pieces = [parts.inside(start, start + cut, (0.0, share)), parts.inside(start + cut, start + number, (0.0, share))]
    assert np.array_equal(np.concatenate(pieces), first)


@given(st.lists(st.integers(0, 10**9), max_size=50), st.floats(0, 1))
def test_single_rows_are_in_the_part_in_which_they_are_among_all_rows(rows, share):
    entry = np.array(rows, dtype=np.int64)
    alone = [parts.inside(row, row + 1, (0.0, share))[0] for row in rows]
    assert parts.among(entry, (0.0, share)).tolist() == alone


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_smaller_part_is_within_a_larger_one(one, other):
    small, large = sorted([one, other])
    entry = np.arange(1000)
    assert np.all(parts.among(entry, (0.0, large))[parts.among(entry, (0.0, small))])


@pytest.mark.parametrize("percent", [1, 29, 30, 50, 57, 99])
def test_every_hundred_rows_have_exactly_their_share(percent):
    found = parts.inside(0, 100_000, (0.0, percent / 100)).reshape(-1, 100)
    assert (found.sum(axis=1) == percent).all()


def test_a_share_that_is_no_percentage_is_right_on_average():
    found = parts.inside(0, 1_000_000, (0.0, 0.3337))
    assert found.mean() == pytest.approx(0.3337, abs=3e-5)


@pytest.mark.parametrize("period", [2, 3, 7, 100])
def test_parts_have_nothing_to_do_with_periods_order_and_validation(period):
    entry = np.arange(1_000_000)
    reserved = parts.inside(0, len(entry), (0.0, 0.3))
    error = np.sqrt(0.21 / (len(entry) / period))
    shares = np.bincount(entry % period, reserved) / np.bincount(entry % period)
    assert np.abs(shares - 0.3).max() < 4.5 * error
    validation = seeds.uniform(entry) < 0.1
    assert reserved[validation].mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / validation.sum()))


def test_parts_of_ordered_events_agree_with_the_whole():
    """Where the first rows were reserved, one part had none of the events that stand last in the files."""
    late = np.arange(2500) >= 1400
    reserved = parts.inside(0, 2500, (0.0, 0.5))
    assert np.sum(late & reserved) == pytest.approx(550, abs=1)
    assert np.sum(late & ~reserved) == pytest.approx(550, abs=1)
