"""The events of the ATLAS Higgs challenge: their yields, and shifts and derived quantities from plain four-vectors."""

import tempfile
from pathlib import Path

import ingesting
import numpy as np
import pandas as pd
import pytest
from analyses import changed, shipped

from nuisflow.datasets import higgsml, kinematics
from nuisflow.events import ingestion
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.slices.events import Ingestion, Origin
from nuisflow.storage import files

CONFIG = shipped("higgsml")
SWITCHES = {"kaggle_sets": higgsml.KAGGLE_SETS, "soft_term": False} | CONFIG["dataset"]
JETS = kinematics.JETS
POINTS = 10


def conversion_of(process="signal", expected=None, selection=None, **options):
    """Return the settings of ingest_events."""
    chosen = {name: value for name, value in (SWITCHES | options).items() if name in higgsml.OPTIONS}
    origin = Origin(
        kind="higgsml", tree="", process=process, seed=1, expected=expected, selection=selection, options=chosen
    )
    return Ingestion(origin=origin, sample=process, columns=(*higgsml.COLUMNS, "weight"))


def converted(path, settings):
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "s.arrow"
        ingestion.ingest([path], output, settings)
        return ingesting.whole(output)


@pytest.fixture(scope="module")
def path(data):
    """Return the file of real events."""
    found = sorted((data / "higgsml").glob("*.csv.gz"))
    if not found:
        pytest.skip(f"no *.csv.gz in {data / 'higgsml'}: set NUISFLOW_DATA to the folder with the test data")
    return found[0]


@pytest.fixture(scope="module")
def table(path):
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def columns(table):
    """Return all events in double precision, with a soft term."""
    found = {name: table[name].to_numpy(float) for name in (*higgsml.PRIMARY, *higgsml.FIXED, "EventId")}
    generator = np.random.default_rng(7)
    return found | {name: generator.normal(size=len(table)) for name in kinematics.SOFT_TERM}


# --- a second implementation: four-vectors in double precision


def vector(pt, eta, phi, mass=0.0):
    """Return rows (px, py, pz, energy)."""
    momentum = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    return np.array([*momentum, np.sqrt((momentum**2).sum(axis=0) + mass**2)])


def invariant_mass(v):
    return np.sqrt(np.maximum(v[3] ** 2 - (v[:3] ** 2).sum(axis=0), 0))


def objects(columns):
    """Return the four-vectors of all objects; the tau has its mass, jets that do not exist are 0."""
    found = {name: [columns[f"PRI_{name}_{field}"] for field in ("pt", "eta", "phi")] for name in ("tau", "lep")}
    vectors = {"tau": vector(*found["tau"], 0.8), "lep": vector(*found["lep"])}
    for number, jet in enumerate(JETS, 1):
        exists = columns["PRI_jet_num"] >= number
        vectors[jet] = vector(*(np.where(exists, columns[f"{jet}_{field}"], 0.0) for field in ("pt", "eta", "phi")))
    return vectors | {"met": vector(columns["PRI_met"], 0.0, columns["PRI_met_phi"])}


def shifted_by_hand(columns, point):
    """Return the columns at a point with factors tes, jes, les and the noise soft_met in GeV."""
    before, after = objects(columns), dict(columns)
    met = before["met"][:2].copy()
    for name, labels in (("tes", ["tau"]), ("les", ["lep"]), ("jes", JETS)):
        factor = point.get(name, 1.0)
        for label in labels:
            key = f"{label if label in JETS else 'PRI_' + label}_pt"
            after[key] = np.where(columns[key] > 0, columns[key] * factor, columns[key])
            met -= (factor - 1) * before[label][:2]
        if name == "jes":
            after["PRI_jet_all_pt"] = columns["PRI_jet_all_pt"] * factor
    noise = point.get("soft_met", 1.0) - 1.0  # 1 GeV is nominal
    met += noise * np.array([columns["soft_x"], columns["soft_y"]])
    return after | {"PRI_met": np.hypot(*met), "PRI_met_phi": np.arctan2(met[1], met[0])}


