"""Give every selected event its densities, as one training has learned them, and describe what they have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.unbinned import learned
from nuisflow.learning import classifier as training
from nuisflow.learning import scoring
from nuisflow.progress import progress
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import event_files, files, logs
from nuisflow.strategies.unbinned import Unbinned
from nuisflow.templates.unbinned import checks, evaluation


def fill_unbinned(
    model: Path,
    templates: Path,
    events: Sequence[Path],
    densities: Path,
    description: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *densities* of *events*, ``<variation>/<sample>.parquet``, and the *description* of what they share.

    *templates*: histograms of the regions whose observable is not the score.
    """
    torch.set_num_threads(1)  # jobs run side by side
    chosen = UnbinnedFilling.model_validate(settings)
    classifier = training.read(model, device, chosen.features, chosen.folds)
    strategy = classifier.strategy
    if not isinstance(strategy, Unbinned):
        raise scoring.TrainingError(f"{model}: of the strategy {strategy.strategy!r}, which has no densities")
    sums, paths = evaluation.Sums(strategy, chosen), evaluation.needed(events, chosen)
    folders, samples = list(chosen.thrown), list(chosen.samples)
    report = progress(paths, "files", len(paths))
    parts = evaluation.evaluate(report, classifier, chosen, sums)
    rows = (evaluation.columns(part, folders, samples) for part in parts)
    with checks.named(templates.parent.parent.name):
        event_files.write_event_parts(densities, rows, {"variation": folders, "sample": samples})
        histograms = files.read_histograms(templates)
        found = evaluation.describe(strategy, sums, histograms, chosen)
        files.write_json(description, learned.described(found, densities, histograms, chosen.samples))


if __name__ == "__main__":
    with logs.job(snakemake):
        fill_unbinned(
            Path(snakemake.input.model),
            Path(snakemake.input.templates),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.output.densities),
            Path(snakemake.output.description),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
