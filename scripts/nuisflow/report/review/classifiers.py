"""What classifiers know, in words: separation, over-training, calibration."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison import trainings
from nuisflow.report import tables
from nuisflow.report.cautions import Caution
from nuisflow.report.findings import few, number
from nuisflow.slices.report import PlotSettings

CHANCE = 0.001
"""A training is over-trained if chance makes its scores differ as much less often than this, all tests counted."""
_MOST_FEATURES = 25
_MOST_NETWORKS = 100
MATTERS = 0.005
"""Difference of AUC between seen and held-out events that is worth a caution."""


def rows(
    table: pd.DataFrame | None, curves: Sequence[Mapping[str, Any]], settings: PlotSettings
) -> list[dict[str, Any]]:
    """Return one row per training as text: means over networks and seeds, of p-values the smallest.

    *table*: a row per network; *curves*: of every run, with its calibration errors.
    """
    if table is None:
        return []
    found = []
    for name, label in settings.trainings.items():
        own = table[table["training"] == name]
        if not len(own):
            continue
        errors = pd.DataFrame([one for one in curves if one["training"] == name]).reindex(columns=list(_ERRORS))
        mean = errors.astype(float).mean()
        trained = own["auc_trained"].astype(float).mean()
        found.append(
            {
                "label": label,
                "auc": number(own["auc"].astype(float).mean(), 4),
                "trained": number(trained, 4),
                "spread": number(own["auc"].astype(float).std(), 4),
                "p_value": tables.probability(_smallest(own)),
                "off": _is_overtrained(own),
                "ece": "–"
                if pd.isna(mean["ece"])
                else f"{mean['ece']:.4f} ({mean['ece_low']:.4f} to {mean['ece_high']:.4f})",
                "expected": number(mean["ece_expected"], 4),
                "calibrated": number(mean["ece_calibrated"], 4) + (", in use" if mean["calibrated"] > 0 else ""),
            }
        )
    return found


def networks(table: pd.DataFrame | None, settings: PlotSettings) -> dict[str, Any]:
    """Return one row per training, seed and fold, and how many of very many are left out."""
    if table is None:
        return {"rows": [], "left": 0}
    order = {name: place for place, name in enumerate(settings.trainings)}
    rows = table[table["training"].isin(order)].sort_values(
        ["training", "seed", "fold"], key=lambda column: column.map(order) if column.name == "training" else column
    )
    found = [
        {"label": settings.trainings[row["training"]], "cells": _network(row)}
        for row in rows.iloc[:_MOST_NETWORKS].to_dict("records")
    ]
    return {"rows": found, "left": max(len(rows) - _MOST_NETWORKS, 0)}


def _network(row: Mapping[Hashable, Any]) -> list[str]:
    """Return the cells of one network."""
    held, seen, *p_values = (
        trainings.number(row[name]) for name in ("auc", "auc_trained", "p_value_signal", "p_value_background")
    )
    difference = f"{seen - held:+.4f}".replace("-", "−") if np.isfinite(seen - held) else "–"
    areas = [number(held, 4), number(seen, 4), difference]
    return [f"{row['seed']}", f"{row['fold']}", *areas, *map(tables.probability, p_values)]


def importance(
    table: pd.DataFrame | None, contents: Mapping[str, Any], settings: PlotSettings
) -> dict[str, Any] | None:
    """Return what every training loses of its AUC without each feature, in thousandths, the most important first.

    *contents*: `comparison.inputs` by region; beside it stands which variation moves the feature most, in any region.
    """
    if table is None or not len(table := table.dropna(subset="feature")):
        return None
    names = [name for name in settings.trainings if name in set(table["training"])]
    means = 1e3 * table.pivot_table("auc_lost", "feature", "training", "mean", dropna=False)[names]
    spreads = 1e3 * table.pivot_table("auc_lost", "feature", "training", lambda values: values.std())
    means = means.loc[means.max(axis=1).sort_values(ascending=False, kind="stable").index]
    found = []
    for feature, losses in means.iloc[:_MOST_FEATURES].iterrows():
        cells = [_loss(losses[name], spreads[name].get(feature) if name in spreads else None) for name in names]
        found.append({"feature": feature, "cells": cells, "moved": moved(str(feature), contents, settings)})
    labels = [settings.trainings[name] for name in names]
    return {"names": labels, "rows": found, "left": max(len(means) - _MOST_FEATURES, 0)}


def _loss(mean: float, spread: float | None) -> str:
    """Return a loss with its spread over seeds, if there are several."""
    return number(mean, 1) + ("" if spread is None or pd.isna(spread) else f" ± {number(spread, 1)}")


def moved(feature: str, contents: Mapping[str, Any], settings: PlotSettings) -> str:
    """Return the variation that changes the shape of a feature most, and by how many errors of the data."""
    shapes: dict[str, float] = {}
    for one in (one for content in contents.values() for one in content["features"] if one["feature"] == feature):
        for name, pair in one["shapes"].items():
            shapes[name] = max(shapes.get(name, 0.0), *pair)
    strongest = max(shapes, key=lambda name: shapes[name], default=None)
    if strongest is None or not shapes[strongest] > 0:
        return "–"
    return f"{settings.variations.get(strongest, strongest)} ({shapes[strongest]:.2g})"


_ERRORS = ("calibrated", "ece", "ece_low", "ece_high", "ece_expected", "ece_calibrated")


def _smallest(own: pd.DataFrame) -> float:
    """Return the smallest p-value of all networks and both classes, corrected for their number (Bonferroni)."""
    values = own[["p_value_signal", "p_value_background"]].to_numpy(dtype=float).ravel()
    values = values[np.isfinite(values)]
    return min(1.0, float(values.min()) * len(values)) if len(values) else float("nan")


def _is_overtrained(own: pd.DataFrame) -> bool:
    difference = (own["auc_trained"].astype(float) - own["auc"].astype(float)).mean()
    return bool(_smallest(own) < CHANCE and difference > MATTERS)


def cautions(table: pd.DataFrame | None, settings: PlotSettings) -> list[Caution]:
    """Return a caution of trainings that know the events that they have seen much better than others."""
    if table is None:
        return []
    names = [label for name, label in settings.trainings.items() if _is_overtrained(table[table["training"] == name])]
    if not names:
        return []
    text = f"Events seen in training are separated better than others (over-training): {few(iter(names))}."
    remedy = (
        "Templates are not biased, since no event is scored by a network that saw it; a smaller network, fewer rounds "
        "or a smaller budget may separate better."
    )
    return [Caution(text, remedy, ())]
