"""Write what others need: a submission to HEPData, and LaTeX tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import trainings
from nuisflow.report.page import Material
from nuisflow.report.publish import hepdata, latex
from nuisflow.slices.report import ReportSettings
from nuisflow.storage import files, logs

TABLES = ("trainings", "breakdown", "coverage")


def write_publication(
    tables: Mapping[str, Path],
    fits: Sequence[Path],
    figures: Sequence[Path],
    workspaces: Sequence[Path],
    *,
    submission: Path,
    documents: Sequence[Path],
    settings: dict[str, Any],
) -> None:
    """Write the *submission* (its folder) with *tables*, *workspaces* and *figures*, and LaTeX *documents*."""
    chosen = ReportSettings.model_validate(settings)
    material = Material(
        tables={name: files.read_table(path) for name, path in tables.items()},
        fits={run: files.read_json(path) for run, path in trainings.by_run(fits).items()},
        notes=[],
        figures={},
    )
    resources = {path: (path.name, f"Figure: {path.stem.replace('_', ' ')}") for path in figures}
    for run, path in trainings.by_run(workspaces).items():
        words = f"Statistical model of {chosen.trainings[run.training]}, seed {run.seed} (pyhf)"
        resources[path] = (f"workspace_{run.training}.json", words)
    written = latex.documents(material, chosen)
    hepdata.write(submission, material, resources, chosen)
    for path in documents:
        files.write_text(path, written[path.stem])


if __name__ == "__main__":
    with logs.job(snakemake):
        write_publication(
            {name: Path(snakemake.input[name]) for name in TABLES}
            | {Path(path).stem: Path(path) for path in snakemake.input.studies},
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("fits", "figures", "workspaces")),
            submission=Path(snakemake.output.submission).parent,
            documents=[Path(path) for path in snakemake.output.documents],
            settings=snakemake.params.settings,
        )
