"""What short entries of a configuration stand for: estimates from data, and weight sets kept as parameters.

An estimate is data of a sideband minus simulation there. Each process that is subtracted is a process by itself, with
negative weights (`Part`), so that it varies as its own process does: samples of negative content with the modifiers of
that process, in HistFactory's words. Tables and figures show them together.
"""

from collections.abc import Iterator, Mapping

from nuisflow import datasets, expressions
from nuisflow.names import suggest
from nuisflow.settings.configuration import Configuration, Estimate, FileDataset, Part, Process, Sample
from nuisflow.settings.systematics import Rate, TwoPoint, Variation, Weight, WeightSet
from nuisflow.strategies.observable import Observable
from nuisflow.strategies.strategy import Strategy

Parts = Mapping[str, Part]


def expand(settings: Configuration) -> Configuration:
    """Return *settings* with every short entry replaced by what it stands for; nothing else knows short entries."""
    estimates = _estimates(settings)
    parts = _parts(settings)
    variations: dict[str, Variation] = {}
    for name, variation in settings.variations.items():
        kept = isinstance(variation, WeightSet) and variation.keep
        variations |= dict(_eigenvectors(name, variation)) if kept else {name: variation}  # type: ignore[arg-type]
        if isinstance(variation, TwoPoint) and variation.reweight:
            variations[name] = _reweighted(settings, name, variation)
    for name, estimate in estimates.items():
        variations |= dict(_transfer(name, settings.processes[name], estimate))
    variations = {name: _in_estimates(settings, variation, parts) for name, variation in variations.items()}
    processes = {name: process.model_copy(update={"estimate": None}) for name, process in settings.processes.items()}
    processes |= {name: Process(role="background", part=part) for name, part in parts.items()}
    parts_of_it = {"variations": variations, "processes": processes, "samples": _samples(settings, estimates)}
    return settings.model_copy(update=parts_of_it | {"trainings": _trainings(settings)})


def _trainings(settings: Configuration) -> dict[str, Strategy]:
    """Return the trainings; observables know the names of the features."""
    return {
        name: chosen.model_copy(update={"inputs": settings.features}) if isinstance(chosen, Observable) else chosen
        for name, chosen in settings.trainings.items()
    }


def _estimates(settings: Configuration) -> dict[str, Estimate]:
    return {name: process.estimate for name, process in settings.processes.items() if process.estimate}


def _subtracted(settings: Configuration) -> Iterator[str]:
    """Yield the samples that are subtracted in the sidebands: simulation, and alternatives of it."""
    for name, sample in settings.samples.items():
        # ASSUME: too little of the signal is in a sideband to subtract it.
        if sample.process not in ("data", settings.signal):
            yield name


def _parts(settings: Configuration) -> dict[str, Part]:
    """Return the processes that the simulation in the sidebands is, by their names."""
    return {
        f"{name}_minus_{process}": Part(of=name, subtracts=process)
        for name in _estimates(settings)
        for process in dict.fromkeys(settings.samples[sample].process for sample in _subtracted(settings))
    }


def _in_estimates(settings: Configuration, variation: Variation, parts: Parts) -> Variation:
    """Return *variation* acting on what is subtracted in estimates as it does on the same processes elsewhere.

    A variation of an estimate is one of everything in it; without ``processes`` it is one of the simulation.
    """
    if not parts:
        return variation
    if isinstance(variation, TwoPoint):
        return variation.model_copy(update=_minus(settings, variation))
    estimates = {part.of for part in parts.values()}
    chosen = variation.processes
    if chosen is None:
        chosen = tuple(name for name in settings.processes if name not in estimates)
    acting = [name for name, part in parts.items() if part.subtracts in chosen or part.of in chosen]
    update: dict[str, tuple[str, ...]] = {"processes": (*chosen, *acting)}
    return variation.model_copy(update=update | (_minus(settings, variation) if isinstance(variation, Weight) else {}))


def _minus(settings: Configuration, variation: TwoPoint | Weight) -> dict[str, tuple[str, ...]]:
    """Return the alternative samples of *variation* together with the same in the sidebands of estimates."""
    subtracted = list(_subtracted(settings))
    return {
        side: (
            *getattr(variation, side),
            *(
                f"{estimate}_minus_{sample}"
                for estimate in _estimates(settings)
                for sample in getattr(variation, side)
                if sample in subtracted
            ),
        )
        for side in variation.sides
    }


