"""Prediction sets in words: their confidence at nominal, and what is lost of it where nature is elsewhere."""

from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison.review import LEVEL
from nuisflow.report.findings import number
from nuisflow.slices.report import PlotSettings

_SURE = 3.0
"""Standard errors from which a loss of coverage is more than chance."""


def section(table: pd.DataFrame | None, settings: PlotSettings) -> dict[str, Any] | None:
    """Return a row per training and sentences; None without scores of signal and background."""
    if table is None or not len(table := table.dropna(subset="coverage")):
        return None
    table = table.assign(variation=table["variation"].fillna(""))
    kept = [name for name in settings.trainings if (table["training"] == name).any()]
    means = {name: _means(table[table["training"] == name]) for name in kept}
    rows = [_row(settings.trainings[name], means[name], settings) for name in kept]
    return {"rows": rows, "moved": any(len(one) > 1 for one in means.values()), "text": _text(means, settings)}


def _means(own: pd.DataFrame) -> pd.DataFrame:
    """Return means over the seeds of one training, by point."""
    names = ["coverage", "coverage_error", "coverage_signal", "coverage_background", "size", "empty", "z"]
    found = own.groupby("point", sort=False)[names].mean()
    found = found.loc[["nominal", *found.index.drop("nominal")]]
    return found.assign(variation=own.groupby("point", sort=False)["variation"].first())


def _row(label: str, mean: pd.DataFrame, settings: PlotSettings) -> dict[str, Any]:
    nominal, moved = mean.loc[["nominal"]].iloc[0], mean.drop(index="nominal")
    return {
        "label": label,
        "coverage": f"{_percent(nominal['coverage'])} ± {100 * nominal['coverage_error']:.1f} %",
        "size": number(nominal["size"], 3),
        "signal": f"{_percent(nominal['coverage_signal'])} %",
        "background": f"{_percent(nominal['coverage_background'])} %",
        **{f"lowest_{name}": _lowest(moved, key, settings) for name, key in _KINDS.items()},
        "off": _is_off(mean),
    }


_KINDS = {"all": "coverage", "signal": "coverage_signal"}


def _lowest(moved: pd.DataFrame, key: str, settings: PlotSettings) -> str:
    """Return the lowest coverage away from nominal, and where."""
    if not len(moved):
        return "–"
    worst = moved.sort_values(key, kind="stable").iloc[0]
    return f"{_percent(worst[key])} % ({_place(worst, settings)})"


def _place(row: "pd.Series[Any]", settings: PlotSettings) -> str:
    label = settings.variations.get(row["variation"], row["variation"])
    z = f"{row['z']:+g}".replace("-", "−")  # a label may have a hyphen
    return f"{label} {z}" if row["z"] else f"{label}, held out"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _is_off(mean: pd.DataFrame) -> bool:
    """Return whether coverage away from nominal is lower than stated by more than chance."""
    return bool(np.any(mean["coverage"] < LEVEL - _SURE * mean["coverage_error"]))


def _text(means: dict[str, pd.DataFrame], settings: PlotSettings) -> str:
    """Return what domain shift costs: how much of the coverage, of which training, and who loses least."""
    losses = {
        name: {word: float(mean[key].iloc[0] - mean[key].min()) for word, key in _KINDS.items()}
        for name, mean in means.items()
        if len(mean) > 1
    }
    if not losses:
        return "No variation moves events, so that nothing is lost."
    most = max(losses, key=lambda name: losses[name]["signal"])
    least = min(losses, key=lambda name: losses[name]["signal"])
    whole = max(one["all"] for one in losses.values())
    text = f"Away from nominal, up to {100 * whole:.1f} % of the coverage is lost for all events and, for the signal, "
    ends = [f"{100 * losses[name]['signal']:.1f} % ({settings.trainings[name]})" for name in (least, most)]
    return text + (f"{ends[0]}." if most == least else f"between {ends[0]} and {ends[1]}.")
