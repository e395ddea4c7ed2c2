"""The built-in simulation: what was put in comes out, momenta balance, and the detector does what it says."""

import math

import numpy as np
import pytest

from nuisflow.datasets import ditau, kinematics

IDEAL = ditau.Detector(lepton=0, tau=0, jet_stochastic=0, jet_constant=0, soft=0, soft_term=0)
REAL = ditau.Detector()
EVENTS = 20_000
MISSING = kinematics.UNDEFINED


def simulated(process: str, events: int = EVENTS, seed: int = 1, detector: ditau.Detector = REAL) -> kinematics.Columns:
    return ditau.simulate(process, events, np.random.default_rng(seed), detector=detector)


@pytest.fixture(scope="module")
def samples() -> dict[str, kinematics.Columns]:
    """Reconstructed nominal events of every process after the selection of an analysis."""
    events = {process: ditau.reconstruct(simulated(process)) for process in ditau.PROCESSES}
    chosen = {p: (columns["PRI_had_pt"] > 26) & (columns["PRI_lep_pt"] > 20) for p, columns in events.items()}
    return {p: {name: values[chosen[p]] for name, values in columns.items()} for p, columns in events.items()}


def truth_of(process: str, seed: int = 2) -> ditau.Truth:
    production = ditau.PRODUCTIONS[process]
    return production.generate(production, np.random.default_rng(seed))


def transverse(vectors: np.ndarray) -> np.ndarray:
    """Return (x, y) of rows (pt, eta, phi)."""
    return np.stack(kinematics.components(vectors[0].astype(float), vectors[2].astype(float)))


def collinear_mass(columns: kinematics.Columns) -> np.ndarray:
    """Return the mass of the tau pair if all neutrinos fly along the visible parts, NaN where they cannot."""
    had, lep, met = (
        np.stack(kinematics.components(columns[pt].astype(float), columns[phi].astype(float)))
        for pt, phi in (("PRI_had_pt", "PRI_had_phi"), ("PRI_lep_pt", "PRI_lep_phi"), ("PRI_met", "PRI_met_phi"))
    )
    area = had[0] * lep[1] - had[1] * lep[0]
    along_had = (met[0] * lep[1] - met[1] * lep[0]) / area
    along_lep = (had[0] * met[1] - had[1] * met[0]) / area
    scale = (1 + along_had) * (1 + along_lep)
    open_angle = np.abs(area) > 0.1 * columns["PRI_had_pt"] * columns["PRI_lep_pt"]
    usable = open_angle & (along_had > -0.05) & (along_lep > -0.05)
    return np.where(usable, columns["DER_mass_vis"] * np.sqrt(np.abs(scale)), np.nan)


def separation(signal: np.ndarray, background: np.ndarray) -> float:
    """Return the area under the ROC curve: the chance that a signal event ranks above a background event."""
    below = np.searchsorted(np.sort(background), signal)
    return float(below.mean() / background.size)


# --- contract -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_columns_are_complete_finite_and_inside_the_acceptance(process: str) -> None:
    columns = simulated(process)
    assert tuple(columns) == ditau.COLUMNS
    for name, values in columns.items():
        assert (values.dtype, values.shape) == (np.float32, (EVENTS,)), name
        assert np.isfinite(values).all(), name
    assert columns["PRI_lep_pt"].min() > ditau.LEPTON_PT
    assert columns["PRI_had_pt"].min() > ditau.TAU_PT
    for name in ("PRI_lep_eta", "PRI_had_eta"):
        assert np.abs(columns[name]).max() < 2.5
    for name in columns:
        if name.endswith("phi"):
            angles = columns[name][columns[name] != MISSING]
            assert np.abs(angles).max() <= math.pi + 1e-6, name


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_jet_columns_are_consistent(process: str) -> None:
    columns = simulated(process)
    first, second, number = (columns[f"PRI_{n}"] for n in ("jet_leading_pt", "jet_subleading_pt", "n_jets"))
    assert np.all(first >= second)
    assert np.array_equal(first > 0, number >= 1)
    assert np.array_equal(second > 0, number >= 2)
    known = np.maximum(first, 0) + np.maximum(second, 0)
    further = columns["PRI_jet_all_pt"] - known
    assert np.all(further >= (number - np.minimum(number, 2)) * ditau.FURTHER_JET_PT - 1e-2)
    assert np.all(np.abs(further[number <= 2]) < 1e-2)
    for jet, there in zip(kinematics.JETS, (number >= 1, number >= 2), strict=True):
        assert columns[f"{jet}_pt"][there].min() > ditau.JET_PT
        assert np.abs(columns[f"{jet}_eta"][there]).max() < ditau.JET_ETA
        assert all(np.all(columns[f"{jet}_{field}"][~there] == MISSING) for field in ("pt", "eta", "phi"))


