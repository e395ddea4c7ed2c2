"""The part of the configuration that each rule depends on: a rule reruns when, and only when, its slice changes.

Every slice is a model; rules get it as a plain dictionary (`plain`), scripts read it back (`model_validate`).
What cannot change a result (``dask``, ``learning.device``) is in no slice: scripts take it from Snakemake's own config.
"""

from collections.abc import Collection, Iterable
from typing import Any

from pydantic import Field

from nuisflow import datasets, expressions
from nuisflow.settings import configuration, points, systematics
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.storage.event_files import TREE

MAIN, FURTHER = "main", "further"
"""The parts in which columns of a sample are ingested; rows are the same."""


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


class Partial(Section):
    """Processed events of which some samples have a part only.

    *used*: the part of their rows that there is (`events.parts`), with weights times *factor* (studies).
    """

    used: dict[str, tuple[float, float]] = Field({})
    factor: float = 1.0


class Simulation(Section):
    """Slice of simulate_events."""

    dataset: configuration.SimulatedDataset
    sample: str
    process: str
    variant: str | None
    events: int
    expected: float
    seed: int


class Origin(Section):
    """What fills the rows of one sample when its files are read, but for which columns are kept."""

    kind: str
    tree: str
    process: str = ""
    seed: int = 0
    options: dict[str, Any] = Field({})
    expected: float | None = None
    selection: str | None = None


class Ingestion(Section):
    """Slice of ingest_events: *columns* are kept, those *declared* must exist; *weight* adds up for the record."""

    origin: Origin
    sample: str
    columns: tuple[str, ...]
    declared: tuple[str, ...] = ()
    weight: str | None = None


class Processing(Section):
    """Slice of process_events: one sample at z of one variation, or nominal with the factors of all *weights*."""

    events: EventSelection
    name: str
    sample: configuration.Sample
    variation: str | None
    z: float
    variations: dict[str, systematics.Shift | systematics.Weight]
    weights: dict[str, systematics.Weight | systematics.WeightSet]


def selection(settings: Configuration, *further: str | None, scored: bool = False) -> EventSelection:
    """Return what decides which events are selected, without binning, labels or colours.

    Of declared and derived columns it has those that it uses, and those that *further* expressions use. *scored*: only
    the regions whose observable is the score, of whose events classifiers learn.
    """
    regions = {
        name: RegionSelection(selection=region.selection, observable=region.observable)
        for name, region in settings.regions.items()
        if region.observable == "score" or not scored
    }
    texts = [settings.selection, *further]
    texts += [text for region in regions.values() for text in (region.selection, region.observable)]
    used = used_columns(settings, texts)
    return EventSelection(
        dataset=_with_columns(_local(settings.dataset), used),
        derived={name: expression for name, expression in settings.derived.items() if name in used},
        selection=settings.selection,
        regions=regions,
        features=settings.features,
        rows=(0.0 if settings.toys.bootstrap is None else settings.toys.bootstrap.share, 1.0),
    )


def used_columns(settings: Configuration, texts: Iterable[str | None]) -> set[str]:
    """Return the names of all columns that features and the expressions *texts* use, through derived ones as well."""
    used = set(settings.features).union(*(expressions.names(text) for text in texts if text is not None))
    for name, expression in reversed(settings.derived.items()):
        if name in used:
            used |= expressions.names(expression)
    return used


def expressions_of(sample: configuration.Sample, varied: Iterable[Any] = ()) -> list[str | None]:
    """Return the expressions over columns of a sample and of the variations *varied*; z among them is no column."""
    texts = [sample.weight, sample.selection]
    for variation in varied:
        texts += [getattr(variation, name, None) for name in ("factor", "up", "down")]
        texts += getattr(variation, "expressions", ())
        changed = getattr(variation, "columns", None) or {}
        texts += [*changed, *changed.values()]
    return [text for text in texts if isinstance(text, str)]


def _with_columns(dataset: Any, used: Collection[str]) -> Any:
    """Return *dataset* with those of its declared columns that are *used*; other kinds need all that they have."""
    if dataset.kind != "flat":
        return dataset
    return dataset.model_copy(update={"columns": tuple(name for name in dataset.columns if name in used)})


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


