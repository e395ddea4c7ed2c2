"""Goodness of fit: the likelihood against that of the saturated model."""

import argparse
import math

from nuisflow.likelihood import limits, toys
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer
from nuisflow.likelihood.commands.question import Command, Question


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Compare the best fit with the saturated model: asymptotic p value, and that of pseudo-experiments if asked."""
    model, data = asked.model, asked.data
    best, facts, warnings = question.fitted(model, data)
    found = limits.goodness_of_fit(model, data, best)
    facts |= {"goodness_of_fit": found.statistic, "degrees_of_freedom": found.degrees, "p_value": found.p_value}
    if options.number:
        thrown = toys.goodness_of_fit_by_toys(model, data, options.number, options.seed, "commands")
        facts |= {"p_value_of_toys": thrown.p_value, "p_value_low": thrown.p_low, "p_value_high": thrown.p_high}
        facts |= {"number": thrown.number, "failed": thrown.failed, "seed": options.seed}
    if found.degrees <= 0:
        warnings.append("goodness: no more bins than free parameters without a constraint: there is no p value")
    return Answer(facts, [], warnings, best.converged and math.isfinite(found.p_value))


COMMAND = Command(
    run,
    "goodness of fit: the likelihood against that of the saturated model",
    "--number 1000",
    {"--number": own.number(0, least=0), "--seed": own.SEED},
    needs_poi=False,
)
