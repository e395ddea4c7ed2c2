"""Fit one workspace: best fit, uncertainties by source, tests, pulls, impacts and the likelihood scan."""

import importlib
import sys
from pathlib import Path
from typing import Any

from nuisflow.likelihood import measurements
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import FitSettings
from nuisflow.storage import files, logs
from nuisflow.templates import scarcity, shown


def fit_workspace(
    workspace: Path, templates: Path, fit: Path, impacts: Path, scan: Path, *, settings: dict[str, Any]
) -> None:
    """Fit *workspace* to Asimov data, and to the observed data if they may be looked at."""
    chosen = FitSettings.model_validate(settings)
    model = Model(files.read_json(workspace))
    histograms = files.read_histograms(templates)
    edges = {name: histogram.axes["score"].edges for name, histogram in histograms.items()}
    kinds = ["asimov", "observed"] if chosen.observed else ["asimov"]
    options = {"goodness_toys": chosen.goodness_toys, "seed": chosen.seed}
    results = {kind: measurements.measure(model, kind, chosen.groups, edges, **options) for kind in kinds}
    results = {kind: shown.merged_yields(result, histograms, chosen.parts) for kind, result in results.items()}
    simulation = scarcity.rows(histograms, chosen.backgrounds)
    data = {kind: measurements.data_of(model, kind) for kind in kinds}
    files.write_rows(impacts, [row for kind in kinds for row in measurements.impact_rows(model, data[kind], kind)])
    files.write_rows(scan, [row for kind in kinds for row in measurements.scan_rows(model, data[kind], kind)])
    found = {"asimov": results["asimov"], "observed": results.get("observed"), "simulation": simulation}
    files.write_json(fit, found)


if __name__ == "__main__":
    if "snakemake" in globals():
        with logs.job(snakemake):
            fit_workspace(
                Path(snakemake.input.workspace),
                Path(snakemake.input.templates),
                Path(snakemake.output.fit),
                Path(snakemake.output.impacts),
                Path(snakemake.output.scan),
                settings=snakemake.params.settings,
            )
    else:
        # Loaded by name: what the rule makes does not depend on the commands, so neither does the hash of its code.
        sys.exit(importlib.import_module("nuisflow.__main__").main("fit_workspace.py"))
