"""Coverage of intervals where few events are expected: 3, 10, 30, 100 in the signal bins, with empty bins on the way.

Two models, in which the intervals end where a bin without data would expect fewer than 0 events: `counting`, one bin
with a known background, whose coverage is also summed exactly over all possible counts; and `shapes`, three bins with a
rate and a shape uncertainty and MC statistics. Half of the events are signal.

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

from nuisflow.likelihood import toys
from nuisflow.likelihood.model import Model

EVENTS = (3, 10, 30, 100)
TRUTHS = (0.0, 1.0)


def exact(events: float, truth: float) -> float:
    """Return the coverage of the interval of a Poisson rate, where -ln L rises by 1/2, summed over all counts.

    No count below 0 is possible: with n = 0 the interval begins at a rate of 0.
    """
    rate = 0.5 * events * (1.0 + truth)
    counts = np.arange(int(stats.poisson.isf(1e-12, rate)) + 2)
    return float(sum(stats.poisson.pmf(n, rate) for n in counts if _ends(n)[0] <= rate <= _ends(n)[1]))


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
    sums = {"exact": exact(events, truth) if name == "counting" else None}
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
