"""Templates and yields as people see them: what an estimate from data subtracts belongs to one process with its data.

*parts* maps the names of what is subtracted to the name of the estimate.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import hist
import numpy as np

from nuisflow.templates.histograms import DATA, Histogram, holes


def merged(histogram: Histogram, parts: Mapping[str, str]) -> Histogram:
    """Return *histogram* with every part added to its estimate."""
    if not parts:
        return histogram
    names = [name for name in histogram.axes["process"] if name not in parts]
    processes: Any = hist.axis.StrCategory(names, name="process")
    made: Histogram = hist.Hist(processes, *list(histogram.axes)[1:], storage=hist.storage.Weight())
    old: Any = histogram.view(flow=True)
    new: Any = made.view(flow=True)
    for row, name in enumerate(histogram.axes["process"]):
        place = names.index(parts.get(name, name))
        for field in ("value", "variance"):
            new[field][place] += old[field][row]
    return made


def merged_yields(
    result: Mapping[str, Any], histograms: Mapping[str, Histogram], parts: Mapping[str, str]
) -> dict[str, Any]:
    """Return what a fit found (`measurements.measure`) with yields of every part added to those of its estimate.

    Bins that are holes of the selection have the little that a workspace needs there: 0 again.
    """
    empty = {
        region: holes(histogram, [name for name in histogram.axes["process"] if name != DATA])
        for region, histogram in histograms.items()
    }
    stages = {
        stage: {region: _shown(found, empty[region], parts) for region, found in channels.items()}
        for stage, channels in result["yields"].items()
    }
    return {**result, "yields": stages}


def _shown(yields: Mapping[str, Any], empty: np.ndarray, parts: Mapping[str, str]) -> dict[str, Any]:
    """Return the yields of one region as people see them."""
    samples: dict[str, list[float]] = {}
    for name, values in yields["samples"].items():
        owner = parts.get(name, name)
        samples[owner] = np.add(samples[owner], values).tolist() if owner in samples else values
    shown = {**yields, "samples": samples}
    if empty.any():
        shown["samples"] = {name: np.where(empty, 0.0, values).tolist() for name, values in samples.items()}
        shown |= {name: np.where(empty, 0.0, yields[name]).tolist() for name in ("total", "error")}
    return shown


def yields_in_units(fit: Mapping[str, Any], regions: Sequence[str], low: float, high: float) -> dict[str, Any]:
    """Return the content of fit.json with edges of *regions*, from 0 to 1, as an observable from *low* to *high*."""
    found = dict(fit)
    for kind, result in fit.items():
        if isinstance(result, Mapping) and "yields" in result:
            stages = {
                stage: {
                    region: one | {"edges": [low + (high - low) * edge for edge in one["edges"]]}
                    if region in regions
                    else one
                    for region, one in channels.items()
                }
                for stage, channels in result["yields"].items()
            }
            found[kind] = {**result, "yields": stages}
    return found


def in_units(histogram: Histogram, low: float, high: float) -> Histogram:
    """Return *histogram* with the axis of its score, from 0 to 1, as the observable from *low* to *high*."""
    *others, score = histogram.axes
    axis: Any = hist.axis.Variable(low + (high - low) * np.asarray(score.edges), name=score.name)
    made: Histogram = hist.Hist(*others, axis, storage=hist.storage.Weight())
    view: Any = made.view()
    view[...] = histogram.view()
    return made
