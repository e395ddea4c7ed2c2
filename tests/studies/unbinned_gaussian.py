"""The likelihood of single events that networks have learned, and the exact one, of two rotating Gaussian classes.

Pseudo-experiments of `config/gaussian.yaml` are thrown from the true densities at the nominal angle and at twice it, and
fitted twice: with ratios and responses of the training, and with the densities themselves (Newton's method). Both know
the auxiliary measurement of the angle, which fluctuates around the truth.

    make run CONFIG=config/gaussian.yaml
    python tests/studies/unbinned_gaussian.py --number 500     # prints a table
"""

import argparse
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nuisflow.datasets import gaussian
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.kernels import density_fits
from nuisflow.storage import files

EXPECTED = {"signal": 500.0, "background": 50_000.0}
SIZE = 0.5
"""Prior of the angle, in radians."""
TRUTHS = {"nominal angle": 0.0, "twice the angle": gaussian.ANGLE / SIZE}


class Fit(NamedTuple):
    """Signal strength and the ends of its interval."""

    value: float
    low: float
    high: float


def experiment(random: np.random.Generator, z: float) -> dict[str, np.ndarray]:
    """Return the events of one experiment, thrown from the densities at *z*."""
    parts = [
        gaussian.shift(gaussian.simulate(name, random.poisson(number), random), {"rotation": (z, SIZE)})
        for name, number in EXPECTED.items()
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in gaussian.COLUMNS}


class Exact:
    """-2 ln L of signal strength and z by the true densities, of one experiment."""

    def __init__(self, columns: dict[str, np.ndarray], centre: float) -> None:
        self.x, self.y = (columns[name].astype(float) for name in gaussian.COLUMNS)
        self.centre = centre

    def __call__(self, mu: float, z: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Return value, gradient and Hessian: ln of a density is a multiple of the projection on its mean, + constant."""
        angle, variance = gaussian.ANGLE + SIZE * z, gaussian.DEVIATION**2
        along = (self.x * math.cos(angle) + self.y * math.sin(angle)) / variance
        across = SIZE * (-self.x * math.sin(angle) + self.y * math.cos(angle)) / variance
        signal, background = EXPECTED["signal"] * np.exp(2 * along), EXPECTED["background"]  # over the background
        total = mu * signal + background
        share = mu * signal / total
        first, lean = signal / total, (2 * share - 1) * across
        value = -2 * (np.log(total) - along).sum() + 2 * mu * EXPECTED["signal"] + (z - self.centre) ** 2
        gradient = np.array([EXPECTED["signal"] - first.sum(), z - self.centre - lean.sum()]) * 2
        bend = (2 * share - 1) * -(SIZE**2) * along + 4 * share * (1 - share) * across**2
        mixed = 2 * first * (1 - share) * across
        hessian = 2 * np.array([[(first**2).sum(), -mixed.sum()], [-mixed.sum(), 1 - bend.sum()]])
        return float(value), gradient, hessian

    def minimum(self, start: tuple[float, float], held: bool = False) -> tuple[np.ndarray, float]:
        """Return the lowest place from *start*, the signal strength *held* or not, and the value there."""
        place, free = np.array(start), slice(1, 2) if held else slice(0, 2)
        for _ in range(30):
            _, gradient, hessian = self(*place)
            step = np.linalg.solve(hessian[free, free], gradient[free])
            place[free] -= np.clip(step, -0.3, 0.3)
            if gradient[free] @ step < 1e-9:
                break
        return place, self(*place)[0]

    def fit(self, z: float) -> Fit:
        """Return best fit and profile interval; *z* is where it starts."""
        best, lowest = self.minimum((1.0, z))
        sigma = math.sqrt(2 * np.linalg.inv(self(*best)[2])[0, 0])
        ends = []
        for side in (-1, 1):
            end = best[0] + side * sigma
            for _ in range(6):  # the profile is nearly a parabola: the ratio of distances squares to that of values
                value = self.minimum((end, best[1]), held=True)[1] - lowest
                end = best[0] + (end - best[0]) / math.sqrt(max(value, 1e-3))
            ends.append(end)
        return Fit(float(best[0]), *map(float, ends))


def learned(model: UnbinnedModel, values: np.ndarray, fold: np.ndarray, centre: float) -> Fit:
    """Fit the learned densities."""
    given = np.array([centre if name == "rotation" else 0.0 for name in model.names])
    data, held = model.data(np.ones(len(values)), values, fold, given), np.zeros(len(model.names), dtype=np.bool_)
    best, _, low, high, _, end, flag = density_fits.experiment(model.structure, data, model.inits, held, 0, 1e-4)
    good = end == density_fits.CONVERGED and flag == 0
    return Fit(*(float(value) if good else np.nan for value in (best[0], low, high)))


def row(label: str, pairs: list[tuple[Fit, Fit]]) -> dict[str, float | str]:
    """Return what the experiments at one truth say."""
    both = np.array(pairs)
    good = np.isfinite(both).all(axis=(1, 2))
    known, found = both[good, 0], both[good, 1]
    widths = [0.5 * (one[:, 2] - one[:, 1]).mean() for one in (known, found)]
    apart = found[:, 0] - known[:, 0]
    covered = [((one[:, 1] <= 1) & (one[:, 2] >= 1)).mean() for one in (known, found)]
    return {
        "truth": label,
        "experiments": len(both),
        "failed": int((~good).sum()),
        "sigma_exact": widths[0],
        "width_ratio": widths[1] / widths[0],
        "shift_in_sigma": apart.mean() / widths[0],
        "rms_in_sigma": np.sqrt((apart**2).mean()) / widths[0],
        "coverage_exact": covered[0],
        "coverage": covered[1],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "gaussian")
    parser.add_argument("--training", default="unbinned")
    parser.add_argument("--number", type=int, default=500, help="pseudo-experiments at each truth")
    parser.add_argument("--seed", type=int, default=1, help="seed of the training")
    arguments = parser.parse_args()
    folder = arguments.results / "trainings" / arguments.training / f"seed{arguments.seed}"
    classifier, model = Classifier.load(folder / "model.pt"), UnbinnedModel(files.read_json(folder / "densities.json"))
    for index, (label, z) in enumerate(TRUTHS.items()):
        random, pairs = np.random.default_rng(100 * arguments.seed + index), []
        for _ in range(arguments.number):
            columns, centre = experiment(random, z), z + random.standard_normal()
            entry = random.integers(0, len(classifier.folds), len(columns["x"]))  # any fold: no network has seen them
            values = classifier.densities(columns | {"entry": entry})
            pairs.append((Exact(columns, centre).fit(z), learned(model, values, entry, centre)))
        print(pd.DataFrame([row(label, pairs)]).to_string(index=False, header=index == 0), flush=True)


if __name__ == "__main__":
    main()
