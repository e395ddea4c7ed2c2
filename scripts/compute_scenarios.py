"""Compute what every training reaches while chosen nuisance parameters float, and what is best possible."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import references, scenarios, trainings
from nuisflow.slices.scenarios import ScenarioSettings
from nuisflow.storage import files, logs


def compute_scenarios(
    templates: Sequence[Path],
    displaced: Sequence[Path],
    unbinned: Sequence[Path],
    table: Path,
    summary: Path,
    *,
    settings: dict[str, Any],
) -> None:
    """Write *table*, one row per training, seed and scenario, and *summary*, medians and references.

    *displaced* are the histograms at displaced points; there are none if no derivative needs them. *unbinned*: the fits
    of trainings whose likelihood is that of single events.
    """
    chosen = ScenarioSettings.model_validate(settings)
    filled, points = (
        {run: files.read_histograms(path) for run, path in trainings.by_run(paths).items()}
        for paths in (templates, displaced)
    )
    fits = {run: files.read_json(path) for run, path in trainings.by_run(unbinned).items()}
    found = scenarios.table(filled, points, fits, chosen)
    files.write_table(table, found)
    files.write_table(summary, scenarios.summary(found, references.rows(chosen), chosen))


if __name__ == "__main__":
    with logs.job(snakemake):
        compute_scenarios(
            [Path(path) for path in snakemake.input.templates],
            [Path(path) for path in snakemake.input.displaced],
            [Path(path) for path in snakemake.input.unbinned],
            Path(snakemake.output.scenarios),
            Path(snakemake.output.published),
            settings=snakemake.params.settings,
        )
