"""Make pseudo-experiments of reserved events at random true values, and fit them with one training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nuisflow.inference import bootstrap, interval_scores
from nuisflow.learning import classifier as trainings
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.model import Model
from nuisflow.settings import configuration
from nuisflow.slices.bootstrap import BootstrapSettings
from nuisflow.slices.training import Scoring
from nuisflow.storage import files, logs


def bootstrap_experiments(
    ingested: Mapping[str, Path],
    model: Path,
    templates: Path,
    workspace: Path,
    *,
    experiments: Path,
    summary: Path,
    settings: dict[str, Any],
    dask: dict[str, Any],
    device: str = "auto",
) -> None:
    """Draw from the *ingested* events of every sample, score, bin and fit; write each experiment and the scores."""
    chosen = BootstrapSettings.model_validate(settings)
    where = trainings.device(device)
    classifier = Classifier.load(model).to(where)
    classifier.check(Scoring(features=chosen.events.features, folds=chosen.folds))
    fitted = Model(files.read_json(workspace))
    filler = bootstrap.filler(classifier, files.read_histograms(templates), fitted, chosen.events, where)
    data = bootstrap.fill(ingested, filler, chosen, configuration.Dask.model_validate(dask))
    table = bootstrap.table(chosen, bootstrap.measure(fitted, data[1:], chosen.poi))
    expected = {"expectation": bootstrap.expectation(fitted, data[0], chosen.poi)}
    files.write_table(experiments, table)
    files.write_json(summary, interval_scores.summary(bootstrap.scored(table)) | expected)


if __name__ == "__main__":
    with logs.job(snakemake):
        bootstrap_experiments(
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            *(Path(getattr(snakemake.input, name)) for name in ("model", "templates", "workspace")),
            experiments=Path(snakemake.output.experiments),
            summary=Path(snakemake.output.summary),
            settings=snakemake.params.settings,
            dask=snakemake.config.get("dask", {}),
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
