import numpy as np
import pyhf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nuisflow.events import variations
from nuisflow.settings.configuration import DitauDataset, FlatDataset
from nuisflow.settings.expressions import ExpressionError
from nuisflow.settings.systematics import FreeRate, Rate, Shift, Weight, WeightSet

FLAT = FlatDataset(kind="flat", columns=("pt", "eta"), missing=-999)
COLUMNS = {"pt": np.array([20.0, 40.0, -999.0], dtype=np.float32), "eta": np.array([0.1, 0.2, 0.3], dtype=np.float32)}
SCALE = Shift(kind="shift", columns={"pt": "pt * (1 + 0.03 * z)"})


def test_a_shift_by_expression_changes_its_columns_and_no_other():
    shifted = variations.shifted(COLUMNS, FLAT, {"tes": SCALE}, {"tes": 1.0})
    assert np.allclose(shifted["pt"][:2], [20.6, 41.2])
    assert shifted["eta"] is COLUMNS["eta"]
    assert shifted["pt"].dtype == np.float32


def test_an_undefined_value_stays_undefined():
    assert variations.shifted(COLUMNS, FLAT, {"tes": SCALE}, {"tes": 1.0})["pt"][2] == -999


def test_every_event_may_have_its_own_z():
    shifted = variations.shifted(COLUMNS, FLAT, {"tes": SCALE}, {"tes": np.array([1.0, 0.0, 2.0])})
    assert np.allclose(shifted["pt"][:2], [20.6, 40.0])


@pytest.mark.parametrize("z", [0.0, np.zeros(3)])
def test_zero_variation_changes_nothing(z):
    rounding = Shift(kind="shift", columns={"pt": "exp(log(abs(pt) * (1 + z)))"})
    shifted = variations.shifted(COLUMNS, FLAT, {"a": rounding}, {"a": z})
    assert all(np.array_equal(shifted[name], COLUMNS[name]) for name in COLUMNS)


def test_new_values_are_all_computed_from_the_old_ones():
    swap = Shift(kind="shift", columns={"pt": "eta + 0 * z", "eta": "pt + 0 * z"})
    plain = FlatDataset(kind="flat", columns=("pt", "eta"))
    shifted = variations.shifted(COLUMNS, plain, {"swap": swap}, {"swap": 1.0})
    assert np.array_equal(shifted["pt"], COLUMNS["eta"])
    assert np.array_equal(shifted["eta"], COLUMNS["pt"])


def test_shifts_of_the_data_set_are_applied_together():
    from nuisflow.datasets import ditau

    columns = ditau.simulate("ttbar", 200, np.random.default_rng(1))
    shifts = {name: Shift(kind="shift", shift=name, size=0.02) for name in ("tes", "jes")}
    together = variations.shifted(columns, DitauDataset(kind="ditau"), shifts, {"tes": 1.0, "jes": -1.0})
    expected = ditau.shift(columns, {"tes": (1.0, 0.02), "jes": (-1.0, 0.02)})
    assert all(np.array_equal(together[name], expected[name]) for name in columns)


@given(size=st.floats(0.001, 0.3), z=st.floats(-4, 4))
def test_rates_are_log_normal_and_symmetric_in_the_logarithm(size, z):
    up = variations.factor(Rate(kind="rate", size=size), COLUMNS, z)
    down = variations.factor(Rate(kind="rate", size=size), COLUMNS, -z)
    assert np.allclose(up * down, 1, rtol=1e-4)


@given(up=st.floats(-0.5, 2), down=st.floats(-0.5, 2), z=st.floats(-4, 4))
def test_a_rate_is_at_any_z_what_the_same_rate_is_in_a_workspace(up, down, z):
    rate = Rate(kind="rate", size=(up, down))
    code4 = pyhf.interpolators.code4(np.array([[[[1 + down], [1.0], [1 + up]]]]))
    (((factor,),),) = code4(np.array([[z]]))
    assert np.allclose(variations.factor(rate, COLUMNS, z), factor, rtol=1e-12)
    assert np.allclose(variations.factor(rate, COLUMNS, np.array([1.0, -1.0, 0.0])), [1 + up, 1 + down, 1])


@given(z=st.floats(0.01, 3))
def test_up_and_down_lie_on_opposite_sides_of_nominal(z):
    for variation in (
        Rate(kind="rate", size=0.1),
        Weight(kind="weight", up="1.2"),
        Weight(kind="weight", factor="exp(eta * z)"),
    ):
        assert np.all(variations.factor(variation, COLUMNS, z) > 1)
        assert np.all(variations.factor(variation, COLUMNS, -z) < 1)


def test_a_weight_variation_reaches_its_up_and_down_values():
    weight = Weight(kind="weight", up="1 + eta", down="1 - eta / 2")
    assert np.allclose(variations.factor(weight, COLUMNS, 1.0), 1 + COLUMNS["eta"])
    assert np.allclose(variations.factor(weight, COLUMNS, -1.0), 1 - COLUMNS["eta"] / 2)
    assert np.allclose(variations.factor(weight, COLUMNS, 0.0), 1)


