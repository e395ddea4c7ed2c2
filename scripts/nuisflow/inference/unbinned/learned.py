"""From a classifier and files of events to its likelihood and the nominal events, without a file between."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nuisflow.inference.unbinned import events
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scratch import Scratch
from nuisflow.likelihood import starts
from nuisflow.likelihood.histfactory import Floats
from nuisflow.settings.unbinned import NOMINAL
from nuisflow.slices.unbinned import UnbinnedFilling
from nuisflow.storage import event_files
from nuisflow.strategies.unbinned import Unbinned
from nuisflow.templates.histograms import Histogram
from nuisflow.templates.unbinned import evaluation

ASKED = 50_000
"""Events that are asked how the density changes, about."""

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
    description = evaluation.describe(strategy, sums, templates, settings)
    model = UnbinnedModel(description)
    simulated = simulated._replace(bins=events.contents(model, templates, NOMINAL, model.processes))
    return UnbinnedModel(description | {"two_sided": two_sided(model, simulated)}), simulated


def described(
    description: dict[str, Any], densities: Path, templates: Mapping[str, Histogram], samples: Mapping[str, str]
) -> dict[str, Any]:
    """Return a *description* with what the nominal events in a file of *densities* say of it: its two-sided parameters.

    *samples*: the process of every sample.
    """
    model = UnbinnedModel(description)
    step = 1 + event_files.count_rows(densities) // (20 * ASKED)
    found = [
        part.chosen((part.process < len(model.processes)) & (np.arange(len(part.weight)) % step == 0))
        for part in events.parts(densities, model, samples, NOMINAL)
    ]
    weight, process, fold, values = (np.concatenate(columns) for columns in list(zip(*found, strict=True))[1:])
    bins = events.contents(model, templates, NOMINAL, model.processes)
    return description | {"two_sided": two_sided(model, Events(weight * step, process, fold, values, bins))}


def two_sided(model: UnbinnedModel, simulated: Events) -> list[str]:
    """Return the parameters whose variations do the same up and down, the strongest first, as `starts.two_sided`.

    By what they make of the density at the nominal events, of which every n-th is asked.
    """
    even, odd = np.zeros(len(model.names)), np.zeros(len(model.names))
    step = 1 + len(simulated.weight) // ASKED
    weight, fold, values = simulated.weight[::step] * step, simulated.fold[::step], simulated.values[::step]
    values, nominal = model.widened(values), simulated.bins.sum(axis=1)

    def changed(place: Floats) -> Floats:
        """Return ln of the factor on the intensity at all events, and on the content of all bins."""
        here, there = (model.intensities(point, fold, values).sum(axis=1) for point in (model.inits, place))
        bins = (model.bin_responses(place) * simulated.bins).sum(axis=1)
        ratios = np.concatenate([there / here, bins / np.where(nominal > 0, nominal, 1.0)])
        return np.asarray(np.log(np.where(ratios > 0, ratios, 1.0)))

    sizes = np.concatenate([np.abs(weight), nominal])
    for index, row in enumerate(model.parameters):
        if row.kind in ("learned", "rate"):
            up, down = (changed(model.inits + side * (np.arange(len(even)) == index)) for side in (1.0, -1.0))
            even[index], odd[index] = (sizes @ (0.5 * (up + sign * down)) ** 2 for sign in (1.0, -1.0))
    found = np.flatnonzero((even > starts.EVEN) & (even > starts.RATIO * odd))
    return [model.names[index] for index in found[np.argsort(-even[found])]]


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
