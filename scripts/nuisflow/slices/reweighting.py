"""Two-point variations that are made weights by reweighting: which samples are compared, and what that depends on."""

from nuisflow import strategies
from nuisflow.settings import configuration, points
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices.events import EventSelection, bare, expressions_of, selection
from nuisflow.slices.training import TrainingSamples

CHUNK = 100_000
"""Events that are read at once."""


class Reweighting(Section):
    """Slice of reweight_events: samples of the same processes, nominal and *alternatives*; *sample* is reweighted."""

    events: EventSelection
    samples: dict[str, configuration.Sample]
    alternatives: tuple[str, ...]
    variation: str
    sample: str


def reweighted_samples(settings: Configuration, variation: str) -> list[str]:
    """Return the samples that a reweighting compares: those of its processes, and their alternatives.

    In the sidebands of estimates the same events stand for themselves with negative weights: they have the same ratios.
    """
    chosen = settings.variations[variation]
    processes = set(points.affected(settings, variation)) - points.parts(settings).keys()
    names = [*settings.simulated, *getattr(chosen, "alternatives", ())]
    return [name for name in names if settings.samples[name].process in processes]


def reweighting(settings: Configuration, variation: str, sample: str) -> Reweighting:
    """Return what the reweighting of *sample* depends on."""
    samples = reweighted_samples(settings, variation)
    alternatives = tuple(name for name in samples if name in settings.alternatives)
    texts = [text for name in samples for text in expressions_of(settings.samples[name])]
    return Reweighting(
        events=_all_scored(selection(settings, *texts)),
        samples={name: bare(settings.samples[name]).model_copy(update={"ratios": ()}) for name in samples},
        alternatives=alternatives,
        variation=variation,
        sample=sample,
    )


def reweighting_training(settings: Configuration, variation: str) -> TrainingSamples:
    """Return what the classifier of alternative against nominal events depends on: a nominal training of its own.

    Samples that no classifier is trained on (``train: false``) are reweighted all the same.
    """
    whole = reweighting(settings, variation, "")
    return TrainingSamples(
        events=whole.events,
        samples={
            name: sample.model_copy(update={"process": "alternative" if name in whole.alternatives else "nominal"})
            for name, sample in whole.samples.items()
            if settings.samples[name].train
        },
        signal="alternative",
        variations={},
        learning=settings.learning.model_copy(update={"seeds": 1, "device": "auto"}),
        training=strategies.STRATEGIES["nominal"](strategy="nominal"),
        name=f"reweighting_{variation}",
        repetition=1,
        seed=settings.seed,
    )


def _all_scored(chosen: EventSelection) -> EventSelection:
    """Return *chosen* with the score as the observable of all regions: events of all of them take part."""
    regions = {name: region.model_copy(update={"observable": "score"}) for name, region in chosen.regions.items()}
    return chosen.model_copy(update={"regions": regions})
