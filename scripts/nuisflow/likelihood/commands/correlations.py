"""Correlations of the fitted parameters."""

import argparse

import numpy as np

from nuisflow.likelihood import fits, measurements
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table
from nuisflow.likelihood.commands.question import Command, Question

_PRINTED = 12  # parameters of a matrix that is printed
_PAIRS = 20


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Return the correlations of all free parameters, or of those that are chosen: the largest, and the matrix."""
    model = asked.model
    wanted = question.chosen([part for text in options.parameters for part in text.split(",")], model, "--parameters")
    best, facts, warnings = question.fitted(model, asked.data)
    if not best.converged:
        return Answer(facts, [], warnings, converged=False)
    kept = [i for i in np.flatnonzero(~model.fixed) if not wanted or model.names[i] in wanted]
    matrix, names = fits.correlations(best)[np.ix_(kept, kept)], [model.names[i] for i in kept]
    upper = np.stack(np.triu_indices(len(names), 1), axis=1)
    order = np.argsort(-np.abs(np.nan_to_num(matrix[tuple(upper.T)])), kind="stable")[:_PAIRS]
    pairs: list[Row] = [
        {"parameter": names[i], "other": names[j], "correlation": float(matrix[i, j])} for i, j in upper[order]
    ]
    rows: list[Row] = [
        {"parameter": name} | dict(zip(names, map(float, row), strict=True))
        for name, row in zip(names, matrix, strict=True)
    ]
    tables = [Table("largest", f"the largest correlations, {len(pairs)} of {len(upper)}", pairs),
              Table("matrix", "all correlations", rows, long=len(names) > _PRINTED)]  # fmt: skip
    shown = measurements.drawn(model, asked.data, best) if options.plots else {}
    return Answer(facts, tables, warnings, converged=True, shown={k: v for k, v in shown.items() if k == "correlation"})


COMMAND = Command(
    run,
    "correlations of the fitted parameters",
    "--parameters mu,jes,jer --output correlations.csv",
    {
        "--parameters": {"action": "append", "default": [], "metavar": "PAR1,PAR2",
                         "help": "parameters, or modifiers, that are looked at (default: all)"},
    },
    needs_poi=False,
)  # fmt: skip
