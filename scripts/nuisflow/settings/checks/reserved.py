"""Check names that mean something else already: in expressions, in tables of events, in the fit, in the report."""

import keyword
from collections.abc import Iterator

from nuisflow.expressions import CONSTANTS
from nuisflow.settings.configuration import Configuration
from nuisflow.settings.systematics import Shift, Weight, WeightSet

_GROUPS = {
    "": "the total",
    "statistics": "the statistical part",
    "MC statistics": "the size of the simulation",
    "normalisations": "the rates without a prior",
    "epistemic": "the spread between members of a training",
}
_PROCESSES = {"data": "collision data; give it as the process of a sample only", "total": "the sum of all processes"}
_TABLE = ("training", "seeds", "source")


def problems(settings: Configuration) -> Iterator[str]:
    """Yield names that would be taken for something else, one line each."""
    yield from _column_problems(settings)
    for index, feature in enumerate(settings.features):
        for name, variation in settings.variations.items():
            if isinstance(variation, Weight | WeightSet) and feature.startswith(f"factor_{name}_"):
                yield f"features.{index}: {feature!r} is what the weights of variations.{name} are called; rename it"
    for name, meaning in _PROCESSES.items():
        if name in settings.processes:
            yield f"processes.{name}: {name!r} is reserved for {meaning}"
    for name, variation in settings.variations.items():
        if (meaning := _GROUPS.get(variation.group, "")) and variation.group in _GROUPS:
            yield f"variations.{name}.group: {variation.group!r} is reserved for {meaning}; choose another"
    for name in settings.scenarios:
        if name in _TABLE:
            yield f"scenarios.{name}: the table of scenarios has a column {name!r} already; choose another name"


def _column_problems(settings: Configuration) -> Iterator[str]:
    """Yield columns of the user whose names mean something else in expressions, or that we make ourselves."""
    columns = {name: f"derived.{name}" for name in settings.derived}
    for section in ("columns", "branches", "generated"):
        columns |= dict.fromkeys(getattr(settings.dataset, section, ()), f"dataset.{section}")
    over_z = [name for name, variation in settings.variations.items() if _is_over_z(variation)]
    taken = {"entry": "is the number of the row in its sample"}
    taken["score"] = "is the output of the training, as the observable of a region"
    taken |= dict.fromkeys(CONSTANTS, "is a constant in expressions")
    taken |= dict.fromkeys(keyword.kwlist, "is a word of the language of expressions")
    if over_z:
        taken["z"] = f"is the nuisance parameter in the expressions of variations.{over_z[0]}"
    for paths in (sample.ratios for sample in settings.samples.values()):
        names = [path.split("/")[-2] for path in paths]
        taken |= {f"ratio_{name}": f"is what variations.{name} makes (reweight)" for name in names}
    for name in sorted(taken.keys() & columns.keys()):
        yield f"{columns[name]}: a column {name!r} cannot be used: {name!r} {taken[name]}; rename the column"


def _is_over_z(variation: object) -> bool:
    """Tell whether *variation* has an expression over columns and z."""
    if isinstance(variation, Shift):
        return variation.columns is not None
    return isinstance(variation, Weight) and variation.factor is not None
