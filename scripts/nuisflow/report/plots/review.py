"""Figures of the review: coverage of prediction sets under shift, and where members of a classifier disagree."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nuisflow.comparison.review import LEVEL
from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

MOST = 4
"""Variations with a panel of their own: those that cost most coverage."""
_ROWS = (("coverage", "all"), ("coverage_signal", "signal"))
_PANELS = (("score", "score"), ("distance", "distance from\nthe training events"))


def conformal(table: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return the coverage of prediction sets against the true value of the variations that cost most of it.

    Means over seeds; above: all events, below: signal.
    """
    table = table.dropna(subset="coverage")
    if not len(table):
        return style.empty("No training has scores from which sets can be made.")
    chosen = _strongest(table)
    if not chosen:
        return style.empty("No variation moves events: sets are as good as at nominal.")
    figure = Figure(figsize=(1.6 + 2.3 * len(chosen), 4.6), layout="constrained")
    panels = figure.subplots(2, len(chosen), sharex="col", sharey="row", squeeze=False)
    looks = colours.of_trainings(settings)
    handles = {}
    for column, variation in enumerate(chosen):
        own = table[table["variation"].isin([variation, ""])]
        for row, (name, _) in enumerate(_ROWS):
            axes = panels[row, column]
            axes.axhline(LEVEL, color=style.FAINT, lw=1, ls=":")
            for training in settings.trainings:
                mean = own[own["training"] == training].groupby("z")[[name, "coverage_error"]].mean()
                if not len(mean):
                    continue
                look: dict[str, Any] = {"color": looks[training].colour, "ls": looks[training].line, "lw": 1.3}
                axes.plot(mean.index, mean[name], marker="o", ms=3, **look)
                handles[training] = Line2D([], [], label=style.wrapped(settings.trainings[training]), **look)
            axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)
            axes.yaxis.set_major_locator(style.ticks(5))
        panels[1, column].xaxis.set_major_locator(style.ticks(4))
        label = style.wrapped(settings.variations.get(variation, variation), 22)
        panels[1, column].set_xlabel(f"{label}\n(standard deviations)", fontsize=9)
    for row, (_, label) in enumerate(_ROWS):
        panels[row, 0].set_ylabel(f"coverage, {label}", fontsize=9)
    style.heading(panels[0, 0], settings, f"sets of {LEVEL:.0%} confidence")
    figure.legend(handles=list(handles.values()), loc="outside right upper")
    return figure


def _strongest(table: pd.DataFrame) -> list[str]:
    """Return the variations at which a training covers farthest from nominal, signal or all events."""
    mean = table.groupby(["training", "variation", "point"])[[name for name, _ in _ROWS]].mean()
    nominal = mean.xs(("", "nominal"), level=("variation", "point"))
    moved = (mean - nominal.reindex(mean.index.get_level_values("training")).to_numpy()).abs().max(axis=1)
    far = moved.groupby("variation").max().drop("", errors="ignore").sort_values(ascending=False, kind="stable")
    return [str(name) for name in far.index[:MOST]]


def epistemic(curves: Sequence[Mapping[str, Any]], settings: PlotSettings) -> Figure:
    """Return aleatoric and epistemic parts against score, distance and the feature that tells most, of first seeds."""
    first: dict[str, Mapping[str, Any]] = {}
    for one in sorted(curves, key=lambda one: int(one["seed"])):
        first.setdefault(one["training"], one)
    shown = [first[name] for name in settings.trainings if name in first]
    if not shown:
        return style.empty("No training has members.")
    figure = Figure(figsize=(8.6, 0.5 + 2.3 * len(shown)), layout="constrained")
    panels = figure.subplots(len(shown), 3, squeeze=False)
    for row, one in zip(panels, shown, strict=True):
        for axes, (key, label) in zip(row, (*_PANELS, ("feature", one["name"])), strict=True):
            where, _, aleatoric, part, error = (np.asarray(values) for values in one[key])
            axes.errorbar(where, part, error, fmt="o-", ms=3, lw=1.2, color=style.RED, label="epistemic")
            axes.set_ylim(0, None)
            other = axes.twinx()
            other.plot(where, aleatoric, "s--", ms=3, lw=1.1, color=style.BLUE, mfc="none")
            other.set_ylim(0, 1.05)
            axes.set_xlabel(label, fontsize=8.5)
            axes.xaxis.set_major_locator(style.ticks(4))
            axes.yaxis.set_major_locator(style.ticks(4))
            axes.tick_params(right=False)
            other.tick_params(labelright=axes is row[-1])
        row[0].set_ylabel(f"{style.wrapped(settings.trainings[one['training']], 20)}\nepistemic (bits)", fontsize=9)
        other.set_ylabel("aleatoric (bits)", fontsize=9, color=style.BLUE)
    handles: list[Any] = [Line2D([], [], color=style.RED, marker="o", ms=3, label="epistemic, left scale")]
    handles += [Line2D([], [], color=style.BLUE, marker="s", mfc="none", ls="--", ms=3, label="aleatoric, right scale")]
    style.heading(panels[0, 0], settings)
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure
