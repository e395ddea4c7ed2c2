"""Draw every feature of one region before any training, and their correlations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report.plots import inputs, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_inputs(
    content: Path, figures: Sequence[Path], document: Path, correlations: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Draw *figures*, whose stems name features, all features to *document*, and their *correlations*."""
    found, chosen = files.read_json(content), PlotSettings.model_validate(settings)
    inputs.draw(found, figures, document, chosen)
    style.draw({"correlations": lambda: inputs.correlations(found, chosen)}, correlations)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_inputs(
            Path(snakemake.input.content),
            [Path(path) for path in snakemake.output.figures],
            Path(snakemake.output.document),
            [Path(path) for path in snakemake.output.correlations],
            settings=snakemake.params.settings,
        )