def derived_by_hand(columns):
    """Return the derived quantities from massless four-vectors."""
    vectors = objects(columns)
    tau = vector(columns["PRI_tau_pt"], columns["PRI_tau_eta"], columns["PRI_tau_phi"])
    lep, met, jet1, jet2 = vectors["lep"], vectors["met"], *(vectors[jet] for jet in JETS)
    flat = vector(columns["PRI_lep_pt"], 0.0, columns["PRI_lep_phi"])
    phi = {name: columns[f"PRI_{name}_phi"] for name in ("tau", "lep", "met")}
    turn = np.angle(np.exp(1j * (phi["tau"] - phi["lep"])))
    a = np.sin(phi["met"] - phi["lep"]) / np.sin(phi["tau"] - phi["lep"])
    b = np.sin(phi["tau"] - phi["met"]) / np.sin(phi["tau"] - phi["lep"])
    eta1, eta2 = (columns[f"{jet}_eta"] for jet in JETS)
    centre = (eta1 + eta2) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # where jets do not exist
        lepton = np.exp(-((columns["PRI_lep_eta"] - centre) ** 2) / (eta1 - centre) ** 2)
    pair = {
        "DER_mass_jet_jet": invariant_mass(jet1 + jet2),
        "DER_deltaeta_jet_jet": np.abs(eta1 - eta2),
        "DER_prodeta_jet_jet": eta1 * eta2,
        "DER_lep_eta_centrality": lepton,
    }
    return {
        "DER_mass_transverse_met_lep": invariant_mass(flat + met),
        "DER_mass_vis": invariant_mass(tau + lep),
        "DER_pt_h": np.hypot(*(tau + lep + met)[:2]),
        "DER_deltar_tau_lep": np.hypot(columns["PRI_tau_eta"] - columns["PRI_lep_eta"], turn),
        "DER_pt_tot": np.hypot(*(tau + lep + met + jet1 + jet2)[:2]),
        "DER_sum_pt": columns["PRI_tau_pt"] + columns["PRI_lep_pt"] + columns["PRI_jet_all_pt"],
        "DER_pt_ratio_lep_tau": columns["PRI_lep_pt"] / columns["PRI_tau_pt"],
        "DER_met_phi_centrality": (a + b) / np.hypot(a, b),
        **{name: np.where(columns["PRI_jet_num"] >= 2, values, -999.0) for name, values in pair.items()},
    }


def random_points(names):
    """Return true values away from nominal: factors on the energy scales, GeV of soft noise."""
    generator = np.random.default_rng(5)
    ranges = {"tes": (0.85, 1.15), "jes": (0.9, 1.1), "les": (0.95, 1.05), "soft_met": (0.2, 5.0)}
    return [{name: float(generator.uniform(*ranges[name])) for name in names} for _ in range(POINTS)]


def shifted(columns, point):
    """Return the columns at a point, by the data set's own shifts."""
    changes = {name: ((value - 1) / 0.01, 0.01) for name, value in point.items() if name != "soft_met"}
    if "soft_met" in point:
        changes["soft_met"] = (float(np.log(point["soft_met"])), 1.0)
    return higgsml.shift(columns, changes)


@pytest.mark.parametrize("names", [("tes",), ("jes",), ("les",), ("soft_met",), ("tes", "jes", "les", "soft_met")])
def test_shifts_and_derived_quantities_equal_four_vectors_by_hand(columns, names):
    some = {name: values[:2000] for name, values in columns.items()}
    for point in random_points(names):
        found, expected = shifted(some, point), shifted_by_hand(some, point)
        for name in (*higgsml.PRIMARY, *kinematics.SOFT_TERM):
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)
        found, expected = higgsml.reconstruct(found), derived_by_hand(expected)
        assert set(expected) == set(higgsml.DERIVED)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-4, err_msg=name)


def test_single_precision_is_enough(columns):
    """All events as they are stored: the difference is far below that of rounding to 1 MeV and 1 mrad."""
    point = {"tes": 1.07, "jes": 0.96, "les": 1.02, "soft_met": 2.0}
    single = higgsml.reconstruct(shifted({name: v.astype(np.float32) for name, v in columns.items()}, point))
    for name, values in higgsml.reconstruct(shifted(columns, point)).items():
        assert single[name].dtype == np.float32
        far = np.abs(single[name] - values) > 1e-3 + 1e-5 * np.abs(values)
        assert far.mean() < 2e-3, name


