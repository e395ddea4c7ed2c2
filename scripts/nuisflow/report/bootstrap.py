"""Pseudo-experiments at random true values: the table of all trainings and its part of the report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import Run
from nuisflow.inference import interval_scores
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings, ReportSettings

COLUMNS = (*Run._fields, *interval_scores.Scores._fields, "expectation")


def table(summaries: Mapping[Run, Mapping[str, Any]], settings: PlotSettings) -> pd.DataFrame:
    """Return one row per training and seed; ``expectation``: best fit to the expectation of the reserved events."""
    order = list(settings.trainings)
    rows = [
        {**run._asdict(), **summary, "expectation": summary["expectation"]["mu_hat"]}
        for run, summary in sorted(summaries.items(), key=lambda item: (order.index(item[0].training), item[0].seed))
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def section(found: Mapping[str, pd.DataFrame], settings: ReportSettings) -> dict[str, Any] | None:
    """Return what the report shows, ready as text; None without such pseudo-experiments."""
    if "bootstrap" not in found:
        return None
    results, asked = found["bootstrap"], settings.configuration["toys"]["bootstrap"]
    present = list(dict.fromkeys(results["training"]))
    return {
        "sets": asked["sets"],
        "number": asked["number"],
        "low": f"{asked['mu'][0]:g}",
        "high": f"{asked['mu'][1]:g}",
        "share": f"{100 * asked['share']:g} %",
        "trainings": [_row(name, results[results["training"] == name], settings) for name in present],
        "absent": [label for name, label in settings.trainings.items() if name not in present],
    }


def _row(name: str, seeds: pd.DataFrame, settings: PlotSettings) -> dict[str, Any]:
    mean = seeds.mean(numeric_only=True)
    places = findings.decimals(mean["width"])
    return {
        "label": settings.trainings[name],
        "number": f"{seeds['number'].sum():,.0f}",
        "failed": f"{seeds['failed'].sum():,.0f}",
        "coverage": f"{100 * mean['coverage']:.1f} ± {100 * mean['coverage_error']:.1f} %",
        "off": findings.is_off(mean["coverage"], mean["coverage_error"]),
        "bias": f"{findings.number(mean['bias'], places)} ± {findings.number(mean['bias_error'], places)}",
        "expectation": findings.number(mean["expectation"], places),
        "score": findings.number(mean["score"], 3),
        **{key: findings.number(mean[key], places) for key in ("width", "rmse", "mae")},
    }
