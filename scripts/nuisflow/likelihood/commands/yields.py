"""Expected events before and after the fit, with errors, beside the data."""

import argparse
from collections.abc import Mapping

import numpy as np

from nuisflow.likelihood import fits, measurements, sums
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.model import Model


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Return the events of every sample and their total in every channel, or in every bin, before and after the fit."""
    model, data = asked.model, asked.data
    best, facts, warnings = question.fitted(model, data)
    if not best.converged:
        return Answer(facts, [], warnings, converged=False)
    before, after = sums.sums(model), sums.sums(model, best)
    whole = [
        {"channel": name, "sample": sample} | _row(before[name][sample], after[name][sample])
        | {"data": float(data[first:last].sum()) if sample == sums.TOTAL else None}
        for name, first, last in model.channels for sample in after[name]
    ]  # fmt: skip
    tables = [Table("yields", "expected events of channels; errors: of the constraints, and of the fit", whole)]
    if options.bins:
        tables.append(Table("bins", "expected events of bins", _bins(model, data, best), long=model.bins > 50))
    shown = measurements.drawn(model, data, best) if options.plots else {}
    return Answer(
        facts, tables, warnings, converged=True, shown={k: v for k, v in shown.items() if k in ("yields", "signals")}
    )


def _row(before: tuple[float, float], after: tuple[float, float]) -> Row:
    """Return events and errors, before and after the fit."""
    return {"prefit": before[0], "prefit_error": before[1], "postfit": after[0], "postfit_error": after[1]}


def _bins(model: Model, data: np.ndarray, best: fits.FitResult) -> list[Row]:
    first: Mapping[str, int] = {name: begin for name, begin, _ in model.channels}
    return [
        {"channel": one.channel, "bin": one.bin, "sample": one.sample}
        | _row((one.value, one.error), (two.value, two.error))
        | {"data": float(data[first[one.channel] + one.bin]) if one.sample == sums.TOTAL else None}
        for one, two in zip(fits.yields(model), fits.yields(model, best), strict=True)
    ]


COMMAND = Command(
    run,
    "expected events before and after the fit, with errors",
    "--bins --output yields.csv",
    {"--bins": {"action": "store_true", "help": "also in every bin"}},
    needs_poi=False,
)
