"""Check the section ``variations``: every entry by itself, and what its expressions may use."""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from nuisflow import datasets, expressions, names
from nuisflow.names import suggest
from nuisflow.settings import points
from nuisflow.settings.checks import factors
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import FreeRate, Luminosity, Rate, Shift, TwoPoint, Weight, WeightSet

STATISTICS = "staterror"
"""What the names of the parameters of MC statistics begin with, before the region."""
LARGEST = 2.0
"""Relative size from which on the prior of a rate is refused: three times the yield, and a third of it."""


def columns(settings: Configuration) -> list[str]:
    """Return the columns that exist in the raw events and after reconstruction, before ``derived``."""
    module = datasets.MODULES[settings.dataset.kind]
    declared = getattr(settings.dataset, "columns", ())
    weight = () if declared else ("weight",)
    ratios = dict.fromkeys(f"ratio_{Path(path).parent.name}" for s in settings.samples.values() for path in s.ratios)
    return [*declared, *module.COLUMNS, *weight, *module.DERIVED, *ratios]


def expression_problems(
    expression: str | None, available: Collection[str], place: str, *, selection: bool = False
) -> Iterator[str]:
    """Yield what is wrong with an expression, or a *selection*, over *available* columns (with kinds, if a mapping)."""
    if expression is None:
        return
    try:
        expressions.check(expression, available, place, selection=selection)
    except expressions.ExpressionError as error:
        yield str(error)


def all_columns(settings: Configuration) -> dict[str, str]:
    """Return every column that selections, features and observables may use, with its kind where that is known."""
    found = dict.fromkeys(columns(settings), expressions.UNKNOWN)
    for name, expression in settings.derived.items():
        try:
            found[name] = expressions.check(expression, found, f"derived.{name}")
        except expressions.ExpressionError:  # reported where derived columns are checked
            found[name] = expressions.UNKNOWN
    return found


def problems(settings: Configuration, name: str) -> Iterator[str]:
    """Yield what is wrong with the variation *name*."""
    variation, place = settings.variations[name], f"variations.{name}"
    if name in (settings.fit.poi, "nominal", "lumi") and variation.kind != "luminosity":
        yield f"{place}: the name {name!r} is reserved; choose another"
    for other in settings.variations:
        if name in (f"{other}_up", f"{other}_down"):
            yield f"{place}: the name is taken by a direction of {other!r}; choose another"
    for process in variation.processes or ():
        if process not in settings.processes:
            yield f"{place}.processes: no process {process!r}; {suggest(process, settings.processes)}"
    for region in variation.regions or ():
        if region not in settings.regions:
            yield f"{place}.regions: no region {region!r}; {suggest(region, settings.regions)}"
    yield from names.duplicates(variation.decorrelate, f"{place}.decorrelate")
    yield from _OF_KIND.get(variation.kind, _nothing)(settings, place, variation)


def _nothing(settings: Configuration, place: str, variation: Any) -> Iterator[str]:  # noqa: ARG001
    """Yield nothing: such a variation is right by itself."""
    yield from ()


def _per_cent(place: str, size: float, most: float) -> Iterator[str]:
    """Yield what is wrong with a relative *size* of *most* or above: mostly it was meant in per cent."""
    if size >= most:
        yield f"{place}.size: {size:g} is {100 * size:g} %, too much for a prior; write {size / 100:g} for {size:g} %"


def _rate(settings: Configuration, place: str, rate: Rate) -> Iterator[str]:  # noqa: ARG001
    for problem in _per_cent(place, max(rate.size) if isinstance(rate.size, tuple) else rate.size, LARGEST):
        yield f"{problem}, or make it kind: free_rate"
    if rate.size == (0, 0):
        yield f"{place}.size: neither side changes anything; give relative changes such as [0.05, -0.07], or remove it"


def _luminosity(settings: Configuration, place: str, luminosity: Luminosity) -> Iterator[str]:
    yield from _per_cent(place, luminosity.size, 1.0)
    if luminosity.decorrelate:
        yield f"{place}.decorrelate: a workspace has one luminosity parameter; make this one kind: rate"
    first = next(name for name, other in settings.variations.items() if other.kind == "luminosity")
    if place != f"variations.{first}":
        yield f"{place}: there is a luminosity variation already, {first!r}; make this one kind: rate"


def _free_rate(settings: Configuration, place: str, rate: FreeRate) -> Iterator[str]:
    if not rate.bounds[0] < 1 < rate.bounds[1]:
        yield f"{place}.bounds: must contain 1, where the fit starts"
    signals = [key for key, process in settings.processes.items() if process.role == "signal"]
    if rate.processes is None or any(process in signals for process in rate.processes):
        yield f"{place}.processes: name backgrounds only; the rate of the signal is what the fit measures"


