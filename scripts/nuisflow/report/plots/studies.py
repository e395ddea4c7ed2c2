"""The figure of uncertainty and coverage against the number of events."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from nuisflow.comparison.studies import Law, sizes
from nuisflow.inference import interval_scores
from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

WORDS = {"training_events": "events to learn of", "simulated_events": "simulated events"}
_PANELS = {
    "sigma": "σ({poi})",
    "sigma_syst": "systematic part",
    "sigma_mcstat": "MC statistics",
    "coverage": "coverage",
}


def figure(table: pd.DataFrame, laws: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return a row of panels per study: one point per seed, the power laws as lines; see `comparison.studies`."""
    studies = list(dict.fromkeys(table["study"]))
    drawn = Figure(figsize=(9.2, 2.75 * len(studies) + 0.45), layout="constrained")
    grid = drawn.subplots(len(studies), len(_PANELS), squeeze=False)
    poi = style.parameter_name(settings.poi, settings)
    for row, study in zip(grid, studies, strict=True):
        mine, fitted = table[(table["study"] == study) & table["converged"]], laws[laws["study"] == study]
        for axes, (column, words) in zip(row, _PANELS.items(), strict=True):
            _panel(axes, mine, fitted[fitted["quantity"] == column], column, settings)
            axes.set_title(words.format(poi=poi), fontsize=9.5)
            axes.set_xlabel(f"part of the {WORDS[study]}", fontsize=8.5)
    names = [name for name in settings.trainings if name in set(table["training"])]
    looks = colours.of_trainings(settings)
    handles = [Line2D([], [], marker="o", ms=4, ls=looks[name].line, color=looks[name].colour) for name in names]
    labels = [settings.trainings[name] for name in names]
    drawn.legend(handles, labels, loc="outside upper center", ncols=min(len(names), 5))
    return drawn


def _panel(axes: Axes, table: pd.DataFrame, laws: pd.DataFrame, column: str, settings: PlotSettings) -> None:
    """Draw one quantity of all trainings."""
    names = [name for name in settings.trainings if name in set(table["training"])]
    looks, found = colours.of_trainings(settings), sizes(table)
    axes.set_xscale("log")
    for name in names:
        rows, look = table[table["training"] == name], looks[name]
        label = settings.trainings[name]
        axes.plot(rows["size"], rows[column], "o", ms=3.2, color=look.colour, mew=0, alpha=0.85, label=label)
        for law in laws[laws["training"] == name].to_dict("records"):
            ends = np.geomspace(found[0], 1, 30)
            curve = Law(law["exponent"], law["error"], law["at_whole"])(ends)
            axes.plot(ends, curve, looks[name].line, lw=1.1, color=looks[name].colour)
    if column == "coverage":
        axes.axhline(interval_scores.LEVEL, color=style.INK, lw=1, ls=":", zorder=1)
    axes.xaxis.set_major_locator(FixedLocator(_apart(found)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(style.ticks(5))
    axes.set_xlim(found[0] / 1.2, 1.2)
    axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)


def _apart(found: list[float]) -> list[float]:
    """Return those sizes of which the names do not overlap, the whole first."""
    kept: list[float] = []
    for size in reversed(found):
        if not kept or kept[-1] / size > (found[-1] / found[0]) ** 0.18:
            kept.append(size)
    return kept
