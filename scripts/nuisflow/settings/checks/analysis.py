"""Check a configuration: every section by its model, then what must agree between sections.

All problems found are reported at once, each as ``file: path: problem; remedy``.
"""

from collections.abc import Iterator

import numpy as np
import pydantic

from nuisflow import datasets, names
from nuisflow.settings import conditional, known_answers, points, tuning, unbinned
from nuisflow.settings.checks import correlations, dask, figures, published, reserved, variations
from nuisflow.settings.configuration import Configuration, FileDataset, Learning, Region, Sample

suggest = names.suggest
MAXIMUM_BINS = 1000


def _problems(settings: Configuration) -> Iterator[str]:
    yield from getattr(datasets.of(settings.dataset), "problems", tuple)()
    yield from _process_problems(settings)
    yield from reserved.problems(settings)
    for name, sample in settings.samples.items():
        if not _is_made(settings, sample):
            yield from _sample_problems(settings, name, sample)
            yield from _format_problems(settings, name)
    yield from _column_problems(settings)
    for name, region in settings.regions.items():
        yield from _region_problems(settings, name, region)
    for name in settings.variations:
        yield from variations.problems(settings, name)
    for name in settings.trainings:
        yield from _training_problems(settings, name)
    yield from variations.parameter_problems(settings)
    yield from variations.combination_problems(settings)
    yield from correlations.problems(settings)
    yield from points.problems(settings)
    yield from conditional.problems(settings)
    yield from unbinned.problems(settings)
    yield from known_answers.problems(settings)
    yield from tuning.problems(settings)
    yield from published.problems(settings)
    yield from figures.problems(settings)
    yield from _other_problems(settings)


def _is_made(settings: Configuration, sample: Sample) -> bool:
    """Tell whether *sample* was made by an estimate: what is wrong with it is wrong with what it is made of."""
    return sample.recorded or (
        sample.process in settings.processes and settings.processes[sample.process].part is not None
    )


def _process_problems(settings: Configuration) -> Iterator[str]:
    signals = [name for name, process in settings.processes.items() if process.role == "signal"]
    if len(signals) != 1:
        yield f"processes: exactly one has role signal; here: {', '.join(signals) or 'none'}"
    if len(signals) == len(settings.processes):
        yield "processes: at least one must be a background"
    used = {settings.samples[name].process for name in settings.nominal}
    for name in settings.processes:
        if name not in used:
            yield f"processes.{name}: no sample belongs to it; add one, give 'estimate', or remove the process"


def _sample_problems(settings: Configuration, name: str, sample: Sample) -> Iterator[str]:
    place = f"samples.{name}"
    allowed = [*settings.processes, "data"]
    if sample.process not in allowed:
        yield f"{place}.process: no process {sample.process!r}; {suggest(sample.process, allowed)}"
    available = variations.columns(settings)
    kind, known = settings.dataset.kind, datasets.MODULES[settings.dataset.kind].PROCESSES
    if isinstance(settings.dataset, FileDataset):
        if not sample.files:
            yield f"{place}.files: is required for a {kind} data set: files in dataset.path"
        if known and sample.events is not None:
            yield f"{place}.events: is for simulated data sets; remove it ('expected' scales published events)"
        if not known and (sample.events is not None or sample.expected is not None):
            yield f"{place}: 'events' and 'expected' are for simulated data sets; give 'weight' instead"
        if sample.weight is None and sample.process != "data" and not known:
            yield f"{place}.weight: is required: expected events per row, e.g. an expression over columns"
    else:
        if sample.files:
            yield f"{place}.files: the data set {kind!r} is simulated; give 'events' and 'expected'"
        if sample.events is None or sample.expected is None:
            yield f"{place}: 'events' (to simulate) and 'expected' (what they stand for) are required"
    variants = getattr(datasets.MODULES[kind], "VARIANTS", {})
    if sample.variant is not None and sample.variant not in variants:
        yield f"{place}.variant: {kind} has no variant {sample.variant!r}; {suggest(sample.variant, variants)}"
    if known and sample.process not in known:
        yield f"{place}.process: {kind} does not have {sample.process!r}; {suggest(sample.process, known)}"
    if sample.process == "data" and sample.weight is not None:
        yield f"{place}.weight: collision data have no weight"
    yield from variations.expression_problems(sample.weight, available, f"{place}.weight")
    raw = datasets.raw_columns(settings.dataset)
    yield from variations.expression_problems(sample.selection, raw, f"{place}.selection", selection=True)


