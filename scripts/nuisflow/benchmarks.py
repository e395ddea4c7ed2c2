"""Data sets with known answers: what must agree, and what their expected uncertainties depend on (`scenarios`)."""

from collections.abc import Iterator
from pathlib import Path

from nuisflow import datasets, names, points
from nuisflow.configuration import Configuration, Dataset, Published, Scenario
from nuisflow.sections import Section
from nuisflow.strategies.optimal import Optimal
from nuisflow.systematics import Shift

COLUMNS = ("training", "seeds", "source")
"""Columns of the table of scenarios that are no scenarios."""


class Floating(Section):
    """A variation that may float in scenarios: where its derivative comes from.

    *size*: relative size of a rate, exactly known. Else events at +-*z*, the templates *up* and *down* of the file of
    displaced points or of that of the templates.
    """

    processes: tuple[str, ...]
    size: float | None
    up: str = ""
    down: str = ""
    z: float = 1.0
    displaced: bool = False


class ScenarioSettings(Section):
    """Slice of compute_scenarios; *shifts* maps variations to shifts of the data set and their sizes."""

    processes: tuple[str, ...]
    signal: str
    variations: dict[str, Floating]
    scenarios: dict[str, Scenario]
    trainings: tuple[str, ...]
    published: Published | None
    dataset: Dataset
    expected: dict[str, float]
    shifts: dict[str, tuple[str, float]]
    seed: int


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what does not agree, one line each."""
    for name, variation in settings.variations.items():
        if isinstance(variation, Shift):
            yield from _acting(settings, f"variations.{name}", variation)
    for name, training in settings.trainings.items():
        if isinstance(training, Optimal):
            yield from _density(settings, f"trainings.{name}", training)
    for name in settings.scenarios:
        yield from _scenario(settings, name)
    if settings.published is not None:
        if not settings.scenarios:
            yield "published: there are no scenarios to compare with; add the section scenarios"
        if not Path(settings.published.table).is_file():
            yield f"published.table: there is no file {settings.published.table} (relative to the folder of the run)"


def _acting(settings: Configuration, place: str, shift: Shift) -> Iterator[str]:
    """Yield what is wrong with the processes of a shift that the data set defines for some processes only."""
    module = datasets.MODULES[settings.dataset.kind]
    expected = getattr(module, "ACTS_ON", {}).get(shift.shift)
    if expected is not None and set(shift.processes or module.PROCESSES) != set(expected):
        listed = ", ".join(expected)
        yield f"{place}.processes: the shift {shift.shift!r} is one of {listed} only; write processes: [{listed}]"


def _density(settings: Configuration, place: str, training: Optimal) -> Iterator[str]:
    """Yield why the exact likelihood ratio cannot be used."""
    kind = settings.dataset.kind
    module = datasets.MODULES[kind]
    known = [name for name, other in datasets.MODULES.items() if hasattr(other, "log_density")]
    if kind not in known:
        yield f"{place}.strategy: the densities of {kind!r} are not known, only those of {', '.join(known)}"
        return
    if training.density != kind:
        yield f"{place}.density: must be {kind!r}, the data set of the analysis, not {training.density!r}"
    if settings.features != module.COLUMNS:
        yield f"{place}: the densities are those of all columns; write features: [{', '.join(module.COLUMNS)}]"
    if [name for name, process in settings.processes.items() if process.role == "signal"] != [module.PROCESSES[0]]:
        yield f"{place}: in the densities of {kind!r} the signal is processes.{module.PROCESSES[0]}"
    for name in training.shifts:
        if name not in module.SHIFTS:
            yield f"{place}.shifts: no shift {name!r}; {names.suggest(name, module.SHIFTS)}"


def _scenario(settings: Configuration, name: str) -> Iterator[str]:
    place, scenario = f"scenarios.{name}", settings.scenarios[name]
    if name in COLUMNS:
        yield f"{place}: the name is that of a column of the table; choose another"
    for section, chosen in (("free", scenario.free), ("constrained", scenario.constrained)):
        for variation in chosen:
            if variation not in settings.variations:
                hint = names.suggest(variation, settings.variations)
                yield f"{place}.{section}: no variation {variation!r}; {hint}"
            elif settings.variations[variation].kind in ("two_point", "weight_set"):
                yield f"{place}.{section}: {variation!r} has no derivative at nominal; leave it out"
            elif settings.variations[variation].decorrelate or settings.variations[variation].regions:
                yield f"{place}.{section}: {variation!r} is decorrelated or acts in some regions only; leave it out"
            elif section == "constrained" and settings.variations[variation].kind == "free_rate":
                yield f"{place}.constrained: {variation!r} has no prior; move it to 'free'"
    yield from names.duplicates((*scenario.free, *scenario.constrained), place)


def slice_of(settings: Configuration) -> ScenarioSettings:
    """Return what compute_scenarios depends on: variations that never float are left out."""
    named = {name for chosen in settings.scenarios.values() for name in (*chosen.free, *chosen.constrained)}
    floating = {name: chosen for name, chosen in settings.variations.items() if name in named}
    expected = dict.fromkeys(settings.processes, 0.0)
    for sample in settings.samples.values():
        if sample.process in expected:
            expected[sample.process] += sample.expected or 0.0
    return ScenarioSettings(
        processes=tuple(settings.processes),
        signal=settings.signal,
        variations={name: _floating(settings, name) for name in floating},
        scenarios=settings.scenarios,
        trainings=tuple(settings.trainings),
        published=settings.published,
        dataset=settings.dataset,
        expected=expected,
        shifts={
            name: (chosen.shift, chosen.size)
            for name, chosen in floating.items()
            if chosen.kind == "shift" and chosen.shift and chosen.size
        },
        seed=settings.seed,
    )


def _floating(settings: Configuration, name: str) -> Floating:
    """Return where the derivative of a variation comes from: the two closest points at the same distance."""
    chosen, processes = settings.variations[name], points.affected(settings, name)
    if chosen.kind in ("rate", "luminosity"):
        return Floating(processes=processes, size=chosen.size)
    if chosen.kind == "free_rate":
        return Floating(processes=processes, size=1.0)
    up, down, z = points.symmetric(settings)
    sides = {"up": f"{name}_{up}", "down": f"{name}_{down}"}
    return Floating(processes=processes, size=None, **sides, z=z, displaced=up not in points.STANDARD)


def are_displaced(settings: Configuration) -> bool:
    """Return whether derivatives are taken between displaced points, not between templates."""
    return any(varied.displaced for varied in slice_of(settings).variations.values())


EXACT = {"kind": "gaussian", "expected": {"signal": 500.0, "background": 50_000.0}, "size": 0.5}
"""The analysis that `exact_templates` describes."""


def is_exact(settings: Configuration) -> bool:
    """Return whether this is the analysis whose templates are known exactly, as published."""
    found = slice_of(settings)
    sizes = [chosen.size for chosen in settings.variations.values() if isinstance(chosen, Shift)]
    return {"kind": settings.dataset.kind, "expected": found.expected} == {
        key: EXACT[key] for key in ("kind", "expected")
    } and sizes == [EXACT["size"]]


def answers(settings: Configuration) -> list[str]:
    """Return the files of known answers that the report shows: in results, and the published table."""
    found = ["<results>/comparison/published.csv"] if settings.scenarios else []
    exact = ["<results>/comparison/exact.csv"] if is_exact(settings) else []
    return found + exact + ([settings.published.table] if settings.published else [])
