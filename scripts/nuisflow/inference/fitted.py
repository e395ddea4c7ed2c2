"""The fits of a likelihood to expected and observed data, and the files that they go to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nuisflow.likelihood import measurements
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.likelihoods import Data, Likelihood
from nuisflow.slices.inference import FitSettings
from nuisflow.storage import files
from nuisflow.templates import scarcity, shown
from nuisflow.templates.histograms import Histogram

Measure = Callable[[str, Data, FitResult], dict[str, Any]]


def write(
    asked: Mapping[str, tuple[Likelihood, Data]],
    measure: Measure,
    histograms: Mapping[str, Histogram],
    outputs: Mapping[str, Path],
    *,
    settings: FitSettings,
    further: Mapping[str, Any],
) -> None:
    """Fit every kind of data (*asked*: asimov, observed), and write *outputs* ``fit``, ``impacts`` and ``scan``.

    *measure* returns what is told of the best fit to one kind; *histograms*: templates, whose few simulated events are
    remarked upon; *further*: what else fit.json has.
    """
    results, impacts, scan = {}, list[dict[str, Any]](), list[dict[str, Any]]()
    for kind, (likelihood, one) in asked.items():
        best = likelihood.best(one)
        results[kind] = shown.merged_yields(measure(kind, one, best), histograms, settings.parts)
        impacts += measurements.impact_rows(likelihood, one, kind, best)
        scan += measurements.scan_rows(likelihood, one, kind, best)
    files.write_rows(outputs["impacts"], impacts)
    files.write_rows(outputs["scan"], scan)
    found: dict[str, Any] = {"asimov": results["asimov"], "observed": results.get("observed")}
    found |= {"simulation": scarcity.rows(histograms, settings.backgrounds), **further}
    files.write_json(outputs["fit"], found)
