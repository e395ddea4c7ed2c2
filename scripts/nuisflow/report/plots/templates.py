"""Figures of templates: stacked yields with data and uncertainty, and what the variations do to each process."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nuisflow.report.plots import style
from nuisflow.slices.report import PlotSettings
from nuisflow.templates import smoothing
from nuisflow.templates.binning import Content

STAGES = ("prefit", "postfit")
_MOST_ROWS, _MOST_COLUMNS = 10, 6
_MARGIN, _MIDDLE, _HALF = 0.04, 0.43, 0.39
"""Of a cell of one unit: the margin at its sides, where its curves have their zero, and how far they reach."""
_SIDES = {"up": style.ORANGE, "down": style.BLUE}
_DASHES = (0, (3, 1.5))
_SIGNAL = "signal alone;\nbelow: total\nwithout signal"
_REACH = 1.05
"""A ratio panel reaches from 0 to 2 at most, and a little beyond, so that a point at 0 is seen."""
_LOGARITHMIC = 50.0
"""Yields spanning more than this factor are shown on a logarithmic axis, as is a signal that is relatively smaller."""


def stacked(fit: Mapping[str, Any], region: str, settings: PlotSettings) -> Figure:
    """Return the stacked yields of *region* before and after the fit, and their ratio to the total.

    *fit* is the content of fit.json. With observed data these are shown; else the stack of the Asimov fit, whose data
    are the total itself. Processes are stacked as the configuration lists them, the first on top, the signal above all.
    """
    result = fit.get("observed") or fit["asimov"]
    shown = bool(fit.get("observed"))
    stages = [(stage, result["yields"][stage][region]) for stage in STAGES if region in result["yields"].get(stage, {})]
    if not stages:
        return style.empty(f"No yields of {region} in the fit.")
    figure = Figure(figsize=(4.1 * len(stages) + 1.6, 4.5), layout="constrained")
    panels = figure.subplots(2, len(stages), squeeze=False, sharex="col", sharey="row", height_ratios=[2.6, 1])
    spread = 0.01
    for column, (stage, yields) in enumerate(stages):
        chosen = style.bins(yields["edges"])
        _stack(panels[0, column], chosen, yields, settings, shown)
        for axes in panels[:, column]:
            words = contents(yields, settings, shown)
            style.tell_bins(axes, chosen.edges, settings.regions[region][1], words, chosen.values)
        spread = max(spread, _ratio(panels[1, column], chosen, yields, settings, shown))
        style.binned_axis(panels[0, column], chosen, None)
        style.binned_axis(panels[1, column], chosen, settings.regions[region][1])
        style.remark(panels[0, column], "before the fit" if stage == "prefit" else "after the fit")
    style.heading(panels[0, 0], settings, "" if shown else "blinded" if settings.blinded else "expected")
    _limits(panels[0], [yields for _, yields in stages], settings)
    panels[1, 0].set_ylim(1 - min(1.2 * spread, _REACH), 1 + min(1.2 * spread, _REACH))
    for column, (_, yields) in enumerate(stages if shown else ()):
        _arrows(panels[1, column], style.bins(yields["edges"]), yields)
    panels[0, 0].set_ylabel("Events / bin")
    panels[1, 0].set_ylabel("ratio to total")
    figure.align_ylabels(panels[:, 0])
    handles = _legend(stages[0][1], settings, shown)
    title = "\n".join(filter(None, (style.wrapped(settings.regions[region][0], 20), style.luminosity(settings))))
    figure.legend(handles=handles, loc="outside right upper", title=title, title_fontsize=9, alignment="left")
    return figure


def _order(yields: Mapping[str, Any], settings: PlotSettings) -> list[str]:
    """Return the processes from the top of the stack to its bottom."""
    names = [name for name in settings.processes if name in yields["samples"]]
    names += [name for name in yields["samples"] if name not in names]
    return sorted(names, key=lambda name: name not in _signals(settings))


def _signals(settings: PlotSettings) -> list[str]:
    return [name for name, process in settings.processes.items() if process.role == "signal"]


def _signal(yields: Mapping[str, Any], settings: PlotSettings) -> np.ndarray:
    found = [np.asarray(yields["samples"][name], float) for name in _signals(settings) if name in yields["samples"]]
    return np.sum(found, axis=0) if found else np.zeros(len(yields["total"]))


def _is_logarithmic(yields: Mapping[str, Any], settings: PlotSettings) -> bool:
    total, signal = np.asarray(yields["total"], float), _signal(yields, settings)
    positive = total[total > 0]
    return bool(len(positive)) and (
        positive.max() > _LOGARITHMIC * positive.min() or 0 < signal.max() < positive.max() / _LOGARITHMIC
    )


def _stack(axes: Axes, bins: style.Bins, yields: Mapping[str, Any], settings: PlotSettings, shown: bool) -> None:
    colours = style.colours(settings)
    base = np.zeros(len(yields["total"]))
    for name in reversed(_order(yields, settings)):
        top = base + np.asarray(yields["samples"][name], float)
        axes.stairs(top, bins.edges, baseline=base, fill=True, color=colours.get(name, style.FAINT), lw=0)
        base = top
    total, error = np.asarray(yields["total"], float), np.asarray(yields["error"], float)
    _band(axes, bins, total, error)
    axes.stairs(total, bins.edges, color=style.INK, lw=0.9)
    signal = _signal(yields, settings)
    if signal.any():
        axes.stairs(signal, bins.edges, color=_signal_colour(settings), lw=1.3, ls=_DASHES, baseline=None)
    if shown:
        data = np.asarray(yields["data"], float)
        _points(axes, bins, data, np.where((total > 0) | (data > 0), 1.0, 0.0))


def contents(yields: Mapping[str, Any], settings: PlotSettings, shown: bool) -> dict[str, list[str]]:
    """Return the contents of all bins as words: data, the total with its uncertainty, and all processes."""
    names = style.labels(settings)
    rows = {"data": [f"{value:g}" for value in yields["data"]]} if shown else {}
    rows["total"] = style.with_errors(yields["total"], yields["error"])
    for name in _order(yields, settings):
        rows[names.get(name, name)] = [f"{value:.4g}" for value in yields["samples"][name]]
    return rows


def _band(axes: Axes, bins: style.Bins, centre: np.ndarray, error: np.ndarray) -> None:
    axes.stairs(
        *(centre + error, bins.edges),
        baseline=np.clip(centre - error, 0, None),
        fill=True,
        facecolor="none",
        edgecolor=style.INK,
        alpha=0.8,
        hatch="//////",
        lw=0,
    )


def _points(axes: Axes, bins: style.Bins, data: np.ndarray, scale: np.ndarray) -> None:
    """Draw *data* divided by *scale* with Poisson errors of 68 % (Garwood); bins without events show the upper one."""
    from scipy import special

    low = np.where(data > 0, special.gammaincinv(np.maximum(data, 1e-9), 0.158655), 0.0)
    high = special.gammaincinv(data + 1, 0.841345)
    centres = (bins.edges[1:] + bins.edges[:-1]) / 2
    good = scale > 0
    safe = np.where(good, scale, 1.0)
    axes.errorbar(
        *(centres[good], (data / safe)[good]),
        yerr=np.array([(data - low) / safe, (high - data) / safe])[:, good],
        fmt="o",
        ms=3.5,
        lw=1,
        color=style.INK,
        zorder=5,
    )


def _limits(panels: Sequence[Axes], stages: Sequence[Mapping[str, Any]], settings: PlotSettings) -> None:
    """Set the vertical range, common to all stages."""
    highest = max(float(np.max([*yields["total"], *(yields.get("data") or [])])) for yields in stages)
    if not _is_logarithmic(stages[0], settings):
        panels[0].set_ylim(0, 1.2 * highest if highest > 0 else 1)
        return
    totals = np.concatenate([np.asarray(yields["total"], float) for yields in stages])
    signals = np.concatenate([_signal(yields, settings) for yields in stages])
    floor = max(float(totals[totals > 0].min()) / 300, 1e-6 * highest)
    lowest = max(float(signals[signals > 0].min(initial=highest)) / 3, floor)
    for axes in panels:
        style.powers(axes)
    panels[0].set_ylim(lowest, highest * (highest / lowest) ** 0.08)


def _ratio(axes: Axes, bins: style.Bins, yields: Mapping[str, Any], settings: PlotSettings, shown: bool) -> float:
    """Draw uncertainty, total without signal, and data, all relative to the total; return the largest distance to 1."""
    total, error = np.asarray(yields["total"], float), np.asarray(yields["error"], float)
    filled = total > 0
    safe = np.where(filled, total, 1.0)
    relative, share = (np.where(filled, values / safe, 0.0) for values in (error, _signal(yields, settings)))
    _band(axes, bins, np.ones(len(total)), relative)
    axes.axhline(1, color=style.INK, lw=0.9)
    if share.any():
        axes.stairs(1 - share, bins.edges, baseline=None, color=_signal_colour(settings), lw=1.3, ls=_DASHES)
    axes.yaxis.set_major_locator(style.ticks(4))
    axes.grid(axis="y", color=style.FAINT, alpha=0.35, lw=0.6)
    distances = [relative, share]
    if shown:
        data = np.asarray(yields["data"], float)
        _points(axes, bins, data, total)
        distances.append(((np.abs(data - total) + np.sqrt(np.maximum(data, 1))) / safe)[filled])
    return float(max(np.max(values, initial=0.0) for values in distances))


def _arrows(axes: Axes, bins: style.Bins, yields: Mapping[str, Any]) -> None:
    """Mark data beyond the range of a ratio panel by an arrow at its edge, and those where nothing is expected."""
    total, data = np.asarray(yields["total"], float), np.asarray(yields["data"], float)
    low, high = axes.get_ylim()
    ratio = np.divide(data, total, out=np.where(data > 0, np.inf, 1.0), where=total > 0)
    centres = (bins.edges[1:] + bins.edges[:-1]) / 2
    look: dict[str, Any] = {"ls": "none", "ms": 7, "color": style.INK, "clip_on": False, "zorder": 6}
    up, down = 6, 7  # markers of matplotlib whose tips are at the point
    for edge, marker, beyond in ((high, up, ratio > high), (low, down, ratio < low)):
        if beyond.any():  # a line without points and clipping would make the layout collapse
            (line,) = axes.plot(centres[beyond], np.full(np.count_nonzero(beyond), edge), marker=marker, **look)
            line.set_in_layout(False)


def _signal_colour(settings: PlotSettings) -> str:
    return style.colours(settings)[_signals(settings)[0]]


def _legend(yields: Mapping[str, Any], settings: PlotSettings, shown: bool) -> list[Any]:
    colours, labels = style.colours(settings), style.labels(settings)
    handles: list[Any] = [Line2D([], [], marker="o", ms=3.5, color=style.INK, label="data")] if shown else []
    handles += [
        Patch(color=colours.get(name, style.FAINT), lw=0, label=style.wrapped(labels.get(name, name), 20))
        for name in _order(yields, settings)
    ]
    handles.append(Patch(facecolor="none", edgecolor=style.INK, alpha=0.8, hatch="//////", lw=0, label="uncertainty"))
    alone = _signals(settings) and Line2D([], [], color=_signal_colour(settings), lw=1.3, ls=_DASHES, label=_SIGNAL)
    return [*handles, alone] if alone else handles


# --- variations -----------------------------------------------------------------------------------------------------


class _Cell(NamedTuple):
    """One variation of one process: relative changes, and relative MC statistical errors; shape (bins,).

    *flat*: chi-squared of up and down against a constant change, and the degrees of freedom.
    """

    row: int
    column: int
    up: np.ndarray
    down: np.ndarray
    errors: np.ndarray
    flat: tuple[float, float, int]


def variations(histogram: Any, region: str, importance: Mapping[str, float], settings: PlotSettings) -> Figure:
    """Return up and down relative to nominal, one row per variation and one column per process.

    *histogram* has the axes process, variation and score. Variations are ordered by *importance* (their impact); the
    most important ones and the largest processes are shown. The grey band is the MC statistical uncertainty;
    chi-squared of up and down is against a change of the yield alone (`templates.flatness`).
    """
    names, columns, hidden = _chosen(histogram, importance, settings)
    if not names:
        return style.empty(f"No variation changes the templates of {settings.regions[region][0]}.")
    figure = Figure(figsize=(max(1.35 * len(columns), 3.6) + 2.2, 0.84 * len(names) + 1.35), layout="constrained")
    axes = figure.subplots()
    cells = [
        cell
        for row, name in enumerate(names)
        for column, process in enumerate(columns)
        if (cell := _cell(histogram, process, name, row, column)) is not None
    ]
    limits = [_limit([cell for cell in cells if cell.row == row]) for row in range(len(names))]
    edges = style.bins(histogram.axes["score"].edges).edges
    for cell in cells:
        text = "χ² {:.3g} | {:.3g} / {}".format(*cell.flat)
        _write(axes, cell.column + 0.06, cell.row + 0.955, text, ha="left", va="bottom", fontsize=7)
    steps = _MARGIN + (1 - 2 * _MARGIN) * (edges - edges[0]) / np.ptp(edges)
    _grid(axes, cells, limits, steps, len(columns))
    labels = style.labels(settings)
    words = [settings.variations.get(name, name) for name in names]
    heads = [(words[cell.row], labels[columns[cell.column]]) for cell in cells]
    _tell_cells(axes, cells, heads, steps, histogram.axes["score"].edges)
    for column, process in enumerate(columns):
        _write(axes, column + 0.5, -0.06, style.wrapped(labels[process], 14), ha="center", va="bottom", fontsize=9)
        for place, text in zip((0.04, 0.96), style.decimals(histogram.axes["score"].edges[[0, -1]]), strict=True):
            ha = "left" if place < 0.5 else "right"
            _write(axes, column + place, len(names) + 0.02, text, ha=ha, va="top", fontsize=7.5)
    for row, limit in enumerate(limits):
        _write(axes, len(columns) + 0.04, row + _MIDDLE, f"± {100 * limit:.2g} %", ha="left", va="center", fontsize=8)
    axes.set_yticks(np.arange(len(names)) + _MIDDLE, [style.wrapped(name, 20) for name in words])
    axes.set_xlabel(f"{settings.regions[region][1]} ({settings.regions[region][0]}){hidden}", fontsize=9, labelpad=12)
    figure.legend(handles=_variation_legend(), loc="outside upper center", ncols=3)
    return figure


def _write(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    axes.annotate(text, (x, y), annotation_clip=False, **options)


def _tell_cells(
    axes: Axes, cells: Sequence[_Cell], heads: Sequence[tuple[str, str]], steps: np.ndarray, edges: np.ndarray
) -> None:
    """Give every bin of all *cells* its changes as words; *heads*: variation and process of every cell."""
    across, up, texts = [], [], []
    for cell, head in zip(cells, heads, strict=True):
        for place, values in enumerate(zip(cell.up, cell.down, cell.errors, strict=True)):
            across.append(cell.column + steps[place : place + 2])
            up.append([cell.row + 0.04, cell.row + 0.97])
            where = f"{', '.join(head)}; {edges[place]:.4g} to {edges[place + 1]:.4g}"
            changes = "up {:+.2f} %; down {:+.2f} %; MC statistics ± {:.2f} %".format(*(100 * x for x in values))
            texts.append(f"{where}; {changes}".replace(" -", " −"))
    if texts:
        style.areas(axes, np.array(across), np.array(up), texts)


def _variation_legend() -> list[Any]:
    lines = [Line2D([], [], color=colour, label=side) for side, colour in _SIDES.items()]
    return [*lines, Patch(color=style.FAINT, alpha=0.35, lw=0, label="MC statistics")]


def _chosen(
    histogram: Any, importance: Mapping[str, float], settings: PlotSettings
) -> tuple[list[str], list[str], str]:
    """Return the variations and processes to show, and words about those left out."""
    varied = {name.rpartition("_")[0] for name in histogram.axes["variation"] if name != "nominal"}
    known = [name for name in histogram.axes["process"] if name in settings.processes]
    sizes = {name: float(_values(histogram, name, "nominal").sum()) for name in known}
    moved = {name: [p for p in known if _moves(histogram, p, name)] for name in settings.variations if name in varied}
    acting = [name for name, processes in moved.items() if processes]
    names = sorted(acting, key=lambda name: -importance.get(name, 0.0))[:_MOST_ROWS]
    touched = [process for process in known if any(process in moved[name] for name in names)]
    signals = _signals(settings)
    largest = sorted(touched, key=lambda name: (name not in signals, -sizes[name]))[:_MOST_COLUMNS]
    more = {"variations": len(acting) - len(names), "processes": len(touched) - len(largest)}
    left = " and ".join(f"{number} more {what}" for what, number in more.items() if number)
    return names, [name for name in known if name in largest], f"; {left} not shown" if left else ""


def _values(histogram: Any, process: str, variation: str) -> np.ndarray:
    return np.asarray(histogram[{"process": process, "variation": variation}].values())


def _moves(histogram: Any, process: str, name: str) -> bool:
    nominal = _values(histogram, process, "nominal")
    return any(not np.array_equal(values, nominal) for values in _sides(histogram, process, name))


def _sides(histogram: Any, process: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return up and down; a side that is not there is the other mirrored at nominal, as in the fit."""
    nominal, there = _values(histogram, process, "nominal"), list(histogram.axes["variation"])
    sides = [_values(histogram, process, f"{name}_{s}") if f"{name}_{s}" in there else None for s in ("up", "down")]
    up, down = (side if side is not None else 2 * nominal - sides[1 - i] for i, side in enumerate(sides))
    return up, down


