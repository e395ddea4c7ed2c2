"""Draw the figures of one training: its history, templates and fit."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison.trainings import by_run
from nuisflow.report.plots import fits, style, templates, trainings
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs
from nuisflow.templates import shown


def plot_training(
    histories: Sequence[Path],
    histograms: Path,
    fit: Path,
    impacts: Path,
    scan: Path,
    *,
    figures: Sequence[Path],
    settings: dict[str, Any],
) -> None:
    """Draw *figures*, whose stems name the figure: the history of all seeds, and the fit of one of them."""
    chosen = PlotSettings.model_validate(settings)
    runs = by_run(histories)
    seeds = {run.seed: files.read_table(path) for run, path in runs.items()}
    result, ranked = files.read_json(fit), files.read_table(impacts)
    axis = chosen.axes.get(next(iter(runs)).training)
    if axis is not None:
        chosen, result = chosen.of(axis), shown.yields_in_units(result, axis.regions, axis.low, axis.high)
    importance = (
        ranked.set_index("parameter")[["impact_up", "impact_down"]].abs().max(axis=1).groupby(level=0).max().to_dict()
    )
    makers: dict[str, Callable[[], Any]] = {
        "history": lambda: trainings.history(seeds),
        "pulls": lambda: fits.pulls(result, chosen),
        "ranking": lambda: fits.ranking(ranked, chosen),
        "correlations": lambda: fits.correlations(result, chosen),
        "scan": lambda: fits.scan(files.read_table(scan), chosen),
    }
    for region, filled in files.read_histograms(histograms).items():
        histogram = shown.merged(filled, chosen.parts)
        if axis is not None and region in axis.regions:
            histogram = shown.in_units(histogram, axis.low, axis.high)
        makers[f"templates_{region}"] = functools.partial(templates.stacked, result, region, chosen)
        makers[f"variations_{region}"] = functools.partial(templates.variations, histogram, region, importance, chosen)
    style.draw(makers, figures)


if __name__ == "__main__":
    with logs.job(snakemake):
        plot_training(
            [Path(path) for path in snakemake.input.histories],
            Path(snakemake.input.templates),
            Path(snakemake.input.fit),
            Path(snakemake.input.impacts),
            Path(snakemake.input.scan),
            figures=[Path(path) for path in snakemake.output],
            settings=snakemake.params.settings,
        )
