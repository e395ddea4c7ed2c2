"""Fetch one published file that is not in the folder of the data."""

from pathlib import Path
from typing import Any

from nuisflow.settings import configuration
from nuisflow.settings.checks import downloads
from nuisflow.storage import logs


def fetch_file(file: Path, *, settings: dict[str, Any]) -> None:
    """Fetch *file* from where *settings* say."""
    downloads.fetch(file, configuration.Download.model_validate(settings))


if __name__ == "__main__":
    with logs.job(snakemake):
        fetch_file(Path(snakemake.output.file), settings=snakemake.params.settings)
