"""What a training that is scored at every z measures with a part of the events; see `inference.studies`."""

from typing import Any

from nuisflow.inference import studies, truths
from nuisflow.inference.conditional import hypotheses, toys
from nuisflow.inference.truths import Truth
from nuisflow.settings.conditional import NOMINAL
from nuisflow.slices.studies import ConditionalSize
from nuisflow.templates.conditional import Filled


def measure(filled: Filled, whole: Filled, settings: ConditionalSize) -> dict[str, Any]:
    """Return what `inference.studies.measure` does, of the likelihoods over z.

    *filled*: what they are built of, and patterns for pseudo-experiments; *whole*: all nominal events in these bins.
    """
    observables = hypotheses.observables(filled.histograms, settings.grid, settings.workspace)
    channels, signal = observables.nominal.nominal.channels, settings.workspace.signal
    expected, everything = (hypotheses.Expected(one.histograms, channels, signal) for one in (filled, whole))
    ((_, _, likelihood, data),) = observables.each(observables.nominal.data(expected.at(NOMINAL)))
    truth = Truth({settings.toys.poi: truths.SIGNAL}, 0, expected=everything.at(NOMINAL))
    return {
        "asimov": studies.expected_uncertainty(likelihood, data),
        "coverage": toys.throw(observables, expected, filled.patterns, settings.toys, [NOMINAL]).coverage,
        "whole": toys.asimov(observables, truth),
    }
