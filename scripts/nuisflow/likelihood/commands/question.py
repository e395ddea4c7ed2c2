"""What is asked of a workspace: model, data to fit, parameters of interest; and what all answers begin with."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nuisflow.likelihood import fits
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import reading
from nuisflow.likelihood.commands.answer import Answer, NoAnswer, Row
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model

OBSERVED, NOMINAL, FITTED = "observed", "asimov", "asimov-fitted"
TOLD = {
    OBSERVED: "observed data",
    NOMINAL: "the nominal expectation (Asimov)",
    FITTED: "the expectation at the best fit to the observed data (Asimov)",
}


class Question(NamedTuple):
    """A model with its parameter of interest, *data* of a kind (see TOLD), and all parameters of interest.

    *truth*: the parameter values at which expected data were made; *held*: those of them that were asked for.
    """

    model: Model
    data: Floats
    kind: str
    pois: tuple[str, ...]
    truth: Floats
    held: Mapping[str, float] = {}

    @property
    def observed(self) -> bool:
        """Tell whether the data are those of the workspace."""
        return self.kind == OBSERVED

    @property
    def told(self) -> str:
        """Name the data as tables and figures do."""
        return OBSERVED if self.observed else NOMINAL

    def background(self) -> Floats:
        """Return the data of which expected limits are: themselves, or the expectation without signal."""
        if self.observed:
            return self.data
        without = {self.model.poi: 0.0}
        if self.kind == NOMINAL:
            return self.model.asimov(without)
        return self.model.asimov(_fitted(self.model, {**self.held, **without}))


class Command(NamedTuple):
    """A command: what it does, an example of its options, these, and whether it needs a parameter of interest."""

    run: Callable[[Question, argparse.Namespace], Answer]
    text: str
    example: str
    options: own.Options
    needs_poi: bool = True


def asked(options: argparse.Namespace, *, needs_poi: bool = True) -> Question:
    """Return the question that the common options ask."""
    settings, pois = own.settings_of(options), tuple(dict.fromkeys(options.poi))
    first = pois[0] if pois else None
    reads = {"patches": options.patch, "settings": settings, "needs_poi": needs_poi}
    model = reading.load(options.workspace, options.measurement, first, **reads)
    for name in pois[1:]:
        if name not in model.names or model.fixed[model.names.index(name)]:
            reading.load(options.workspace, options.measurement, name, **reads)  # says why
    held = {row.name: setting.value for row in model.parameters for name, setting in settings.items()
            if setting.value is not None and name in (row.name, row.group)}  # fmt: skip
    if options.asimov and options.asimov_fitted:
        raise ValueError("--asimov and --asimov-fitted are two kinds of data: leave one of them out")
    kind = NOMINAL if options.asimov else FITTED if options.asimov_fitted else OBSERVED
    truth = _fitted(model, held) if kind == FITTED else model.inits
    data = model.data if kind == OBSERVED else model.asimov(truth)
    return Question(model, data, kind, pois or ((model.poi,) if model.poi else ()), truth, held)


def of(model: Model, data: Floats | None = None) -> Question:
    """Return the question of observed *data* (default: those of the workspace)."""
    return Question(model, model.data if data is None else data, OBSERVED, (model.poi,), model.inits)


def _fitted(model: Model, held: Mapping[str, float]) -> Floats:
    """Return the best fit to the observed data with some parameters held."""
    best = fits.fit(model, fixed=held)
    if not best.converged:
        raise NoAnswer(f"--asimov-fitted: the fit to the observed data: {best.message}")
    return best.values


def each(question: Question, run: Callable[[Question], Answer]) -> dict[str, Answer]:
    """Return an answer for every parameter of interest."""
    return {poi: run(question._replace(model=question.model.of_interest(poi))) for poi in question.pois}


def fitted(model: Model, data: Floats) -> tuple[fits.FitResult, Row, list[str]]:
    """Return the best fit, its value and error, and what it says beyond that it converged."""
    best = fits.fit(model, data)
    remarks = [f"fit: {remark}" for remark in best.message.split("; ") if remark != "converged"]
    if not model.poi:
        return best, {}, remarks
    index = model.index(model.poi)
    value = best.values[index] if best.converged else math.nan
    return best, {"best_fit": value, "hessian_error": best.errors[index] if best.converged else math.nan}, remarks


def pull(pulls: Mapping[str, fits.Pull], name: str) -> Row:
    """Return pull and constraint of a parameter, None if it has no constraint."""
    found = pulls.get(name)
    return {"pull": found.pull if found else None, "constraint": found.constraint if found else None}


def groups_of(written: Sequence[str], model: Model, taken: Sequence[str]) -> dict[str, list[str]]:
    """Read NAME=par1,par2 options: the members are parameters, or modifiers with all their parameters."""
    known = dict.fromkeys([*model.names, *(row.group for row in model.parameters)])
    groups: dict[str, list[str]] = {}
    for option in written:
        name, _, members = option.partition("=")
        groups[name] = [member.strip() for member in members.split(",") if member.strip()]
        if not name or not groups[name]:
            raise ValueError(f"--group {option}: write it as NAME=par1,par2")
        if name in taken:
            raise ValueError(f"--group {name}: choose another name; the breakdown uses {', '.join(taken)}")
        for member in groups[name]:
            if member not in known:
                raise ValueError(f"--group {name}: no parameter or modifier {member!r}; "
                                 f"{reading.hint(member, list(known))}")  # fmt: skip
    return groups


def own_groups(model: Model, taken: Sequence[str]) -> dict[str, list[str]]:
    """Return the groups that the workspace itself has (those of a datacard), as far as their members act."""
    known = {*model.names, *(row.group for row in model.parameters)}
    own = {name: [member for member in members if member in known] for name, members in model.structure.extended.groups}
    return {name: members for name, members in own.items() if members and name not in taken}


def chosen(names: Sequence[str], model: Model, option: str) -> list[str]:
    """Return the parameters that *names* name: parameters, or modifiers with all their parameters."""
    known = dict.fromkeys([*model.names, *(row.group for row in model.parameters)])
    for name in names:
        if name not in known:
            raise ValueError(f"{option}: no parameter or modifier {name!r}; {reading.hint(name, list(known))}")
    return [row.name for row in model.parameters if row.name in names or row.group in names]
