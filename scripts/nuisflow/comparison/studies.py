"""Uncertainty and coverage against the number of events, and the power laws that describe them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from nuisflow.comparison.trainings import TOYS, Run, nearest_coverage, number, ordered
from nuisflow.settings.studies import WHOLE
from nuisflow.slices.report import ComparisonSettings

SIGMAS = ("sigma", "sigma_stat", "sigma_syst", "sigma_mcstat")
COLUMNS = ("study", "size", "training", "seed", "converged", *SIGMAS, *TOYS[:2], "mu_whole", "shift")
LAWS = ("study", "training", "quantity", "exponent", "error", "at_whole", "sizes", "seeds")
DESCRIBED = ("sigma", "sigma_syst", "sigma_mcstat")
"""Quantities that a power law is fitted to."""

TAIL = 0.841344746
"""Probability of less than one Gaussian standard deviation."""

Measured = Mapping[str, Any]
Results = Mapping[tuple[str, str], Mapping[Run, Measured]]


def whole(fit: Mapping[str, Any], coverage: Sequence[Mapping[str, Any]]) -> Measured:
    """Return what the ordinary run measured, in the form of `inference.studies.measure`.

    Its Asimov data are what the whole simulation expects; densities that are learned need not find 1 there.
    """
    return {"asimov": fit["asimov"], "coverage": coverage, "whole": {"asimov_mu": fit["asimov"]["mu"]}}


def table(results: Results, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per study, size, training and seed; *results*: by (study, size), of every run.

    ``mu_whole``: best fit to what the whole simulation expects; ``shift``: its distance from 1 over ``sigma``.
    """
    rows = [
        {"study": study, "size": float(size), **run._asdict(), **_row(found[run])}
        for (study, size), found in results.items()
        for run in ordered(found, settings)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(measured: Measured) -> dict[str, Any]:
    fit, covered = measured["asimov"], nearest_coverage(measured["coverage"])
    sigmas = {name: number(fit[name]) for name in SIGMAS}
    found = number(measured["whole"]["asimov_mu"])
    whole = {"mu_whole": found, "shift": (found - 1) / sigmas["sigma"]}
    return {"converged": bool(fit["converged"]), **sigmas, **{name: covered.get(name) for name in TOYS[:2]}, **whole}


class Law(NamedTuple):
    """A quantity that is *at_whole* times size to the power of *exponent*, which has an *error* (nan: unknown)."""

    exponent: float
    error: float
    at_whole: float

    def __call__(self, size: Any) -> Any:
        """Return the quantity at *size*, a part of all events."""
        return self.at_whole * np.asarray(size) ** self.exponent


def law(sizes: np.ndarray, values: np.ndarray) -> Law | None:
    """Return the power law of *values*, one per seed and size: a line in logarithms, by least squares.

    The error is half the 68.3 % interval by the scatter around the line, which is that of the seeds where a power law
    is right. None where there are not two sizes with values above zero.
    """
    good = np.isfinite(values) & (values > 0)
    x, y = np.log(sizes[good]), np.log(values[good])
    if len(np.unique(x)) < 2:
        return None
    centred = x - x.mean()
    exponent = float(centred @ y / (centred @ centred))
    constant = float(y.mean() - exponent * x.mean())
    left, freedom = y - constant - exponent * x, len(x) - 2
    # Of few values the scatter is hardly known: Student's t makes the error one of 68.3 % all the same.
    error = stdtrit(freedom, TAIL) * np.sqrt(left @ left / freedom / (centred @ centred)) if freedom else np.nan
    return Law(exponent, float(error), float(np.exp(constant)))


def laws(found: pd.DataFrame) -> pd.DataFrame:
    """Return the power laws of the table *found*: one row per study, training and quantity."""
    return pd.DataFrame(list(_laws(found)), columns=list(LAWS))


def _laws(found: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    good = found[found["converged"]]
    for (study, training), rows in good.groupby(["study", "training"], sort=False):
        for quantity in DESCRIBED:
            if fitted := law(rows["size"].to_numpy(float), rows[quantity].to_numpy(float)):
                yield (study, training, quantity, *fitted, rows["size"].nunique(), rows["seed"].nunique())


def sizes(found: pd.DataFrame) -> list[float]:
    """Return the sizes of a study, the whole last."""
    return sorted({float(WHOLE), *found["size"]})
