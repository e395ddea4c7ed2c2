"""Best fit, its errors and where they come from, significance, goodness of fit, pulls."""

import argparse
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import fits, limits, measurements, uncertainties
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table, together
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

OWN_SOURCES = (
    uncertainties.STATISTICS,
    uncertainties.MC_STATISTICS,
    uncertainties.NORMALISATIONS,
    uncertainties.OTHER,
    uncertainties.OWN,
    "total",
)
_TOLD = "parameters; pull and constraint: shift and error in units of the prefit width"


class Wanted(NamedTuple):
    """What is wanted of a fit: *groups* of the breakdown, *parameters* (empty: all), and profile intervals.

    Intervals of all parameters that are listed if there are at most *profiles*, else of those of interest; -1: none,
    and no breakdown, which needs them.
    """

    groups: Mapping[str, Sequence[str]] = {}
    parameters: Sequence[str] = ()
    profiles: int = fits.PROFILES


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Fit, for every parameter of interest."""
    wanted = Wanted(
        question.groups_of(options.group, asked.model, OWN_SOURCES) or question.own_groups(asked.model, OWN_SOURCES),
        question.chosen([part for text in options.parameters for part in text.split(",")], asked.model, "--parameters"),
        options.profiles if options.profiled else -1,
    )
    found = fit(asked, wanted)
    return found._replace(shown=_shown(asked)) if options.plots else found


def fit(asked: Question, wanted: Wanted) -> Answer:
    """Fit, with errors from the exact Hessian and from the profile, the breakdown by source, and the pulls."""
    best, _, warnings = question.fitted(asked.model, asked.data)
    rows, found = _parameters(asked, best, wanted) if best.converged else ([], [])
    return together(question.each(asked, lambda one: _one(one, best, wanted, rows, warnings + found)))


def _one(asked: Question, best: fits.FitResult, wanted: Wanted, rows: list[Row], warnings: list[str]) -> Answer:
    """Return the answer for one parameter of interest."""
    model, data, poi = asked.model, asked.data, asked.model.poi
    if not best.converged:
        facts = {"best_fit": math.nan, "hessian_error": math.nan, "twice_nll": best.twice_nll}
        return Answer(facts, [], warnings, converged=False)
    at, good = model.index(poi), True
    facts = {"best_fit": best.values[at], "hessian_error": best.errors[at]}
    tables = [Table("parameters", _TOLD, [row for row in rows if _listed(row, asked, wanted)])]
    if wanted.profiles >= 0:
        ends = next(row for row in rows if row["parameter"] == poi)
        facts |= {"profile_down": ends["profile_down"], "profile_up": ends["profile_up"]}
        sources, problems = _breakdown(asked, best, wanted.groups, facts["hessian_error"])
        tables, warnings = [sources, *tables], warnings + problems
    facts |= {"twice_nll": best.twice_nll}
    if _signal(model):
        tested, problems = significance(model, data)
        facts, warnings, good = facts | {"significance": tested.sigmas}, warnings + problems, not problems
    if asked.observed:
        goodness = limits.goodness_of_fit(model, data, best)
        facts |= {"goodness_of_fit": goodness.statistic, "degrees_of_freedom": goodness.degrees}
        facts |= {"p_value": goodness.p_value}
    return Answer(facts, tables, warnings, converged=good)


def _listed(row: Row, asked: Question, wanted: Wanted) -> bool:
    return not wanted.parameters or row["parameter"] in (*asked.pois, *wanted.parameters)


def _breakdown(
    asked: Question, best: fits.FitResult, groups: Mapping[str, Sequence[str]], error: float
) -> tuple[Table, list[str]]:
    """Return the uncertainty by source, and what is wrong with it."""
    poi, warnings = asked.model.poi, _overlaps(groups)
    parts = uncertainties.breakdown(asked.model, asked.data, groups=groups, best=best)
    sources = [{"source": row.group, "frozen": row.frozen, "observables": row.observable} for row in parts.sources]
    sources.append({"source": "total", "frozen": parts.sigma_total, "observables": error})
    if not math.isfinite(parts.sigma_total):
        warnings.insert(0, f"breakdown: the total uncertainty of {poi} is not defined, nor are its parts")
    title = f"uncertainty of {poi} by source: frozen and subtracted in quadrature; auxiliary measurements shifted"
    return Table("breakdown", title, sources), warnings


def significance(model: Model, data: Floats) -> tuple[limits.Significance, list[str]]:
    """Return the significance, and why there is none."""
    found = limits.significance(model, data)
    if math.isfinite(found.q0):
        return found, []
    null = fits.fit(model, data, fixed={model.poi: 0.0})
    return found, [f"significance: there is none; the fit without signal: {null.message}"]


def _signal(model: Model) -> bool:
    """Return whether the parameter of interest is a signal strength that may vanish."""
    parameter = model.parameters[model.index(model.poi)]
    return parameter.kind == "normfactor" and parameter.lower <= 0 < parameter.upper


def _overlaps(groups: Mapping[str, Sequence[str]]) -> list[str]:
    members = [member for names in groups.values() for member in set(names)]
    twice = sorted({member for member in members if members.count(member) > 1})
    return [f"breakdown: {member} is in several groups, which therefore count it several times" for member in twice]


def _parameters(asked: Question, best: fits.FitResult, wanted: Wanted) -> tuple[list[Row], list[str]]:
    """Return one row per free parameter that is wanted, those of interest first, and the warnings of the profiles."""
    model, pois = asked.model, asked.pois
    pulls = {row.parameter: row for row in fits.pulls(model, best)}
    free = [int(i) for i in np.flatnonzero(~model.fixed)]
    free = [i for i in free if not wanted.parameters or model.names[i] in (*pois, *wanted.parameters)]
    free.sort(key=lambda i: pois.index(model.names[i]) if model.names[i] in pois else len(pois))
    profiled = [] if wanted.profiles < 0 else free if len(free) <= wanted.profiles else free[: len(pois)]
    rows, warnings, apart = [], [], []
    for index in progress(profiled, "fit: profile intervals", len(profiled)):
        name, value = best.names[index], best.values[index]
        found = fits.interval(model, asked.data, name, result=best)
        ends = {"profile_down": found.low - found.value, "profile_up": found.high - found.value}
        rows.append(_row(best, index) | ends | question.pull(pulls, name))
        remarks = [remark for remark in found.message.split("; ") if remark]
        warnings += [f"{name}: {remark}" for remark in remarks if "disagrees" not in remark or name in pois]
        apart += [(_apart(found), found)] if name not in pois and "disagrees" in found.message else []
        if abs(found.value - value) > 1e-3 * abs(found.high - found.low):
            warnings.append(f"{name}: its profile has a deeper minimum, at {found.value:.4g}; the best fit is not one")
    nothing = {"profile_down": None, "profile_up": None} if profiled else {}
    rows += [_row(best, i) | nothing | question.pull(pulls, best.names[i]) for i in free[len(profiled) :]]
    if wanted.profiles >= 0 and len(profiled) < len(free):
        have = f"{' and '.join(pois)} {'have a profile interval each' if len(pois) > 1 else 'has a profile interval'}"
        warnings.append(f"fit: only {have}, since there are {len(free)} free parameters; "
                        f"--profiles {len(free)} finds them all")  # fmt: skip
    return rows, warnings + _disagreements(apart, len(profiled))


def _row(best: fits.FitResult, index: int) -> Row:
    return {"parameter": best.names[index], "value": best.values[index], "hessian_error": best.errors[index]}


def _apart(found: fits.Interval) -> float:
    """Return how far an end is from where the Hessian puts it, in standard deviations, at most."""
    sizes = np.abs([found.value - found.low, found.high - found.value]) / found.error - 1.0
    return float(np.nanmax(np.abs(sizes))) if np.isfinite(sizes).any() else 0.0


def _disagreements(apart: Sequence[tuple[float, fits.Interval]], number: int) -> list[str]:
    """Return one line on the nuisance parameters whose profile is not a parabola, with the worst of them."""
    if not apart:
        return []
    worst = max(apart, key=lambda row: row[0])[1]
    return [
        f"{len(apart)} of {number} profile intervals differ from the Hessian's errors by more than "
        f"{100 * fits.DISAGREEMENT:.0f} % of them, most of all {worst.parameter}: "
        f"{worst.low - worst.value:+.3g} {worst.high - worst.value:+.3g} instead of {worst.error:.3g}"
    ]


def _shown(asked: Question) -> dict[str, object]:
    """Return what the figures of a fit draw: pulls, correlations, and yields before and after it."""
    return measurements.drawn(asked.model, asked.data, fits.fit(asked.model, asked.data))


COMMAND = Command(
    run,
    "best fit, its errors and where they come from, significance, goodness of fit, pulls",
    "--group 'jets=jes,jer' --fix lumi --output fit.json",
    {
        "--group": own.GROUP,
        "--parameters": {"action": "append", "default": [], "metavar": "PAR1,PAR2",
                         "help": "parameters, or modifiers, to list and profile besides that of interest"},
        "--profiles": {"metavar": "N", "type": own.whole(0), "default": fits.PROFILES, "help":
                       "find all profile intervals if there are at most N parameters, else that of interest "
                       "(default: %(default)s)"},
        "--no-profiles": {"action": "store_false", "dest": "profiled", "help":
                          "errors of the Hessian only: no profile intervals, and no breakdown, which needs them"},
    },
)  # fmt: skip