def _format_problems(settings: Configuration, name: str) -> Iterator[str]:
    kind = settings.dataset.kind
    if settings.samples[name].tree is not None and not hasattr(settings.dataset, "tree"):
        yield f"samples.{name}.tree: is for data sets of the kinds flat and nanoaod, not {kind!r}; remove it"
    for file in settings.samples[name].files:
        if kind == "nanoaod" and not file.lower().endswith(".root"):
            yield f"samples.{name}.files: {file!r}: a nanoaod data set is read from ROOT files only"


def _column_problems(settings: Configuration) -> Iterator[str]:
    kinds, available = variations.all_columns(settings), variations.columns(settings)
    for name, expression in settings.derived.items():
        if name in available:
            yield f"derived.{name}: there is such a column already; choose another name"
        known = {column: kinds[column] for column in available}
        yield from variations.expression_problems(expression, known, f"derived.{name}")
        available.append(name)
    yield from variations.expression_problems(settings.selection, kinds, "selection", selection=True)
    for index, feature in enumerate(settings.features):
        if feature not in available:
            yield f"features.{index}: no column {feature!r}; {suggest(feature, available)}"
        if feature in ("entry", "row", "region", "weight", "observable", "true_mass"):
            yield f"features.{index}: {feature!r} is not known in collision data or reserved; leave it out"
    for feature in settings.plots.features:
        if feature not in available:
            yield f"plots.features: no column {feature!r}; {suggest(feature, available)}"
    yield from names.duplicates(settings.features, "features")
    yield from names.duplicates(getattr(settings.dataset, "columns", ()), "dataset.columns")


def _region_problems(settings: Configuration, name: str, region: Region) -> Iterator[str]:
    available = variations.all_columns(settings)
    yield from variations.expression_problems(region.selection, available, f"regions.{name}.selection", selection=True)
    if region.observable != "score":
        yield from variations.expression_problems(region.observable, available, f"regions.{name}.observable")
    binnings = {f"regions.{name}.binning": region.binning, "templates.binning": settings.templates.binning}
    for place, binning in binnings.items():
        if binning is None:
            continue
        yield from (f"{place}.{problem}" for problem in binning.unused())
        if binning.rule == "uniform" and binning.low >= binning.high:
            yield f"{place}: low ({binning.low:g}) must be below high ({binning.high:g})"
        elif (
            binning.rule == "uniform"
            and len(set(np.linspace(binning.low, binning.high, binning.number + 1))) <= binning.number
        ):
            yield f"{place}: {binning.number} bins between {binning.low!r} and {binning.high!r} have equal edges"
        if binning.rule == "edges" and (len(binning.edges) < 2 or list(binning.edges) != sorted(set(binning.edges))):
            yield f"{place}.edges: needs at least two increasing edges"


