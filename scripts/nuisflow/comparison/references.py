"""What is best possible where the densities are known: the likelihood of all events, and the binned optimal classifier.

The same sets of floating parameters as `scenarios`, with Monte Carlo events of its own in place of templates.
"""

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from nuisflow import datasets, seeds
from nuisflow.comparison import scenarios
from nuisflow.slices.scenarios import Floating, ScenarioSettings
from nuisflow.strategies.binning import Binning
from nuisflow.templates import binning

Columns = dict[str, np.ndarray]

BLOCKS, BLOCK = 12, 200_000
"""Events per process of the integrals: 0.1 % on an uncertainty without bins, 0.5 % with bins."""
BOUND = "Analytic likelihood"
"""The row that nothing can beat."""
STEP = 1e-3
"""Half the distance, in prior standard deviations, over which densities are differentiated."""


class Truth(NamedTuple):
    """A data set with known densities, its expected events per process, and the size of its variations."""

    module: ModuleType
    signal: str
    expected: Mapping[str, float]
    parameters: Mapping[str, Floating]
    shifts: Mapping[str, tuple[str, float]]
    seed: int


def truth(settings: ScenarioSettings) -> Truth | None:
    """Return what is known of the data set of *settings*; None if it is not all that its scenarios need."""
    module = datasets.MODULES[settings.dataset.kind]
    known = all(one.size is not None or one.variation in settings.shifts for one in settings.parameters.values())
    if not hasattr(module, "log_density") or not known or not settings.whole:
        return None
    return Truth(module, settings.signal, settings.expected, settings.parameters, settings.shifts, settings.seed)


def rows(settings: ScenarioSettings) -> list[dict[str, Any]]:
    """Return one row per reference with the uncertainty in every scenario; none if the densities are not known.

    The bound by the likelihood of all events, and the optimal classifier in bins of the usual kinds.
    """
    known = truth(settings)
    if known is None:
        return []
    kinds = {
        f"Optimal classifier, {number} {rule} bins": Binning(rule=rule, number=number, minimum_events=0)
        for rule, number in (("uniform", 10), ("quantile", 10), ("quantile", 20))
    }
    found = {BOUND: unbinned(known)} | classified(known, kinds)
    scale = known.expected[known.signal] if scenarios.value_column(settings) == "sigma_events" else 1.0
    names = [scenarios.POI, *known.parameters]
    return [
        {"training": label, "seeds": 0}
        | {
            name: scale * scenarios.uncertainty(matrix, names, scenario)
            for name, scenario in settings.scenarios.items()
        }
        for label, matrix in found.items()
    ]


# --- the likelihood of all events -----------------------------------------------------------------------------------


def unbinned(known: Truth) -> np.ndarray:
    """Return the Fisher information of the extended likelihood of all events: of mu and then of the rest.

    The integral of d_a nu d_b nu / nu over events, with nu(x) the expected density, by Monte Carlo from an equal
    mixture of all processes.
    """
    total = np.zeros((1 + len(known.parameters),) * 2)
    for columns in _mixtures(known):
        densities = {process: np.exp(known.module.log_density(process, columns, {})) for process in known.expected}
        sampled = np.mean(list(densities.values()), axis=0)
        expected = np.sum([known.expected[process] * values for process, values in densities.items()], axis=0)
        slopes = np.array(list(_slopes(known, columns, densities)))
        total += (slopes / (expected * sampled)) @ slopes.T / expected.size
    return total / BLOCKS


def _mixtures(known: Truth) -> Iterator[Columns]:
    """Yield events, the same number of every process."""
    for block in range(BLOCKS):
        parts = [
            known.module.simulate(process, BLOCK, seeds.generator(known.seed, "references", process, str(block)))
            for process in known.expected
        ]
        yield {name: np.concatenate([part[name] for part in parts]).astype(float) for name in known.module.COLUMNS}


def _slopes(known: Truth, columns: Columns, densities: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the derivatives of the expected density by mu and by every nuisance parameter."""
    yield known.expected[known.signal] * densities[known.signal]
    for varied in known.parameters.values():
        slope = np.zeros_like(densities[known.signal])
        for process, _ in varied.acting:
            relative = varied.size if varied.size is not None else _score(known, process, columns, varied.variation)
            slope += known.expected[process] * densities[process] * relative
        yield slope


def _score(known: Truth, process: str, columns: Columns, variation: str) -> np.ndarray:
    """Return d ln p / dz of every event."""
    shift, size = known.shifts[variation]
    up, down = (known.module.log_density(process, columns, {shift: sign * STEP * size}) for sign in (1, -1))
    score: np.ndarray = (up - down) / (2 * STEP)
    return score


# --- the optimal classifier in bins ---------------------------------------------------------------------------------


def classified(known: Truth, kinds: Mapping[str, Binning]) -> dict[str, np.ndarray]:
    """Return the Fisher information, for every kind of binning, of the exact likelihood ratio as the score."""
    fine = binning.FINE_BINS
    counts = {process: _histogram(known, process, fine, {}) for process in known.expected}
    slopes = {name: _binned_slope(known, name, fine, counts) for name in known.parameters}
    signal = known.expected[known.signal] * counts[known.signal]
    total = np.sum([known.expected[process] * values for process, values in counts.items()], axis=0)
    found = {}
    for label, kind in kinds.items():
        if kind.rule == "uniform":
            edges = np.round(np.linspace(0, fine, kind.number + 1)).astype(int)
        else:
            edges = binning.quantiles(signal, total - signal, kind.number)
        grouped = {name: np.add.reduceat(part, edges[:-1]) for name, part in ({scenarios.POI: signal} | slopes).items()}
        found[label] = scenarios.information(scenarios.Expectation(np.add.reduceat(total, edges[:-1]), grouped))
    return found


def _binned_slope(known: Truth, parameter: str, bins: int, counts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the derivative by *parameter*: from events at the two points that the trainings use too."""
    varied = known.parameters[parameter]
    slope = np.zeros(bins)
    for process, _ in varied.acting:
        if varied.size is not None:
            slope += varied.size * known.expected[process] * counts[process]
        else:
            shift, size = known.shifts[varied.variation]
            up, down = (_histogram(known, process, bins, {shift: (sign * varied.z, size)}) for sign in (1, -1))
            slope += known.expected[process] * (up - down) / (2 * varied.z)
    return slope


def _histogram(known: Truth, process: str, bins: int, changes: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Return the shares of events of *process* in bins of the score s / (s + b), nominal or shifted."""
    counts = np.zeros(bins)
    for block in range(BLOCKS):
        generator = seeds.generator(known.seed, "references", process, str(block))
        columns = known.module.shift(known.module.simulate(process, BLOCK, generator), changes)
        index = np.minimum((_score_of(known, columns) * bins).astype(int), bins - 1)
        counts += np.bincount(index, minlength=bins)
    return counts / (BLOCKS * BLOCK)


def _score_of(known: Truth, columns: Columns) -> np.ndarray:
    """Return s / (s + b) of the densities, with the backgrounds in their expected mixture."""
    from scipy import special  # here: a fifth of a second

    densities = {process: known.module.log_density(process, columns, {}) for process in known.expected}
    others = [process for process in known.expected if process != known.signal]
    shares = np.array([known.expected[process] for process in others]) / sum(known.expected[p] for p in others)
    background = np.logaddexp.reduce([densities[p] + np.log(f) for p, f in zip(others, shares, strict=True)], axis=0)
    score: np.ndarray = special.expit(densities[known.signal] - background)
    return score
