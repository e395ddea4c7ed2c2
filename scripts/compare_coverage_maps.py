"""Collect the coverage maps of all trainings in one table and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import trainings
from nuisflow.report.plots import coverage_map, style
from nuisflow.report.review import coverage_map as coverage_tables
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def compare_coverage_maps(
    maps: Sequence[Path], table: Path, figures: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Write what all *maps* say to *table*, and draw the coverage along every parameter."""
    chosen = PlotSettings.model_validate(settings)
    found = {run: files.read_json(path) for run, path in trainings.by_run(maps).items()}
    files.write_table(table, coverage_tables.table(found, chosen))
    style.draw({"coverage_map": lambda: coverage_map.figure(found, chosen)}, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_coverage_maps(
            [Path(path) for path in snakemake.input.maps],
            Path(snakemake.output.table),
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
