"""Make pseudo-experiments of reserved events at random true values, and fit them with one training."""

import nuisflow  # noqa: F401, I001  first: it says with how many threads numpy multiplies

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nuisflow.inference import bootstrap, interval_scores
from nuisflow.inference.unbinned import reserved
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import classifier as trainings
from nuisflow.likelihood.model import Model
from nuisflow.settings import configuration
from nuisflow.slices.bootstrap import BootstrapSettings
from nuisflow.storage import files, logs
from nuisflow.strategies.unbinned import Unbinned


def bootstrap_experiments(
    ingested: Mapping[str, Path],
    model: Path,
    templates: Path,
    likelihood: Path,
    *,
    experiments: Path,
    summary: Path,
    settings: dict[str, Any],
    dask: dict[str, Any],
    device: str = "auto",
) -> None:
    """Draw from the *ingested* events of every sample, score, bin and fit; write each experiment and the scores.

    *likelihood*: the workspace, or the description of a likelihood of single events, which are not binned.
    """
    chosen = BootstrapSettings.model_validate(settings)
    classifier = trainings.read(model, device, chosen.events.features, chosen.folds)
    description, histograms = files.read_json(likelihood), files.read_histograms(templates)
    shared = configuration.Dask.model_validate(dask)
    if isinstance(classifier.strategy, Unbinned):
        events = UnbinnedModel(description)
        judge = reserved.judge(classifier, histograms, events, chosen.events)
        fitted = reserved.measure(ingested, judge, events, chosen, shared)
    else:
        model_of_bins = Model(description)
        filler = bootstrap.filler(classifier, histograms, model_of_bins, chosen.events)
        data = bootstrap.fill(ingested, filler, chosen, shared)
        parts = [bootstrap.measure(model_of_bins, rows, chosen.poi) for rows in (data[:1], data[1:])]
        fitted = pd.concat(parts, ignore_index=True)
    table = bootstrap.table(chosen, fitted.iloc[1:].reset_index(drop=True))
    expected = {"expectation": bootstrap.expectation(fitted)}
    files.write_table(experiments, table)
    files.write_json(summary, interval_scores.summary(bootstrap.scored(table)) | expected)


if __name__ == "__main__":
    with logs.job(snakemake):
        bootstrap_experiments(
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            *(Path(getattr(snakemake.input, name)) for name in ("model", "templates", "likelihood")),
            experiments=Path(snakemake.output.experiments),
            summary=Path(snakemake.output.summary),
            settings=snakemake.params.settings,
            dask=snakemake.config.get("dask", {}),
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
