"""Ask how right the learned densities of one training are: numbers that are 0, or 1, if they are right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.closure import numbers, observed
from nuisflow.inference.closure.probes import Probes
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import classifier as training
from nuisflow.learning.classifier import Classifier
from nuisflow.slices.training import TrainingSamples
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import files, logs


def check_closure(
    model: Path,
    description: Path,
    fit: Path,
    ingested: Mapping[str, Path],
    closure: Path,
    *,
    events: Sequence[Path] = (),
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *closure* of a *model* and of the likelihood that *description* tells of; *ingested*: its samples.

    *events*: nominal ones, simulated and observed; none where data are blinded.
    """
    torch.set_num_threads(1)  # jobs run side by side
    classifier = Classifier.load(model).to(training.device(device))
    probes = Probes(classifier, ingested, TrainingSamples.model_validate(settings["training"]))
    likelihood, fitted = UnbinnedModel(files.read_json(description)), files.read_json(fit)
    found = numbers.closure(probes, likelihood, fitted) | {"observed": None}
    if events:
        filling = UnbinnedFilling.model_validate(settings["filling"])
        found["observed"] = observed.against_model(classifier, events, likelihood, fitted["observed"], filling)
    files.write_json(closure, found)


if __name__ == "__main__":
    with logs.job(snakemake):
        check_closure(
            *(Path(snakemake.input[name]) for name in ("model", "description", "fit")),
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.output.closure),
            events=[Path(path) for path in snakemake.input.events],
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
