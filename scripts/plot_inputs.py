"""Draw every feature of one region before any training, their correlations, and what moves them."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report.plots import inputs, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_inputs(
    content: Path, figures: Sequence[Path], document: Path, tables: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Draw *figures*, whose stems name features, all features to *document*, and *tables* of all together."""
    found, chosen = files.read_json(content), PlotSettings.model_validate(settings)
    inputs.draw(found, figures, document, chosen)
    makers = {"correlations": inputs.correlations, "sensitivity": inputs.sensitivity}
    style.draw({name: functools.partial(make, found, chosen) for name, make in makers.items()}, tables)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_inputs(
            Path(snakemake.input.content),
            [Path(path) for path in snakemake.output.figures],
            Path(snakemake.output.document),
            [Path(path) for path in snakemake.output.tables],
            settings=snakemake.params.settings,
        )
