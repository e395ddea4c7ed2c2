"""Figures of one fit: pulls, ranking of impacts, correlations, likelihood scan."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nuisflow.report.findings import decimals, number
from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings

WORDS = {"asimov": "expected (Asimov data)", "observed": "observed data"}
_RANKED = 20
_CORRELATED = 25
_WRITTEN = 14
"""Correlation matrices up to this size have their numbers in per cent written into the cells."""
_ROW = 0.21
_BEYOND = 2.5
"""The axis of impacts reaches at most this many times the largest postfit impact."""
_DEEPEST = 9.5
"""2 ΔNLL up to which scans are shown: three standard deviations."""


def _kinds(fit: Mapping[str, Any]) -> list[str]:
    return [kind for kind in WORDS if fit.get(kind)]


def _colour(kind: str, kinds: Sequence[str]) -> str:
    """Return ink for what matters most: observed data if there are any."""
    return style.INK if kind == kinds[-1] else style.FAINT


def _is_bin(name: str) -> bool:
    return name.endswith("]")


# --- pulls ----------------------------------------------------------------------------------------------------------


def pulls(fit: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return pulls and constraints of all constrained parameters, and the MC statistics of all bins beside them.

    The pull is (fitted - nominal) / prior standard deviation; its error bar is the constraint, the postfit uncertainty
    in units of the prior's. Parameters without a constraint are written as numbers.
    """
    kinds = _kinds(fit)
    tables = {kind: {parameter["name"]: parameter for parameter in fit[kind]["parameters"]} for kind in kinds}
    first = tables[kinds[-1]]
    constrained = [name for name, p in first.items() if p["pull"] is not None and not _is_bin(name)]
    free = [name for name, p in first.items() if p["pull"] is None and not _is_bin(name)]
    bins = [name for name in first if _is_bin(name)]
    rows = len(constrained) + len(free)
    figure = Figure(figsize=(7.4, max(_ROW * rows, 1.5) + 1.3), layout="constrained")
    panels = figure.subplots(1, 2 if bins else 1, squeeze=False, width_ratios=[2.4, 1] if bins else [1])[0]
    axes = panels[0]
    for width, alpha in ((2, 0.13), (1, 0.20)):
        axes.axvspan(-width, width, color=style.FAINT, alpha=alpha, lw=0)
    axes.axvline(0, color=style.FAINT, lw=0.8)
    for kind in kinds:
        _pull_points(axes, [tables[kind][name] for name in constrained], kind, kinds)
    for row, name in enumerate(free, start=len(constrained)):
        axes.text(0, row, _with_error(first[name]["value"], first[name]["error"]), ha="center", va="center", fontsize=8)
    axes.set_yticks(range(rows), [style.parameter_name(name, settings) for name in (*constrained, *free)])
    axes.set_ylim(rows - 0.4, -0.6)
    reaches = [abs(p["pull"]) + (p["constraint"] or 0) for k in kinds for n in constrained if (p := tables[k].get(n))]
    furthest = max(2.3, 1.1 * max(reaches, default=1))
    axes.set_xlim(-furthest, furthest)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("(fitted − nominal) / prior uncertainty")
    style.heading(axes, settings, "" if len(kinds) > 1 else WORDS[kinds[0]])
    if bins:
        _bin_pulls(panels[1], [first[name] for name in bins], settings)
    if len(kinds) > 1:
        handles = [Line2D([], [], marker="o", ms=4, color=_colour(k, kinds), label=WORDS[k]) for k in kinds]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _with_error(value: float, error: float) -> str:
    """Return a value and its error, to two digits of the error."""
    places = decimals(error, 2)
    return f"{number(value, places)} ± {number(error, places)}"


def _pull_points(axes: Axes, parameters: Sequence[Mapping[str, Any]], kind: str, kinds: Sequence[str]) -> None:
    shift = 0.0 if len(kinds) == 1 else -0.14 if kind == kinds[-1] else 0.14
    axes.errorbar(
        [parameter["pull"] for parameter in parameters],
        np.arange(len(parameters), dtype=float) + shift,
        xerr=[parameter["constraint"] or 0 for parameter in parameters],
        fmt="o",
        ms=3.5,
        lw=1.1,
        color=_colour(kind, kinds),
    )


