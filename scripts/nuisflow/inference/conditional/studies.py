"""What a training that is scored at every z measures with a part of the events; see `inference.studies`."""

from typing import Any

from nuisflow.inference import studies, truths
from nuisflow.inference.conditional import hypotheses, toys
from nuisflow.inference.truths import Truth
from nuisflow.settings.conditional import NOMINAL
from nuisflow.slices.studies import ConditionalSize
from nuisflow.templates.conditional import Filled


def measure(spaces: list[dict[str, Any]], filled: Filled, whole: Filled, settings: ConditionalSize) -> dict[str, Any]:
    """Return what `inference.studies.measure` does, of the workspaces *spaces* at every z.

    *filled*: what they were built of, and patterns for pseudo-experiments; *whole*: all nominal events in these bins.
    """
    model, signal = hypotheses.model(spaces, settings.grid), settings.workspace.signal
    expected, everything = (
        hypotheses.Expected(one.histograms, model.nominal.channels, signal) for one in (filled, whole)
    )
    truth = Truth({settings.toys.poi: truths.SIGNAL}, 0, expected=everything.at(NOMINAL))
    return {
        "asimov": studies.expected_uncertainty(model, model.data(expected.at(NOMINAL))),
        "coverage": toys.throw(model, expected, filled.patterns, settings.toys, [NOMINAL]).coverage,
        "whole": toys.asimov(model, truth),
    }
