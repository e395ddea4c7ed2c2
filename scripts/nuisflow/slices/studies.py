"""What trainings and fits with a part of the events depend on."""

from nuisflow.settings import studies
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices import inference
from nuisflow.slices import training as training_slices
from nuisflow.slices.events import EventSelection
from nuisflow.slices.inference import Filling, ToySettings, WorkspaceSettings
from nuisflow.slices.report import ComparisonSettings, PlotSettings, comparison, plots
from nuisflow.slices.training import TrainingSamples

SIMULATED = "simulated_events"
"""The study in which templates, too, have a part of the events."""


class SizeSettings(Section):
    """Slice of measure_size: from scores to a workspace, its expected uncertainty and its coverage at nominal."""

    filling: Filling
    workspace: WorkspaceSettings
    toys: ToySettings


class StudySettings(PlotSettings):
    """Slice of compare_studies: *sizes* of every study, as in names of folders."""

    comparison: ComparisonSettings
    sizes: dict[str, tuple[str, ...]]


def trainings(settings: Configuration) -> list[str]:
    """Return the trainings that take part: those whose likelihood is one workspace."""
    return inference.of_one_workspace(settings)


def runs(settings: Configuration) -> list[tuple[str, str]]:
    """Return studies and sizes, but for the whole, which is the ordinary run."""
    return [(study, size) for study in settings.studies.asked for size in settings.studies.sizes(study)]


def training(settings: Configuration, name: str, repetition: int, size: str) -> TrainingSamples:
    """Return what a training depends on that learns of a part of the events only, at the same budget."""
    whole = training_slices.training(settings, name, repetition)
    return whole.model_copy(update={"events": _reduced(whole.events, float(size))})


def measurement(settings: Configuration, name: str, repetition: int, study: str, size: str) -> SizeSettings:
    """Return what measure_size depends on; of the true values only that closest to the expectation is thrown."""
    filling, toys = inference.filling(settings, name), inference.toys(settings, name, repetition)
    if study == SIMULATED:
        rows = _part(_reserved(settings), float(size))
        samples = {sample: rows for sample, chosen in settings.samples.items() if not chosen.is_data}
        filling = filling.model_copy(update={"used": samples, "factor": 1 / float(size)})
    truth = min(toys.toys.truths, key=lambda value: abs(value - 1.0))
    return SizeSettings(
        filling=filling,
        workspace=inference.workspace(settings, name),
        toys=toys.model_copy(update={"displaced": {}, "toys": toys.toys.model_copy(update={"truths": (truth,)})}),
    )


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
