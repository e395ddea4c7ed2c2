"""Find the signal strength that every member of one training's classifier sees in the same expected events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference import spreads
from nuisflow.learning import classifier
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import Filling
from nuisflow.storage import files, logs


def spread_members(
    model: Path,
    events: Sequence[Path],
    templates: Path,
    workspace: Path,
    output: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Compare the answers of all members in the nominal *events* of all simulated samples; write one row per member."""
    torch.set_num_threads(1)
    trained = classifier.Classifier.load(model).to(classifier.device(device))
    chosen, histograms = Filling.model_validate(settings), files.read_histograms(templates)
    scored = spreads.score(trained, events, chosen)
    fitted = Model(files.read_json(workspace))
    files.write_table(output, spreads.table(fitted, scored, histograms, chosen))


if __name__ == "__main__":
    with logs.job(snakemake):
        spread_members(
            Path(snakemake.input.model),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.input.templates),
            Path(snakemake.input.workspace),
            Path(snakemake.output.members),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
