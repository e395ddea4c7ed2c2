"""The built-in simulation: lepton + hadronic tau events from H, Z, ttbar and diboson production, made in memory.

Simpler than LHC events, more realistic than a Gaussian: spectra and detector are parametrised, decays and momentum
balance are exact. Every choice of physics is marked ASSUME.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from nuisflow.datasets import kinematics
from nuisflow.datasets.kinematics import Columns

COLUMNS = (*kinematics.PRIMARY, *kinematics.SOFT_TERM, "true_mass")
DERIVED = kinematics.DERIVED
SHIFTS = kinematics.SHIFTS
LIMITS = kinematics.LIMITS
UNDEFINED = kinematics.UNDEFINED
shift, reconstruct, needed = kinematics.shift, kinematics.reconstruct, kinematics.needed

BLOCK = 1 << 15  # candidates generated at once: the arrays of a block stay in the processor's cache
FLOAT: type[np.float32] = np.float32

# ASSUME: acceptance looser than any selection of an analysis, so that events migrate in both ways when a scale changes.
LEPTON_PT, TAU_PT, ETA = 18.0, 22.0, 2.5
REACH = 0.7  # below this part of a threshold nothing passes it: five standard deviations of the measured tau
JET_PT, JET_ETA = 20.0, 4.5
# ASSUME: jets beyond the second count above 30 GeV: their momenta are not kept, so none may cross the jet threshold.
FURTHER_JET_PT = 30.0
W_MASS, TOP_MASS = 80.4, 172.5
HIGHEST_PT = 600.0  # ASSUME: of produced systems and single jets


@dataclass(frozen=True)
class Production:
    """How a process is made: spectra of the produced system, and the jets it recoils against.

    mass, width, window: Breit-Wigner in m^2 within the window; for ttbar and diboson mass is the threshold and width
    the scale of the spectrum above it. pt_scale, pt_power: dN/dpt^2 ~ (1 + (pt/scale)^2)^-power. rapidity: standard
    deviation of a normal distribution. staircase: probability of each further jet. forward: fraction of events with
    two forward jets (vector-boson fusion). ASSUME: all of them, as rough spectra of 13 TeV collisions.
    """

    generate: Callable[["Production", np.random.Generator], "Truth"]
    mass: float
    width: float
    pt_scale: float
    pt_power: float
    rapidity: float
    staircase: float
    forward: float = 0.0
    window: tuple[float, float] = (0.0, np.inf)


@dataclass(frozen=True)
class Detector:
    """Resolutions of momenta: relative, or in GeV.

    ASSUME: normal, of momenta only; directions are exact, everything inside the acceptance is found, and nothing is
    misidentified.
    """

    lepton: float = 0.015
    tau: float = 0.09
    jet_stochastic: float = 0.8  # times sqrt(pt / GeV), relative to pt in GeV
    jet_constant: float = 0.05  # relative, in quadrature
    soft: float = 9.0  # GeV per axis: of all that is in no object
    soft_term: float = 1.0  # GeV per axis: the nominal noise of the nuisance parameter soft_met


class Truth(NamedTuple):
    """Candidate events before the detector. Vectors are rows: (pt, eta, phi) or, for transverse ones, (x, y)."""

    lepton: np.ndarray  # (3, events)
    tau: np.ndarray  # (3, events), visible part
    missing: np.ndarray  # (2, events), sum of the neutrinos
    recoil: np.ndarray  # (2, events), everything that balances the produced system
    jets: np.ndarray  # (3, hard jets, events)
    mass: np.ndarray  # (events,), of the produced system


def simulate(
    process: str,
    events: int,
    generator: np.random.Generator,
    variant: str | None = None,
    detector: Detector = Detector(),
) -> Columns:
    """Return *events* accepted events of *process* as float32 columns (COLUMNS), unweighted.

    *variant*: one of VARIANTS, another model of how the process is produced.
    Reproducible from the state of *generator* alone; a longer run begins with the events of a shorter one.
    """
    if process not in PRODUCTIONS:
        raise ValueError(f"no process {process!r} in the built-in simulation; it makes {', '.join(PROCESSES)}")
    if events < 0:
        raise ValueError(f"the number of events must not be negative, here {events}")
    blocks: list[Columns] = []
    while sum(len(block["true_mass"]) for block in blocks) < max(events, 1):
        blocks.append(_block(production(process, variant), generator, detector))
    return {name: np.concatenate([block[name] for block in blocks])[:events] for name in COLUMNS}


def production(process: str, variant: str | None = None) -> Production:
    """Return how *process* is made; a *variant* scales some of the numbers."""
    chosen = PRODUCTIONS[process]
    changes = VARIANTS[variant] if variant else {}
    return replace(chosen, **{name: factor * getattr(chosen, name) for name, factor in changes.items()})


def _block(production: Production, generator: np.random.Generator, detector: Detector) -> Columns:
    """Return the accepted events of one block of candidates."""
    truth = production.generate(production, generator)
    truth = _selected(truth, _reachable(truth))
    resolution = np.array([[detector.lepton], [detector.tau]], FLOAT)
    pt = np.stack([truth.lepton[0], truth.tau[0]]) * (1 + resolution * _normal(generator, 2, truth.mass.size))
    seen = np.flatnonzero((pt[0] > LEPTON_PT) & (pt[1] > TAU_PT))
    truth, pt = _selected(truth, seen), pt[:, seen]
    truth = truth._replace(jets=np.concatenate([truth.jets, _recoil_jets(truth, production, generator)], axis=1))
    return _measured(truth, pt, generator, detector)


def _selected(truth: Truth, keep: np.ndarray) -> Truth:
    return Truth(*(np.take(field, keep, axis=-1) for field in truth))


def _reachable(truth: Truth) -> np.ndarray:
    """Return the indices of candidates that can pass the acceptance when measured."""
    hard: np.ndarray = (truth.lepton[0] > REACH * LEPTON_PT) & (truth.tau[0] > REACH * TAU_PT)
    return np.flatnonzero(hard & (np.abs(truth.lepton[1]) < ETA) & (np.abs(truth.tau[1]) < ETA))


# --- random numbers -------------------------------------------------------------------------------------------------


def _uniform(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Return numbers in (0, 1]: safe for logarithms and negative powers."""
    return 1 - generator.random(shape, dtype=FLOAT)


