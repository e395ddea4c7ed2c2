"""The events of the Fair Universe HiggsML Uncertainty Challenge (arXiv:2410.02867): H, Z, tt and diboson.

DOI 10.5281/zenodo.15131565: Parquet files with 16 measured (PRI_) and 12 derived (DER_) columns, weights for 10/fb at
13 TeV and the process of every event. `kinematics` has the schema, the shifts and the derived quantities, which are
computed anew. The selection of the challenge, PRI_had_pt > 26 after the shifts, belongs to the configuration.
"""

from collections.abc import Sequence

import numpy as np

from nuisflow.datasets import kinematics
from nuisflow.datasets.kinematics import Columns

PROCESSES = ("htautau", "ztautau", "ttbar", "diboson")
COLUMNS = (*kinematics.PRIMARY, *kinematics.SOFT_TERM)
DERIVED = kinematics.DERIVED
SHIFTS = kinematics.SHIFTS
UNDEFINED = kinematics.UNDEFINED
LIMITS = kinematics.LIMITS
shift = kinematics.shift
reconstruct = kinematics.reconstruct
needed = kinematics.needed

TEXT: dict[str, Sequence[str]] = {"detailed_labels": PROCESSES}
RAW = (*kinematics.PRIMARY, "weights", *TEXT)
OPTIONS = ("soft_term",)


def convert(columns: Columns, process: str, generator: np.random.Generator, soft_term: bool = False) -> Columns:
    """Return the rows of *process*, with a direction for the soft term of every event.

    With *soft_term* the missing momentum has the noise of the nominal soft term (see `kinematics.soft_noise`).
    """
    rows = np.flatnonzero(columns["detailed_labels"] == PROCESSES.index(process))
    found = marked({name: columns[name][rows].astype(np.float32) for name in kinematics.PRIMARY})
    found = kinematics.add_soft_term(found, generator, 1.0 if soft_term else 0.0)
    return {**{name: found[name] for name in COLUMNS}, "weight": columns["weights"][rows]}


def marked(columns: Columns) -> Columns:
    """Return *columns* with UNDEFINED in the fields of jets that do not exist.

    ASSUME: these are the jets without a positive transverse momentum; early versions of the data marked them with -7.
    """
    found = dict(columns)
    for jet in kinematics.JETS:
        exists = columns[f"{jet}_pt"] > 0
        for field in (f"{jet}_{part}" for part in ("pt", "eta", "phi")):
            found[field] = np.where(exists, columns[field], columns[field].dtype.type(UNDEFINED))
    return found
