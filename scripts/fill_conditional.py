"""Score all events of one training at every hypothesised z and fill what the fit over z needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow import conditioning, files, logs, rescoring, slices, training


def fill_conditional(
    model: Path,
    templates: Path,
    events: Sequence[Path],
    output: Path,
    patterns: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Fill *events* in the bins of *templates*, scored at every z, into *output*, and *patterns* for toys."""
    torch.set_num_threads(1)  # jobs run side by side
    chosen, where = conditioning.Rescoring.model_validate(settings), training.device(device)
    classifier = training.Classifier.load(model).to(where)
    classifier.check(slices.Scoring(features=chosen.features, folds=chosen.folds))
    edges = rescoring.edges(files.read_histograms(templates))
    score = rescoring.scorer(classifier, chosen.grid, where)
    paths = rescoring.needed(events, chosen)
    moving = (
        part for path in logs.progress(paths, "files scored", len(paths))
        for part in rescoring.move(path, chosen, edges, score)
    )  # fmt: skip
    filled = rescoring.fill(moving, edges, chosen)
    files.write_table(patterns, filled.patterns)
    files.write_histograms(output, filled.histograms)


if __name__ == "__main__":
    with logs.job(snakemake):
        fill_conditional(
            Path(snakemake.input.model),
            Path(snakemake.input.templates),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.output.conditional),
            Path(snakemake.output.patterns),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
