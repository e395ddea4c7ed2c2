"""Collect the results of all trainings in tidy tables and rank them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.comparison import held_out, robustness, separation, trainings
from nuisflow.progress import progress
from nuisflow.slices.report import ComparisonSettings
from nuisflow.storage import files, logs


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
    chosen = ComparisonSettings.model_validate(settings)
    results = {run: files.read_json(path) for run, path in trainings.by_run(fits).items()}
    toys = {run: files.read_json(path) for run, path in trainings.by_run(coverages).items()}
    budgets = {run: trainings.budget(files.read_table(path)) for run, path in trainings.by_run(histories).items()}
    moved = {run: files.read_table(path) for run, path in trainings.by_run(impacts).items()}
    answers = {run: files.read_table(path) for run, path in trainings.by_run(members).items()}
    samples = {path.stem: path for path in events}
    aucs = {
        run: separation.auc(path, samples, chosen)
        for run, path in progress(trainings.by_run(scores).items(), "AUC", len(scores))
    }
    summary = trainings.summarise(results, budgets, aucs, toys, chosen)
    covered = trainings.coverage(toys, chosen)
    tables = {
        "summary": summary,
        "trainings": trainings.rank(summary, chosen),
        "breakdown": trainings.breakdown(results, chosen, answers),
        "limits": trainings.limits(results, chosen),
        "impacts": trainings.impacts(moved, chosen),
        "coverage": covered,
        "robustness": robustness.table(covered, chosen),
        "held_out": held_out.table(trainings.impacts(moved, chosen), covered, chosen),
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
