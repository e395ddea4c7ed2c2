"""Find what every training would measure if priors, luminosity or simulation were others; refit at some places."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import trainings, what_if
from nuisflow.inference import what_if as information
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress
from nuisflow.slices.scenarios import WhatIfSettings
from nuisflow.storage import files, logs


def compute_what_if(
    fits: Sequence[Path],
    likelihoods: Sequence[Path],
    content: Path,
    table: Path,
    *,
    settings: dict[str, Any],
) -> None:
    """Write *content*, the information of all trainings for the page, and *table*, exact refits beside it.

    *likelihoods*: of every run its workspace, its workspaces over hypothesised z, or the description of its densities.
    """
    chosen = WhatIfSettings.model_validate(settings)
    own, order = trainings.by_run(likelihoods), list(chosen.trainings)
    runs = {}
    for run, path in progress(trainings.by_run(fits).items(), "information", len(fits)):
        fit = files.read_json(path)
        if fit["asimov"]["converged"]:
            runs[run] = _fitted(fit, files.read_json(own[run]))
    runs = {run: runs[run] for run in sorted(runs, key=lambda run: (order.index(run.training), run.seed))}
    sources = what_if.chosen(runs, chosen.sources)
    files.write_table(table, what_if.table(runs, sources))
    files.write_json(content, what_if.content(runs, sources))


def _fitted(fit: dict[str, Any], likelihood: dict[str, Any]) -> what_if.Fitted:
    """Return one run, whatever its likelihood is."""
    asimov = fit["asimov"]
    if "information" in fit:
        return what_if.Fitted(asimov["sigma"], information.of_events(likelihood, fit), None)
    if "grid" in likelihood:
        nominal = list(likelihood["grid"].values()).index(0.0)
        model = Model(likelihood["workspaces"][nominal])
        return what_if.Fitted(asimov["sigma"], information.of_covariance(model, asimov), None)
    return what_if.Fitted(asimov["sigma"], information.of_workspace(Model(likelihood)), likelihood)


if __name__ == "__main__":
    with logs.job(snakemake):
        compute_what_if(
            [Path(path) for path in snakemake.input.fits],
            [Path(path) for path in snakemake.input.likelihoods],
            Path(snakemake.output.content),
            Path(snakemake.output.table),
            settings=snakemake.params.settings,
        )
