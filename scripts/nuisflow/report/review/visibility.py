"""How visible variations are, in words."""

from typing import Any

import pandas as pd

from nuisflow.report.cautions import Caution
from nuisflow.report.findings import number
from nuisflow.slices.report import PlotSettings
from nuisflow.templates.histograms import DATA

_SEEN = 3.0
"""Standard errors from which events can be told apart."""


def rows(table: pd.DataFrame | None, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one row per variation, and data against the model where they are shown: the most visible first."""
    if table is None or not len(table := table.dropna(subset="name")):
        return []
    ordered = table.sort_values("significance", ascending=False, kind="stable", na_position="last")
    return [_row(row, settings) for _, row in ordered.iterrows()]


def _row(row: "pd.Series[Any]", settings: PlotSettings) -> dict[str, Any]:
    label = "Data against the model" if row["name"] == DATA else settings.variations.get(row["variation"], row["name"])
    if pd.isna(row["auc"]):
        return {"label": label, "auc": "too few events", "verdict": "–", "feature": "–", "off": False}
    seen = row["significance"] >= _SEEN
    return {
        "label": label,
        "auc": f"{number(row['auc'], 4)} ± {number(row['error'], 4)}",
        "verdict": f"{'visible' if seen else 'not visible'} ({number(row['significance'], 1)} sd)",
        "feature": row["feature"] if seen else "–",
        "off": bool(seen and row["name"] == DATA),
    }


def cautions(table: pd.DataFrame | None) -> list[Caution]:
    """Return a caution of data that a classifier tells from the model before the fit."""
    if table is None:
        return []
    seen = table[(table["name"] == DATA) & (table["significance"] >= _SEEN)]
    return [
        Caution(
            f"A classifier tells the data from the model before the fit: area {row['auc']:.4f} ± {row['error']:.4f} "
            f"where 0.5 is alike, most by {row['feature']}.",
            "The fit may mend what variations cover; look at this feature before any training (section Features).",
        )
        for _, row in seen.iterrows()
    ]
