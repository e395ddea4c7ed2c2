"""Map the coverage of one workspace: one pseudo-experiment at each of many random true points."""

from pathlib import Path
from typing import Any

from nuisflow.likelihood.coverage import maps
from nuisflow.likelihood.coverage.summary import summary
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import MapSettings
from nuisflow.storage import files, logs


def map_coverage(workspace: Path, output: Path, *, settings: dict[str, Any]) -> None:
    """Write where among all true points the intervals cover, and where too rarely."""
    chosen = MapSettings.model_validate(settings)
    model = Model(files.read_json(workspace)).of_interest(chosen.poi)
    names = ("map_coverage", chosen.name, chosen.repetition)
    found = maps.run(model, chosen.map.number, chosen.seed, *names, reach=chosen.map.mu)
    files.write_json(output, summary(found))


if __name__ == "__main__":
    with logs.job(snakemake):
        map_coverage(Path(snakemake.input.workspace), Path(snakemake.output.map), settings=snakemake.params.settings)
