"""The events of the ATLAS Higgs challenge of 2014: H -> tau tau and its backgrounds in full simulation.

CERN Open Data record 328, DOI 10.7483/OPENDATA.ATLAS.ZBP2.M5T8: 818,238 events with 35 columns, momenta in GeV, angles
in radians, -999 where a quantity is undefined. The weights of all events add up to 691.99 signal and 410,999.85
background events, for 20.3/fb at 8 TeV. What a calibration changes is computed by `kinematics`, whose names differ.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

import numpy as np

from nuisflow.datasets import kinematics
from nuisflow.datasets.kinematics import Columns, Values

UNDEFINED = -999.0
PROCESSES = ("signal", "background")
LABELS = ("s", "b")
"""The labels of PROCESSES."""
KAGGLE_SETS = ("t", "b", "v", "u")
"""Training, public and private leader board, unused."""


def _other_name(name: str) -> str:
    """Return what the challenge of 2014 calls a column of `kinematics`."""
    return "PRI_jet_num" if name == "PRI_n_jets" else name.replace("_had", "_tau")


NAMES = {name: _other_name(name) for name in (*kinematics.PRIMARY, *kinematics.SOFT_TERM, *kinematics.DERIVED)}
"""Column of `kinematics`: column here."""

# ASSUME: the sum of all transverse energy, PRI_met_sumet, stays: no definition of a shift says how it changes.
PRIMARY = (*(NAMES[name] for name in kinematics.PRIMARY), "PRI_met_sumet")
FIXED = ("DER_mass_MMC",)
"""Derived columns that cannot be computed again: it took a likelihood of the simulated detector."""
COLUMNS = ("EventId", *PRIMARY, *FIXED, *kinematics.SOFT_TERM)
DERIVED = tuple(NAMES[name] for name in kinematics.DERIVED)

TEXT: dict[str, Sequence[str]] = {"Label": LABELS, "KaggleSet": KAGGLE_SETS}
RAW = ("EventId", *PRIMARY, *FIXED, "Weight", *TEXT)
OPTIONS = ("kaggle_sets", "soft_term")


def convert(
    columns: Columns,
    process: str,
    generator: np.random.Generator,
    kaggle_sets: Sequence[str] = KAGGLE_SETS,
    soft_term: bool = False,
) -> Columns:
    """Return the rows of *process* in the *kaggle_sets*, with a direction for the soft term of every event.

    With *soft_term* the missing momentum has the noise of the nominal soft term (see `kinematics.soft_noise`).
    """
    chosen = np.isin(columns["KaggleSet"], [KAGGLE_SETS.index(name) for name in kaggle_sets])
    rows = np.flatnonzero(chosen & (columns["Label"] == PROCESSES.index(process)))
    found = {name: columns[name][rows].astype(np.float32) for name in ("EventId", *PRIMARY, *FIXED)}
    found = kinematics.add_soft_term(found, generator, 1.0 if soft_term else 0.0)
    return {**{name: found[name] for name in COLUMNS}, "weight": columns["Weight"][rows]}


def shift(columns: Columns, changes: Mapping[str, tuple[Values, float]]) -> Columns:
    """Return *columns* after the named calibration changes, each given as (z, size): see `kinematics.shift`."""
    shifted = kinematics.shift(_view(columns), changes)
    return {NAMES.get(name, name): values for name, values in shifted.items()}


def needed(wanted: Collection[str], shifts: Collection[str]) -> set[str]:
    """Return the raw columns of which `shift`, by *shifts*, and `reconstruct` make the columns *wanted*."""
    return {NAMES[name] for name in kinematics.needed({ours for ours, name in NAMES.items() if name in wanted}, shifts)}


def reconstruct(columns: Columns, wanted: Collection[str] | None = None) -> Columns:
    """Return *columns* with the derived quantities computed anew, but for those of FIXED and what is not *wanted*.

    ASSUME: jets stay, whatever their momentum: the published events have none below 30 GeV, so that those which would
    rise above it are not known. ASSUME: tau and jets count as massless, as in HiggsML 0.1.5. The published values, made
    with their masses, are larger: DER_mass_vis by 0.02 GeV on average, DER_mass_jet_jet by 1.6 %.
    """
    ours = None if wanted is None else {name for name, theirs in NAMES.items() if theirs in wanted}
    found = kinematics.derived(_view(columns), ours, UNDEFINED)
    return {**columns, **{NAMES[name]: values for name, values in found.items()}}


def _view(columns: Columns) -> Columns:
    """Return *columns* under the names of `kinematics`; nothing is copied."""
    ours = {theirs: name for name, theirs in NAMES.items()}
    return {ours.get(name, name): values for name, values in columns.items()}


def _single(name: str, columns: Columns, z: Values, size: float) -> Columns:
    return shift(columns, {name: (z, size)})


SHIFTS: dict[str, Callable[[Columns, Values, float], Columns]] = {
    name: partial(_single, name) for name in kinematics.SHIFTS
}
