import itertools
import operator
import re

import numexpr
import numpy as np
import pytest
from analyses import shipped
from hypothesis import given, settings
from hypothesis import strategies as st

from nuisflow import expressions

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
        expressions.check("ptt > 3", tuple(COLUMNS), "regions.signal")


def test_and_instead_of_ampersand_gets_the_remedy():
    with pytest.raises(expressions.ExpressionError, match=r"use & and \|"):
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
    with pytest.raises(expressions.ExpressionError, match=re.escape(f": {written}") + "$"):
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


# --- types ------------------------------------------------------------------------------------------------------------

FLAGS = np.array([True, False, True, False])
MIXED = {
    "flag": FLAGS,
    "n": np.array([2, -3, 0, 7], dtype=np.int32),
    "tiny": np.array([100, -100, 127, -128], dtype=np.int8),
    "big": np.array([2**40, -(2**40), 2**62, 5], dtype=np.int64),
    "event": np.array([1, 2**63 + 5, 2**64 - 1, 7], dtype=np.uint64),
    "few": np.array([1, 2, 3, 4], dtype=np.uint64),
    "d": np.array([0.5, -2.0, 1e300, 3.25]),
    "j": np.array([-99.9, 1.5, 0.1, 3.0], dtype=np.float32),
    "x": np.array([np.nan, 1.5, 2.5, 3.5], dtype=np.float32),
}


def value(expression):
    return expressions.evaluate(expression, MIXED)


def test_not_of_a_flag_is_its_opposite():
    assert value("~flag").dtype == bool
    assert value("~flag").tolist() == [False, True, False, True]
    assert value("~(flag | (d > 3))").tolist() == [False, True, False, False]
    assert value("where(~flag, n, d)").tolist() == [0.5, -3, 1e300, 7]
    assert value("where(flag, ~flag, flag)").tolist() == [False] * 4


def test_a_flag_counts_as_0_or_1_in_arithmetic():
    assert value("flag + flag").tolist() == [2, 0, 2, 0]
    assert value("flag * d").tolist() == [0.5, 0, 1e300, 0]
    assert value("flag * j").dtype == np.float32
    assert value("-flag").tolist() == [-1, 0, -1, 0]
    assert np.array_equal(value("flag == 1"), FLAGS)
    assert np.array_equal(value("flag > 0.5"), FLAGS)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("tiny * tiny", [10000, 10000, 16129, 16384]),
        ("abs(tiny)", [100, 100, 127, 128]),
        ("n * 2000000000", [4_000_000_000, -6_000_000_000, 0, 14_000_000_000]),
        ("n // 2", [1, -2, 0, 3]),
        ("n % 5", [2, 2, 0, 2]),
        ("-n % 5", [3, 3, 0, 3]),
        ("-n // 2", [-1, 1, 0, -4]),
        ("n ** 3", [8, -27, 0, 343]),
        ("few - 4", [-3, -2, -1, 0]),
        ("maximum(n, 1)", [2, 1, 1, 7]),
        ("where(flag, n, big)", [2, -(2**40), 0, 5]),
        ("floor(big) + 1", [2**40 + 1, 1 - 2**40, 2**62 + 1, 6]),
        ("big - 1 + 2", [2**40 + 1, 1 - 2**40, 2**62 + 1, 6]),
        ("5 // 2 + 0 * n", [2, 2, 2, 2]),
    ],
)
def test_whole_numbers_stay_whole_and_exact(expression, expected):
    assert value(expression).dtype == np.int64
    assert value(expression).tolist() == expected


@pytest.mark.parametrize("expression", ["big * big", "big + big + big", "big * 4", "-(big * 2 - 1 + big)", "n ** 70"])
def test_whole_numbers_that_would_overflow_are_an_error(expression):
    with pytest.raises(expressions.ExpressionError, match=r"exceeds 64 bits in \d of 4 rows; write 1\.0 \*"):
        value(expression)


def test_the_remedy_for_an_overflow_is_one():
    assert value("1.0 * big * big").tolist() == [2.0**80, 2.0**80, 2.0**124, 25.0]


@pytest.mark.parametrize("expression", ["n // (n - 2)", "n % 0"])
def test_a_whole_number_divided_by_0_is_an_error(expression):
    with pytest.raises(expressions.ExpressionError, match="divides by 0 in [14] of 4 rows"):
        value(expression)


