"""What the expected uncertainties in scenarios, and the exact and published ones beside them, depend on."""

from nuisflow.settings import points
from nuisflow.settings.configuration import Configuration, Dataset
from nuisflow.settings.scenarios import Published, Scenario
from nuisflow.settings.sections import Section
from nuisflow.settings.systematics import Rate, Shift


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
    if chosen.kind == "rate":
        return Floating(processes=processes, size=chosen.size if isinstance(chosen.size, float) else _slope(chosen))
    if chosen.kind == "luminosity":
        return Floating(processes=processes, size=chosen.size)
    if chosen.kind == "free_rate":
        return Floating(processes=processes, size=1.0)
    up, down, z = points.symmetric(settings)
    sides = {"up": f"{name}_{up}", "down": f"{name}_{down}"}
    return Floating(processes=processes, size=None, **sides, z=z, displaced=up not in points.STANDARD)


def _slope(rate: Rate) -> float:
    """Return the relative derivative of a rate at nominal: half of up minus down."""
    up, down = rate.sides
    return (up - down) / 2


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
