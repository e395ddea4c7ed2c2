"""Score all events of one training at every hypothesised z and fill what the fit over z needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.learning import classifier
from nuisflow.slices.conditional import Rescoring
from nuisflow.storage import files, logs
from nuisflow.templates import conditional


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
    chosen = Rescoring.model_validate(settings)
    trained = classifier.read(model, device, chosen.features, chosen.folds)
    edges = conditional.edges(files.read_histograms(templates))
    score = conditional.scorer(trained, chosen.grid)
    filled = conditional.fill_files(events, chosen, edges, score)
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
