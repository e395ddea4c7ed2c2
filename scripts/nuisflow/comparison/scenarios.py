"""Expected uncertainties of the parameter of interest while chosen nuisance parameters float, from the templates alone.

Fisher information of the nominal Asimov data (Poisson bins, Gaussian priors) without the statistics of the simulation,
as published for the benchmarks with known answers.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nuisflow.comparison.trainings import Run
from nuisflow.settings.scenarios import Scenario
from nuisflow.slices.scenarios import Floating, ScenarioSettings
from nuisflow.templates.histograms import NOMINAL, Histogram, content

COLUMNS = ("training", "seed", "scenario", "sigma", "sigma_events")
POI = ""
"""The key of the parameter of interest among derivatives: no variation has this name."""

logger = logging.getLogger(__name__)


class Expectation(NamedTuple):
    """Expected events per bin, and their derivatives by the parameter of interest and every nuisance parameter."""

    total: np.ndarray
    derivatives: dict[str, np.ndarray]


def table(
    filled: Mapping[Run, Mapping[str, Histogram]],
    displaced: Mapping[Run, Mapping[str, Histogram]],
    unbinned: Mapping[Run, Mapping[str, Any]],
    settings: ScenarioSettings,
) -> pd.DataFrame:
    """Return one row per training, seed and scenario with the uncertainty of the POI, and of the signal events.

    *unbinned*: what fits of likelihoods of single events found, in place of the information of their templates.
    """
    rows = []
    for run, histograms in filled.items():
        expected = expectation(histograms, displaced.get(run, {}), settings)
        events, names = expected.derivatives[POI].sum(), list(expected.derivatives)
        matrix = of_events(unbinned[run], names, settings) if run in unbinned else information(expected)
        for name, scenario in settings.scenarios.items():
            value = uncertainty(matrix, names, scenario)
            if np.isnan(value):
                logger.warning("%s (seed %d): scenario %s does not determine the signal", *run, name)
            rows.append((*run, name, value, value * events))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def expectation(
    histograms: Mapping[str, Histogram], displaced: Mapping[str, Histogram], settings: ScenarioSettings
) -> Expectation:
    """Return what is expected in the bins of all regions together.

    The derivative by a shift or weight is half the difference of the true expectations at the two points of its
    variation, divided by their z. That of a rate or the luminosity is its relative size: a normal, not a log-normal
    uncertainty, as published (of a rate with two sizes, the slope of its interpolation).
    """
    nominal = {process: _by_region(histograms, process) for process in settings.processes}
    derivatives = {POI: _joined(nominal[settings.signal])}
    for name, varied in settings.parameters.items():
        source = displaced if varied.displaced else histograms
        slopes = {region: np.zeros_like(values) for region, values in nominal[settings.signal].items()}
        for process, region in varied.acting:
            usual = nominal[process][region]
            slopes[region] += _slope(source[region], process, varied) if varied.size is None else varied.size * usual
        derivatives[name] = _joined(slopes)
    return Expectation(np.sum([_joined(bins) for bins in nominal.values()], axis=0), derivatives)


def _by_region(histograms: Mapping[str, Histogram], process: str) -> dict[str, np.ndarray]:
    """Return the nominal contents of the bins of every region."""
    return {region: content(histogram, process, NOMINAL).values for region, histogram in histograms.items()}


def _joined(bins: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the contents of the bins of all regions, one after the other."""
    joined: np.ndarray = np.concatenate(list(bins.values()))
    return joined


def _slope(histogram: Histogram, process: str, varied: Floating) -> np.ndarray:
    """Return half the difference of the templates of *process* at the two points, per unit of z."""
    up, down = (content(histogram, process, name).values for name in (varied.up, varied.down))
    slope: np.ndarray = (up - down) / (2 * varied.z)
    return slope


def information(expected: Expectation) -> np.ndarray:
    """Return the Fisher information of the Asimov data, in the order of the derivatives; empty bins have none."""
    filled = expected.total > 0
    slopes = np.array([values[filled] for values in expected.derivatives.values()])
    matrix: np.ndarray = (slopes / expected.total[filled]) @ slopes.T
    return matrix


def of_events(fit: Mapping[str, Any], names: Sequence[str], settings: ScenarioSettings) -> np.ndarray:
    """Return the Fisher information of a likelihood of single events, in the order of *names*.

    A parameter there moves yields by another slope than a normal rate: that of log-normal rates is ln(1 + size).
    """
    found = fit["information"]
    order = [0, *(found["names"].index(name) for name in names[1:])]
    chosen = [settings.parameters[name] for name in names[1:]]
    scale = np.array([1.0, *(1.0 if varied.size is None else varied.size / varied.slope for varied in chosen)])
    return np.asarray(np.array(found["matrix"])[np.ix_(order, order)] * np.outer(scale, scale))


def uncertainty(matrix: np.ndarray, names: Sequence[str], scenario: Scenario) -> float:
    """Return the standard deviation of the first parameter of the information *matrix*; nan if it is not determined.

    Parameters that *scenario* does not name are fixed; the priors of constrained ones have width 1.
    """
    order = list(names)
    used = [order.index(POI), *(order.index(name) for name in (*scenario.free, *scenario.constrained))]
    chosen = matrix[np.ix_(used, used)] + np.diag([0.0] * (1 + len(scenario.free)) + [1.0] * len(scenario.constrained))
    floating = np.flatnonzero(np.diag(chosen) > 0)  # a free parameter without any effect does not matter
    chosen = chosen[np.ix_(floating, floating)]
    if floating[:1] != [0] or np.linalg.cond(chosen) > 1 / np.finfo(float).eps:
        return np.nan
    return float(np.sqrt(np.linalg.inv(chosen)[0, 0]))


def summary(found: pd.DataFrame, references: Sequence[Mapping[str, Any]], settings: ScenarioSettings) -> Any:
    """Return medians over seeds, one row per training and one column per scenario, and then the *references*.

    Uncertainties are of the signal events where the published ones are, else of the parameter of interest.
    """
    column = value_column(settings)
    medians = found.pivot_table(column, "training", "scenario", "median", sort=False, dropna=False)
    seeds = found.groupby("training")["seed"].nunique()
    rows: list[dict[str, Any]] = [
        {"training": name} | {key: medians.loc[name, key] for key in settings.scenarios} | {"seeds": int(seeds[name])}
        for name in settings.trainings
        if name in medians.index
    ]
    return pd.DataFrame([*rows, *references], columns=["training", *settings.scenarios, "seeds"])


def value_column(settings: ScenarioSettings) -> str:
    """Return the column of the table that is compared with published values."""
    in_events = settings.published is not None and settings.published.in_events
    return "sigma_events" if in_events else "sigma"
