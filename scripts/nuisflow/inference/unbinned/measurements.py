"""What a fit of single events tells beyond that of any likelihood: the spread of replicas of the simulation."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nuisflow.likelihood import uncertainties


def spread(replicas: pd.DataFrame, poi: str) -> float | None:
    """Return the standard deviation of the best fits of *poi* in bootstrap replicas of the simulation; None of one."""
    values = replicas.loc[replicas["converged"], poi]
    return float(values.std(ddof=1)) if len(values) > 1 else None


def with_simulation(found: dict[str, Any], spread: float | None) -> dict[str, Any]:
    """Return what a fit *found* with the uncertainty of a finite simulation, the *spread* of replicas, in quadrature.

    The profile interval does not know it: its ends, and the coverage of pseudo-experiments, are without. Without
    replicas it is not known, which is not 0.
    """
    known = {} if spread is None else {uncertainties.MC_STATISTICS: spread}
    return found | widened(found, spread) | {"breakdown": found["breakdown"] | known}


def widened(found: Mapping[str, Any], spread: float | None) -> dict[str, float | None]:
    """Return the uncertainty of a fit *found* with that of a finite simulation, and the latter; see above."""
    if spread is None:
        return {"sigma": found["sigma"], "sigma_mcstat": None}
    return {"sigma": math.hypot(found["sigma"], spread), "sigma_mcstat": spread}
