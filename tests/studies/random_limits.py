"""Do fit, limit and rank ever give a wrong number? Random workspaces, each number against an independent minimisation.

Workspaces of 2 to 4 channels: empty bins, bins of a sample with negative content, deficits to 60 sigma, excesses to 30
sigma, narrow and wide bounds of the signal strength. The oracle minimises pyhf's likelihood, where no bin expects fewer
than 0 events (SLSQP with inequality constraints, from several starts), and computes CLs by scipy's logarithms of the
normal tails. A number may be missing (exit status 1, with a reason), but none may be wrong.

    python tests/studies/random_limits.py --number 200    # prints a table, writes results/studies/random_limits.csv
"""

import argparse
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nuisflow.likelihood import fits
from nuisflow.likelihood.commands import limit, question, rank
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress

BANDS = (-2.0, -1.0, 0.0, 1.0, 2.0)
DEEPER, CLS, SHIFT = 1e-5, 1e-3, 2e-3
"""What counts as wrong: -2 ln L above the oracle's; CLs at a limit off 0.05; an impact off, in standard deviations."""
STARTS = 4
WIDEST = 1e5  # upper bound of the oracle's signal strength where limits are looked for beyond the workspace's


def workspace(seed: int) -> dict[str, Any]:
    """Return a random workspace: two backgrounds and a signal with rates, shapes and perhaps MC statistics."""
    rng = np.random.default_rng([seed, 7])
    scale, kind = float(rng.choice([0.3, 3.0, 100.0])), rng.choice(["usual", "deficit", "excess"], p=[0.5, 0.3, 0.2])
    channels, observations = [], []
    for number in range(int(rng.integers(2, 5))):
        bins = int(rng.integers(1, 4))
        samples = [_sample(rng, name, scale, bins, number) for name in ("signal", "one", "two")]
        total = np.sum([sample["data"] for sample in samples[1:]], axis=0)
        data = _observed(rng, total, str(kind))
        channels.append({"name": f"c{number}", "samples": samples})
        observations.append({"name": f"c{number}", "data": data.tolist()})
    low, high = [(0.0, 10.0), (-5.0, 10.0), (0.0, 1.5), (0.0, 100.0)][rng.integers(4)]
    parameters = [{"name": "mu", "bounds": [[low, high]], "inits": [1.0]}]
    measurement = {"name": "m", "config": {"poi": "mu", "parameters": parameters}}
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


def _sample(rng: np.random.Generator, name: str, scale: float, bins: int, channel: int) -> dict[str, Any]:
    nominal = scale * rng.uniform(0.2, 3.0 if name == "signal" else 10.0, bins)
    if name == "two":  # a small sample, in part negative
        nominal = np.where(rng.random(bins) < 0.2, -0.03, 0.3) * nominal
    modifiers: list[dict[str, Any]] = []
    if name == "signal":
        nominal = np.where(rng.random(bins) < 0.1, -0.1, 1.0) * nominal
        modifiers.append({"name": "mu", "type": "normfactor", "data": None})
    size = float(rng.uniform(0.02, 0.3))
    if rng.random() < 0.7:
        modifiers.append({"name": f"rate_{name}", "type": "normsys", "data": {"hi": 1 + size, "lo": 1 / (1 + size)}})
    if rng.random() < 0.6:
        change = nominal * rng.uniform(-0.4, 0.4, bins)
        other = nominal * rng.uniform(-0.4, 0.4, bins) if rng.random() < 0.2 else -change
        data = {"hi_data": (nominal + change).tolist(), "lo_data": (nominal + other).tolist()}
        modifiers.append({"name": "shape", "type": "histosys", "data": data})
    if name == "one" and rng.random() < 0.5:
        errors = (np.abs(nominal) * rng.uniform(0.05, 0.5, bins)).tolist()
        modifiers.append({"name": f"mc_c{channel}", "type": "staterror", "data": errors})
    return {"name": name, "data": nominal.tolist(), "modifiers": modifiers}


