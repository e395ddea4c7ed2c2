"""Choose options of one training by trials, for every network on its own validation events."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nuisflow.learning import batches, classifier
from nuisflow.learning.trials import search
from nuisflow.settings import tuning
from nuisflow.slices.training import TrainingSamples
from nuisflow.storage import files, logs


def tune_training(
    ingested: Mapping[str, Path],
    tuned: Path,
    trials: Path,
    *,
    settings: dict[str, Any],
    study: dict[str, Any],
    device: str = "auto",
) -> None:
    """Try options on the *ingested* events of every sample; write the best ones of every fold, and all *trials*."""
    torch.set_num_threads(1)
    pool = batches.Pool.load(ingested, TrainingSamples.model_validate(settings))
    options, rows = search(pool, tuning.Study.model_validate(study), classifier.device(device))
    files.write_table(trials, pd.DataFrame(rows))
    files.write_json(tuned, options)


if __name__ == "__main__":
    with logs.job(snakemake):
        tune_training(
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.output.tuned),
            Path(snakemake.output.trials),
            settings=snakemake.params.settings,
            study=snakemake.params.study,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
