"""Fill, build and fit with a part of the events: what one training that is scored at every z would measure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.conditional import hypotheses, studies
from nuisflow.learning import classifier
from nuisflow.slices.studies import ConditionalSize
from nuisflow.storage import files, logs
from nuisflow.templates import conditional


def measure_conditional(
    model: Path,
    templates: Path,
    events: Sequence[Path],
    workspaces: Path,
    measured: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *workspaces* at every z of *events* in the bins of *templates*, and what they would measure."""
    torch.set_num_threads(1)  # jobs run side by side
    chosen = ConditionalSize.model_validate(settings)
    trained = classifier.read(model, device, chosen.rescoring.features, chosen.rescoring.folds)
    edges, score = conditional.edges(files.read_histograms(templates)), conditional.scorer(trained, chosen.grid)
    filled = conditional.fill_files(events, chosen.rescoring, edges, score)
    partial = bool(chosen.rescoring.used)
    whole = conditional.fill_files(events, conditional.whole(chosen.rescoring), edges, score) if partial else filled
    files.write_json(measured, studies.measure(filled, whole, chosen))
    files.write_json(workspaces, hypotheses.described(filled.histograms, chosen.grid, chosen.workspace, {}))


if __name__ == "__main__":
    with logs.job(snakemake):
        measure_conditional(
            *(Path(snakemake.input[name]) for name in ("model", "templates")),
            [Path(path) for path in snakemake.input.events],
            *(Path(snakemake.output[name]) for name in ("workspaces", "measured")),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