def _weight(settings: Configuration, place: str, weight: Weight) -> Iterator[str]:
    if (weight.factor is None) == (weight.up is None):
        yield f"{place}: give either 'factor' (over columns and z) or 'up' (and 'down')"
    available = all_columns(settings)
    yield from expression_problems(weight.factor, available | {"z": expressions.UNKNOWN}, f"{place}.factor")
    yield from expression_problems(weight.up, available, f"{place}.up")
    yield from expression_problems(weight.down, available, f"{place}.down")
    yield from factors.problems(weight, place)
    for side in weight.sides:
        for sample in getattr(weight, side):
            if sample not in settings.samples:
                yield f"{place}.{side}: no sample {sample!r}; {suggest(sample, settings.samples)}"


def _weight_set(settings: Configuration, place: str, chosen: WeightSet) -> Iterator[str]:
    if isinstance(chosen.members, str):
        yield from _pattern(settings, place, chosen)
    elif chosen.number is not None and chosen.number != len(chosen.members):
        yield f"{place}.number: says {chosen.number} members, but {len(chosen.members)} are listed; leave it out"
    number, least = len(chosen.expressions), 1 if chosen.combine == "symmetric_hessian" else 2
    if number < least:
        yield f"{place}.members: {number} of them; {chosen.combine!r} needs at least {least}"
    if chosen.combine == "hessian" and number % 2:
        yield f"{place}.members: {number} of them, but a hessian set has pairs; is one missing, or the central one in?"
    available = all_columns(settings)
    yield from expression_problems(chosen.central, available, f"{place}.central")
    for index, expression in enumerate(chosen.expressions):
        yield from expression_problems(expression, available, f"{place}.members.{index}")
        if not any(factors.uses(expression, column) for column in available):
            yield f"{place}.members.{index}: {expression!r} uses no column, so that it is the same for all events"


def _pattern(settings: Configuration, place: str, chosen: WeightSet) -> Iterator[str]:
    """Yield what is wrong with columns that count: the number of those that exist must be the one declared."""
    pattern = str(chosen.members)
    if pattern.count("{}") != 1 or chosen.number is None:
        yield f"{place}.members: columns that count are 'pdf_{{}}' together with 'number'; or give a list"
        return
    expected = {pattern.replace("{}", str(chosen.first + index)) for index in range(chosen.number)}
    shape = re.compile(re.escape(pattern).replace(r"\{\}", "[0-9]+"))
    found = {name for name in all_columns(settings) if shape.fullmatch(name) and name != chosen.central}
    if found != expected:
        odd = sorted(found ^ expected, key=lambda name: (len(name), name))[0]
        yield (
            f"{place}.number: says {chosen.number} members from {chosen.first} on, but the data set has {len(found)} "
            f"such columns (first difference: {odd!r}); correct 'number', 'first', 'central' or dataset.columns"
        )


def _two_point(settings: Configuration, place: str, chosen: TwoPoint) -> Iterator[str]:
    sides = [(side, sample) for side in ("up", "down", "held_out") for sample in getattr(chosen, side)]
    known = [(side, sample) for side, sample in sides if sample in settings.samples]
    for side, sample in sides:
        if sample not in settings.samples:
            yield f"{place}.{side}: no sample {sample!r}; {suggest(sample, settings.samples)}"
        elif (owner := settings.alternatives[sample]) != (place.removeprefix("variations."), side):
            yield f"{place}.{side}: {sample!r} is an alternative of {owner[0]!r} ({owner[1]}) already; make another"
    yield from names.duplicates([sample for _, sample in sides], place)
    made = {side: {settings.samples[sample].process for other, sample in known if other == side} for side, _ in known}
    if "data" in set().union(*made.values()):
        yield f"{place}: an alternative stands for a simulated process, not for data"
    acting = made.get("up")
    if acting is None:
        return
    for side in ("down", "held_out"):
        if made.get(side, acting) != acting:
            yield f"{place}.{side}: must be samples of the same processes as 'up': {', '.join(sorted(acting))}"
    if chosen.processes is not None and set(chosen.processes) != acting:
        yield f"{place}.processes: they are those of the samples, {', '.join(sorted(acting))}; leave it out"


def template_problems(settings: Configuration) -> Iterator[str]:
    """Yield variations without a shape that ``templates`` would smooth or symmetrise."""
    for section in ("symmetrise", "smooth"):
        for name in getattr(settings.templates, section):
            chosen = settings.variations.get(name)
            if chosen is not None and chosen.kind in ("rate", "free_rate", "luminosity"):
                yield (
                    f"templates.{section}: {name!r} is of kind {chosen.kind!r}, which has no template that could be "
                    "changed; remove it"
                )


