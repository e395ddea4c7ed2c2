"""Correlations of constraints: what may be written, what it means for parameters, and what it reaches."""

import numpy as np
import pytest
from analyses import FLAT, changed

from nuisflow.likelihood import histfactory
from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError

RATE = {"kind": "rate", "size": 0.1}
VARIATIONS = {
    "one": RATE,
    "two": RATE,
    "apart": RATE | {"processes": ["s", "b"], "decorrelate": ["process"]},
    "free": {"kind": "free_rate", "processes": ["b"]},
    "luminosity": {"kind": "luminosity", "size": 0.02},
}


def check(*correlations, more=()):
    return reading.check(changed(FLAT, ("variations", VARIATIONS), ("correlations", list(correlations)), *more))


def pair(one, other, coefficient):
    return {"between": [one, other], "coefficient": coefficient}


def test_pairs_that_hang_together_are_one_matrix_in_the_order_of_the_variations():
    (block,) = points.blocks(check(pair("luminosity", "two", -0.2), pair("one", "two", 0.5)))
    assert block.parameters == ("one", "two", "lumi")
    assert block.correlation == ((1.0, 0.5, 0.0), (0.5, 1.0, -0.2), (0.0, -0.2, 1.0))


def test_pairs_apart_are_two_matrices_and_parameters_of_decorrelated_variations_have_names():
    found = points.blocks(check(pair("one", "two", 0.1), pair("apart_s", "apart_b", 0.9)))
    assert [block.parameters for block in found] == [("one", "two"), ("apart_s", "apart_b")]


def test_a_matrix_is_its_pairs():
    matrix = {"between": ["two", "one", "lumi"], "matrix": [[1, 0.5, -0.2], [0.5, 1, 0], [-0.2, 0, 1]]}
    assert points.blocks(check(matrix)) == points.blocks(
        check(pair("luminosity", "two", -0.2), pair("one", "two", 0.5))
    )


def test_without_the_section_nothing_is_correlated():
    assert points.blocks(check()) == ()


REFUSED = [
    ([pair("one", "tow", 0.1)], r"correlations.0.between: no nuisance parameter 'tow'; did you mean 'two'\?"),
    ([pair("one", "free", 0.1)], r"correlations.0.between: 'free' has no prior that could be correlated"),
    ([pair("one", "apart", 0.1)], r"'apart' is decorrelated, so that it is several .*name them: apart_s, apart_b"),
    ([pair("one", "one", 0.1)], r"correlations.0.between: 'one' is there twice"),
    ([pair("lumi", "luminosity", 0.1)], r"correlations.0.between: 'lumi' is there twice"),
    ([pair("one", "two", 1.0)], r"correlations.0.coefficient: Input should be less than 1"),
    (
        [pair("one", "two", 0.1), pair("two", "one", 0.1)],
        r"correlations.1.between: two with one stands in correlations.0",
    ),
    ([{"between": ["one", "two"]}], r"correlations.0: give either 'coefficient' \(of two\) or 'matrix'"),
    ([{"between": ["one", "two", "lumi"], "coefficient": 0.1}], r"coefficient: is that of two, but 'between' names 3"),
    ([{"between": ["one"], "coefficient": 0.1}], r"correlations.0.between: needs at least 2 entries; it has 1"),
    ([{"between": ["one", "two"], "matrix": [[1, 0.1]]}], r"correlations.0.matrix: 2 rows of 2 numbers are needed"),
    ([{"between": ["one", "two"], "matrix": [[1, 0.1], [0.2, 1]]}], r"not symmetric: one with two is not two with one"),
    ([{"between": ["one", "two"], "matrix": [[1, 1.1], [1.1, 1]]}], r"one with two: 1.1 must be between -1 and 1"),
    ([{"between": ["one", "two"], "matrix": [[4, 0.1], [0.1, 1]]}], r"one with itself: 4 must be 1; widths"),
    (
        [pair("one", "two", 0.9), pair("two", "lumi", 0.9), pair("one", "lumi", -0.9)],
        r"one, two, lumi together: not positive definite \(smallest eigenvalue -0.8, mostly of one, two, lumi",
    ),
]


@pytest.mark.parametrize(("written", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_is_no_correlation_is_named_with_a_remedy(written, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*written)


def nearly(least):
    """Return a correlation matrix of three whose smallest eigenvalue is *least*: all coefficients are the same."""
    rho = (least - 1) / 2
    return [[1.0 if i == j else rho for j in range(3)] for i in range(3)]


def of_workspace(matrix):
    """Return what a workspace with these correlations is refused for; "" if it is not."""
    modifiers = [{"name": name, "type": "normsys", "data": {"lo": 0.9, "hi": 1.1}} for name in ("one", "two", "lum")]
    modifiers.append({"name": "mu", "type": "normfactor", "data": None})
    book = {"channels": [{"name": "c", "samples": [{"name": "s", "data": [9.0], "modifiers": modifiers}]}],
            "observations": [{"name": "c", "data": [9.0]}], "version": "1.0.0",
            "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
            "extensions": {"correlations": [{"parameters": ["one", "two", "lum"], "correlation": matrix}]}}  # fmt: skip
    try:
        histfactory.read(book)
    except ValueError as error:
        return str(error).split(": ", 3)[-1].replace("lum", "lumi")
    return ""


@pytest.mark.parametrize("matrix", [nearly(-0.2), nearly(5e-9), [[1, 0.1, 0], [0.2, 1, 0], [0, 0, 4]]])
def test_a_configuration_and_a_workspace_refuse_a_matrix_in_the_same_words(matrix):
    with pytest.raises(ConfigurationError) as error:
        check({"between": ["one", "two", "lumi"], "matrix": matrix})
    assert of_workspace(matrix)
    assert of_workspace(matrix) in str(error.value)


def test_a_configuration_and_a_workspace_take_what_can_be_inverted_to_eight_digits():
    matrix = nearly(2e-8)
    assert check({"between": ["one", "two", "lumi"], "matrix": matrix})
    assert not of_workspace(matrix)
    assert np.linalg.cond(matrix) == pytest.approx(1.5 / 2e-8, rel=1e-4)


def test_scenarios_take_priors_as_independent():
    message = r"scenarios.all.constrained: .* one and two are correlated; name one of them"
    scenario = ("scenarios", {"all": {"constrained": ["one", "two"]}, "other": {"constrained": ["one", "luminosity"]}})
    with pytest.raises(ConfigurationError, match=message) as error:
        check(pair("one", "two", 0.1), more=[scenario])
    assert "other" not in str(error.value)


def test_conditional_trainings_are_refused_beside_correlations():
    scale = {"kind": "shift", "columns": {"x": "x * (1 + 0.1 * z)"}}
    training = {"strategy": "conditional", "variations": ["scale"]}
    more = [("variations.scale", scale), ("trainings", {"c": training})]
    with pytest.raises(ConfigurationError, match=r"correlations: training 'c' is conditional"):
        check(pair("one", "two", 0.1), more=more)
