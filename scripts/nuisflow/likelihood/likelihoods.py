"""What every kind of likelihood offers, so that intervals, scans, impacts, tests and tables are written once.

A workspace (`model.Model`), a grid of workspaces and a likelihood of single events differ in what a data set is and in
how it is fitted; `fits`, `uncertainties`, `limits` and `measurements` ask the questions below and no others. A further
kind, such as a sum of likelihoods with shared names, answers them and has all the rest.
"""

# ruff: noqa: ARG002 (a question is asked of all kinds in the same words)

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from nuisflow.likelihood.constraints import auxiliary, parameters
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.progress import progress

if TYPE_CHECKING:
    from nuisflow.likelihood.fits import FitResult, Interval
    from nuisflow.likelihood.model import Intervals, Minima, Model

Data = Any
"""Data sets, of a type that belongs to the kind of likelihood: one, or one for each row of starting points."""


PART = 128
"""Fits of workspaces between two reports of progress; enough to be made side by side."""


class Row(Protocol):
    """What a parameter says of itself."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def group(self) -> str:
        """What it belongs to, as the modifier of a workspace that has one for every bin."""
        ...

    @property
    def kind(self) -> str:
        """What it acts as."""
        ...

    @property
    def constraint(self) -> str:
        """What constrains it, or "none"."""
        ...


class Likelihood(Protocol):
    """A likelihood with named parameters, constraints, and one of them of interest (others by name)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters."""
        ...

    @property
    def parameters(self) -> Sequence[Row]:
        """What the parameters are, in the order of their names."""
        ...

    @property
    def poi(self) -> str:
        """Name of the parameter of interest, if no other one is asked for."""
        ...

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of all parameters."""
        ...

    @property
    def fixed(self) -> Booleans:
        """Which parameters never move."""
        ...

    def best(self, data: Data, fixed: Mapping[str, float] | None = None) -> "FitResult":
        """Return the best fit of one data set with all care, some parameters *fixed* at these values."""
        ...

    def minima(self, data: Data, start: Floats, held: Booleans, near: Floats) -> "Minima":
        """Return a fit for every row of *start* (rows, parameters), *held* parameters staying there.

        *near*: a fit that is close to all.
        """
        ...

    def interval(self, data: Data, best: "FitResult", parameter: str) -> "Interval":
        """Return the profile-likelihood interval of a parameter, with what is wrong with it."""
        ...

    def intervals(
        self, minima: "Minima", parameter: str, data: Data, fixed: Booleans, *, tolerance: float
    ) -> "Intervals":
        """Return the interval of a parameter around every minimum, with *fixed* ones held there (rows, parameters)."""
        ...

    def shifted(self, data: Data, sign: float) -> tuple[Integers, Data]:
        """Return the constrained parameters, and for each the data with its auxiliary measurement one deviation off."""
        ...

    def constraints(self, data: Data) -> tuple[Floats, Floats]:
        """Return where the constraints pull all parameters to, and their prefit widths; NaN without a constraint."""
        ...

    def main_part(self, data: Data, best: "FitResult", parameter: str) -> float:
        """Return the standard deviation of a parameter from fluctuations of the main data; NaN if that is not known."""
        ...

    def saturated(self, data: Data, best: "FitResult") -> tuple[float, int]:
        """Return -2 ln of the likelihood ratio to the saturated model (NaN: there is none), the number of main data."""
        ...


def index(likelihood: Likelihood, name: str) -> int:
    """Return the place of a parameter."""
    if name not in likelihood.names:
        raise ValueError(f"no parameter {name!r}; there are: {', '.join(likelihood.names)}")
    return likelihood.names.index(name)


def named(likelihood: Likelihood, names: Sequence[str]) -> Booleans:
    """Return which parameters have one of these names, or belong to a modifier of this name."""
    rows = likelihood.parameters
    known = {row.name for row in rows} | {row.group for row in rows}
    for name in names:
        if name not in known:
            raise ValueError(f"no parameter or modifier {name!r}; there are: {', '.join(sorted(known))}")
    return np.array([row.name in names or row.group in names for row in rows])


def others(likelihood: Likelihood, parameter: str) -> Booleans:
    """Return the parameters that may move, without *parameter*."""
    free: Booleans = ~likelihood.fixed
    free[index(likelihood, parameter)] = False
    return free


