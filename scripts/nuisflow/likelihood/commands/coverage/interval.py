"""Intervals of any confidence level: of the profile likelihood, and by Feldman and Cousins (pseudo-experiments)."""

import argparse
import math
from collections.abc import Sequence
from typing import NamedTuple

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table, together
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.coverage import neyman


class Wanted(NamedTuple):
    """What is wanted: the confidence *level*; *toys* at every tested value (0: none), from *seed*; values to test."""

    level: float = toys.LEVEL
    toys: int = 0
    seed: int = 1
    at: Sequence[float] = ()


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Find intervals, for every parameter of interest."""
    wanted = Wanted(options.level, options.toys, options.seed, options.at)
    if wanted.at and not wanted.toys:
        raise ValueError("--at: values are tested by pseudo-experiments; say how many with --toys")
    return together(question.each(asked, lambda one: interval(one, wanted)))


def interval(asked: Question, wanted: Wanted = Wanted()) -> Answer:  # noqa: B008 (it is not mutable)
    """Return the profile-likelihood interval and, with toys, that of Feldman and Cousins with its errors."""
    from scipy import special

    model, poi = asked.model, asked.model.poi
    best, facts, warnings = question.fitted(model, asked.data)
    sigmas = math.sqrt(2.0) * float(special.erfinv(wanted.level))
    found = fits.interval(model, asked.data, sigmas=sigmas, result=best)
    warnings += [f"profile likelihood: {found.message}"] if found.message else []
    rows: list[Row] = [{"interval": "profile likelihood", "low": found.low, "high": found.high}]
    good, tables = best.converged and math.isfinite(found.low) and math.isfinite(found.high), []
    if wanted.toys:
        _within(asked, wanted.at)
        made = neyman.interval(model, asked.data, level=wanted.level, number=wanted.toys, seed=wanted.seed,
                               points=wanted.at)  # fmt: skip
        rows[0] |= {"low_error": None, "high_error": None}
        rows.append({"interval": "Feldman-Cousins", "low": made.low, "high": made.high,
                     "low_error": made.low_error, "high_error": made.high_error})  # fmt: skip
        tables.append(_tested(made))
        warnings += [f"Feldman-Cousins: {problem}" for problem in made.problems]
        warnings += _failed(made, wanted.toys)
        good &= not made.problems
    title = f"intervals of {poi} at {100 * wanted.level:.4g} %, within its bounds"
    title += "; errors: of few pseudo-experiments" if wanted.toys else ""
    return Answer(facts, [*tables, Table("intervals", title, rows)], warnings, good)


def _within(asked: Question, values: Sequence[float]) -> None:
    """Raise ValueError where a value that is to be tested is outside the bounds."""
    model, poi = asked.model, asked.model.poi
    lower, upper = float(model.lower[model.index(poi)]), float(model.upper[model.index(poi)])
    for value in values:
        if not lower <= value <= upper:
            raise ValueError(f"--at {value:g}: outside the bounds [{lower:g}, {upper:g}] of {poi}; "
                             f"--bounds {poi}=LOW,HIGH widens them")  # fmt: skip


def _tested(made: neyman.Construction) -> Table:
    """Return the tested values with their p values: by the chi-squared distribution, and by toys."""
    rows: list[Row] = []
    for row in made.tested:
        p, size = row.p_value, max(row.number, 1)
        rows.append({made.parameter: row.value, "twice_delta_nll": row.observed,
                     "p_asymptotic": math.erfc(math.sqrt(0.5 * row.observed)), "p_toys": p,
                     "p_error": math.sqrt(p * (1.0 - p) / size), "toys": row.number})  # fmt: skip
    return Table("tested", f"p values of tested values of {made.parameter}: asymptotic, and by toys", rows)


def _failed(made: neyman.Construction, number: int) -> list[str]:
    """Return what to be careful about: fits of toys that failed are left out."""
    most = max((number - row.number for row in made.tested), default=0)
    return [f"Feldman-Cousins: up to {most} of {number} fits of toys failed; they are left out"] if most else []


COMMAND = Command(
    run,
    "interval of any level: of the profile likelihood, and by Feldman and Cousins (pseudo-experiments)",
    "--level 0.9 --toys 200 --bounds mu=0,10",
    {
        "--level": {"type": own.level, "default": toys.LEVEL, "metavar": "P",
                    "help": "confidence level, between 0 and 1 (default: one standard deviation, 0.6827)"},
        "--toys": own.number(0) | {"help": "also find the interval of Feldman and Cousins (Neyman's construction "
                                           "within the bounds), by N pseudo-experiments at every tested value"},
        "--at": {"type": own.real, "nargs": "+", "default": [], "metavar": "MU",
                 "help": "test these values only, instead of looking for the ends"},
        "--seed": own.SEED,
    },
)  # fmt: skip
