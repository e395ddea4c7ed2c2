"""Find prediction sets of every training, and how often they hold under every condition: domain shift."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison.review import conformal
from nuisflow.comparison.trainings import by_run
from nuisflow.progress import progress
from nuisflow.slices.review import ConformalSettings
from nuisflow.storage import files, logs


def predict_sets(
    scores: Sequence[Path], displaced: Sequence[Path], events: Sequence[Path], table: Path, *, settings: dict[str, Any]
) -> None:
    """Write a row per run and condition to *table*, from nominal and *displaced* scores of the *events*."""
    chosen = ConformalSettings.model_validate(settings)
    paths = {(path.parent.name, path.stem): path for path in events}
    taken, further = conformal.taken(paths, chosen), by_run(displaced)
    rows = [
        row
        for run, path in progress(by_run(scores).items(), "prediction sets", len(scores))
        for row in conformal.rows(run, path, further.get(run), taken, chosen)
    ]
    files.write_rows(table, rows or [dict.fromkeys(conformal.COLUMNS)])


if __name__ == "__main__":
    with logs.job(snakemake):
        predict_sets(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("scores", "displaced", "events")),
            Path(snakemake.output.table),
            settings=snakemake.params.settings,
        )
