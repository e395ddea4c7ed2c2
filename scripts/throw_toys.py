"""Check the coverage of the intervals of one workspace with pseudo-experiments."""

from pathlib import Path
from typing import Any

import pandas as pd

from nuisflow import files, likelihood, logs, slices, toys

COLUMNS = {"true": "mu_true", "number": "toys", "interval": "mean_width"}


def throw_toys(workspace: Path, experiments: Path, coverage: Path, *, settings: dict[str, Any]) -> None:
    """Fit pseudo-experiments at every true value; write each of them, and the coverage they show."""
    chosen = slices.ToySettings.model_validate(settings)
    model = likelihood.Model(files.read_json(workspace))
    names = ("throw_toys", chosen.name, chosen.repetition)
    tables, summaries = [], []
    for truth in logs.progress(chosen.toys.truths, "true values", len(chosen.toys.truths)):
        thrown = toys.run(model, {chosen.poi: truth}, chosen.toys.number, chosen.seed, *names, truth)
        tables.append(pd.DataFrame(thrown._asdict()))
        found = toys.coverage(thrown)._asdict()
        summaries.append({COLUMNS.get(name, name): value for name, value in found.items()})
    files.write_table(experiments, pd.concat(tables, ignore_index=True))
    files.write_json(coverage, summaries)


if __name__ == "__main__":
    with logs.job(snakemake):
        throw_toys(
            Path(snakemake.input.workspace),
            Path(snakemake.output.toys),
            Path(snakemake.output.coverage),
            settings=snakemake.params.settings,
        )