def test_the_seed_decides_the_events_and_a_longer_run_begins_with_the_shorter() -> None:
    short, again, longer = (simulated("ztautau", n, seed=7) for n in (3000, 3000, 9000))
    other = simulated("ztautau", 3000, seed=8)
    for name, values in short.items():
        assert values.tobytes() == again[name].tobytes()
        assert values.tobytes() == longer[name][:3000].tobytes()
    assert not np.array_equal(short["PRI_had_pt"], other["PRI_had_pt"])


def test_no_events_on_request_are_empty_columns() -> None:
    columns = simulated("htautau", 0)
    assert all((values.dtype, values.shape) == (np.float32, (0,)) for values in columns.values())
    assert set(ditau.reconstruct(columns)) == {*ditau.COLUMNS, *ditau.DERIVED}


def test_unknown_processes_and_negative_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no process 'higgs'.* htautau, ztautau, ttbar, diboson"):
        simulated("higgs")
    with pytest.raises(ValueError, match="must not be negative, here -1"):
        simulated("htautau", -1)


# --- what was put in comes out --------------------------------------------------------------------------------------


def test_the_higgs_boson_has_its_mass() -> None:
    mass = simulated("htautau")["true_mass"]
    assert np.median(mass) == pytest.approx(125.0, abs=0.01)
    assert np.percentile(mass, 75) - np.percentile(mass, 25) == pytest.approx(0.004, rel=0.1)


def test_the_z_boson_has_its_mass_and_width() -> None:
    mass = truth_of("ztautau").mass.astype(float)
    # The quartiles of a Breit-Wigner distribution lie half a width from its centre; hard taus favour high masses.
    assert np.percentile(mass, [25, 50, 75]) == pytest.approx([89.94, 91.19, 92.44], abs=0.35)
    assert np.percentile(mass, 75) - np.percentile(mass, 25) == pytest.approx(2.495, rel=0.1)
    assert mass.min() >= 60
    assert mass.max() <= 180


@pytest.mark.parametrize(("process", "threshold"), [("ttbar", 345.0), ("diboson", 160.8)])
def test_pairs_are_made_above_their_threshold(process: str, threshold: float) -> None:
    mass = truth_of(process).mass
    assert mass.min() > threshold - 1e-3
    excess = (mass - threshold) / ditau.PRODUCTIONS[process].width
    assert np.mean(excess) == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_the_transverse_momentum_of_the_produced_system_follows_its_spectrum(process: str) -> None:
    production = ditau.PRODUCTIONS[process]
    pt = ditau._transverse_momentum(production, np.random.default_rng(3)).astype(float)
    x = np.array([0.5, 1.0, 3.0]) * production.pt_scale
    expected = 1 - (1 + (x / production.pt_scale) ** 2) ** (1 - production.pt_power)
    assert [np.mean(pt < cut) for cut in x] == pytest.approx(expected, abs=0.01)


def test_the_lepton_of_a_tau_follows_the_decay_spectrum() -> None:
    x = np.sort(ditau._leptonic_fraction(np.random.default_rng(4), 200_000).astype(float))
    cumulative = (5 * x - 3 * x**3 + x**4) / 3
    assert np.abs(cumulative - np.arange(x.size) / x.size).max() < 1.63 / math.sqrt(x.size)  # Kolmogorov, 1 %
    assert x.mean() == pytest.approx(0.35, abs=0.003)


