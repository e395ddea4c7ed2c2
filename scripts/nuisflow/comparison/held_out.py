"""Held-out alternatives: whether a smaller uncertainty from a two-point variation is a smaller error.

A training that knows the two samples of a two-point variation can learn to look away from what tells them apart. Its
apparent uncertainty shrinks; its error need not (arXiv:2109.08159). A third sample, which neither trainings nor
templates saw, tells: the measurement is made on its expectation, and the bias compared with the apparent uncertainty.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.comparison import robustness, trainings
from nuisflow.comparison.trainings import HINT
from nuisflow.slices.report import ComparisonSettings

COLUMNS = (
    *("variation", "training", "label", "seeds", "apparent", "apparent_relative", "bias", "bias_relative", "sigma"),
    *("apparent_significance", "bias_significance", "reference", "flagged"),
)
REFERENCE = "nominal"
"""The strategy that trainings are compared with; without one, it is the first training."""
LESS = 0.1
"""What is smaller by less than this fraction has not dropped."""


class _Values(NamedTuple):
    """What a training says about one two-point variation: one value per seed."""

    apparent: np.ndarray
    bias: np.ndarray
    sigma: np.ndarray


def table(impacts: pd.DataFrame, coverage: pd.DataFrame, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per two-point variation with a held-out sample, and training.

    ``apparent``: impact on the parameter of interest, all nuisance parameters of the variation in quadrature;
    ``bias``: of the fit to the held-out sample; ``sigma``: its total uncertainty there (medians over seeds). Relative
    and significant to the reference; ``flagged``: the apparent uncertainty has dropped, and the bias has not.
    """
    rows: list[dict[str, Any]] = []
    errors = robustness.errors(coverage)
    for variation, (point, parameters) in settings.held_out.items():
        found = {name: _values(name, point, parameters, impacts, errors) for name in settings.trainings}
        reference = _reference(settings)
        for name, values in found.items():
            rows.append({"variation": variation, **_row(name, values, found[reference], reference, settings)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _reference(settings: ComparisonSettings) -> str:
    names = [name for name, (_, strategy) in settings.trainings.items() if strategy == REFERENCE]
    return (names or list(settings.trainings))[0]


def _values(name: str, point: str, parameters: tuple[str, ...], impacts: pd.DataFrame, errors: pd.DataFrame) -> _Values:
    moved = impacts[
        (impacts["training"] == name) & (impacts["data"] == "asimov") & impacts["parameter"].isin(parameters)
    ]
    size = (moved["impact_up"].abs() + moved["impact_down"].abs()) / 2
    apparent = np.sqrt((size**2).groupby(moved["seed"]).sum(skipna=False))
    there = errors[(errors["training"] == name) & (errors["point"] == point)]
    return _Values(*(np.asarray(part.dropna()) for part in (apparent, there["asimov_bias"], there["asimov_sigma"])))


def _row(name: str, values: _Values, reference: _Values, first: str, settings: ComparisonSettings) -> dict[str, Any]:
    sizes, biases = (values.apparent, np.abs(values.bias)), (reference.apparent, np.abs(reference.bias))
    apparent, bias = (_change(ours, theirs) for ours, theirs in zip(sizes, biases, strict=True))
    return {
        "training": name,
        "label": settings.trainings[name][0],
        "seeds": len(values.bias),
        "apparent": _median(values.apparent),
        "apparent_relative": apparent[0],
        "bias": _median(values.bias),
        "bias_relative": bias[0],
        "sigma": _median(values.sigma),
        "apparent_significance": apparent[1],
        "bias_significance": bias[1],
        "reference": first,
        "flagged": name != first and _dropped(*apparent) and not _dropped(*bias),
    }


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _change(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Return the relative difference of the medians, and its significance; nan with a single seed."""
    relative = _median(ours) / _median(theirs) - 1 if len(ours) and len(theirs) and _median(theirs) else np.nan
    return relative, trainings.difference(ours, theirs).significance


def _dropped(relative: float, significance: float) -> bool:
    """Return whether something is smaller by more than `LESS`, and by more than chance as far as seeds can tell."""
    sure = pd.isna(significance) or abs(significance) >= HINT
    return bool(relative < -LESS and sure)
