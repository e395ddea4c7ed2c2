"""The part of the configuration that each rule depends on: a rule reruns when, and only when, its slice changes.

Every slice is a model; rules get it as a plain dictionary (`plain`), scripts read it back (`model_validate`).
What cannot change a result (``dask``, ``learning.device``) is in no slice: scripts take it from Snakemake's own config.
"""

from typing import Any

from nuisflow.settings import configuration, points, systematics
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section


class RegionSelection(Section):
    """What decides which events are in a region, and the value that is histogrammed."""

    selection: str | None
    observable: str


class EventSelection(Section):
    """Everything that turns raw columns, at any z, into selected events with features.

    *rows*: the part of every simulated sample that is used, as shares of its rows, which are chosen at random
    (`events.parts`); weights make up for the rest.
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


def bare(sample: configuration.Sample) -> configuration.Sample:
    """Return *sample* without what does not change its events once they are read."""
    return sample.model_copy(update={"train": True, "files": (), "events": None, "expected": None})


def _unlabelled(variation: Any) -> Any:
    """Return *variation* without words for figures, and what matters for templates only."""
    words = {"label": None, "group": "other"}
    return variation.model_copy(update=words | ({"acceptance": "kept"} if variation.kind == "shift" else {}))


def _local(dataset: Any) -> Any:
    """Return *dataset* without where its files come from."""
    return dataset.model_copy(update={"download": {}}) if isinstance(dataset, configuration.FileDataset) else dataset
