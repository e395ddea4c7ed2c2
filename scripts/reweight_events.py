"""Weights that make the events of one sample look like those of an alternative one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from nuisflow.learning import reweighting
from nuisflow.learning.classifier import Classifier
from nuisflow.progress import progress
from nuisflow.slices.reweighting import Reweighting
from nuisflow.storage import event_files, logs


def reweight_events(ingested: Mapping[str, Path], model: Path, ratios: Path, *, settings: dict[str, Any]) -> None:
    """Write the ratio of alternative to nominal density of every event of one sample to *ratios*.

    *ingested*: the events of all samples that *model* compares.
    """
    torch.set_num_threads(1)
    classifier = Classifier.load(model)
    parts = reweighting.ratios(ingested, classifier, Reweighting.model_validate(settings))
    event_files.write_event_parts(ratios, progress(parts, "chunks"), {})


if __name__ == "__main__":
    with logs.job(snakemake):
        reweight_events(
            dict(zip(snakemake.params.origins, map(Path, snakemake.input.ingested), strict=True)),
            Path(snakemake.input.model),
            Path(snakemake.output.ratios),
            settings=snakemake.params.settings,
        )
