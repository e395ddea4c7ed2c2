"""Compare the features of one region with data, and signal with background, before any training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import inputs
from nuisflow.slices.inputs import InputSettings
from nuisflow.storage import files, logs


def compare_inputs(
    axes: Path,
    histograms: Sequence[Path],
    sums: Sequence[Path],
    output: Path,
    tables: dict[str, Path],
    *,
    settings: dict[str, Any],
) -> None:
    """Write to *output* what is known of a region, and to *tables* its yields, features and variations."""
    chosen = InputSettings.model_validate(settings)
    found = inputs.compare(
        {path.stem: files.read_histograms(path) for path in histograms},
        {path.stem: files.read_json(path) for path in sums},
        files.read_json(axes),
        chosen,
    )
    files.write_json(output, found)
    files.write_rows(tables["yields"], found["yields"])
    files.write_rows(tables["features"], inputs.feature_rows(found))
    files.write_rows(tables["variations"], inputs.variation_rows(found))


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_inputs(
            Path(snakemake.input.axes),
            [Path(path) for path in snakemake.input.histograms],
            [Path(path) for path in snakemake.input.sums],
            Path(snakemake.output.content),
            {name: Path(snakemake.output[name]) for name in ("yields", "features", "variations")},
            settings=snakemake.params.settings,
        )
