"""Templates: histograms of a region's observable per process and variation, and how variations are post-processed."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np

from nuisflow import binning, scored_events, slices
from nuisflow.binning import Content
from nuisflow.scored_events import Columns, Part, Regions, TemplateError
from nuisflow.variations import MEMBER

DATA = "data"
NOMINAL = "nominal"
TINY = 1e-6
"""An empty or negative bin gets this fraction of the process's mean bin content."""
NEGLIGIBLE = 1e-3
"""Relative effect below which up and down may lie on the same side without a remark."""
PARALLEL = 0.5
"""Cosine between the changes of shape above which they have the same direction, not only the same fluctuations."""

Histogram = hist.Hist[Any]

logger = logging.getLogger(__name__)


class Note(NamedTuple):
    """Something done to templates that the user should know; *bin* lists bin numbers, and what does not apply is ''."""

    rule: str
    kind: str
    region: str
    process: str
    variation: str
    bin: str
    text: str


class Filled(NamedTuple):
    """One histogram per region, with axes process, variation and score, and what was merged on the way."""

    histograms: dict[str, Histogram]
    notes: list[Note]


def fill(events: Sequence[Path], scores: Path, settings: slices.Filling) -> Filled:
    """Fill the templates of every region from the files of *events* and their *scores*.

    Events are added one by one in the order of the samples, so that neither the size of the pieces read nor the order
    of *events* changes a bit. Processes on which a variation does not act keep their nominal template in it.
    """
    parts = _parts(events, scores, settings)
    bins = _bins(parts, settings)
    notes = [
        _note("merged", region, text, bin="" if index < 0 else str(index))
        for region, chosen in bins.items()
        for index, text in chosen.remarks
    ]
    histograms = {region: _empty(chosen.edges, settings) for region, chosen in bins.items()}
    outside = dict.fromkeys(bins, 0)
    for part in parts:
        for region, rows in scored_events.rows(part, _regions(settings), _factors(part, settings)):
            lost = _fill_rows(histograms[region], part, rows, settings)
            outside[region] += lost * (part.variation == NOMINAL and part.sample not in settings.alternatives)
    for region, histogram in histograms.items():
        _copy_nominal(region, histogram, settings)
    for name, side in itertools.product(settings.renormalised, ("up", "down")):
        renormalise(histograms, histograms, settings.variations[name], f"{name}_{side}")
    histograms = {region: _combined(histogram, settings) for region, histogram in histograms.items()}
    notes += [
        _note("out_of_range", region, f"{count} nominal events out of range are in the first or the last bin")
        for region, count in outside.items()
        if count
    ]
    log(notes)
    return Filled(histograms, notes)


def content(histogram: Histogram, process: str, variation: str = NOMINAL) -> Content:
    """Return the bin contents of one template."""
    return _content(histogram[{"process": process, "variation": variation}])


def _content(histogram: Any) -> Content:
    return Content(np.array(histogram.values()), np.array(histogram.variances()))


def log(notes: Sequence[Note]) -> None:
    """Log *notes*, one line each."""
    for note in notes:
        place = ", ".join(name for name in (note.region, note.process, note.variation) if name)
        logger.info("%s: %s%s: %s", note.kind, place, f", bin {note.bin}" if note.bin else "", note.text)


def _note(kind: str, region: str, text: str, **place: str) -> Note:
    return Note("fill_templates", kind, region, place.get("process", ""), "", place.get("bin", ""), text)


