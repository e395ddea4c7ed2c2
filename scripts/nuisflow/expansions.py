"""What short entries of a configuration stand for: estimates from data, and weight sets kept as parameters."""

from collections.abc import Iterator

from nuisflow.configuration import (
    Configuration,
    Estimate,
    FileDataset,
    Process,
    Rate,
    Sample,
    Variation,
    Weight,
    WeightSet,
)


def expand(settings: Configuration) -> Configuration:
    """Return *settings* with every short entry replaced by what it stands for; nothing else knows short entries."""
    estimates = {name: process.estimate for name, process in settings.processes.items() if process.estimate}
    variations: dict[str, Variation] = {}
    for name, variation in settings.variations.items():
        kept = isinstance(variation, WeightSet) and variation.keep
        variations |= dict(_eigenvectors(name, variation)) if kept else {name: variation}  # type: ignore[arg-type]
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


def _transfer(name: str, process: Process, estimate: Estimate) -> Iterator[tuple[str, Rate]]:
    """Yield the uncertainty of the transfer factor of an estimate, if it has one."""
    if estimate.size is not None:
        label = f"{process.label or name} transfer factor"
        content = {"kind": "rate", "size": estimate.size, "processes": (name,), "label": label, "group": estimate.group}
        yield f"{name}_transfer", Rate.model_validate(content)


def _samples(settings: Configuration, estimates: dict[str, Estimate]) -> dict[str, Sample]:
    """Return the samples, each in its own place, and those in the sidebands of *estimates*."""
    here = [f"({estimate.in_place_of})" for estimate in estimates.values()]
    samples = {name: _selected(sample, *here) for name, sample in settings.samples.items()}
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
    for name, variation in settings.variations.items():
        if isinstance(variation, WeightSet) and variation.keep and "hessian" not in variation.combine:
            yield (
                f"variations.{name}.keep: members of {variation.combine!r} are not independent; keep the eigenvectors "
                "of a hessian or symmetric_hessian set, or remove 'keep'"
            )


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
