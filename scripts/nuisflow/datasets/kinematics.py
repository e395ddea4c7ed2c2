"""Lepton + hadronic tau + jets + missing momentum, in columns: calibration shifts, reconstruction, derived quantities.

The schema is the one of the Fair Universe HiggsML Uncertainty Challenge (arXiv:2410.02867): momenta in GeV, angles in
radians, -25 where a quantity is undefined. Tau, lepton and jets count as massless in every derived quantity.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial

import numpy as np

Columns = dict[str, np.ndarray]
Values = float | np.ndarray

UNDEFINED = -25.0
JET_THRESHOLD = 26.0  # GeV; a jet at or below it does not exist
SOFT_NOISE_LIMIT = 5.0  # GeV
LIMITS = {"tes": 0.1, "jes": 0.1}  # greatest change of a scale in pseudo-experiments (arXiv:2410.02867)

JETS = ("PRI_jet_leading", "PRI_jet_subleading")
PRIMARY = (
    *("PRI_had_pt", "PRI_had_eta", "PRI_had_phi", "PRI_lep_pt", "PRI_lep_eta", "PRI_lep_phi", "PRI_met", "PRI_met_phi"),
    "PRI_n_jets",
    *(f"{jet}_{field}" for jet in JETS for field in ("pt", "eta", "phi")),
    "PRI_jet_all_pt",
)
TAU, LEPTON = PRIMARY[:3], PRIMARY[3:6]
MISSING = ("PRI_met", "PRI_met_phi")
JET_COLUMNS = PRIMARY[8:]
JET_ETA = tuple(f"{jet}_eta" for jet in JETS)  # which moves nothing: only what is made of it needs it
SOFT_TERM = ("soft_x", "soft_y")  # unit normal numbers: the direction in which the soft term of an event moves
DERIVED = (
    *("DER_mass_transverse_met_lep", "DER_mass_vis", "DER_pt_h", "DER_deltaeta_jet_jet", "DER_mass_jet_jet"),
    *("DER_prodeta_jet_jet", "DER_deltar_had_lep", "DER_pt_tot", "DER_sum_pt", "DER_pt_ratio_lep_had"),
    *("DER_met_phi_centrality", "DER_lep_eta_centrality"),
)

# --- angles and vectors ---------------------------------------------------------------------------------------------


def components(pt: np.ndarray, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the x and y components of transverse vectors."""
    return pt * np.cos(phi), pt * np.sin(phi)


def wrapped(angle: np.ndarray) -> np.ndarray:
    """Return *angle* moved by full turns into [-pi, pi]."""
    turns: np.ndarray = np.rint(angle * (0.5 / np.pi))
    return angle - turns * (2 * np.pi)


def pair_mass(pt_product: np.ndarray, delta_phi: np.ndarray, delta_eta: np.ndarray | None = None) -> np.ndarray:
    """Return the invariant mass of two massless particles, without *delta_eta* their transverse mass.

    The half-angle form of m^2 = 2 pt1 pt2 (cosh delta_eta - cos delta_phi) keeps its precision in float32, also for
    collinear particles.
    """
    opening: np.ndarray = np.sin(0.5 * delta_phi) ** 2
    if delta_eta is not None:
        opening += _half_sinh_squared(delta_eta)
    mass: np.ndarray = 2 * np.sqrt(pt_product * opening)
    return mass


def _half_sinh_squared(x: np.ndarray) -> np.ndarray:
    """Return sinh(x/2)^2 as e^|x| (t / (1 + t))^2, t = tanh |x/2|, with full relative precision.

    NumPy computes tanh and exp many at once on every processor, sinh on few.
    """
    x = np.abs(x)
    squared: np.ndarray = np.tanh(0.5 * x)
    squared /= 1 + squared
    squared *= squared
    squared *= np.exp(x)
    return squared


