"""Separate what is aleatoric and what is epistemic of the uncertainty of single events, of trainings with members."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison.review import epistemic
from nuisflow.comparison.trainings import by_run
from nuisflow.progress import progress
from nuisflow.slices.classifiers import JudgementSettings
from nuisflow.storage import files, logs


def separate_uncertainty(
    models: Sequence[Path], events: Sequence[Path], table: Path, curves: Path, *, settings: dict[str, Any]
) -> None:
    """Write a row per run of *models* to *table*, and *curves* against score, distance and feature of the *events*."""
    from nuisflow.learning.classifier import Classifier

    chosen = JudgementSettings.model_validate(settings)
    taken = epistemic.taken({path.stem: path for path in events}, chosen)
    distance = epistemic.distances(taken, chosen)
    rows, found = [], []
    for run, path in progress(by_run(models).items(), "members", len(models)):
        row, curve = epistemic.judge(run, Classifier.load(path).to("cpu").member_scores, taken, distance, chosen)
        rows.append(row)
        found.append(curve)
    files.write_rows(table, rows)
    files.write_json(curves, found)


if __name__ == "__main__":
    with logs.job(snakemake):
        separate_uncertainty(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("models", "events")),
            Path(snakemake.output.table),
            Path(snakemake.output.curves),
            settings=snakemake.params.settings,
        )
