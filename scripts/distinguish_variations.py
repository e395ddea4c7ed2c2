"""Find how well every variation, and data where they are shown, can be told from nominal events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison.review import visibility
from nuisflow.progress import progress
from nuisflow.slices.review import VisibilitySettings
from nuisflow.storage import files, logs


def distinguish_variations(events: Sequence[Path], table: Path, *, settings: dict[str, Any]) -> None:
    """Write a row per variation to *table*: how well a classifier tells its *events* from nominal ones."""
    chosen = VisibilitySettings.model_validate(settings)
    paths = {(path.parent.name, path.stem): path for path in events}
    rows = list(progress(visibility.rows(paths, chosen), "variations", len(chosen.conditions) - 1))
    files.write_rows(table, rows or [dict.fromkeys(visibility.COLUMNS)])


if __name__ == "__main__":
    with logs.job(snakemake):
        distinguish_variations(
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.output.table),
            settings=snakemake.params.settings,
        )
