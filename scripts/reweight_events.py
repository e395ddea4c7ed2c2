"""Weights that make the events of one sample look like those of an alternative one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.learning import reweighting
from nuisflow.learning.classifier import Classifier
from nuisflow.progress import progress
from nuisflow.slices.reweighting import Reweighting
from nuisflow.storage import event_files, files, logs


def reweight_events(raw: Mapping[str, Sequence[Path]], model: Path, ratios: Path, *, settings: dict[str, Any]) -> None:
    """Write the ratio of alternative to nominal density of every event of one sample to *ratios*.

    *raw*: the files of all samples that *model* compares.
    """
    torch.set_num_threads(1)
    classifier = Classifier.load(model)
    parts = reweighting.ratios(raw, classifier, Reweighting.model_validate(settings))
    event_files.write_event_parts(ratios, progress(parts, "chunks"), {})


if __name__ == "__main__":
    with logs.job(snakemake):
        reweight_events(
            files.by_sample(snakemake.input.raw, snakemake.params.files),
            Path(snakemake.input.model),
            Path(snakemake.output.ratios),
            settings=snakemake.params.settings,
        )
