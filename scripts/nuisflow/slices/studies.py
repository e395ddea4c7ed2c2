"""What trainings and fits with a part of the events depend on."""

from typing import TypeVar

from nuisflow.settings import conditional, studies, unbinned
from nuisflow.settings.conditional import Grid
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices import conditional as conditional_slices
from nuisflow.slices import inference
from nuisflow.slices import training as training_slices
from nuisflow.slices import unbinned as unbinned_slices
from nuisflow.slices.conditional import Rescoring
from nuisflow.slices.events import EventSelection, Partial
from nuisflow.slices.inference import Filling, ToySettings, WorkspaceSettings
from nuisflow.slices.report import ComparisonSettings, PlotSettings, comparison, plots
from nuisflow.slices.training import TrainingSamples
from nuisflow.slices.unbinned import UnbinnedFilling

SIMULATED = "simulated_events"
"""The study in which templates, too, have a part of the events."""
Some = TypeVar("Some", bound=Partial)


class SizeSettings(Section):
    """Slice of measure_size: from scores to a workspace, its expected uncertainty and its coverage at nominal."""

    filling: Filling
    workspace: WorkspaceSettings
    toys: ToySettings


class ConditionalSize(Section):
    """Slice of measure_conditional: the same of a training that is scored at every hypothesised z."""

    rescoring: Rescoring
    grid: Grid
    workspace: WorkspaceSettings
    toys: ToySettings


class UnbinnedSize(Section):
    """Slice of measure_unbinned: the same of single events; *filling*: of the regions that have bins."""

    densities: UnbinnedFilling
    filling: Filling
    toys: ToySettings


class StudySettings(PlotSettings):
    """Slice of compare_studies: *sizes* of every study, as in names of folders."""

    comparison: ComparisonSettings
    sizes: dict[str, tuple[str, ...]]


def runs(settings: Configuration) -> list[tuple[str, str]]:
    """Return studies and sizes, but for the whole, which is the ordinary run."""
    return [(study, size) for study in settings.studies.asked for size in settings.studies.sizes(study)]


def training(settings: Configuration, name: str, repetition: int, size: str, replica: int = 0) -> TrainingSamples:
    """Return what a training depends on that learns of a part of the events only, at the same budget."""
    whole = training_slices.training(settings, name, repetition, replica)
    return whole.model_copy(update={"events": _reduced(whole.events, float(size))})


def measurement(settings: Configuration, name: str, repetition: int, study: str, size: str) -> SizeSettings:
    """Return what measure_size depends on."""
    return SizeSettings(
        filling=filling(settings, name, study, size),
        workspace=inference.workspace(settings, name),
        toys=_toys(settings, name, repetition),
    )


def filling(settings: Configuration, name: str, study: str, size: str) -> Filling:
    """Return what the templates of a size depend on."""
    return _partial(inference.filling(settings, name), settings, study, size)


def conditional_measurement(
    settings: Configuration, name: str, repetition: int, study: str, size: str
) -> ConditionalSize:
    """Return what measure_conditional depends on."""
    grid, whole = conditional.grid(settings, name), conditional_slices.rescoring(settings, name)
    nominal = {
        "displaced": {key: point for key, point in whole.displaced.items() if key in grid.points},
        "thrown": (conditional.NOMINAL,),
    }
    return ConditionalSize(
        rescoring=_partial(whole.model_copy(update=nominal), settings, study, size),
        grid=grid,
        workspace=inference.workspace(settings, name),
        toys=_toys(settings, name, repetition),
    )


def densities(settings: Configuration, study: str, size: str) -> UnbinnedFilling:
    """Return what the densities of nominal events of a size depend on."""
    whole = unbinned_slices.filling(settings).model_copy(update={"thrown": (unbinned.NOMINAL,)})
    return _partial(whole, settings, study, size)


def unbinned_measurement(settings: Configuration, name: str, repetition: int, study: str, size: str) -> UnbinnedSize:
    """Return what measure_unbinned depends on."""
    return UnbinnedSize(
        densities=densities(settings, study, size),
        filling=filling(settings, name, study, size),
        toys=_toys(settings, name, repetition),
    )


def _toys(settings: Configuration, name: str, repetition: int) -> ToySettings:
    """Return what is thrown of a size: of the true values at nominal only that closest to the expectation."""
    toys = inference.toys(settings, name, repetition)
    truth = min(toys.toys.truths, key=lambda value: abs(value - 1.0))
    return toys.model_copy(update={"displaced": {}, "toys": toys.toys.model_copy(update={"truths": (truth,)})})


def _partial(whole: Some, settings: Configuration, study: str, size: str) -> Some:
    """Return a slice of all events as one of those that there are in a *study*."""
    if study != SIMULATED:
        return whole
    rows = _part(_reserved(settings), float(size))
    samples = {sample: rows for sample, chosen in settings.samples.items() if not chosen.is_data}
    return whole.model_copy(update={"used": samples, "factor": 1 / float(size)})


def comparison_of(settings: Configuration) -> StudySettings:
    """Return what compare_studies depends on."""
    return StudySettings(
        **plots(settings).model_dump(),
        comparison=comparison(settings),
        sizes={study: (*settings.studies.sizes(study), studies.WHOLE) for study in settings.studies.asked},
    )


def _reserved(settings: Configuration) -> float:
    """Return the share of the rows that pseudo-experiments have for themselves."""
    return 0.0 if settings.toys.bootstrap is None else settings.toys.bootstrap.share


def _part(first: float, size: float) -> tuple[float, float]:
    """Return the part *size* of the rows from the share *first* on, in which smaller ones are contained."""
    return first, first + size * (1 - first)


def _reduced(events: EventSelection, size: float) -> EventSelection:
    """Return *events* with a part of their rows."""
    return events.model_copy(update={"rows": _part(events.rows[0], size)})


def tables(settings: Configuration) -> list[str]:
    """Return the tables that the report shows."""
    names = ("studies", "power_laws") if settings.studies.asked else ()
    return [f"<results>/comparison/{name}.csv" for name in names]


def figures(settings: Configuration) -> list[str]:
    """Return the names of the figures that the report shows."""
    return ["studies"] if settings.studies.asked else []
