"""Trainings that are scored again at every hypothesised z: which z, and which of the events are needed."""

from collections.abc import Iterator

from nuisflow.settings import points
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.strategies.conditional import Conditional

NOMINAL = "nominal"
REACH = 1.0
"""The grid must reach further than this on both sides: pseudo-experiments about +1 and -1 need room."""


class Grid(Section):
    """The hypothesised z of one *variation*, by the folder of events at this z, in increasing order.

    *rebinned*: whether the data are binned anew at each of them.
    """

    variation: str
    points: dict[str, float]
    rebinned: bool


def trainings(settings: Configuration) -> list[str]:
    """Return the trainings that are scored at every hypothesised z."""
    return [name for name, chosen in settings.trainings.items() if isinstance(chosen, Conditional)]


def grid(settings: Configuration, training: str) -> Grid:
    """Return the hypothesised z of a training: nominal, and the displaced points of its variation."""
    chosen = settings.trainings[training]
    if not isinstance(chosen, Conditional):
        raise ValueError(f"training {training!r} is not of the strategy 'conditional'")
    name = chosen.variations[0]
    sides = points.STANDARD | settings.toys.displacements
    folders = {z: f"{name}_{side}" for side, z in reversed(sides.items())} | {0.0: NOMINAL}  # the first of equal z
    ordered = {folders[z]: z for z in sorted(folders)}
    return Grid(variation=name, points=ordered, rebinned=chosen.rebinned)


def _ends(grid: Grid) -> tuple[str, str]:
    folders = list(grid.points)
    return folders[0], folders[-1]


def ends(settings: Configuration) -> tuple[str, ...]:
    """Return the displaced points at an end of the grid of some training, where it cannot be compared with others."""
    return tuple(dict.fromkeys(end for name in trainings(settings) for end in _ends(grid(settings, name))))


def thrown(settings: Configuration, training: str) -> list[str]:
    """Return the true points at which pseudo-experiments are thrown: nominal, and where events show the effect.

    Not at an end of the grid: half of them would fit best beyond it.
    """
    ends = _ends(grid(settings, training))
    displaced = points.displaced(settings)
    return [NOMINAL, *(name for name, point in displaced.items() if point.factor is None and name not in ends)]


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what keeps trainings from being scored at every hypothesised z."""
    for name in trainings(settings):
        variation = settings.trainings[name].variations[0]
        if variation not in settings.variations:
            continue  # said elsewhere
        if (kind := settings.variations[variation].kind) != "shift":
            yield (
                f"trainings.{name}.variations: {variation!r} is of kind {kind!r}; the strategy 'conditional' needs a "
                "shift, under which events look different"
            )
        if settings.variations[variation].decorrelate or settings.variations[variation].regions:
            yield (
                f"trainings.{name}.variations: {variation!r} is decorrelated or acts in some regions only; "
                "the strategy 'conditional' needs one nuisance parameter for all"
            )
        reached = list(points.STANDARD.values()) + list(settings.toys.displacements.values())
        if min(reached) >= -REACH or max(reached) <= REACH:
            yield (
                f"toys.displacements: training {name!r} is fitted between the outermost of these points, and they must "
                f"lie beyond -{REACH:g} and +{REACH:g}; add for example down2: -2 and up2: 2"
            )