def _acting(settings: slices.Filling) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the variation and the processes on which it acts, of every template that is not nominal."""
    both = settings.variations | settings.weights
    found = {f"{name}_{side}": (name, processes) for name, processes in both.items() for side in ("up", "down")}
    for sample, template in settings.alternatives.items():
        name, process = template.rpartition("_")[0], settings.samples[sample]
        if template:
            found[template] = (name, (*found.get(template, (name, ()))[1], process))
    for name, chosen in settings.sets.items():
        found |= {f"{name}_{MEMBER}{index}": (name, chosen.processes) for index in range(chosen.number)}
    return found


def _variation_names(settings: slices.Filling) -> list[str]:
    return [NOMINAL, *_acting(settings)]


def _parts(events: Sequence[Path], scores: Path, settings: slices.Filling) -> list[Part]:
    """Return the events files in the order of variations and samples, with the place of their scores."""
    paths = {(path.parent.name, path.stem): path for path in events}
    needed = [
        (variation, sample)
        for variation in _variation_names(settings)
        for sample, process in settings.samples.items()
        if (variation == NOMINAL and settings.alternatives.get(sample, variation))
        or (
            process in settings.variations.get(variation.rpartition("_")[0], ()) and sample not in settings.alternatives
        )
    ]
    if missing := [f"{variation}/{sample}" for variation, sample in needed if (variation, sample) not in paths]:
        raise TemplateError(f"events of {', '.join(missing)} are missing; run process_events for them")
    if not settings.scored:
        return [scored_events.part(paths[key], None, {}) for key in needed]
    blocks = scored_events.blocks(scores, _variation_names(settings), list(settings.samples))
    return [scored_events.part(paths[key], scores, blocks) for key in needed]


def _regions(settings: slices.Filling) -> Regions:
    return Regions(list(settings.regions), settings.scored)


def _factors(part: Part, settings: slices.Filling) -> list[str]:
    """Return the columns of weight factors that *part* has."""
    if part.variation != NOMINAL or part.sample in settings.alternatives:
        return []
    weighted = settings.weights.keys() | settings.sets.keys()
    process = settings.samples[part.sample]
    return [
        f"factor_{key}" for key, (name, acting) in _acting(settings).items() if name in weighted and process in acting
    ]


def _bins(parts: Sequence[Part], settings: slices.Filling) -> dict[str, binning.Bins]:
    """Return the bins of every region, from the nominal signal and background."""
    simulated = [
        part
        for part in parts
        if part.variation == NOMINAL
        and settings.samples[part.sample] != DATA
        and part.sample not in settings.alternatives
    ]
    ranges = _ranges(simulated, settings)
    contents = {}
    for region, chosen in settings.regions.items():
        edges = binning.candidates(chosen, *ranges[region])
        axes = (hist.axis.StrCategory(["signal", "background"], name="role"), hist.axis.Variable(edges, name="score"))
        contents[region] = hist.Hist(*axes, storage=hist.storage.Weight())
    for part in simulated:
        role = "signal" if settings.samples[part.sample] == settings.signal else "background"
        for region, rows in scored_events.rows(part, _regions(settings)):
            inside = scored_events.clipped(rows["value"], contents[region].axes["score"].edges)
            contents[region].fill(role=role, score=inside, weight=rows["weight"])
    return {region: _choose(settings, region, histogram) for region, histogram in contents.items()}


def _choose(settings: slices.Filling, region: str, histogram: Histogram) -> binning.Bins:
    signal, background = (_content(histogram[{"role": role}]) for role in ("signal", "background"))
    if not np.any(signal.variances + background.variances):
        raise TemplateError(f"region {region!r}: no simulated event is in it; check its selection or remove the region")
    return binning.choose(settings.regions[region], histogram.axes["score"].edges, signal, background)


def _ranges(parts: Sequence[Part], settings: slices.Filling) -> dict[str, tuple[float, float]]:
    """Return the range of values in every region: [0, 1] for scores, else that of the nominal simulated events."""
    ranges = dict.fromkeys(settings.regions, (0.0, 1.0))
    if not any(binned.rule == "quantile" and name not in settings.scored for name, binned in settings.regions.items()):
        return ranges
    found: dict[str, tuple[float, float]] = {}
    for part in parts:
        for region, rows in scored_events.rows(part, _regions(settings)):
            low, high = found.get(region, (np.inf, -np.inf))
            found[region] = min(low, float(rows["value"].min())), max(high, float(rows["value"].max()))
    return ranges | {region: limits for region, limits in found.items() if region not in settings.scored}


def _empty(edges: np.ndarray, settings: slices.Filling) -> Histogram:
    collision = (DATA,) if DATA in settings.samples.values() else ()
    return hist.Hist(
        hist.axis.StrCategory([*settings.processes, *collision], name="process"),
        hist.axis.StrCategory(_variation_names(settings), name="variation"),
        hist.axis.Variable(edges, name="score"),
        storage=hist.storage.Weight(),
    )


def _fill_rows(histogram: Histogram, part: Part, rows: Columns, settings: slices.Filling) -> int:
    """Add events of one region, also to the weight variations, and return how many are out of range."""
    process, edges = settings.samples[part.sample], histogram.axes["score"].edges
    inside = scored_events.clipped(rows["value"], edges)
    variation = settings.alternatives.get(part.sample, part.variation)
    histogram.fill(process=process, variation=variation, score=inside, weight=rows["weight"])
    for name in (name for name in rows if name.startswith("factor_")):
        weight = rows["weight"] * rows[name]
        histogram.fill(process=process, variation=name.removeprefix("factor_"), score=inside, weight=weight)
    return int(np.count_nonzero((rows["value"] < edges[0]) | (rows["value"] > edges[-1])))


def _copy_nominal(region: str, histogram: Histogram, settings: slices.Filling) -> None:
    """Give every process its nominal template in the variations that do not act on it, or not in this region."""
    view = histogram.view(flow=True)
    names = list(histogram.axes["variation"])
    for row, process in enumerate(histogram.axes["process"]):
        for template, (name, processes) in _acting(settings).items():
            if process not in processes or region not in settings.restricted.get(name, (region,)):
                view[row, names.index(template)] = view[row, 0]


def _combined(histogram: Histogram, settings: slices.Filling) -> Histogram:
    """Return *histogram* with the up and down of every weight set in place of its members."""
    if not settings.sets:
        return histogram
    others = [name for name in histogram.axes["variation"] if MEMBER not in name.rpartition("_")[2]]
    made: Histogram = hist.Hist(
        histogram.axes["process"],
        hist.axis.StrCategory([*others, *(f"{name}_{side}" for name in settings.sets for side in ("up", "down"))]),
        histogram.axes["score"],
        storage=hist.storage.Weight(),
    )
    made.axes.name = histogram.axes.name
    names = list(histogram.axes["variation"])
    old: Any = histogram.view(flow=True)
    new: Any = made.view(flow=True)
    new[:, : len(others)] = old[:, [names.index(name) for name in others]]
    for index, (name, chosen) in enumerate(settings.sets.items()):
        members = [names.index(f"{name}_{MEMBER}{number}") for number in range(chosen.number)]
        for row in range(len(histogram.axes["process"])):
            nominal = old[row, 0]
            pair = combine(nominal["value"], old[row, members]["value"], chosen.combine)
            for side, values in enumerate(pair):
                place = new[row, len(others) + 2 * index + side]
                place["value"], place["variance"] = values, nominal["variance"]
    return made


def combine(nominal: np.ndarray, members: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the up and down templates that *members*, of shape (members, bins), stand for together.

    Every bin by itself, and all bins move together: which bins move against each other is lost. ``replicas``: the
    standard deviation (arXiv:1510.03865, equation 20); ``symmetric_hessian`` and ``hessian``: changes in quadrature,
    of the latter the largest of each pair on either side (equations 17 and 19 there); ``envelope``: largest, smallest.
    """
    change = members - nominal
    match how:
        case "replicas":
            up = down = members.std(axis=0, ddof=1)
        case "symmetric_hessian":
            up = down = np.sqrt(np.sum(change**2, axis=0))
        case "hessian":
            pairs = change.reshape(-1, 2, len(nominal))
            up = np.sqrt(np.sum(np.maximum(pairs.max(axis=1), 0) ** 2, axis=0))
            down = np.sqrt(np.sum(np.maximum(-pairs.min(axis=1), 0) ** 2, axis=0))
        case _:
            up, down = np.maximum(change.max(axis=0), 0), np.maximum(-change.min(axis=0), 0)
    return nominal + up, nominal - down