def _observed(rng: np.random.Generator, total: Floats, kind: str) -> Floats:
    """Return data around *total*, far below or above it (in standard deviations), and none in some bins."""
    width = np.sqrt(np.maximum(total, 0.0))
    shift = {"usual": 0.0, "deficit": -rng.uniform(1, 60), "excess": rng.uniform(1, 30)}[kind]
    data = rng.poisson(np.maximum(total, 0.0)) + np.round(shift * width)
    return np.asarray(np.where(rng.random(len(total)) < 0.15, 0.0, np.maximum(data, 0.0)))


class Oracle:
    """-2 ln L of one data set, minimised where all rates are positive; the function is that of pyhf (see `check`).

    *scales*: factors that every sample of a bin has. A negative rate is none, however near to 0 they bring it.
    """

    def __init__(self, model: Model, data: Floats, scales: Sequence[int] = ()) -> None:
        self.model, self.data, self.empty = model, data, np.flatnonzero(data[: model.bins] == 0.0)
        self.scales = list(scales)

    def minimum(self, held: Mapping[int, float], starts: Sequence[Floats]) -> tuple[float, Floats]:
        """Return the lowest -2 ln L and its parameters, with some of them held."""
        model, best = self.model, (math.inf, model_start(self.model))
        free = ~model.fixed
        free[list(held)] = False
        for start in starts:
            point = np.clip(start, model.lower, model.upper)
            point[list(held)] = list(held.values())

            def full(x: Floats, base: Floats = point) -> Floats:
                values = base.copy()
                values[free] = x
                return values

            def value(x: Floats, full: Any = full) -> tuple[float, Floats]:
                found = model.derivatives(full(x), self.data)
                good = np.isfinite(found.twice_nll[0])
                slopes = np.nan_to_num(found.gradient[0])[free]
                return (float(found.twice_nll[0]), slopes) if good else (1e9, slopes)

            def rates(x: Floats, full: Any = full) -> Floats:
                values = full(x)
                values[self.scales] = 1.0
                return np.asarray(model.expected(values)[self.empty])

            bounds = list(zip(model.lower[free], model.upper[free], strict=True))
            wall = [{"type": "ineq", "fun": rates}] if len(self.empty) else []
            found = optimize.minimize(value, point[free], jac=True, method="SLSQP", bounds=bounds, constraints=wall,
                                      options={"ftol": 1e-13, "maxiter": 300})  # fmt: skip
            if not len(self.empty) and not found.fun < 1e8:  # its line search left the region with a likelihood
                found = optimize.minimize(value, point[free], jac=True, method="L-BFGS-B", bounds=bounds,
                                          options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 3000})  # fmt: skip
            physical = not len(self.empty) or rates(found.x).min() > -1e-6
            if physical and found.fun < min(best[0], 1e8):
                best = float(found.fun), full(found.x)
        return best


def model_start(model: Model) -> Floats:
    """Return where fits start."""
    return np.array(model.inits)


def starts(model: Model, known: Sequence[Floats] = ()) -> list[Floats]:
    """Return several starts: those *known*, the initial one, and others around it."""
    noise = np.random.default_rng(3).standard_normal((STARTS, len(model.inits)))
    scale = np.where([row.constraint == "none" for row in model.parameters], 0.0, 1.0)
    widths = np.array([row.width if row.constraint == "normal" else 0.1 for row in model.parameters])
    return [*known, model.inits, *(model.inits + noise * scale * widths)]


def cls(model: Model, data: Floats, value: float) -> tuple[float, ...]:
    """Return CLs at a signal strength: observed, and expected in the bands (arXiv:1007.1727, by logarithms)."""
    at = model.index(model.poi)
    observed = Oracle(model, data)
    _, background = observed.minimum({at: 0.0}, starts(model))
    q = []
    for oracle, known in ((observed, background), (Oracle(model, model.asimov(background)), background)):
        best, values = oracle.minimum({}, starts(model, [known]))
        lowest = min(best if values[at] >= 0.0 else math.inf, oracle.minimum({at: 0.0}, starts(model, [known]))[0])
        held, point = oracle.minimum({at: value}, starts(model, [values, known]))
        if held < lowest:  # another valley, which the free fit has missed: from here along the signal strength
            along = optimize.minimize_scalar(
                lambda x, begin=point, fits=oracle: fits.minimum({at: x}, [begin])[0], bounds=(0.0, value),
                method="bounded", options={"xatol": 1e-9},
            )  # fmt: skip
            lowest, values[at] = float(along.fun), float(along.x)
        q.append(0.0 if values[at] >= value else max(held - lowest, 0.0))
    root = math.sqrt(q[1])
    if math.isinf(root):  # a bin of the background has no events at this strength: only the data's own tail is left
        return (float(stats.norm.sf(math.sqrt(q[0]))), *[0.0] * len(BANDS))
    shift = math.sqrt(q[0]) - root if q[0] <= q[1] else (q[0] - q[1]) / (2.0 * root)
    tails = [stats.norm.logsf(x + root) - stats.norm.logsf(x) for x in (shift, *(-band for band in BANDS))]
    return tuple(float(np.exp(tail)) for tail in tails)


