"""What a likelihood of single events measures with a part of the events; see `inference.studies`."""

from typing import Any

from nuisflow.inference import studies
from nuisflow.inference.unbinned import events, measurements, toys
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.slices.inference import ToySettings


def measure(
    model: UnbinnedModel, simulated: Events, whole: Events, spread: float | None, settings: ToySettings
) -> dict[str, Any]:
    """Return what `inference.studies.measure` does; the statistics of the simulation are the *spread* of replicas.

    *simulated*: the events of the part, with the weights of all; *whole*: all nominal events with their densities.
    """
    found = studies.expected_uncertainty(model, events.asimov(model, simulated))
    return {
        "asimov": found | measurements.widened(found, spread),
        "coverage": toys.throw(model, {NOMINAL: simulated}, settings).coverage,
        "whole": toys.asimov(model, whole),
    }
