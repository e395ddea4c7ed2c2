"""Which score the data are binned in: that at the hypothesised z nearest to their best fit."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from nuisflow.inference.conditional.likelihood import GridLikelihood
from nuisflow.inference.conditional.model import Data
from nuisflow.likelihood.histfactory import Integers
from nuisflow.likelihood.model import Values


class Scored(NamedTuple):
    """Those *rows* of many data sets that have the score at one z (None: at every z), as *likelihood* takes them."""

    rows: Integers
    score: float | None
    likelihood: GridLikelihood
    data: Data


class Observables:
    """One likelihood for the score at each of *z*; *build* makes it when it is needed.

    With its score at a fixed z each is an ordinary likelihood, with templates at every z. Which one is asked follows
    from the data: they are fitted with the score at nominal, then with that at the z of the grid nearest to the best
    one, until this is the z of the score itself.

    Data binned anew at every hypothesised z (*rebinned*: one likelihood, of the score at None) are no data of one
    likelihood: events that happen to cross the edge of a bin between two z move -2 ln L as if they told z, by more
    than its curvature says, and intervals are too narrow.
    """

    def __init__(self, build: Callable[[float | None], GridLikelihood], z: Values, *, rebinned: bool = False) -> None:
        self.z = np.array(z, dtype=np.float64)
        self._build, self._known, self._rebinned = build, dict[int, GridLikelihood](), rebinned
        self._middle = int(np.abs(self.z).argmin())
        self.nominal = self._likelihood(self._middle)

    def each(self, data: Data) -> Iterator[Scored]:
        """Yield all sets of *data*, which are binned at every z, by the score that they are fitted with."""
        chosen = self._chosen(data)
        for place in np.unique(chosen):
            rows = np.flatnonzero(chosen == place)
            likelihood, one = self._likelihood(place), self._binned(data.take(rows), place)
            yield Scored(rows, None if self._rebinned else float(self.z[place]), likelihood, one)

    def binned(self, data: Data, score: float | None) -> Data:
        """Return *data*, which are binned at every z, as the likelihood of the score at *score* takes them."""
        return data if score is None else self._binned(data, list(self.z).index(score))

    def _likelihood(self, place: int) -> GridLikelihood:
        """Return the likelihood of the score at one z of the grid."""
        if place not in self._known:
            found = self._build(None if self._rebinned else float(self.z[place]))
            if self._known and found.names != self.nominal.names:
                odd = ", ".join(sorted(set(found.names) ^ set(self.nominal.names)))
                at = f"{found.name} = 0 and {self.z[place]:g}"
                raise ValueError(f"the models of the scores at {at} differ in {odd}; use fewer bins")
            self._known[place] = found
        return self._known[place]

    def _binned(self, data: Data, place: int) -> Data:
        """Return *data* in the score at one z; auxiliary measurements stay as many of their widths off."""
        if self._rebinned:
            return data
        here, nominal = self._likelihood(place), self.nominal
        off = (data.auxiliary - nominal.auxiliary) / nominal.widths
        main = np.repeat(data.main[:, place : place + 1], len(self.z), axis=1)
        return Data(main, here.auxiliary + off * here.widths, data.centre)

    def _chosen(self, data: Data) -> Integers:
        """Return the z of the score of every set, as places in the grid."""
        chosen = np.full(len(data.main), self._middle, dtype=np.int64)
        going = np.arange(0 if self._rebinned else len(chosen))
        for _ in self.z:  # two scores may lead to one another
            moved = chosen.copy()
            for place in np.unique(chosen[going]):
                rows, likelihood = going[chosen[going] == place], self._likelihood(place)
                best = likelihood.along(self._binned(data.take(rows), place), likelihood.start(len(rows)))
                moved[rows] = np.abs(best.values[:, -1:] - self.z).argmin(axis=1)
            going, chosen = going[moved[going] != chosen[going]], moved
            if not len(going):
                break
        return chosen