def _power_law(generator: np.random.Generator, power: float, highest: float, *shape: int) -> np.ndarray:
    """Return numbers x in [1, highest) with dN/dx ~ x^-(power + 1)."""
    lowest = highest**-power
    chance = FLOAT(lowest) + FLOAT(1 - lowest) * _uniform(generator, *shape)
    numbers: np.ndarray = chance ** FLOAT(-1 / power)
    return numbers


def _normal(generator: np.random.Generator, *shape: int) -> np.ndarray:
    """Return standard normal numbers (Box and Muller: with vectors of float32 faster than numpy's own)."""
    size = int(np.prod(shape))
    half = (size + 1) // 2
    radius, angle = np.sqrt(-2 * np.log(_uniform(generator, half))), _angle(generator, half)
    return np.concatenate(kinematics.components(radius, angle))[:size].reshape(shape)


def _angle(generator: np.random.Generator, *shape: int) -> np.ndarray:
    return FLOAT(np.pi) * (2 * generator.random(shape, dtype=FLOAT) - 1)


def _leptonic_quantiles(nodes: int = 4096) -> np.ndarray:
    """Return the energy fraction of the lepton of an unpolarised tau at *nodes* + 1 equidistant probabilities.

    The density is (5 - 9 x^2 + 4 x^3)/3 in the collinear limit (Tsai, Phys. Rev. D 4 (1971) 2821).
    """
    x = np.linspace(0, 1, 8 * nodes + 1)
    return np.interp(np.linspace(0, 1, nodes + 1), (5 * x - 3 * x**3 + x**4) / 3, x).astype(FLOAT)


LEPTONIC = _leptonic_quantiles()


def _leptonic_fraction(generator: np.random.Generator, events: int) -> np.ndarray:
    """Return the visible energy fraction of tau -> l nu nu. ASSUME: collinear, unpolarised."""
    position = generator.random(events, dtype=FLOAT) * FLOAT(LEPTONIC.size - 1)
    node = np.minimum(position.astype(np.intp), LEPTONIC.size - 2)
    fraction: np.ndarray = LEPTONIC[node] + (position - node.astype(FLOAT)) * (LEPTONIC[node + 1] - LEPTONIC[node])
    return fraction


def _hadronic_fraction(generator: np.random.Generator, events: int) -> np.ndarray:
    """Return the visible energy fraction of tau -> nu + (pi, rho or a1): flat above (m/m_tau)^2, in 17, 39 and 44 %.

    ASSUME: two-body decays to three resonances of no width, collinear, unpolarised.
    """
    mode = generator.random(events, dtype=FLOAT)
    lowest = FLOAT(0.006) + FLOAT(0.184) * (mode > 0.17) + FLOAT(0.31) * (mode > 0.56)
    return lowest + (1 - lowest) * generator.random(events, dtype=FLOAT)


