"""Fill, build and fit with a part of the events: what one training of one size would measure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.inference import studies
from nuisflow.likelihood.model import Model
from nuisflow.slices.studies import SizeSettings
from nuisflow.storage import files, logs
from nuisflow.templates import filling, workspaces


def measure_size(
    events: Sequence[Path], scores: Path, workspace: Path, measured: Path, *, settings: dict[str, Any]
) -> None:
    """Write the *workspace* of the templates of *events* and their *scores*, and what it would measure."""
    chosen = SizeSettings.model_validate(settings)
    histograms = filling.fill(events, scores, chosen.filling).histograms
    built = workspaces.build(histograms, chosen.workspace).workspace
    whole = filling.expected(events, scores, histograms, chosen.filling)
    files.write_json(measured, studies.measure(Model(built), whole, chosen.toys))
    files.write_json(workspace, built)


if __name__ == "__main__":
    with logs.job(snakemake):
        measure_size(
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.input.scores),
            Path(snakemake.output.workspace),
            Path(snakemake.output.measured),
            settings=snakemake.params.settings,
        )
