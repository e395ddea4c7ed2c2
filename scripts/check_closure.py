"""Ask how right the learned densities of one training are: numbers that are 0, or 1, if they are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.closure import numbers
from nuisflow.inference.closure.probes import Probes
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import classifier as training
from nuisflow.learning.classifier import Classifier
from nuisflow.slices.training import TrainingSamples
from nuisflow.storage import files, logs


def check_closure(
    model: Path,
    description: Path,
    fit: Path,
    ingested: Mapping[str, Path],
    closure: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *closure* of a *model* and of the likelihood that *description* tells of; *ingested*: its samples."""
    torch.set_num_threads(1)  # jobs run side by side
    classifier = Classifier.load(model).to(training.device(device))
    probes = Probes(classifier, ingested, TrainingSamples.model_validate(settings))
    likelihood = UnbinnedModel(files.read_json(description))
    files.write_json(closure, numbers.closure(probes, likelihood, files.read_json(fit)))


if __name__ == "__main__":
    with logs.job(snakemake):
        check_closure(
            *(Path(snakemake.input[name]) for name in ("model", "description", "fit")),
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.output.closure),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