def _training_problems(settings: Configuration, name: str) -> Iterator[str]:
    training, place = settings.trainings[name], f"trainings.{name}"
    kinds = ("shift", "weight", "rate", *(("two_point",) if training.knows_alternatives else ()))
    usable = [key for key, variation in settings.variations.items() if variation.kind in kinds]
    for variation in training.variations:
        if variation not in usable:
            wanted = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
            yield f"{place}.variations: no {wanted} {variation!r}; {suggest(variation, usable)}"
    for variation in training.variations:
        if variation in usable and (left := _scored(settings) - set(points.acting(settings, variation))):
            yield (
                f"{place}.variations: {variation!r} does not act in region {sorted(left)[0]!r}, whose observable is "
                "the score; a training knows variations that act in all of these: leave it out"
            )
    if training.needs_variations and not training.variations:
        yield f"{place}.variations: the strategy {training.strategy!r} needs at least one; {suggest('', usable)}"
    yield from names.duplicates(training.variations, f"{place}.variations")
    known = dict.fromkeys(settings.features, np.dtype(np.float32))
    for problem in variations.expression_problems(getattr(training, "expression", None), known, f"{place}.expression"):
        yield f"{problem} (an observable is made of the section 'features')"
    if (training.classes or 0) * settings.learning.folds > MAXIMUM_BINS:
        folds = settings.learning.folds
        yield f"{place}.bins: {training.classes} bins in each of {folds} folds: at most {MAXIMUM_BINS}"
    try:
        Learning.model_validate(settings.learning.model_dump() | training.changes())
    except pydantic.ValidationError as error:
        yield f"{place}: {error.errors()[0]['msg']}"


def _scored(settings: Configuration) -> set[str]:
    return {name for name, region in settings.regions.items() if region.observable == "score"}


def _other_problems(settings: Configuration) -> Iterator[str]:
    for section in ("symmetrise", "smooth"):
        for name in getattr(settings.templates, section):
            if name not in settings.variations:
                yield f"templates.{section}: no variation {name!r}; {suggest(name, settings.variations)}"
    if not settings.fit.bounds[0] < 1 < settings.fit.bounds[1]:
        yield "fit.bounds: must contain 1, where the fit starts"
    low, high = settings.fit.bounds
    for value in settings.toys.truths:
        if not low <= value <= high:
            yield (
                f"toys.truths: {value:g} is outside fit.bounds, {low:g} to {high:g}, where no interval could contain "
                f"it; widen them or remove it"
            )
    yield from _bootstrap_problems(settings)
    yield from _map_problems(settings)
    if settings.fit.unblind and not any(sample.process == "data" for sample in settings.samples.values()):
        yield "fit.unblind: there are no collision data; add a sample with process: data"
    if all(region.observable != "score" for region in settings.regions.values()):
        yield "regions: at least one region's observable must be 'score', else there is nothing to train for"
    signals = [name for name, process in settings.processes.items() if process.role == "signal"]
    if not any(sample.train and sample.process in signals for sample in settings.samples.values()):
        yield "samples: no signal sample has train: true"
    yield from dask.problems(settings.dask)


def _bootstrap_problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with ``toys.bootstrap``."""
    if (bootstrap := settings.toys.bootstrap) is None:
        return
    low, high = bootstrap.mu
    if low > high:
        yield f"toys.bootstrap.mu: from {low:g} to {high:g} is no range; write the smaller number first"
    if high >= settings.fit.bounds[1]:
        yield f"toys.bootstrap.mu: {high:g} is outside fit.bounds, where no fit would find it; widen them or lower it"
    if set(conditional.trainings(settings)) == set(settings.trainings):
        yield (
            "toys.bootstrap: trainings of the strategy 'conditional' take no part, and there are no others; remove it"
        )


def _map_problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with ``toys.map``."""
    if settings.toys.map is None:
        return
    if {*conditional.trainings(settings), *unbinned.trainings(settings)} == set(settings.trainings):
        yield (
            "toys.map: trainings of the strategies 'conditional' and 'unbinned' take no part, and there are no others; "
            "remove it"
        )
    if settings.toys.map.mu is None:
        return
    (low, high), bounds = settings.toys.map.mu, settings.fit.bounds
    if low >= high:
        yield f"toys.map.mu: from {low:g} to {high:g} is no range; write the smaller number first"
    elif not bounds[0] <= low < high <= bounds[1]:
        yield f"toys.map.mu: [{low:g}, {high:g}] is beyond fit.bounds [{bounds[0]:g}, {bounds[1]:g}]; widen them"
