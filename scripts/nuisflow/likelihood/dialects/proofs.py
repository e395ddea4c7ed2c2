"""Prove a conversion: -2 delta ln L at random points by the tool that the file was made for, or by its formulas."""

import copy
import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.dialects import card_formulas
from nuisflow.likelihood.dialects.extensions import KEY
from nuisflow.likelihood.model import Model

POINTS, SEED, REACH = 100, 1, 2.0
Floats = npt.NDArray[np.float64]
Evaluation = Callable[[Floats], float]
"""Returns -2 ln L of the other tool at a point of our parameters, up to a constant."""


class Proof(NamedTuple):
    """How far -2 delta ln L is off at most, relative to 1 + its size; *tool* "" with the *reason*: nobody to ask."""

    tool: str
    points: int
    largest: float
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """Return what is written beside a converted file."""
        if not self.tool:
            return {"proved": False, "reason": self.reason}
        told = {"largest_relative_difference_of_twice_delta_nll": self.largest}
        return {"proved": self.largest < 1e-6, "tool": self.tool, "points": self.points, "seed": SEED} | told


def points(model: Model) -> Floats:
    """Return random points (POINTS, parameters): within REACH prefit widths, or half of the values without one."""
    rows, rng = model.parameters, np.random.default_rng(SEED)
    sizes = np.array([_size(row.constraint, row.width, row.init) for row in rows])
    at = model.inits + rng.uniform(-REACH, REACH, (POINTS, len(rows))) * sizes
    return np.where(model.fixed, model.inits, np.clip(at, model.lower, model.upper))


def _size(constraint: str, width: float, init: float) -> float:
    if constraint == "none":
        return 0.25 * (abs(init) or 1.0)
    return (
        min(width, 0.45) if constraint == "normal" and init == 1.0 else width if constraint == "normal" else 0.2 * init
    )


def prove(model: Model, evaluation: Evaluation, tool: str) -> Proof:
    """Compare with another tool at random points where both are finite."""
    at = points(model)
    ours, theirs = model.twice_nll(at), np.array([evaluation(point) for point in at])
    good = np.isfinite(ours) & np.isfinite(theirs)
    if good.sum() < POINTS // 2:
        return Proof(tool, int(good.sum()), math.inf)
    first = int(np.argmax(good))
    one, other = (row[good] - row[first] for row in (ours, theirs))
    return Proof(tool, int(good.sum()), float((np.abs(one - other) / (1.0 + np.abs(other))).max()))


def with_pyhf(model: Model, workspace: Mapping[str, Any], measurement: str | None = None) -> Proof:
    """Compare with pyhf, where it can say what the workspace says."""
    try:
        import pyhf
    except ImportError:
        return Proof("", 0, math.nan, "pyhf is not installed")
    if KEY in workspace:
        return Proof("", 0, math.nan, "pyhf has no such likelihood (see the workspace's extensions)")
    logging.getLogger("pyhf").setLevel(logging.WARNING)
    book = pyhf.Workspace(json.loads(json.dumps(workspace)))
    theirs = book.model(measurement_name=measurement)
    data = book.data(theirs)
    return prove(model, lambda point: -2.0 * float(theirs.logpdf(point, data)[0]), f"pyhf {version('pyhf')}")


def with_formulas(model: Model, path: Path, text: str, mass: str | None = None) -> Proof:
    """Compare with Combine's formulas, which read the card and its histograms once more.

    Combine itself is no package that could be asked; `tests/studies/combine_referee.py` gives them its own functions.
    """
    try:
        formulas = card_formulas.Formulas(path, text, mass)
        return prove(model, lambda point: formulas.twice_nll(dict(zip(model.names, point, strict=True))),
                     "Combine's formulas, from the card")  # fmt: skip
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        return Proof("", 0, math.nan, f"the formulas do not cover this card ({type(error).__name__}: {error})")


def with_root(model: Model, content: Mapping[str, Any], analysis: str) -> Proof:
    """Compare with ROOT's reading of an analysis of HS3.

    ROOT 6.40 takes the constraints of a staterror from the distribution, and Poisson ones where it finds nothing there,
    also in files that it wrote itself with normal ones: it is told what the modifiers say.
    """
    try:
        import ROOT
    except ImportError:
        return Proof("", 0, math.nan, "ROOT is not installed")
    ROOT.RooMsgService.instance().setGlobalKillBelow(ROOT.RooFit.ERROR)
    space = ROOT.RooWorkspace("space")
    if not ROOT.RooJSONFactoryWSTool(space).importJSONfromString(json.dumps(_told(content))):
        return Proof("", 0, math.nan, "ROOT does not read the file")
    config = space.obj(analysis) or space.obj("ModelConfig")
    names = sorted((str(row.GetName()) for row in space.allData()), key=lambda name: not analysis.endswith(name))
    data = space.data(names[0])  # ROOT names an analysis after its distribution and its data
    observed = ROOT.RooFit.GlobalObservables(config.GetGlobalObservables() or ROOT.RooArgSet())
    nll = config.GetPdf().createNLL(data, observed, ROOT.RooFit.Offset("none"))

    def evaluation(point: Floats) -> float:
        for name, value in zip(model.names, point, strict=True):
            variable = space.var(re.sub(r"\[(\d+)\]$", r"_bin_\1", name)) or space.var(name.capitalize())
            if variable and not variable.isConstant():
                variable.setVal(float(value))
        return 2.0 * float(nll.getVal())

    return prove(model, evaluation, f"ROOT {ROOT.gROOT.GetVersion()}")


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return HS3 whose distributions say how the parameters of their staterror modifiers are constrained."""
    told: dict[str, Any] = copy.deepcopy(dict(content))
    for distribution in told["distributions"]:
        for sample in distribution.get("samples", []):
            for modifier in sample.get("modifiers", []):
                if modifier["type"] == "staterror":
                    kind = modifier.get("constraint_type", "Gauss")
                    distribution["staterror"] = {"relThreshold": 0.0, "constraint_type": kind}
    return told
