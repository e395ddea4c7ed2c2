"""The look of all figures: colours, headings, binned axes, and how they are written so that the bytes repeat."""

import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from nuisflow.report import findings
from nuisflow.report.colours import PALETTE
from nuisflow.report.drawings import TIPS
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files

INK, PAPER, FAINT = "#1b1e23", "#ffffff", "#8b929c"
"""Colours of lines and text, of the background, and of what should not stand out; the report maps them to its theme."""
BLUE, ORANGE, RED, VIOLET = "#3f90da", "#e76300", "#bd1f01", "#832db6"
PARAMETERS: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.limits": (-4, 5),
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.4,
    "svg.fonttype": "none",
    "svg.hashsalt": "nuisflow",
    "pdf.fonttype": 3,
}
_METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None, "ModDate": None}}
_TRUE_WIDTHS = 5.0
"""Bins are drawn with their true widths if these differ by less than this factor."""


@contextmanager
def applied() -> Iterator[None]:
    """Draw in our style inside the block, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(PARAMETERS)
        yield


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write *figure* to every path (.svg or .pdf), without dates, so that the same figure has the same bytes."""
    for axes in figure.axes:
        _name_points(axes)
    for path in paths:
        with files.replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], metadata=_METADATA[path.suffix])
        figure.set_layout_engine(None)  # the layout is found: do not spend the time again for the next format


def _name_points(axes: Axes) -> None:
    """Give the points of *axes* their values as words, which the report shows under the pointer (`report.drawings`).

    Where areas have words (`areas`), those of points would stand in their way.
    """
    if any(str(one.get_gid()).startswith(TIPS) for one in axes.collections):
        return
    across = _shared(axes.get_shared_x_axes().get_siblings(axes), "get_xlabel")
    up = _shared(axes.get_shared_y_axes().get_siblings(axes), "get_ylabel")
    for line in axes.lines:
        if line.get_marker() in ("None", "none", "", " ", None) or line.get_transform() != axes.transData:
            continue
        label, title = str(line.get_label()).removeprefix("_child"), axes.get_title()
        names = ["" if label.isdigit() or label.startswith("_") else label, title]
        columns = (np.asarray(values, dtype=float) for values in line.get_data(orig=False))
        texts = [
            _words(names, (across, x), (up, y), _named(axes.yaxis, y))
            for x, y in zip(*columns, strict=True)
            if np.isfinite([x, y]).all()
        ]
        line.set_gid(_tips(texts))


def _tips(texts: Sequence[str]) -> str:
    """Return the name of a group of elements that carries their *texts*."""
    return TIPS + "|".join(text.replace("|", "/").replace("\n", " ") for text in texts)


def areas(axes: Axes, across: np.ndarray, up: np.ndarray | None, texts: Sequence[str]) -> None:
    """Give areas of *axes* words, which the report shows under the pointer; parts between semicolons are lines.

    *across*, *up*: both ends of every area, shape (areas, 2), in units of the data; without *up* the whole height.
    """
    ends = np.broadcast_to([0.0, 1.0], np.shape(across)) if up is None else up
    corners = np.stack([across[:, [0, 1, 1, 0]], ends[:, [0, 0, 1, 1]]], axis=-1)
    transform = axes.get_xaxis_transform() if up is None else axes.transData
    boxes = PolyCollection(list(corners), facecolors=[(0, 0, 0, 0)], lw=0, transform=transform, zorder=10)
    boxes.set_in_layout(False)
    boxes.set_gid(_tips(texts))
    axes.add_artist(boxes)


