"""Draw the review: coverage of prediction sets under shift, and where members of a classifier disagree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report.plots import review, style
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def plot_review(conformal: Path, epistemic: Path | None, figures: Sequence[Path], *, settings: dict[str, Any]) -> None:
    """Draw *figures* from the table of prediction sets (*conformal*) and the curves of members (*epistemic*)."""
    chosen = PlotSettings.model_validate(settings)
    table = files.read_table(conformal)
    table["variation"] = table["variation"].fillna("")
    curves = files.read_json(epistemic) if epistemic else []
    makers = {
        "conformal": lambda: review.conformal(table, chosen),
        "epistemic": lambda: review.epistemic(curves, chosen),
    }
    style.draw(makers, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_review(
            Path(snakemake.input.conformal),
            next(map(Path, snakemake.input.epistemic), None),
            [Path(path) for path in snakemake.output.figures],
            settings=snakemake.params.settings,
        )