def test_the_hadronic_tau_keeps_the_fraction_of_its_resonance() -> None:
    x = ditau._hadronic_fraction(np.random.default_rng(5), 200_000)
    mean = sum(part * (1 + lowest) / 2 for part, lowest in ((0.17, 0.006), (0.39, 0.19), (0.44, 0.50)))
    assert x.mean() == pytest.approx(mean, abs=0.003)
    assert x.min() > 0
    assert x.max() <= 1


@pytest.mark.parametrize(("vector", "second_moment"), [(False, 1 / 3), (True, 0.4)])
def test_decay_angles(vector: bool, second_moment: float) -> None:
    generator = np.random.default_rng(6)
    cosine = np.concatenate([ditau._cosine(generator, vector) for _ in range(8)]).astype(float)
    assert np.mean(cosine**2) == pytest.approx(second_moment, abs=0.004)
    assert np.mean(cosine**4) == pytest.approx(0.2 if not vector else 9 / 35, abs=0.004)
    assert np.mean(cosine) == pytest.approx(0, abs=0.006)


def test_normal_numbers_are_normal() -> None:
    values = ditau._normal(np.random.default_rng(7), 3, 100_001).astype(float)
    assert values.shape == (3, 100_001)
    moments = [np.mean(values**power) for power in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.05)
    assert np.corrcoef(values)[0, 1:] == pytest.approx([0, 0], abs=0.015)


def test_two_body_decays_conserve_momentum_and_give_the_masses() -> None:
    production, generator = ditau.PRODUCTIONS["ttbar"], np.random.default_rng(8)
    system, mass = ditau._system(production, generator)
    top, antitop = kinematics.decayed(system, mass, (172.5, 172.5), generator)
    w, bottom = kinematics.decayed(top, np.full(ditau.BLOCK, 172.5, np.float32), (80.4, 0.0), generator)
    for vector, expected in ((system, mass), (top, 172.5), (antitop, 172.5), (w, 80.4), (bottom, 0.0)):
        square = vector[3].astype(float) ** 2 - (vector[:3].astype(float) ** 2).sum(axis=0)
        tolerance = 1e-6 * vector[3].astype(float) * system[3]  # of single precision
        assert np.all(np.abs(square - np.asarray(expected, float) ** 2) < tolerance)
    np.testing.assert_allclose(w + bottom, top, rtol=1e-3, atol=1e-2)


# --- momentum balance -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_visible_momenta_neutrinos_and_recoil_balance(process: str) -> None:
    truth = truth_of(process)
    jets = sum((transverse(truth.jets[:, index]) for index in range(truth.jets.shape[1])), np.zeros(2)[:, None])
    left = transverse(truth.lepton) + transverse(truth.tau) + truth.missing + jets + truth.recoil
    scale = np.abs(truth.recoil).max(axis=0) + truth.lepton[0] + truth.tau[0] + np.abs(jets).max(axis=0)
    assert np.all(np.abs(left) < 1e-4 * scale + 1e-3)


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_jets_and_soft_activity_make_the_recoil(process: str) -> None:
    truth = truth_of(process)
    jets = ditau._recoil_jets(truth, ditau.PRODUCTIONS[process], np.random.default_rng(9))
    soft = truth.recoil - sum(transverse(jets[:, index]) for index in range(jets.shape[1]))
    assert soft.std(axis=1) == pytest.approx([5.0, 5.0], rel=0.02)
    assert soft.mean(axis=1) == pytest.approx([0, 0], abs=0.15)


@pytest.mark.parametrize(("process", "mass"), [("htautau", 125.0), ("ztautau", 91.19)])
def test_missing_momentum_is_the_neutrinos_without_resolution(process: str, mass: float) -> None:
    """Visible momenta and missing momentum then give back the mass of every single event."""
    columns = ditau.reconstruct(simulated(process, detector=IDEAL))
    found = collinear_mass(columns)
    usable = np.isfinite(found)
    assert usable.mean() > 0.2
    assert np.median(found[usable]) == pytest.approx(mass, abs=0.3)
    np.testing.assert_allclose(found[usable], columns["true_mass"][usable], rtol=2e-3)
    assert np.all(columns["DER_mass_vis"] < columns["true_mass"] * 1.0001)


