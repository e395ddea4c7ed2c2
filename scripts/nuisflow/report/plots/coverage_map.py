"""The figure of coverage along every parameter, at random true points."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nuisflow.comparison.trainings import Run
from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

_ACROSS, _REACH = 4, 2.5
"""Panels in a row; standard deviations to which open cells are drawn."""


def figure(maps: Mapping[Run, Mapping[str, Any]], settings: PlotSettings) -> Figure:
    """Return one panel per parameter and one colour per training: coverage in cells (points), the regression (lines).

    *maps*: as of `likelihood.coverage.summary`.
    """
    order = [name for name in settings.trainings if any(run.training == name for run in maps)]
    found = {run.training: told for run, told in maps.items()}
    names = list(dict.fromkeys(row["parameter"] for name in order for row in found[name]["curves"]))
    rows = math.ceil((len(names) + 1) / _ACROSS)
    drawn = Figure(figsize=(9.2, 2.15 * rows + 0.5), layout="constrained")
    panels = drawn.subplots(rows, _ACROSS, sharey=True, squeeze=False)
    looks = colours.of_trainings(settings)
    for axes, parameter in zip(panels.flat, names, strict=False):
        axes.axhline(100 * next(iter(found.values()))["level"], color=style.INK, lw=1, ls=":", zorder=1)
        for place, name in enumerate(order):
            _draw(axes, found[name], parameter, looks[name].colour, (place + 0.5) / len(order) - 0.5)
        of_interest = parameter == settings.poi
        unit = "" if of_interest else " / σ"
        axes.set_xlabel(f"true {style.parameter_name(parameter, settings)}{unit}", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(style.ticks(5))
        axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)
    spare = panels.flat[len(names)]
    for axes in panels.flat[len(names) :]:
        axes.axis("off")
    handles = [spare.plot([], [], "o-", ms=3.5, lw=1.2, color=looks[name].colour)[0] for name in order]
    labels = [style.wrapped(settings.trainings[name]) for name in order]
    spare.legend(handles, labels, loc="center left", fontsize=8.5, frameon=False)
    for row in panels:
        row[0].set_ylabel("coverage / %", fontsize=9)
    style.heading(panels[0][0], settings)
    return drawn


def _draw(axes: Axes, told: Mapping[str, Any], parameter: str, colour: str, shift: float) -> None:
    """Draw cells with Clopper-Pearson errors, beside those of other trainings, and the regression with its band."""
    for curve in (row for row in told["curves"] if row["parameter"] == parameter):
        x, y, error = (np.array(curve[name]) for name in ("values", "coverage", "error"))
        axes.plot(x, 100 * y, lw=1.2, color=colour)
        axes.fill_between(x, 100 * (y - error), 100 * (y + error), color=colour, alpha=0.2, lw=0)
    for cell in told["cells"]:
        (side,) = cell["sides"]
        if side["parameter"] != parameter or not cell["number"]:
            continue
        low, high = (end if end is not None else sign * _REACH for end, sign in ((side["low"], -1), (side["high"], 1)))
        errors = [[100 * (cell["coverage"] - cell["coverage_low"])], [100 * (cell["coverage_high"] - cell["coverage"])]]
        place = 0.5 * (low + high) + 0.5 * shift * (high - low)
        axes.errorbar(place, 100 * cell["coverage"], yerr=errors, fmt="o", ms=3, lw=1, color=colour)
