"""Collect the results of all trainings in tidy tables and rank them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow import comparison, files, held_out, logs, robustness, shown


def compare_trainings(
    fits: Sequence[Path],
    histories: Sequence[Path],
    scores: Sequence[Path],
    events: Sequence[Path],
    *,
    coverages: Sequence[Path],
    impacts: Sequence[Path],
    members: Sequence[Path] = (),
    outputs: dict[str, Path],
    settings: dict[str, Any],
) -> None:
    """Write the tables named in *outputs* (summary, trainings, …) to its paths; *coverages* may be empty."""
    chosen = shown.ComparisonSettings.model_validate(settings)
    results = {run: files.read_json(path) for run, path in comparison.by_run(fits).items()}
    toys = {run: files.read_json(path) for run, path in comparison.by_run(coverages).items()}
    budgets = {run: comparison.budget(files.read_table(path)) for run, path in comparison.by_run(histories).items()}
    moved = {run: files.read_table(path) for run, path in comparison.by_run(impacts).items()}
    answers = {run: files.read_table(path) for run, path in comparison.by_run(members).items()}
    samples = comparison.read_weights(events, chosen)
    aucs = {
        run: comparison.auc(path, samples, chosen)
        for run, path in logs.progress(comparison.by_run(scores).items(), "AUC", len(scores))
    }
    summary = comparison.summarise(results, budgets, aucs, toys, chosen)
    covered = comparison.coverage(toys, chosen)
    tables = {
        "summary": summary,
        "trainings": comparison.rank(summary, chosen),
        "breakdown": comparison.breakdown(results, chosen, answers),
        "limits": comparison.limits(results, chosen),
        "impacts": comparison.impacts(moved, chosen),
        "coverage": covered,
        "robustness": robustness.table(covered, chosen),
        "held_out": held_out.table(comparison.impacts(moved, chosen), covered, chosen),
    }
    for name, path in outputs.items():
        files.write_table(path, tables[name])


if __name__ == "__main__":
    with logs.job(snakemake):
        compare_trainings(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("fits", "histories", "scores")),
            [Path(path) for path in snakemake.input.events],
            coverages=[Path(path) for path in snakemake.input.get("coverages", [])],
            impacts=[Path(path) for path in snakemake.input.impacts],
            members=[Path(path) for path in snakemake.input.get("members", [])],
            outputs={name: Path(path) for name, path in snakemake.output.items()},
            settings=snakemake.params.settings,
        )
