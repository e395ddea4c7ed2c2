"""How well every training measures where nature is away from nominal: numbers only; words are in the report."""

from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison import trainings
from nuisflow.comparison.trainings import TRUTH
from nuisflow.slices.report import ComparisonSettings, PlotSettings

KEYS = ["training", "seed", "point"]
LEVEL = 0.682689492137
"""Coverage of an honest interval of one standard deviation."""


def errors(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the table of coverage with three more columns, of the fit to the expectation at every true point.

    ``asimov_bias``: best fit minus truth; ``asimov_sigma``: half the interval; ``asimov_error``: both in quadrature.
    """
    bias = coverage["asimov_mu"] - coverage["mu_true"]
    sigma = (coverage["asimov_high"] - coverage["asimov_low"]) / 2
    return coverage.assign(asimov_bias=bias, asimov_sigma=sigma, asimov_error=np.hypot(bias, sigma))


def nominal(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at nominal nuisance parameters whose true value is the one of the displaced points."""
    rows = trainings.undisplaced(coverage)
    distances = (rows["mu_true"] - TRUTH).abs()
    closest: pd.DataFrame = rows[distances == distances.min()]
    return closest


def curves(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the `errors` at the displaced points of every variation, and at nominal once for each of them."""
    rows = errors(coverage)
    displaced = rows[rows["point"].notna() & (rows["z"] != 0)]  # a held-out alternative is at no z
    centre = nominal(rows)
    copies = [centre.assign(variation=name) for name in displaced["variation"].unique()]
    # Nominal rows have pseudo-experiments of their own, which say nothing about a variation.
    return pd.concat([displaced, *(copy.assign(toys=0) for copy in copies)]) if copies else displaced


def label(variation: str, settings: PlotSettings) -> str:
    """Return the label of a variation; settings know them by the names of parameters, and there is one luminosity."""
    return settings.variations.get(variation) or settings.variations.get("lumi", variation)


def table(coverage: pd.DataFrame, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per training, that with the smallest worst error on top; empty without displaced points.

    The ends of the grid of a training that is fitted on one (`shown.ComparisonSettings.ends`) are left out for all.

    ``worst_error`` is the median over seeds of the largest total error at any displaced point, ``worst_point`` where
    the median over seeds is largest; likewise ``largest_bias``, ``lowest_coverage`` and their points. The lowest of
    ``coverage_points`` fluctuating numbers is low by itself: ``lowest_if_honest`` is what to expect. ``significance``
    is that of the difference to the best in ``worst_error``, against the spread between seeds.
    """
    all_rows = errors(coverage)
    displaced = all_rows[all_rows["point"].notna() & ~all_rows["point"].isin(settings.ends)]
    rows = [
        _row(name, displaced[displaced["training"] == name], nominal(all_rows[all_rows["training"] == name]), settings)
        for name in settings.trainings
        if (displaced["training"] == name).any()
    ]
    rows.sort(key=lambda row: (np.isnan(row["worst_error"]), row["worst_error"]))
    worst = {name: _worst_of_seeds(displaced[displaced["training"] == name]) for name in settings.trainings}
    return pd.DataFrame(
        [row | _gap(row, rows[0], worst[row["training"]], worst[rows[0]["training"]]) for row in rows],
        columns=list(COLUMNS),
    )


COLUMNS = (
    *("training", "label", "seeds", "failed", "sigma", "worst_error", "worst_error_spread", "worst_point"),
    *("largest_bias", "largest_bias_point", "lowest_coverage", "lowest_coverage_error", "lowest_coverage_point"),
    *("coverage_points", "lowest_if_honest"),
    *("relative", "difference", "difference_error", "significance"),
)


def _row(name: str, displaced: pd.DataFrame, undisplaced: pd.DataFrame, settings: ComparisonSettings) -> dict[str, Any]:
    worst = _worst_of_seeds(displaced)
    medians = displaced.groupby("point", sort=False)[["asimov_error", "asimov_bias"]].median()
    biases = medians["asimov_bias"].abs()
    covered = pooled(displaced)
    lowest = covered["coverage"].idxmin() if len(covered) else None
    return {
        "training": name,
        "label": settings.trainings[name][0],
        "seeds": len(worst),
        "failed": displaced["seed"].nunique() - len(worst),
        "sigma": float(undisplaced["asimov_sigma"].median()),
        "worst_error": float(np.median(worst)) if len(worst) else np.nan,
        "worst_error_spread": float(np.std(worst, ddof=1)) if len(worst) > 1 else np.nan,
        "worst_point": _largest(medians["asimov_error"]),
        "largest_bias": float(medians["asimov_bias"].get(_largest(biases), np.nan)),
        "largest_bias_point": _largest(biases),
        "lowest_coverage": covered["coverage"].get(lowest, np.nan),
        "lowest_coverage_error": covered["error"].get(lowest, np.nan),
        "lowest_coverage_point": lowest,
        "coverage_points": len(covered),
        "lowest_if_honest": lowest_if_honest(covered["error"].to_numpy()),
    }


def lowest_if_honest(errors: np.ndarray) -> float:
    """Return the lowest of several coverages to expect if all are honest and fluctuate with these *errors*; nan: none.

    The median of the smallest of so many Gaussian numbers, with the median of the errors.
    """
    if not len(errors):
        return np.nan
    from scipy import special  # here: a fifth of a second

    return float(LEVEL + np.median(errors) * special.ndtri(1 - 0.5 ** (1 / len(errors))))


def _largest(values: "pd.Series[float]") -> str | None:
    return str(values.idxmax()) if values.notna().any() else None


def _worst_of_seeds(displaced: pd.DataFrame) -> np.ndarray:
    """Return the largest total error of every seed; a seed with a fit that failed somewhere does not count."""
    largest = displaced.groupby("seed")["asimov_error"].agg(lambda values: values.max(skipna=False))
    return np.asarray(largest.dropna())


def _gap(row: dict[str, Any], best: dict[str, Any], ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    if row is best:
        return {"relative": 0.0, "difference": 0.0, "difference_error": 0.0, "significance": 0.0}
    gap = trainings.difference(ours, theirs)
    relative = row["worst_error"] / best["worst_error"] - 1
    return {"relative": relative, "difference": gap.value, "difference_error": gap.error} | {
        "significance": gap.significance
    }


def pooled(displaced: pd.DataFrame) -> pd.DataFrame:
    """Return coverage and its error at every point where pseudo-experiments were thrown, all seeds together."""
    thrown = displaced[displaced["toys"] > 0]
    errors = thrown["coverage_error"].groupby(thrown["point"], sort=False)
    return pd.DataFrame(
        {
            "coverage": thrown.groupby("point", sort=False)["coverage"].mean(),
            "error": errors.agg(lambda values: float(np.sqrt(np.square(values).sum()) / len(values))),
        }
    )