def cylindrical(vector: np.ndarray) -> np.ndarray:
    """Return rows (pt, eta, phi) of the rows (px, py, pz, ...)."""
    pt = np.hypot(vector[0], vector[1])
    floor = vector.dtype.type(1e-6)
    return np.stack([pt, np.arcsinh(vector[2] / np.maximum(pt, floor)), np.arctan2(vector[1], vector[0])])


def decayed(
    parent: np.ndarray, mass: np.ndarray, masses: tuple[float, float], generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the four-vectors of an isotropic two-body decay of *parent* into the two *masses*.

    Four-vectors are float32 rows (px, py, pz, energy) with one column per event; *mass* is that of the parent.
    """
    energy = (mass**2 + np.float32(masses[0] ** 2 - masses[1] ** 2)) / (2 * mass)
    momentum = np.sqrt(np.maximum(energy**2 - np.float32(masses[0] ** 2), 0))
    cosine, turn = 2 * generator.random((2, mass.size), dtype=np.float32) - 1
    x, y = components(momentum * np.sqrt(1 - cosine**2), np.float32(np.pi) * turn)
    z = momentum * cosine
    along = (parent[0] * x + parent[1] * y + parent[2] * z) / mass
    push = energy / mass + along / (parent[3] + mass)
    daughter = np.stack([x, y, z, along + energy * parent[3] / mass])
    daughter[:3] += push * parent[:3]
    return daughter, parent - daughter


# --- shifts ---------------------------------------------------------------------------------------------------------


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]]) -> Columns:
    """Return *columns* after the named calibration changes, each given as (z, size), all at the same time.

    The momenta are scaled by 1 + size z (tes: hadronic tau, jes: jets, les: lepton), and what this adds to them is
    taken off the missing momentum. soft_met sets the noise of the soft term, see `soft_noise`. Every change is computed
    from the original columns, so that neither the order of *changes* nor their number matters. *z* is a number or one
    number per event, in units of the prior standard deviation. Events at z = 0 come back bit for bit. Derived columns
    are not touched: call `reconstruct` afterwards. *columns* may lack what is not `needed`.
    """
    unknown = sorted(set(changes) - set(SHIFTS))
    if unknown:
        raise ValueError(f"no shift {unknown[0]!r}; the shifts of this data set are {', '.join(SHIFTS)}")
    shifted = dict(columns)
    gained: list[tuple[np.ndarray, np.ndarray]] = []
    for name in (name for name in SHIFTS if name in changes):  # fixed order: sums of floats depend on it
        z, size = changes[name]
        if np.any(z):
            added = {} if name == "soft_met" else _scale(shifted, columns, name, z, size)
            if "PRI_met" in columns:
                gained.append(_soft_term(columns, z, size) if name == "soft_met" else _recoil(columns, added))
    if gained:
        x = np.sum([x for x, _ in gained], axis=0)
        y = np.sum([y for _, y in gained], axis=0)
        shifted["PRI_met"], shifted["PRI_met_phi"] = _moved(columns["PRI_met"], columns["PRI_met_phi"], x, y)
    return shifted


def soft_noise(z: Values, size: float) -> Values:
    """Return the standard deviation of the soft term in GeV, per axis: exp(size z), at most 5 GeV.

    With size 1 and a standard normal z this is the LogNormal(0, 1) prior of arXiv:2410.02867.
    """
    noise: Values = np.minimum(np.exp(size * np.asarray(z)), SOFT_NOISE_LIMIT)
    return noise


def add_soft_term(columns: Columns, generator: np.random.Generator, noise: float = 1.0) -> Columns:
    """Return *columns* with soft_x and soft_y drawn and the missing momentum smeared by *noise* GeV per axis.

    The default is the noise at z = 0, see `soft_noise`.
    """
    events = len(columns["PRI_met"])
    soft = {name: generator.standard_normal(events, dtype=np.float32) for name in SOFT_TERM}
    x, y = (np.asarray(noise, np.float32) * soft[name] for name in SOFT_TERM)
    met, phi = _moved(columns["PRI_met"], columns["PRI_met_phi"], x, y)
    return {**columns, "PRI_met": met, "PRI_met_phi": phi, **soft}


def _scale(shifted: Columns, columns: Columns, name: str, z: Values, size: float) -> Columns:
    """Scale the objects of one calibration in *shifted*; return what this adds to the momentum of each."""
    if np.any(1 + size * np.asarray(z) <= 0):
        raise ValueError(f"{name}: 1 + size*z must be positive, here size = {size} and the lowest z = {np.min(z)}")
    added: Columns = {}
    for label in (label for label in SCALED_OBJECTS[name] if f"{label}_pt" in columns):
        pt = columns[f"{label}_pt"]
        added[label] = np.fmax(pt, pt.dtype.type(0)) * np.asarray(size * np.asarray(z), pt.dtype)
        shifted[f"{label}_pt"] = pt + added[label]
    if name == "jes" and added:
        # Jets beyond the second are known by the sum of their momenta only: they cannot enter the missing momentum.
        total = columns["PRI_jet_all_pt"]
        shifted["PRI_jet_all_pt"] = total * np.asarray(1 + size * np.asarray(z), total.dtype)
    return added


def _recoil(columns: Columns, added: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return what the momenta *added* to objects add to the missing momentum."""
    x: np.ndarray = np.zeros_like(columns["PRI_met"])
    y = x.copy()
    for label, momentum in added.items():
        along_x, along_y = components(momentum, columns[f"{label}_phi"])
        x, y = x - along_x, y - along_y
    return x, y


def _soft_term(columns: Columns, z: Values, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return what the noise at *z* adds to the missing momentum; the nominal noise is in the columns already."""
    added = np.asarray(soft_noise(z, size) - soft_noise(0.0, size), columns["PRI_met"].dtype)
    return added * columns["soft_x"], added * columns["soft_y"]


def _moved(met: np.ndarray, phi: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return size and direction of the missing momentum after adding (x, y); untouched where that is exactly zero."""
    met_x, met_y = components(met, phi)
    met_x, met_y = met_x + x, met_y + y
    still = (x == 0) & (y == 0)
    return np.where(still, met, np.hypot(met_x, met_y)), np.where(still, phi, np.arctan2(met_y, met_x))


def _single(name: str, columns: Columns, z: Values, size: float) -> Columns:
    return shift(columns, {name: (z, size)})


SCALED_OBJECTS = {"tes": ("PRI_had",), "jes": JETS, "les": ("PRI_lep",)}
SHIFTS: dict[str, Callable[[Columns, Values, float], Columns]] = {
    name: partial(_single, name) for name in (*SCALED_OBJECTS, "soft_met")
}

# --- reconstruction -------------------------------------------------------------------------------------------------


def reconstruct(columns: Columns, wanted: Collection[str] | None = None, decimals: int | None = None) -> Columns:
    """Return *columns* with the jets that fell to the threshold removed and all derived quantities computed.

    Those that are not *wanted* (None: all are) may be missing, and so may columns that are not `needed` for them.
    *decimals* rounds the primary columns first, as the published events are (3); by default nothing is rounded, so that
    derived quantities are continuous in the size of a shift.
    """
    kept = dict(columns)
    if decimals is not None:
        kept.update({name: np.round(columns[name], decimals) for name in PRIMARY})
    if "PRI_n_jets" in kept:
        _drop_jets(kept)
    return {**kept, **derived(kept, wanted)}


def needed(wanted: Collection[str], shifts: Collection[str]) -> set[str]:
    """Return the raw columns of which `shift`, by *shifts*, and `reconstruct` make the columns *wanted*."""
    used = set(wanted).union(*(_USED[part] for names, part in _PARTS.items() if not set(names).isdisjoint(wanted)))
    if not used.isdisjoint(MISSING):  # which balances all objects
        found = {*PRIMARY, *(SOFT_TERM if "soft_met" in shifts else ())}
    else:
        found = set[str]().union(*(group for group in (TAU, LEPTON, JET_COLUMNS) if not used.isdisjoint(group)))
    return found - ({*JET_ETA} - used)


def _drop_jets(columns: Columns) -> None:
    """Remove the leading or second jet at or below the threshold: replace arrays in *columns*, never their values.

    As in HiggsML 0.1.5, no other jet moves up: jets are ordered, so none falls below before the next one does, and
    jets beyond the second are known by number and by the sum of their momenta only.
    """
    for jet in reversed(JETS):
        pt = columns[f"{jet}_pt"]
        lost = np.flatnonzero((pt > 0) & (pt <= JET_THRESHOLD))
        if not lost.size:
            continue
        number, total = columns["PRI_n_jets"].copy(), columns["PRI_jet_all_pt"]
        number[lost] -= 1
        total = total.astype(np.result_type(total, pt))
        total[lost] = np.where(number[lost] == 0, pt.dtype.type(0), total[lost] - pt[lost])
        columns.update({"PRI_n_jets": number, "PRI_jet_all_pt": total})
        for field in (f"{jet}_{name}" for name in ("pt", "eta", "phi") if f"{jet}_{name}" in columns):
            column = columns[field] = columns[field].copy()
            column[lost] = UNDEFINED


def derived(columns: Columns, wanted: Collection[str] | None = None, undefined: float = UNDEFINED) -> Columns:
    """Return the derived quantities (DERIVED) of the primary columns, as defined in arXiv:2410.02867.

    Those that are not *wanted* (None: all are) may be missing. Where one does not exist it is *undefined*; a jet exists
    where its transverse momentum is positive.
    """
    result: Columns = {}
    for names, part in _PARTS.items():
        if wanted is None or not set(names).isdisjoint(wanted):
            result |= dict(zip(names, part(columns, undefined), strict=True))
    return {name: result[name] for name in DERIVED if name in result}


def _of_mass(columns: Columns, _: float) -> tuple[np.ndarray, ...]:
    """Return the visible mass of lepton and tau."""
    apart_eta, apart_phi = _apart(columns)
    return (pair_mass(columns["PRI_lep_pt"] * columns["PRI_had_pt"], apart_phi, apart_eta),)


def _of_visible(columns: Columns, _: float) -> tuple[np.ndarray, ...]:
    """Return the distance and the ratio of momenta of lepton and tau."""
    return np.hypot(*_apart(columns)), columns["PRI_lep_pt"] / columns["PRI_had_pt"]


def _apart(columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances of lepton and tau in pseudorapidity and azimuth."""
    apart_phi = wrapped(columns["PRI_had_phi"] - columns["PRI_lep_phi"])
    return columns["PRI_had_eta"] - columns["PRI_lep_eta"], apart_phi


def _of_missing(columns: Columns, undefined: float) -> tuple[np.ndarray, ...]:
    """Return the transverse mass of missing momentum and lepton, and where the missing momentum points."""
    had_phi, lep_phi, met_phi = columns["PRI_had_phi"], columns["PRI_lep_phi"], columns["PRI_met_phi"]
    centrality = _met_centrality(met_phi - lep_phi, wrapped(had_phi - lep_phi), had_phi - met_phi, undefined)
    return pair_mass(columns["PRI_lep_pt"] * columns["PRI_met"], met_phi - lep_phi), centrality


def _of_sums(columns: Columns, _: float) -> tuple[np.ndarray, ...]:
    """Return the momentum of lepton, tau and missing momentum, with the jets too, and the scalar sum of momenta."""
    x, y = components(columns["PRI_had_pt"], columns["PRI_had_phi"])
    for pt, phi in (("PRI_lep_pt", "PRI_lep_phi"), ("PRI_met", "PRI_met_phi")):
        along_x, along_y = components(columns[pt], columns[phi])
        x, y = x + along_x, y + along_y
    jets = [_jet_components(columns, jet) for jet in JETS]
    total = np.hypot(x + jets[0][0] + jets[1][0], y + jets[0][1] + jets[1][1])
    return np.hypot(x, y), total, columns["PRI_lep_pt"] + columns["PRI_had_pt"] + columns["PRI_jet_all_pt"]


def _jet_components(columns: Columns, jet: str) -> tuple[np.ndarray, np.ndarray]:
    pt = columns[f"{jet}_pt"]
    return components(np.maximum(pt, pt.dtype.type(0)), columns[f"{jet}_phi"])


def _met_centrality(from_lepton: np.ndarray, between: np.ndarray, to_tau: np.ndarray, undefined: float) -> np.ndarray:
    """Return where the missing momentum points: sqrt(2) midway between lepton and tau, 1 along one, less outside.

    (A + B)/sqrt(A^2 + B^2) with A = sin(met - lepton)/sin(tau - lepton), B = sin(tau - met)/sin(tau - lepton). Only the
    sign of the common denominator matters.
    """
    a, b = np.sin(from_lepton), np.sin(to_tau)
    norm = np.hypot(a, b)
    ratio = np.divide(a + b, norm, out=np.full_like(norm, undefined), where=norm > 0)
    centrality: np.ndarray = np.where((np.sin(between) < 0) & (norm > 0), -ratio, ratio)
    return centrality


def _of_jet_pair(columns: Columns, undefined: float) -> tuple[np.ndarray, ...]:
    """Return the derived quantities of the two leading jets, computed where both exist."""
    both = np.flatnonzero(columns["PRI_jet_subleading_pt"] > 0)
    fields = (f"{jet}_{field}" for jet in JETS for field in ("pt", "eta", "phi"))
    pt1, eta1, phi1, pt2, eta2, phi2 = (columns[field][both] for field in fields)
    apart = np.abs(eta1 - eta2)
    # 1e-2 stands in for equal pseudorapidities, as in HiggsML 0.1.5 (whose 1e-4 is added to the square).
    reach = 0.5 * np.where(apart == 0, apart.dtype.type(1e-2), apart)
    centrality = np.exp(-(((columns["PRI_lep_eta"][both] - 0.5 * (eta1 + eta2)) / reach) ** 2))
    results = []
    for value in (pair_mass(pt1 * pt2, phi1 - phi2, apart), apart, eta1 * eta2, centrality):
        result = np.full_like(columns["PRI_lep_eta"], undefined)
        result[both] = value
        results.append(result)
    return tuple(results)


_PARTS: dict[tuple[str, ...], Callable[[Columns, float], tuple[np.ndarray, ...]]] = {
    ("DER_mass_vis",): _of_mass,
    ("DER_deltar_had_lep", "DER_pt_ratio_lep_had"): _of_visible,
    ("DER_mass_transverse_met_lep", "DER_met_phi_centrality"): _of_missing,
    ("DER_pt_h", "DER_pt_tot", "DER_sum_pt"): _of_sums,
    ("DER_mass_jet_jet", "DER_deltaeta_jet_jet", "DER_prodeta_jet_jet", "DER_lep_eta_centrality"): _of_jet_pair,
}
_USED: dict[Callable[[Columns, float], tuple[np.ndarray, ...]], tuple[str, ...]] = {
    _of_mass: (*TAU, *LEPTON),
    _of_visible: (*TAU, *LEPTON),
    _of_missing: (*TAU, *LEPTON, *MISSING),
    _of_sums: (*TAU, *LEPTON, *MISSING, *(name for name in JET_COLUMNS if name not in JET_ETA)),
    _of_jet_pair: (*LEPTON, *JET_COLUMNS),
}
"""What the functions of `_PARTS` use."""
