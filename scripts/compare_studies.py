"""Collect what trainings measure with parts of the events: table, power laws and figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import studies, trainings
from nuisflow.report.plots import studies as plots
from nuisflow.report.plots import style
from nuisflow.settings.studies import WHOLE
from nuisflow.slices.studies import StudySettings
from nuisflow.storage import files, logs


def compare_studies(
    measured: Sequence[Path],
    fits: Sequence[Path],
    coverages: Sequence[Path],
    *,
    table: Path,
    laws: Path,
    figures: Sequence[Path],
    settings: dict[str, Any],
) -> None:
    """Write the *table* and power *laws* of all *measured* sizes; *fits*, *coverages*: those of the ordinary run."""
    chosen = StudySettings.model_validate(settings)
    covered = {run: files.read_json(path) for run, path in trainings.by_run(coverages).items()}
    ordinary = {run: studies.whole(files.read_json(path), covered[run]) for run, path in trainings.by_run(fits).items()}
    results: dict[tuple[str, str], dict[trainings.Run, Any]] = {
        (study, size): {} for study, sizes in chosen.sizes.items() for size in sizes
    }
    for path in measured:  # .../<study>/<size>/trainings/<training>/seed<seed>/measured.json
        results[path.parts[-6], path.parts[-5]][trainings.run_of(path)] = files.read_json(path)
    results |= {(study, WHOLE): ordinary for study in chosen.sizes}
    found = studies.table(results, chosen.comparison)
    fitted = studies.laws(found)
    files.write_table(table, found)
    files.write_table(laws, fitted)
    style.draw({"studies": lambda: plots.figure(files.read_table(table), files.read_table(laws), chosen)}, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_studies(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("measured", "fits", "coverages")),
            table=Path(snakemake.output.table),
            laws=Path(snakemake.output.laws),
            figures=[Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