@pytest.mark.parametrize(("expression", "expected"), [("n / 4", [0.5, -0.75, 0, 1.75]), ("2 ** n", [4, 0.125, 1, 128])])
def test_true_division_and_powers_over_columns_give_decimal_numbers(expression, expected):
    assert value(expression).tolist() == expected


def test_a_negative_power_of_a_whole_number_is_its_reciprocal():
    with np.errstate(divide="ignore"):
        assert value("n**-1").tolist() == [0.5, -1 / 3, np.inf, 1 / 7]


def test_whole_numbers_above_2_to_63_are_compared_and_divided_exactly():
    assert value("event >= 0").all()
    assert value("event > 9223372036854775808").tolist() == [False, True, True, False]
    assert value("event == 18446744073709551615").tolist() == [False, False, True, False]
    assert value("event < few").tolist() == [False] * 4
    assert value("event % 10 < 5").tolist() == [number % 10 < 5 for number in MIXED["event"].tolist()]
    assert value("event // 10").tolist() == [number // 10 for number in MIXED["event"].tolist()]
    assert value("1.0 * event").tolist() == [1.0, 2.0**63, 2.0**64, 7.0]


@pytest.mark.parametrize(
    "expression", ["event + 1", "-event", "event * n", "maximum(event, n)", "where(flag, event, -1)"]
)
def test_whole_numbers_above_2_to_63_are_refused_where_they_cannot_be_computed_with(expression):
    with pytest.raises(expressions.ExpressionError, match=r"2\^63 or more, which can be compared"):
        value(expression)


def test_the_remainder_has_the_sign_of_the_divisor_as_in_python():
    assert value("d % -3").tolist() == [0.5 % -3, -2.0 % -3, 1e300 % -3, 3.25 % -3]
    assert value("d // 2").tolist() == [0, -1, 1e300 // 2, 1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("j != -99.9", [False, True, True, True]),
        ("j == 0.1", [False, False, True, False]),
        ("j > 0.1", [False, True, False, True]),
        ("abs(j) == 99.9", [True, False, False, False]),
        ("maximum(j, -200) == -99.9", [True, False, False, False]),
        ("where(flag, j, -99.9) == -99.9", [True, True, False, True]),
        ("where(flag, maximum(j, -99.9), -1) == -99.9", [True, False, False, False]),
        ("j < 1e300", [True, True, True, True]),
    ],
)
def test_a_float32_column_meets_a_decimal_constant_in_its_own_precision(expression, expected):
    assert value(expression).tolist() == expected


@pytest.mark.parametrize("derived", ["where(flag, j, -99.9)", "maximum(j, -99.9)", "maximum(j, -200)", "j"])
def test_an_undefined_value_is_recognised_in_a_derived_column_too(derived):
    columns = MIXED | {"new": value(derived)}
    assert columns["new"].dtype == np.float32
    assert expressions.evaluate("new == -99.9", columns)[0]


def test_whole_constants_take_the_type_of_the_other_side_and_whole_columns_do_not_lose_digits():
    assert value("2 * j").dtype == np.float32
    assert value("2 * n").dtype == np.int64
    assert value("j * n").dtype == np.float64
    large = {"number": np.array([2**24 + 1]), "one": np.ones(1, dtype=np.float32)}
    assert expressions.evaluate("number * one", large)[0] == 2**24 + 1


def test_a_negative_constant_is_raised_to_a_power_in_brackets():
    assert value("(-2) ** few").tolist() == [-2, 4, -8, 16]
    assert value("-2 ** few").tolist() == [-2, -4, -8, -16]


@pytest.mark.parametrize(
    ("expression", "expected"), [("10**20", 1e20), ("10**20 % 7 + 0 * n", 10**20 % 7), ("2**63 * d", 2.0**62)]
)
def test_whole_constants_have_as_many_digits_as_they_need(expression, expected):
    assert value(expression)[0] == expected


@pytest.mark.parametrize("expression", ["1 / 0", "9 ** 9 ** 9", "10.0 ** 400", "log(0)", "(-8) ** 0.5", "1 % 0"])
def test_constants_that_are_no_number_are_refused(expression):
    with pytest.raises(expressions.ExpressionError, match="cannot be computed"):
        expressions.check(expression, (), "selection")


def test_a_column_of_text_is_refused():
    with pytest.raises(
        expressions.ExpressionError, match=r"^selection: 'name' is of type .*neither numbers nor booleans"
    ):
        expressions.decide("name == 3", {"name": np.array(["a", "b"])}, "selection")


