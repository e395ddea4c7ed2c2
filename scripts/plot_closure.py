"""Draw how right the learned densities of one training are."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report.plots import closure, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_closure(found: Path, figures: Sequence[Path], *, settings: dict[str, Any]) -> None:
    """Draw *figures*, whose stem is ``closure``, of a closure.json *found*."""
    chosen = PlotSettings.model_validate(settings)
    style.draw({"closure": lambda: closure.figure(files.read_json(found), chosen)}, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_closure(
            Path(snakemake.input.closure),
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
