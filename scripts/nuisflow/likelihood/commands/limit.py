"""CLs upper limits, observed and expected, and the significance of the signal: asymptotic, and by toys."""

import argparse
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import limits, toys
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, NoAnswer, Row, Table, together
from nuisflow.likelihood.commands.fit import significance
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.progress import progress

_STRENGTHS = 12  # at which toys are thrown
_BEYOND = 0.5, 1.3  # how far these reach below and above the asymptotic limits


class Wanted(NamedTuple):
    """What is wanted of limits: the confidence *level*; CLs *at* strengths, and at *table* ones up to the range's end.

    *widen*: look beyond the bounds; *toys*: pseudo-experiments of each hypothesis at each strength, from *seed*;
    *reach*: where limits are looked for, in place of the bounds.
    """

    level: float = 0.95
    at: Sequence[float] = ()
    table: int = 0
    widen: bool = False
    toys: int = 0
    seed: int = 1
    reach: tuple[float, float] | None = None


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Find limits, for every parameter of interest."""
    ranges = own.ordered(options.range)
    if ranges and len(ranges) != len(asked.pois):
        raise ValueError(f"--range: {len(ranges)} of them for {len(asked.pois)} parameters (--poi)")
    reach = dict(zip(asked.pois, ranges, strict=False))
    wanted = Wanted(options.level, options.at, options.table, options.widen, options.toys, options.seed)
    return together(question.each(asked, lambda one: limit(one, wanted._replace(reach=reach.get(one.model.poi)))))


def limit(asked: Question, wanted: Wanted = Wanted()) -> Answer:  # noqa: B008 (it is not mutable)
    """Return CLs upper limits and the significance of the signal, with asymptotic formulae, and by toys if asked.

    Of expected data (Asimov) the significance is that of them, with signal; expected limits are those of the
    expectation without signal (arXiv:1007.1727, section 4.3).
    """
    within, poi = _checked(asked, wanted.reach), asked.model.poi
    background = asked.background()
    best, facts, warnings = question.fitted(asked.model, asked.data)
    found = limits.limits(within.model, background, level=wanted.level, widen=wanted.widen)
    named = _by_name((found.observed, *found.expected), observed=asked.observed)
    warnings += [f"limit: {problem}" for problem in found.problems]
    tested, problems = significance(asked.model, asked.data)
    facts |= tested._asdict()
    rows: list[Row] = [{"limit": name, poi: value} for name, value in named.items()]
    good = best.converged and not problems and all(map(math.isfinite, named.values()))
    tables = []
    if strengths := _strengths(within, wanted):
        tests = limits.table(within.model, background, strengths)
        tables.append(_cls(asked, tests, "cls", f"CLs of signal strengths {poi}"))
        good &= all(math.isfinite(row.observed) for row in tests)
    if wanted.toys:
        thrown, by_toys, remarks = _by_toys(within, wanted, [x for x in named.values() if math.isfinite(x)])
        tables.append(thrown)
        rows = [row | by_toys[row["limit"]] for row in rows]
        warnings, good = warnings + remarks, good and not remarks
    return Answer(facts, [*tables, Table("limits", _title(asked, found.level), rows)], warnings + problems, good)


def _title(asked: Question, level: float) -> str:
    poi = asked.model.poi
    title = f"{100 * level:g} % CLs upper limits on {poi}; expected: without signal, fluctuations of -2 to +2 sigma"
    if asked.observed:
        return title
    return f"{title} (the best fit and significance above: with {poi} = {asked.truth[asked.model.index(poi)]:.4g})"


def _checked(asked: Question, reach: tuple[float, float] | None) -> Question:
    """Return the question with the bounds that limits are looked for in; raise where a limit has no meaning."""
    poi = asked.model.poi
    parameter = asked.model.parameters[asked.model.index(poi)]
    if parameter.kind != "normfactor":
        raise ValueError(f"{poi} is a {parameter.kind}: a limit needs a signal strength (a normfactor), see --poi")
    if not parameter.lower <= 0 < parameter.upper:
        raise ValueError(
            f"{poi}: no signal ({poi} = 0) is outside its bounds [{parameter.lower:g}, {parameter.upper:g}]"
        )
    if reach is None:
        return asked
    if not reach[0] >= 0.0:
        raise ValueError(f"--range {reach[0]:g} {reach[1]:g}: a limit is looked for from 0 on")
    return asked._replace(model=asked.model.bounded({poi: (None, reach[1])}))


def _strengths(asked: Question, wanted: Wanted) -> list[float]:
    """Return the signal strengths of which CLs is listed."""
    reach = wanted.reach or (0.0, float(asked.model.upper[asked.model.index(asked.model.poi)]))
    table = [value for value in np.linspace(*reach, wanted.table).tolist() if value > 0.0]
    return sorted({*wanted.at, *table})


def _by_name(values: Sequence[float], *, observed: bool) -> dict[str, float]:
    """Return observed (if it is) and expected numbers by name."""
    named = dict(zip(limits.NAMES, values, strict=True))
    return named if observed else {name: value for name, value in named.items() if name != "observed"}


def _cls(asked: Question, tests: Sequence[limits.Cls], name: str, title: str) -> Table:
    rows = [{asked.model.poi: row.poi} | _by_name((row.observed, *row.expected), observed=asked.observed)
            for row in tests]  # fmt: skip
    return Table(name, title, rows)


def _by_toys(asked: Question, wanted: Wanted, known: Sequence[float]) -> tuple[Table, dict[str, Row], list[str]]:
    """Return CLs by toys at several strengths, the limits with their errors by name, and what is missing."""
    if not (wanted.at or known or wanted.reach):
        raise NoAnswer("--toys: there is no asymptotic limit to tell at which strengths to throw; give them with --at")
    low, high = wanted.reach or (_BEYOND[0] * min(known, default=0.0), _BEYOND[1] * max(known, default=0.0))
    points = sorted(wanted.at) or [x for x in np.linspace(low, high, _STRENGTHS).tolist() if x > 0.0]
    data = asked.background()
    told = progress(points, "limit: toys, signal strengths", len(points))
    rows = [toys.statistics_at(asked.model, data, value, wanted.toys, wanted.seed) for value in told]
    found, again = toys.limit_of(rows, wanted.level), toys.resampled(rows, wanted.seed)
    spread = [(one.observed, *one.expected) for one in (toys.limit_of(row, wanted.level) for row in again)]
    errors = [float(np.std(column[np.isfinite(column)])) if np.isfinite(column).sum() > 1 else math.nan
              for column in np.array(spread).T]  # fmt: skip
    values = (found.observed, *found.expected)
    by_name = {name: {"toys": value, "toys_error": error if math.isfinite(value) else math.nan}
               for name, value, error in zip(limits.NAMES, values, errors, strict=True)}  # fmt: skip
    lost = [name for name in _by_name(values, observed=asked.observed) if not math.isfinite(by_name[name]["toys"])]
    reached = f"{points[0]:.4g} to {points[-1]:.4g}"
    remarks = [f"limit: the {', '.join(lost)} limit by toys is not within {reached}; choose --at"] if lost else []
    fewest = min(min(len(row.signal), len(row.background)) for row in rows)
    if fewest < wanted.toys:
        remarks.append(f"limit: up to {wanted.toys - fewest} of {wanted.toys} fits of toys failed; they are left out")
    title = f"CLs of signal strengths {asked.model.poi}, by {wanted.toys} toys of each hypothesis"
    return _cls(asked, [toys.cls_of(row) for row in rows], "cls_by_toys", title), by_name, remarks


COMMAND = Command(
    run,
    "CLs upper limit (observed and expected) and significance, asymptotic or by toys",
    "--level 0.9 --at 0.5 1 2 --output limit.json",
    {
        "--widen": {"action": "store_true", "help": "look for limits beyond the upper bound of the parameter"},
        "--level": {"type": own.level, "default": 0.95, "metavar": "P",
                    "help": "confidence level, between 0 and 1 (default: %(default)s)"},
        "--at": {"type": own.strength, "nargs": "+", "default": [], "metavar": "MU",
                 "help": "also list CLs of these values of the parameter of interest"},
        "--table": {"type": own.whole(2), "default": 0, "metavar": "N",
                    "help": "also list CLs at N values in the range"},
        "--range": own.ranges("where limits are looked for, in place of the bounds of the parameter; from 0 on"),
        "--toys": own.number(0) | {"help": "also find limits by N pseudo-experiments of each hypothesis at each of "
                                           "some strengths (those of --at, or around the asymptotic limits)"},
        "--seed": own.SEED,
    },
)  # fmt: skip