def _eigenvectors(name: str, chosen: WeightSet) -> Iterator[tuple[str, Weight]]:
    """Yield one weight variation per eigenvector: a pair of members of a Hessian set, or one of a symmetric one."""
    members = chosen.expressions
    step = 2 if chosen.combine == "hessian" else 1
    common = chosen.model_dump(include={"group", "processes", "regions", "decorrelate"})
    for index, first in enumerate(range(0, len(members), step), start=1):
        sides = {"up": members[first]} | ({"down": members[first + 1]} if step == 2 else {})
        label = f"{chosen.label or name} {index}"
        yield f"{name}_{index}", Weight.model_validate({"kind": "weight", "label": label} | sides | common)


def _reweighted(settings: Configuration, name: str, chosen: TwoPoint) -> Weight:
    """Return the weight variation that a reweighted two-point variation is; events get its column from files."""
    processes = tuple(dict.fromkeys(settings.samples[sample].process for sample in chosen.up))
    common = chosen.model_dump(include={"label", "group", "regions", "decorrelate", "held_out"})
    content = {"kind": "weight", "up": f"ratio_{name}", "processes": processes, "alternatives": chosen.up}
    return Weight.model_validate(common | content)


def _ratios(settings: Configuration, name: str, sample: Sample) -> Sample:
    """Return *sample* with the files of the ratios that reweight it."""
    files = tuple(
        f"results/{settings.analysis}/reweighting/{key}/{name}.parquet"
        for key, variation in settings.variations.items()
        if isinstance(variation, TwoPoint) and variation.reweight and name not in settings.alternatives
        if sample.process in {settings.samples[other].process for other in variation.up}
    )
    return sample.model_copy(update={"ratios": files}) if files else sample


def relocated(settings: Configuration, results: str) -> Configuration:
    """Return *settings* with what the workflow makes itself in the folder *results*."""
    old = f"results/{settings.analysis}/"
    samples = {
        name: sample.model_copy(
            update={"ratios": tuple(f"{results}/{path.removeprefix(old)}" for path in sample.ratios)}
        )
        for name, sample in settings.samples.items()
    }
    return settings.model_copy(update={"samples": samples})


def _transfer(name: str, process: Process, estimate: Estimate) -> Iterator[tuple[str, Rate]]:
    """Yield the uncertainty of the transfer factor of an estimate, if it has one."""
    if estimate.size is not None:
        label = f"{process.label or name} transfer factor"
        content = {"kind": "rate", "size": estimate.size, "processes": (name,), "label": label, "group": estimate.group}
        yield f"{name}_transfer", Rate.model_validate(content)


def _samples(settings: Configuration, estimates: dict[str, Estimate]) -> dict[str, Sample]:
    """Return the samples, each in its own place, and those in the sidebands of *estimates*."""
    here = [f"({estimate.in_place_of})" for estimate in estimates.values()]
    samples = {name: _ratios(settings, name, _selected(sample, *here)) for name, sample in settings.samples.items()}
    for process, estimate in estimates.items():
        for name in (*_recorded(settings), *_subtracted(settings)):
            samples |= dict(_sideband(process, estimate, name, _ratios(settings, name, settings.samples[name])))
    return samples


def _recorded(settings: Configuration) -> list[str]:
    return [name for name, sample in settings.samples.items() if sample.process == "data"]


def _selected(sample: Sample, *selections: str) -> Sample:
    """Return *sample* with further selections."""
    own = (f"({sample.selection})",) if sample.selection else ()
    joined = " & ".join((*own, *selections))
    return sample.model_copy(update={"selection": joined}) if selections else sample


