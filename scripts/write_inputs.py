"""Write a page on the features alone, before there are any trainings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.report import drawings
from nuisflow.report.review import inputs
from nuisflow.slices.report import PlotSettings
from nuisflow.storage import files, logs


def write_inputs(contents: Sequence[Path], figures: Sequence[Path], page: Path, *, settings: dict[str, Any]) -> None:
    """Write *page* from what is known of every region (*contents*) and its SVG *figures*."""
    found = {path.parent.name: files.read_json(path) for path in contents}
    drawn = {drawings.figure_key(path): path.read_text(encoding="utf-8") for path in figures}
    files.write_text(page, inputs.render(found, drawn, PlotSettings.model_validate(settings)))


if __name__ == "__main__":
    with logs.job(snakemake):
        write_inputs(
            [Path(path) for path in snakemake.input.contents],
            [Path(path) for path in snakemake.input.figures],
            Path(snakemake.output.page),
            settings=snakemake.params.settings,
        )
