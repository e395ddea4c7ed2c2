"""A trained classifier with its likelihood as a submission to the Fair Universe challenge (arXiv:2410.02867)."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nuisflow.events.parts import EVERYTHING
from nuisflow.events.selection import check_finite, select
from nuisflow.inference import bootstrap
from nuisflow.inference.bootstrap import FITTED, Filler
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.settings.checks import analysis, reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Configuration, Sample
from nuisflow.slices import events as slices
from nuisflow.slices.events import EventSelection
from nuisflow.slices.training import scoring
from nuisflow.storage import files

if TYPE_CHECKING:
    import pandas as pd

COLLECTED = Sample(process="data")
"""Events of an experiment: each counts once, whatever the configuration says about weights."""


class Submission(NamedTuple):
    """What a measurement needs: the selection, the filler of the bins, the likelihood and the name of the POI."""

    selection: EventSelection
    filler: Filler
    model: Model
    poi: str

    def contents(self, table: "pd.DataFrame", weights: np.ndarray | None = None) -> Floats:
        """Return the events of *table* (columns of the data set, as measured) in the bins of the likelihood.

        *weights*: how often each occurs; default: once. Everything derived is computed anew.
        """
        columns = {str(name): table[name].to_numpy() for name in table.columns}
        # No network has seen these events, so that any may score them: they are shared out evenly.
        columns["entry"] = np.arange(len(table))
        selected = select(columns, self.selection, COLLECTED, {}, {})
        check_finite(selected, self.selection.features, "experiment")
        number = np.ones(len(table)) if weights is None else np.asarray(weights, np.float64)
        filled = np.bincount(self.filler.bins(selected), number[selected["row"]], minlength=self.filler.size)
        return filled.astype(np.float64)

    def predict(self, test_set: Mapping[str, Any]) -> dict[str, float]:
        """Return what the challenge asks for: mu_hat, its uncertainty delta_mu_hat, and the interval p16 to p84.

        *test_set* has ``data`` (a table) and ``weights``. Where the fit fails, the interval is the range of the POI.
        """
        found = bootstrap.measure(self.model, self.contents(**_parts(test_set))[None], self.poi).iloc[0]
        if found["converged"]:
            value, low, high = (float(found[name]) for name in FITTED)
        else:
            index = self.model.index(self.poi)
            value, low, high = (float(part[index]) for part in (self.model.inits, self.model.lower, self.model.upper))
            logging.getLogger(__name__).warning("the fit failed: %s is between %g and %g", self.poi, low, high)
        return {"mu_hat": value, "delta_mu_hat": 0.5 * (high - low), "p16": low, "p84": high}


def _parts(test_set: Mapping[str, Any]) -> dict[str, Any]:
    return {"table": test_set["data"], "weights": np.asarray(test_set["weights"])}


def load(configuration: Path, folder: Path | None = None, training: str | None = None, seed: int = 1) -> Submission:
    """Return the submission made of *training* (default: the first) from the results in *folder*.

    *folder* is by default ``results/<analysis>``. Raise `ConfigurationError` for a training that is not there.
    """
    settings = reading.load(configuration)
    name = training or next(iter(settings.trainings))
    if name not in settings.trainings:
        raise ConfigurationError(
            f"{configuration}: trainings: no training {name!r}; {analysis.suggest(name, settings.trainings)}"
        )
    return of(settings, (folder or Path("results") / settings.analysis) / "trainings" / name / f"seed{seed}")


def of(settings: Configuration, folder: Path) -> Submission:
    """Return the submission made of the files ``model.pt``, ``templates.json`` and ``workspace.json`` in *folder*."""
    from nuisflow.learning.classifier import Classifier

    classifier = Classifier.load(folder / "model.pt").to("cpu")
    classifier.check(scoring(settings))
    model = Model(files.read_json(folder / "workspace.json"))
    selection = slices.selection(settings).model_copy(update={"rows": EVERYTHING})
    templates = files.read_histograms(folder / "templates.json")
    filler = bootstrap.filler(classifier, templates, model, selection)
    return Submission(selection, filler, model, settings.fit.poi)