def test_collinear_masses_peak_at_the_bosons_with_resolution(samples: dict[str, kinematics.Columns]) -> None:
    medians, spreads = {}, {}
    for process in ("htautau", "ztautau"):
        mass = collinear_mass(samples[process])[samples[process]["DER_pt_h"] > 60]  # not back to back
        low, medians[process], high = np.nanpercentile(mass, [16, 50, 84])
        spreads[process] = (high - low) / 2
    assert medians["htautau"] == pytest.approx(125, rel=0.08)
    assert medians["ztautau"] == pytest.approx(91.2, rel=0.08)
    assert 5 < spreads["ztautau"] < 35


def test_the_total_momentum_is_small_where_all_jets_are_seen(samples: dict[str, kinematics.Columns]) -> None:
    """Two jets and the soft term balance a ttbar event far better than leaving the jets out."""
    columns = samples["ttbar"]
    two = columns["PRI_n_jets"] == 2
    assert np.median(columns["DER_pt_tot"][two]) < 0.4 * np.median(columns["DER_pt_h"][two])
    ideal = ditau.reconstruct(simulated("ztautau", detector=IDEAL))
    hard = (ideal["PRI_n_jets"] == 1) & (ideal["PRI_jet_leading_pt"] > 80)
    assert np.median(ideal["DER_pt_tot"][hard]) < 0.15 * np.median(ideal["DER_pt_h"][hard])


@pytest.mark.parametrize(("part", "width"), [("lepton", 0.015), ("tau", 0.09)])
def test_resolutions_are_those_of_the_detector(part: str, width: float) -> None:
    """With one resolution only, what the missing momentum misses of the truth is that object's error."""
    production, generator = ditau.PRODUCTIONS["diboson"], np.random.default_rng(10)
    truth = ditau._selected(production.generate(production, generator), np.arange(20_000))
    measured = getattr(truth, part)[0] * (1 + np.float32(width) * ditau._normal(generator, 20_000))
    pts = {"lepton": truth.lepton[0], "tau": truth.tau[0]} | {part: measured}
    truth = truth._replace(jets=ditau._recoil_jets(truth, production, generator))
    columns = ditau._measured(truth, np.stack(list(pts.values())), generator, IDEAL)
    found = np.stack(kinematics.components(columns["PRI_met"], columns["PRI_met_phi"]))
    error = np.hypot(*(found - truth.missing)) / getattr(truth, part)[0]
    assert np.sqrt(np.mean(error.astype(float) ** 2)) == pytest.approx(width, rel=0.03)


def test_the_soft_term_of_the_nominal_events_is_one_gev() -> None:
    columns, still = (simulated("htautau", detector=ditau.Detector(**noise)) for noise in ({}, {"soft_term": 0.0}))
    moved = np.subtract(*(np.stack(kinematics.components(c["PRI_met"], c["PRI_met_phi"])) for c in (columns, still)))
    np.testing.assert_allclose(moved, [columns["soft_x"], columns["soft_y"]], atol=1e-3)
    assert columns["soft_x"].std() == pytest.approx(1, abs=0.02)


# --- shapes of the processes ----------------------------------------------------------------------------------------


def test_event_shapes_are_those_of_the_processes(samples: dict[str, kinematics.Columns]) -> None:
    jets = {process: columns["PRI_n_jets"] for process, columns in samples.items()}
    assert np.mean(jets["ttbar"] >= 2) > 0.85
    assert 0.5 < np.mean(jets["ztautau"] == 0) < 0.75
    assert np.mean(jets["htautau"] == 0) < np.mean(jets["ztautau"] == 0)
    met = {process: np.median(columns["PRI_met"]) for process, columns in samples.items()}
    assert met["ztautau"] < met["htautau"] < met["diboson"] < met["ttbar"]
    # W bosons: the transverse mass of lepton and neutrino piles up near 80 GeV; taus of a resonance have none.
    mt = {process: np.median(columns["DER_mass_transverse_met_lep"]) for process, columns in samples.items()}
    assert mt["ztautau"] < 20
    assert mt["diboson"] > 60
    # The neutrinos of a resonance lie between the visible parts.
    assert np.median(samples["htautau"]["DER_met_phi_centrality"]) > 1.2
    assert np.median(samples["diboson"]["DER_met_phi_centrality"]) < 0