# --- produced systems -----------------------------------------------------------------------------------------------


def _transverse_momentum(production: Production, generator: np.random.Generator) -> np.ndarray:
    """Return the pt of the produced system. ASSUME: a power law that is flat in pt^2 at the origin."""
    highest = 1 + (HIGHEST_PT / production.pt_scale) ** 2
    ratio = _power_law(generator, production.pt_power - 1, highest, BLOCK)
    pt: np.ndarray = FLOAT(production.pt_scale) * np.sqrt(ratio - 1)
    return pt


def _breit_wigner(production: Production, generator: np.random.Generator) -> np.ndarray:
    """Return masses from dN/dm^2 ~ 1/((m^2 - M^2)^2 + (M width)^2). ASSUME: no continuum, no parton luminosity."""
    scale = production.mass * production.width
    low, high = np.arctan((np.square(production.window) - production.mass**2) / scale)
    angle = FLOAT(low) + FLOAT(high - low) * generator.random(BLOCK, dtype=FLOAT)
    mass: np.ndarray = np.sqrt(FLOAT(production.mass**2) + FLOAT(scale) * np.tan(angle))
    return mass


def _above_threshold(production: Production, generator: np.random.Generator) -> np.ndarray:
    """Return masses above the threshold. ASSUME: a gamma distribution of shape 1.5, as phase space times a fall."""
    return FLOAT(production.mass) + FLOAT(production.width) * generator.standard_gamma(1.5, BLOCK, dtype=FLOAT)


def _cosine(generator: np.random.Generator, vector: bool) -> np.ndarray:
    """Return cos(theta) of a decay: flat, or 1 + cos^2 for a *vector* resonance made by unpolarised quarks.

    A quarter of 1 + cos^2 is the density 3/2 cos^2, which the outermost of three flat numbers has.
    """
    flat = 2 * generator.random(BLOCK, dtype=FLOAT) - 1
    if not vector:
        return flat
    choice = generator.random(BLOCK, dtype=FLOAT)
    outer = np.sign(flat) * np.maximum(np.abs(flat), np.sqrt(np.minimum(4 * choice, 1)))
    return np.where(choice < 0.25, outer, flat)


def _resonance(production: Production, generator: np.random.Generator) -> Truth:
    """Make H or Z -> tau tau -> lepton + hadronic tau, at first with the resonance along x and at rapidity 0.

    ASSUME: the taus are massless, their spins are not correlated, and the polar axis of the Z decay is the beam.
    """
    mass, pt = _breit_wigner(production, generator), _transverse_momentum(production, generator)
    cosine, azimuth = _cosine(generator, vector=production.width > 1), _angle(generator, BLOCK)
    sine = np.sqrt(1 - cosine**2)
    across = np.hypot(mass, pt) * sine * np.cos(azimuth)  # twice the boosted component along x, less pt
    side, along = mass * sine * np.sin(azimuth), mass * cosine
    pt1, pt2 = 0.5 * np.hypot(pt + across, side), 0.5 * np.hypot(pt - across, side)
    keep = np.flatnonzero((pt1 > REACH * LEPTON_PT) & (pt2 > REACH * TAU_PT))
    x1, x2 = _leptonic_fraction(generator, keep.size), _hadronic_fraction(generator, keep.size)
    hard = np.flatnonzero((x1 * pt1[keep] > REACH * LEPTON_PT) & (x2 * pt2[keep] > REACH * TAU_PT))
    x1, x2, keep = x1[hard], x2[hard], keep[hard]  # in steps: most candidates fail, and early
    across, side, along, mass, pt, pt1, pt2 = (a[keep] for a in (across, side, along, mass, pt, pt1, pt2))
    rapidity, turn = FLOAT(production.rapidity) * _normal(generator, keep.size), _angle(generator, keep.size)
    direction1, direction2 = np.arctan2(side, pt + across) + turn, np.arctan2(-side, pt - across) + turn
    lost1, lost2 = kinematics.components((1 - x1) * pt1, direction1), kinematics.components((1 - x2) * pt2, direction2)
    return Truth(
        lepton=np.stack([x1 * pt1, np.arcsinh(along / (2 * pt1)) + rapidity, direction1]),
        tau=np.stack([x2 * pt2, np.arcsinh(-along / (2 * pt2)) + rapidity, direction2]),
        missing=np.add(lost1, lost2),
        recoil=np.stack(kinematics.components(-pt, turn)),
        jets=np.empty((3, 0, keep.size), FLOAT),
        mass=mass,
    )


