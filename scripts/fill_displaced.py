"""Fill the histograms of one training at displaced true points, in the bins of its templates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.slices.inference import DisplacedFilling
from nuisflow.storage import files, logs
from nuisflow.templates import displacements


def fill_displaced(
    templates: Path,
    events: Sequence[Path],
    scores: Path,
    rescored: Path | None,
    output: Path,
    *,
    settings: dict[str, Any],
) -> None:
    """Fill *events* at displaced points into *output*; *rescored*: scores of those that *scores* does not have."""
    chosen = DisplacedFilling.model_validate(settings)
    histograms = files.read_histograms(templates)
    files.write_histograms(output, displacements.fill(histograms, events, scores, rescored, chosen))


if __name__ == "__main__":
    with logs.job(snakemake):
        fill_displaced(
            Path(snakemake.input.templates),
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.input.scores),
            next((Path(path) for path in snakemake.input.rescored), None),
            Path(snakemake.output.displaced),
            settings=snakemake.params.settings,
        )
