"""Figures of features before any training: each in a region beside data, correlations, and what moves them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from nuisflow.report.plots import style, templates
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files

_WIDTH, _HEIGHT = 3.5, 3.0
_ROW = 0.16
"""Height of a row of the legend, in inches."""
_COLUMNS = 3
_LETTERS = 9.0 * 38
"""Letters that fit below an axis, times the size of their type."""
_MOST_CORRELATED, _MOST_MOVED = 30, 30
_WRITTEN = 0.15
"""Size from which a correlation stands as a number, too."""


def draw(content: Mapping[str, Any], figures: Sequence[Path], document: Path, settings: PlotSettings) -> None:
    """Draw every feature of a region to one page of *document*, and those that *figures* name by their stems to SVG."""
    wanted = {path.stem: path for path in figures}
    with style.applied(), files.replacing(document) as temporary:
        pages: Any = PdfPages(temporary, metadata={"CreationDate": None, "ModDate": None})
        for one in content["features"]:
            figure = feature(one, content, settings)
            figure.savefig(pages, format="pdf")
            if path := wanted.pop(one["feature"], None):
                style.save(figure, [path])
        if not content["features"]:
            style.empty("No simulated events in this region.").savefig(pages, format="pdf")
        pages.close()
        for path in wanted.values():
            style.save(style.empty("No simulated events in this region."), [path])


def feature(one: Mapping[str, Any], content: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return the stack of one feature with its band, data where they are shown, and the ratio to the total."""
    yields = _yields(one, settings)
    legend = templates._legend(yields, settings, content["shown"])[:-1]
    rows = -(-len(legend) // _COLUMNS)
    height = _HEIGHT + _ROW * rows
    figure = Figure(figsize=(_WIDTH, height))
    bottom, top = (0.43 + _ROW * rows) / height, 1 - 0.25 / height
    middle = bottom + 0.27 * (top - bottom)
    place = {"left": 0.19, "right": 0.97, "hspace": 0.06, "bottom": bottom, "top": top}
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1], gridspec_kw=place)
    bins = style.Bins(np.asarray(yields["edges"]), np.zeros(0), None, np.asarray(yields["edges"]))
    templates._stack(upper, bins, yields, settings, content["shown"])
    for axes in (upper, lower):
        style.tell_bins(axes, bins.edges, _label(one, settings), templates.contents(yields, settings, content["shown"]))
    spread = max(0.02, templates._ratio(lower, bins, yields, settings, content["shown"]))
    reach = min(1.2 * spread, templates._REACH)
    lower.set_ylim(1 - reach, 1 + reach)
    if content["shown"]:
        templates._arrows(lower, bins, yields)
    templates._limits([upper], [yields], settings)
    words = _axis(one, settings)
    style.binned_axis(lower, bins, words, fontsize=min(9.0, _LETTERS / len(words)))
    _few_ticks(upper, lower)
    for axes, label, centre in ((upper, "Events / bin", (middle + top) / 2), (lower, "ratio", (bottom + middle) / 2)):
        axes.tick_params(labelsize=7.5)
        figure.text(0.02, centre, label, rotation=90, ha="left", va="center", fontsize=8.5)
    upper.text(0, 1.02, settings.regions[content["region"]][0], transform=upper.transAxes, fontsize=8, weight="bold")
    upper.text(1, 1.02, _remark(one), transform=upper.transAxes, fontsize=8, ha="right")
    figure.legend(
        handles=legend, loc="lower center", ncols=_COLUMNS, fontsize=7, handlelength=1.2, borderaxespad=0.2,
        columnspacing=1, handletextpad=0.5, labelspacing=0.25,
    )  # fmt: skip
    return figure


def _few_ticks(upper: Axes, lower: Axes) -> None:
    """Leave as many ticks as a small figure needs: they take most of the time of its drawing."""
    upper.xaxis.set_visible(False)
    upper.minorticks_off()
    if upper.get_yscale() == "log":
        low, high = np.ceil(np.log10(upper.get_ylim()[0])), np.floor(np.log10(upper.get_ylim()[1]))
        step = max(1, round((high - low) / 4))
        upper.yaxis.set_major_locator(FixedLocator([10.0**power for power in np.arange(low, high + 1, step)]))
    else:
        upper.yaxis.set_major_locator(style.ticks(5))
    lower.xaxis.set_major_locator(style.ticks(5))
    lower.yaxis.set_major_locator(style.ticks(3))


def _yields(one: Mapping[str, Any], settings: PlotSettings) -> dict[str, Any]:
    """Return one feature as the figures of templates know yields, what is subtracted in its estimate."""
    samples: dict[str, np.ndarray] = {}
    for name, values in one["samples"].items():
        owner = settings.parts.get(name, name)
        samples[owner] = samples.get(owner, 0) + np.asarray(values, float)
    edges = np.linspace(one["low"], one["high"], one["bins"] + 1)
    return {"edges": edges, "samples": samples} | {name: one[name] for name in ("total", "error", "data")}


def _label(one: Mapping[str, Any], settings: PlotSettings) -> str:
    """Return the words for a feature; its name where there are none."""
    name: str = one["feature"]
    return settings.plots.features.get(name, name)


def _axis(one: Mapping[str, Any], settings: PlotSettings) -> str:
    """Return the label of the axis of a feature."""
    words = " (constant)" if one["constant"] else " (first bin: undefined)" if one["undefined"] else ""
    return f"{_label(one, settings)}{words}"


def _remark(one: Mapping[str, Any]) -> str:
    """Return how well data and model agree; without data, how well the feature separates."""
    if one["with"] is not None:
        return f"χ² = {one['with']['chi2']:.1f} / {one['with']['ndof']}"
    return "" if one["data"] is not None or one["separation"] is None else f"separation {one['separation']:.3f}"


