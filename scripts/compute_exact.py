"""Compute what classifiers of the rotating Gaussians reach with exact templates: nothing is trained or simulated."""

from pathlib import Path
from typing import Any

import pandas as pd

from nuisflow.comparison import exact_toys
from nuisflow.storage import files, logs


def compute_exact(table: Path, *, settings: dict[str, Any]) -> None:
    """Write *table*: one row per classifier, binning and true angle."""
    files.write_table(table, pd.DataFrame(exact_toys.rows(settings["toys"], settings["seed"])))


if __name__ == "__main__":
    with logs.job(snakemake):
        compute_exact(Path(snakemake.output.exact), settings=snakemake.params.settings)
