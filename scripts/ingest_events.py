"""Turn the files of one sample, of any format, into one columnar file, which everything behind reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow.events import ingestion
from nuisflow.slices.events import Ingestion
from nuisflow.storage import logs


def ingest_events(
    raw: Sequence[Path], events: Path, *, settings: dict[str, Any], shared: Mapping[str, ingestion.Shared]
) -> list[ingestion.Read]:
    """Write the rows of the files *raw* that belong to the sample to *events*; return what every file has.

    *shared*: other samples that read some of these files.
    """
    return ingestion.ingest(raw, events, Ingestion.model_validate(settings), shared)


if __name__ == "__main__":
    with logs.job(snakemake) as notes:
        notes["files"] = ingest_events(
            [Path(path) for path in snakemake.input.raw],
            Path(snakemake.output.events),
            settings=snakemake.params.settings,
            shared=snakemake.params.shared,
        )
