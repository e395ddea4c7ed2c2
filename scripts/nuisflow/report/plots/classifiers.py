"""Figures of what classifiers know: scores of seen and of held-out events, ROC curves, reliability."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nuisflow.report import colours
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

Curves = Mapping[str, Any]
_CLASSES = (("background", style.BLUE), ("signal", style.RED))


def compared(curves: Sequence[Curves], settings: PlotSettings) -> Figure:
    """Return ROC curves and reliability of all trainings, the first seed of each."""
    first = [min(own, key=lambda one: one["seed"]) for own in _by_training(curves, settings).values()]
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    looks = colours.of_trainings(settings)
    handles = []
    for one in first:
        look: dict[str, Any] = {"color": looks[one["training"]].colour, "ls": looks[one["training"]].line, "lw": 1.3}
        if one["roc"]:
            _rejection(left, one["roc"], **look)
        if points := one["points_calibrated" if one.get("calibrated") else "points"]:
            score, share, _ = np.asarray(points)
            right.plot(score, share - score, marker="o", ms=3, **look)
        handles.append(Line2D([], [], label=style.wrapped(settings.trainings[one["training"]]), **look))
    _roc_axes(left)
    _reliability_axes(right)
    style.heading(left, settings, "held-out events")
    figure.legend(handles=handles, loc="outside right upper")
    return figure


def training(curves: Sequence[Curves], settings: PlotSettings) -> Figure:
    """Return scores of seen and held-out events, ROC curves of all networks, and reliability, also after calibration.

    *curves*: those of the seeds of one training; distributions and reliability are of the first. A network of every
    fold and seed is two thin lines, of held-out events and of those that it has seen.
    """
    first = min(curves, key=lambda one: one["seed"])
    figure = Figure(figsize=(9.6, 3.3), layout="constrained")
    scores, roc, reliability = figure.subplots(1, 3)
    _scores(scores, first)
    _networks(roc, curves)
    _roc_axes(roc)
    names = ("before", "score (calibrated)") if first.get("calibrated") else ("score", "calibrated")
    looks = {"points": (names[0], style.INK, style.INK), "points_calibrated": (names[1], style.ORANGE, "none")}
    for key, (label, colour, fill) in looks.items():
        if first.get(key):
            score, share, error = np.asarray(first[key])
            reliability.errorbar(
                score, share - score, error, fmt="o", ms=3.5, lw=1, color=colour, mfc=fill, label=label
            )
    _reliability_axes(reliability)
    if first.get("points"):
        reliability.legend(loc="upper center", ncols=2, fontsize=7.5)
    style.heading(scores, settings)
    return figure


def _by_training(curves: Sequence[Curves], settings: PlotSettings) -> dict[str, list[Curves]]:
    found = {name: [one for one in curves if one["training"] == name] for name in settings.trainings}
    return {name: own for name, own in found.items() if own}


def _scores(axes: Axes, one: Curves) -> None:
    """Draw distributions of the score: filled what the networks have seen, points what they have not."""
    edges = np.linspace(0, 1, len(one["held_out"][0][0]) + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    rows: dict[str, list[str]] = {}
    for index, (name, colour) in enumerate(_CLASSES):
        share, error = one["held_out"][index]
        rows[f"{name}, held out"] = style.with_errors(share, error)
        if one["trained"]:
            rows[f"{name}, seen"] = style.with_errors(*one["trained"][index])
            axes.stairs(one["trained"][index][0], edges, fill=True, color=colour, alpha=0.3, lw=0)
        axes.errorbar(centres, share, error, fmt="o", ms=2.5, lw=0.9, color=colour)
    style.tell_bins(axes, edges, "score", rows)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # the legend stands above the bins
    axes.set_xlabel("score", fontsize=9)
    axes.set_ylabel("share of events", fontsize=9)
    handles: list[Any] = [Patch(color=colour, label=name) for name, colour in _CLASSES]
    handles += [Line2D([], [], marker="o", ms=3, ls="none", color=style.INK, label="held out")]
    handles += [Patch(color=style.INK, alpha=0.3, label="seen in training")] if one["trained"] else []
    axes.legend(handles=handles, fontsize=7.5, loc="upper center", ncols=2, columnspacing=1.0)


_KINDS = {"seen": ("seen in training", style.ORANGE), "held_out": ("held out", style.INK)}


def _networks(axes: Axes, curves: Sequence[Curves]) -> None:
    """Draw the ROC curves of the networks of every fold and seed."""
    networks = [network for one in curves for network in one["networks"]]
    handles = []
    for kind, (label, colour) in _KINDS.items():
        shown = [network[kind] for network in networks if network[kind]]
        for curve in shown:
            _rejection(axes, curve, color=colour, lw=0.7, alpha=0.6)
        handles += [Line2D([], [], color=colour, lw=1, label=f"{label} ({len(shown)})")] if shown else []
    if handles:
        axes.legend(handles=handles[::-1], fontsize=7.5, loc="lower right", title="networks", title_fontsize=7.5)


def _rejection(axes: Axes, curve: Sequence[Sequence[float]], **look: Any) -> None:
    background, signal = np.asarray(curve)
    shown = background > 0
    axes.plot(signal[shown], background[shown], **look)


def _roc_axes(axes: Axes) -> None:
    style.powers(axes)
    axes.minorticks_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(1e-4, 1)
    axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)
    axes.set_xlabel("signal efficiency", fontsize=9)
    axes.set_ylabel("background efficiency", fontsize=9)


def _reliability_axes(axes: Axes) -> None:
    axes.axhline(0, color=style.FAINT, lw=1, ls=":")
    axes.set_xlim(0, 1)
    reach = 1.2 * max(0.02, *np.abs(axes.get_ylim()))
    axes.set_ylim(-reach, reach)
    axes.grid(color=style.FAINT, alpha=0.35, lw=0.6)
    axes.set_xlabel("score", fontsize=9)
    axes.set_ylabel("share of signal − score", fontsize=9)
