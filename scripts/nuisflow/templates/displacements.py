"""What is expected at displaced true points, from the events there: never interpolated, smoothed or pruned."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import hist
import numpy as np

from nuisflow.events import scored_events
from nuisflow.events.scored_events import Part, Regions, TemplateError
from nuisflow.settings.points import Point
from nuisflow.slices.inference import DisplacedFilling
from nuisflow.templates import filling
from nuisflow.templates import histograms as templates
from nuisflow.templates.histograms import NOMINAL, Histogram

logger = logging.getLogger(__name__)


def fill(
    histograms: Mapping[str, Histogram],
    events: Sequence[Path],
    scores: Path,
    rescored: Path | None,
    settings: DisplacedFilling,
) -> dict[str, Histogram]:
    """Return one histogram per region, with axes process, variation (the names of the points) and score.

    Bins, nominal content and the points at +-1 are those of the templates *histograms*; other points of shifts and
    weights come from *events*. Shifted events have their scores in *rescored*, reweighted ones share those of the
    nominal events in *scores*. The size of the pieces read and the order of *events* change nothing.
    """
    filled = {region: _copied(region, histogram, settings) for region, histogram in histograms.items()}
    templated = {name for histogram in histograms.values() for name in histogram.axes["variation"]}
    for part in _parts(events, scores, rescored, templated, settings):
        for region, rows in scored_events.rows(part, Regions(settings.regions, settings.scored)):
            if region not in settings.displaced[part.variation].regions:
                continue
            inside = scored_events.clipped(rows["value"], filled[region].axes["score"].edges)
            process = settings.samples[part.sample]
            filled[region].fill(process=process, variation=part.variation, score=inside, weight=rows["weight"])
    for name, point in settings.displaced.items():
        for regions in settings.renormalised.get(point.variation, ()) if name not in templated else ():
            filling.renormalise(filled, histograms, point.processes, name, regions)
    return filled


def _copied(region: str, histogram: Histogram, settings: DisplacedFilling) -> Histogram:
    """Return the points as far as the templates of *region* tell: 0 where events will."""
    empty: Histogram = hist.Hist(
        hist.axis.StrCategory(settings.processes, name="process"),
        hist.axis.StrCategory(list(settings.displaced), name="variation"),
        hist.axis.Variable(histogram.axes["score"].edges, name="score"),
        storage=hist.storage.Weight(),
    )
    view: Any = empty.view()
    for row, process in enumerate(settings.processes):
        if process not in histogram.axes["process"]:
            raise TemplateError(f"region {region!r}: the templates have no process {process!r}; run fill_templates")
        for column, (name, point) in enumerate(settings.displaced.items()):
            moved = region in point.regions and process in point.processes
            if (source := _source(histogram, name, point, moved=moved)) is not None:
                factor = point.factor if point.factor is not None and moved else 1.0
                content = templates.content(histogram, process, source)
                view["value"][row, column] = content.values * factor
                view["variance"][row, column] = content.variances * factor**2
    return empty


def _source(histogram: Histogram, name: str, point: Point, *, moved: bool) -> str | None:
    """Return the template that shows a process at a point, up to a factor; None if events must tell."""
    if not moved or point.factor is not None:
        return NOMINAL
    return name if name in histogram.axes["variation"] else None


def _shows(sample: str, name: str, point: Point, settings: DisplacedFilling) -> bool:
    """Return whether events of *sample* are those at a point: an alternative where that is what the point is."""
    if point.kind == "two_point":
        return settings.alternatives.get(sample) == name
    return sample not in settings.alternatives


def _parts(
    events: Sequence[Path],
    scores: Path,
    rescored: Path | None,
    templated: Collection[str],
    settings: DisplacedFilling,
) -> list[Part]:
    """Return the events files in the order of points and samples, with the place of their scores."""
    needed = {
        (name, sample): name if sample not in settings.alternatives else NOMINAL
        for name, point in settings.displaced.items()
        for sample, process in settings.samples.items()
        if point.factor is None and name not in templated and process in point.processes
        if _shows(sample, name, point, settings)
    }
    paths = scored_events.chosen(events, ((folder, sample) for (_, sample), folder in needed.items()))
    names = list(settings.samples)
    weighted = any(settings.displaced[name].kind in ("weight", "two_point") for name, _ in needed)
    common = scored_events.blocks(scores, settings.scores, names) if weighted and settings.scored else {}
    own = scored_events.blocks(rescored, list(settings.displaced), names) if rescored and settings.scored else {}
    parts = []
    for (name, _), path in zip(needed, paths, strict=True):
        if not settings.scored:
            found = scored_events.part(path, None, {})
        elif settings.displaced[name].kind in ("weight", "two_point"):
            found = scored_events.part(path, scores, common, NOMINAL)
        else:
            found = scored_events.part(path, rescored, own)
        parts.append(found._replace(variation=name))
    return parts


def expectation(histograms: Mapping[str, Histogram], name: str, channels: Sequence[tuple[str, int, int]]) -> np.ndarray:
    """Return the expected events at the point *name* in all bins of a workspace with *channels* (name, start, stop).

    Negative sums (of events with negative weights) become 0, since no data can be thrown from them, and are logged.
    """
    expected = np.zeros(max((stop for _, _, stop in channels), default=0))
    for region, start, stop in channels:
        if region not in histograms or name not in (names := histograms[region].axes["variation"]):
            raise TemplateError(f"the displaced point {name!r} is missing in region {region!r}; run fill_displaced")
        total = histograms[region].values()[:, names.index(name)].sum(axis=0)
        if len(total) != stop - start:
            raise TemplateError(
                f"region {region!r}: {len(total)} bins at displaced points, but {stop - start} in the workspace; "
                "run fill_displaced and build_workspace again"
            )
        for index in np.flatnonzero(total < 0):
            logger.warning("%s: region %s, bin %d: %g expected events become 0", name, region, index, total[index])
        expected[start:stop] = np.maximum(total, 0.0)
    return expected
