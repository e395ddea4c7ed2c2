"""One tidy table of all fits, and which training is best by more than the spread between its seeds."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.slices.report import ComparisonSettings

DATA = ("asimov", "observed")
TRUTH = 1.0
"""The coverage in the summary is the one at the true value closest to this."""
UNCERTAINTIES = ("sigma", "sigma_up", "sigma_down", "sigma_hessian", "sigma_stat", "sigma_syst", "sigma_mcstat")
TOYS = ("coverage", "coverage_error", "bias", "pull_width", "interval_score")
MEDIANS = ("mu", *UNCERTAINTIES, "auc", *TOYS, "p_value", "events_seen", "train_seconds")
TESTS = ("p_value_toys", "significance", "limit_observed", "limit_expected", "interval_remarks", "simulated_events")
SUMMARY = ("training", "strategy", "seed", "data", "converged", *MEDIANS, *TESTS)
BREAKDOWN = ("training", "seed", "data", "group", "sigma", "sigma_observable")
LIMITS = ("training", "seed", "data", "level", "limit", "band", "value")
EPISTEMIC = "epistemic"
"""The group of the breakdown that holds the spread of the answers of the members of a classifier."""
BANDS = (-2, -1, 0, 1, 2)
"""Fluctuations of the data, in standard deviations, for which upper limits are expected."""
COVERAGE = (
    *("training", "seed", "mu_true", "variation", "point", "z", "asimov_mu", "asimov_low", "asimov_high"),
    *("toys", "failed", "unbounded", "limited", "coverage", "coverage_low", "coverage_high", "coverage_error"),
    *("bias", "bias_error", "pull_mean", "pull_width", "mean_width", "interval_score", "rmse", "mae"),
)
CLEAR, HINT = 3.0, 2.0
"""A difference of at least `CLEAR` standard deviations counts as established, one below `HINT` as undecided."""


class ComparisonError(ValueError):
    """Results that cannot be compared."""


class Run(NamedTuple):
    """One repetition of one training."""

    training: str
    seed: int


class Budget(NamedTuple):
    """What a training cost, summed over its networks (one per fold)."""

    events_seen: int
    train_seconds: float


class Difference(NamedTuple):
    """Mean of one sample minus that of another, its standard error, and its significance in standard deviations."""

    value: float
    error: float
    significance: float


def run_of(path: Path) -> Run:
    """Return the training and seed of a file ``.../trainings/{training}/seed{seed}/{name}``."""
    match = re.search(r"trainings/([a-z][a-z0-9_]*)/seed(\d+)/[^/]+$", path.as_posix())
    if not match:
        raise ComparisonError(f"{path}: expected a path like .../trainings/<training>/seed<number>/{path.name}")
    return Run(match[1], int(match[2]))


def by_run(paths: Iterable[Path]) -> dict[Run, Path]:
    """Return one file per training and seed, in the order of seeds within a training."""
    return dict(sorted((run_of(path), path) for path in paths))


# --- the tables of single fits --------------------------------------------------------------------------------------


def summarise(
    fits: Mapping[Run, Any],
    budgets: Mapping[Run, Budget],
    aucs: Mapping[Run, float],
    coverages: Mapping[Run, Sequence[Mapping[str, Any]]],
    settings: ComparisonSettings,
) -> pd.DataFrame:
    """Return one row per training, seed and kind of data, in the order of the configuration.

    Coverage is a property of the training and its model: it is the same for Asimov and observed data.
    """
    rows = []
    for run in ordered(fits, settings):
        common = {
            "training": run.training,
            "strategy": settings.trainings[run.training][1],
            "seed": run.seed,
            "auc": aucs.get(run, np.nan),
            **budgets[run]._asdict(),
            **nearest_coverage(coverages.get(run, ())),
        }
        common["simulated_events"] = fewest_events(fits[run])
        rows += [common | {"data": data} | fit_row(result) for data, result in _results(fits[run])]
    return pd.DataFrame(rows, columns=list(SUMMARY))


def fit_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of one fit that are compared."""
    quality = result.get("goodness_of_fit") or {}
    numbers = {name: number(result.get(name)) for name in ("mu", *UNCERTAINTIES)}
    # Distances from the best fit, whichever sign the fit gives them.
    numbers |= {name: abs(numbers[name]) for name in ("sigma_up", "sigma_down")}
    numbers["p_value"] = number(quality.get("p_value"))
    return {"converged": bool(result["converged"]), **numbers, **tests(result)}