def check(seed: int) -> dict[str, Any]:
    """Return, for one workspace, whether each command gave right numbers, no number, or a wrong one."""
    case = workspace(seed)
    model = Model(case)
    row: dict[str, Any] = {"seed": seed, "empty": int((model.data[: model.bins] == 0).sum())}
    best = fits.fit(model)
    oracle = Oracle(model, model.data)
    depth, values = oracle.minimum({}, starts(model))
    row["fit"] = _verdict(best.converged, best.twice_nll - depth < DEEPER)
    row["pyhf"] = float(_pyhf(case, best.values) - best.twice_nll) if best.converged else 0.0
    found, at = limit.limit(question.of(model), limit.Wanted(widen=True)), model.index(model.poi)
    listed = [float(entry[model.poi]) for entry in found.tables[0].rows]
    wide = model if not any(value > model.upper[at] for value in listed) else model.bounded({model.poi: (None, WIDEST)})
    errors = [abs(cls(wide, model.data, value)[i] - 0.05) for i, value in enumerate(listed) if math.isfinite(value)]
    row["limit"] = _verdict(bool(errors), max(errors, default=0.0) < CLS)
    row["limits"], row["off"] = len(errors), max(errors, default=0.0)
    row["told"] = found.converged == (len(errors) == len(listed) and best.converged) or not found.converged
    row["rank"] = _rank(model, oracle, values)
    row["why"] = "; ".join(found.warnings) if len(errors) < len(listed) else ""
    return row


def _rank(model: Model, oracle: Oracle, values: Floats) -> str:
    """Compare the largest impacts with refits."""
    answer, at = rank.rank(question.of(model)), model.index(model.poi)
    if not answer.converged:
        return "none"
    best = fits.fit(model)
    size = best.errors[at] if best.errors[at] > 0 else 1.0
    for entry in answer.tables[0].rows[:3]:
        index = model.index(entry["parameter"])
        moved = min(best.values[index] + best.errors[index], model.upper[index])
        shifted = oracle.minimum({index: moved}, starts(model, [best.values, values]))[1]
        if abs(shifted[at] - best.values[at] - entry["up"]) > SHIFT * size:
            return "wrong"
    return "right"


def _verdict(given: bool, right: bool) -> str:
    return "none" if not given else "right" if right else "wrong"


def _pyhf(case: dict[str, Any], values: Floats) -> float:
    """Return -2 ln L of pyhf."""
    import pyhf

    book = pyhf.Workspace(case)
    theirs = book.model()
    return -2.0 * float(theirs.logpdf(np.asarray(values), book.data(theirs))[0])


def main() -> None:
    """Check many workspaces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=200, help="workspaces (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    logging.getLogger("nuisflow").setLevel(logging.INFO)
    seeds = range(options.first, options.first + options.number)
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in progress(seeds, "workspaces", options.number):
        rows.append(check(seed))
        table = pd.DataFrame(rows)
        table.to_csv(options.output / "random_limits.csv", index=False)  # all so far: a run may be broken off
    for name in ("fit", "limit", "rank"):
        print(name, table[name].value_counts().to_dict())
    print("limits given", int(table["limits"].sum()), "of", 6 * len(table), "largest error of CLs", table["off"].max())
    print(table[(table[["fit", "limit", "rank"]] == "wrong").any(axis=1)].to_string())


if __name__ == "__main__":
    main()
