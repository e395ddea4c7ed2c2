"""Ask how right the learned densities of one training are: numbers that are 0, or 1, if they are right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.closure import numbers, observed, shifts
from nuisflow.inference.closure.probes import Probes
from nuisflow.inference.unbinned.events import Pools
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning import classifier as training
from nuisflow.learning.classifier import Classifier
from nuisflow.slices.training import TrainingSamples
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import files, logs


def check_closure(
    inputs: Mapping[str, Path],
    ingested: Mapping[str, Path],
    closure: Path,
    *,
    events: Sequence[Path] = (),
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *closure* of a ``model`` and of the likelihood that ``description`` tells of; *ingested*: its samples.

    *inputs*: further, the ``densities`` of all events, the ``templates`` of regions with bins, and their ``fit``.
    *events*: nominal ones, simulated and observed; none where data are blinded.
    """
    torch.set_num_threads(1)  # jobs run side by side
    filling = UnbinnedFilling.model_validate(settings["filling"])
    classifier = Classifier.load(inputs["model"]).to(training.device(device))
    probes = Probes(classifier, ingested, TrainingSamples.model_validate(settings["training"]))
    likelihood, fitted = UnbinnedModel(files.read_json(inputs["description"])), files.read_json(inputs["fit"])
    histograms = files.read_histograms(inputs["templates"])
    simulated = Pools(inputs["densities"], likelihood, filling.samples, histograms, {}).nominal
    found = numbers.closure(probes, likelihood) | {"observed": None}
    found |= shifts.shifts(likelihood, simulated, fitted["asimov"]["parameters"])
    if events:
        found["observed"] = observed.against_model(classifier, events, likelihood, fitted["observed"], filling)
    files.write_json(closure, found)


if __name__ == "__main__":
    with logs.job(snakemake):
        check_closure(
            {name: Path(snakemake.input[name]) for name in ("model", "description", "densities", "templates", "fit")},
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.output.closure),
            events=[Path(path) for path in snakemake.input.events],
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
