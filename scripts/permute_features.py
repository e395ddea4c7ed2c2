"""Find what every feature does to the measurement: σ(mu) when its values are those of other events."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.comparison.review import permutation
from nuisflow.comparison.trainings import by_run
from nuisflow.learning import plain
from nuisflow.progress import progress
from nuisflow.slices.review import PermutationSettings
from nuisflow.storage import files, logs


def permute_features(
    models: Sequence[Path], templates: Sequence[Path], events: Sequence[Path], table: Path, *, settings: dict[str, Any]
) -> None:
    """Write a row per run of *models* and feature to *table*: σ(mu) of refilled *templates*, and against no change."""
    chosen = PermutationSettings.model_validate(settings)
    paths = {(path.parent.name, path.stem): path for path in events}
    common = next(iter(chosen.fillings.values()))
    drawn = permutation.draw(paths, chosen.features, common, chosen.events)
    exchange = permutation.Exchange(drawn, common)
    histograms = by_run(templates)
    rows = []
    for run, path in progress(by_run(models).items(), "permutations", len(models)):
        _, score = plain.scorer(path, "cpu")
        own = files.read_histograms(histograms[run])
        asked = permutation.Asked(own, chosen.fillings[run.training], chosen.workspaces[run.training])
        for name, found in permutation.uncertainties(score, drawn, exchange, asked, chosen):
            values = {key: None if np.isnan(value) else value for key, value in found._asdict().items()}
            rows.append(run._asdict() | {"feature": name} | values)
    files.write_rows(table, rows)


if __name__ == "__main__":
    with logs.job(snakemake):
        permute_features(
            *([Path(path) for path in getattr(snakemake.input, name)] for name in ("models", "templates", "events")),
            Path(snakemake.output.table),
            settings=snakemake.params.settings,
        )
