"""Figures that compare trainings: uncertainties, signal strengths, coverage; and how each training went."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nuisflow.report import colours, findings
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

NAMES = ("uncertainties", "signal_strength", "coverage")
TARGET = 0.682689492137
"""Probability of one Gaussian standard deviation."""
_ROW = 0.42
"""Height of a training's row in inches."""
_FAILED = "no fit converged"
_ABSENT: dict[str, Any] = {"fontsize": 8, "color": style.FAINT, "va": "center"}


class Part(NamedTuple):
    """One source of uncertainty: its column and its title."""

    column: str
    label: str


PARTS = (
    Part("sigma", "total"),
    Part("sigma_stat", "statistical"),
    Part("sigma_syst", "systematic"),
    Part("sigma_mcstat", "MC statistics"),
)


def uncertainties(summary: pd.DataFrame, trainings: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return the uncertainty of every training, total and by source, on Asimov data, in the order of the configuration.

    Every seed is a point, the median a line; open diamonds are the medians on observed data. All panels have the same
    scale, so that lengths compare.
    """
    medians = _configured(trainings, settings)
    seeds = _of(summary[summary["converged"]], "asimov")
    observed = _of(trainings, "observed").set_index("training")
    if not len(seeds):
        return style.empty("No fit to Asimov data converged.")
    names = list(medians["training"])
    height = _ROW * len(names) + 1.35
    figure = Figure(figsize=(9.2, height), layout="constrained")
    panels = figure.subplots(1, len(PARTS), sharey=True, width_ratios=[1.5, 1, 1, 1])
    spread = max(_range(seeds, part, observed if part is PARTS[0] else None)[1] for part in PARTS)
    for axes, part in zip(panels, PARTS, strict=True):
        low, width = _range(seeds, part, observed if part is PARTS[0] else None)
        _uncertainty_panel(axes, part, seeds, medians, settings)
        span = 1.3 * spread * (1.5 if part is PARTS[0] else 1)
        axes.set_xlim(start := max(low + width / 2 - span / 2, -0.08 * span), start + span)
        axes.xaxis.set_major_locator(style.ticks(6 if part is PARTS[0] else 3))
    if len(observed):
        rows = [observed["sigma"].get(name, np.nan) for name in names]
        panels[0].plot(rows, range(len(names)), "D", ms=6, mfc="none", mec=style.INK, ls="none", zorder=4)
    panels[0].axvline(medians["sigma"].min(), color=style.FAINT, lw=1, ls=":", zorder=1)
    _training_rows(panels[0], medians, settings)
    for row, (_, training) in enumerate(medians.iterrows()):
        best = training["sigma"] == medians["sigma"].min()
        compared = "" if len(names) == 1 else "best" if best else findings.percent(training["relative"])
        failed = np.isnan(training["sigma"])
        style.beside(panels[-1], row, _FAILED if failed else f"{training['sigma']:#.3g}   {compared}".rstrip())
    style.heading(panels[0], settings, "expected uncertainties", lift=20)
    style.remark(panels[-1], style.luminosity(settings), lift=20)
    figure.supxlabel(f"uncertainty of {style.parameter_name(settings.poi, settings)}", fontsize=10)
    figure.legend(handles=_seed_legend(bool(len(observed))), loc="outside lower right", ncols=3, handletextpad=0.4)
    return figure


def _of(table: pd.DataFrame, data: str) -> pd.DataFrame:
    return table[table["data"] == data]


def _configured(trainings: pd.DataFrame, settings: PlotSettings) -> pd.DataFrame:
    """Return the rows of the fits to Asimov data in the order of the configuration."""
    order = {name: place for place, name in enumerate(settings.trainings)}
    return _of(trainings, "asimov").sort_values("training", key=lambda names: names.map(order), kind="stable")


def _range(seeds: pd.DataFrame, part: Part, observed: pd.DataFrame | None) -> tuple[float, float]:
    """Return the smallest value of a panel and the distance to the largest."""
    values = np.concatenate([seeds[part.column], observed[part.column] if observed is not None else []])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    return float(values.min()), float(np.ptp(values)) or 0.02 * abs(float(values[0]))


def _uncertainty_panel(
    axes: Axes, part: Part, seeds: pd.DataFrame, medians: pd.DataFrame, settings: PlotSettings
) -> None:
    looks = colours.of_trainings(settings)
    for row, (_, training) in enumerate(medians.iterrows()):
        values = seeds.loc[seeds["training"] == training["training"], part.column].to_numpy()
        offsets = np.linspace(-0.14, 0.14, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(
            values, row + offsets, "o", ms=4.5, color=looks[training["training"]].colour, alpha=0.85, mew=0, zorder=3
        )
        if np.isnan(training[part.column]) and not np.isnan(training["sigma"]):
            axes.text(0.05, row, "not included", transform=axes.get_yaxis_transform(), **_ABSENT)
        axes.plot([training[part.column]] * 2, [row - 0.28, row + 0.28], color=style.INK, lw=1.6, zorder=2)
    axes.set_title(part.label, fontsize=9.5, pad=5)
    axes.grid(axis="x", color=style.FAINT, alpha=0.35, lw=0.6)
    axes.tick_params(axis="y", which="both", length=0)


def _training_rows(axes: Axes, medians: pd.DataFrame, settings: PlotSettings) -> None:
    """Name the rows of *axes* after the trainings, the first of the configuration on top."""
    names = [style.wrapped(settings.trainings.get(name, name)) for name in medians["training"]]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def _seed_legend(observed: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], marker="o", ls="none", ms=4, color=style.FAINT, mew=0, label="one seed"),
        Line2D([], [], marker="|", ls="none", ms=9, mew=1.6, color=style.INK, label="median"),
    ]
    diamond = Line2D([], [], marker="D", ls="none", ms=6, mfc="none", mec=style.INK, label="observed data (median)")
    return [*handles, diamond] if observed else handles


# --- the measured signal strength -----------------------------------------------------------------------------------


def signal_strength(summary: pd.DataFrame, trainings: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return best fit and profile-likelihood interval of every training and seed, expected and observed."""
    medians, looks = _configured(trainings, settings), colours.of_trainings(settings)
    good = summary[summary["converged"]]
    if not len(good):
        return style.empty("No fit converged.")
    kinds = [kind for kind in ("asimov", "observed") if (good["data"] == kind).any()]
    figure = Figure(figsize=(8.4, _ROW * len(medians) * (1 + 0.35 * (len(kinds) - 1)) + 1.15), layout="constrained")
    axes = figure.subplots()
    for kind in kinds:
        for row, name in enumerate(medians["training"]):
            colour = looks[name].colour if kind == kinds[-1] else style.FAINT
            mine = good[(good["data"] == kind) & (good["training"] == name)]
            if not len(good[good["training"] == name]):
                axes.text(0.02, row, _FAILED, transform=axes.get_yaxis_transform(), **_ABSENT)
            _intervals(axes, mine, row + (0 if len(kinds) == 1 else 0.2 * (1 if kind == "asimov" else -1)), colour)
    axes.axvline(1, color=style.FAINT, lw=1, ls=":", zorder=1)
    _training_rows(axes, medians, settings)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.FAINT, alpha=0.35, lw=0.6)
    axes.set_xlabel(f"{style.parameter_name(settings.poi, settings)} (best fit and 68 % profile-likelihood interval)")
    words = {"asimov": "expected (Asimov data)", "observed": "observed data"}
    handles = [
        Line2D([], [], marker="o", ms=4, color=style.INK if kind == kinds[-1] else style.FAINT, label=words[kind])
        for kind in kinds
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    style.heading(axes, settings, "one interval per seed")
    style.remark(axes, style.luminosity(settings))
    return figure


def _intervals(axes: Axes, seeds: pd.DataFrame, row: float, colour: str) -> None:
    offsets = np.linspace(-0.12, 0.12, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds))
    errors = np.nan_to_num(seeds[["sigma_down", "sigma_up"]].to_numpy().T)
    axes.errorbar(seeds["mu"], row + offsets, xerr=errors, fmt="o", ms=3.5, lw=1.1, color=colour, capsize=1.5)


