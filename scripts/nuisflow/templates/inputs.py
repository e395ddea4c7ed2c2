"""Features before any training: their bins, histograms of every variation, and what their correlations follow from."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np

from nuisflow.events.variations import MEMBER
from nuisflow.settings.points import STANDARD
from nuisflow.slices.inference import Filling
from nuisflow.slices.inputs import InputBinning, InputFilling
from nuisflow.storage import event_files
from nuisflow.templates import filling
from nuisflow.templates.histograms import NOMINAL, Histogram

Columns = dict[str, np.ndarray]
Axes = dict[str, dict[str, dict[str, Any]]]
"""Region to feature to `Axis`, as plain values."""
ROWS = 20_000
"""Events of each sample that choose the bins, at equal distances in its file."""
BINS = 30
"""Bins of a feature, at most but for one or two."""
WHOLE = 40
"""Different whole numbers up to which each has a bin of its own."""
TAIL = 0.002
"""Share of signal, and of background, beyond either end of the bins."""


class Axis(NamedTuple):
    """Equal bins of one feature in one region; *undefined*: the first has what stands for 'undefined', and it alone.

    What is beyond the ends belongs to the first or the last bin.
    """

    low: float
    high: float
    bins: int
    whole: bool = False
    constant: bool = False
    undefined: bool = False

    @property
    def edges(self) -> np.ndarray:
        """The edges of the bins, shape (bins + 1,)."""
        return np.linspace(self.low, self.high, self.bins + 1)


# --- bins -----------------------------------------------------------------------------------------------------------


def axes(events: Mapping[str, Path], settings: InputBinning) -> Axes:
    """Return the bins of every feature in every region that has simulated nominal *events* (by sample)."""
    picked: dict[str, list[tuple[bool, Columns]]] = {region: [] for region in settings.regions}
    for sample, process in settings.samples.items():
        for region, columns in _picked(events[sample], settings):
            picked[region].append((process == settings.signal, columns))
    return {
        region: {
            feature: axis(
                [(signal, found[feature], found["weight"]) for signal, found in parts], settings.undefined
            )._asdict()
            for feature in settings.features
        }
        for region, parts in picked.items()
        if parts
    }


def _picked(path: Path, settings: InputBinning) -> Iterator[tuple[str, Columns]]:
    """Yield some events of a file, region by region; each stands for those left out."""
    step = max(1, event_files.count_rows(path) // ROWS)
    row = 0
    for columns in event_files.read_event_parts(path, ("weight", *settings.features), {"region": settings.regions}):
        first = -row % step
        row += len(columns["region"])
        few = {name: values[first::step] for name, values in columns.items()}
        for index, region in enumerate(settings.regions):
            if (inside := few["region"] == index).any():
                chosen = {name: values[inside] for name, values in few.items()}
                yield region, chosen | {"weight": np.abs(chosen["weight"]) * step}


def axis(parts: Iterable[tuple[bool, np.ndarray, np.ndarray]], undefined: float | None) -> Axis:
    """Return the bins for values of signal and background: *parts* are (whether signal, values, weights).

    Whole numbers have a bin each; others have round edges, from and to where hardly any of the signal or the
    background is beyond.
    """
    ends: list[float] = []
    whole, lost = True, False
    for role in (True, False):
        chosen = [(values, weights) for signal, values, weights in parts if signal == role]
        if not chosen:
            continue
        values, weights = (np.concatenate(one).astype(np.float64) for one in zip(*chosen, strict=True))
        defined = _defined(values, undefined)
        lost = lost or not defined.all()
        if defined.any():
            whole = whole and bool(np.all(values[defined] == np.round(values[defined])))
            ends += _ends(values[defined], weights[defined])
    if not ends:
        return Axis(-1.0, 0.0, 1, undefined=True)  # never defined
    low, high = min(ends), max(ends)
    if low == high:
        half = max(0.5, 0.01 * abs(low))
        found = Axis(low - half, low + half, 1, whole, constant=not lost)
    elif whole and high - low <= WHOLE:
        found = Axis(low - 0.5, high + 0.5, int(high - low) + 1, True)
    else:
        step = _step((high - low) / BINS)
        first = math.floor(low / step + 1e-9)
        number = max(math.ceil(high / step - 1e-9) - first, 1)
        found = Axis(_decimal(first * step), _decimal((first + number) * step), number)
    if not lost:
        return found
    width = (found.high - found.low) / found.bins
    return found._replace(low=found.low - width, bins=found.bins + 1, undefined=True)


def _ends(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return between which values all but `TAIL` on either side of *weights* are."""
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(weights[order])
    if not shares[-1] > 0:
        return float(values[order[0]]), float(values[order[-1]])
    places = np.searchsorted(shares, shares[-1] * np.array([TAIL, 1 - TAIL]))
    return tuple(float(value) for value in values[order[np.minimum(places, len(values) - 1)]])  # type: ignore[return-value]


