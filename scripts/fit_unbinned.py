"""Fit the likelihood of single events of one training: best fit, uncertainties, impacts, scan, coverage."""

from pathlib import Path
from typing import Any

from nuisflow.inference import fitted, truths
from nuisflow.inference.unbinned import events, goodness, measurements, toys
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import measurements as shared
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import FitSettings, ToySettings
from nuisflow.storage import files, logs


def fit_unbinned(inputs: dict[str, Path], outputs: dict[str, Path], *, settings: dict[str, Any]) -> None:
    """Fit the *densities* with their *description*, throw toys of events; write fit, impacts, scan, toys, coverage.

    *workspace*, *templates*: those of the score; they show the yields at the best fit in bins.
    """
    chosen = FitSettings.model_validate(settings["fit"])
    model = UnbinnedModel(files.read_json(inputs["description"]))
    histograms = files.read_histograms(inputs["templates"])
    displaced = files.read_histograms(inputs["displaced"]) if "displaced" in inputs else {}
    pools = events.Pools(inputs["densities"], model, settings["samples"], histograms, displaced)
    workspace = Model(files.read_json(inputs["workspace"]))
    edges = {name: histogram.axes["score"].edges for name, histogram in histograms.items()}
    data = {"asimov": events.asimov(model, pools["nominal"])}
    if chosen.observed:
        data["observed"] = events.asimov(model, pools["data"])
    spread = measurements.spread(files.read_table(inputs["replicas"]), model.poi) if "replicas" in inputs else None

    def measure(kind: str, one: Data, best: FitResult) -> dict[str, Any]:
        observed = kind == "observed"
        start = model.best(one, {model.poi: 0.0}).values if observed else model.point({model.poi: 0.0})
        background = events.asimov(model, pools["nominal"], start)
        found = shared.measured_against(model, one, best, chosen.groups, background, observed=observed)
        found = measurements.with_simulation(found, spread)
        if observed:
            given = {"number": chosen.goodness_toys, "seed": chosen.seed}
            found["goodness_of_fit"] = goodness.test(model, pools["nominal"], one, best, **given)
        return found | {"yields": shared.yields_at(workspace, kind, best, edges)}

    information = {"names": model.names, "matrix": model.information(data["asimov"], model.inits).tolist()}
    fitted.write(
        {kind: (model, one) for kind, one in data.items()},
        measure,
        histograms,
        outputs,
        settings=chosen,
        further={"information": information},
    )
    thrown = toys.throw(model, pools, ToySettings.model_validate(settings["toys"]))
    truths.write(outputs["toys"], thrown.experiments)
    files.write_json(outputs["coverage"], thrown.coverage)


if __name__ == "__main__":
    with logs.job(snakemake):
        fit_unbinned(
            {name: Path(snakemake.input[name]) for name in ("densities", "description", "workspace", "templates")}
            | dict(zip(["displaced"], map(Path, snakemake.input.displaced), strict=False))
            | dict(zip(["replicas"], map(Path, snakemake.input.replicas), strict=False)),
            {name: Path(path) for name, path in snakemake.output.items()},
            settings=snakemake.params.settings,
        )
