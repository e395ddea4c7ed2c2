"""How well a likelihood of single events describes one data set: a saturated chi-squared in bins of what it measures.

Events have no saturated model. ln R(x) at the best fit is one number per event, and all that its fit knows of the event
near there; its distribution has bins, and bins have one (Cousins 2013). Regions with bins and pulls count as they are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.events import Events
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood import limits, toys
from nuisflow.likelihood.fits import FitResult
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels import density_fits
from nuisflow.likelihood.kernels.densities import Data
from nuisflow.likelihood.measurements import plain

BINS = 20
"""Of ln R, with as many events in each by the best fit; fewer where these would be less than `LEAST`."""
LEAST = 10


class Binned:
    """The distribution of ln R at the *best* fit, and that of regions with bins, for any data and any parameters.

    *simulated*: nominal events. Those at other parameters are the same ones, with the response of their own process.
    """

    def __init__(self, model: UnbinnedModel, simulated: Events, best: Floats) -> None:
        self.model, self.best, self.simulated = model, best, simulated
        there, none = simulated.moved(model, best), np.zeros(len(model.bins))
        weight, ratio = np.array(there.weight), np.empty(len(there.weight))
        for rows in simulated.blocks():
            values, fold = simulated.values[rows], simulated.fold[rows]
            data = model.data(simulated.weight[rows], values, fold, counts=none)
            ratio[rows][np.argsort(fold, kind="stable")] = self.log_ratio(data)
        number = int(np.clip(weight.sum() / LEAST, 2, BINS))
        rise = np.argsort(ratio, kind="stable")
        share = np.cumsum(np.maximum(weight[rise], 0.0))
        self.edges = ratio[rise][np.searchsorted(share, share[-1] * np.arange(1, number) / number)]
        self.place = np.searchsorted(self.edges, ratio, side="right")

    def log_ratio(self, data: Data) -> Floats:
        """Return ln R of all single events of *data* at the best fit, in their order there."""
        return self.model.log_ratio(data, self.best)

    def expected(self, values: Floats) -> Floats:
        """Return the expected events in all bins, those of ln R first."""
        there, size = self.simulated.moved(self.model, values), len(self.edges) + 1
        found = sum(np.bincount(self.place[rows], there.weight[rows], size) for rows in there.blocks())
        return np.concatenate([found, there.bins.sum(axis=1)])

    def counted(self, data: Data) -> Floats:
        """Return the events of *data* in all bins."""
        last = data.start[self.model.folds]
        place = np.searchsorted(self.edges, self.log_ratio(data), side="right")
        return np.concatenate([np.bincount(place, data.weight[:last], len(self.edges) + 1), data.weight[last:]])

    def statistic(self, data: Data, values: Floats) -> tuple[float, float]:
        """Return chi-squared of all bins relative to the saturated model, and that of the pulls."""
        seen, expected = self.counted(data), np.maximum(self.expected(values), 1e-9)
        bins = 2 * (
            expected - seen + seen * np.log(np.where(seen > 0, seen, 1.0) / expected * (seen > 0) + (seen <= 0))
        )
        pulls = values - data.centre
        return float(bins.sum()), float(pulls @ self.model.structure.precision @ pulls)


def test(
    model: UnbinnedModel, simulated: Events, data: Data, best: FitResult, *, number: int, seed: int
) -> dict[str, Any] | None:
    """Return chi-squared of the *best* fit to *data*, degrees of freedom, and the p value of *number* experiments.

    They are thrown at the best fit from *simulated* nominal events with their responses, and fitted each. The p value
    of chi-squared alone (``p_value``) is rough: the fit is not one to these bins. *pulls*: their part of chi-squared.
    """
    if not best.converged:
        return None
    binned = Binned(model, simulated, best.values)
    bins, pulls = binned.statistic(data, best.values)
    asymptotic = limits.compared(model, bins + pulls, len(binned.edges) + 1 + len(model.bins))
    found = {"chi2": bins + pulls, "ndof": asymptotic.degrees, "p_value": asymptotic.p_value, "pulls": pulls}
    thrown = _thrown(binned, number, seed) if number else iter(())
    tally = toys.tallied(bins + pulls, np.fromiter(thrown, np.float64), number)._asdict() if number else None
    return dict(plain(found | {"toys": tally}))


def _thrown(binned: Binned, number: int, seed: int) -> Iterator[float]:
    """Yield the statistic of pseudo-experiments at the best fit; NaN where a fit failed."""
    model, best = binned.model, binned.best
    there = binned.simulated.to_draw(model, best)
    for data in experiments.throw(model, there, best, number, "goodness of fit", seed=seed):
        values, _, _, end = model.minimise(data, best)
        yield sum(binned.statistic(data, values)) if end == density_fits.CONVERGED else np.nan
