"""What the answers to a reviewer's questions depend on: classifiers, prediction sets, events, features, variations."""

from collections.abc import Iterable, Iterator

from nuisflow.settings import conditional, points, systematics, unbinned
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.sections import Section
from nuisflow.slices import inference, inputs
from nuisflow.slices.events import shifted_names
from nuisflow.slices.inference import Filling, WorkspaceSettings
from nuisflow.slices.report import PlotSettings, plots

NOMINAL = "nominal"
_KINDS = ("shift", "weight", "rate", "two_point")
MOST = 24
"""Variations that are told from nominal, the first of the configuration."""


class JudgementSettings(Section):
    """Slice of judge_trainings: *samples* maps nominal simulated ones to processes; *learns*: trainings with networks.

    *trained*: samples that all networks are trained on.
    """

    signal: str
    samples: dict[str, str]
    trained: tuple[str, ...]
    regions: tuple[str, ...]
    scored: tuple[str, ...]
    folds: int
    validation_fraction: float
    seed: int
    features: tuple[str, ...]
    learns: dict[str, bool]


class Source(Section):
    """Events of one *sample* at one condition: rows and weights of *folder*, scores and features of *scored_as*.

    Weights are times the column *factor* and *scale*. Only events in *regions* count.
    """

    sample: str
    folder: str = NOMINAL
    scored_as: str = NOMINAL
    factor: str | None = None
    scale: float = 1.0
    regions: tuple[str, ...]


class Condition(Section):
    """How nature may be: one variation at *z*, all others at 0, as the events that show it."""

    variation: str = ""
    z: float = 0.0
    sources: tuple[Source, ...]


class ConformalSettings(Section):
    """Slice of predict_sets: *samples* maps samples to processes, alternatives too."""

    signal: str
    samples: dict[str, str]
    regions: tuple[str, ...]
    seed: int
    conditions: dict[str, Condition]


class PermutationSettings(Section):
    """Slice of permute_features: *fillings* and *workspaces* by training, *events* at nominal in all."""

    events: int
    seed: int
    features: tuple[str, ...]
    fillings: dict[str, Filling]
    workspaces: dict[str, WorkspaceSettings]


class VisibilitySettings(Section):
    """Slice of distinguish_variations; *shown*: model and data, in the regions where collision data are."""

    features: tuple[str, ...]
    regions: tuple[str, ...]
    seed: int
    conditions: dict[str, Condition]
    shown: tuple[Condition, ...]


# --- conditions -----------------------------------------------------------------------------------------------------


def conditions(settings: Configuration, regions: tuple[str, ...]) -> dict[str, Condition]:
    """Return nominal and all points of all variations with a prior that events show, by their names."""
    nominal = Condition(sources=tuple(Source(sample=name, regions=regions) for name in settings.simulated))
    found = {NOMINAL: nominal}
    for name, chosen in settings.variations.items():
        for side, z in _sides(settings, chosen).items():
            sources = tuple(_sources(settings, name, side, z, regions))
            found[f"{name}_{side}"] = Condition(variation=name, z=z, sources=sources)
    return found


def _sides(settings: Configuration, chosen: systematics.Variation) -> dict[str, float]:
    if chosen.kind not in _KINDS:
        return {}
    if isinstance(chosen, systematics.TwoPoint):
        return {side: points.SIDES[side] for side in chosen.sides if getattr(chosen, side)}
    return points.STANDARD | settings.toys.displacements


def _sources(settings: Configuration, name: str, side: str, z: float, regions: tuple[str, ...]) -> Iterator[Source]:
    """Yield the events at one side of a variation: nominal ones where it does not act."""
    chosen, acting = settings.variations[name], points.affected(settings, name)
    inside = tuple(region for region in regions if region in points.acting(settings, name))
    outside = tuple(region for region in regions if region not in inside)
    others = getattr(chosen, side) if isinstance(chosen, systematics.TwoPoint) else ()
    replaced = {settings.samples[sample].process for sample in others}
    for sample in settings.simulated:
        process = settings.samples[sample].process
        moved = process in replaced if others else process in acting
        if not moved:
            yield Source(sample=sample, regions=regions)
            continue
        if outside:
            yield Source(sample=sample, regions=outside)
        if inside and not others:
            plain = Source(sample=sample, regions=inside)
            yield _moved(chosen, f"{name}_{side}", z, plain, templated=side in points.STANDARD)
    if inside:
        yield from (Source(sample=sample, regions=inside) for sample in others)


def _moved(chosen: systematics.Variation, folder: str, z: float, plain: Source, *, templated: bool) -> Source:
    """Return the events of a *plain* source at one point of a variation that acts on it."""
    if isinstance(chosen, systematics.Rate):
        return plain.model_copy(update={"scale": float(chosen.factor(z))})
    if isinstance(chosen, systematics.Shift):
        return plain.model_copy(update={"folder": folder, "scored_as": folder})
    return plain.model_copy(update={"factor": f"factor_{folder}"} if templated else {"folder": folder})


def event_files(found: Iterable[Condition]) -> list[tuple[str, str]]:
    """Return folder and sample of all events that conditions need."""
    return list(dict.fromkeys((source.folder, source.sample) for one in found for source in one.sources))


def scored(settings: Configuration) -> tuple[str, ...]:
    """Return the regions whose observable is the score."""
    return tuple(name for name, region in settings.regions.items() if region.observable == "score")