def correlations(content: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return the correlations of features: below the diagonal of the signal, above of the background.

    Of very many features those with the strongest correlations are shown.
    """
    names = [one["feature"] for one in content["features"]]
    found = {role: np.array(matrix, dtype=float) for role, matrix in content["correlations"].items()}
    if not found or len(names) < 2:
        return style.empty("Fewer than two features, or no simulated events: no correlations.")
    blank = np.full((len(names), len(names)), np.nan)
    lower, upper = (found.get(role, blank) for role in ("signal", "background"))
    chosen = _most_correlated(lower, upper)
    matrix = np.tril(lower[np.ix_(chosen, chosen)], -1) + np.triu(upper[np.ix_(chosen, chosen)], 1)
    np.fill_diagonal(matrix, np.nan)
    shown, left = [names[index] for index in chosen], len(names) - len(chosen)
    texts = np.full(matrix.shape, "", dtype=object)
    for place, value in np.ndenumerate(matrix):
        texts[place] = _percent(value) if np.isfinite(value) and abs(value) >= _WRITTEN else ""
    lines = [settings.regions[content["region"]][0], "correlations in %: signal below the diagonal, background above"]
    lines += [f"{left} features with weaker correlations are not shown"] if left else []
    look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
    return _table(matrix, texts, (shown, shown), lines, ticks=[-1, 0, 1], dark=np.abs(matrix) > 0.6, **look)


def sensitivity(content: Mapping[str, Any], settings: PlotSettings) -> Figure:
    """Return how much every nuisance parameter changes the shape of every feature, in standard deviations of the data.

    The larger of both sides, the change of the yield taken out. Of very many features, and of parameters, those with
    the largest changes are shown.
    """
    found = content["features"]
    parameters = list(found[0]["shapes"]) if found else []
    if not parameters:
        return style.empty("No variations, or no simulated events: nothing moves the features.")
    sizes = np.array([[max(one["shapes"][name]) for name in parameters] for one in found])
    rows, columns = (np.sort(np.argsort(-sizes.max(axis=axis), kind="stable")[:_MOST_MOVED]) for axis in (1, 0))
    matrix = sizes[np.ix_(rows, columns)]
    shown = [found[index]["feature"] for index in rows]
    labels = [_shortened(settings.variations.get(parameters[index], parameters[index])) for index in columns]
    lines = [
        settings.regions[content["region"]][0],
        "change of the shape by one prior standard deviation, in σ of the data",
    ]
    hidden = {"features": len(found) - len(rows), "parameters": len(parameters) - len(columns)}
    left = [f"{number} {what}" for what, number in hidden.items() if number]
    lines += [f"{' and '.join(left)} with smaller changes are not shown"] if left else []
    scale = PowerNorm(0.5, 0, max(1.0, float(matrix.max())))
    texts = np.vectorize(_sigmas, otypes=[object])(matrix)
    names = (shown, labels)
    return _table(matrix, texts, names, lines, dark=scale(matrix) > 0.55, cmap="Blues", norm=scale)


def _sigmas(value: float) -> str:
    """Return a number of standard deviations; nothing where none of them matters."""
    return "" if value < 0.05 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _shortened(text: str, most: int = 36) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _table(
    matrix: np.ndarray,
    texts: np.ndarray,
    names: tuple[Sequence[str], Sequence[str]],
    lines: Sequence[str],
    *,
    dark: np.ndarray,
    ticks: Sequence[float] | None = None,
    **look: Any,
) -> Figure:
    """Return a *matrix* as coloured cells, some *dark*, with *texts*, *names* of rows and columns and *lines* above."""
    (rows, columns), cell = matrix.shape, 0.3
    across, up = (0.068 * max(map(len, found)) + 0.15 for found in names)
    size, tall = cell * columns, cell * rows
    width, height = max(size + across + 0.9, 0.062 * max(map(len, lines)), 3.8), tall + up + 0.5
    figure = Figure(figsize=(width, height))  # by hand: a layout engine would measure every number
    axes = figure.add_axes((across / width, up / height, size / width, tall / height))
    bar = figure.add_axes(((across + size + 0.15) / width, up / height, 0.12 / width, min(tall, 3) / height))
    image = axes.pcolormesh(matrix, edgecolors=style.PAPER, linewidth=0.5, **look)
    for (row, column), text in np.ndenumerate(texts):
        if text:
            colour = "#fefefe" if dark[row, column] else "#111111"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(np.arange(columns) + 0.5, names[1], rotation=90, fontsize=7.5)
    axes.set_yticks(np.arange(rows) + 0.5, names[0], fontsize=7.5)
    axes.tick_params(length=0)
    axes.invert_yaxis()
    figure.colorbar(image, cax=bar, ticks=ticks).outline.set_visible(False)
    bar.tick_params(labelsize=7.5)
    figure.text(0.02, 1 - 0.06 / height, "\n".join(lines), fontsize=7.5, va="top")
    return figure


def _most_correlated(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the features, in their order, with the strongest correlations."""
    size = np.nan_to_num(np.maximum(np.abs(lower), np.abs(upper)), nan=0.0)
    np.fill_diagonal(size, 0)
    return np.sort(np.argsort(-size.max(axis=0), kind="stable")[:_MOST_CORRELATED])


def _percent(value: float) -> str:
    """Return a correlation in per cent; only exact ones are 100."""
    whole = round(100 * value)
    return f"{whole if abs(value) == 1 else max(-99, min(99, whole))}".replace("-", "−")
