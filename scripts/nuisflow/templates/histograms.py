"""What all templates are: weighted histograms, their content, and notes of what was done to them."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import hist
import numpy as np

from nuisflow.templates.binning import Content

DATA = "data"
NOMINAL = "nominal"
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


def content(histogram: Histogram, process: str, variation: str = NOMINAL) -> Content:
    """Return the bin contents of one template."""
    return _content(histogram[{"process": process, "variation": variation}])


def _content(histogram: Any) -> Content:
    return Content(np.array(histogram.values()), np.array(histogram.variances()))


def holes(histogram: Histogram, processes: Sequence[str]) -> np.ndarray:
    """Return in which bins none of *processes* has a nominal event: holes of the selection, shape (bins,)."""
    events = np.sum([content(histogram, process).variances for process in processes], axis=0)
    return np.asarray(events == 0)


def log(notes: Sequence[Note]) -> None:
    """Log *notes*, one line each."""
    for note in notes:
        place = ", ".join(name for name in (note.region, note.process, note.variation) if name)
        logger.info("%s: %s%s: %s", note.kind, place, f", bin {note.bin}" if note.bin else "", note.text)
