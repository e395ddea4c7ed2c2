"""The true points away from nominal: which there are, and in which folders of events they show."""

import math
from collections.abc import Collection, Iterator, Mapping

from nuisflow import names
from nuisflow.settings.configuration import Configuration, Part
from nuisflow.settings.sections import Section
from nuisflow.settings.systematics import Block, TwoPoint, Variation, Weight

STANDARD = {"up": 1.0, "down": -1.0}
"""The displacements that every shift and weight variation has anyway, for its templates."""
HELD_OUT = "held_out"
SIDES = {"up": 1.0, "down": -1.0, "alternatives": 1.0, HELD_OUT: 0.0}
"""The z that samples of a two-point variation stand for."""
"""The name of the point of an alternative sample that neither trainings nor templates see."""


class Point(Section):
    """One variation at *z*, all others at 0; *value* is that of the workspace's parameters for it.

    *factor* is on the yield of *processes*, for a rate or the luminosity. Where it is None, events show the effect.
    """

    variation: str
    kind: str
    z: float
    parameters: tuple[str, ...]
    value: float
    processes: tuple[str, ...]
    regions: tuple[str, ...]
    factor: float | None


def affected(settings: Configuration, variation: str) -> tuple[str, ...]:
    """Return the processes on which *variation* acts, in the order of the section processes."""
    varied = settings.variations[variation]
    chosen = varied.processes
    if isinstance(varied, TwoPoint):
        known = [sample for sample in varied.up if sample in settings.samples]
        chosen = tuple(settings.samples[sample].process for sample in known)
    return tuple(name for name in settings.processes if chosen is None or name in chosen)


def acting(settings: Configuration, variation: str) -> tuple[str, ...]:
    """Return the regions in which *variation* acts, in the order of the section regions."""
    chosen = settings.variations[variation].regions
    return tuple(name for name in settings.regions if chosen is None or name in chosen)


def parameters(settings: Configuration, variation: str) -> dict[str, tuple[str, str]]:
    """Return the nuisance parameters of *variation*, each with the first process and region it acts on."""
    chosen, known = settings.variations[variation].processes, parts(settings)
    return {
        name: (owner_of(acting[0][0], known, chosen), acting[0][1])
        for name, acting in acting_on(settings, variation).items()
    }