def test_an_error_at_evaluation_says_where_the_expression_stands():
    with pytest.raises(expressions.ExpressionError, match=r"^derived\.square: 'big \* big' exceeds 64 bits"):
        expressions.evaluate("big * big", MIXED, place="derived.square")


# --- what somebody meant ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("(a > 1) & n == 2", "(a > 1) & (n == 2)"),
        ("(a > 1) | n == 2", "(a > 1) | (n == 2)"),
        ("n == 2 & (a > 1)", "(n == 2) & (a > 1)"),
        ("a > 1 & b > 2", "(a > 1) & (b > 2)"),
        ("1 < a < 2", "(1 < a) & (a < 2)"),
        ("1 < a < 2 & ~b == 3", "(1 < a) & (a < 2) & ~(b == 3)"),
        ("a > 1 and b > 2 or n == 1", "(a > 1) & (b > 2) | (n == 1)"),
        ("a > 1 && b > 2", "(a > 1) & (b > 2)"),
        ("a > 1 || !(b != 2)", "(a > 1) | ~(b != 2)"),
        ("not a > 1", "~(a > 1)"),
        ("~a > 1", "~(a > 1)"),
        ("where(a > 1 & b > 2, 1, 0) > 0", "where((a > 1) & (b > 2), 1, 0) > 0"),
    ],
)
def test_what_is_not_meant_as_python_reads_it_is_refused_with_the_text_to_write(written, meant):
    with pytest.raises(expressions.ExpressionError) as caught:
        expressions.check(written, ("a", "b", "n"), "regions.sr.selection")
    assert str(caught.value).startswith("regions.sr.selection: ")
    assert str(caught.value).endswith(f": {meant}")
    expressions.check(meant, ("a", "b", "n"), "regions.sr.selection", selection=True)


@pytest.mark.parametrize("expression", ["(a > 1) & (n + 1)", "~(n * 2)", "(a > 1) & 1", "where(n + 1, a, b)"])
def test_and_or_not_of_numbers_are_refused_before_anything_runs(expression):
    with pytest.raises(
        expressions.ExpressionError, match=r"selection: '.*' is a .*, not true or false; write \(.* != 0\)"
    ):
        expressions.check(expression, ("a", "b", "n"), "selection")


@pytest.mark.parametrize("expression", ["(d > 1) & n", "~n", "~d", "flag | j", "where(n, d, j)"])
def test_and_or_not_of_columns_of_numbers_are_refused_once_their_types_are_known(expression):
    expressions.check(expression, tuple(MIXED), "selection")
    with pytest.raises(expressions.ExpressionError, match="not true or false; write \\([ndj] != 0\\)"):
        value(expression)


def test_types_that_are_known_are_checked_before_anything_runs():
    types = {name: values.dtype for name, values in MIXED.items()}
    for expression, refused in {"(d > 1) & n": "n", "~few": "few", "where(j, d, n)": "j"}.items():
        with pytest.raises(
            expressions.ExpressionError, match=rf"^regions\.sr: '{refused}' is a .*; write \({refused} != 0\)"
        ):
            expressions.check(expression, types, "regions.sr")
    assert expressions.check("~flag & (n == 2)", types, "regions.sr", selection=True) == expressions.BOOL


def test_what_follows_from_derived_columns_is_known_before_anything_runs():
    assert expressions.check("(a > 1) & (b > 2)", ("a", "b"), "derived.both") == expressions.BOOL
    with pytest.raises(expressions.ExpressionError, match=r"'tight \* 2' is a whole number"):
        expressions.check("tight * 2", {"tight": expressions.BOOL}, "selection", selection=True)


@pytest.mark.parametrize(
    ("expression", "hint"), [("sqr(a)", "did you mean 'sqrt'"), ("sqrt(a, a)", "sqrt takes 1 values")]
)
def test_a_wrong_call_of_a_function_gets_the_remedy(expression, hint):
    with pytest.raises(expressions.ExpressionError, match=hint):
        expressions.names(expression)


def test_an_expression_nested_too_deep_is_refused_in_words():
    assert expressions.evaluate("+".join(["d"] * 150), {"d": np.ones(2)}).tolist() == [150, 150]
    with pytest.raises(expressions.ExpressionError, match="nested more than 200 deep"):
        expressions.names("+".join(["d"] * 300))


