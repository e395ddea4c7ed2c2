"""What templates, workspaces, fits and pseudo-experiments depend on."""

from pydantic import Field

from nuisflow.settings import conditional, configuration, points, systematics, unbinned
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.settings.toys import Map, Toys
from nuisflow.slices.events import Partial, shifted_names
from nuisflow.slices.training import resolved
from nuisflow.strategies.binning import Binning


class WeightMembers(Section):
    """A weight set: how many members, on which processes it acts, and how they are combined."""

    number: int
    processes: tuple[str, ...]
    combine: str


class Filling(Partial):
    """Slice of fill_templates.

    *variations*, *weights*: the processes on which shifts and weights act; *alternatives*: the template that an
    alternative sample makes ('': none); *restricted*: the regions of variations that do not act in all;
    *renormalised*: the groups of regions whose yield a shift keeps; *parts*: what estimates subtract.
    """

    processes: tuple[str, ...]
    signal: str
    samples: dict[str, str]
    regions: dict[str, Binning]
    scored: tuple[str, ...]
    variations: dict[str, tuple[str, ...]]
    weights: dict[str, tuple[str, ...]]
    sets: dict[str, WeightMembers] = Field({})
    alternatives: dict[str, str] = Field({})
    restricted: dict[str, tuple[str, ...]] = Field({})
    renormalised: dict[str, tuple[tuple[str, ...], ...]] = Field({})
    parts: dict[str, configuration.Part] = Field({})


class DisplacedFilling(Section):
    """Slice of fill_displaced: *scores* are the folders of events whose scores the templates need."""

    processes: tuple[str, ...]
    samples: dict[str, str]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    scores: tuple[str, ...]
    displaced: dict[str, points.Point]
    alternatives: dict[str, str] = Field({})
    renormalised: dict[str, tuple[tuple[str, ...], ...]] = Field({})


class WorkspaceSettings(Section):
    """Slice of build_workspace."""

    processes: tuple[str, ...]
    signal: str
    parts: dict[str, configuration.Part] = Field({})
    variations: dict[str, systematics.Variation]
    correlations: tuple[systematics.Block, ...] = ()
    templates: configuration.Templates
    fit: configuration.Fit


class FitSettings(Section):
    """Slice of fit_workspace: *groups* maps a group to the parameters of its variations.

    *parts*: the process that people know, of those that are subtracted in an estimate.
    """

    poi: str
    observed: bool
    groups: dict[str, tuple[str, ...]]
    backgrounds: tuple[str, ...]
    goodness_toys: int
    seed: int
    parts: dict[str, str] = Field({})


class ToySettings(Section):
    """Slice of throw_toys."""

    poi: str
    toys: Toys
    displaced: dict[str, points.Point]
    name: str
    repetition: int
    seed: int


def filling(settings: Configuration, training: str | None = None) -> Filling:
    """Return what fill_templates depends on; without a *training*, for scores that are not classes."""
    kinds = {name: variation.kind for name, variation in settings.variations.items()}
    return Filling(
        processes=tuple(settings.processes),
        signal=settings.signal,
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions={name: _binning(settings, region, training) for name, region in settings.regions.items()},
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        variations={name: points.affected(settings, name) for name, kind in kinds.items() if kind == "shift"},
        weights={name: points.affected(settings, name) for name, kind in kinds.items() if kind == "weight"},
        sets={
            name: WeightMembers(
                number=len(chosen.expressions), processes=points.affected(settings, name), combine=chosen.combine
            )
            for name, chosen in settings.variations.items()
            if isinstance(chosen, systematics.WeightSet)
        },
        alternatives={
            sample: f"{name}_{side}" if side in points.STANDARD else ""
            for sample, (name, side) in settings.alternatives.items()
        },
        restricted={
            name: regions for name in kinds if (regions := points.acting(settings, name)) != tuple(settings.regions)
        },
        renormalised=points.renormalised(settings),
        parts=points.parts(settings),
    )