def acting_on(settings: Configuration, variation: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the nuisance parameters of *variation*, each with all processes and regions it acts on."""
    chosen, known = settings.variations[variation], parts(settings)
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for process in affected(settings, variation):
        owner = owner_of(process, known, chosen.processes)
        for region in acting(settings, variation):
            name = names.parameter(variation, chosen.kind, chosen.decorrelate, owner, region)
            found[name] = (*found.get(name, ()), (process, region))
    return found


def constrained(settings: Configuration) -> dict[str, str]:
    """Return the nuisance parameters with a prior by the names that ``correlations`` may use.

    A variation with one parameter has its own name, and every parameter that of the workspace.
    """
    found: dict[str, str] = {}
    for name, chosen in settings.variations.items():
        own = parameters(settings, name) if chosen.kind != "free_rate" else {}
        found |= {parameter: parameter for parameter in own} | (dict.fromkeys([name], *own) if len(own) == 1 else {})
    return found


def blocks(settings: Configuration) -> tuple[Block, ...]:
    """Return the correlations of constraints: parameters that hang together, with the matrix of each such group."""
    known, groups = constrained(settings), list[set[str]]()
    pairs: dict[tuple[str, str], float] = {}
    for entry in settings.correlations:
        for (one, other), value in entry.pairs().items():
            first, second = known[one], known[other]
            pairs[first, second] = pairs[second, first] = value
            joined = {first, second}.union(*(group for group in groups if group & {first, second}))
            groups = [*(group for group in groups if not group & joined), joined]
    ordered = [[name for name in dict.fromkeys(known.values()) if name in group] for group in groups]
    return tuple(
        Block(
            parameters=tuple(names),
            correlation=tuple(tuple(1.0 if a == b else pairs.get((a, b), 0.0) for b in names) for a in names),
        )
        for names in ordered
    )


def parts(settings: Configuration) -> dict[str, Part]:
    """Return what is subtracted in estimates from data, by the name of the process that holds it."""
    return {name: process.part for name, process in settings.processes.items() if process.part is not None}


def owner_of(process: str, parts: Mapping[str, Part], acting: Collection[str] | None) -> str:
    """Return the process whose nuisance parameter of a variation *process* has; *acting*: on which processes it acts.

    What an estimate subtracts varies with its own process, unless the variation is one of the whole estimate.
    """
    part = parts.get(process)
    if part is None:
        return process
    return part.subtracts if acting is None or part.subtracts in acting else part.of


def renormalised(settings: Configuration) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return the shifts that do not change the yield of a process, each with the groups of regions that keep it.

    A parameter of every region moves the events of one region only: each keeps its own yield then.
    """
    return {
        name: tuple((region,) for region in regions) if "region" in chosen.decorrelate else (regions,)
        for name, chosen in settings.variations.items()
        if chosen.kind == "shift" and chosen.acceptance == "renormalised"
        for regions in (acting(settings, name),)
    }


def displaced(settings: Configuration) -> dict[str, Point]:
    """Return the displaced points ``<variation>_<name>``: of all variations with a prior, one at a time.

    A two-point variation is at its alternative samples only. Nothing says what single events are between the members
    of a weight set.
    """
    if not settings.toys.displacements:
        return {}
    return {
        f"{name}_{side}": _point(settings, name, side, z)
        for name, variation in settings.variations.items()
        if variation.kind not in ("free_rate", "weight_set")
        for side, z in _sides(settings, variation).items()
    }


def _sides(settings: Configuration, variation: Variation) -> dict[str, float]:
    """Return the z of every point of a variation; a held-out alternative is at no z."""
    if not isinstance(variation, TwoPoint | Weight):
        return settings.toys.displacements
    samples = {side: SIDES[side] for side in variation.sides if getattr(variation, side)}
    return samples if isinstance(variation, TwoPoint) else settings.toys.displacements | samples


def _point(settings: Configuration, name: str, side: str, z: float) -> Point:
    chosen = settings.variations[name]
    of_samples = isinstance(chosen, TwoPoint | Weight) and side in chosen.sides
    value, factor = z, None
    if chosen.kind == "rate":
        factor = float(chosen.factor(z))
    elif chosen.kind == "luminosity":  # HistFactory's lumi is the factor itself, with a Gaussian constraint around 1
        value = factor = 1 + chosen.size * z
    return Point(
        variation=name,
        kind="two_point" if of_samples else chosen.kind,
        z=z,
        parameters=tuple(parameters(settings, name)) if z else (),
        value=value,
        processes=affected(settings, name),
        regions=acting(settings, name),
        factor=factor,
    )


def at(settings: Configuration, folder: str) -> tuple[str | None, float]:
    """Return variation and z of a folder of events: ``nominal``, ``<variation>_up``, or that of a displaced point."""
    for name, chosen in settings.variations.items():
        if chosen.kind in ("shift", "weight"):
            for side, z in (settings.toys.displacements | STANDARD).items():
                if folder == f"{name}_{side}":
                    return name, z
    return None, 0.0


def folders(settings: Configuration, sample: str, kinds: Collection[str] = ("shift", "weight")) -> list[str]:
    """Return the folders of events of *sample* that displaced points need and templates do not."""
    if sample in settings.alternatives:
        return []
    process = settings.samples[sample].process
    return [
        name
        for name, point in displaced(settings).items()
        if point.kind in kinds and process in point.processes
        if name.removeprefix(f"{point.variation}_") not in STANDARD
    ]


def shifted_folders(settings: Configuration, sample: str) -> list[str]:
    """Return those `folders` whose events need scores of their own: a weight variation changes no score."""
    return folders(settings, sample, ["shift"])


def filled_folders(settings: Configuration, sample: str) -> list[str]:
    """Return the folders of events of *sample* of which displaced points are filled."""
    of_samples = settings.alternatives.get(sample, ("", ""))[1] in (HELD_OUT, "alternatives")
    return ["nominal"] if of_samples and settings.toys.displacements else folders(settings, sample)


def symmetric(settings: Configuration) -> tuple[str, str, float]:
    """Return the names of the two points closest to nominal at the same distance from it, and this distance."""
    sides = STANDARD | settings.toys.displacements
    pairs = [(up, down, z) for up, z in sides.items() for down, other in sides.items() if z > 0 and other == -z]
    return min(pairs, key=lambda pair: pair[2])


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what is wrong with ``toys.displacements``."""
    for side, z in settings.toys.displacements.items():
        place = f"toys.displacements.{side}"
        if z == 0:
            yield f"{place}: 0 is the nominal point, which is always there; remove it"
        if z != STANDARD.get(side, z):
            yield f"{place}: {side!r} is reserved for {STANDARD[side]:+g}; choose another name for {z:g}"
        for variation in settings.variations.values():
            if variation.kind == "luminosity" and (left := 1 + variation.size * z) <= 0:
                yield f"{place}: the luminosity would be {left:g} of the nominal one; choose a smaller displacement"
        for name, variation in settings.variations.items():
            if variation.kind == "rate" and not 0 < (factor := float(variation.factor(z))) < math.inf:
                yield f"{place}: variations.{name} would change a yield by a factor of {factor:g}; choose a smaller one"
    owners = {name: name for name in settings.variations}
    for name in settings.variations:
        for side in dict.fromkeys((*settings.toys.displacements, *STANDARD, *SIDES)):
            if (other := owners.setdefault(f"{name}_{side}", name)) != name:
                what = "the variation" if other == f"{name}_{side}" else f"a point of {other!r}"
                yield f"toys.displacements: {name}_{side}, a point of {name!r}, is also {what}; rename one of them"
