"""A coverage map: do intervals cover at random true points, and where among them too rarely."""

import argparse
import math

from nuisflow.likelihood import toys
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, NoAnswer, Row, Table, together
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.coverage import maps
from nuisflow.likelihood.coverage.summary import placed, summary

# ASSUME: a coverage further below the intended one than this many binomial standard deviations is worth a warning.
_SIGMAS = 3.0


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Throw at random true points, for every parameter of interest."""
    ranges = own.ordered(options.range)
    if ranges and len(ranges) != len(asked.pois):
        raise ValueError(f"--range: {len(ranges)} of them for {len(asked.pois)} parameters (--poi)")
    reach = dict(zip(asked.pois, ranges, strict=False))
    return together(
        question.each(asked, lambda one: mapped(one, options.number, options.seed, reach.get(one.model.poi)))
    )


def mapped(asked: Question, number: int, seed: int, reach: tuple[float, float] | None = None) -> Answer:
    """Return the coverage over all points, in cells of every parameter, and the worst region."""
    model, poi = asked.model, asked.model.poi
    at = model.index(poi)
    lower, upper = float(model.lower[at]), float(model.upper[at])
    if reach and not lower <= reach[0] < reach[1] <= upper:
        raise ValueError(f"--range {reach[0]:g} {reach[1]:g}: beyond the bounds [{lower:g}, {upper:g}] of {poi}; "
                         f"--bounds {poi}=LOW,HIGH widens them")  # fmt: skip
    found = maps.run(model, number, seed, "commands", reach=reach)
    if not len(found.points):
        raise NoAnswer(f"map: at all {number} true points a bin would expect a negative number of events")
    told = summary(found)
    uniform = told["uniform"]
    facts = {
        name: told[name] for name in ("number", "failed", "unbounded", "coverage", "coverage_low", "coverage_high")
    }
    facts |= {"seed": seed, "chi2_of_constant_coverage": uniform["statistic"], "ndof": uniform["degrees"],
              "p_value": uniform["p_value"]}  # fmt: skip
    rows = [_row(row, poi) for row in told["cells"]]
    tables = [_chosen(told, poi), Table("cells", "coverage in cells of every parameter", rows)]
    low, high = (f"{end:.4g}" for end in found.reach)
    warnings = [f"map: {found.impossible} of {number} points are left out: a bin would expect a negative number of "
                f"events there"] if found.impossible else []  # fmt: skip
    warnings += _low(told, poi)
    facts = {"true_values": f"{poi} from {low} to {high}, the others from their constraints"} | facts
    return Answer(facts, tables, warnings, converged=True)


def _row(cell: Row, poi: str) -> Row:
    return {"where": placed(cell["sides"], poi), "points": cell["number"], "coverage": cell["coverage"],
            "coverage_low": cell["coverage_low"], "coverage_high": cell["coverage_high"]}  # fmt: skip


def _chosen(told: Row, poi: str) -> Table:
    """Return what one half of the points chose and the other half counted."""
    rows = []
    if worst := told["worst"]:
        rows.append(_row(worst, poi) | {"chosen": f"worst of {worst['considered']} cells"})
    if lowest := told["lowest"]:
        rows.append(_row(lowest | {"sides": []}, poi) | {"where": _centre(lowest["centre"], poi),
                                                         "chosen": "lowest 1 % of the regression"})  # fmt: skip
    return Table("worst", "worst regions: chosen with one half of the points, counted with the other", rows)


def _centre(centre: dict[str, float], poi: str) -> str:
    """Return the parameters that are furthest off in a set of points, by their means."""
    far = sorted((name for name in centre if name != poi), key=lambda name: -abs(centre[name]))[:2]
    return ", ".join([f"{poi} about {centre[poi]:.3g}", *(f"{name} about {centre[name]:+.2g} sigma" for name in far)])


def _low(told: Row, poi: str) -> list[str]:
    """Return a warning where intervals cover too rarely: over all points, or in the worst region."""
    warnings = []
    places = [("at all points together", told)]
    places += [(f"where {placed(told['worst']['sides'], poi)}", told["worst"])] if told["worst"] else []
    for where, row in places:
        error = math.sqrt(toys.LEVEL * (1.0 - toys.LEVEL) / max(row["number"], 1))
        if row["number"] and row["coverage"] < toys.LEVEL - _SIGMAS * error:
            warnings.append(f"map: {where} the intervals cover {100 * row['coverage']:.2f} % (+- {100 * error:.2f} %), "
                            f"fewer than the intended {100 * toys.LEVEL:.2f} %")  # fmt: skip
    return warnings


COMMAND = Command(
    run,
    "coverage at random true points: everywhere, in cells, smoothly, and in the worst region",
    "--number 2000 --range 0 3 --output map.json",
    {
        "--number": own.number(10_000) | {"help": "true points, one pseudo-experiment each (default: %(default)s)"},
        "--seed": own.SEED,
        "--range": own.ranges("where the true parameter of interest is drawn, uniformly, for each in their order "
                              "(default: three expected standard deviations around its initial value)"),
    },
)  # fmt: skip
