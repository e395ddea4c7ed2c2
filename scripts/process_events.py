"""Select the events of one sample at one variation, with features and weights."""

from pathlib import Path
from typing import Any

from nuisflow.events import selection
from nuisflow.settings import configuration
from nuisflow.slices.events import Processing
from nuisflow.storage import event_files, logs


def process_events(ingested: Path, output: Path, *, settings: dict[str, Any], dask: dict[str, Any]) -> None:
    """Process the *ingested* events and write the selected events to the Parquet file *output*."""
    chosen = Processing.model_validate(settings)
    parts = selection.process(ingested, chosen, configuration.Dask.model_validate(dask))
    event_files.write_event_parts(output, parts, {"region": list(chosen.events.regions)})


if __name__ == "__main__":
    with logs.job(snakemake):
        process_events(
            Path(snakemake.input.ingested),
            Path(snakemake.output.events),
            settings=snakemake.params.settings,
            dask=snakemake.config.get("dask", {}),
        )
