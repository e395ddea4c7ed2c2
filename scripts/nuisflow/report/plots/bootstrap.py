"""The figure of coverage, width and bias at random true values."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nuisflow.inference import interval_scores
from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

_PANELS = (("coverage", "coverage of the 68.3 % interval"), ("width", "mean width"), ("bias", "bias"))
_IDEAL = {"coverage": interval_scores.LEVEL, "bias": 0.0}


def figure(table: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return one row per training and one point per seed; *table* as of `report.bootstrap.table`."""
    names = [name for name in settings.trainings if name in set(table["training"])]
    looks = colours.of_trainings(settings)
    drawn = Figure(figsize=(9.2, 0.42 * len(names) + 1.15), layout="constrained")
    panels = drawn.subplots(1, len(_PANELS), sharey=True, width_ratios=[1.5, 1, 1])
    poi = style.parameter_name(settings.poi, settings)
    for axes, (column, words) in zip(panels, _PANELS, strict=True):
        if column in _IDEAL:
            axes.axvline(_IDEAL[column], color=style.INK, lw=1, ls=":", zorder=1)
        for row, name in enumerate(names):
            seeds = table[table["training"] == name]
            places = row + (np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) > 1 else np.zeros(1))
            axes.errorbar(
                seeds[column], places, xerr=_errors(seeds, column), fmt="o", ms=3.5, lw=1, color=looks[name].colour
            )
        axes.set_xlabel(words if column == "coverage" else f"{words} of {poi}", fontsize=9.5)
        axes.grid(axis="x", color=style.FAINT, alpha=0.35, lw=0.6)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(style.ticks(5))
    panels[0].set_yticks(range(len(names)), [style.wrapped(settings.trainings.get(name, name)) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    style.heading(panels[0], settings, "random true values")
    return drawn


def _errors(seeds: pd.DataFrame, column: str) -> np.ndarray | None:
    """Return the errors below and above the points of one panel; those of a width are not known."""
    if column == "coverage":
        return np.array([seeds["coverage"] - seeds["coverage_low"], seeds["coverage_high"] - seeds["coverage"]])
    return np.array([seeds["bias_error"]] * 2) if column == "bias" else None