def origin(settings: Configuration, sample: str) -> Origin:
    """Return what fills the rows of *sample*; the user's own columns are taken as they are."""
    chosen, kind = settings.samples[sample], settings.dataset.kind
    tree = chosen.tree or getattr(settings.dataset, "tree", TREE)
    if not hasattr(datasets.MODULES[kind], "convert"):
        return Origin(kind=kind, tree=tree)
    return Origin(
        kind=kind,
        tree=tree,
        process=chosen.process,
        seed=settings.seed,
        options=datasets.options(settings.dataset),
        expected=chosen.expected,
        selection=None if chosen.expected is None else chosen.selection,
    )


def ingestion(settings: Configuration, sample: str, part: str = MAIN) -> Ingestion:
    """Return what ingest_events of a *part* of *sample* depends on: of declared columns it keeps those in use.

    What trainings may use is `MAIN`: a column for the observable of a control region is `FURTHER`, and trains nothing.
    """
    chosen, dataset = settings.samples[sample], settings.dataset
    raw = datasets.raw_columns(dataset) if not chosen.is_data else datasets.measured_columns(dataset)
    main: Collection[str] = raw
    if dataset.kind == "flat":
        needed, main = _needed(settings, sample), _needed(settings, sample, trained=True)
        raw = tuple(name for name in raw if name in needed)
    weight = chosen.weight or ("weight" if "weight" in raw else None)
    known = weight is not None and not chosen.is_data and expressions.names(weight) <= set(raw)
    columns = tuple(name for name in raw if (name in main) == (part == MAIN))
    return Ingestion(
        origin=origin(settings, sample),
        sample=sample,
        columns=columns,
        declared=columns if part == MAIN else raw,
        weight=weight if known and part == MAIN else None,
    )


def unused(settings: Configuration, sample: str) -> list[str]:
    """Return the columns of *sample* that the configuration lists though nothing computes with them."""
    dataset = settings.dataset
    if dataset.kind != "flat":
        return []
    used = set().union(*(_needed(settings, name) for name in settings.samples))
    listed = datasets.measured_columns(dataset) if settings.samples[sample].is_data else datasets.raw_columns(dataset)
    return [name for name in listed if name not in used]


def _needed(settings: Configuration, sample: str, *, trained: bool = False) -> set[str]:
    """Return the columns that something computes of events of *sample*; *trained*: those that trainings may use.

    Files of collision data need not have weights of the simulation, nor those of one generator the weights of another.
    Selections of samples are looked at in all files of simulation, or of data: one file may feed several samples.
    """
    chosen = settings.samples[sample]
    alike = [other for other in settings.samples.values() if other.is_data == chosen.is_data]
    regions = settings.regions.values()
    texts = [settings.selection, chosen.weight, *(other.selection for other in alike)]
    texts += [region.selection for region in regions] + [region.observable for region in regions if not trained]
    varied = [settings.variations[name] for name in _varied(settings, sample, trained=trained)]
    return used_columns(settings, [*texts, *expressions_of(chosen, varied)])


def _varied(settings: Configuration, sample: str, *, trained: bool) -> list[str]:
    """Return the variations that change events of *sample*; *trained*: those of them that trainings know.

    Events of another generator are varied only by trainings that learn from both.
    """
    process, other = settings.samples[sample].process, settings.alternatives.get(sample)
    trainings = [set(training.variations) for training in settings.trainings.values()]
    known = set().union(*(names for names in trainings if other is None or other[0] in names))
    limited = trained or other is not None
    return [
        name
        for name in settings.variations
        if process in points.affected(settings, name) and (name in known or not limited)
    ]


def parts(settings: Configuration, sample: str) -> list[str]:
    """Return the parts in which the columns of *sample* are ingested: one, or two where only some serve trainings."""
    return [MAIN, *([FURTHER] if ingestion(settings, sample, FURTHER).columns else [])]


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
    further = expressions_of(settings.samples[sample], [*varied.values(), *weights.values()])
    events = selection(settings, *further)
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
    return sample.model_copy(update={"train": True, "files": (), "tree": None, "events": None, "expected": None})


def _unlabelled(variation: Any) -> Any:
    """Return *variation* without words for figures, and what matters for templates only."""
    words = {"label": None, "group": "other"}
    return variation.model_copy(update=words | ({"acceptance": "kept"} if variation.kind == "shift" else {}))


def _local(dataset: Any) -> Any:
    """Return *dataset* without where its files come from."""
    return dataset.model_copy(update={"download": {}}) if isinstance(dataset, configuration.FileDataset) else dataset
