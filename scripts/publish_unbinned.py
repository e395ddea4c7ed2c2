"""Write the likelihood of single events of one training in a form that others can evaluate."""

from pathlib import Path
from typing import Any

from nuisflow.inference.unbinned import events, publication
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.slices.unbinned import Publishing
from nuisflow.storage import files, logs


def publish_unbinned(inputs: dict[str, Path], folder: Path, *, settings: dict[str, Any]) -> None:
    """Write into *folder* what `publication` says of the *densities* with their *description*.

    *templates*, *workspace*: those of the score, for regions with bins. Data only where they are unblinded.
    """
    chosen = Publishing.model_validate(settings)
    model = UnbinnedModel(files.read_json(inputs["description"]))
    histograms = files.read_histograms(inputs["templates"])
    kinds = ["simulation", "data"] if chosen.observed else ["simulation"]
    rows = {kind: publication.rows(model, inputs["densities"], chosen.samples, kind) for kind in kinds}
    counts = {kind: events.expected_bins(model, histograms, kind) for kind in kinds}
    publication.write(folder, model, rows, counts)
    if model.description["binned"]:
        channels = [region["region"] for region in model.description["binned"]]
        files.write_json(folder / "binned.json", publication.workspace(files.read_json(inputs["workspace"]), channels))


if __name__ == "__main__":
    with logs.job(snakemake):
        publish_unbinned(
            {name: Path(snakemake.input[name]) for name in ("densities", "description", "templates", "workspace")},
            Path(snakemake.output.description).parent,
            settings=snakemake.params.settings,
        )
