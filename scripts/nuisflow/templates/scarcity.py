"""How few simulated events stand behind the templates: too few make profile-likelihood intervals too narrow."""

from collections.abc import Mapping, Sequence

import numpy as np

from nuisflow.templates import binning
from nuisflow.templates.histograms import DATA, NOMINAL, Histogram, content, holes

Row = dict[str, str | int | float]


def rows(histograms: Mapping[str, Histogram], backgrounds: Sequence[str]) -> list[Row]:
    """Return the bin with the fewest effective simulated background events, of each region.

    One row for the nominal templates and one for the worst of the varied ones, if there are any: region, variation,
    bin (counted from 0), bins, and events, (sum w)^2 / sum w^2 of all *backgrounds* together.
    """
    found: list[Row] = []
    for region, histogram in histograms.items():
        there = ~holes(histogram, [name for name in histogram.axes["process"] if name != DATA])
        counts = {name: _effective(histogram, backgrounds, name)[there] for name in histogram.axes["variation"]}
        nominal = counts.pop(NOMINAL)
        if not nominal.any():
            continue
        worst = sorted(counts, key=lambda name: counts[name].min())[:1]
        for name, events in ((NOMINAL, nominal), *((name, counts[name]) for name in worst)):
            place = int(np.argmin(events))
            row: Row = {"region": region, "variation": name, "bin": int(np.flatnonzero(there)[place])}
            found.append(row | {"bins": len(there), "events": float(events[place])})
    return found


def _effective(histogram: Histogram, processes: Sequence[str], variation: str) -> np.ndarray:
    contents = [content(histogram, process, variation) for process in processes]
    values, variances = (np.sum(part, axis=0) for part in zip(*contents, strict=True))
    return binning.effective_events(binning.Content(values, variances))