def _bin_pulls(axes: Axes, parameters: Sequence[Mapping[str, Any]], settings: PlotSettings) -> None:
    """Draw the factors of the bins, grouped by region, against their place."""
    rows: list[int] = list(range(len(parameters)))
    axes.axvline(1, color=style.FAINT, lw=0.8)
    values = np.array([parameter["value"] for parameter in parameters])
    errors = np.array([parameter["error"] or 0 for parameter in parameters])
    axes.errorbar(values, rows, xerr=errors, fmt="o", ms=2, lw=0.7, color=style.VIOLET)
    names = [parameter["name"].partition("[")[0] for parameter in parameters]
    starts = [row for row in rows if row == 0 or names[row] != names[row - 1]]
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        text = names[start].removeprefix("staterror_")
        label = settings.regions.get(text, (text, ""))[0]
        middle = (start + stop - 1) / 2
        style.beside(axes, middle, style.wrapped(label, 16))
        if start:
            axes.axhline(start - 0.5, color=style.FAINT, lw=0.6)
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.3, -0.7)
    widest = 1.15 * float(np.max(np.abs(values - 1) + errors))
    axes.set_xlim(1 - widest, 1 + widest)
    axes.xaxis.set_major_locator(style.ticks(3))
    axes.set_xlabel("γ (MC statistics per bin)")


# --- ranking --------------------------------------------------------------------------------------------------------