def renormalise(
    varied: Mapping[str, Histogram], nominal: Mapping[str, Histogram], processes: Sequence[str], variation: str
) -> None:
    """Scale the templates of *variation* to the nominal yield of each process, both summed over all regions.

    A process without events at the variation stays without.
    """
    for process in processes:
        target = sum(content(histogram, process).values.sum() for histogram in nominal.values())
        total = sum(content(histogram, process, variation).values.sum() for histogram in varied.values())
        if not total > 0:
            continue
        for histogram in varied.values():
            view: Any = histogram.view(flow=True)
            place = histogram.axes["process"].index(process), histogram.axes["variation"].index(variation)
            view["value"][place] *= target / total
            view["variance"][place] *= (target / total) ** 2


def symmetrise(nominal: np.ndarray, up: np.ndarray, down: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return up and down at equal distances from *nominal*: half their difference, or *up* mirrored without *down*."""
    half = up - nominal if down is None else (up - down) / 2
    return nominal + half, nominal - half


def smooth(nominal: np.ndarray, varied: np.ndarray, how: str = "353qh") -> np.ndarray:
    """Return *varied* with a smooth ratio to the positive *nominal*, and the same total; fewer than 3 bins stay."""
    if len(nominal) < 3:
        return varied
    ratio = varied / nominal
    smoothed = nominal * (smooth_353qh(ratio) if how == "353qh" else smooth_kernel(ratio, nominal))
    total = smoothed.sum()
    return smoothed * (varied.sum() / total) if total > 0 else varied


def smooth_kernel(values: np.ndarray, weights: np.ndarray, width: float = 1.5) -> np.ndarray:
    """Return *values*, of shape (bins,), smoothed by straight lines through their neighbours.

    Local linear regression with a Gaussian kernel of *width* bins and *weights* (events): straight lines stay, also
    at the ends (Fan and Gijbels, Local polynomial modelling and its applications, 1996, section 3.2).
    """
    distance = np.arange(len(values)) - np.arange(len(values))[:, None]
    kernel = weights * np.exp(-0.5 * (distance / width) ** 2)
    moments = [(kernel * distance**power).sum(axis=1) for power in range(3)]
    lines = kernel * (moments[2][:, None] - moments[1][:, None] * distance)
    return np.asarray((lines * values).sum(axis=1) / lines.sum(axis=1))


def flatness(nominal: Content, varied: Content) -> tuple[float, int]:
    """Return the chi-squared of the ratio of *varied* to *nominal* against a constant, and the degrees of freedom.

    Errors are those of the nominal template: most events of a shift or weight are in both, so that this is too small
    for them; for an independent sample it is too large by up to two.
    """
    filled = (nominal.values > 0) & (nominal.variances > 0)
    values, ratio = nominal.values[filled], varied.values[filled] / nominal.values[filled]
    precision = values**2 / nominal.variances[filled]
    if not filled.any():
        return 0.0, 0
    mean = np.average(ratio, weights=precision)
    return float(np.sum(precision * (ratio - mean) ** 2)), int(filled.sum()) - 1


def smooth_353qh(values: np.ndarray) -> np.ndarray:
    """Return *values*, of shape (bins,) with at least 3 bins, smoothed by 353QH, twice.

    Running medians of 3, 5 and 3 bins, quadratic interpolation of flat parts, Hanning means; then the same of the
    residuals, added. Values without a negative one stay non-negative. This is TH1::Smooth of ROOT (J. Friedman,
    Data analysis techniques for high energy particle physics, CERN 74-23, p. 271).
    """
    once = _smooth_353qh_once(values)
    smoothed = once + _smooth_353qh_once(values - once)
    return smoothed if values.min() < 0 else np.where(smoothed > 0, smoothed, 0)


def _smooth_353qh_once(values: np.ndarray) -> np.ndarray:
    medians = _median_3(values)
    for end, first, second in ((0, 1, 2), (-1, -2, -3)):
        medians[end] = np.median([values[end], medians[first], 3 * medians[first] - 2 * medians[second]])
    medians = _median_3(_median_5(medians))
    curved = medians.copy()
    for here in range(2, len(values) - 2):
        before, after = medians[here - 2] - medians[here], medians[here + 2] - medians[here]
        if medians[here - 1] == medians[here] == medians[here + 1] and before * after > 0:
            step = -1 if abs(after) > abs(before) else 1
            far, near = medians[here - 2 * step], medians[here + 2 * step]
            curved[here] = -far / 2 + medians[here] / 0.75 + near / 6
            curved[here + step] = (near - far) / 2 + medians[here]
    smoothed = curved.copy()
    smoothed[1:-1] = curved[:-2] / 4 + curved[1:-1] / 2 + curved[2:] / 4
    return smoothed


def _median_3(values: np.ndarray) -> np.ndarray:
    medians = values.copy()
    medians[1:-1] = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    return medians


def _median_5(values: np.ndarray) -> np.ndarray:
    medians = _median_3(values)
    if len(values) > 4:
        medians[2:-2] = np.median([values[i : len(values) - 4 + i] for i in range(5)], axis=0)
    return medians


def floor(nominal: np.ndarray) -> float:
    """Return the content given to empty and negative bins of a process with these nominal bins."""
    return TINY * float(nominal.sum()) / len(nominal)


def fill_up(values: np.ndarray, tiny: float) -> tuple[np.ndarray, np.ndarray]:
    """Return *values* with *tiny* in empty and negative bins, and which bins these were.

    The others are scaled so that the total stays: a yield is measured better than a bin that became negative.
    """
    bad = values <= 0
    total, rest = values.sum() - tiny * np.count_nonzero(bad), values[~bad].sum()
    scale = total / rest if np.any(bad) and total > 0 else 1.0
    return np.where(bad, tiny, values * scale), np.flatnonzero(bad)


def same_side(nominal: np.ndarray, up: np.ndarray, down: np.ndarray) -> str | None:
    """Return what up and down change in the same direction, or None; effects below `NEGLIGIBLE` do not count."""
    rates = np.array([up.sum(), down.sum()]) / nominal.sum() - 1
    if np.prod(rates) > 0 and np.min(np.abs(rates)) > NEGLIGIBLE:
        return f"up and down change the yield in the same direction ({rates[0]:+.2%} and {rates[1]:+.2%})"
    shapes = [(varied / varied.sum() * nominal.sum() - nominal) / np.sqrt(nominal) for varied in (up, down)]
    sizes = [np.sqrt(np.sum(shape**2) / nominal.sum()) for shape in shapes]
    if min(sizes) > NEGLIGIBLE and (cosine := shapes[0] @ shapes[1] / nominal.sum() / np.prod(sizes)) > PARALLEL:
        return f"up and down change the shape in the same direction (cosine {cosine:+.2f})"
    return None