def test_a_free_rate_has_no_prior_to_vary():
    assert np.array_equal(variations.factor(FreeRate(kind="free_rate"), COLUMNS, 2.0), np.ones(3))


# --- types, signs and powers ------------------------------------------------------------------------------------------

EVENTS = {
    "n": np.array([3, 5, 0, -999], dtype=np.int32),
    "ratio": np.array([1.5, -0.5, 0.25, 2.0], dtype=np.float32),
    "entry": np.arange(4, 8),
}


def test_a_shift_of_a_whole_column_gives_decimal_numbers_of_the_same_size_up_and_down():
    dataset = FlatDataset(kind="flat", columns=("n", "ratio"), missing=-999)
    scale = {"scale": Shift(kind="shift", columns={"n": "n * (1 + 0.295 * z)"})}
    up, down = (variations.shifted(EVENTS, dataset, scale, {"scale": z})["n"] for z in (1.0, -1.0))
    assert np.allclose(up[:3] - EVENTS["n"][:3], [0.885, 1.475, 0])
    assert np.allclose(down[:3] - EVENTS["n"][:3], [-0.885, -1.475, 0])
    assert up[3] == down[3] == -999


def test_an_undefined_decimal_value_stays_undefined_in_float32():
    dataset = FlatDataset(kind="flat", columns=("pt",), missing=-99.9)
    columns = {"pt": np.array([-99.9, 20.0], dtype=np.float32)}
    moved = variations.shifted(columns, dataset, {"tes": SCALE}, {"tes": 1.0})["pt"]
    assert moved[0] == np.float32(-99.9)
    assert np.isclose(moved[1], 20.6)


def test_a_shift_that_fails_names_its_place():
    shift = {"bad": Shift(kind="shift", columns={"n": "n * 9223372036854775807 + z"})}
    with pytest.raises(ExpressionError, match=r"^variations\.bad\.columns\.n: .* exceeds 64 bits in 3 of 4 rows"):
        variations.shifted(EVENTS, FLAT, shift, {"bad": 1.0})


@pytest.mark.parametrize("z", [1.0, -1.0, 0.0])
@pytest.mark.parametrize("down", [None, "2 - ratio"])
def test_a_negative_factor_is_exact_at_the_points_of_the_templates(z, down):
    weight = Weight(kind="weight", up="ratio", down=down)
    ratio = EVENTS["ratio"].astype(float)
    expected = {1.0: ratio, 0.0: np.ones(4), -1.0: 1 / ratio if down is None else 2 - ratio}[z]
    assert np.allclose(variations.factor(weight, EVENTS, z), expected)


@pytest.mark.parametrize(
    ("sides", "z"), [({"up": "ratio"}, -2.0), ({"up": "ratio"}, 0.5), ({"up": "2", "down": "ratio"}, -2.0)]
)
def test_a_power_of_a_negative_factor_is_refused_since_its_sign_would_be_lost(sides, z):
    side = next(key for key in sides if "ratio" in sides[key])
    message = rf"variations\.scale\.{side}: is negative in 1 of 4 events \(lowest: -0\.5\).*write 'factor'"
    with pytest.raises(ExpressionError, match=message):
        variations.factor(Weight(kind="weight", **sides), EVENTS, z, "scale")


def test_what_the_refusal_of_a_negative_factor_suggests_is_right_at_any_z():
    linear = Weight(kind="weight", factor="1 + z * (ratio - 1)")
    ratio = EVENTS["ratio"].astype(float)
    assert np.allclose(variations.factor(linear, EVENTS, 1.0), ratio)
    assert np.allclose(variations.factor(linear, EVENTS, -2.0), 3 - 2 * ratio)
    bounded = Weight(kind="weight", up="maximum(ratio, 0)", down="1")
    assert np.allclose(variations.factor(bounded, EVENTS, 2.0), np.maximum(ratio, 0) ** 2)


def test_a_factor_over_z_that_changes_nominal_events_is_an_error():
    weight = Weight(kind="weight", factor="ratio * (1 + 0.1 * z)")
    with pytest.raises(
        ExpressionError, match=r"variations\.sf\.factor: .* is 1\.5 at z = 0, not 1 \(in 4 of 4 events\)"
    ):
        variations.factors(weight, EVENTS, "sf")
    assert variations.factors(Weight(kind="weight", factor="abs(ratio)**z"), EVENTS, "sf").keys() == {"up", "down"}


@pytest.mark.parametrize(
    "variation",
    [
        Weight(kind="weight", up="1 / n"),
        WeightSet(kind="weight_set", members=("ratio", "1 / n"), combine="envelope"),
    ],
)
def test_a_factor_that_is_no_number_is_an_error_with_its_entry(variation):
    with pytest.raises(ExpressionError, match=r"variations\.pdf: .* infinite in 1 of 4 events \(first: entry 6\)"):
        variations.factors(variation, EVENTS, "pdf")
