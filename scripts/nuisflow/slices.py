"""The part of the configuration that each rule depends on: a rule reruns when, and only when, its slice changes.

Every slice is a model; rules get it as a plain dictionary (`plain`), scripts read it back (`model_validate`).
What cannot change a result (``dask``, ``learning.device``) is in no slice: scripts take it from Snakemake's own config.
"""

from typing import Any

from pydantic import Field

from nuisflow import configuration, points, strategies, systematics
from nuisflow.configuration import Configuration
from nuisflow.sections import Section


class RegionSelection(Section):
    """What decides which events are in a region, and the value that is histogrammed."""

    selection: str | None
    observable: str


class EventSelection(Section):
    """Everything that turns raw columns, at any z, into selected events with features.

    *rows*: the part of the rows of every simulated sample that is used, as shares; weights make up for the rest.
    """

    dataset: configuration.Dataset
    derived: dict[str, str]
    selection: str | None
    regions: dict[str, RegionSelection]
    features: tuple[str, ...]
    rows: tuple[float, float] = (0.0, 1.0)


class Simulation(Section):
    """Slice of simulate_events."""

    dataset: configuration.SimulatedDataset
    sample: str
    process: str
    variant: str | None
    events: int
    expected: float
    seed: int


class Conversion(Section):
    """Slice of convert_events."""

    dataset: configuration.Dataset
    sample: str
    process: str
    seed: int
    expected: float | None = None
    selection: str | None = None


class Processing(Section):
    """Slice of process_events: one sample at z of one variation, or nominal with the factors of all *weights*."""

    events: EventSelection
    name: str
    sample: configuration.Sample
    variation: str | None
    z: float
    variations: dict[str, systematics.Shift | systematics.Weight]
    weights: dict[str, systematics.Weight | systematics.WeightSet]


class TrainingSamples(Section):
    """Slice of train_network: the events, the variations that this training knows, and its options.

    *alternatives*: samples that are a two-point variation at some z.
    """

    events: EventSelection
    samples: dict[str, configuration.Sample]
    signal: str
    variations: dict[str, systematics.Variation]
    learning: configuration.Learning
    training: strategies.AnyStrategy
    alternatives: dict[str, tuple[str, float]] = Field({})
    name: str
    repetition: int
    seed: int


class Scoring(Section):
    """Slice of score_events."""

    features: tuple[str, ...]
    folds: int


class WeightMembers(Section):
    """A weight set: how many members, on which processes it acts, and how they are combined."""

    number: int
    processes: tuple[str, ...]
    combine: str


class Filling(Section):
    """Slice of fill_templates.

    *variations*, *weights*: the processes on which shifts and weights act; *alternatives*: the template that an
    alternative sample makes ('': none); *restricted*: the regions of variations that do not act in all.
    """

    processes: tuple[str, ...]
    signal: str
    samples: dict[str, str]
    regions: dict[str, configuration.Binning]
    scored: tuple[str, ...]
    variations: dict[str, tuple[str, ...]]
    weights: dict[str, tuple[str, ...]]
    sets: dict[str, WeightMembers] = Field({})
    alternatives: dict[str, str] = Field({})
    restricted: dict[str, tuple[str, ...]] = Field({})
    renormalised: tuple[str, ...] = ()


class DisplacedFilling(Section):
    """Slice of fill_displaced: *scores* are the folders of events whose scores the templates need."""

    processes: tuple[str, ...]
    samples: dict[str, str]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    scores: tuple[str, ...]
    displaced: dict[str, points.Point]
    alternatives: dict[str, str] = Field({})
    renormalised: tuple[str, ...] = ()


class WorkspaceSettings(Section):
    """Slice of build_workspace."""

    processes: tuple[str, ...]
    signal: str
    variations: dict[str, systematics.Variation]
    templates: configuration.Templates
    fit: configuration.Fit


class FitSettings(Section):
    """Slice of fit_workspace: groups maps a group to the parameters of its variations."""

    poi: str
    observed: bool
    groups: dict[str, tuple[str, ...]]
    backgrounds: tuple[str, ...]
    goodness_toys: int
    seed: int


class ToySettings(Section):
    """Slice of throw_toys."""

    poi: str
    toys: configuration.Toys
    displaced: dict[str, points.Point]
    name: str
    repetition: int
    seed: int


def plain(part: Section) -> dict[str, Any]:
    """Return *part* as a dictionary of JSON types: Snakemake tracks changes of plain values only."""
    return part.model_dump(mode="json")


def selection(settings: Configuration) -> EventSelection:
    """Return what decides which events are selected, without binning, labels or colours."""
    return EventSelection(
        dataset=_local(settings.dataset),
        derived=settings.derived,
        selection=settings.selection,
        regions={
            name: RegionSelection(selection=region.selection, observable=region.observable)
            for name, region in settings.regions.items()
        },
        features=settings.features,
        rows=(0.0 if settings.toys.bootstrap is None else settings.toys.bootstrap.share, 1.0),
    )


def simulation(settings: Configuration, sample: str) -> Simulation:
    """Return what simulate_events of *sample* depends on."""
    chosen = settings.samples[sample]
    return Simulation.model_validate(
        {
            "dataset": settings.dataset,
            "sample": sample,
            "process": chosen.process,
            "variant": chosen.variant,
            "events": chosen.events,
            "expected": chosen.expected,
            "seed": settings.seed,
        }
    )


def conversion(settings: Configuration, sample: str) -> Conversion:
    """Return what convert_events of *sample* depends on; the user's own columns are taken as they are."""
    kind, chosen = settings.dataset.kind, settings.samples[sample]
    process, seed = (chosen.process, settings.seed) if kind != "flat" else ("", 0)
    return Conversion(
        dataset=_local(settings.dataset),
        sample=sample,
        process=process,
        seed=seed,
        expected=chosen.expected,
        selection=None if chosen.expected is None else chosen.selection,
    )


