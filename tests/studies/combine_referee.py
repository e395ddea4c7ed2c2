"""The likelihood of a Combine datacard by Combine's own functions, at points that ours was evaluated at.

Combine is no package, but what it computes with is one header, interface/CombineMathFuncs.h of
HiggsAnalysis-CombinedLimit, which ROOT compiles. Here they take the places of ours in `dialects/card_formulas.py`, which
reads a card and its histograms by code that shares nothing with our likelihood, and calls them in the way in which
ShapeTools.py and CMSHistErrorPropagator.cc do.

    python tests/studies/combine_referee.py ours CARD POINTS.json          (where Nuisflow is installed)
    python tests/studies/combine_referee.py theirs CARD POINTS.json HEADER (where ROOT is, too)

The second prints how far differences of -2 ln L are from ours at most. Not of Combine: rates in double precision (its
templates are TH1F), and factors of integrals with all digits (it writes them with six).
"""

import json
import sys
from pathlib import Path

NUMBER = 100


def ours(card, points):
    """Write values of all parameters and our -2 ln L at random points, two standard deviations around the start."""
    import numpy as np

    from nuisflow.likelihood.dialects import combine
    from nuisflow.likelihood.model import Model

    model = Model(combine.read(Path(card), Path(card).read_text()))
    reach = [
        2.0 * (row.width if row.constraint == "normal" else 0.25 * max(row.init, 1e-3)) for row in model.parameters
    ]
    noise = np.random.default_rng(1).uniform(-1, 1, (NUMBER, len(model.names)))
    at = np.clip(model.inits + np.where(model.fixed, 0.0, reach) * noise, model.lower, model.upper)
    rows = [dict(zip(model.names, row.tolist(), strict=True)) for row in at]
    fixed = [name for name, held in zip(model.names, model.fixed, strict=True) if held]
    Path(points).write_text(json.dumps({"points": rows, "twice_nll": model.twice_nll(at).tolist(), "fixed": fixed}))


def referee(card, header):
    """Return the formulas of a card with Combine's own functions, which ROOT compiles."""
    import ROOT

    from nuisflow.likelihood.dialects import card_formulas

    ROOT.gInterpreter.Declare(f'#include "{Path(header).resolve()}"')
    combine = ROOT.RooFit.Detail.MathFuncs
    functions = card_formulas.Functions(combine.smoothStepFunc, combine.logKappaForX)
    return card_formulas.Formulas(Path(card), Path(card).read_text(), functions=functions)


def theirs(card, points, header):
    """Print the largest difference of -2 Δ ln L, relative to the first point."""
    found = json.loads(Path(points).read_text())
    formulas = referee(card, header)
    values = [formulas.twice_nll(point) for point in found["points"]]
    differences = [
        (a - values[0]) - (b - found["twice_nll"][0]) for a, b in zip(values, found["twice_nll"], strict=True)
    ]
    worst = max(map(abs, differences))
    sizes = max(abs(value - values[0]) for value in values)
    print(f"{len(values)} points, -2 Δ ln L up to {sizes:.4g}: the largest difference is {worst:.3g}")


if __name__ == "__main__":
    {"ours": ours, "theirs": theirs}[sys.argv[1]](*sys.argv[2:])
