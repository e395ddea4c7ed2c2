"""From a classifier and files of events to its likelihood and the nominal events, without a file between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nuisflow.inference.unbinned import events
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.strategies.unbinned import Unbinned
from nuisflow.templates.histograms import Histogram
from nuisflow.templates.unbinned import evaluation

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier


def likelihood(
    classifier: "Classifier",
    paths: Sequence[Path],
    templates: Mapping[str, Histogram],
    settings: UnbinnedFilling,
    scratch: Scratch,
    *,
    replica: int = 0,
) -> tuple[UnbinnedModel, Events]:
    """Return the likelihood of what a classifier has learned, and the nominal events of the files *paths*.

    *templates*: of regions that have bins; *replica*: of a bootstrap of the simulation, in yields and mean responses.
    """
    strategy = classifier.strategy
    assert isinstance(strategy, Unbinned)  # for mypy
    sums = evaluation.Sums(strategy, settings, replica)
    simulated = _nominal(classifier, paths, settings, sums, scratch)
    model = UnbinnedModel(evaluation.describe(strategy, sums, templates, settings))
    return model, simulated._replace(bins=events.contents(model, templates, NOMINAL, model.processes))


def whole(
    classifier: "Classifier",
    paths: Sequence[Path],
    expected: Mapping[str, np.ndarray],
    settings: UnbinnedFilling,
    scratch: Scratch,
) -> Events:
    """Return all nominal events where *settings* are those of a part; *expected*: those in the bins of every region.

    Bins are not told apart by processes: the first has all.
    """
    strategy = classifier.strategy
    assert isinstance(strategy, Unbinned)  # for mypy
    chosen = settings.model_copy(update={"used": {}, "displaced": {}})
    nominal = [
        path
        for path in paths
        if path.parent.name == NOMINAL
        and path.stem not in chosen.alternatives
        and chosen.samples[path.stem] in strategy.processes
    ]
    found = _nominal(classifier, nominal, chosen, evaluation.Sums(strategy, chosen), scratch)
    bins = [expected[name] for name in chosen.regions if name not in chosen.scored]
    first = np.eye(1, len(strategy.processes))
    return found._replace(bins=np.concatenate([np.zeros(0), *bins])[:, None] * first)


def _nominal(
    classifier: "Classifier", paths: Sequence[Path], settings: UnbinnedFilling, sums: evaluation.Sums, scratch: Scratch
) -> Events:
    """Return the nominal events of simulation, without bins, and add up in *sums* what is common to all."""
    processes = sums.strategy.processes
    found = events.nominal(evaluation.evaluate(paths, classifier, settings, sums), processes, settings.samples)
    return events.stacked(found, np.zeros((0, len(processes))), scratch)