class OfWorkspace:
    """How a workspace answers: `model.Model` is one; what it takes lies above the model, and is loaded when asked."""

    @property
    def _model(self) -> "Model":
        return cast("Model", self)

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of all parameters."""
        return self._model.lower, self._model.upper

    def best(self, data: Data = None, fixed: Mapping[str, float] | None = None) -> "FitResult":
        """Return the best fit of one data set, as `fits.fit`."""
        from nuisflow.likelihood import fits

        return fits.fit(self._model, data, fixed=fixed)

    def minima(self, data: Data, start: Floats, held: Booleans, near: Floats) -> "Minima":
        """Return the deepest minimum for every row of *start*, as `starts.deepest`; each part is told of."""
        from nuisflow.likelihood import starts
        from nuisflow.likelihood.model import Minima

        tolerance = 1e-8 if self._model.large else 1e-10  # a step follows, which makes it about the square of that
        found, sets = [], None if data is None else np.atleast_2d(np.asarray(data))
        parts = [np.arange(first, min(first + PART, len(start))) for first in range(0, len(start), PART)]
        for rows in progress(parts, "fits: part", len(parts)):
            chosen = sets if sets is None or len(sets) == 1 else sets[rows]
            found.append(starts.deepest(self._model, chosen, start[rows], held[rows], tolerance=tolerance, near=near))
        return Minima(*map(np.concatenate, zip(*found, strict=True)))

    def interval(self, data: Data, best: "FitResult", parameter: str) -> "Interval":
        """Return the profile-likelihood interval of a parameter, as `fits.interval`."""
        from nuisflow.likelihood import fits

        return fits.interval(self._model, data, parameter, result=best)

    def intervals(self, minima: "Minima", parameter: str, data: Data = None, fixed: Any = None, *, sigmas: float = 1.0,
                  tolerance: float = 1e-6, workers: int | None = None) -> "Intervals":  # fmt: skip
        """Return where -2 ln L, profiled over all else, rises by sigmas^2 on both sides of each best fit (MINOS).

        As `valleys.ends.intervals`, which is thorough for the minima of one data set.
        """
        from nuisflow.likelihood.valleys import ends

        thorough = data is None or np.ndim(data) == 1 or len(data) == 1
        return ends.intervals(self._model, minima, parameter, data, fixed, sigmas=sigmas, tolerance=tolerance,
                              workers=workers, thorough=thorough)  # fmt: skip

    def shifted(self, data: Data, sign: float) -> tuple[Integers, Data]:
        """Return the constrained parameters, and for each the data with its auxiliary measurement one deviation off.

        Correlated measurements move together, along the columns of the root of their covariance.
        """
        model = self._model
        main, measured = model.split(data)
        flat = np.concatenate([main[0], measured[0][model.constrained]])
        of = [model.parameters[i] for i in model.constrained]
        rows, blocks = auxiliary.given(of, model.structure.extended.correlations, ~model.fixed[model.constrained])
        sets = np.tile(flat, (len(rows), 1))
        sets[:, model.bins :] = auxiliary.shifted(rows, blocks, flat[model.bins :], sign)
        return model.constrained, sets

    def constraints(self, data: Data = None) -> tuple[Floats, Floats]:
        """Return where the workspace's own measurements pull all parameters to, and their prefit widths."""
        model = self._model
        rows, _ = auxiliary.given(model.parameters, model.structure.extended.correlations, ~model.fixed)
        return parameters.centres(rows), parameters.widths(rows)

    def main_part(self, data: Data, best: "FitResult", parameter: str) -> float:
        """Return the standard deviation from the Poisson fluctuations of all bins, to first order."""
        from nuisflow.likelihood import covariances

        column = best.covariance[self._model.index(parameter)]
        rates, change = covariances.along(self._model, best.values, column)
        return float(np.sqrt((change**2 / np.where(rates > 0, rates, np.inf)).sum()))

    def saturated(self, data: Data, best: "FitResult") -> tuple[float, int]:
        """Return the statistic relative to the saturated model (Cousins 2013), and the number of bins."""
        return best.twice_nll - float(self._model.constants(data)[0]), self._model.bins