def ranking(impacts: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return the parameters with the largest impact on the parameter of interest, and their pulls.

    Filled bars: change of the best fit when the parameter is fixed at its postfit ± 1 standard deviation; outlines: at
    ± 1 prior standard deviation.
    """
    kind = "observed" if (impacts["data"] == "observed").any() else "asimov"
    table = impacts[impacts["data"] == kind]
    if not len(table):
        return style.empty("The fit has no nuisance parameters.")
    size = table[["impact_up", "impact_down"]].abs().max(axis=1)
    table = table.loc[size.sort_values(ascending=False, kind="stable").index[:_RANKED]]
    rows = np.arange(len(table))
    figure = Figure(figsize=(7.4, max(0.25 * len(rows), 0.8) + 1.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.4])
    left.axvspan(-1, 1, color=style.FAINT, alpha=0.2, lw=0)
    left.axvline(0, color=style.FAINT, lw=0.8)
    has_prior = table["pull"].notna().to_numpy()
    left.errorbar(
        *(table["pull"][has_prior], rows[has_prior]),
        xerr=table["constraint"][has_prior].fillna(0),
        **{"fmt": "o", "ms": 3.5, "lw": 1.1, "color": style.INK},
    )
    for row in rows[~has_prior]:
        left.text(0, row, "free", ha="center", va="center", fontsize=8, style="italic")
    furthest = float((table["pull"].abs() + table["constraint"].fillna(0)).max(skipna=True)) if has_prior.any() else 1.0
    left.set_xlim(-max(1.4, 1.1 * furthest), max(1.4, 1.1 * furthest))
    left.set_xlabel("pull")
    _bars(right, table, rows)
    _tell_bars(right, table, [style.parameter_name(name, settings) for name in table["parameter"]])
    poi = style.parameter_name(settings.poi, settings)
    right.set_xlabel(f"impact Δ{poi}")
    left.set_yticks(rows, [f"{style.parameter_name(name, settings)}" for name in table["parameter"]])
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.tick_params(axis="y", length=0)
    right.tick_params(axis="y", length=0)
    style.heading(left, settings)
    every = int((impacts["data"] == kind).sum())
    style.remark(right, WORDS[kind] + (f", first {len(rows)} of {every}" if every > len(rows) else ""))
    figure.legend(handles=_ranking_legend(), loc="outside lower center", ncols=4)
    return figure


def _bars(axes: Axes, table: pd.DataFrame, rows: np.ndarray) -> None:
    """Draw the impacts; the postfit ones decide the range, and an arrow marks a prefit one that leaves it."""
    sizes = {stage: float(table[[f"{stage}_up", f"{stage}_down"]].abs().max().max()) for stage in ("impact", "prefit")}
    widest = 1.1 * np.nanmin([np.nanmax(list(sizes.values())), _BEYOND * sizes["impact"]]) or 1.0
    for side, colour in (("up", style.ORANGE), ("down", style.BLUE)):
        before = table[f"prefit_{side}"].fillna(0).to_numpy()
        axes.barh(rows, before, height=0.72, fc="none", ec=colour, lw=0.9)
        axes.barh(rows, table[f"impact_{side}"].fillna(0), height=0.72, color=colour, lw=0, alpha=0.85)
        for row in rows[np.abs(before) > widest]:
            sign = np.sign(before[row])
            axes.plot(0.96 * sign * widest, row, ">" if sign > 0 else "<", ms=6, color=colour, mew=0)
    axes.set_xlim(-widest, widest)
    axes.axvline(0, color=style.INK, lw=0.8)
    axes.xaxis.set_major_locator(style.ticks(6))
    axes.grid(axis="x", color=style.FAINT, alpha=0.35, lw=0.6)


def _tell_bars(axes: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    """Give the rows of impacts their values as words, over the whole width."""

    def both(row: Mapping[Hashable, Any], stage: str) -> str:
        up, down = (row[f"{stage}_{side}"] for side in ("up", "down"))
        return f"+1σ {up:+.3g}, −1σ {down:+.3g}".replace("-", "−").replace("+nan", "–")

    texts = [
        f"{name}; postfit {both(row, 'impact')}; prefit {both(row, 'prefit')}"
        for name, row in zip(names, table.to_dict("records"), strict=True)
    ]
    rows = np.arange(len(names))[:, None]
    style.areas(axes, np.broadcast_to(axes.get_xlim(), (len(names), 2)), rows + np.array([-0.5, 0.5]), texts)


def _ranking_legend() -> list[Any]:
    return [
        Patch(color=style.ORANGE, alpha=0.85, lw=0, label="postfit +1σ"),
        Patch(color=style.BLUE, alpha=0.85, lw=0, label="postfit −1σ"),
        Patch(fc="none", ec=style.ORANGE, label="prefit +1σ"),
        Patch(fc="none", ec=style.BLUE, label="prefit −1σ"),
    ]


# --- correlations ---------------------------------------------------------------------------------------------------


def correlations(fit: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return the correlation matrix of the most correlated parameters, the parameter of interest first.

    The MC statistics of single bins are left out.
    """
    kind = _kinds(fit)[-1]
    names = list(fit[kind]["correlation"]["names"])
    matrix = np.asarray(fit[kind]["correlation"]["matrix"], dtype=float)
    chosen, left = _most_correlated(names, matrix, settings.poi)
    labels = [style.parameter_name(names[index], settings) for index in chosen]
    if len(chosen) < 2:
        return style.empty(f"{', '.join(labels)} is the only parameter beside the bins: no correlations.")
    values = matrix[np.ix_(chosen, chosen)]
    size = max(0.27 * len(chosen), 1.4)
    figure = Figure(figsize=(size + 2.9, size + 1.9), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(values, cmap="RdBu_r", vmin=-1, vmax=1, edgecolors=style.PAPER, lw=0.5)
    if len(chosen) > _WRITTEN:
        _tell_cells(axes, values, labels)
    else:
        for (row, column), value in np.ndenumerate(values):
            colour = "#fefefe" if abs(value) > 0.6 else "#111111"
            axes.text(column + 0.5, row + 0.5, _per_cent(value), ha="center", va="center", fontsize=7, color=colour)
    places = np.arange(len(chosen)) + 0.5
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    axes.tick_params(length=0)
    axes.set_xlim(0, len(chosen))
    axes.set_ylim(len(chosen), 0)
    axes.set_aspect("equal")
    bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 2.5 / size), aspect=15, pad=0.02)
    bar.set_label("correlation (numbers in %)" if len(chosen) <= _WRITTEN else "correlation")
    bar.outline.set_visible(False)
    style.heading(axes, settings, WORDS[kind] if len(chosen) > 8 else "")
    if left:
        axes.set_xlabel(f"{left} less correlated parameters are not shown", fontsize=8.5, color=style.FAINT)
    return figure


