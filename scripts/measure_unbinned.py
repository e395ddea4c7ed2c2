"""Find densities and fit them with a part of the events: what one training of single events would measure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nuisflow.inference.unbinned import learned, measurements, studies
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.learning import classifier as training
from nuisflow.slices.studies import UnbinnedSize
from nuisflow.storage import files, logs
from nuisflow.templates import filling
from nuisflow.templates.unbinned import checks, evaluation


def measure_unbinned(
    inputs: dict[str, Path],
    events: Sequence[Path],
    description: Path,
    measured: Path,
    *,
    settings: dict[str, Any],
    device: str = "auto",
) -> None:
    """Write the *description* of the likelihood of *events*, and what it would measure.

    *inputs*: ``model``; ``scores`` and ``templates``, for regions that have bins; ``replicas``, if there are any.
    """
    torch.set_num_threads(1)  # jobs run side by side
    chosen = UnbinnedSize.model_validate(settings)
    classifier = training.read(inputs["model"], device, chosen.densities.features, chosen.densities.folds)
    histograms, scratch = files.read_histograms(inputs["templates"]), Scratch(measured.parent)
    paths = evaluation.needed(events, chosen.densities)
    with checks.named(inputs["templates"].parent.parent.name):
        model, simulated = learned.likelihood(classifier, paths, histograms, chosen.densities, scratch)
        whole = simulated
        if chosen.densities.used:
            expected = filling.expected(events, inputs["scores"], histograms, chosen.filling)
            whole = learned.whole(classifier, paths, expected, chosen.densities, scratch)
    spread = measurements.spread(files.read_table(inputs["replicas"]), model.poi) if "replicas" in inputs else None
    files.write_json(measured, studies.measure(model, simulated, whole, spread, chosen.toys))
    files.write_json(description, model.description)


if __name__ == "__main__":
    with logs.job(snakemake):
        measure_unbinned(
            {name: Path(snakemake.input[name]) for name in ("model", "scores", "templates")}
            | dict(zip(["replicas"], map(Path, snakemake.input.replicas), strict=False)),
            [Path(path) for path in snakemake.input.events],
            *(Path(snakemake.output[name]) for name in ("description", "measured")),
            settings=snakemake.params.settings,
            device=snakemake.config.get("learning", {}).get("device", "auto"),
        )
