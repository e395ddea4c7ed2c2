"""Coverage of intervals where few events are expected: 3, 10, 30, 100 in the signal bins, with empty bins on the way.

Two models, in which the intervals end where a bin without data would expect fewer than 0 events: `counting`, one bin
with a known background, and `shapes`, three bins with a rate and a shape uncertainty and MC statistics. Half of the
events are signal. Beside the pseudo-experiments, coverage is summed over all possible counts with their probabilities:
exactly for `counting`; for `shapes` with auxiliary measurements drawn for every outcome (± 0.2 %).

    python tests/studies/low_counts.py       # prints a table, writes results/studies/low_counts.csv
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import Model
from nuisflow.likelihood.valleys.ends import DEEPER, NOT_FOUND

EVENTS = (3, 10, 30, 100)
TRUTHS = (0.0, 1.0)
_TAIL, _RARE = 1e-6, 1e-8  # counts and outcomes that are left out are rarer
_BLOCK = 20_000  # experiments in memory


def exact(events: float, truth: float) -> float:
    """Return the coverage of the interval of a Poisson rate, where -ln L rises by 1/2, summed over all counts.

    No count below 0 is possible: with n = 0 the interval begins at a rate of 0.
    """
    rate = 0.5 * events * (1.0 + truth)
    counts = np.arange(int(stats.poisson.isf(1e-12, rate)) + 2)
    return float(sum(stats.poisson.pmf(n, rate) for n in counts if _ends(n)[0] <= rate <= _ends(n)[1]))


def summed(name: str, events: float, truth: float, number: int = 40_000) -> float:
    """Return the coverage of a model summed over all counts of its bins that matter, each with its Poisson probability.

    Auxiliary measurements are no counts: of *number* draws of them, every outcome gets its share, and one at least.
    """
    model = Model(MODELS[name](events))
    expected = model.asimov({"mu": truth})
    main, centre = expected[: model.bins], expected[model.bins :]
    ranges = [np.arange(stats.poisson.ppf(_TAIL, rate), stats.poisson.isf(_TAIL, rate) + 1) for rate in main]
    counts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, model.bins)
    weights = stats.poisson.pmf(counts, main).prod(axis=1)
    counts, weights = counts[weights > _RARE], weights[weights > _RARE]
    shares = np.ceil(number * weights).astype(int) if len(centre) else np.ones(len(counts), int)
    rows, widths = np.repeat(np.arange(len(counts)), shares), [model.parameters[i].width for i in model.constrained]
    rng, covered = np.random.default_rng([11, int(events), int(truth)]), 0.0
    for some in np.array_split(rows, len(rows) // _BLOCK + 1):
        noise = np.array(widths) * rng.standard_normal((len(some), len(centre)))
        good = _covers(model, np.hstack([counts[some], centre + noise]), truth)
        covered += float((weights / shares)[some[good]].sum())
    return covered / float(weights.sum())


def _covers(model: Model, data: Floats, truth: float) -> Booleans:
    """Tell the data whose interval contains the true value."""
    minima = model.minimise(data, {"mu": truth})
    found = model.intervals(minima, "mu", data)
    lost = np.flatnonzero((minima.status != 0) | (found.flags & (NOT_FOUND | DEEPER) != 0))
    low, high = found.low.copy(), found.high.copy()
    for i in lost:
        single = fits.interval(model, data[i], "mu")
        low[i], high[i] = single.low, single.high
    return (low <= truth) & (truth <= high)


def _ends(count: int) -> tuple[float, float]:
    def rise(rate: float) -> float:
        return rate - count + count * np.log(count / rate) - 0.5

    if count == 0:
        return 0.0, 0.5
    return optimize.brentq(rise, 1e-9 * count, count), optimize.brentq(rise, count, 10.0 * count + 10.0)


def counting(events: float) -> dict[str, Any]:
    """Return a model of one bin that expects *events*, half of them signal."""
    mu = {"name": "mu", "type": "normfactor", "data": None}
    samples = [{"name": "signal", "data": [0.5 * events], "modifiers": [mu]},
               {"name": "background", "data": [0.5 * events], "modifiers": []}]  # fmt: skip
    return _workspace(samples, [events])


def shapes(events: float) -> dict[str, Any]:
    """Return a model that expects *events* in the three bins of the signal."""
    signal, background = 0.5 * events * np.array([0.1, 0.3, 0.6]), 0.5 * events * np.array([0.5, 0.3, 0.2])
    tilt = background * np.array([0.1, 0.0, -0.2])
    shape = {"hi_data": (background + tilt).tolist(), "lo_data": (background - tilt).tolist()}
    modifiers = [
        {"name": "rate", "type": "normsys", "data": {"hi": 1.2, "lo": 1 / 1.2}},
        {"name": "tilt", "type": "histosys", "data": shape},
        {"name": "mc", "type": "staterror", "data": (0.1 * background).tolist()},
    ]
    samples = [
        {"name": "signal", "data": signal.tolist(), "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "background", "data": background.tolist(), "modifiers": modifiers},
    ]
    return _workspace(samples, (signal + background).tolist())


def _workspace(samples: list[dict[str, Any]], data: list[float]) -> dict[str, Any]:
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-5.0, 10.0]]}]}
    return {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": data}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


MODELS = {"counting": counting, "shapes": shapes}


def measure(name: str, events: float, truth: float, number: int) -> dict[str, Any]:
    """Return the coverage of one model at one point."""
    model = Model(MODELS[name](events))
    found = toys.coverage(toys.run(model, {"mu": truth}, number, 1, "low counts", name, events, truth))
    sums = {"exact": exact(events, truth) if name == "counting" else summed(name, events, truth)}
    return {"model": name, "events": events} | sums | found._asdict()


def main() -> None:
    """Measure all points."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=10_000, help="pseudo-experiments (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    options = parser.parse_args()
    points = [(name, events, truth) for name in MODELS for events in EVENTS for truth in TRUTHS]
    table = pd.DataFrame([measure(*point, options.number) for point in points])
    options.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output / "low_counts.csv", index=False)
    print(table.to_string())


if __name__ == "__main__":
    main()