# --- undefined values -------------------------------------------------------------------------------------------------


def test_a_selection_that_depends_on_an_undefined_value_is_an_error_with_column_count_and_entry():
    columns = MIXED | {"entry": np.arange(10, 14)}
    message = r"selection: 'x > 1' is undecided in 1 of 4 events \(first: entry 10\): column 'x' is undefined \(NaN\)"
    with pytest.raises(expressions.ExpressionError, match=message):
        expressions.decide("x > 1", columns, "selection")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("isfinite(x) & (x > 2)", [False, False, True, True]),
        ("isnan(x) | (x > 2)", [True, False, True, True]),
        ("~isnan(x) & ~(x > 2)", [False, True, False, False]),
        ("where(isnan(x), 9, x) > 2", [True, False, True, True]),
        ("(d > 1) & (x > 1)", [False, False, True, True]),
        ("flag | (x > 3)", [True, False, True, True]),
    ],
)
def test_a_selection_that_says_what_an_undefined_value_means_is_decided(expression, expected):
    assert expressions.decide(expression, MIXED, "selection").tolist() == expected


@pytest.mark.parametrize(
    "expression",
    [
        "~(x > 1)",
        "(d < 1) & (x > 1)",
        "~flag | (x > 1)",
        "x != x",
        "where(x > 1, d, n) > 0",
        "tight",
        "~tight",
        "root > 0",
    ],
)
def test_an_undefined_value_does_not_hide_behind_other_operations(expression):
    derived = {"tight": "x > 1", "root": "sqrt(x)"}
    columns = MIXED | {name: value(text) for name, text in derived.items()}
    with pytest.raises(expressions.ExpressionError, match=r"undecided in 1 of 4 events \(first: row 0\): column .*'x'"):
        expressions.decide(expression, columns, "selection", derived)


def test_an_undefined_result_of_arithmetic_is_found_too():
    with pytest.raises(expressions.ExpressionError, match="a part of it is undefined"):
        expressions.decide("sqrt(d) > 1", MIXED, "selection")


def test_undefined_values_of_events_that_do_not_matter_do_not_matter():
    assert expressions.decide("x > 2", MIXED, "r", among=~FLAGS).tolist() == [False, False, True, True]


def test_a_selection_must_be_true_or_false():
    for name in ("n", "d", "j"):
        with pytest.raises(
            expressions.ExpressionError, match=rf"'{name}' is a .* not true or false; write \({name} != 0\)"
        ):
            expressions.decide(name, MIXED, "selection")


@given(st.lists(st.sampled_from([None, True, False]), min_size=2, max_size=2))
def test_three_valued_logic_is_that_of_all_completions(truths):
    """A decision is known if, and only if, it is the same whatever the undefined values are."""
    columns = {
        name: np.array([np.nan if truth is None else float(truth)]) for name, truth in zip("ab", truths, strict=True)
    }
    for text, rule in {
        "(a > 0.5) & (b > 0.5)": lambda a, b: a and b,
        "(a > 0.5) | (b > 0.5)": lambda a, b: a or b,
        "~((a > 0.5) | ~(b > 0.5))": lambda a, b: not (a or not b),
    }.items():
        completions = itertools.product(*([True, False] if truth is None else [truth] for truth in truths))
        outcomes = {rule(*completed) for completed in completions}
        if len(outcomes) == 1:
            assert expressions.decide(text, columns, "selection").tolist() == [*outcomes]
        else:
            with pytest.raises(expressions.ExpressionError, match="undecided"):
                expressions.decide(text, columns, "selection")


# --- shipped analyses, events without rows ----------------------------------------------------------------------------


def test_floating_point_of_a_shipped_analysis_is_that_of_numexpr_bit_for_bit():
    content, random = shipped("cms_htautau"), np.random.default_rng(5)
    columns = {name: (20 * random.normal(size=1000)).astype(np.float32) for name in content["dataset"]["columns"]}
    columns["z"] = random.normal(size=1000)
    shifts = [change for shift in content["variations"].values() for change in shift.get("columns", {}).values()]
    texts = content["derived"] | {f"shift_{number}": text for number, text in enumerate(shifts)}
    assert len(texts) > 20
    for name, text in texts.items():
        columns[name] = expressions.evaluate(text, columns)
        expected = numexpr.evaluate(text, local_dict=columns, global_dict={})
        assert np.array_equal(columns[name], expected, equal_nan=expected.dtype.kind == "f"), text