def _sideband(process: str, estimate: Estimate, name: str, sample: Sample) -> Iterator[tuple[str, Sample]]:
    """Yield what one sample contributes to the estimate of *process*: data count, simulation is subtracted."""
    there = _selected(sample, f"({estimate.sideband})")
    if sample.process == "data":
        update = {"process": process, "weight": f"{estimate.transfer!r}", "recorded": True}
        yield f"{process}_{name}", there.model_copy(update=update)
    else:
        weight = f"-{estimate.transfer!r} * ({sample.weight})"
        update = {"process": f"{process}_minus_{sample.process}", "weight": weight, "train": False}
        yield f"{process}_minus_{name}", there.model_copy(update=update)


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what keeps short entries from being expanded."""
    if _estimates(settings) and not any(process.role == "signal" for process in settings.processes.values()):
        yield "processes: exactly one has role signal; here: none"
        return
    for name, process in settings.processes.items():
        if process.part is not None:
            yield f"processes.{name}.part: is made by an estimate; remove it"
        if process.estimate is not None:
            yield from _estimate_problems(settings, name, process)
    for name, chosen in settings.trainings.items():
        if isinstance(chosen, Observable) and chosen.inputs:
            yield f"trainings.{name}.inputs: are the features, filled in by itself; remove it"
    for name, sample in settings.samples.items():
        if sample.ratios:
            yield f"samples.{name}.ratios: is made by a two_point variation with reweight; remove it"
        if sample.recorded:
            yield f"samples.{name}.recorded: is made by an estimate; remove it"
    for name, variation in settings.variations.items():
        if isinstance(variation, TwoPoint) and variation.reweight:
            yield from _reweight_problems(settings, name, variation)
        if isinstance(variation, WeightSet) and variation.keep and "hessian" not in variation.combine:
            yield (
                f"variations.{name}.keep: members of {variation.combine!r} are not independent; keep the eigenvectors "
                "of a hessian or symmetric_hessian set, or remove 'keep'"
            )


def expression_problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with the selections of estimates, which become those of samples."""
    columns = datasets.raw_columns(settings.dataset)
    for name, estimate in _estimates(settings).items():
        for key in ("sideband", "in_place_of"):
            try:
                expressions.check(getattr(estimate, key), columns, f"processes.{name}.estimate.{key}", selection=True)
            except expressions.ExpressionError as error:
                yield str(error)
            else:
                yield from _moved(settings, f"processes.{name}.estimate.{key}", getattr(estimate, key))


def _moved(settings: Configuration, place: str, text: str) -> Iterator[str]:
    """Yield shifts of columns that decide what the sideband is: it is decided once, before any shift."""
    for name, variation in settings.variations.items():
        columns = getattr(variation, "columns", None) or {}
        for column in sorted(columns.keys() & expressions.names(text)):
            yield (
                f"variations.{name}.columns.{column}: {place} uses {column!r}, but events do not move into or out of a "
                "sideband with a shift; decide it by a column that no shift changes, or leave this one out of the shift"
            )


def _reweight_problems(settings: Configuration, name: str, chosen: TwoPoint) -> Iterator[str]:
    for sample in (*chosen.up, *chosen.held_out):
        if sample not in settings.samples:
            yield f"variations.{name}: no sample {sample!r}; {suggest(sample, settings.samples)}"
    processes = {settings.samples[sample].process for sample in chosen.up if sample in settings.samples}
    if len(processes) > 1:
        yield (
            f"variations.{name}.up: one network would tell the samples of {' and '.join(sorted(processes))} together "
            "from their alternatives, and what changes one process against the other would be lost: make one variation "
            "per process, or remove 'reweight'"
        )
    if chosen.down:
        yield f"variations.{name}.down: a reweighted variation is 1 / ratio at z = -1; remove 'down', or 'reweight'"


def _estimate_problems(settings: Configuration, name: str, process: Process) -> Iterator[str]:
    place = f"processes.{name}.estimate"
    if process.role == "signal":
        yield f"{place}: the signal cannot be estimated from data; name a background"
    if not isinstance(settings.dataset, FileDataset) or not settings.has_data:
        yield f"{place}: needs collision data: a sample with process: data"
    own = [sample for sample, chosen in settings.samples.items() if chosen.process == name]
    if own:
        yield f"{place}: its events come from the sideband; remove samples.{own[0]}, or the estimate"
    taken = [*settings.samples, *settings.variations, *settings.processes]
    made = [f"{name}{word}_{other}" for other in (*settings.samples, *settings.processes) for word in ("", "_minus")]
    for entry in (f"{name}_transfer", *made):
        if entry in taken:
            yield f"{place}: makes an entry {entry!r}, but there is one already; rename it"
    if settings.toys.bootstrap is not None:
        yield f"{place}: toys.bootstrap draws events, and those subtracted here have negative weights; remove one"
    yield from _twice(settings, name)


def _twice(settings: Configuration, estimate: str) -> Iterator[str]:
    """Yield variations that name an estimate and also a process that is subtracted in it."""
    for name, variation in settings.variations.items():
        chosen = variation.processes or ()
        others = {settings.samples[sample].process for sample in _subtracted(settings)} & set(chosen)
        if estimate in chosen and others:
            yield (
                f"variations.{name}.processes: names {estimate!r} and {min(others)!r}, whose simulation is subtracted "
                f"in this estimate and follows by itself: leave {estimate!r} out, or make two variations"
            )