# --- slices ---------------------------------------------------------------------------------------------------------


def judgement(settings: Configuration) -> JudgementSettings:
    """Return what judge_trainings depends on."""
    return JudgementSettings(
        signal=settings.signal,
        samples={name: settings.samples[name].process for name in settings.simulated},
        trained=tuple(settings.trained_samples),
        regions=tuple(settings.regions),
        scored=tuple(name for name, region in settings.regions.items() if region.observable == "score"),
        folds=settings.learning.folds,
        validation_fraction=settings.learning.validation_fraction,
        seed=settings.seed,
        features=settings.features,
        learns={name: one.learns for name, one in settings.trainings.items()},
    )


def conformal(settings: Configuration) -> ConformalSettings:
    """Return what predict_sets depends on."""
    return ConformalSettings(
        signal=settings.signal,
        samples={name: sample.process for name, sample in settings.samples.items()},
        regions=tuple(settings.regions),
        seed=settings.seed,
        conditions=conditions(settings, scored(settings)),
    )


def members(settings: Configuration) -> list[str]:
    """Return the trainings whose score is a mean over members."""
    return [name for name, chosen in settings.trainings.items() if chosen.members > 1]


def spread(settings: Configuration) -> JudgementSettings:
    """Return what separate_uncertainty depends on: no word on trainings of one network."""
    learns = dict.fromkeys(members(settings), True)
    return judgement(settings).model_copy(update={"learns": learns})


def permuted(settings: Configuration) -> list[str]:
    """Return the trainings whose features are permuted: those that learn and whose likelihood is one of templates."""
    without = {*conditional.trainings(settings), *unbinned.trainings(settings)}
    learns = judgement(settings).learns
    wanted = settings.review.permuted_events > 0
    return [name for name in settings.trainings if wanted and learns[name] and name not in without]


def permuted_files(settings: Configuration, name: str) -> list[str]:
    """Return the file *name* of the runs whose features are permuted."""
    seeds = range(1, min(settings.review.permuted_seeds, settings.learning.seeds) + 1)
    return [f"<results>/trainings/{one}/seed{seed}/{name}" for one in permuted(settings) for seed in seeds]


def permutation(settings: Configuration) -> PermutationSettings:
    """Return what permute_features depends on."""
    chosen = permuted(settings)
    return PermutationSettings(
        events=settings.review.permuted_events,
        seed=settings.seed,
        features=settings.features,
        fillings={name: inference.filling(settings, name) for name in chosen},
        workspaces={name: _expected(settings, name) for name in chosen},
    )


def _expected(settings: Configuration, name: str) -> WorkspaceSettings:
    """Return the settings of the workspace of a training, for Asimov data."""
    found = inference.workspace(settings, name)
    return found.model_copy(update={"fit": found.fit.model_copy(update={"unblind": False})})


def visibility(settings: Configuration) -> VisibilitySettings:
    """Return what distinguish_variations depends on: the upper side of every variation, and data that are shown."""
    found = conditions(settings, tuple(settings.regions))
    names = {one.variation: name for name, one in reversed(found.items()) if name == f"{one.variation}_up"}
    order = [name for name in settings.variations if name in names]
    chosen = {NOMINAL: found[NOMINAL]} | {names[name]: found[names[name]] for name in order[:MOST]}
    return VisibilitySettings(
        features=settings.features,
        regions=tuple(settings.regions),
        seed=settings.seed,
        conditions=chosen,
        shown=tuple(_shown(settings)),
    )


def _shown(settings: Configuration) -> Iterator[Condition]:
    """Yield the model and the collision data, in the regions where these may be seen."""
    data = [name for name, sample in settings.samples.items() if sample.process == "data"]
    if data and (regions := inputs.shown(settings)):
        for samples in (settings.simulated, data):
            yield Condition(sources=tuple(Source(sample=name, regions=regions) for name in samples))


def needed(settings: Configuration) -> dict[str, list[tuple[str, str]]]:
    """Return folder and sample of the events that each rule needs."""
    seen = visibility(settings)
    filled = [
        (folder, sample)
        for sample in settings.samples
        if settings.samples[sample].process != "data"
        and settings.alternatives.get(sample, ("", ""))[1] in ("", *points.STANDARD)
        for folder in shifted_names(settings, sample)
    ]
    return {
        "predict_sets": event_files(conformal(settings).conditions.values()),
        "distinguish_variations": event_files([*seen.conditions.values(), *seen.shown]),
        "permute_features": filled,
    }


def figures(settings: Configuration) -> list[str]:
    """Return the figures of the review in the report."""
    return ["conformal", *(["epistemic"] if members(settings) else [])]


def tables(settings: Configuration) -> list[str]:
    """Return the tables of the review in the report."""
    found = ["conformal", "visibility"]
    found += ["epistemic"] if members(settings) else []
    found += ["permutation"] if permuted(settings) else []
    return [f"<results>/comparison/{name}.csv" for name in found]


def words(settings: Configuration) -> PlotSettings:
    """Return the words and colours of plot_review."""
    return plots(settings).model_copy(update={"axes": {}, "parts": {}})


def classifier_words(settings: Configuration) -> PlotSettings:
    """Return the words and colours of plot_classifiers, which knows no variations."""
    return plots(settings).model_copy(update={"variations": {}, "axes": {}, "parts": {}})
