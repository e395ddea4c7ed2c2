"""Options of trainings that are chosen by trials: what may be tried, and what the trials depend on."""

from collections.abc import Iterator
from typing import Any

import pydantic

from nuisflow import names, strategies
from nuisflow.settings import points
from nuisflow.settings.configuration import Configuration, Range, Tuning
from nuisflow.settings.sections import Section
from nuisflow.settings.systematics import Variation
from nuisflow.strategies.strategy import Strategy

_FIXED = ("strategy", "label", "variations", "hidden", "calibrate")


class Study(Section):
    """Slice of tune_training, besides what the training itself depends on: the trials, and what is measured.

    *variations*: all of the analysis that act where the observable is the score; *bins*: of the histogram
    whose expected uncertainty is compared.
    """

    tuning: Tuning
    variations: dict[str, Variation]
    bins: int


def study(settings: Configuration, training: str) -> Study:
    """Return what the trials of *training* depend on."""
    binning = settings.templates.binning
    unlabelled = {"label": None, "group": "other"}
    scored = {name for name, region in settings.regions.items() if region.observable == "score"}
    return Study(
        tuning=settings.tune[training],
        variations={
            name: known.model_copy(update=unlabelled)
            for name, known in settings.variations.items()
            if scored.intersection(points.acting(settings, name))
        },
        bins=len(binning.edges) - 1 if binning.rule == "edges" else binning.number,
    )


def tried(strategy: Strategy, options: dict[str, Any]) -> Strategy:
    """Return *strategy* with *options* in place of its own; raise pydantic.ValidationError where one is not allowed."""
    return strategies.read(strategy.model_dump(mode="json") | options)


def whole(strategy: Strategy, name: str, choice: Range) -> bool:
    """Return whether the option *name* takes whole numbers only."""
    try:
        tried(strategy, {name: int(choice.low) + 0.5})
    except pydantic.ValidationError as error:
        return any(problem["type"] == "int_from_float" for problem in error.errors())
    return False


def problems(settings: Configuration) -> Iterator[str]:
    """Yield what does not agree, one line each."""
    for training, tuning in settings.tune.items():
        if training not in settings.trainings:
            yield f"tune.{training}: no training {training!r}; {names.suggest(training, settings.trainings)}"
            continue
        strategy = settings.trainings[training]
        known = [name for name in type(strategy).model_fields if name not in _FIXED]
        for name, choice in tuning.options.items():
            place = f"tune.{training}.options.{name}"
            if name not in known:
                yield f"{place}: no option of the strategy {strategy.strategy!r}; {names.suggest(name, known)}"
                continue
            if isinstance(choice, Range) and not choice.low < choice.high:
                yield f"{place}: low ({choice.low:g}) must be below high ({choice.high:g})"
            if isinstance(choice, Range) and choice.log and choice.low <= 0:
                yield f"{place}: log needs low above 0, not {choice.low:g}"
            ends = (choice.low, choice.high) if isinstance(choice, Range) else choice
            for value in ends:
                yield from _refused(strategy, name, value, place)


def _refused(strategy: Strategy, name: str, value: Any, place: str) -> Iterator[str]:
    """Yield a line if the option *name* cannot be *value*."""
    try:
        changed = tried(strategy, {name: value})
    except pydantic.ValidationError as error:
        yield f"{place}: {value!r}: {error.errors()[0]['msg']}"
        return
    if (changed.classes, changed.members) != (strategy.classes, strategy.members):
        yield f"{place}: it changes the bins or members of the score, which all networks must share; leave it out"
