"""What the questions "what if an uncertainty were another?" depend on."""

from nuisflow.settings import conditional, points, unbinned
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section


class WhatIfSettings(Section):
    """Slice of compute_what_if; *sources*: the parameters of every variation that has a prior."""

    trainings: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]


def slice_of(settings: Configuration) -> WhatIfSettings:
    """Return what compute_what_if depends on."""
    return WhatIfSettings(
        trainings=tuple(settings.trainings),
        sources={
            name: tuple(points.parameters(settings, name))
            for name, chosen in settings.variations.items()
            if chosen.kind != "free_rate"
        },
    )


def likelihood(settings: Configuration, training: str) -> str:
    """Return the file that describes the likelihood of a training."""
    if training in conditional.trainings(settings):
        return "workspaces.json"
    return "densities.json" if training in unbinned.trainings(settings) else "workspace.json"
