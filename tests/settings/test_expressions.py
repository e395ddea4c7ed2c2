import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nuisflow.settings import expressions

COLUMNS = {"pt": np.array([10.0, 30.0, 50.0], dtype=np.float32), "njets": np.array([0, 1, 2], dtype=np.int32)}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("pt", [10, 30, 50]),
        ("pt * (1 + 0.1)", [11, 33, 55]),
        ("where((pt > 20) & ~(njets == 2), pt, -1)", [-1, 30, -1]),
        ("maximum(njets, 1) / 2", [0.5, 0.5, 1]),
        ("-pt ** 2", [-100, -900, -2500]),
        ("cos(pi)", [-1, -1, -1]),
        ("3", [3, 3, 3]),
    ],
)
def test_arithmetic_is_that_of_numpy(expression, expected):
    assert np.allclose(expressions.evaluate(expression, COLUMNS), expected)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "pt.tofile",
        "pt[0]",
        "(lambda: 1)()",
        "sum(pt)",
        "[pt]",
        "'text'",
        "f'{pt}'",
        "pt if njets else 1",
        "pt and njets",
        "not pt",
        "10 < pt < 20",
        "where(pt, njets, x=1)",
        "pt := 3",
        "pt @ njets",
        "pt is njets",
        "",
        "pt +",
        "1e3j",
        "pt; njets",
    ],
)
def test_anything_but_arithmetic_is_refused(expression):
    with pytest.raises(expressions.ExpressionError):
        expressions.evaluate(expression, COLUMNS)


@given(st.text(max_size=40))
def test_no_text_makes_anything_but_a_value_or_our_error(text):
    try:
        names = expressions.names(text)
    except expressions.ExpressionError:
        return
    assert all(name.isidentifier() for name in names)


def test_an_endless_expression_is_refused():
    with pytest.raises(expressions.ExpressionError, match="at most"):
        expressions.names("1+" * 5000 + "1")


def test_an_unknown_column_is_named_with_its_place_and_a_suggestion():
    with pytest.raises(expressions.ExpressionError, match=r"regions\.signal.*'ptt'.*did you mean 'pt'"):
        expressions.check("ptt > 3", COLUMNS, "regions.signal")


def test_and_instead_of_ampersand_gets_the_remedy():
    with pytest.raises(expressions.ExpressionError, match="use & and |"):
        expressions.names("pt > 1 and njets > 1")


@pytest.mark.parametrize("name", ["sign", "real", "where", "sqrt", "pi_2", "column_x"])
def test_a_column_may_have_the_name_of_a_function(name):
    columns = {name: np.array([-4.0, 9.0])}
    assert expressions.evaluate(f"sqrt(abs({name})) + where({name} > 0, {name}, pi)", columns).tolist() == [
        2 + np.pi,
        12.0,
    ]


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("pt > 1 && njets < 2", "(pt > 1) & (njets < 2)"),
        ("pt>1 || !(njets!=2)", "(pt > 1) | ~(njets != 2)"),
        ("pt > 1 and njets < 2 or not (njets == 1)", "(pt > 1) & (njets < 2) | ~(njets == 1)"),
        ("10 < pt <= 20", "(10 < pt) & (pt <= 20)"),
    ],
)
def test_the_logic_of_other_languages_is_refused_with_the_text_to_write_instead(expression, written):
    with pytest.raises(expressions.ExpressionError, match=re.escape(f"write {written!r}")):
        expressions.names(expression)
    pt, njets = COLUMNS["pt"], COLUMNS["njets"]
    meant = re.sub(r"!(?!=)", " not ", expression).replace("&&", "and").replace("||", "or")
    expected = [eval(meant, {"pt": p, "njets": n}) for p, n in zip(pt, njets, strict=True)]
    assert expressions.evaluate(written, COLUMNS).tolist() == expected


@pytest.mark.parametrize("expression", ["pt +", "pt ! njets", "pt & & njets", "pt njets", "1 +* 2"])
def test_what_is_wrong_otherwise_is_not_said_to_be_logic(expression):
    with pytest.raises(expressions.ExpressionError) as found:
        expressions.names(expression)
    assert "write" not in str(found.value)