def _cell(histogram: Any, process: str, name: str, row: int, column: int) -> _Cell | None:
    """Return the changes by a variation, or None if it does nothing to the process."""
    if not _moves(histogram, process, name):
        return None
    nominal = histogram[{"process": process, "variation": "nominal"}]
    filled = nominal.values() > 0
    safe = np.where(filled, nominal.values(), 1.0)
    sides = _sides(histogram, process, name)
    content = Content(nominal.values(), nominal.variances())
    flat = [smoothing.flatness(content, Content(side, nominal.variances())) for side in sides]
    up, down = (np.where(filled, side / safe - 1, 0.0) for side in sides)
    errors = np.where(filled, np.sqrt(nominal.variances()) / safe, 0.0)
    return _Cell(row, column, up, down, errors, (flat[0][0], flat[1][0], flat[0][1]))


def _limit(cells: Sequence[_Cell]) -> float:
    """Return the range of a row: a single bin, and bins of fewer than four effective events, hide no others."""
    known = [np.abs([cell.up, cell.down])[:, cell.errors < 0.5] for cell in cells]
    return max([1e-4, *(1.15 * float(np.quantile(changes, 0.95)) for changes in known if changes.size)])


def _mark_beyond(axes: Axes, cells: Sequence[_Cell], limits: Sequence[float], edges: np.ndarray) -> None:
    """Mark bins whose change is beyond the range of their row by a triangle at its end."""
    middles = (edges[:-1] + edges[1:]) / 2
    for cell, (side, colour), sign in itertools.product(cells, _SIDES.items(), (1, -1)):
        up, marker = cell.row + _MIDDLE - sign * _HALF, "^" if sign > 0 else "v"
        for across in cell.column + middles[sign * getattr(cell, side) > limits[cell.row]]:
            axes.scatter(across, up, 24, colour, marker=marker, lw=0, zorder=5)