def displaced_filling(settings: Configuration) -> DisplacedFilling:
    """Return what fill_displaced depends on; the bins are those of the templates."""
    return DisplacedFilling(
        processes=tuple(settings.processes),
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        scores=tuple(dict.fromkeys(name for sample in settings.samples for name in shifted_names(settings, sample))),
        displaced=points.displaced(settings),
        alternatives={
            sample: "" if side in points.STANDARD else f"{name}_{side}"
            for sample, (name, side) in settings.alternatives.items()
        },
        renormalised=points.renormalised(settings),
    )


def _binning(settings: Configuration, region: configuration.Region, training: str | None) -> Binning:
    """Return the binning of *region*: one bin per class and fold where the score of *training* is a class."""
    binning = region.binning or settings.templates.binning
    if training is None or region.observable != "score":
        return binning
    classes = settings.trainings[training].classes
    if classes is None:
        return settings.trainings[training].own_binning or binning
    number = classes * settings.learning.folds
    return Binning(rule="uniform", number=number, low=0, high=1, minimum_events=binning.minimum_events)


def workspace(settings: Configuration, training: str | None = None) -> WorkspaceSettings:
    """Return what build_workspace depends on; the binning belongs to fill_templates.

    Where the score of *training* is a class, nothing is smoothed: neighbouring bins are not alike.
    """
    classes = None if training is None else settings.trainings[training].classes
    smooth = settings.templates.smooth if classes is None else {}
    return WorkspaceSettings(
        processes=tuple(settings.processes),
        signal=settings.signal,
        parts=points.parts(settings),
        variations={name: resolved(settings, name) for name in settings.variations},
        correlations=points.blocks(settings),
        templates=settings.templates.model_copy(update={"binning": Binning(), "smooth": smooth}),
        fit=settings.fit.model_copy(update={"goodness_toys": 0}),
    )


def fit(settings: Configuration) -> FitSettings:
    """Return what fit_workspace depends on."""
    groups: dict[str, tuple[str, ...]] = {}
    for name, variation in settings.variations.items():
        groups[variation.group] = (*groups.get(variation.group, ()), *points.parameters(settings, name))
    observed = settings.has_data and settings.fit.unblind
    return FitSettings(
        poi=settings.fit.poi,
        observed=observed,
        groups=groups,
        backgrounds=tuple(name for name in settings.processes if name != settings.signal),
        goodness_toys=settings.fit.goodness_toys if observed else 0,
        seed=settings.seed if observed else 0,
        parts={name: part.of for name, part in points.parts(settings).items()},
    )


def toys(settings: Configuration, name: str, repetition: int) -> ToySettings:
    """Return what throw_toys of training *name*, repetition (seed) *repetition*, depends on."""
    return ToySettings(
        poi=settings.fit.poi,
        toys=settings.toys.model_copy(update={"bootstrap": None, "map": None}),
        displaced=points.displaced(settings),
        name=name,
        repetition=repetition,
        seed=settings.seed,
    )


class MapSettings(Section):
    """Slice of map_coverage."""

    poi: str
    map: Map
    name: str
    repetition: int
    seed: int


def of_one_workspace(settings: Configuration) -> list[str]:
    """Return the trainings whose likelihood is one workspace."""
    others = {*conditional.trainings(settings), *unbinned.trainings(settings)}
    return [name for name in settings.trainings if name not in others]


def coverage_map(settings: Configuration, name: str, repetition: int) -> MapSettings:
    """Return what map_coverage of training *name*, repetition (seed) *repetition*, depends on."""
    if settings.toys.map is None:
        raise ValueError("toys.map: there is no such section; add it (all its keys have defaults)")
    return MapSettings(
        poi=settings.fit.poi, map=settings.toys.map, name=name, repetition=repetition, seed=settings.seed
    )


def map_tables(settings: Configuration) -> list[str]:
    """Return the tables that the report shows."""
    return [] if settings.toys.map is None else ["<results>/comparison/coverage_map.csv"]


def map_figures(settings: Configuration) -> list[str]:
    """Return the names of the figures that the report shows."""
    return [] if settings.toys.map is None else ["coverage_map"]
