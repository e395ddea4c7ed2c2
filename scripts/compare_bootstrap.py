"""Collect the pseudo-experiments at random true values of all trainings in one table and one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import trainings
from nuisflow.report import bootstrap as bootstrap_tables
from nuisflow.report.plots import bootstrap, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def compare_bootstrap(
    summaries: Sequence[Path], table: Path, figures: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Write the scores of all *summaries* to *table*, and draw coverage, width and bias."""
    chosen = PlotSettings.model_validate(settings)
    found = {run: files.read_json(path) for run, path in trainings.by_run(summaries).items()}
    files.write_table(table, bootstrap_tables.table(found, chosen))
    style.draw({"bootstrap": lambda: bootstrap.figure(files.read_table(table), chosen)}, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_bootstrap(
            [Path(path) for path in snakemake.input.summaries],
            Path(snakemake.output.table),
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
