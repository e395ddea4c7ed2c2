"""Pseudo-experiments at random true points (toys.map): what they depend on."""

from nuisflow.settings import conditional, toys, unbinned
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section


class MapSettings(Section):
    """Slice of map_coverage."""

    poi: str
    map: toys.Map
    name: str
    repetition: int
    seed: int


def trainings(settings: Configuration) -> list[str]:
    """Return the trainings that are mapped: those whose likelihood is one workspace."""
    others = {*conditional.trainings(settings), *unbinned.trainings(settings)}
    return [name for name in settings.trainings if name not in others]


def slice_of(settings: Configuration, name: str, repetition: int) -> MapSettings:
    """Return what map_coverage of training *name*, repetition (seed) *repetition*, depends on."""
    if settings.toys.map is None:
        raise ValueError("toys.map: there is no such section; add it (all its keys have defaults)")
    return MapSettings(
        poi=settings.fit.poi, map=settings.toys.map, name=name, repetition=repetition, seed=settings.seed
    )


def tables(settings: Configuration) -> list[str]:
    """Return the tables that the report shows."""
    return [] if settings.toys.map is None else ["<results>/comparison/coverage_map.csv"]


def figures(settings: Configuration) -> list[str]:
    """Return the names of the figures that the report shows."""
    return [] if settings.toys.map is None else ["coverage_map"]
