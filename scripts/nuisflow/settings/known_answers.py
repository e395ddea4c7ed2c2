"""Data sets with known answers: what must agree in scenarios, published tables and exact densities."""

from collections.abc import Iterator
from pathlib import Path

from nuisflow import datasets, names
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import Shift
from nuisflow.strategies.optimal import Optimal

COLUMNS = ("training", "seeds", "source")
"""Columns of the table of scenarios that are no scenarios."""


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
            elif section == "constrained" and settings.variations[variation].kind == "free_rate":
                yield f"{place}.constrained: {variation!r} has no prior; move it to 'free'"
    yield from names.duplicates((*scenario.free, *scenario.constrained), place)
