"""Check the intervals of one workspace with pseudo-experiments, at nominal and at displaced true points."""

from pathlib import Path
from typing import Any

from nuisflow.inference import truths
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress
from nuisflow.slices.inference import ToySettings
from nuisflow.storage import files, logs


def throw_toys(
    workspace: Path, displaced: Path | None, experiments: Path, coverage: Path, *, settings: dict[str, Any]
) -> None:
    """Fit pseudo-experiments at every true point; write each of them, and the coverage they show.

    *displaced*: the expected events at displaced points; None if there are none.
    """
    chosen = ToySettings.model_validate(settings)
    model = Model(files.read_json(workspace))
    listed = truths.listed(model, files.read_histograms(displaced) if displaced else {}, chosen)
    found, summaries = [], []
    for truth in progress(listed, "true points", len(listed)):
        thrown = truths.throw(model, truth, chosen)
        summaries.append(truths.summary(model, truth, thrown))
        if thrown is not None:
            found.append((truth, thrown))
    truths.write(experiments, found)
    files.write_json(coverage, summaries)


if __name__ == "__main__":
    with logs.job(snakemake):
        throw_toys(
            Path(snakemake.input.workspace),
            next((Path(path) for path in snakemake.input.displaced), None),
            Path(snakemake.output.toys),
            Path(snakemake.output.coverage),
            settings=snakemake.params.settings,
        )