def tests(result: Mapping[str, Any]) -> dict[str, float]:
    """Return what the tests of one fit say; nan where there was none."""
    limits = result.get("limits") or {}
    thrown = (result.get("goodness_of_fit") or {}).get("toys") or {}
    return {
        "p_value_toys": number(thrown.get("p_value")),
        "significance": number((result.get("significance") or {}).get("sigmas")),
        "limit_observed": number(limits.get("observed")),
        "limit_expected": number(limits["expected"][BANDS.index(0)]) if limits else np.nan,
        "interval_remarks": float(len(result["intervals"]["remarks"])) if result.get("intervals") else np.nan,
    }


def fewest_events(fit: Mapping[str, Any]) -> float:
    """Return the smallest number of effective simulated background events in any bin of any template; nan: unknown."""
    return min((float(row["events"]) for row in fit.get("simulation") or ()), default=np.nan)


def breakdown(
    fits: Mapping[Run, Any],
    settings: ComparisonSettings,
    members: Mapping[Run, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return the uncertainty that each group of parameters adds: one row per training, seed, data and group.

    ``sigma`` by freezing the group, ``sigma_observable`` by shifting its auxiliary measurements. Trainings of several
    *members* have a row more, of the group `EPISTEMIC`, which is not part of the total.
    """
    rows = [
        (*run, data, group, number(sigma), number((result.get("breakdown_observable") or {}).get(group)))
        for run in ordered(fits, settings)
        for data, result in _results(fits[run])
        for group, sigma in (result.get("breakdown") or {}).items()
    ]
    answers = members or {}
    rows += [(*run, DATA[0], EPISTEMIC, spread(answers[run]), np.nan) for run in ordered(answers, settings)]
    return pd.DataFrame(rows, columns=list(BREAKDOWN))


def spread(members: pd.DataFrame) -> float:
    """Return the standard deviation of the answers of single *members* to the same data (see `spreads.answers`)."""
    return float(np.sqrt(max((members["variance"] - members["covariance"]).mean(), 0.0)))


def limits(fits: Mapping[Run, Any], settings: ComparisonSettings) -> pd.DataFrame:
    """Return the upper limits: one row per training, seed, data and limit (observed, or expected in a band)."""
    rows = []
    for run in ordered(fits, settings):
        for data, result in _results(fits[run]):
            if found := result.get("limits"):
                common = (*run, data, found["level"])
                if data == "observed":
                    rows.append((*common, "observed", np.nan, number(found["observed"])))
                pairs = zip(BANDS, found["expected"], strict=True)
                rows += [(*common, "expected", band, number(value)) for band, value in pairs]
    return pd.DataFrame(rows, columns=list(LIMITS))


def impacts(tables: Mapping[Run, pd.DataFrame], settings: ComparisonSettings) -> pd.DataFrame:
    """Return the impacts of all trainings in one table, training and seed in front."""
    rows = [tables[run].assign(training=run.training, seed=run.seed) for run in ordered(tables, settings)]
    columns = ["training", "seed", *(name for name in rows[0].columns if name not in Run._fields)] if rows else []
    return pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=list(Run._fields))


def coverage(coverages: Mapping[Run, Sequence[Mapping[str, Any]]], settings: ComparisonSettings) -> pd.DataFrame:
    """Return bias, width and coverage: one row per training, seed and true point.

    ``asimov_…`` is the fit to the expectation there; what pseudo-experiments tell is nan where none were thrown.
    """
    rows = [{**run._asdict(), **entry} for run in ordered(coverages, settings) for entry in coverages[run]]
    return pd.DataFrame(rows, columns=list(COVERAGE))


def budget(history: pd.DataFrame) -> Budget:
    """Return the cost of a training from its *history*, whose events and seconds are running sums per fold."""
    last = history.groupby("fold")[["events_seen", "seconds"]].max().sum()
    return Budget(int(last["events_seen"]), float(last["seconds"]))


def ordered(runs: Iterable[Run], settings: ComparisonSettings) -> list[Run]:
    """Return *runs* in the order of the configuration, seeds ascending; `ComparisonError` for an unknown training."""
    order = {name: index for index, name in enumerate(settings.trainings)}
    if unknown := sorted({run.training for run in runs} - order.keys()):
        raise ComparisonError(f"results of {unknown[0]!r}, which is not in trainings: {', '.join(order)}")
    return sorted(runs, key=lambda run: (order[run.training], run.seed))


def _results(fit: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(data, fit[data]) for data in DATA if fit.get(data)]


def number(value: Any) -> float:
    """Return a number of a JSON file; nan for null."""
    return np.nan if value is None else float(value)


def undisplaced(coverage: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table of `coverage` at which all nuisance parameters are nominal."""
    return coverage[coverage["point"].isna()]


def nearest_coverage(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the coverage at nominal of the true value nearest to 1; nothing without *entries* there."""
    entries = [entry for entry in entries if entry.get("point") is None]
    if not entries:
        return {}
    entry = min(entries, key=lambda candidate: abs(candidate["mu_true"] - TRUTH))
    return {name: number(entry.get(name)) for name in TOYS}


# --- which training is best -----------------------------------------------------------------------------------------


def rank(summary: pd.DataFrame, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per kind of data and training, the smallest median uncertainty first.

    ``sigma_spread`` and ``auc_spread`` are standard deviations over seeds. ``relative`` is the excess over the best.
    Fits that did not converge are counted in ``failed`` and left out; a training without any other comes last.
    """
    rows = []
    for data in DATA:
        chosen = summary[summary["data"] == data]
        rows += _ranked([_medians(name, data, chosen, settings) for name in settings.trainings], chosen)
    return pd.DataFrame(rows)


def _medians(name: str, data: str, summary: pd.DataFrame, settings: ComparisonSettings) -> dict[str, Any]:
    mine = summary[summary["training"] == name]
    good = mine[mine["converged"]]
    label, strategy = settings.trainings[name]
    head = {"training": name, "label": label, "strategy": strategy, "data": data, "rank": 0}
    counts = {"seeds": len(good), "failed": len(mine) - len(good)}
    medians = {column: float(good[column].median()) if len(good) else np.nan for column in MEDIANS}
    spreads = {f"{column}_spread": float(good[column].std(ddof=1)) for column in ("sigma", "auc")}
    return head | counts | medians | spreads


def _ranked(rows: list[dict[str, Any]], summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Return *rows* in the order of their uncertainty, each with its difference to the first."""
    rows = sorted(
        (row for row in rows if row["seeds"] + row["failed"]), key=lambda row: (np.isnan(row["sigma"]), row["sigma"])
    )
    good = summary[summary["converged"]]
    sigmas = {row["training"]: good.loc[good["training"] == row["training"], "sigma"].to_numpy() for row in rows}
    best = rows[0] if rows else {}
    ranked = []
    for index, row in enumerate(rows, start=1):
        gap = difference(sigmas[row["training"]], sigmas[best["training"]]) if index > 1 else Difference(0.0, 0.0, 0.0)
        ranked.append(
            row
            | {"rank": index, "relative": row["sigma"] / best["sigma"] - 1}
            | {"difference": gap.value, "difference_error": gap.error, "significance": gap.significance}
        )
    return ranked


def difference(ours: np.ndarray, best: np.ndarray) -> Difference:
    """Return the difference of the means of two samples of seeds, by Welch's t-test.

    The two-sided p-value is expressed in Gaussian standard deviations, so that few seeds count for little. It says how
    sure the difference is against the randomness of training; nan if one of the trainings has a single seed.
    """
    if min(len(ours), len(best)) < 2:
        value = float(np.mean(ours) - np.mean(best)) if len(ours) and len(best) else np.nan
        return Difference(value, np.nan, np.nan)
    from scipy import special  # here: a fifth of a second

    value = float(np.mean(ours) - np.mean(best))
    variances = np.array([np.var(sample, ddof=1) / len(sample) for sample in (ours, best)])
    error = float(np.sqrt(variances.sum()))
    if error == 0:
        return Difference(value, 0.0, np.inf * np.sign(value) if value else 0.0)
    freedom = variances.sum() ** 2 / np.sum(variances**2 / (np.array([len(ours), len(best)]) - 1))
    p_value = 2 * special.stdtr(freedom, -abs(value) / error)
    return Difference(value, error, float(-np.sign(value) * special.ndtri(p_value / 2)))
