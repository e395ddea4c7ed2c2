"""What templates conditional on a hypothesis depend on."""

from pydantic import Field

from nuisflow.settings import points
from nuisflow.settings.conditional import Grid, grid, thrown
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.points import Point
from nuisflow.slices.events import Partial


class Rescoring(Partial):
    """Slice of fill_conditional. *shifts*, *weights*: the processes on which these variations act.

    *thrown*: the true points for pseudo-experiments, whose events are needed one by one.
    """

    features: tuple[str, ...]
    folds: int
    processes: tuple[str, ...]
    samples: dict[str, str]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    grid: Grid
    shifts: dict[str, tuple[str, ...]]
    weights: dict[str, tuple[str, ...]]
    displaced: dict[str, Point]
    thrown: tuple[str, ...]
    renormalised: dict[str, tuple[tuple[str, ...], ...]] = Field({})


def rescoring(settings: Configuration, training: str) -> Rescoring:
    """Return what fill_conditional of *training* depends on."""
    kinds = {name: variation.kind for name, variation in settings.variations.items()}
    return Rescoring(
        features=settings.features,
        folds=settings.learning.folds,
        processes=tuple(settings.processes),
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        grid=grid(settings, training).model_copy(update={"rebinned": False}),  # a matter of the fit
        shifts={name: points.affected(settings, name) for name, kind in kinds.items() if kind == "shift"},
        weights={name: points.affected(settings, name) for name, kind in kinds.items() if kind == "weight"},
        displaced=points.displaced(settings),
        thrown=tuple(thrown(settings, training)),
        renormalised=points.renormalised(settings),
    )