def tell_bins(
    axes: Axes, edges: np.ndarray, label: str, rows: Mapping[str, Sequence[str]], values: np.ndarray | None = None
) -> None:
    """Give the bins of *axes* words: their edges and one line for each of *rows*, of which every bin has a text.

    *values* of the *edges*, where they are drawn at other places.
    """
    ends = [f"{label} {low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges if values is None else values)]
    across = np.column_stack([edges[:-1], edges[1:]])
    texts = ["; ".join([end, *(f"{name}: {row[i]}" for name, row in rows.items())]) for i, end in enumerate(ends)]
    areas(axes, across, None, texts)


def with_errors(values: Sequence[float] | np.ndarray, errors: Sequence[float] | np.ndarray) -> list[str]:
    """Return *values* with their *errors* as texts, to two digits of the error."""
    pairs = ((value, error, findings.decimals(error, 2)) for value, error in zip(values, errors, strict=True))
    return [f"{findings.number(value, places)} ± {findings.number(error, places)}" for value, error, places in pairs]


def _shared(siblings: Sequence[Any], asked: str) -> str:
    """Return the first label that axes with a common axis have; '' without one."""
    return next(filter(None, (getattr(axes, asked)() for axes in siblings)), "")


def _words(names: Sequence[str], across: tuple[str, float], up: tuple[str, float], row: str) -> str:
    """Return the place of a point in words: *names* of what it is, the *row* it is in, labels and values."""
    head = ", ".join(filter(None, (row, *names)))
    values = [f"{words} {value:.4g}".strip() for words, value in ((across,) if row else (across, up))]
    return ": ".join(filter(None, (head, ", ".join(values)))).replace(" -", " −").replace(":-", ": −")


def _named(axis: Any, value: float) -> str:
    """Return the name of the row at *value* of an axis of names; '' for one of numbers."""
    locator = axis.get_major_locator()
    places = np.asarray(locator()) if isinstance(locator, FixedLocator) else np.zeros(0)
    if not len(places):
        return ""
    nearest = int(np.argmin(np.abs(places - value)))
    name = str(axis.get_major_formatter()(places[nearest], nearest)).replace("\n", " ")
    return "" if re.fullmatch(r"[-−+.\d\s%e]*", name) else name


def draw(makers: Mapping[str, Callable[[], Figure]], paths: Sequence[Path]) -> None:
    """Make every figure that *paths* name by their stems, and write it in the formats of their suffixes."""
    names: dict[str, list[Path]] = {}
    for path in paths:
        names.setdefault(path.stem, []).append(path)
    if unknown := sorted(names.keys() - makers.keys()):
        raise ValueError(f"no figure {unknown[0]!r}; known: {', '.join(makers)}")
    with applied():
        for name, targets in names.items():
            save(makers[name](), targets)


def empty(text: str) -> Figure:
    """Return a figure that says why there is nothing to show."""
    figure = Figure(figsize=(6.4, 0.8))
    figure.text(0.02, 0.5, text, va="center", color=FAINT, style="italic")
    return figure


def heading(axes: Axes, settings: PlotSettings, status: str = "", lift: float = 4) -> None:
    """Write the title and, in italics, the *status* above the left end of *axes*, *lift* points above it."""
    words: dict[str, Any] = {"textcoords": "offset points", "va": "baseline"}
    title = axes.annotate(
        settings.plots.title, (0, 1), (0, lift), xycoords="axes fraction", weight="bold", fontsize=10, **words
    )
    text = axes.annotate(
        status, (1, 1), (6, lift), xycoords=(title, "axes fraction"), fontsize=9, style="italic", **words
    )
    text.set_in_layout(False)


def remark(axes: Axes, text: str, lift: float = 4) -> None:
    """Write *text* above the right end of *axes*."""
    axes.annotate(text, (1, 1), (0, lift), xycoords="axes fraction", textcoords="offset points", ha="right", fontsize=9)


def beside(axes: Axes, y: float, text: str) -> None:
    """Write *text* to the right of *axes* at the height *y* of its data."""
    axes.annotate(
        *(text, (1, y), (5, 0)),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
    )


def luminosity(settings: PlotSettings) -> str:
    """Return integrated luminosity and energy in words, as far as they are known."""
    plots = settings.plots
    lumi = f"{plots.luminosity:g} fb⁻¹" if plots.luminosity else ""
    return f"{lumi} ({plots.energy:g} TeV)".strip() if plots.energy else lumi


def ticks(most: int) -> MaxNLocator:
    """Return a locator of at most *most* ticks at round numbers."""
    return MaxNLocator(nbins=most, min_n_ticks=2, steps=[1, 2, 5, 10])


def powers(axes: Axes) -> None:
    """Make the vertical axis of *axes* logarithmic, its powers of ten written without mathematical typesetting."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_power))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _power(value: float, _place: int | None = None) -> str:
    exponent = round(math.log10(value))
    if 0 <= exponent <= 3:
        return f"{value:g}"
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def colours(settings: PlotSettings) -> dict[str, str]:
    """Return a colour per process: its own, that of a signal, or the next of the palette."""
    rest = iter(PALETTE * (1 + len(settings.processes) // len(PALETTE)))
    return {
        name: process.color or (RED if process.role == "signal" else next(rest))
        for name, process in settings.processes.items()
    }


def labels(settings: PlotSettings) -> dict[str, str]:
    """Return the words for every process."""
    return {name: process.label or name for name, process in settings.processes.items()}


def wrapped(text: str, width: int = 24) -> str:
    """Return *text* broken into lines of about *width* characters."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


class Bins(NamedTuple):
    """Where the edges of bins are drawn, the ticks of their axis, and the *values* of the edges."""

    edges: np.ndarray
    ticks: np.ndarray
    names: list[str] | None
    values: np.ndarray


def bins(edges: Sequence[float], most: int = 6) -> Bins:
    """Return where to draw the bins *edges*: at their values, or one step each if their widths differ too much.

    Quantile bins of a score crowd where the score does; drawn one step each, all can be seen. At most about *most*
    edges are then named.
    """
    values = np.asarray(edges, dtype=float)
    widths = np.diff(values)
    if widths.max() < _TRUE_WIDTHS * widths.min():
        return Bins(values, values[[0, -1]], None, values)
    positions = np.arange(len(values), dtype=float)
    chosen = np.unique(np.linspace(0, len(widths), min(len(widths), most) + 1).round())
    return Bins(positions, chosen, decimals(values[chosen.astype(int)]), values)


def decimals(values: np.ndarray) -> list[str]:
    """Return *values* with as many decimals as it takes to tell them apart."""
    for number in range(8):
        texts = [f"{value:.{number}f}" for value in values]
        exact = np.abs(values - [float(text) for text in texts]) <= 0.005 * np.ptp(values)
        if len(set(texts)) == len(texts) and np.all(exact):
            return texts
    return [f"{value:.3g}" for value in values]


def binned_axis(axes: Axes, chosen: Bins, label: str | None, fontsize: float = 10) -> None:
    """Set limits, ticks and the *label* of the horizontal axis of *axes* (None: hide what is written there)."""
    axes.set_xlim(chosen.edges[0], chosen.edges[-1])
    if chosen.names is not None:
        axes.set_xticks(chosen.ticks, chosen.names)
        axes.set_xticks(chosen.edges, minor=True)
    if label is None:
        axes.tick_params(labelbottom=False)
    else:
        axes.set_xlabel(label if chosen.names is None else f"{label} (bins not to scale)", fontsize=fontsize)


def parameter_names(settings: PlotSettings) -> Mapping[str, str]:
    """Return words for parameters; those of single bins, such as ``gamma[3]``, are made by `parameter_name`."""
    return {"lumi": "luminosity", **settings.variations, settings.poi: "μ" if settings.poi == "mu" else settings.poi}


def parameter_name(name: str, settings: PlotSettings) -> str:
    """Return words for the parameter *name*: its label, or for one of many bins the name and the number of the bin."""
    base, bracket, rest = name.partition("[")
    known = parameter_names(settings).get(base, base)
    if not bracket:
        return known
    region = known.removeprefix("staterror_")
    label = settings.regions.get(region, (region.replace("_", " "), ""))[0]
    return f"γ {label}, bin {int(rest.rstrip(']')) + 1}"