def combination_problems(settings: Configuration) -> Iterator[str]:
    """Yield variations that other parts of the configuration would leave out, or get wrong, without a word."""
    yield from template_problems(settings)
    conditional = [name for name, training in settings.trainings.items() if training.strategy == "conditional"]
    for name, variation in settings.variations.items():
        of_sets = variation.kind in ("two_point", "weight_set")
        others = isinstance(variation, Weight) and bool(variation.alternatives)
        partly = len(points.acting(settings, name)) < len(settings.regions)
        if conditional and (of_sets or partly or others):
            yield (
                f"variations.{name}: training {conditional[0]!r} scores the nominal samples again at every z, and "
                "knows neither other samples, nor sets of weights, nor variations of some regions; leave one out"
            )
        kept = getattr(variation, "acceptance", "kept") == "kept"
        if settings.toys.bootstrap is not None and (of_sets or partly or variation.decorrelate or not kept):
            yield (
                f"variations.{name}: toys.bootstrap draws one z for all processes and regions and moves events by it, "
                "at their own acceptance; this variation is none of that kind: remove toys.bootstrap, or change it"
            )
        if of_sets and settings.tune:
            yield f"variations.{name}: the trials of 'tune' cannot judge variations of kind {variation.kind!r}"


def parameter_problems(settings: Configuration) -> Iterator[str]:
    """Yield nuisance parameters that two variations, or others in the fit, have: they would be one in the fit."""
    owners = {settings.fit.poi: "the parameters of interest (fit.poi)"}
    if settings.fit.mc_statistics:
        owners |= {f"{STATISTICS}_{region}": f"the MC statistics in region {region!r}" for region in settings.regions}
    if settings.fit.poi in (name for name in owners if name.startswith(f"{STATISTICS}_")):
        yield f"fit.poi: {settings.fit.poi!r} is the name of {owners[settings.fit.poi]}; choose another"
    for name in settings.variations:
        for parameter in points.parameters(settings, name):
            if (other := owners.setdefault(parameter, repr(name))) != repr(name) and name != settings.fit.poi:
                yield f"variations.{name}: its nuisance parameter {parameter!r} is one of {other} too; rename one"
        yield from _ambiguous(settings, name)


def _ambiguous(settings: Configuration, name: str) -> Iterator[str]:
    """Yield nuisance parameters of a decorrelated variation that two pairs of process and region would share."""
    chosen, known = settings.variations[name], points.parts(settings)
    if set(chosen.decorrelate) != {"process", "region"}:
        return
    for parameter, acting in points.acting_on(settings, name).items():
        pairs = {(points.owner_of(process, known, chosen.processes), region) for process, region in acting}
        if len(pairs) > 1 and chosen.kind != "luminosity":
            listed = " and ".join(f"of process {process!r} in region {region!r}" for process, region in sorted(pairs))
            yield (
                f"variations.{name}.decorrelate: the nuisance parameters {listed} would both be called {parameter!r}, "
                "and be one; rename a process or a region"
            )


def _shift(settings: Configuration, place: str, shift: Shift) -> Iterator[str]:
    known = datasets.of(settings.dataset).SHIFTS
    if (shift.shift is None) == (shift.columns is None):
        yield f"{place}: give either 'shift' (one of {', '.join(known) or 'none for this data set'}) or 'columns'"
    if shift.shift is not None:
        if shift.shift not in known:
            yield f"{place}.shift: no shift {shift.shift!r}; {suggest(shift.shift, known)}"
        if shift.size is None:
            yield f"{place}.size: is required: the prior standard deviation"
    if shift.columns is not None and settings.dataset.kind == "nanoaod":
        yield f"{place}.columns: columns follow from objects, which 'shift' changes: name one of dataset.shifts"
        return
    available = columns(settings)
    raw = [*getattr(settings.dataset, "columns", ()), *datasets.MODULES[settings.dataset.kind].COLUMNS]
    for column, expression in (shift.columns or {}).items():
        if column not in raw:
            hint = suggest(column, raw)
            yield f"{place}.columns.{column}: no such raw column; {hint} (derived ones follow by themselves)"
        yield from expression_problems(expression, [*available, "z"], f"{place}.columns.{column}")
        if not factors.uses(expression, "z"):
            remedy = f"write e.g. '{column} * (1 + 0.03 * z)'"
            yield f"{place}.columns.{column}: {expression!r} does not depend on z; {remedy}"


_OF_KIND: dict[str, Callable[[Configuration, str, Any], Iterator[str]]] = {
    "shift": _shift,
    "weight": _weight,
    "weight_set": _weight_set,
    "two_point": _two_point,
    "rate": _rate,
    "free_rate": _free_rate,
    "luminosity": _luminosity,
}
