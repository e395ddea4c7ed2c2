"""Make pseudo-experiments of reserved events at random true values, and fit them with one training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow import bootstraps, configuration, files, interval_scores, likelihood, logs, pseudo_experiments, slices
from nuisflow import training as trainings


def bootstrap_experiments(
    raw: Mapping[str, Sequence[Path]],
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
    """Draw events of the *raw* files of every sample, score, bin and fit them; write each experiment and the scores."""
    chosen = bootstraps.BootstrapSettings.model_validate(settings)
    where = trainings.device(device)
    classifier = trainings.Classifier.load(model).to(where)
    classifier.check(slices.Scoring(features=chosen.events.features, folds=chosen.folds))
    fitted = likelihood.Model(files.read_json(workspace))
    filler = pseudo_experiments.filler(classifier, files.read_histograms(templates), fitted, chosen.events, where)
    data = pseudo_experiments.fill(raw, filler, chosen, configuration.Dask.model_validate(dask))
    table = pseudo_experiments.table(chosen, pseudo_experiments.measure(fitted, data[1:], chosen.poi))
    expected = {"expectation": pseudo_experiments.expectation(fitted, data[0], chosen.poi)}
    files.write_table(experiments, table)
    files.write_json(summary, interval_scores.summary(pseudo_experiments.scored(table)) | expected)


if __name__ == "__main__":
    with logs.job(snakemake):
        bootstrap_experiments(
            files.by_sample(snakemake.input.raw, snakemake.params.files),
            *(Path(getattr(snakemake.input, name)) for name in ("model", "templates", "workspace")),
            experiments=Path(snakemake.output.experiments),
            summary=Path(snakemake.output.summary),
            settings=snakemake.params.settings,
            dask=snakemake.config.get("dask", {}),
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