def shifted_names(settings: Configuration, sample: str) -> list[str]:
    """Return the events folders of *sample*: nominal, and up and down of every shift that acts on it."""
    if sample in settings.alternatives:
        return ["nominal"]
    process = settings.samples[sample].process
    shifts = [
        name
        for name, variation in settings.variations.items()
        if variation.kind == "shift" and process in points.affected(settings, name)
    ]
    return ["nominal", *(f"{name}_{side}" for name in shifts for side in points.STANDARD)]


def processing(settings: Configuration, sample: str, variation: str) -> Processing:
    """Return what process_events of *sample* at *variation* depends on.

    The displaced events of a weight variation have no features: they are the nominal events, with their scores.
    """
    name, z = points.at(settings, variation)
    process = settings.samples[sample].process
    varied = {} if name is None else {name: settings.variations[name]}
    weights = {
        key: chosen
        for key, chosen in settings.variations.items()
        if isinstance(chosen, systematics.Weight | systematics.WeightSet)
        and not varied
        and sample not in settings.alternatives
        and process in points.affected(settings, key)
    }
    reweighted = any(chosen.kind == "weight" for chosen in varied.values())
    events = selection(settings)
    return Processing(
        events=events.model_copy(update={"features": ()}) if reweighted else events,
        name=sample,
        sample=bare(settings.samples[sample]),
        variation=name,
        z=z,
        variations={key: _unlabelled(chosen) for key, chosen in varied.items()},
        weights={key: _unlabelled(chosen) for key, chosen in weights.items()},
    )


def training_samples(settings: Configuration, name: str) -> list[str]:
    """Return the samples of which training *name* learns: the nominal ones, and alternatives of what it knows."""
    known = settings.trainings[name].variations
    return settings.trained_samples + [
        sample
        for sample, (variation, side) in settings.alternatives.items()
        if variation in known and side in points.STANDARD and settings.samples[sample].train
    ]


def training(settings: Configuration, name: str, repetition: int) -> TrainingSamples:
    """Return what train_network of training *name*, repetition (seed) *repetition*, depends on."""
    chosen, samples = settings.trainings[name], training_samples(settings, name)
    return TrainingSamples(
        events=selection(settings),
        samples={key: bare(settings.samples[key]) for key in samples},
        alternatives={
            key: (variation, points.STANDARD[side])
            for key, (variation, side) in settings.alternatives.items()
            if key in samples
        },
        signal=settings.signal,
        variations={key: resolved(settings, key) for key in chosen.variations},
        learning=configuration.Learning.model_validate(
            settings.learning.model_dump() | {"seeds": 1, "device": "auto"} | chosen.changes()
        ),
        training=chosen.model_copy(update=chosen.ignored()),
        name=name,
        repetition=repetition,
        seed=settings.seed,
    )


def scoring(settings: Configuration) -> Scoring:
    """Return what score_events depends on."""
    return Scoring(features=settings.features, folds=settings.learning.folds)


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


def _binning(settings: Configuration, region: configuration.Region, training: str | None) -> configuration.Binning:
    """Return the binning of *region*: one bin per class and fold where the score of *training* is a class."""
    binning = region.binning or settings.templates.binning
    classes = None if training is None else settings.trainings[training].classes
    if classes is None or region.observable != "score":
        return binning
    number = classes * settings.learning.folds
    return configuration.Binning(rule="uniform", number=number, low=0, high=1, minimum_events=binning.minimum_events)


def workspace(settings: Configuration, training: str | None = None) -> WorkspaceSettings:
    """Return what build_workspace depends on; the binning belongs to fill_templates.

    Where the score of *training* is a class, nothing is smoothed: neighbouring bins are not alike.
    """
    classes = None if training is None else settings.trainings[training].classes
    smooth = settings.templates.smooth if classes is None else {}
    return WorkspaceSettings(
        processes=tuple(settings.processes),
        signal=settings.signal,
        variations={name: resolved(settings, name) for name in settings.variations},
        templates=settings.templates.model_copy(update={"binning": configuration.Binning(), "smooth": smooth}),
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
    )


def toys(settings: Configuration, name: str, repetition: int) -> ToySettings:
    """Return what throw_toys of training *name*, repetition (seed) *repetition*, depends on."""
    return ToySettings(
        poi=settings.fit.poi,
        toys=settings.toys.model_copy(update={"bootstrap": None}),
        displaced=points.displaced(settings),
        name=name,
        repetition=repetition,
        seed=settings.seed,
    )


def bare(sample: configuration.Sample) -> configuration.Sample:
    """Return *sample* without what does not change its events once they are read."""
    return sample.model_copy(update={"train": True, "files": (), "events": None, "expected": None})


def resolved(settings: Configuration, name: str) -> Any:
    """Return the variation *name* without words, with the processes and regions in which it acts."""
    acting = {"processes": points.affected(settings, name), "regions": points.acting(settings, name)}
    return _unlabelled(settings.variations[name]).model_copy(update=acting)


def _unlabelled(variation: Any) -> Any:
    """Return *variation* without words for figures, and what matters for templates only."""
    words = {"label": None, "group": "other"}
    return variation.model_copy(update=words | ({"acceptance": "kept"} if variation.kind == "shift" else {}))


def _local(dataset: Any) -> Any:
    """Return *dataset* without where its files come from."""
    return dataset.model_copy(update={"download": {}}) if isinstance(dataset, configuration.FileDataset) else dataset