def test_vector_boson_fusion_makes_two_jets_far_apart(samples: dict[str, kinematics.Columns]) -> None:
    far = {p: (c["DER_mass_jet_jet"] > 400) & (c["DER_deltaeta_jet_jet"] > 3) for p, c in samples.items()}
    assert 0.02 < far["htautau"].mean() < 0.12
    assert far["htautau"].mean() > 4 * far["ztautau"].mean()
    product = samples["htautau"]["DER_prodeta_jet_jet"][far["htautau"]]
    assert np.mean(product < 0) > 0.9


def test_the_visible_mass_separates_the_higgs_from_the_z_boson_somewhat(samples: dict[str, kinematics.Columns]) -> None:
    masses = {process: columns["DER_mass_vis"] for process, columns in samples.items()}
    assert 0.70 < separation(masses["htautau"], masses["ztautau"]) < 0.82


def test_the_two_beams_are_equal(samples: dict[str, kinematics.Columns]) -> None:
    for process, columns in samples.items():
        there = columns["PRI_n_jets"] >= 2
        for name in ("PRI_lep_eta", "PRI_had_eta", "PRI_jet_leading_eta", "PRI_jet_subleading_eta"):
            eta = columns[name][there if "jet" in name else slice(None)].astype(float)
            for power in (1, 3):
                moment = eta**power
                assert abs(moment.mean()) < 4 * moment.std() / math.sqrt(eta.size), (process, name)


def test_boosted_trees_separate_the_higgs_from_the_z_boson_but_not_perfectly(
    samples: dict[str, kinematics.Columns],
) -> None:
    import xgboost

    names = [name for name in samples["htautau"] if name.startswith(("PRI_", "DER_"))]
    tables = {p: np.stack([samples[p][name] for name in names], axis=1)[:12_000] for p in ("htautau", "ztautau")}
    inputs = np.concatenate([table[:6000] for table in tables.values()])
    labels = np.repeat([1, 0], 6000)
    settings = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.2, "nthread": 1, "seed": 1}
    trees = xgboost.train(settings, xgboost.DMatrix(inputs, labels), 60)
    scores = {process: trees.predict(xgboost.DMatrix(table[6000:])) for process, table in tables.items()}
    assert 0.82 < separation(scores["htautau"], scores["ztautau"]) < 0.93


# --- shifts on simulated events -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ditau.SHIFTS)
def test_every_shift_acts_on_every_process(name: str) -> None:
    for process in ditau.PROCESSES:
        columns = simulated(process, 2000)
        before, up, down = (ditau.reconstruct(ditau.shift(columns, {name: (z, 0.05)})) for z in (0.0, 1.0, -1.0))
        assert all(np.isfinite(values).all() for events in (up, down) for values in events.values())
        met = before["PRI_met"]
        assert np.mean(up["PRI_met"] != met) > (0.2 if name == "jes" else 0.99)
        assert np.mean(down["PRI_met"] != up["PRI_met"]) > (0.2 if name == "jes" else 0.99)


def test_events_and_jets_migrate_across_the_thresholds_both_ways() -> None:
    columns = simulated("ztautau")
    for name, passes in (
        ("tes", lambda events: events["PRI_had_pt"] > 26),
        ("les", lambda events: events["PRI_lep_pt"] > 20),
        ("jes", lambda events: events["PRI_n_jets"] >= 1),
    ):
        events = (ditau.reconstruct(ditau.shift(columns, {name: (z, 0.03)})) for z in (0.0, 1.0, -1.0))
        nominal, up, down = map(passes, events)
        assert np.sum(up & ~nominal) > 20, name
        assert np.sum(nominal & ~down) > 20, name
        assert up.sum() > nominal.sum() > down.sum()


@pytest.mark.parametrize("process", ditau.PROCESSES)
def test_no_third_jet_can_cross_the_threshold(process: str) -> None:
    """Counting such jets above 30 GeV makes the number of jets exact for scales down to 0.87."""
    columns = simulated(process)
    low = ditau.reconstruct(ditau.shift(columns, {"jes": (-1.0, 0.1)}))
    assert np.all((low["PRI_n_jets"] < 2) | (low["PRI_jet_subleading_pt"] > 26))