def _grid(axes: Axes, cells: Sequence[_Cell], limits: Sequence[float], edges: np.ndarray, columns: int) -> None:
    """Draw all cells into one *axes*, one unit wide and high each: separate axes would take many times as long.

    *edges*: of the bins in a cell. Below the curves there is room for a line of text.
    """
    steps = np.repeat(edges, 2)[1:-1]

    def curve(cell: _Cell, values: np.ndarray) -> np.ndarray:
        heights = np.clip(np.repeat(values, 2) / limits[cell.row], -1, 1)
        return np.column_stack([cell.column + steps, cell.row + _MIDDLE - _HALF * heights])

    frame = np.array([[_MARGIN, 0.04], [1 - _MARGIN, 0.04], [1 - _MARGIN, 0.97], [_MARGIN, 0.97]])
    frames = [frame + np.array([column, row]) for row in range(len(limits)) for column in range(columns)]
    bands = [np.vstack([curve(cell, cell.errors), curve(cell, -cell.errors)[::-1]]) for cell in cells]
    axes.add_collection(PolyCollection(bands, facecolor=style.FAINT, alpha=0.35, lw=0))
    zeros = [box[[0, 1]] + np.array([0, _HALF]) for box in frames]
    axes.add_collection(LineCollection(zeros, colors=style.FAINT, lw=0.7))
    for side, colour in _SIDES.items():
        axes.add_collection(LineCollection([curve(cell, getattr(cell, side)) for cell in cells], colors=colour, lw=1.2))
    axes.add_collection(PolyCollection(frames, facecolor="none", edgecolor=style.INK, lw=0.7))
    _mark_beyond(axes, cells, limits, edges)
    drawn = {(cell.row, cell.column) for cell in cells}
    for row, column in np.ndindex(len(limits), columns):
        if (row, column) not in drawn:
            _write(axes, column + 0.5, row + 0.25, "no effect", ha="center", va="center", fontsize=7, color=style.FAINT)
    axes.set_xlim(0, columns)
    axes.set_ylim(len(limits), 0)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
