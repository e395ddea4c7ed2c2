"""The figure of bias and uncertainty against the true value of each nuisance parameter."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nuisflow.comparison import robustness
from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

MOST = 6
"""Variations that are shown: shifts and weights first, then those with the largest bias."""
_ROWS = (("asimov_bias", "bias of {}"), ("asimov_sigma", "uncertainty of {}"))


def figure(coverage: pd.DataFrame, trainings: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return bias and half width of the interval against the true value: a column per variation, a line per training.

    Lines are medians over seeds, bands the range of the seeds. All panels of a row have the same scale.
    """
    points = robustness.curves(coverage)
    if not len(points):
        return style.empty("There are no true points away from nominal (toys.displacements).")
    names = chosen(points)
    there = set(trainings.loc[trainings["data"] == "asimov", "training"])
    shown = [name for name in settings.trainings if name in there]
    legend = _legend(shown, settings)
    drawn = Figure(figsize=(max(5.6, 1.0 + 1.65 * len(names)), 4.3 + 0.2 * -(-len(legend) // 3)), layout="constrained")
    panels = drawn.subplots(len(_ROWS), len(names), sharex=True, sharey="row", squeeze=False)
    poi = style.parameter_name(settings.poi, settings)
    for row, (column, words) in zip(panels, _ROWS, strict=True):
        for axes, name in zip(row, names, strict=True):
            mine = points[points["variation"] == name]
            for handle, training in reversed(list(zip(legend, shown, strict=True))):
                _line(axes, mine[mine["training"] == training], column, handle)
            axes.grid(color=style.FAINT, alpha=0.3, lw=0.6)
            axes.margins(x=0.06)
        row[0].set_ylabel(words.format(poi))
        row[0].yaxis.set_major_locator(style.ticks(6))
    for axes, name in zip(panels[0], names, strict=True):
        axes.axhline(0, color=style.INK, lw=1, ls=":", zorder=1)
        axes.set_title(style.wrapped(robustness.label(name, settings), 20), fontsize=9.5, pad=5)
    for axes in panels[1]:
        axes.set_xticks(_ticks(points["z"].unique()))
    more = points["variation"].nunique() - len(names)
    left = f" ({more} more variations in coverage.csv)" if more else ""
    drawn.supxlabel(f"true value of the nuisance parameter in prior standard deviations{left}", fontsize=10)
    drawn.legend(handles=legend, loc="outside upper center", ncols=min(3, len(legend)), handlelength=2.2)
    return drawn


def chosen(points: pd.DataFrame) -> list[str]:
    """Return the variations to show, in the order of the configuration."""
    biases = points.groupby("variation", sort=False)["asimov_bias"].agg(lambda values: values.abs().max())
    events = points.groupby("variation", sort=False)["toys"].max() > 0
    order = sorted(biases.index, key=lambda name: (not events[name], -np.nan_to_num(biases[name])))[:MOST]
    return [name for name in biases.index if name in order]


def _line(axes: Axes, points: pd.DataFrame, column: str, handle: Line2D) -> None:
    values = points.groupby("z")[column]
    middle, low, high = values.median(), values.min(), values.max()
    colour = handle.get_color()
    axes.fill_between(middle.index, low, high, color=colour, alpha=0.18, lw=0, zorder=2)
    look: dict[str, Any] = {"ls": handle.get_linestyle(), "label": handle.get_label()}
    axes.plot(middle.index, middle, color=colour, marker="o", ms=3, lw=1.4, zorder=3, **look)


def _legend(trainings: list[str], settings: PlotSettings) -> list[Line2D]:
    looks = colours.of_trainings(settings)
    return [
        Line2D([], [], color=looks[name].colour, ls=looks[name].line, marker="o", ms=3, label=settings.trainings[name])
        for name in trainings
    ]


def _ticks(values: np.ndarray) -> list[float]:
    """Return the true values themselves if they are few, else whole numbers."""
    found = sorted(float(value) for value in values)
    return found if len(found) <= 5 else list(np.arange(np.ceil(found[0]), np.floor(found[-1]) + 1))
