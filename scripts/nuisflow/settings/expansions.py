"""What short entries of a configuration stand for: estimates from data, and weight sets kept as parameters."""

from collections.abc import Iterator

from nuisflow.names import suggest
from nuisflow.settings.configuration import Configuration, Estimate, FileDataset, Process, Sample
from nuisflow.settings.systematics import Rate, TwoPoint, Variation, Weight, WeightSet


def expand(settings: Configuration) -> Configuration:
    """Return *settings* with every short entry replaced by what it stands for; nothing else knows short entries."""
    estimates = {name: process.estimate for name, process in settings.processes.items() if process.estimate}
    variations: dict[str, Variation] = {}
    for name, variation in settings.variations.items():
        kept = isinstance(variation, WeightSet) and variation.keep
        variations |= dict(_eigenvectors(name, variation)) if kept else {name: variation}  # type: ignore[arg-type]
        if isinstance(variation, TwoPoint) and variation.reweight:
            variations[name] = _reweighted(settings, name, variation)
    for name, estimate in estimates.items():
        variations |= dict(_transfer(name, settings.processes[name], estimate))
    processes = {name: process.model_copy(update={"estimate": None}) for name, process in settings.processes.items()}
    return settings.model_copy(
        update={"variations": variations, "processes": processes, "samples": _samples(settings, estimates)}
    )


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
        for name in settings.nominal:
            if settings.samples[name].process == settings.signal:
                continue  # ASSUME: too little of it is in the sideband to subtract, at an unknown strength
            samples |= dict(_sideband(process, estimate, name, settings.samples[name]))
    return samples


def _selected(sample: Sample, *selections: str) -> Sample:
    """Return *sample* with further selections."""
    own = (f"({sample.selection})",) if sample.selection else ()
    joined = " & ".join((*own, *selections))
    return sample.model_copy(update={"selection": joined}) if selections else sample


def _sideband(process: str, estimate: Estimate, name: str, sample: Sample) -> Iterator[tuple[str, Sample]]:
    """Yield what one sample contributes to the estimate of *process*: data count, simulation is subtracted."""
    there = _selected(sample, f"({estimate.sideband})")
    if sample.process == "data":
        update = {"process": process, "weight": f"{estimate.transfer!r}"}
        yield f"{process}_{name}", there.model_copy(update=update)
    else:
        # ASSUME: simulation is subtracted at nominal; its variations do not move the estimate.
        weight = f"-{estimate.transfer!r} * ({sample.weight})"
        yield (
            f"{process}_minus_{name}",
            there.model_copy(update={"process": process, "weight": weight, "train": False}),
        )


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what keeps short entries from being expanded."""
    for name, process in settings.processes.items():
        if process.estimate is not None:
            yield from _estimate_problems(settings, name, process)
    for name, sample in settings.samples.items():
        if sample.ratios:
            yield f"samples.{name}.ratios: is made by a two_point variation with reweight; remove it"
    for name, variation in settings.variations.items():
        if isinstance(variation, TwoPoint) and variation.reweight:
            yield from _reweight_problems(settings, name, variation)
        if isinstance(variation, WeightSet) and variation.keep and "hessian" not in variation.combine:
            yield (
                f"variations.{name}.keep: members of {variation.combine!r} are not independent; keep the eigenvectors "
                "of a hessian or symmetric_hessian set, or remove 'keep'"
            )


def _reweight_problems(settings: Configuration, name: str, chosen: TwoPoint) -> Iterator[str]:
    for sample in (*chosen.up, *chosen.held_out):
        if sample not in settings.samples:
            yield f"variations.{name}: no sample {sample!r}; {suggest(sample, settings.samples)}"
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
    taken = [*settings.samples, *settings.variations]
    for made in (f"{name}_transfer", *(f"{name}_{sample}" for sample in settings.samples)):
        if made in taken:
            yield f"{place}: makes an entry {made!r}, but there is one already; rename it"