def _step(width: float) -> float:
    """Return the smallest round width from *width* on: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(width))
    return min(step for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= width * (1 - 1e-9)) * power


def _decimal(value: float) -> float:
    """Return *value* without what binary fractions add to it."""
    return float(f"{value:.12g}")


# --- histograms of one sample ---------------------------------------------------------------------------------------


class Filled(NamedTuple):
    """What is known of the features of one sample: *histograms* ``region/feature`` with axes variation and value.

    *sums*: by region the number of events and what `correlations` follow from.
    """

    histograms: dict[str, Histogram]
    sums: dict[str, dict[str, Any]]


def fill(events: Sequence[Path], found: Axes, settings: InputFilling) -> Filled:
    """Return the histograms of *events* of one sample, files ``<variation>/<sample>.parquet``, read in pieces."""
    factors = _factors(settings)
    folders = {path.parent.name: path for path in events}
    names = [*folders, *factors]
    regions = [region for region in settings.shown if region in found]
    histograms = {
        f"{region}/{feature}": _axes_of(Axis(**found[region][feature]), names)
        for region in regions
        for feature in settings.features
    }
    sums = {region: Sums(found[region], settings) for region in regions}
    for variation, path in folders.items():
        columns = ("weight", *settings.features, *(f"factor_{name}" for name in factors if variation == NOMINAL))
        for rows in event_files.read_event_parts(path, columns, {"region": settings.regions}):
            for region in regions:
                inside = rows["region"] == settings.regions.index(region)
                if not inside.any():
                    continue
                few = {name: values[inside] for name, values in rows.items()}
                if variation == NOMINAL:
                    sums[region].add(few)
                weights = _weights(few, variation)
                for feature in settings.features:
                    values = _below(few[feature], settings.undefined)
                    for name, weight in weights.items():
                        histograms[f"{region}/{feature}"].fill(variation=name, value=values, weight=weight)
    return Filled(histograms, {region: one.plain() for region, one in sums.items()})


def _factors(settings: InputFilling) -> list[str]:
    """Return the templates that factors on the weights make."""
    members = [f"{name}_{MEMBER}{index}" for name, number in settings.sets.items() for index in range(number)]
    return [f"{name}_{side}" for name in settings.weights for side in STANDARD] + members


def _axes_of(chosen: Axis, variations: Sequence[str]) -> Histogram:
    value: Any = hist.axis.Regular(chosen.bins, chosen.low, chosen.high, name="value")
    return hist.Hist(hist.axis.StrCategory(variations, name="variation"), value, storage=hist.storage.Weight())


def _weights(rows: Columns, variation: str) -> Columns:
    """Return the weights of *rows* in every template that they fill."""
    factors = [name for name in rows if name.startswith("factor_")]
    return {variation: rows["weight"]} | {name.removeprefix("factor_"): rows["weight"] * rows[name] for name in factors}


def _below(values: np.ndarray, undefined: float | None) -> np.ndarray:
    """Return *values* with those that stand for 'undefined' below all others."""
    return values if undefined is None else np.where(_defined(values, undefined), values, -np.inf)


def _defined(values: np.ndarray, undefined: float | None) -> np.ndarray:
    """Return which values of features, of single precision in whatever type, do not stand for 'undefined'."""
    return np.full(values.shape, True) if undefined is None else values != np.float32(undefined)


class Sums:
    """Sums over weighted events of one region from which means and correlations of features follow.

    Every pair of features counts the events in which both are defined: *weight*, *first* (w x_i), *squares* (w x_i^2)
    and *products* (w x_i x_j), each of shape (features, features), of values relative to their bins.
    """

    def __init__(self, found: Mapping[str, Mapping[str, Any]], settings: InputFilling) -> None:
        """Start with no events; *found*: the bins, which say what a feature is measured in."""
        self.features, self.undefined = settings.features, settings.undefined
        ends = np.array([[found[name]["low"], found[name]["high"]] for name in self.features])
        self.middle, self.width = ends.mean(axis=1), ends[:, 1] - ends[:, 0]
        self.events = 0
        self.sums = np.zeros((4, len(self.features), len(self.features)))

    def add(self, rows: Columns) -> None:
        """Add events: *features* and ``weight``."""
        values = np.column_stack([rows[name] for name in self.features]).astype(np.float64)
        defined = _defined(values, self.undefined).astype(np.float64)
        scaled = (values - self.middle) / self.width * defined
        weight = rows["weight"][:, None]
        weighted, counted = (scaled * weight).T, defined
        self.events += len(values)
        self.sums += [
            (defined * weight).T @ counted,
            weighted @ counted,
            (weighted * scaled.T) @ counted,
            weighted @ scaled,
        ]

    def plain(self) -> dict[str, Any]:
        """Return all sums as plain values."""
        names = ("weight", "first", "squares", "products")
        return {"events": self.events, **{name: one.tolist() for name, one in zip(names, self.sums, strict=True)}}


def correlations(sums: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the correlation of every pair of features from the `Sums` of some samples, shape (features, features).

    NaN where a feature does not vary.
    """
    names = ("weight", "first", "squares", "products")
    weight, first, squares, products = (np.sum([np.asarray(one[name]) for one in sums], axis=0) for name in names)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = first / weight
        variance = squares / weight - mean**2
        variance = np.where(variance > 1e-12, variance, np.nan)
        return np.asarray(np.clip((products / weight - mean * mean.T) / np.sqrt(variance * variance.T), -1, 1))


