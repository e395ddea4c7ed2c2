"""Fill the templates of one training: histograms of its score per region, process and variation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.slices.inference import Filling
from nuisflow.storage import files, logs
from nuisflow.templates import filling


def fill_templates(
    events: Sequence[Path], scores: Path, output: Path, notes: Path, *, settings: dict[str, Any]
) -> None:
    """Fill the templates from *events* and their *scores*; write them to *output*, and what was merged to *notes*."""
    filled = filling.fill(events, scores, Filling.model_validate(settings))
    files.write_json(notes, [note._asdict() for note in filled.notes])
    files.write_histograms(output, filled.histograms)


if __name__ == "__main__":
    with logs.job(snakemake):
        fill_templates(
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.input.scores),
            Path(snakemake.output.templates),
            Path(snakemake.output.notes),
            settings=snakemake.params.settings,
        )
