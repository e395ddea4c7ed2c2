"""Polynomials in nuisance parameters against the functions that they describe."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nuisflow.templates import polynomials


def log_mean(weights, slopes, z):
    """Return ln of the mean of exp(D m(z)) at z (points, parameters) for events with linear and quadratic terms."""
    return np.log(np.exp(slopes @ np.concatenate([z, z**2], axis=1).T).T @ weights)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_means_of_responses_are_described_to_a_thousandth_within_two_deviations(number, seed):
    random = np.random.default_rng(seed)
    slopes = np.concatenate(
        [0.15 * random.standard_normal((400, number)), 0.02 * random.standard_normal((400, number))], 1
    )
    weights = random.dirichlet(np.ones(400))
    table = polynomials.powers(number)
    found = {
        chosen: log_mean(weights, slopes, polynomials.nodes(chosen, number)) for chosen, _ in polynomials.groups(table)
    }
    coefficients = polynomials.fitted(table, found)
    z = random.uniform(-2, 2, (200, number))
    assert polynomials.values(table, z) @ coefficients == pytest.approx(log_mean(weights, slopes, z), abs=1e-3)
    slope = coefficients[[np.flatnonzero((table == row).all(axis=1))[0] for row in np.eye(number, dtype=int)]]
    assert slope == pytest.approx(weights @ slopes[:, :number], abs=2e-4)  # the derivative at 0 is the mean of D


def test_many_parameters_have_terms_of_single_ones_pairs_and_triples():
    table = polynomials.powers(6)
    sizes = (table > 0).sum(axis=1)
    assert set(sizes) == {1, 2, 3}
    assert (sizes == 1).sum() == 6 * polynomials.DEGREE
    assert len({tuple(row) for row in table}) == len(table) < 500


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=4), st.integers(1, 3))
def test_yields_go_through_the_points_at_which_they_were_counted(logs, number):
    table = polynomials.powers(number)
    points = dict(zip([-1.0, 1.0, -2.0, 2.0], np.exp(logs), strict=False))
    coefficients = polynomials.yields(table, {number - 1: points})
    z = np.zeros((len(points), number))
    z[:, -1] = list(points)
    assert np.exp(polynomials.values(table, z) @ coefficients) == pytest.approx(list(points.values()))


def test_a_log_normal_yield_is_found_from_two_points():
    table = polynomials.powers(1)
    coefficients = polynomials.yields(table, {0: {1.0: 1.1, -1.0: 1 / 1.1}})
    assert np.exp(polynomials.values(table, np.array([[0.5], [-2.0]])) @ coefficients) == pytest.approx(
        [1.1**0.5, 1.1**-2]
    )
