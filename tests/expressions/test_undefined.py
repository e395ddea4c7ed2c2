"""What is computed of a number that stands for 'undefined' is told; what is only asked of it is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nuisflow import expressions

COLUMNS = {
    "met": np.array([40.0, 50.0, 60.0, -999.0]),
    "jet_pt": np.array([30.0, -999.0, -999.0, 80.0], dtype=np.float32),
    "n_jets": np.array([1, -999, 0, 2]),
    "z": np.ones(4),
}


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("met - 0.03 * z * jet_pt", "jet_pt", 2),
        ("met + n_jets", "met", 1),
        ("met - where(n_jets > 1, 0, jet_pt)", "jet_pt", 2),
        ("where(n_jets == 0, met, met - jet_pt)", "jet_pt", 1),
        ("maximum(1.0 * jet_pt, n_jets)", "jet_pt", 1),
        ("(jet_pt > 0) + 1.0 * n_jets", "n_jets", 1),
        ("jet_pt", "jet_pt", 2),
    ],
)
def test_a_value_that_is_computed_with_an_undefined_one_is_an_error_that_counts_the_events(text, name, number):
    with pytest.raises(expressions.ExpressionError) as caught:
        expressions.require_defined(text, {key: COLUMNS[key] for key in expressions.names(text)}, -999, "a.b", "met")
    told = f"computes with {name!r}, which is undefined (-999) in {number} of 4 events"
    assert f"a.b: {text!r} {told}; say what it is there: where({name} == -999, met, …)" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "where(jet_pt == -999, 1, 1 + 0.01 * jet_pt)",
        "1 + 0.01 * (jet_pt > 0) * jet_pt",
        "1 + 0.01 * maximum(jet_pt, 0)",
        "where((n_jets > 0) & (jet_pt > 30), 1.1, 0.9)",
        "where(n_jets > 0, n_jets, 0)",
        "z * 2",
    ],
)
def test_comparisons_may_ask_for_an_undefined_value(text):
    expressions.require_defined(text, COLUMNS, -999, "a")


@given(st.lists(st.sampled_from([-999.0, 1.0, 2.5]), min_size=1, max_size=8), st.floats(0.01, 10))
def test_a_sum_with_an_undefined_value_is_refused_exactly_where_there_is_one(values, size):
    columns = {"x": np.array(values), "y": np.zeros(len(values))}
    if number := values.count(-999.0):
        with pytest.raises(expressions.ExpressionError, match=f"in {number} of {len(values)} events"):
            expressions.require_defined(f"y + {size!r} * x", columns, -999.0, "a")
    else:
        expressions.require_defined(f"y + {size!r} * x", columns, -999.0, "a")
