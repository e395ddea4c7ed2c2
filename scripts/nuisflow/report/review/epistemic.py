"""Aleatoric and epistemic uncertainty in words: of single events, and in mu."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import EPISTEMIC
from nuisflow.report.findings import number
from nuisflow.slices.report import PlotSettings

_BITS = ("total", "aleatoric", "epistemic", "epistemic_signal", "epistemic_background")


def rows(tables: Mapping[str, pd.DataFrame], settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one row per training that has members, means over seeds; *tables*: ``epistemic`` and ``breakdown``."""
    if (table := tables.get(EPISTEMIC)) is None:
        return []
    found = []
    for name, label in settings.trainings.items():
        own = table[table["training"] == name]
        if not len(own):
            continue
        mean = own[["members", *_BITS, "with_distance"]].astype(float).mean()
        feature = own["feature"].mode().iloc[0]
        found.append(
            {
                "label": label,
                "members": f"{mean['members']:.0f}",
                **{key: number(mean[key], 4) for key in _BITS},
                "distance": f"{100 * mean['with_distance']:.0f} %",
                "feature": f"{feature} ({100 * own.loc[own['feature'] == feature, 'with_feature'].mean():.0f} %)",
                "sigma": _sigma(tables.get("breakdown"), name),
            }
        )
    return found


def _sigma(breakdown: pd.DataFrame | None, name: str) -> str:
    """Return the spread of mu between members, the epistemic row of the breakdown."""
    if breakdown is None:
        return "–"
    chosen = (breakdown["training"] == name) & (breakdown["group"] == EPISTEMIC) & (breakdown["data"] == "asimov")
    return number(breakdown[chosen]["sigma"].astype(float).median(), 3)