# --- the published events

TOLERANCES = {  # absolute, or relative for the masses of jets, which are not known; and the share of events beyond it
    "DER_mass_transverse_met_lep": (0.1, 1e-3),
    "DER_mass_vis": (0.14, 1e-3),
    "DER_pt_h": (0.07, 1e-3),
    "DER_deltaeta_jet_jet": (0.0011, 0.0),
    "DER_mass_jet_jet": (0.2, 3e-3),
    "DER_prodeta_jet_jet": (0.004, 0.0),
    "DER_deltar_tau_lep": (0.0017, 0.0),
    "DER_pt_tot": (0.18, 1e-3),
    "DER_sum_pt": (0.0011, 0.0),
    "DER_pt_ratio_lep_tau": (0.0007, 0.0),
    "DER_met_phi_centrality": (0.02, 1.1e-3),
    "DER_lep_eta_centrality": (0.01, 0.0),
}


@pytest.mark.parametrize("name", higgsml.DERIVED)
def test_recomputed_nominal_quantities_are_the_published_ones_within_their_rounding(columns, table, name):
    found, published = higgsml.reconstruct(columns)[name], table[name].to_numpy(float)
    assert np.array_equal(found == higgsml.UNDEFINED, published == higgsml.UNDEFINED)
    defined = published != higgsml.UNDEFINED
    scale = published[defined] if name == "DER_mass_jet_jet" else 1.0
    tolerance, outliers = TOLERANCES[name]
    assert (np.abs(found - published)[defined] > tolerance * scale).mean() <= outliers


def test_the_yields_are_those_of_the_excerpt(path, table):
    sums = {process: converted(path, conversion_of(process))["weight"].sum() for process in higgsml.PROCESSES}
    if len(table) == 22_889:
        assert sums == pytest.approx({"signal": 19.8334758, "background": 11424.2531926}, rel=1e-7)
    else:
        assert sums == pytest.approx({"signal": 691.99, "background": 410_999.85}, rel=1e-4)


def test_every_event_belongs_to_one_process_in_the_order_of_the_file(path, table):
    found = {process: converted(path, conversion_of(process)) for process in higgsml.PROCESSES}
    for process, label in zip(higgsml.PROCESSES, higgsml.LABELS, strict=True):
        assert tuple(found[process]) == (*higgsml.COLUMNS, "weight")
        expected = table[table["Label"] == label]
        assert found[process]["EventId"].tolist() == expected["EventId"].tolist()
        for name in (*higgsml.PRIMARY, *higgsml.FIXED):
            np.testing.assert_allclose(found[process][name], expected[name], rtol=1e-6, err_msg=name)


# --- an excerpt that is made here


@pytest.fixture
def excerpt(tmp_path):
    """Return a file of six events in the format of the challenge."""
    names = ["EventId", *higgsml.FIXED, *higgsml.DERIVED, *higgsml.PRIMARY]
    content = {name: [float(index + 1)] * 6 for index, name in enumerate(names)}
    content |= {"EventId": range(100_000, 100_006), "Weight": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]}
    content |= {"Label": list("sbsbsb"), "KaggleSet": list("ttbbvu"), "KaggleWeight": [9.0] * 6}
    pd.DataFrame(content).to_csv(tmp_path / "events.csv.gz", index=False)
    return tmp_path / "events.csv.gz"


@pytest.mark.parametrize(("sets", "weights"), [("tbvu", [1, 4, 16]), ("t", [1]), ("bv", [4, 16])])
def test_only_the_chosen_kaggle_sets_are_used(excerpt, sets, weights):
    assert converted(excerpt, conversion_of(kaggle_sets=list(sets)))["weight"].tolist() == weights


def test_weights_are_scaled_to_the_expected_events(excerpt):
    assert converted(excerpt, conversion_of(expected=42.0))["weight"].tolist() == pytest.approx([2, 8, 32])
    found = converted(excerpt, conversion_of(expected=42.0, selection="EventId > 100001"))
    assert found["weight"].tolist() == pytest.approx([2.1, 8.4, 33.6])  # the last two are the sample


