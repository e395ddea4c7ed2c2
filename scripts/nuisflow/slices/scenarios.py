"""What expected uncertainties in scenarios, those beside them, and the question "what if?" depend on."""

from collections.abc import Mapping, Sequence
from typing import Any

from nuisflow.settings import conditional, points, unbinned
from nuisflow.settings.configuration import Configuration, Dataset
from nuisflow.settings.scenarios import Published, Scenario
from nuisflow.settings.sections import Section
from nuisflow.settings.systematics import FreeRate, Luminosity, Rate, Shift


class Floating(Section):
    """A nuisance parameter that may float in scenarios, of a *variation*: where its derivative comes from.

    *acting*: the processes and regions on which it acts. *size*: relative change of their yields per unit of a rate,
    exactly known; *slope*: that change per unit of the parameter in likelihoods. Else events at
    +-*z*, the templates *up* and *down* of the file of displaced points or of that of the templates.
    """

    variation: str
    acting: tuple[tuple[str, str], ...]
    size: float | None
    slope: float = 1.0
    up: str = ""
    down: str = ""
    z: float = 1.0
    displaced: bool = False


class ScenarioSettings(Section):
    """Slice of compute_scenarios; *shifts* maps variations to shifts of the data set and their sizes.

    *parameters* and *scenarios*: by nuisance parameters, of which a decorrelated variation has several.
    *whole*: whether one region holds all events that are simulated.
    """

    processes: tuple[str, ...]
    signal: str
    whole: bool
    parameters: dict[str, Floating]
    scenarios: dict[str, Scenario]
    trainings: tuple[str, ...]
    published: Published | None
    dataset: Dataset
    expected: dict[str, float]
    shifts: dict[str, tuple[str, float]]
    seed: int


def slice_of(settings: Configuration) -> ScenarioSettings:
    """Return what compute_scenarios depends on: variations that never float are left out."""
    named = {name for chosen in settings.scenarios.values() for name in (*chosen.free, *chosen.constrained)}
    floating = {name: chosen for name, chosen in settings.variations.items() if name in named}
    parameters = {name: _parameters(settings, name) for name in floating}
    expected = dict.fromkeys(settings.processes, 0.0)
    for sample in settings.samples.values():
        if sample.process in expected:
            expected[sample.process] += sample.expected or 0.0
    return ScenarioSettings(
        processes=tuple(settings.processes),
        signal=settings.signal,
        whole=_is_whole(settings),
        parameters={name: found for of_variation in parameters.values() for name, found in of_variation.items()},
        scenarios={
            name: Scenario(
                free=_floating(chosen.free, parameters), constrained=_floating(chosen.constrained, parameters)
            )
            for name, chosen in settings.scenarios.items()
        },
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


def _is_whole(settings: Configuration) -> bool:
    """Return whether all simulated events are in the one region there is."""
    samples = settings.samples.values()
    chosen = any(region.selection for region in settings.regions.values()) or any(s.selection for s in samples)
    return len(settings.regions) == 1 and not chosen and not any(s.variant for s in samples)


def _floating(names: Sequence[str], parameters: Mapping[str, Mapping[str, Floating]]) -> tuple[str, ...]:
    """Return the nuisance parameters of variations."""
    return tuple(parameter for name in names for parameter in parameters[name])


def _parameters(settings: Configuration, name: str) -> dict[str, Floating]:
    """Return the parameters of a variation; derivatives are between the two closest points at the same distance."""
    chosen = settings.variations[name]
    source: dict[str, Any]
    match chosen:
        case Rate():
            slope = chosen.slope
            source = {"size": chosen.size if isinstance(chosen.size, float) else slope, "slope": slope}
        case Luminosity():
            source = {"size": chosen.size}  # its parameter is the factor itself
        case FreeRate():
            source = {"size": 1.0}
        case _:
            up, down, z = points.symmetric(settings)
            source = {"size": None, "up": f"{name}_{up}", "down": f"{name}_{down}", "z": z}
            source["displaced"] = up not in points.STANDARD
    return {
        parameter: Floating(variation=name, acting=acting, **source)
        for parameter, acting in points.acting_on(settings, name).items()
    }


def are_displaced(settings: Configuration) -> bool:
    """Return whether derivatives are taken between displaced points, not between templates."""
    return any(varied.displaced for varied in slice_of(settings).parameters.values())


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


class WhatIfSettings(Section):
    """Slice of compute_what_if; *sources*: the parameters of every variation that has a prior."""

    trainings: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]


def what_if(settings: Configuration) -> WhatIfSettings:
    """Return what compute_what_if depends on."""
    return WhatIfSettings(
        trainings=tuple(settings.trainings),
        sources={
            name: tuple(points.parameters(settings, name))
            for name, chosen in settings.variations.items()
            if chosen.kind != "free_rate"
        },
    )


def likelihood(settings: Configuration, training: str) -> str:
    """Return the file that describes the likelihood of a training."""
    if training in conditional.trainings(settings):
        return "workspaces.json"
    return "densities.json" if training in unbinned.trainings(settings) else "workspace.json"
