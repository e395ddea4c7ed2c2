"""Fill histograms of every feature of one sample, nominal and varied, for the look at them before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.slices.inputs import InputFilling
from nuisflow.storage import files, logs
from nuisflow.templates import inputs


def fill_inputs(events: Sequence[Path], axes: Path, histograms: Path, sums: Path, *, settings: dict[str, Any]) -> None:
    """Fill *histograms* of the *events* in the bins of *axes*, and *sums* from which correlations follow."""
    filled = inputs.fill(events, files.read_json(axes), InputFilling.model_validate(settings))
    files.write_json(sums, filled.sums)
    files.write_histograms(histograms, filled.histograms)


if __name__ == "__main__":
    with logs.job(snakemake):
        fill_inputs(
            [Path(path) for path in snakemake.input.events],
            Path(snakemake.input.axes),
            Path(snakemake.output.histograms),
            Path(snakemake.output.sums),
            settings=snakemake.params.settings,
        )