def _tell_cells(axes: Axes, values: np.ndarray, labels: Sequence[str]) -> None:
    """Give the cells of a matrix, too small for numbers, their values as words."""
    places = np.array(list(np.ndindex(values.shape)))
    texts = [f"{labels[row]}, {labels[column]}: {_per_cent(values[row, column])} %" for row, column in places]
    style.areas(axes, places[:, 1:] + np.array([0, 1]), places[:, :1] + np.array([0, 1]), texts)


def _per_cent(value: float) -> str:
    return str(round(100 * float(value))).replace("-", "−")


def _most_correlated(names: Sequence[str], matrix: np.ndarray, poi: str) -> tuple[list[int], int]:
    """Return the places of the parameters to show, in the order of the fit, and how many are left out."""
    candidates = [index for index, name in enumerate(names) if not _is_bin(name) and name != poi]
    away = np.abs(matrix - np.eye(len(names)))
    strongest = sorted(candidates, key=lambda index: -away[index, [*candidates, *_place(names, poi)]].max(initial=0))
    kept = sorted(strongest[: _CORRELATED - 1])
    return [*_place(names, poi), *kept], len(candidates) - len(kept)


def _place(names: Sequence[str], poi: str) -> list[int]:
    return [index for index, name in enumerate(names) if name == poi]


# --- likelihood scan ------------------------------------------------------------------------------------------------


def scan(table: pd.DataFrame, settings: PlotSettings) -> Figure:
    """Return the profile likelihood against the parameter of interest, with its one and two standard deviations."""
    kinds = [kind for kind in WORDS if (table["data"] == kind).any()]
    if not kinds:
        return style.empty("No scan.")
    figure = Figure(figsize=(5.2, 3.5), layout="constrained")
    axes = figure.subplots()
    poi = style.parameter_name(settings.poi, settings)
    shown = []
    for kind in kinds:
        mine = table[table["data"] == kind].sort_values("mu")
        near = mine[mine["delta"] <= _DEEPEST]
        shown += list(near["mu"])
        style_of = "-" if kind == kinds[-1] else (0, (4, 2))
        axes.plot(mine["mu"], mine["delta"], color=style.BLUE, ls=style_of, label=WORDS[kind])
    for level, text in ((1, "68 %"), (4, "95 %"), (9, "99.7 %")):
        axes.axhline(level, color=style.FAINT, lw=0.8, ls=":")
        style.beside(axes, level, text)
    margin = 0.02 * np.ptp(shown) if len(shown) > 1 else 0.1
    axes.set_xlim(min(shown) - margin, max(shown) + margin)
    axes.set_ylim(0, _DEEPEST)
    axes.set_xlabel(poi)
    axes.set_ylabel("−2 Δ ln L")
    figure.legend(loc="outside lower center", ncols=2)
    style.heading(axes, settings)
    style.remark(axes, style.luminosity(settings))
    return figure


def contours(found: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return the contours of two parameters, and the best fit in them.

    *found*: names of both, the best fit, and points ("lines") with the level of their contour.
    """
    table, (x, y) = pd.DataFrame(found["lines"]), found["names"]
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    for (level, line), style_of in zip(table.groupby("level", sort=True), ("-", (0, (4, 2))), strict=False):
        closed = pd.concat([line, line.iloc[:1]])
        axes.plot(closed[x], closed[y], color=style.BLUE, ls=style_of, label=f"{100 * float(str(level)):.0f} %")
    axes.plot(*found["best"], "+", ms=9, color=style.INK, label="best fit")
    axes.set_xlabel(style.parameter_name(x, settings))
    axes.set_ylabel(style.parameter_name(y, settings))
    axes.xaxis.set_major_locator(style.ticks(6))
    axes.legend()
    style.heading(axes, settings)
    return figure
