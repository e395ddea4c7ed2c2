"""Trainings whose likelihood is that of single events: what they need of an analysis."""

from collections.abc import Iterator

from nuisflow.settings import points
from nuisflow.settings.configuration import Configuration
from nuisflow.strategies.unbinned import Unbinned

NOMINAL = "nominal"
LEARNED = ("shift", "weight")
"""Kinds of variations whose response networks learn; rates and the luminosity are exact."""
ANALYTIC = ("rate", "free_rate", "luminosity")


def trainings(settings: Configuration) -> list[str]:
    """Return the trainings whose likelihood is that of single events."""
    return [name for name, chosen in settings.trainings.items() if isinstance(chosen, Unbinned)]


def replicas(settings: Configuration, training: str) -> list[int]:
    """Return the numbers of the bootstrap replicas of the simulation for which a training is repeated."""
    chosen = settings.trainings[training]
    return list(range(1, chosen.replicas + 1)) if isinstance(chosen, Unbinned) else []


def thrown(settings: Configuration) -> list[str]:
    """Return the true points at which pseudo-experiments are thrown: nominal, and where events show the effect."""
    return [NOMINAL, *(name for name, point in points.displaced(settings).items() if point.factor is None)]


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what keeps trainings from having a likelihood of single events."""
    for name, training in settings.trainings.items():
        if isinstance(training, Unbinned):
            yield from _training(settings, f"trainings.{name}", training)
    if trainings(settings):
        yield from _analysis(settings, f"trainings.{trainings(settings)[0]}")


def _training(settings: Configuration, place: str, training: Unbinned) -> Iterator[str]:
    """Yield what is wrong with the variations of one training."""
    if training.acting or training.signal:
        yield f"{place}: 'acting' and 'signal' are filled in by the workflow; leave them out"
    shapes = [name for name, other in settings.variations.items() if other.kind not in ANALYTIC]
    for name in training.variations:
        if name not in settings.variations:
            continue  # said elsewhere
        kind = settings.variations[name].kind
        if kind in ANALYTIC:
            yield f"{place}.variations: {name!r} is of kind {kind!r}, which is exact in the likelihood; leave it out"
        elif kind not in LEARNED:
            yield (
                f"{place}.variations: {name!r} is of kind {kind!r}, whose response 'unbinned' cannot learn, "
                f"only that of {' and '.join(LEARNED)}; leave it out of the analysis, or use another strategy"
            )
    if missing := [name for name in shapes if name not in training.variations]:
        yield (
            f"{place}.variations: the likelihood would not know {', '.join(missing)}; list all variations of shapes, "
            "since what the training does not learn cannot be profiled"
        )


def _analysis(settings: Configuration, place: str) -> Iterator[str]:
    """Yield what a likelihood of single events cannot have (yet)."""
    for name, variation in settings.variations.items():
        if variation.decorrelate or variation.regions:
            yield (
                f"{place}: variation {name!r} is decorrelated or acts in some regions only; the strategy 'unbinned' "
                "has one nuisance parameter per variation, for all regions"
            )
        if variation.kind == "weight" and (variation.alternatives or variation.held_out):
            yield (
                f"{place}: variation {name!r} has samples of its own ('alternatives', 'held_out'), which the strategy "
                "'unbinned' would take for more nominal events; leave them out, or use another strategy"
            )
        if getattr(variation, "acceptance", "kept") == "renormalised":
            yield f"{place}: variation {name!r} is renormalised, which the strategy 'unbinned' does not know"
    for name, process in settings.processes.items():
        if process.part is not None or getattr(process, "estimate", None) is not None:
            yield f"{place}: process {name!r} is an estimate from data, whose events have negative weights"
