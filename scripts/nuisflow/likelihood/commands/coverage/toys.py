"""Pseudo-experiments: do the intervals cover, bias, pulls, goodness of fit; and the experiments themselves."""

import argparse
import functools
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, NoAnswer, together
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

CHUNK = 1000  # pseudo-experiments between two reports of progress; part of their seed: more of them begin with the same
# ASSUME: a coverage further than this many binomial standard deviations from 68.27 % is worth a warning.
_COVERAGE_SIGMAS = 3.0


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Throw and fit, for every parameter of interest."""
    if len(asked.pois) > 1 and (options.true is not None or options.save):
        raise ValueError("--true and --save are for one parameter of interest (--poi)")
    one = functools.partial(throw, number=options.number, seed=options.seed, true=options.true, save=options.save)
    return together(question.each(asked, one))


def throw(asked: Question, number: int, seed: int, *, true: float | None = None, save: Path | None = None) -> Answer:
    """Fit pseudo-experiments; return the coverage of the intervals, and how well the data fit.

    They are thrown at the best fit to the data, with the parameter of interest at its *true* value if that is given.
    *save*: a file for them all (.npz: data and fits, .csv: fits).
    """
    model, poi = asked.model, asked.model.poi
    best, _, warnings = question.fitted(model, asked.data)
    if true is not None:
        at = model.index(poi)
        if not model.lower[at] <= true <= model.upper[at]:
            raise ValueError(f"--true {true:g}: outside the bounds [{model.lower[at]:g}, {model.upper[at]:g}] of {poi}")
        best = fits.fit(model, asked.data, fixed={poi: true})
        warnings = [f"fit with {poi} = {true:g}: {row}" for row in best.message.split("; ") if row != "converged"]
    thrown = experiments(model, best.values, number, seed)
    if save:
        _save(save, model, best.values, thrown, seed)
    found = toys.coverage(thrown)
    facts = found._asdict() | {"seed": seed}
    if asked.observed:
        goodness = toys.goodness_of_fit_by_toys(model, asked.data, number, seed, "commands")
        facts |= {"p_value": goodness.p_value, "p_value_low": goodness.p_low, "p_value_high": goodness.p_high}
    return Answer(facts, [], warnings + _remarks(found, poi), best.converged)


def _remarks(found: toys.Coverage, poi: str) -> list[str]:
    """Return what to be careful about."""
    warnings = []
    if found.failed:
        warnings.append(f"toys: {found.failed} of {found.number} fits failed; they count as not covered")
    if found.unbounded:
        warnings.append(f"toys: in {found.unbounded} of {found.number} experiments the fit converged, but an end of "
                        f"the interval was not found; they count as not covered")  # fmt: skip
    if found.limited:
        warnings.append(f"toys: in {found.limited} of {found.number} experiments an end of the interval is at a bound "
                        f"of {poi}, or where a bin would expect a negative number of events")  # fmt: skip
    if found.pulls < found.number - found.failed:
        warnings.append(f"toys: pulls are those of the {found.pulls} experiments with a Hessian error")
    width = math.sqrt(toys.LEVEL * (1.0 - toys.LEVEL) / found.number)
    if abs(found.coverage - toys.LEVEL) > _COVERAGE_SIGMAS * width:
        side = "fewer" if found.coverage < toys.LEVEL else "more"
        warnings.append(f"toys: the intervals cover {100 * found.coverage:.2f} % of the experiments, {side} than the "
                        f"intended {100 * toys.LEVEL:.2f} %")  # fmt: skip
    return warnings


def experiments(model: Model, values: Floats, number: int, seed: int) -> toys.Toys:
    """Throw in chunks, so that progress can be told; the chunks do not depend on the number."""
    starts = range(0, number, CHUNK)
    parts = [
        toys.run(model, values, min(CHUNK, number - first), seed, "commands", first)
        for first in progress(starts, "toys, in thousands", len(starts))
    ]
    thrown = toys.joined(parts)
    if not (thrown.fitted & thrown.bounded).any():
        raise NoAnswer(f"all fits of the {number} toys failed: no coverage")
    return thrown


def _save(path: Path, model: Model, values: Floats, thrown: toys.Toys, seed: int) -> None:
    """Write the experiments: best fits, intervals, flags and, in .npz files, true values and all data."""
    from nuisflow.likelihood.commands.line import write

    columns = thrown._asdict()
    if path.suffix == ".csv":
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        write(path, "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
        return
    number = len(thrown.true)
    data = [block for first in range(0, number, CHUNK)
            for block in toys.throw(model, values, min(CHUNK, number - first), seed, "commands", first)]  # fmt: skip
    arrays: dict[str, Any] = {"parameter": np.array(model.poi), "names": np.array(model.names), "truth": values}
    content = io.BytesIO()
    np.savez_compressed(content, **(arrays | columns | {"data": np.concatenate(data)}))
    write(path, content.getvalue())


COMMAND = Command(
    run,
    "pseudo-experiments at the best fit or a true value: do the intervals cover, bias, pulls, goodness of fit",
    "--true 1.5 --number 2000 --save toys.npz",
    {
        "--number": own.number(1000),
        "--seed": own.SEED,
        "--true": {"type": own.real, "metavar": "MU", "help":
                   "true value of the parameter of interest; the others at their best fit there (default: best fit)"},
        "--save": {"type": own.file(".npz", ".csv"), "metavar": "FILE",
                   "help": "write all experiments to a file: fits (.csv), also their data and true values (.npz)"},
    },
)  # fmt: skip
