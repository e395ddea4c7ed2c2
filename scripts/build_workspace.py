"""Build the pyhf workspace of one training from its templates."""

from pathlib import Path
from typing import Any

from nuisflow.slices.inference import WorkspaceSettings
from nuisflow.storage import files, logs
from nuisflow.templates import workspaces


def build_workspace(templates: Path, workspace: Path, notes: Path, *, settings: dict[str, Any]) -> None:
    """Turn *templates* into a pyhf *workspace*; write what was pruned, filled up, left out or flagged to *notes*."""
    histograms = files.read_histograms(templates)
    built = workspaces.build(histograms, WorkspaceSettings.model_validate(settings))
    files.write_json(notes, [note._asdict() for note in built.notes])
    files.write_json(workspace, built.workspace)


if __name__ == "__main__":
    with logs.job(snakemake):
        build_workspace(
            Path(snakemake.input.templates),
            Path(snakemake.output.workspace),
            Path(snakemake.output.notes),
            settings=snakemake.params.settings,
        )
