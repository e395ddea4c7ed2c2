"""Choose the bins of every feature, for the look at them before any training."""

from pathlib import Path
from typing import Any

from nuisflow.slices.inputs import InputBinning
from nuisflow.storage import files, logs
from nuisflow.templates import inputs


def bin_inputs(events: dict[str, Path], axes: Path, *, settings: dict[str, Any]) -> None:
    """Write to *axes* the bins of every feature in every region, from nominal *events* by sample."""
    files.write_json(axes, inputs.axes(events, InputBinning.model_validate(settings)))


if __name__ == "__main__":
    with logs.job(snakemake):
        bin_inputs(
            {Path(path).stem: Path(path) for path in snakemake.input.events},
            Path(snakemake.output.axes),
            settings=snakemake.params.settings,
        )