def _system(production: Production, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return four-vectors and masses of a produced system without resonance."""
    mass, pt = _above_threshold(production, generator), _transverse_momentum(production, generator)
    x, y = kinematics.components(pt, _angle(generator, BLOCK))
    rapidity = FLOAT(production.rapidity) * _normal(generator, BLOCK)
    transverse = np.hypot(mass, pt)
    return np.stack([x, y, transverse * np.sinh(rapidity), transverse * np.cosh(rapidity)]), mass


def _same(mass: float) -> np.ndarray:
    return np.full(BLOCK, mass, FLOAT)


def _w_pair(w1: np.ndarray, w2: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Decay two W bosons to the lepton, the visible tau and the sum of neutrinos, as four-vectors.

    ASSUME: isotropic W decays; 15 % of the leptons come from W -> tau nu -> l nu nu nu, the other tau is hadronic.
    """
    lepton, neutrino1 = kinematics.decayed(w1, _same(W_MASS), (0.0, 0.0), generator)
    tau, neutrino2 = kinematics.decayed(w2, _same(W_MASS), (0.0, 0.0), generator)
    through_tau = generator.random(BLOCK, dtype=FLOAT) < 0.15
    seen1 = np.where(through_tau, _leptonic_fraction(generator, BLOCK), FLOAT(1))
    seen2 = _hadronic_fraction(generator, BLOCK)
    return seen1 * lepton, seen2 * tau, neutrino1 + neutrino2 + (1 - seen1) * lepton + (1 - seen2) * tau


def _diboson(production: Production, generator: np.random.Generator) -> Truth:
    """Make W W -> l nu tau nu. ASSUME: WZ and ZZ are left out."""
    system, mass = _system(production, generator)
    w1, w2 = kinematics.decayed(system, mass, (W_MASS, W_MASS), generator)
    lepton, tau, missing = _w_pair(w1, w2, generator)
    jets = np.empty((3, 0, BLOCK), FLOAT)
    return Truth(kinematics.cylindrical(lepton), kinematics.cylindrical(tau), missing[:2], -system[:2], jets, mass)


def _ttbar(production: Production, generator: np.random.Generator) -> Truth:
    """Make t tbar -> b W b W -> b l nu b tau nu. ASSUME: isotropic top decays, b jets without neutrinos."""
    system, mass = _system(production, generator)
    top1, top2 = kinematics.decayed(system, mass, (TOP_MASS, TOP_MASS), generator)
    w1, b1 = kinematics.decayed(top1, _same(TOP_MASS), (W_MASS, 0.0), generator)
    w2, b2 = kinematics.decayed(top2, _same(TOP_MASS), (W_MASS, 0.0), generator)
    lepton, tau, missing = _w_pair(w1, w2, generator)
    jets = np.stack([kinematics.cylindrical(b1), kinematics.cylindrical(b2)], axis=1)
    return Truth(kinematics.cylindrical(lepton), kinematics.cylindrical(tau), missing[:2], -system[:2], jets, mass)


# --- jets -----------------------------------------------------------------------------------------------------------


def _recoil_jets(truth: Truth, production: Production, generator: np.random.Generator) -> np.ndarray:
    """Return (3, 4, events) jets that balance the produced system; absent ones have pt 0.

    ASSUME: further jets in a staircase (each with the same probability), with a power-law spectrum in any direction;
    the first jet takes what they and 5 GeV per axis of soft activity leave of the recoil. Directions in pseudorapidity
    spread over 1.6 units; the two jets of vector-boson fusion lie in opposite hemispheres around 2.3.
    """
    events = truth.mass.size
    chance = generator.random(events, dtype=FLOAT)
    fusion, side = chance < production.forward, np.where(chance < production.forward / 2, FLOAT(2.3), FLOAT(-2.3))
    number = np.log(_uniform(generator, events)) / FLOAT(np.log(production.staircase)) + fusion
    further = 15 * _power_law(generator, 2, HIGHEST_PT / 15, 3, events)
    further *= np.arange(1, 4, dtype=FLOAT)[:, None] <= number
    further[0] += 15 * fusion
    phi = _angle(generator, 3, events)
    x, y = kinematics.components(further, phi)
    rest = truth.recoil - np.stack([x.sum(axis=0), y.sum(axis=0)]) - 5 * _normal(generator, 2, events)
    first = np.hypot(rest[0], rest[1])
    eta = FLOAT(1.6) * (2 * generator.random((3, 4, events), dtype=FLOAT) - 1).sum(axis=0)
    eta[0] = np.where(fusion, eta[0] / 2 + side, eta[0])
    eta[1] = np.where(fusion, eta[1] / 2 - side, eta[1])
    return np.stack([np.vstack([first[None], further]), eta, np.vstack([np.arctan2(rest[1], rest[0])[None], phi])])


# --- detector -------------------------------------------------------------------------------------------------------


def _measured(truth: Truth, pt: np.ndarray, generator: np.random.Generator, detector: Detector) -> Columns:
    """Return the columns of events as the detector sees them, with *pt* the measured ones of lepton and tau.

    The missing momentum is what neutrinos take away, plus what the measured objects lack, plus the soft resolution.
    """
    true_pt, eta, phi = truth.jets
    spread = np.hypot(FLOAT(detector.jet_stochastic) * np.sqrt(true_pt), FLOAT(detector.jet_constant) * true_pt)
    jet_pt = np.maximum(true_pt + spread * _normal(generator, *true_pt.shape), 0)
    missing = truth.missing + FLOAT(detector.soft) * _normal(generator, 2, truth.mass.size)
    missing += kinematics.components(truth.lepton[0] - pt[0], truth.lepton[2])
    missing += kinematics.components(truth.tau[0] - pt[1], truth.tau[2])
    missing += np.sum(kinematics.components(true_pt - jet_pt, phi), axis=1)
    columns = {
        "PRI_had_pt": pt[1],
        "PRI_had_eta": truth.tau[1],
        "PRI_had_phi": kinematics.wrapped(truth.tau[2]),
        "PRI_lep_pt": pt[0],
        "PRI_lep_eta": truth.lepton[1],
        "PRI_lep_phi": kinematics.wrapped(truth.lepton[2]),
        "PRI_met": np.hypot(missing[0], missing[1]),
        "PRI_met_phi": np.arctan2(missing[1], missing[0]),
        "true_mass": truth.mass,
        **_jet_columns(jet_pt, eta, kinematics.wrapped(phi)),
    }
    return kinematics.add_soft_term(columns, generator, detector.soft_term)


def _jet_columns(pt: np.ndarray, eta: np.ndarray, phi: np.ndarray) -> Columns:
    """Return the columns of the two hardest jets and the sums over all; the arguments are (jets, events)."""
    pt = np.where((pt > JET_PT) & (np.abs(eta) < JET_ETA), pt, FLOAT(0))
    count = np.arange(pt.shape[1])
    number, total = np.zeros_like(pt[0]), np.zeros_like(pt[0])
    columns: Columns = {}
    for jet in kinematics.JETS:
        hardest = pt.argmax(axis=0)
        chosen = pt[hardest, count]
        found = chosen > 0
        for field, values in (("pt", pt), ("eta", eta), ("phi", phi)):
            columns[f"{jet}_{field}"] = np.where(found, values[hardest, count], FLOAT(kinematics.UNDEFINED))
        number, total = number + found, total + chosen
        pt[hardest, count] = 0
    further = pt > FURTHER_JET_PT
    columns["PRI_n_jets"] = (number + further.sum(axis=0)).astype(FLOAT)
    columns["PRI_jet_all_pt"] = total + np.where(further, pt, FLOAT(0)).sum(axis=0)
    return columns


PRODUCTIONS = {
    "htautau": Production(
        _resonance, 125.0, 0.004, pt_scale=34, pt_power=2, rapidity=1.3, staircase=0.35, forward=0.08, window=(120, 130)
    ),
    "ztautau": Production(
        _resonance, 91.19, 2.495, pt_scale=13, pt_power=1.95, rapidity=1.8, staircase=0.3, window=(60, 180)
    ),
    "ttbar": Production(_ttbar, 2 * TOP_MASS, 90.0, pt_scale=35, pt_power=2.2, rapidity=1.0, staircase=0.6),
    "diboson": Production(_diboson, 2 * W_MASS, 70.0, pt_scale=20, pt_power=2, rapidity=1.3, staircase=0.4),
}
PROCESSES = tuple(PRODUCTIONS)
# ASSUME: three caricatures of other generators, as far from nominal as generators are from each other.
VARIANTS: dict[str, dict[str, float]] = {
    "more_radiation": {"pt_scale": 1.2, "staircase": 1.15},
    "less_radiation": {"pt_scale": 0.85, "staircase": 0.85},
    "harder_tail": {"pt_power": 0.93, "rapidity": 1.1},
}
