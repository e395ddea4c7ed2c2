"""Convert the files of one sample, which are slow to read in pieces, to one Parquet file of numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.events import ingestion
from nuisflow.progress import progress
from nuisflow.slices.events import Conversion
from nuisflow.storage import event_files, logs


def convert_events(raw: Sequence[Path], events: Path, *, settings: dict[str, Any]) -> None:
    """Write the rows of the files *raw* that belong to the sample to the Parquet file *events*."""
    parts = ingestion.convert(raw, Conversion.model_validate(settings))
    event_files.write_event_parts(events, progress(parts, "pieces"), {})


if __name__ == "__main__":
    with logs.job(snakemake):
        convert_events(
            [Path(path) for path in snakemake.input.files],
            Path(snakemake.output.events),
            settings=snakemake.params.settings,
        )
