"""Collect the results of all trainings in tidy tables and rank them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow import comparison, files, logs, slices


def compare_trainings(
    fits: Sequence[Path],
    histories: Sequence[Path],
    scores: Sequence[Path],
    events: Sequence[Path],
    *,
    coverages: Sequence[Path],
    outputs: dict[str, Path],
    settings: dict[str, Any],
) -> None:
    """Write the tables summary, trainings, breakdown and coverage to the paths *outputs*; *coverages* may be empty."""
    chosen = slices.ComparisonSettings.model_validate(settings)
    results = {run: files.read_json(path) for run, path in comparison.by_run(fits).items()}
    toys = {run: files.read_json(path) for run, path in comparison.by_run(coverages).items()}
    budgets = {run: comparison.budget(files.read_table(path)) for run, path in comparison.by_run(histories).items()}
    samples = comparison.read_weights(events, chosen)
    aucs = {
        run: comparison.auc(path, samples, chosen)
        for run, path in logs.progress(comparison.by_run(scores).items(), "AUC", len(scores))
    }
    summary = comparison.summarise(results, budgets, aucs, toys, chosen)
    tables = {
        "summary": summary,
        "trainings": comparison.rank(summary, chosen),
        "breakdown": comparison.breakdown(results, chosen),
        "coverage": comparison.coverage(toys, chosen),
    }
    for name, table in tables.items():
        files.write_table(outputs[name], table)


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_trainings(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("fits", "histories", "scores")),
            [Path(path) for path in snakemake.input.events],
            coverages=[Path(path) for path in snakemake.input.get("coverages", [])],
            outputs={name: Path(path) for name, path in snakemake.output.items()},
            settings=snakemake.params.settings,
        )
