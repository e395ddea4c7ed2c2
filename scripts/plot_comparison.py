"""Draw the figures that compare all trainings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison.trainings import undisplaced
from nuisflow.report.plots import robustness, style, trainings
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_comparison(
    summary: Path, ranking: Path, coverage: Path, figures: Sequence[Path], *, settings: dict[str, Any]
) -> None:
    """Draw uncertainties, signal strengths, robustness and coverage into *figures*, whose stems name the figure."""
    chosen = PlotSettings.model_validate(settings)
    fits, ranked, toys = (files.read_table(path) for path in (summary, ranking, coverage))
    makers = {
        "uncertainties": lambda: trainings.uncertainties(fits, ranked, chosen),
        "signal_strength": lambda: trainings.signal_strength(fits, ranked, chosen),
        "robustness": lambda: robustness.figure(toys, ranked, chosen),
        "coverage": lambda: trainings.coverage(undisplaced(toys), ranked, chosen),
    }
    style.draw(makers, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_comparison(
            Path(snakemake.input.summary),
            Path(snakemake.input.trainings),
            Path(snakemake.input.coverage),
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
