"""Templates: histograms of a region's observable per process and variation, and how variations are post-processed."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np

from nuisflow.events import scored_events
from nuisflow.events.scored_events import Columns, Part, Regions, TemplateError
from nuisflow.events.variations import MEMBER
from nuisflow.slices.inference import Filling
from nuisflow.templates import binning
from nuisflow.templates.histograms import DATA, NOMINAL, Histogram, Note, _content, content, log
from nuisflow.templates.weight_sets import _combined

HOLE = "no simulated event here, but enough on both sides: a hole of the selection, which does not count in the fit"


class Filled(NamedTuple):
    """One histogram per region, with axes process, variation and score, and what was merged on the way."""

    histograms: dict[str, Histogram]
    notes: list[Note]


def fill(events: Sequence[Path], scores: Path, settings: Filling) -> Filled:
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
    notes += [_note("hole", region, HOLE, bin=str(index)) for region, chosen in bins.items() for index in chosen.holes]
    histograms = {region: empty(chosen.edges, settings) for region, chosen in bins.items()}
    outside = dict.fromkeys(bins, 0)
    for part in parts:
        for region, rows in scored_events.rows(
            part, _regions(settings), factors(part.variation, part.sample, settings)
        ):
            lost = _fill_rows(histograms[region], part, rows, settings)
            outside[region] += lost * (part.variation == NOMINAL and part.sample not in settings.alternatives)
    for region, histogram in histograms.items():
        _check_holes(region, histogram, bins[region].holes)
    histograms = completed(histograms, settings)
    notes += [
        _note("out_of_range", region, f"{count} nominal events out of range are in the first or the last bin")
        for region, count in outside.items()
        if count
    ]
    log(notes)
    return Filled(histograms, notes)


def expected(
    events: Sequence[Path], scores: Path, histograms: Mapping[str, Histogram], settings: Filling
) -> dict[str, np.ndarray]:
    """Return what all simulated events expect at nominal in the bins of *histograms*, whatever part filled these."""
    found = {region: np.zeros(len(histogram.axes["score"])) for region, histogram in histograms.items()}
    whole = settings.model_copy(update={"used": {}})
    for part in _simulated(_parts(events, scores, whole), settings):
        for region, rows in scored_events.rows(part, _regions(settings)):
            edges = histograms[region].axes["score"].edges
            inside = scored_events.clipped(rows["value"], edges)
            found[region] += np.histogram(inside, edges, weights=rows["weight"])[0]
    return found


def completed(histograms: Mapping[str, Histogram], settings: Filling) -> dict[str, Histogram]:
    """Return what follows from filled *histograms* of all regions, which it changes.

    Processes on which a variation does not act keep their nominal template, some shifts keep yields, and the members of
    a weight set become up and down.
    """
    for region, histogram in histograms.items():
        _copy_nominal(region, histogram, settings)
    for name, side in itertools.product(settings.renormalised, ("up", "down")):
        for regions in settings.renormalised[name]:
            renormalise(histograms, histograms, settings.variations[name], f"{name}_{side}", regions)
    return {region: _combined(histogram, settings) for region, histogram in histograms.items()}


def _note(kind: str, region: str, text: str, **place: str) -> Note:
    return Note("fill_templates", kind, region, place.get("process", ""), "", place.get("bin", ""), text)


def _acting(settings: Filling) -> dict[str, tuple[str, tuple[str, ...]]]:
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


def _variation_names(settings: Filling) -> list[str]:
    return [NOMINAL, *_acting(settings)]


def _parts(events: Sequence[Path], scores: Path, settings: Filling) -> list[Part]:
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
    known = (
        {} if not settings.scored else scored_events.blocks(scores, _variation_names(settings), list(settings.samples))
    )
    found = [scored_events.part(paths[key], scores if settings.scored else None, known) for key in needed]
    used = [scored_events.used(settings, part.sample) for part in found]
    return [part._replace(used=rows, factor=factor) for part, (rows, factor) in zip(found, used, strict=True)]


def _simulated(parts: Sequence[Part], settings: Filling) -> list[Part]:
    """Return the *parts* of which the simulation at nominal is."""
    return [
        part
        for part in parts
        if part.variation == NOMINAL
        and settings.samples[part.sample] != DATA
        and part.sample not in settings.alternatives
    ]


def _regions(settings: Filling) -> Regions:
    return Regions(list(settings.regions), settings.scored)


def factors(variation: str, sample: str, settings: Filling) -> list[str]:
    """Return the columns of weight factors that the events of *sample* have at *variation*."""
    if variation != NOMINAL or sample in settings.alternatives:
        return []
    weighted = settings.weights.keys() | settings.sets.keys()
    process = settings.samples[sample]
    return [
        f"factor_{key}" for key, (name, acting) in _acting(settings).items() if name in weighted and process in acting
    ]


def _bins(parts: Sequence[Part], settings: Filling) -> dict[str, binning.Bins]:
    """Return the bins of every region, from the nominal signal and background."""
    simulated = _simulated(parts, settings)
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


def _choose(settings: Filling, region: str, histogram: Histogram) -> binning.Bins:
    signal, background = (_content(histogram[{"role": role}]) for role in ("signal", "background"))
    if not np.any(signal.variances + background.variances):
        raise TemplateError(f"region {region!r}: no simulated event is in it; check its selection or remove the region")
    edges, gaps = histogram.axes["score"].edges, region not in settings.scored
    return binning.choose(settings.regions[region], edges, signal, background, gaps=gaps)


def _ranges(parts: Sequence[Part], settings: Filling) -> dict[str, tuple[float, float]]:
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


def empty(edges: np.ndarray, settings: Filling) -> Histogram:
    """Return a histogram of one region without events: axes process, variation and score."""
    collision = (DATA,) if DATA in settings.samples.values() else ()
    return hist.Hist(
        hist.axis.StrCategory([*settings.processes, *collision], name="process"),
        hist.axis.StrCategory(_variation_names(settings), name="variation"),
        hist.axis.Variable(edges, name="score"),
        storage=hist.storage.Weight(),
    )


def _check_holes(region: str, histogram: Histogram, holes: Sequence[int]) -> None:
    """Raise `TemplateError` for collision data where nothing was simulated."""
    seen = content(histogram, DATA).values if DATA in histogram.axes["process"] else np.zeros(len(histogram.axes[2]))
    for index in holes:
        if seen[index] > 0:
            low, high = histogram.axes["score"].edges[index : index + 2]
            raise TemplateError(
                f"region {region!r}, bin {index} ({low:g} to {high:g}): {seen[index]:g} events in data, but none was "
                "simulated there: simulate more, exclude such events in 'selection', or choose wider bins"
            )


def _fill_rows(histogram: Histogram, part: Part, rows: Columns, settings: Filling) -> int:
    """Add events of one region, also to the weight variations, and return how many are out of range."""
    process, edges = settings.samples[part.sample], histogram.axes["score"].edges
    inside = scored_events.clipped(rows["value"], edges)
    variation = settings.alternatives.get(part.sample, part.variation)
    histogram.fill(process=process, variation=variation, score=inside, weight=rows["weight"])
    for name in (name for name in rows if name.startswith("factor_")):
        weight = rows["weight"] * rows[name]
        histogram.fill(process=process, variation=name.removeprefix("factor_"), score=inside, weight=weight)
    return int(np.count_nonzero((rows["value"] < edges[0]) | (rows["value"] > edges[-1])))


def _copy_nominal(region: str, histogram: Histogram, settings: Filling) -> None:
    """Give every process its nominal template in the variations that do not act on it, or not in this region."""
    view = histogram.view(flow=True)
    names = list(histogram.axes["variation"])
    for row, process in enumerate(histogram.axes["process"]):
        for template, (name, processes) in _acting(settings).items():
            if process not in processes or region not in settings.restricted.get(name, (region,)):
                view[row, names.index(template)] = view[row, 0]


def renormalise(
    varied: Mapping[str, Histogram],
    nominal: Mapping[str, Histogram],
    processes: Sequence[str],
    variation: str,
    regions: Sequence[str],
) -> None:
    """Scale the templates of *variation* to the nominal yield of each process, both summed over *regions*.

    A process without events at the variation, or with a yield of the other sign, stays as it is.
    """
    for process in processes:
        target = sum(content(nominal[region], process).values.sum() for region in regions)
        total = sum(content(varied[region], process, variation).values.sum() for region in regions)
        if not total * target > 0:
            continue
        for histogram in (varied[region] for region in regions):
            view: Any = histogram.view(flow=True)
            place = histogram.axes["process"].index(process), histogram.axes["variation"].index(variation)
            view["value"][place] *= target / total
            view["variance"][place] *= (target / total) ** 2
