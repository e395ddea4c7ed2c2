"""Draw what all classifiers know: separation, over-training and calibration."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report.drawings import figure_key
from nuisflow.report.plots import classifiers, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_classifiers(
    curves: Path, compared: Sequence[Path], figures: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Draw *compared*, all trainings together, and *figures*, one by one, from *curves*."""
    found, chosen = files.read_json(curves), PlotSettings.model_validate(settings)
    style.draw({"classifiers": lambda: classifiers.compared(found, chosen)}, compared)
    for name in chosen.trainings:
        own = [one for one in found if one["training"] == name]
        paths = [path for path in figures if figure_key(path)[0] == name]
        style.draw({"classifier": lambda own=own: classifiers.training(own, chosen)}, paths)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_classifiers(
            Path(snakemake.input.curves),
            [Path(path) for path in snakemake.output.compared],
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
