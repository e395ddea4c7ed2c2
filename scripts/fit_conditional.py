"""Fit one training that is scored at every hypothesised z: best fit, uncertainties, impacts, scan, coverage."""

from pathlib import Path
from typing import Any

from nuisflow.inference import fitted, truths
from nuisflow.inference.conditional import hypotheses, measurements, toys
from nuisflow.inference.conditional.model import Data
from nuisflow.likelihood.fits import FitResult
from nuisflow.settings.conditional import NOMINAL, Grid
from nuisflow.slices.inference import FitSettings, ToySettings, WorkspaceSettings
from nuisflow.storage import files, logs


def fit_conditional(
    conditional: Path, patterns: Path, templates: Path, outputs: dict[str, Path], *, settings: dict[str, Any]
) -> None:
    """Fit the histograms *conditional*, throw toys of *patterns*; write fit, impacts, scan, toys, coverage, workspaces.

    *templates*: those of the score at z = 0, whose bins are used; few simulated events are remarked upon there.
    """
    grid = Grid.model_validate(settings["grid"])
    chosen = FitSettings.model_validate(settings["fit"])
    histograms = files.read_histograms(conditional)
    workspace = WorkspaceSettings.model_validate(settings["workspace"])
    observables = hypotheses.observables(histograms, grid, workspace)
    model = observables.nominal
    expected = hypotheses.Expected(histograms, model.nominal.channels, workspace.signal)
    nominal = files.read_histograms(templates)
    edges = {name: histogram.axes["score"].edges for name, histogram in nominal.items()}
    data = {"asimov": model.data(expected.at(NOMINAL))}
    data |= {"observed": model.data(expected.observed())} if chosen.observed else {}
    scored = {kind: one for kind, sets in data.items() for one in observables.each(sets)}
    background = model.data(expected.at(NOMINAL, 0.0))

    def measure(kind: str, one: Data, best: FitResult) -> dict[str, Any]:
        _, score, likelihood, _ = scored[kind]
        given = {"edges": edges, "background": observables.binned(background, score), "observed": kind == "observed"}
        return measurements.measure(likelihood, one, best, chosen.groups, **given)

    asked = {kind: (one.likelihood, one.data) for kind, one in scored.items()}
    scores = {kind: one.score for kind, one in scored.items()}
    fitted.write(asked, measure, nominal, outputs, settings=chosen, further={"score": scores})
    thrown = toys.throw(
        observables,
        expected,
        files.read_table(patterns),
        ToySettings.model_validate(settings["toys"]),
        settings["thrown"],
    )
    truths.write(outputs["toys"], thrown.experiments)
    files.write_json(outputs["coverage"], thrown.coverage)
    files.write_json(outputs["workspaces"], hypotheses.described(histograms, grid, workspace, scores))


if __name__ == "__main__":
    with logs.job(snakemake):
        fit_conditional(
            *(Path(snakemake.input[name]) for name in ("conditional", "patterns", "templates")),
            outputs={name: Path(path) for name, path in snakemake.output.items()},
            settings=snakemake.params.settings,
        )