@pytest.mark.parametrize(
    "expression", ["n * n", "~flag", "event % 10 < 5", "j != -99.9", "where(flag, j, -1)", "abs(big)"]
)
def test_events_without_rows_give_no_values_of_the_same_type(expression):
    empty = {name: values[:0] for name, values in MIXED.items()}
    found = expressions.evaluate(expression, empty)
    assert found.shape == (0,)
    assert found.dtype == value(expression).dtype


# --- against Python's own numbers -------------------------------------------------------------------------------------

ROWS = {
    "flag": st.booleans(),
    "small": st.integers(-128, 127),
    "medium": st.integers(-(2**31), 2**31 - 1),
    "large": st.integers(-(2**63), 2**63 - 1),
    "decimal": st.floats(-1e6, 1e6, width=64),
}
TYPES = {"flag": bool, "small": np.int8, "medium": np.int32, "large": np.int64, "decimal": np.float64}
WHOLE_RULES = {"+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}
COMPARED = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def whole(function):
    """Return *function* with an error where its result has more than 64 bits."""

    def checked(row):
        found = int(function(row))
        if not -(2**63) <= found < 2**63:
            raise OverflowError
        return found

    return checked


def leaf(name):
    return st.just((name, lambda row: row[name]))


def pair(left, rules, right=None):
    """Return a strategy of two sides joined by one of *rules*: a text, and what it is of a row in Python."""
    chosen = st.tuples(left, st.sampled_from(sorted(rules)), left if right is None else right)
    return chosen.map(lambda c: (f"({c[0][0]} {c[1]} {c[2][0]})", lambda row: rules[c[1]](c[0][1](row), c[2][1](row))))


constants = st.integers(-9, 9).map(lambda number: (f"({number})", lambda row: number))
integers = st.one_of(leaf("small"), leaf("medium"), leaf("large"))
wholes = st.recursive(
    st.one_of(integers, pair(integers, WHOLE_RULES, constants).map(lambda part: (part[0], whole(part[1])))),
    lambda inner: st.one_of(
        pair(inner, WHOLE_RULES).map(lambda part: (part[0], whole(part[1]))),
        inner.map(lambda part: (f"(-{part[0]})", whole(lambda row: -part[1](row)))),
        inner.map(lambda part: (f"abs({part[0]})", whole(lambda row: abs(part[1](row))))),
        inner.map(lambda part: (f"({part[0]} ** 3)", whole(lambda row: part[1](row) ** 3))),
        st.tuples(inner, inner).map(
            lambda p: (f"where(flag, {p[0][0]}, {p[1][0]})", lambda row: (p[0][1](row), p[1][1](row))[not row["flag"]])
        ),
    ),
    max_leaves=4,
)
decimals = st.recursive(
    st.one_of(leaf("decimal"), wholes.map(lambda part: (f"(1.0 * {part[0]})", lambda row: float(part[1](row))))),
    lambda inner: pair(inner, {key: WHOLE_RULES[key] for key in "+-*"}),
    max_leaves=3,
).map(lambda part: (f"(decimal * 1.0 + {part[0]})", lambda row: row["decimal"] + part[1](row)))
truths = st.recursive(
    st.one_of(leaf("flag"), pair(wholes, COMPARED), pair(constants, COMPARED), pair(decimals, COMPARED)),
    lambda inner: st.one_of(
        pair(inner, {"&": operator.and_, "|": operator.or_}),
        inner.map(lambda part: (f"~{part[0]}", lambda row: not part[1](row))),
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(wholes, truths), st.lists(st.fixed_dictionaries(ROWS), min_size=1, max_size=4))
def test_expressions_are_what_python_makes_of_every_row_or_an_error(part, rows):
    """Python's integers do not overflow: either all rows are right, or a whole number of more than 64 bits is refused."""
    text, rule = part
    columns = {name: np.array([row[name] for row in rows], dtype=kind) for name, kind in TYPES.items()}
    try:
        expected = [rule(row) for row in rows]
    except (OverflowError, ZeroDivisionError):
        with pytest.raises(expressions.ExpressionError, match="64 bits|divides by 0|cannot be computed"):
            expressions.evaluate(text, columns)
        return
    found = expressions.evaluate(text, columns)
    assert found.dtype.kind == ("b" if isinstance(expected[0], bool) else "i")
    assert found.tolist() == expected