# --- all samples together -------------------------------------------------------------------------------------------


def merged(
    samples: Mapping[str, Mapping[str, Histogram]], feature: str, found: Axes, settings: Filling
) -> dict[str, Histogram]:
    """Return the histograms of one *feature* in every region as templates: axes process, variation and score."""
    made = {region: filling.empty(Axis(**of[feature]).edges, settings) for region, of in found.items()}
    for sample, histograms in samples.items():
        alternative = settings.alternatives.get(sample)
        for region, histogram in made.items():
            if (own := histograms.get(f"{region}/{feature}")) is None:
                continue
            view: Any = histogram.view(flow=True)
            row = histogram.axes["process"].index(settings.samples[sample])
            for variation in own.axes["variation"]:
                column = histogram.axes["variation"].index(alternative or variation)
                for field, content in _folded(own[{"variation": variation}]).items():
                    view[field][row, column, 1:-1] += content
    return filling.completed(made, settings)


def _folded(histogram: Any) -> dict[str, np.ndarray]:
    """Return the content of a histogram with what is beyond its ends in the first and the last bin."""
    view = histogram.view(flow=True)
    found = {}
    for field in ("value", "variance"):
        content = np.array(view[field][1:-1])
        content[0] += view[field][0]
        content[-1] += view[field][-1]
        found[field] = content
    return found


def yields(
    histograms: Mapping[str, Histogram], region: str, feature: str, variation: str = NOMINAL
) -> tuple[float, float]:
    """Return the expected events of one sample in *region* and their variance, which all features have in common."""
    one = histograms.get(f"{region}/{feature}")
    if one is None or variation not in one.axes["variation"]:
        return 0.0, 0.0
    content = _folded(one[{"variation": variation}])
    return float(content["value"].sum()), float(content["variance"].sum())
