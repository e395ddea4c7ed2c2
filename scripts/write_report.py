"""Write the report: one HTML file with all results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import trainings
from nuisflow.report import drawings, known_answers, page
from nuisflow.report.page import TABLES, Material
from nuisflow.slices.report import ReportSettings
from nuisflow.storage import files, logs


def write_report(
    template: Path,
    tables: dict[str, Path],
    fits: Sequence[Path],
    notes: Sequence[Path],
    figures: Sequence[Path],
    *,
    trials: Sequence[Path] = (),
    what_if: Path | None = None,
    closures: Sequence[Path] = (),
    inputs: Sequence[Path] = (),
    classifiers: Path | None = None,
    output: Path,
    summary: Path | None = None,
    settings: dict[str, Any],
) -> None:
    """Fill *template* with tables, the *fits*, *notes*, SVG *figures*, and what the other files have."""
    chosen = ReportSettings.model_validate(settings)
    material = Material(
        tables={name: files.read_table(path) for name, path in tables.items()},
        fits={run: files.read_json(path) for run, path in trainings.by_run(fits).items()},
        notes=[(trainings.run_of(path), note) for path in notes for note in files.read_json(path)],
        figures={drawings.figure_key(path): path.read_text(encoding="utf-8") for path in figures},
        what_if=files.read_json(what_if) if what_if else None,
        trials={path.parent.name: files.read_table(path) for path in trials},
        closures={run: files.read_json(path) for run, path in trainings.by_run(closures).items()},
        inputs={path.parent.name: files.read_json(path) for path in inputs},
        classifiers=files.read_json(classifiers) if classifiers else [],
        one_page=summary is not None,
    )
    words = page.context(material, chosen)
    files.write_text(output, page.filled(template.read_text(encoding="utf-8"), words))
    if summary is not None:
        from nuisflow.report.plots import style  # matplotlib
        from nuisflow.report.plots import summary as one_page

        style.draw({summary.stem: lambda: one_page.page(words)}, [summary])


if __name__ == "__main__":
    with logs.job(snakemake):
        write_report(
            Path(snakemake.input.template),
            {name: Path(snakemake.input[name]) for name in TABLES}
            | known_answers.by_name(Path(path) for path in snakemake.input.answers),
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("fits", "notes")),
            [Path(path) for path in [*snakemake.input.figures, *snakemake.input.features, *snakemake.input.judged]],
            trials=[Path(path) for path in snakemake.input.trials],
            what_if=Path(snakemake.input.what_if),
            closures=[Path(path) for path in snakemake.input.closures],
            inputs=[Path(path) for path in snakemake.input.inputs],
            classifiers=Path(snakemake.input.classifiers),
            output=Path(snakemake.output.report),
            summary=Path(snakemake.output.summary),
            settings=snakemake.params.settings,
        )
