"""The part of the report that compares with known answers: what is best possible, and what was published."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nuisflow.comparison import references
from nuisflow.report import findings
from nuisflow.slices.report import ReportSettings

REFERENCES = "Best possible, from the known densities"
TOLERANCE = 0.02
"""By how much templates from few events may be below the bound."""
Rows = list[dict[str, Any]]


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Return the files of known answers by the name of their table; one that is no result is ``literature``."""
    return {path.stem if path.parent.name == "comparison" else "literature": path for path in paths}


def sections(found: Mapping[str, pd.DataFrame], settings: ReportSettings) -> dict[str, Any] | None:
    """Return the table of scenarios: ours, what is best possible and what was published; None without scenarios.

    *found* has ``published`` (ours and the references), and ``literature`` where the configuration names it.
    """
    if "published" not in found:
        return None
    scenarios = settings.configuration["scenarios"]
    ours = found["published"]
    places = findings.decimals(ours[list(scenarios)].min().min(), 4)  # the bound is within a few per cent
    parts = [("This run, median over seeds", ours[ours["seeds"] > 0]), (REFERENCES, ours[ours["seeds"] == 0])]
    if "literature" in found:
        parts += [(str(source), rows) for source, rows in found["literature"].groupby("source", sort=False)]
    return {
        "scenarios": [(name, _floating(chosen, settings)) for name, chosen in scenarios.items()],
        "in_events": bool((settings.configuration.get("published") or {}).get("in_events")),
        "parts": [(title, _rows(rows, list(scenarios), places, settings)) for title, rows in parts if len(rows)],
        "impossible": _impossible(ours, list(scenarios), settings),
    }


def _impossible(ours: pd.DataFrame, scenarios: list[str], settings: ReportSettings) -> list[str]:
    """Return what is clearly below the bound by the likelihood of all events, which nothing can beat."""
    bounds = ours[ours["training"] == references.BOUND]
    if bounds.empty:
        return []
    return [
        f"{settings.trainings.get(row['training'], row['training'])} ({name})"
        for row in ours.to_dict("records")
        for name in scenarios
        if row[name] < (1 - TOLERANCE) * bounds[name].iloc[0]
    ]


def _floating(scenario: Mapping[str, Any], settings: ReportSettings) -> str:
    """Return words for what floats."""
    words = [
        f"{settings.variations.get(name, name)}{end}"
        for key, end in (("free", ""), ("constrained", " (with its prior)"))
        for name in scenario.get(key, ())
    ]
    return ", ".join(["the signal", *words])


def _rows(rows: pd.DataFrame, scenarios: list[str], places: int, settings: ReportSettings) -> Rows:
    return [
        {
            "label": settings.trainings.get(row["training"], row["training"]),
            "cells": [findings.number(row.get(name, math.nan), places) for name in scenarios],
        }
        for row in rows.to_dict("records")
    ]


def exact_rows(found: Mapping[str, pd.DataFrame]) -> Rows:
    """Return the rows of the table of exact templates, ready as text; none if they were not computed."""
    if "exact" not in found:
        return []
    return [
        {
            "classifier": row["classifier"],
            "binning": row["binning"],
            "truth": f"{row['truth']:.4g}",
            "auc": findings.number(row["auc"], 4),
            "sigma": findings.number(row["sigma"], 4),
            "known": findings.number(row["sigma_known"], 4),
            "coverage": "" if pd.isna(row["coverage"]) else _coverage(row),
            "bias": "" if pd.isna(row["coverage"]) else findings.number(row["bias"], 4),
        }
        for row in found["exact"].to_dict("records")
    ]


def _coverage(row: Mapping[Any, Any]) -> str:
    return f"{100 * row['coverage']:.2f} ± {100 * row['coverage_error']:.2f} %"
