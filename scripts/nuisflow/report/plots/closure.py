"""The figure of closure of one training: normalisation, features, calibration, and uncertainty by bins."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

Json = Mapping[str, Any]
MARKERS = ("o", "s", "^", "D", "v", "P")
_LINES = 4
"""Features that are drawn, those that differ most."""


def figure(closure: Json, settings: PlotSettings) -> Figure:
    """Return four panels, and two more of observed events; *closure*: what closure.json says."""
    observed = closure.get("observed")
    drawn = Figure(figsize=(9.2, 9.9 if observed else 6.6), layout="constrained")
    panels = drawn.subplots(3 if observed else 2, 2).ravel()
    _normalisation(panels[0], closure, settings)
    _features(panels[1], closure, settings)
    _calibration(panels[2], closure, settings)
    _convergence(panels[3], closure, settings)
    if observed:
        _log_ratio(panels[4], observed["log_ratio"])
        _data(panels[5], observed["features"])
    for axes in panels:
        axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)
        axes.legend(fontsize=7.5, loc="best")
    style.heading(panels[0], settings)
    return drawn


def _normalisation(axes: Axes, closure: Json, settings: PlotSettings) -> None:
    """Draw mean response over counted yield along every parameter; open: two moved at once, at the z of the first."""
    rows, labels = closure["normalisation"]["places"], style.labels(settings)
    names = list(dict.fromkeys(name for row in rows for name in row["z"]))
    for process in dict.fromkeys(row["process"] for row in rows):
        colour = style.colours(settings).get(process, style.INK)
        for name, marker in zip(names, MARKERS * (1 + len(names) // len(MARKERS)), strict=False):
            mine = [row for row in rows if row["process"] == process and next(iter(row["z"])) == name]
            for alone in (True, False):
                some = [row for row in mine if (len(row["z"]) == 1) == alone]
                if not some:
                    continue
                words = f"{labels.get(process, process)}, {style.parameter_name(name, settings)}"
                look: dict[str, Any] = {"label": words} if alone else {"mfc": style.PAPER}
                axes.errorbar(
                    [row["z"][name] + (0.0 if alone else 0.1) for row in some],
                    [100 * row["response"] for row in some],
                    yerr=[100 * row["response_error"] for row in some],
                    **_points(colour, fmt=marker, ls="-" if alone else "none", **look),
                )
    axes.axhline(0, color=style.INK, lw=0.8, ls=":")
    axes.set_xlabel("z (open: a second parameter at ±1)")
    axes.set_ylabel("mean response / counted yield − 1 (%)")


def _features(axes: Axes, closure: Json, settings: PlotSettings) -> None:
    """Draw reweighted over true contents of the features that differ most, bin by bin."""
    labels = style.labels(settings)
    palette = (style.BLUE, style.ORANGE, style.VIOLET, style.RED)
    for colour, row in zip(
        palette, [r for r in closure["reweighting"]["features"] if "first" in r][:_LINES], strict=False
    ):
        first, second, error = (np.array(row[name]) for name in ("first", "second", "error"))
        good = second > 0
        words = f"{row['feature']}, {labels.get(row['process'], row['process'])}, {_place(row, settings)}"
        place = np.arange(1, len(first) + 1)[good]
        axes.errorbar(
            place,
            first[good] / second[good],
            yerr=error[good] / second[good],
            **_points(colour, fmt="o", ls="-"),
            label=f"{words}: χ² {row['chi2']:.0f}/{row['ndof']}",
        )
    axes.axhline(1, color=style.INK, lw=0.8, ls=":")
    _room(axes)
    axes.set_xlabel("bin of the feature, of equal contents")
    axes.set_ylabel("learned / true")


def _place(row: Json, settings: PlotSettings) -> str:
    """Return where, with the words for parameters."""
    parts = [part.split(" = ") for part in row["place"].split(", ")]
    values = ([value.replace("-", "−") for value in part[1:]] for part in parts)  # a name may have a hyphen
    names = (style.parameter_name(part[0], settings) for part in parts)
    return ", ".join(" = ".join([name, *value]) for name, value in zip(names, values, strict=True))


def _calibration(axes: Axes, closure: Json, settings: PlotSettings) -> None:
    """Draw true over predicted ratios in bins of the predicted one, before and after the calibration."""
    labels = style.labels(settings)
    for row in closure["calibration"]:
        if row["kind"] != "ratio":
            continue
        colour = style.colours(settings).get(row["process"], style.INK)
        for stage, options in (("before", {"mfc": style.PAPER, "ls": "none"}), ("after", {"ls": "-"})):
            predicted, true, error = (np.array(row[stage][name]) for name in ("predicted", "true", "error"))
            axes.errorbar(
                predicted,
                true / predicted,
                yerr=error / predicted,
                **_points(colour, fmt="o", **options),
                label=f"{labels.get(row['process'], row['process'])}, {stage}",
            )
    axes.axhline(1, color=style.INK, lw=0.8, ls=":")
    _room(axes)
    axes.set_xlabel("predicted share of the process in the reference")
    axes.set_ylabel("true / predicted")


def _convergence(axes: Axes, closure: Json, settings: PlotSettings) -> None:
    """Draw the uncertainty by bins of the ratio, and that of single events."""
    found = closure["convergence"]
    axes.plot(
        [row["bins"] for row in found["binned"]],
        [row["sigma"] for row in found["binned"]],
        "o-",
        ms=4,
        color=style.BLUE,
        label="templates of the ratio",
    )
    axes.axhline(found["unbinned"], color=style.INK, lw=1, ls=":", label="single events")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks([row["bins"] for row in found["binned"]], [str(row["bins"]) for row in found["binned"]])
    axes.set_xlabel("bins")
    axes.set_ylabel(f"σ({style.parameter_name(settings.poi, settings)})")


def _log_ratio(axes: Axes, row: Json) -> None:
    """Draw the distribution of ln R in data and in the fitted model, events per unit of ln R."""
    edges, first, second, error = (np.array(row[name]) for name in ("edges", "first", "second", "error"))
    width = np.diff(edges)
    centre = 0.5 * (edges[1:] + edges[:-1])
    axes.stairs(first / width, edges, color=style.BLUE, lw=1.2, label="fitted model")
    look = _points(style.INK, fmt="o", ls="none", label=f"data: χ² {row['chi2']:.0f}/{row['ndof']}")
    axes.errorbar(centre, second / width, yerr=error / width, xerr=0.5 * width, **look)
    rows = {"fitted model": [f"{value:.4g}" for value in first], "data": style.with_errors(second, error)}
    style.tell_bins(axes, edges, "ln R", rows)
    axes.set_yscale("log")
    axes.set_xlabel("ln R at the best fit")
    axes.set_ylabel("events per unit of ln R, same sum")


def _data(axes: Axes, rows: Sequence[Json]) -> None:
    """Draw data over fitted model of the features that differ most, bin by bin."""
    palette = (style.BLUE, style.ORANGE, style.VIOLET, style.RED)
    for colour, row in zip(palette, rows[:_LINES], strict=False):
        first, second, error = (np.array(row[name]) for name in ("first", "second", "error"))
        good = first > 0
        place = np.arange(1, len(first) + 1)[good]
        words = f"{row['feature']}: χ² {row['chi2']:.0f}/{row['ndof']}"
        look = _points(colour, fmt="o", ls="-", label=words)
        axes.errorbar(place, second[good] / first[good], yerr=error[good] / first[good], **look)
    axes.axhline(1, color=style.INK, lw=0.8, ls=":")
    _room(axes)
    axes.set_xlabel("bin of the feature, of equal contents in the data")
    axes.set_ylabel("data / fitted model")


def _points(colour: str, **options: Any) -> dict[str, Any]:
    """Return how points look."""
    return {"ms": 3.5, "lw": 1, "color": colour} | options


def _room(axes: Axes) -> None:
    """Leave room for the legend above the points."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.55 * (high - low))
