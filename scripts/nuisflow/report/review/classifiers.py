"""What classifiers know, in words: separation, over-training, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.report import tables
from nuisflow.report.cautions import Caution, few
from nuisflow.report.findings import number
from nuisflow.slices.report import PlotSettings

CHANCE = 0.001
"""A training is over-trained if chance makes its scores differ as much less often than this, all tests counted."""
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
                "calibrated": number(mean["ece_calibrated"], 4),
            }
        )
    return found


_ERRORS = ("ece", "ece_low", "ece_high", "ece_expected", "ece_calibrated")


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
    text = f"Networks separate the events that they have seen better than others (over-training): {few(iter(names))}."
    remedy = (
        "Templates are not biased, since no event is scored by a network that saw it; a smaller network, fewer rounds "
        "or a smaller budget may separate better."
    )
    return [Caution(text, remedy, ())]
