"""Convert a file from one dialect to another, and prove it."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nuisflow.likelihood.commands import reading
from nuisflow.likelihood.commands.answer import Answer
from nuisflow.likelihood.commands.options import Options
from nuisflow.likelihood.dialects import files, hs3, hs3_writing, proofs
from nuisflow.likelihood.dialects.extensions import KEY
from nuisflow.likelihood.model import Model

TEXT = "write a datacard, HistFactory XML or HS3 as a pyhf workspace, or any of them as HS3, and prove it"
EXAMPLE = "model.hs3.json --to hs3"
_PYHF, _HS3 = "pyhf", "hs3"
OPTIONS: Options = {
    "--to": {"choices": (_PYHF, _HS3), "default": _PYHF, "help": "what is written (default: %(default)s)"},
    "--measurement": {"metavar": "NAME", "help": "measurement, or analysis of HS3 (default: the first)"},
    "--mass": {"metavar": "M", "help": "what stands for $MASS in a datacard"},
}  # fmt: skip

Write = Callable[[Path, str], None]


def run(options: argparse.Namespace, write: Write) -> Answer:
    """Convert a file; write the result, and beside it the proof, with *write*."""
    source, target = options.workspace, options.other
    text = reading.text_of(source)
    which = files.dialect(text)
    workspace = reading.read(source, options.measurement, options.mass, text=text)
    try:
        model = Model(workspace, None if which == files.HS3 else options.measurement)
        written = workspace if options.to == _PYHF else hs3_writing.write(model.structure)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    if options.to == _HS3:
        _read_back(target, written, model)
    proof = _proof(which, text, workspace, model, options)
    write(target, json.dumps(written, indent=1))
    record = proof.record() | {"from": str(source), "dialect": which, "to": str(target)}
    write(target.with_suffix(".proof.json"), json.dumps(record, indent=1))
    return _told(record, proof, workspace, model)


def _proof(which: str, text: str, workspace: dict[str, Any], model: Model, options: argparse.Namespace) -> proofs.Proof:
    """Return the proof against the tool that the source was made for, or its formulas."""
    if which == files.COMBINE:
        return proofs.with_formulas(model, options.workspace, text, options.mass)
    if which == files.HS3:
        return proofs.with_root(model, json.loads(text), workspace["measurements"][0]["name"])
    return proofs.with_pyhf(model, workspace, options.measurement)


def _read_back(target: Path, written: dict[str, Any], model: Model) -> None:
    """Make sure that what was written says the same when it is read."""
    again = Model(hs3.read(target, written))
    found = proofs.prove(model, lambda point: float(again.twice_nll(dict(zip(model.names, point, strict=True)))[0]), "")
    if not found.largest < 1e-9:
        raise ValueError(f"{target}: what was written is not the same likelihood (off by {found.largest:.2g})")


def _told(record: dict[str, Any], proof: proofs.Proof, workspace: dict[str, Any], model: Model) -> Answer:
    """Return what was done, and warnings."""
    facts: dict[str, Any] = {"written": record["to"], "dialect": record["dialect"], "channels": len(model.channels),
                             "bins": model.bins, "parameters": len(model.names)}  # fmt: skip
    warnings, good = [], True
    if proof.tool:
        facts |= {"proved against": proof.tool, "points": proof.points, "largest difference": proof.largest}
        good = bool(record["proved"])
        warnings += [] if good else [f"-2 delta ln L differs from {proof.tool}: do not use {record['to']}"]
    else:
        warnings.append(f"not proved against another tool: {proof.reason}")
    if KEY in workspace:
        warnings.append(f"the workspace has extensions ({', '.join(workspace[KEY])}): pyhf refuses it")
    return Answer(facts, [], warnings, converged=good)
