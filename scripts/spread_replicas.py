"""Fit the same expected data with trainings on bootstrap replicas of the simulation: its statistical uncertainty."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned import learned
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.learning import classifier as training
from nuisflow.progress import progress
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import files, logs
from nuisflow.templates.unbinned import checks, evaluation


def spread_replicas(
    models: Sequence[Path], templates: Path, events: Sequence[Path], table: Path, *, settings: dict[str, Any],
    device: str = "auto",
) -> None:  # fmt: skip
    """Write one row per replica with the best fit to the expected data of the whole simulation into *table*.

    The likelihood of replica k (from 1, the order of *models*) has networks, yields and mean responses of its events.
    """
    torch.set_num_threads(1)  # jobs run side by side
    chosen = UnbinnedFilling.model_validate(settings)
    histograms, paths, rows = files.read_histograms(templates), evaluation.needed(events, chosen), []
    for replica, path in enumerate(progress(models, "replicas", len(models)), 1):
        classifier = training.read(path, device, chosen.features, chosen.folds)
        with checks.named(f"{templates.parent.parent.name}, replica {replica}"):
            scratch = Scratch(table.parent)
            model, simulated = learned.likelihood(classifier, paths, histograms, chosen, scratch, replica=replica)
        best = model.fit(experiments.asimov(model, simulated))
        rows.append({"replica": replica, "converged": best.converged} | dict(zip(best.names, best.values, strict=True)))
    files.write_rows(table, rows)


if __name__ == "__main__":
    with logs.job(snakemake):
        spread_replicas(
            [Path(path) for path in snakemake.input.models],
            Path(snakemake.input.templates),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.output.replicas),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
