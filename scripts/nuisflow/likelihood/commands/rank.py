"""Impact of every nuisance parameter on the parameter of interest, largest first, also of groups of them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from nuisflow.likelihood import fits, measurements, starts, uncertainties
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table, together
from nuisflow.likelihood.commands.fit import OWN_SOURCES
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.likelihoods import Likelihood
from nuisflow.likelihood.model import Minima, Model

_APART = 0.01  # relative difference of impacts, of the largest one, that is told


class _Nearest:
    """A model whose conditional fits stay in the minimum next to the best fit, wherever deeper ones are."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def minima(self, data: Any, start: Floats, held: Booleans, near: Floats) -> Minima:
        """Return a fit for every row of *start*, from there only."""
        return self._model.minimise(data, start, held, 1e-10, near=near)


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Rank, for every parameter of interest."""
    groups = question.groups_of(options.group, asked.model, OWN_SOURCES)
    return together(question.each(asked, lambda one: rank(one, groups, near=options.near, drawn=bool(options.plots))))


def rank(
    asked: Question, groups: Mapping[str, Sequence[str]] | None = None, *, near: bool = False, drawn: bool = False
) -> Answer:
    """List the impact of every nuisance parameter on the parameter of interest, largest first, and that of *groups*."""
    model, data = asked.model, asked.data
    best, facts, warnings = question.fitted(model, data)
    pulls = {row.parameter: row for row in fits.pulls(model, best)}
    found = uncertainties.impacts(cast(Likelihood, _Nearest(model)) if near else model, data, best=best)
    rows = [{k: v for k, v in row._asdict().items() if k != "group"} | question.pull(pulls, row.parameter)
            for row in found]  # fmt: skip
    lost = [row["parameter"] for row in rows if not np.isfinite([row["up"], row["down"]]).all()]
    told = "no impact: its shifted fit did not converge, or it is at a bound, where it has no error"
    warnings += [f"{name}: {told}" for name in lost]
    if near and len(starts.two_sided(model)):
        warnings += _deeper(found, uncertainties.impacts(model, data, best=best))
    title = (
        f"impacts: changes of {model.poi} when the parameter moves up and down by its postfit error (prefit: by its "
        f"prefit width; observable: when its auxiliary measurement moves by one standard deviation)"
    )
    tables = [_groups(asked, best, groups)] if groups and best.converged else []
    shown = {"impacts": measurements.rows_of(found, fits.pulls(model, best), asked.told)} if drawn else {}
    return Answer(facts, [*tables, Table("impacts", title, rows)], warnings, best.converged and not lost, shown)


def _deeper(near: Sequence[uncertainties.Impact], deep: Sequence[uncertainties.Impact]) -> list[str]:
    """Return a line for every impact that is another one in a deeper minimum."""
    other = {row.parameter: row for row in deep}
    size = max((abs(value) for row in near for value in (row.up, row.down) if np.isfinite(value)), default=0.0)
    return [
        f"{row.parameter}: a deeper minimum exists {'up' if side == 'up' else 'down'}, where its impact is {there:.4g} "
        f"instead of {here:.4g} (--near stays at the minimum next to the best fit)"
        for row in near
        for side in ("up", "down")
        if abs((there := getattr(other[row.parameter], side)) - (here := getattr(row, side))) > _APART * size
    ]


def _groups(asked: Question, best: fits.FitResult, groups: Mapping[str, Sequence[str]]) -> Table:
    """Return what groups contribute to the uncertainty, largest first."""
    parts = uncertainties.breakdown(asked.model, asked.data, groups=groups, best=best)
    rows: list[Row] = [
        {"group": row.group, "frozen": row.frozen, "observables": row.observable}
        for row in sorted(parts.sources, key=lambda row: -np.nan_to_num(row.frozen))
        if row.group in groups
    ]
    title = f"uncertainty of {asked.model.poi} by group: frozen and subtracted in quadrature; measurements shifted"
    return Table("groups", title, rows)


COMMAND = Command(
    run,
    "impact of every nuisance parameter, largest first, and of groups",
    "--asimov --group 'jets=jes,jer' --output impacts.csv",
    {
        "--group": own.GROUP,
        "--near": {"action": "store_true", "help":
                   "stay at the minimum next to the best fit, as other programs do, and tell where a deeper one is"},
    },
)  # fmt: skip