# --- pseudo-experiments ---------------------------------------------------------------------------------------------


def coverage(table: pd.DataFrame, trainings: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return coverage, mean and width of the pulls of every training and seed, at every true value of the parameter."""
    if not len(table):
        return style.empty("No pseudo-experiments were thrown.")
    medians, looks = _configured(trainings, settings), colours.of_trainings(settings)
    truths = sorted(table["mu_true"].unique())
    height = max(_ROW, 0.2 * len(truths) + 0.2) * len(medians) + 1.15
    figure = Figure(figsize=(9.2, height), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=[1.5, 1, 1])
    poi = style.parameter_name(settings.poi, settings)
    titles = ("coverage of the 68.3 % interval", "mean of the pulls", "width of the pulls")
    for axes, title, expected in zip(panels, titles, (TARGET, 0.0, 1.0), strict=True):
        axes.axvline(expected, color=style.INK, lw=1, ls=":", zorder=1)
        axes.set_xlabel(title, fontsize=9.5)
        axes.grid(axis="x", color=style.FAINT, alpha=0.35, lw=0.6)
        axes.tick_params(axis="y", length=0)
    for index, truth in enumerate(truths):
        place = (index - (len(truths) - 1) / 2) * 0.7 / len(truths)
        for row, name in enumerate(medians["training"]):
            mine = table[(table["mu_true"] == truth) & (table["training"] == name)]
            look = {"color": looks[name].colour, "marker": _MARKERS[index % len(_MARKERS)]}
            _coverage_row(panels, mine, row + place, 0.2 / len(truths), look)
    for axes, expected, most in zip(panels, (TARGET, 0.0, 1.0), (6, 4, 4), strict=True):
        low, high = axes.get_xlim()
        width = max(high - expected, expected - low, 1e-3) * 1.1
        axes.set_xlim(expected - width, expected + width)
        axes.xaxis.set_major_locator(style.ticks(most))
    _training_rows(panels[0], medians, settings)
    handles = [
        Line2D(
            [],
            [],
            ls="none",
            ms=4,
            color=style.INK,
            marker=_MARKERS[index % len(_MARKERS)],
            label=f"true {poi} = {truth:g}",
        )
        for index, truth in enumerate(truths)
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 5))
    return figure


_MARKERS = ("o", "s", "^", "D", "v", "P")
"""One for every true value."""


def _coverage_row(
    panels: Sequence[Axes], seeds: pd.DataFrame, row: float, spread: float, look: Mapping[str, str]
) -> None:
    places = row + (np.linspace(-spread, spread, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds)))
    value = seeds["coverage"]
    errors = np.array([value - seeds["coverage_low"], seeds["coverage_high"] - value])
    options: dict[str, Any] = {"ls": "none", "ms": 3.5, "lw": 0, "elinewidth": 1} | dict(look)
    panels[0].errorbar(value, places, xerr=errors, **options)
    root = np.sqrt(seeds["toys"] - seeds["failed"])
    width = seeds["pull_width"]
    # The uncertainty of a mean and of a standard deviation over the toys.
    panels[1].errorbar(seeds["pull_mean"], places, xerr=width / root, **options)
    panels[2].errorbar(width, places, xerr=width / root / np.sqrt(2), **options)


# --- how a training went --------------------------------------------------------------------------------------------


def history(seeds: Mapping[int, pd.DataFrame]) -> Figure:
    """Return every term of the loss, in training and validation, and the AUC against the events seen.

    One line per seed, fold and member of an ensemble; a dot marks the epoch whose network is kept. Of what learns
    nothing it is words.
    """
    if not any((table["events_seen"] > 0).any() for table in seeds.values()):
        return style.empty("nothing is learnt")
    columns = list(next(iter(seeds.values())).columns)
    terms = [name.removeprefix("train_") for name in columns if name.startswith("train_")]
    terms += [name for name in ("auc",) if name in columns]
    figure = Figure(figsize=(3.3 * min(len(terms), 3) + 0.3, 2.5 * -(-len(terms) // 3) + 0.35), layout="constrained")
    panels = np.ravel(figure.subplots(-(-len(terms) // 3), min(len(terms), 3), squeeze=False))
    for axes, term in zip(panels, terms, strict=False):
        for table in seeds.values():
            for _, lines in table.groupby([name for name in ("fold", "member") if name in table]):
                _history_lines(axes, lines, term)
        axes.set_ylabel("AUC (validation)" if term == "auc" else term.replace("_", " "))
        axes.margins(x=0.02)
        axes.set_xlabel("events seen (millions)")
    for axes in panels[len(terms) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], color=style.BLUE, label="training"),
        Line2D([], [], color=style.ORANGE, label="validation"),
        Line2D([], [], color=style.INK, marker="o", ms=4, ls="none", label="kept"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)
    return figure


def _history_lines(axes: Axes, fold: pd.DataFrame, term: str) -> None:
    seen = fold["events_seen"] / 1e6
    pairs = ((f"train_{term}", style.BLUE), (f"validation_{term}", style.ORANGE))
    for name, colour in ((term, style.ORANGE),) if term == "auc" else pairs:
        if name in fold:
            axes.plot(seen, fold[name], color=colour, lw=1.1, alpha=0.75)
    kept = fold.get("kept", pd.Series(0, index=fold.index)) > 0
    if name in fold:
        axes.plot(seen[kept], fold.loc[kept, name], "o", ms=4, color=style.INK, zorder=4)