def test_scaling_changes_nothing_but_weights(excerpt):
    plain, scaled = (converted(excerpt, conversion_of(expected=expected)) for expected in (None, 42.0))
    assert all(np.array_equal(plain[name], scaled[name]) for name in higgsml.COLUMNS)


def test_a_sample_without_weight_cannot_be_scaled(excerpt):
    with pytest.raises(files.FileError, match=r"events.csv.gz: the weights of the 0 events of 'signal' add"):
        converted(excerpt, conversion_of(expected=42.0, selection="EventId < 0"))


def test_the_soft_term_is_1_gev_of_noise_that_a_shift_can_scale(path):
    plain, noisy = (converted(path, conversion_of(soft_term=chosen)) for chosen in (False, True))
    moved = kinematics.components(noisy["PRI_met"], noisy["PRI_met_phi"])
    still = kinematics.components(plain["PRI_met"], plain["PRI_met_phi"])
    for axis, (x, y) in enumerate(zip(moved, still, strict=True)):
        noise = (x - y).astype(float)
        np.testing.assert_allclose(noise, noisy[kinematics.SOFT_TERM[axis]], atol=2e-3)
        assert noise.std() == pytest.approx(1, abs=0.03)
    assert np.array_equal(plain["soft_x"], noisy["soft_x"])  # common random numbers
    less = higgsml.SHIFTS["soft_met"](noisy, -20.0, 1.0)
    np.testing.assert_allclose(less["PRI_met"], plain["PRI_met"], atol=5e-3)


def test_undefined_jets_stay_undefined_at_every_scale(columns):
    found = higgsml.reconstruct(shifted(columns, {"jes": 0.8, "tes": 0.8}))
    for name in (*higgsml.PRIMARY, *higgsml.FIXED):
        assert np.array_equal(found[name] == -999, columns[name] == -999), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("features", ["DER_mass_MMC"])], "features.0: 'DER_mass_MMC' cannot be computed again where the shift 'tes' changes an event; leave it out, or remove the shifts (tes)"),
        ([("derived", {"ratio": "DER_mass_MMC / DER_mass_vis"})], "derived.ratio: 'DER_mass_MMC' cannot be computed again"),
        ([("selection", "DER_mass_MMC > 0")], "selection: 'DER_mass_MMC' cannot be computed again"),
        ([("regions.all.selection", "DER_mass_MMC > 0")], "regions.all.selection: 'DER_mass_MMC' cannot"),
        ([("variations.tes.shift", "soft_met")], "variations.tes: soft_met varies a noise that the events lack; write dataset.soft_term: true"),
        ([("samples.signal.weight", "2 * weight")], "samples.signal: 'expected' scales the published weights; remove it or 'weight'"),
        ([("samples.signal.events", 10)], "samples.signal.events: is for simulated data sets; remove it"),
        ([("samples.signal.process", "data")], "samples.signal.process: higgsml does not have 'data'"),
        ([("dataset.kaggle_sets", ["x"])], "dataset.kaggle_sets.0: Input should be 't', 'b', 'v' or 'u'"),
        ([("dataset.kaggle_set", ["t"])], "dataset.kaggle_set: unknown key; did you mean 'kaggle_sets'?"),
        ([("variations.tes.shift", "tess")], "variations.tes.shift: no shift 'tess'; did you mean 'tes'?"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_remedy(changes, message):
    with pytest.raises(ConfigurationError) as caught:
        reading.check(changed(CONFIG, *changes), "higgsml.yaml")
    assert f"higgsml.yaml: {message}" in str(caught.value)


def test_the_missing_mass_calculator_may_be_a_feature_where_nothing_is_shifted():
    nominal = [("variations", {}), ("scenarios", {}), ("published", None), ("features", ["DER_mass_MMC"])]
    trainings = {"nominal": {"strategy": "nominal"}}
    assert reading.check(changed(CONFIG, *nominal, ("trainings", trainings))).features == ("DER_mass_MMC",)


def test_the_published_setup_has_29_features_of_30():
    challenge = {*higgsml.DERIVED, *higgsml.PRIMARY, *higgsml.FIXED}
    assert len(challenge) == 30
    assert set(CONFIG["features"]) == challenge - {"DER_mass_MMC"}
