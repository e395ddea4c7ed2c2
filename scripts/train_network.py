"""Train the classifiers of one training and one seed: one network per fold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nuisflow.learning import batches, classifier, loop
from nuisflow.slices.training import TrainingSamples
from nuisflow.storage import files, logs


def train_network(
    ingested: Mapping[str, Path],
    model: Path,
    history: Path,
    *,
    settings: dict[str, Any],
    tuned: Path | None = None,
    device: str = "auto",
) -> None:
    """Train on the *ingested* events of every sample; write the classifier and the history of its losses.

    *tuned*: the options of every fold that trials have chosen.

    One thread: jobs run side by side, and small networks lose by more.
    """
    torch.set_num_threads(1)
    chosen = TrainingSamples.model_validate(settings)
    pool = batches.Pool.load(ingested, chosen)
    options = files.read_json(tuned) if tuned else ()
    trained, rows = loop.train(pool, chosen.training, classifier.device(device), options)
    files.write_rows(history, rows)
    trained.save(model)


if __name__ == "__main__":
    with logs.job(snakemake):
        train_network(
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.output.model),
            Path(snakemake.output.history),
            settings=snakemake.params.settings,
            tuned=next((Path(path) for path in snakemake.input.tuned), None),
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
