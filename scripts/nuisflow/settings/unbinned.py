"""Trainings whose likelihood is that of single events: what they need of an analysis."""

from collections.abc import Iterator

from nuisflow.settings import points
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import TwoPoint, WeightSet
from nuisflow.strategies.unbinned import Unbinned

NOMINAL = "nominal"
LEARNED = ("shift", "weight", "two_point")
"""Kinds of variations whose response networks learn; rates and the luminosity are exact."""
APART = {
    "hessian": "set 'keep: true', which makes every eigenvector a parameter",
    "symmetric_hessian": "set 'keep: true', which makes every eigenvector a parameter",
    "replicas": "take the eigenvectors of the same set ('combine: symmetric_hessian', 'keep: true')",
    "envelope": "make its members variations of kind 'weight' with 'up' and 'down'",
}
"""What to do with members of a weight set that are combined bin by bin: single events are in no bin."""
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
    if training.acting or training.signal or training.sides:
        yield f"{place}: 'acting', 'signal' and 'sides' are filled in by the workflow; leave them out"
    shapes = [name for name, other in settings.variations.items() if other.kind not in ANALYTIC]
    for name in training.variations:
        if name not in settings.variations:
            continue  # said elsewhere
        kind = settings.variations[name].kind
        if kind in ANALYTIC:
            yield f"{place}.variations: {name!r} is of kind {kind!r}, which is exact in the likelihood; leave it out"
    for pair in training.pairs:
        for name in pair:
            if name in settings.variations and settings.variations[name].kind == "two_point":
                yield (
                    f"{place}.pairs: {name!r} is of kind 'two_point', whose samples are at one point, where all others "
                    "are nominal; leave the pair out"
                )
    if not shapes and not training.variations:
        yield (
            f"{place}: all variations are rates, which are exact in the likelihood, and nothing is left whose response "
            "could be learned; use another strategy, or add a variation of shapes"
        )
    shapes = [name for name in shapes if settings.variations[name].kind in LEARNED]
    if missing := [name for name in shapes if name not in training.variations]:
        yield (
            f"{place}.variations: the likelihood would not know {', '.join(missing)}; list all variations of shapes, "
            "since what the training does not learn cannot be profiled"
        )


def _analysis(settings: Configuration, place: str) -> Iterator[str]:
    """Yield what a likelihood of single events cannot have (yet)."""
    if negative := [value for value in settings.toys.truths if value < 0]:
        yield (
            f"toys.truths: {negative[0]:g}: {place} draws pseudo-experiments event by event, and no event of a "
            "negative signal can be drawn; remove it, or the training"
        )
    for name, variation in settings.variations.items():
        yield from _regions(settings, place, name)
        if isinstance(variation, WeightSet):
            yield (
                f"{place}: variation {name!r} is a weight set combined bin by bin ({variation.combine}), which says "
                f"nothing of single events; {APART[variation.combine]}, or use another strategy"
            )
        if isinstance(variation, TwoPoint):
            yield from _two_point(settings, f"{place}: variation {name!r}", variation)
        if getattr(variation, "acceptance", "kept") == "renormalised":
            yield f"{place}: variation {name!r} is renormalised, which the strategy 'unbinned' does not know"
    for name, process in settings.processes.items():
        samples = [sample for sample in settings.simulated if settings.samples[sample].process == name]
        if samples and not any(settings.samples[sample].train for sample in samples):
            yield (
                f"{place}: process {name!r} has no samples with train: true, so that its density cannot be learned; "
                f"set samples.{samples[0]}.train to true, or use another strategy"
            )
        if process.part is not None or getattr(process, "estimate", None) is not None:
            yield f"{place}: process {name!r} is an estimate from data, whose events have negative weights"


def _two_point(settings: Configuration, place: str, variation: TwoPoint) -> Iterator[str]:
    """Yield samples of a two-point variation from which no response can be learned."""
    for sample in (*variation.up, *variation.down):
        if sample in settings.samples and not settings.samples[sample].train:
            yield (
                f"{place}: its response is learned from the alternative {sample!r}, which has train: false; set "
                f"samples.{sample}.train to true, or use another strategy"
            )


def _regions(settings: Configuration, place: str, name: str) -> Iterator[str]:
    """Yield what depends on the region where all single events are one term, or where a rate has no regions."""
    variation, acting = settings.variations[name], set(points.acting(settings, name))
    scored = [region for region, chosen in settings.regions.items() if chosen.observable == "score"]
    partly, apart = acting < settings.regions.keys(), "region" in variation.decorrelate
    if variation.kind in ANALYTIC and (partly or apart) and len(settings.regions) > 1:
        yield (
            f"{place}: variation {name!r} of kind {variation.kind!r} is one of some regions or of each, but rates are "
            "of all events of a process; leave out 'regions' and 'decorrelate: [region]', or use another strategy"
        )
    elif apart and len(scored) > 1:
        yield (
            f"{place}: variation {name!r} has a parameter in each of {', '.join(scored)}, whose events are "
            "one term of the likelihood; leave out 'decorrelate: [region]', or use another strategy"
        )
    elif variation.kind in LEARNED and not acting.issuperset(scored):
        yield (
            f"{place}: variation {name!r} does not act in all regions of single events ({', '.join(scored)}); leave "
            "out its 'regions', or use another strategy"
        )
