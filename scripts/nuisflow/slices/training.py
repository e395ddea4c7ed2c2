"""What trainings and scores depend on."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from nuisflow import strategies
from nuisflow.settings import configuration, points, systematics
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices.events import EventSelection, _unlabelled, bare, expressions_of, selection
from nuisflow.strategies.strategy import Strategy
from nuisflow.strategies.unbinned import Unbinned


class TrainingSamples(Section):
    """Slice of train_network: the events, the variations that this training knows, and its options.

    *alternatives*: samples that are a two-point variation at some z. *replica*: of a bootstrap of the simulated events;
    0 is the simulation itself.
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
    replica: int = 0


class Scoring(Section):
    """Slice of score_events."""

    features: tuple[str, ...]
    folds: int


def training_samples(settings: Configuration, name: str) -> list[str]:
    """Return the samples of which training *name* learns: the nominal ones, and alternatives of what it knows."""
    known = settings.trainings[name].variations
    return settings.trained_samples + [
        sample
        for sample, (variation, side) in settings.alternatives.items()
        if variation in known and side in points.STANDARD and settings.samples[sample].train
    ]


def training(settings: Configuration, name: str, repetition: int, replica: int = 0) -> TrainingSamples:
    """Return what train_network of training *name*, repetition (seed) *repetition*, depends on; *replica*: as there."""
    chosen, samples = settings.trainings[name], training_samples(settings, name)
    variations = {key: resolved(settings, key) for key in chosen.variations}
    texts = [text for key in samples for text in expressions_of(settings.samples[key], variations.values())]
    return TrainingSamples(
        events=selection(settings, *texts, scored=True),
        samples={key: bare(settings.samples[key]) for key in samples},
        alternatives={
            key: (variation, points.STANDARD[side])
            for key, (variation, side) in settings.alternatives.items()
            if key in samples
        },
        signal=settings.signal,
        variations=variations,
        learning=configuration.Learning.model_validate(
            settings.learning.model_dump() | {"seeds": 1, "device": "auto"} | chosen.changes()
        ),
        training=_informed(settings, chosen.model_copy(update=chosen.ignored()), samples, variations),
        name=name,
        repetition=repetition,
        seed=settings.seed,
        replica=replica,
    )


def _informed(settings: Configuration, chosen: Strategy, samples: Iterable[str], variations: Iterable[str]) -> Strategy:
    """Return the training *chosen* with what it has to know of the analysis."""
    informed = chosen.informed(_acting(settings, samples, variations), settings.signal)
    if isinstance(informed, Unbinned):
        return informed.model_copy(update={"sides": _sides(settings, variations)})
    return informed


def _acting(settings: Configuration, samples: Iterable[str], variations: Iterable[str]) -> dict[str, list[str]]:
    """Return the trained processes, each with those of *variations* that act on it."""
    processes = {settings.samples[sample].process for sample in samples}
    return {
        process: [name for name in variations if process in points.affected(settings, name)] for process in processes
    }


def _sides(settings: Configuration, variations: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Return the z at which each two-point variation among *variations* has samples."""
    chosen = {name: settings.variations[name] for name in variations}
    return {
        name: tuple(z for side, z in points.STANDARD.items() if getattr(variation, side))
        for name, variation in chosen.items()
        if isinstance(variation, systematics.TwoPoint)
    }


def scoring(settings: Configuration) -> Scoring:
    """Return what score_events depends on."""
    return Scoring(features=settings.features, folds=settings.learning.folds)


def resolved(settings: Configuration, name: str) -> Any:
    """Return the variation *name* without words, with the processes and regions in which it acts."""
    acting = {"processes": points.affected(settings, name), "regions": points.acting(settings, name)}
    return _unlabelled(settings.variations[name]).model_copy(update=acting)
