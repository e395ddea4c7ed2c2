"""Coverage at random true points: the table of all trainings and its part of the report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import Run
from nuisflow.likelihood.coverage.summary import placed
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings, ReportSettings

COUNTS = ("number", "impossible", "failed", "unbounded", "coverage", "coverage_low", "coverage_high")
PARTS = ("number", "coverage", "coverage_low", "coverage_high")
CLEAR = 0.01  # p value, below which coverage depends on the true point


def table(maps: Mapping[Run, Mapping[str, Any]], settings: PlotSettings) -> pd.DataFrame:
    """Return one row per training: all points, the test of a constant, the worst region and the lowest hundredth.

    ``worst_``: the cell that one half of the points chose, counted with the other; ``lowest_``: likewise, the points
    of the lowest predictions.
    """
    order = list(settings.trainings)
    rows = []
    for run, found in sorted(maps.items(), key=lambda item: order.index(item[0].training)):
        row = {**run._asdict(), "low": found["range"][0], "high": found["range"][1]}
        row |= {name: found[name] for name in COUNTS} | {"p_value": found["uniform"]["p_value"]}
        for part in ("worst", "lowest"):
            row |= {f"{part}_{name}": (found[part] or {}).get(name) for name in PARTS}
        worst = found["worst"]
        row |= {"cells": worst["considered"] if worst else 0}
        row |= {"worst_where": placed(worst["sides"], found["poi"]) if worst else ""}
        rows.append(row)
    return pd.DataFrame(rows)


def section(found: Mapping[str, pd.DataFrame], settings: ReportSettings) -> dict[str, Any] | None:
    """Return what the report shows, ready as text; None without coverage maps."""
    if "coverage_map" not in found:
        return None
    results = found["coverage_map"]
    present, first = set(results["training"]), results.iloc[0]
    return {
        "trainings": [_row(row, settings) for _, row in results.iterrows()],
        "number": f"{first['number'] + first['impossible']:,.0f}",
        "cells": f"{first['cells']:,.0f}",
        "absent": [label for name, label in settings.trainings.items() if name not in present],
    }


def _row(row: "pd.Series[Any]", settings: ReportSettings) -> dict[str, Any]:
    uniform = findings.number(row["p_value"], 3) if row["p_value"] >= 0.001 else f"{row['p_value']:.0e}"
    return {
        "label": settings.trainings[str(row["training"])],
        "range": f"{row['low']:.3g} to {row['high']:.3g}",
        "failed": f"{row['failed'] + row['unbounded']:,.0f}",
        **_shares(row, "", 2),
        "uniform": uniform,
        "varies": bool(row["p_value"] < CLEAR),
        "where": row["worst_where"].replace(" sigma", " σ") if isinstance(row["worst_where"], str) else "",
        **{f"worst_{name}": text for name, text in _shares(row, "worst_", 1).items()},
        **{f"lowest_{name}": text for name, text in _shares(row, "lowest_", 1).items()},
    }


def _shares(row: "pd.Series[Any]", part: str, places: int) -> dict[str, Any]:
    """Return a coverage with its error, and whether it is off the intended one."""
    value, low, high = (row[f"{part}{name}"] for name in PARTS[1:])
    if value is None or pd.isna(value):
        return {"coverage": "", "off": False}
    error = 0.5 * (high - low)
    text = f"{100 * value:.{places}f} ± {100 * error:.{places}f} %"
    return {"coverage": text, "off": findings.is_off(value, error)}
