"""Calibration shifts, reconstruction and derived quantities, against four-vectors written out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nuisflow.datasets import kinematics

MISSING = kinematics.UNDEFINED
ANGLES = st.floats(-math.pi, math.pi)
STRENGTHS = st.floats(-3, 3)
SIZES = {"tes": 0.01, "jes": 0.01, "les": 0.01, "soft_met": 1.0}


def random_events(events: int = 400, seed: int = 1, dtype: type = np.float64) -> kinematics.Columns:
    """Return events with zero to four jets, none of them near the jet threshold; no physics in them."""
    generator = np.random.default_rng(seed)
    jets = generator.integers(0, 5, events)
    leading = generator.uniform(60, 200, events)
    subleading = generator.uniform(30, 60, events)
    further = np.maximum(jets - 2, 0) * 30.0
    columns = {"PRI_n_jets": jets, "PRI_jet_all_pt": leading * (jets > 0) + subleading * (jets > 1) + further}
    for name, count, pt in (("leading", 1, leading), ("subleading", 2, subleading)):
        values = {"pt": pt, "eta": generator.normal(0, 2, events), "phi": generator.uniform(-np.pi, np.pi, events)}
        columns |= {f"PRI_jet_{name}_{field}": np.where(jets >= count, v, MISSING) for field, v in values.items()}
    for name in ("had", "lep"):
        columns[f"PRI_{name}_pt"] = generator.uniform(20, 90, events)
        columns[f"PRI_{name}_eta"] = generator.normal(0, 1, events)
        columns[f"PRI_{name}_phi"] = generator.uniform(-np.pi, np.pi, events)
    columns["PRI_met"] = generator.uniform(5, 80, events)
    columns["PRI_met_phi"] = generator.uniform(-np.pi, np.pi, events)
    columns |= {name: generator.normal(size=events) for name in kinematics.SOFT_TERM}
    return {name: np.asarray(values, dtype) for name, values in columns.items()}


def four_vector(pt: float, eta: float, phi: float) -> np.ndarray:
    return np.array([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), pt * math.cosh(eta)])


def invariant_mass(vector: np.ndarray) -> float:
    return math.sqrt(max(vector[3] ** 2 - float(vector[:3] @ vector[:3]), 0.0))


def derived_by_hand(event: dict[str, float]) -> dict[str, float]:
    """Return the derived quantities of one event, following the definitions with plain four-vectors."""
    objects = {name: four_vector(*(event[f"PRI_{name}_{f}"] for f in ("pt", "eta", "phi"))) for name in ("had", "lep")}
    met = four_vector(event["PRI_met"], 0.0, event["PRI_met_phi"])
    jets = [
        (event[f"{jet}_eta"], four_vector(*(event[f"{jet}_{field}"] for field in ("pt", "eta", "phi"))))
        for jet, count in zip(kinematics.JETS, (1, 2), strict=True)
        if event["PRI_n_jets"] >= count
    ]
    had, lep = objects["had"], objects["lep"]
    flat_lep = four_vector(event["PRI_lep_pt"], 0.0, event["PRI_lep_phi"])
    turn = event["PRI_had_phi"] - event["PRI_lep_phi"]
    apart = math.atan2(math.sin(turn), math.cos(turn))
    a = math.sin(event["PRI_met_phi"] - event["PRI_lep_phi"]) / math.sin(turn)
    b = math.sin(event["PRI_had_phi"] - event["PRI_met_phi"]) / math.sin(turn)
    result = {
        "DER_mass_transverse_met_lep": invariant_mass(flat_lep + met),
        "DER_mass_vis": invariant_mass(had + lep),
        "DER_pt_h": math.hypot(*(had + lep + met)[:2]),
        "DER_deltar_had_lep": math.hypot(event["PRI_had_eta"] - event["PRI_lep_eta"], apart),
        "DER_pt_tot": math.hypot(*(had + lep + met + sum(vector for _, vector in jets))[:2]),
        "DER_sum_pt": event["PRI_had_pt"] + event["PRI_lep_pt"] + event["PRI_jet_all_pt"],
        "DER_pt_ratio_lep_had": event["PRI_lep_pt"] / event["PRI_had_pt"],
        "DER_met_phi_centrality": (a + b) / math.hypot(a, b),
    }
    if len(jets) < 2:
        return {name: result.get(name, MISSING) for name in kinematics.DERIVED}
    (eta1, jet1), (eta2, jet2) = jets
    centre = (eta1 + eta2) / 2
    return result | {
        "DER_mass_jet_jet": invariant_mass(jet1 + jet2),
        "DER_deltaeta_jet_jet": abs(eta1 - eta2),
        "DER_prodeta_jet_jet": eta1 * eta2,
        "DER_lep_eta_centrality": math.exp(-((event["PRI_lep_eta"] - centre) ** 2) / (eta1 - centre) ** 2),
    }


def changed(before: kinematics.Columns, after: kinematics.Columns) -> set[str]:
    """Return the names of derived columns that differ by more than rounding in a typical event with two jets."""
    two = before["PRI_n_jets"] >= 2
    return {n for n in kinematics.DERIVED if np.median(np.abs(after[n] - before[n])[two]) > 1e-9}


@pytest.mark.parametrize("name", kinematics.DERIVED)
def test_a_derived_quantity_wanted_alone_is_the_same_as_among_all(name: str) -> None:
    columns = random_events()
    assert np.array_equal(kinematics.derived(columns, {name})[name], kinematics.derived(columns)[name])
    assert not set(kinematics.derived(columns, {"PRI_met"}))


@pytest.mark.parametrize("name", [*kinematics.PRIMARY, *kinematics.DERIVED])
def test_what_is_needed_for_a_column_makes_it_bit_for_bit(name: str) -> None:
    columns = random_events(dtype=np.float32)
    strengths = np.random.default_rng(2).normal(size=400)
    changes = {shift: (strengths, size) for shift, size in SIZES.items()}
    expected = kinematics.reconstruct(kinematics.shift(columns, changes))[name]
    few = {key: columns[key] for key in kinematics.needed({name}, changes)}
    found = kinematics.reconstruct(kinematics.shift(few, changes), {name})[name]
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


def test_the_visible_mass_needs_no_jets_and_no_missing_momentum() -> None:
    assert kinematics.needed({"PRI_had_pt", "DER_mass_vis"}, SIZES) == {*kinematics.TAU, *kinematics.LEPTON}


def test_where_jets_point_along_the_beam_and_the_soft_term_are_needed_by_few() -> None:
    eta = {"PRI_jet_leading_eta", "PRI_jet_subleading_eta"}
    whole = {*kinematics.PRIMARY, *kinematics.SOFT_TERM}
    assert kinematics.needed({"DER_pt_tot"}, ["soft_met"]) == whole - eta
    assert kinematics.needed({"DER_pt_tot"}, ["jes"]) == {*kinematics.PRIMARY} - eta
    assert kinematics.needed({"DER_pt_tot", "DER_mass_jet_jet"}, ["soft_met"]) == whole


def test_derived_quantities_equal_four_vectors_by_hand() -> None:
    columns = random_events()
    derived = kinematics.derived(columns)
    assert tuple(derived) == kinematics.DERIVED
    for index in range(len(columns["PRI_met"])):
        expected = derived_by_hand({name: float(values[index]) for name, values in columns.items()})
        for name, value in expected.items():
            assert derived[name][index] == pytest.approx(value, rel=1e-8, abs=1e-6), name


def test_single_precision_is_enough() -> None:
    columns = random_events(3000)
    single = kinematics.derived({name: values.astype(np.float32) for name, values in columns.items()})
    for name, values in kinematics.derived(columns).items():
        assert single[name].dtype == np.float32
        if name == "DER_met_phi_centrality":  # jumps where lepton and tau are exactly back to back
            assert np.mean(np.abs(single[name] - values) < 1e-3) > 0.999
        else:
            np.testing.assert_allclose(single[name], values, rtol=1e-4, atol=1e-3, err_msg=name)


def test_nearly_collinear_particles_keep_their_mass_in_single_precision() -> None:
    apart = np.float32(1e-3)
    mass = kinematics.pair_mass(np.float32([100.0]) ** 2, np.array([apart]), np.array([apart]))
    assert mass[0] == pytest.approx(100 * math.sqrt(2) * 1e-3, rel=1e-5)


@given(st.floats(-60, 60).filter(lambda apart: abs(apart) > 1e-4), st.sampled_from([np.float32, np.float64]))
def test_pairs_have_their_mass_in_full_precision_however_far_apart(apart: float, kind: type) -> None:
    exact = 2 * math.sinh(abs(float(kind(apart))) / 2)  # of particles with pt of 1 in one azimuthal direction
    mass = kinematics.pair_mass(np.array([1], kind), np.array([0], kind), np.array([apart], kind))
    assert mass.dtype == kind
    assert mass[0] == pytest.approx(exact, rel=8 * float(np.finfo(kind).eps))


@given(st.floats(-50, 50))
def test_wrapped_angles_lie_within_a_turn_and_point_the_same_way(angle: float) -> None:
    wrapped = float(kinematics.wrapped(np.array([angle]))[0])
    assert abs(wrapped) <= math.pi + 1e-9
    assert math.cos(wrapped - angle) == pytest.approx(1)


@pytest.mark.parametrize("name", kinematics.SHIFTS)
@pytest.mark.parametrize("z", [0.0, 0, np.zeros(400), np.float32(0)])
def test_zero_variation_changes_nothing(name: str, z: kinematics.Values) -> None:
    columns = random_events(dtype=np.float32)
    shifted = kinematics.SHIFTS[name](columns, z, SIZES[name])
    assert shifted.keys() == columns.keys()
    for key, values in columns.items():
        assert values.dtype == shifted[key].dtype
        assert values.tobytes() == shifted[key].tobytes(), key


@pytest.mark.parametrize("name", kinematics.SHIFTS)
def test_events_at_zero_stay_bit_for_bit_among_varied_ones(name: str) -> None:
    columns = random_events(dtype=np.float32)
    z = np.random.default_rng(2).normal(size=400) * (np.arange(400) % 2)
    shifted = kinematics.SHIFTS[name](columns, z, SIZES[name])
    for key, values in columns.items():
        assert values[::2].tobytes() == shifted[key][::2].tobytes(), key
    assert (shifted["PRI_met"][1::2] != columns["PRI_met"][1::2]).mean() > 0.7


@pytest.mark.parametrize("name", kinematics.SHIFTS)
def test_a_value_per_event_acts_like_the_same_number(name: str) -> None:
    columns = random_events(dtype=np.float32)
    one, each = (kinematics.SHIFTS[name](columns, z, SIZES[name]) for z in (1.5, np.full(400, 1.5)))
    for key in columns:
        assert one[key].tobytes() == each[key].tobytes()
        assert one[key].dtype == np.float32


@pytest.mark.parametrize("name", kinematics.SHIFTS)
def test_shifting_leaves_the_input_alone(name: str) -> None:
    columns = random_events()
    copies = {key: values.copy() for key, values in columns.items()}
    kinematics.reconstruct(kinematics.SHIFTS[name](columns, 2.0, SIZES[name]), decimals=3)
    assert columns.keys() == copies.keys()
    assert all(np.array_equal(columns[key], copies[key]) for key in columns)


DEPENDENT = {
    "tes": {"mass_transverse_met_lep", "mass_vis", "sum_pt", "pt_ratio_lep_had", "met_phi_centrality"},
    "les": {"mass_transverse_met_lep", "mass_vis", "sum_pt", "pt_ratio_lep_had", "met_phi_centrality"},
    "jes": {"mass_transverse_met_lep", "pt_h", "mass_jet_jet", "sum_pt", "met_phi_centrality"},
    "soft_met": {"mass_transverse_met_lep", "pt_h", "pt_tot", "met_phi_centrality"},
}


@pytest.mark.parametrize("name", kinematics.SHIFTS)
@pytest.mark.parametrize("z", [-1.0, 1.0])
def test_a_shift_changes_exactly_the_derived_quantities_of_its_objects(name: str, z: float) -> None:
    """What a calibration adds to an object it takes off the missing momentum: their sum stays."""
    columns = random_events()
    before = kinematics.reconstruct(columns)
    after = kinematics.reconstruct(kinematics.SHIFTS[name](columns, z, SIZES[name]))
    assert changed(before, after) == {f"DER_{quantity}" for quantity in DEPENDENT[name]}


@pytest.mark.parametrize(("name", "feature"), [("tes", "mass_vis"), ("les", "mass_vis"), ("jes", "mass_jet_jet")])
def test_up_and_down_lie_on_opposite_sides_of_nominal(name: str, feature: str) -> None:
    columns = random_events()
    low, middle, high = (
        kinematics.reconstruct(kinematics.SHIFTS[name](columns, z, 0.01))[f"DER_{feature}"] for z in (-1.0, 0.0, 1.0)
    )
    there = middle != MISSING
    assert np.all(low[there] < middle[there])
    assert np.all(middle[there] < high[there])


@given(z=STRENGTHS, step=st.floats(1e-6, 1e-4))
@settings(max_examples=25, deadline=None)
def test_shifts_are_continuous(z: float, step: float) -> None:
    columns = random_events(50)
    for name, size in SIZES.items():
        here, there = (kinematics.SHIFTS[name](columns, value, size) for value in (z, z + step))
        for events in (here, there):
            events["PRI_met"], events["PRI_met_phi"] = kinematics.components(events["PRI_met"], events["PRI_met_phi"])
        for key in columns:
            assert np.all(np.abs(here[key] - there[key]) < 200 * step + 1e-12), (name, key)


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.03])
def test_energy_scales_follow_their_definition(alpha: float) -> None:
    columns = random_events()
    z, size = (alpha - 1) / 0.02, 0.02
    for name, objects in {"tes": ["had"], "les": ["lep"], "jes": ["jet_leading", "jet_subleading"]}.items():
        shifted = kinematics.SHIFTS[name](columns, z, size)
        x, y = kinematics.components(columns["PRI_met"], columns["PRI_met_phi"])
        for label in objects:
            pt, phi = columns[f"PRI_{label}_pt"], columns[f"PRI_{label}_phi"]
            there = pt > 0
            np.testing.assert_allclose(shifted[f"PRI_{label}_pt"], np.where(there, alpha * pt, MISSING))
            x, y = x - (alpha - 1) * pt * np.cos(phi) * there, y - (alpha - 1) * pt * np.sin(phi) * there
        np.testing.assert_allclose(shifted["PRI_met"] * np.cos(shifted["PRI_met_phi"]), x, atol=1e-9)
        np.testing.assert_allclose(shifted["PRI_met"] * np.sin(shifted["PRI_met_phi"]), y, atol=1e-9)
        scaled = alpha if name == "jes" else 1.0
        np.testing.assert_allclose(shifted["PRI_jet_all_pt"], columns["PRI_jet_all_pt"] * scaled)


def test_soft_noise_is_one_at_nominal_log_normal_and_limited() -> None:
    assert kinematics.soft_noise(0.0, 1.0) == 1.0
    noise = kinematics.soft_noise(np.array([-1.0, 0.5, 1.6, 1.7, 4.0]), 1.0)
    np.testing.assert_allclose(noise, [1 / math.e, math.sqrt(math.e), math.exp(1.6), 5.0, 5.0])
    z = np.random.default_rng(3).normal(size=20000)
    assert np.log(kinematics.soft_noise(z, 1.0)).std() == pytest.approx(1.0, abs=0.1)


def test_soft_term_moves_the_missing_momentum_along_its_own_noise() -> None:
    bare = random_events()
    columns = kinematics.add_soft_term(bare, np.random.default_rng(4))
    for z in (-2.0, 0.0, 0.7, 3.0):
        shifted = kinematics.SHIFTS["soft_met"](columns, z, 1.0)
        start = kinematics.components(bare["PRI_met"], bare["PRI_met_phi"])
        noise = min(math.exp(z), 5.0)
        expected = [old + noise * columns[soft] for old, soft in zip(start, kinematics.SOFT_TERM, strict=True)]
        found = kinematics.components(shifted["PRI_met"], shifted["PRI_met_phi"])
        np.testing.assert_allclose(found, expected, atol=1e-5)


@given(st.permutations(list(SIZES)), st.tuples(STRENGTHS, STRENGTHS, STRENGTHS, STRENGTHS))
@settings(max_examples=25, deadline=None)
def test_shifts_commute_and_compose(order: list[str], strengths: tuple[float, ...]) -> None:
    columns = random_events(60)
    changes = {name: (z, SIZES[name]) for name, z in zip(order, strengths, strict=True)}
    together = kinematics.shift(columns, changes)
    sorted_changes = {name: changes[name] for name in sorted(changes)}
    one_by_one = columns
    for name, change in changes.items():
        one_by_one = kinematics.SHIFTS[name](one_by_one, *change)
    for key, values in kinematics.shift(columns, sorted_changes).items():
        assert np.array_equal(together[key], values)
        distance = together[key] - one_by_one[key]
        distance = kinematics.wrapped(distance) if key.endswith("phi") else distance
        # The direction of a momentum of nearly zero is known less well.
        np.testing.assert_allclose(distance * (together["PRI_met"] if key == "PRI_met_phi" else 1), 0, atol=1e-8)


@given(turn=ANGLES, z=STRENGTHS)
@settings(max_examples=25, deadline=None)
def test_derived_quantities_do_not_depend_on_the_azimuth_of_the_event(turn: float, z: float) -> None:
    columns = random_events(60)
    turned = {
        key: np.where(values == MISSING, MISSING, kinematics.wrapped(values + turn)) if key.endswith("phi") else values
        for key, values in columns.items()
    }
    c, s = math.cos(turn), math.sin(turn)
    turned["soft_x"] = c * columns["soft_x"] - s * columns["soft_y"]
    turned["soft_y"] = s * columns["soft_x"] + c * columns["soft_y"]
    changes = {name: (z, size) for name, size in SIZES.items()}
    expected, found = (kinematics.reconstruct(kinematics.shift(events, changes)) for events in (columns, turned))
    for name in kinematics.DERIVED:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-6, err_msg=name)


@given(z=STRENGTHS)
@settings(max_examples=10, deadline=None)
def test_derived_quantities_do_not_know_the_two_beams_apart(z: float) -> None:
    columns = random_events(60)
    mirrored = {
        key: np.where(values == MISSING, MISSING, -values) if key.endswith("eta") else values
        for key, values in columns.items()
    }
    changes = {name: (z, size) for name, size in SIZES.items()}
    expected, found = (kinematics.reconstruct(kinematics.shift(events, changes)) for events in (columns, mirrored))
    for name in kinematics.DERIVED:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def with_jets(leading: float, subleading: float, number: int, total: float) -> kinematics.Columns:
    columns = {key: values.astype(np.float32)[:1] for key, values in random_events().items()}
    for jet, pt in zip(kinematics.JETS, (leading, subleading), strict=True):
        values = (("pt", pt), ("eta", 1.0), ("phi", 2.0))
        columns |= {f"{jet}_{field}": np.float32([value if pt > 0 else MISSING]) for field, value in values}
    return columns | {"PRI_n_jets": np.float32([number]), "PRI_jet_all_pt": np.float32([total])}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((26.001, MISSING, 1, 26.001), (26.001, MISSING, 1, 26.001)),
        ((26.0, MISSING, 1, 26.0), (MISSING, MISSING, 0, 0.0)),
        ((40.0, 25.0, 2, 65.0), (40.0, MISSING, 1, 40.0)),
        ((25.3, 22.7, 2, 48.0), (MISSING, MISSING, 0, 0.0)),
        ((90.0, 40.0, 4, 200.0), (90.0, 40.0, 4, 200.0)),
        ((90.0, 24.0, 3, 136.0), (90.0, MISSING, 2, 112.0)),  # the third jet is a number and a sum: it stays
        ((MISSING, MISSING, 0, 0.0), (MISSING, MISSING, 0, 0.0)),
    ],
)
def test_jets_at_or_below_the_threshold_are_removed(before: tuple[float, ...], after: tuple[float, ...]) -> None:
    kept = kinematics.reconstruct(with_jets(before[0], before[1], int(before[2]), before[3]))
    names = (*(f"{jet}_pt" for jet in kinematics.JETS), "PRI_n_jets", "PRI_jet_all_pt")
    np.testing.assert_allclose([kept[name][0] for name in names], after, rtol=1e-6)
    for jet, pt in zip(kinematics.JETS, after, strict=False):
        assert (kept[f"{jet}_eta"][0] == MISSING) == (kept[f"{jet}_phi"][0] == MISSING) == (pt == MISSING)
    undefined = after[1] == MISSING
    for name in ("mass_jet_jet", "deltaeta_jet_jet", "prodeta_jet_jet", "lep_eta_centrality"):
        assert (kept[f"DER_{name}"][0] == MISSING) == undefined
    lepton_and_tau = kept["PRI_lep_pt"][0] + kept["PRI_had_pt"][0]
    assert kept["DER_sum_pt"][0] == pytest.approx(lepton_and_tau + after[3], rel=1e-6)


@pytest.mark.parametrize(("z", "jets"), [(-3.0, 1), (0.0, 1), (1.5, 2)])
def test_the_jet_energy_scale_moves_jets_across_the_threshold(z: float, jets: int) -> None:
    columns = with_jets(60.0, 25.8, 2, 85.8)
    assert kinematics.reconstruct(kinematics.SHIFTS["jes"](columns, z, 0.01))["PRI_n_jets"][0] == jets


def test_rounding_is_on_request_and_before_the_threshold() -> None:
    columns = with_jets(26.0004, MISSING, 1, 26.0004)
    assert kinematics.reconstruct(columns)["PRI_n_jets"][0] == 1
    rounded = kinematics.reconstruct(columns, decimals=3)
    assert rounded["PRI_n_jets"][0] == 0
    assert rounded["PRI_had_pt"][0] == np.round(columns["PRI_had_pt"], 3)[0] != columns["PRI_had_pt"][0]


def test_equal_directions_give_finite_centralities() -> None:
    columns = with_jets(60.0, 50.0, 2, 110.0)
    columns["PRI_met_phi"] = columns["PRI_lep_phi"] = columns["PRI_had_phi"]
    derived = kinematics.derived(columns)
    assert derived["DER_met_phi_centrality"][0] == MISSING
    assert 0 <= derived["DER_lep_eta_centrality"][0] <= 1


def test_unknown_shifts_are_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no shift 'tess'; .* tes, jes, les, soft_met"):
        kinematics.shift(random_events(), {"tess": (1.0, 0.01)})


def test_a_scale_that_turns_momenta_around_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tes: 1 \+ size\*z must be positive, here size = 0.5"):
        kinematics.SHIFTS["tes"](random_events(), np.linspace(-3, 3, 400), 0.5)
