"""The likelihood of single events that networks have learned, and the exact one, fitted to the same pseudo-experiments.

Pseudo-experiments of the benchmark inferno are thrown from the true densities, so that nothing of the simulation is in
them, and fitted twice: with ratios and responses of a training of `config/inferno.yaml`, and with the densities
themselves (Minuit), once for all seeds. Both know the mean of the auxiliary measurements only through their own
fluctuating ones.

    make run CONFIG=config/inferno.yaml
    python tests/studies/unbinned_exact.py --number 10000 --seeds 5   # writes results/studies/unbinned_exact.csv
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from iminuit import Minuit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nuisflow.datasets import inferno
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood.kernels import density_fits
from nuisflow.progress import progress
from nuisflow.storage import files

SIGNAL, BACKGROUND = 50.0, 1000.0
SIZES = {"r": 0.4, "lambda": 1.0}
RATE = 0.1
TRUTHS = {
    "nominal": {},
    "r = -0.4": {"r": -1.0},
    "r = +0.4": {"r": 1.0},
    "λ = 2.5": {"lambda": -0.5},
    "λ = 3.5": {"lambda": 0.5},
    "λ = 4": {"lambda": 1.0},
}
BLOCK = 250


class Fit(NamedTuple):
    """Number of signal events and the ends of their interval."""

    value: float
    low: float
    high: float


def experiment(random: np.random.Generator, truth: dict[str, float]) -> dict[str, np.ndarray]:
    """Return the events of one experiment at *truth*, thrown from the densities."""
    parts = [
        inferno.simulate("signal", random.poisson(SIGNAL), random),
        inferno.shift(
            inferno.simulate("background", random.poisson(BACKGROUND), random),
            {name: (z, SIZES[name]) for name, z in truth.items()},
        ),
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in inferno.COLUMNS}


def exact(columns: dict[str, np.ndarray], centre: dict[str, float]) -> Fit:
    """Fit the true densities; the formulas are those of arXiv:1806.04743, section 5.1."""
    x0, x1, x2 = (columns[name].astype(float) for name in inferno.COLUMNS)
    signal = SIGNAL * np.exp(-0.5 * (x0**2 + x1**2) - 2 * x2) * 2
    common = BACKGROUND * np.exp(-0.5 * x1**2 / 9) / (3 * np.sqrt(5))  # 1 / 2 pi is in neither

    def twice_nll(mu: float, r: float, rate: float, lamb: float) -> float:
        slope, factor = 3 + SIZES["lambda"] * lamb, 1.1**rate
        if slope <= 0:
            return 1e9 * (1 - slope)
        background = factor * common * np.exp(-0.1 * (x0 - 2 - SIZES["r"] * r) ** 2 - slope * x2) * slope
        density = mu * signal + background
        if density.min() <= 0:
            return 1e9
        pulls = (r - centre["r"]) ** 2 + (lamb - centre["lambda"]) ** 2 + (rate - centre["background_rate"]) ** 2
        return float(2 * (mu * SIGNAL + factor * BACKGROUND) - 2 * np.log(density).sum() + pulls)

    found = Minuit(twice_nll, mu=1.0, r=0.0, rate=0.0, lamb=0.0)
    found.errordef, found.tol = 1.0, 0.01
    found.migrad()
    if not found.valid:
        return Fit(np.nan, np.nan, np.nan)
    found.minos("mu")
    value, sides = found.values["mu"], found.merrors["mu"]
    return Fit(SIGNAL * value, SIGNAL * (value + sides.lower), SIGNAL * (value + sides.upper))


def learned(model: UnbinnedModel, values: np.ndarray, fold: np.ndarray, centre: dict[str, float]) -> Fit:
    """Fit the learned densities."""
    given = np.array([centre.get(name, 0.0) for name in model.names])
    data = model.data(np.ones(len(values)), values, fold, given)
    held = np.zeros(len(model.names), dtype=np.bool_)
    best, _, low, high, _, end, flag = density_fits.experiment(model.structure, data, model.inits, held, 0, 1e-4)
    good = end == density_fits.CONVERGED and flag == 0
    return Fit(*(SIGNAL * value if good else np.nan for value in (best[0], low, high)))


def compared(
    trained: Sequence[tuple[Classifier, UnbinnedModel]], truth: dict[str, float], number: int, seed: int
) -> Iterator[tuple[Fit, list[Fit]]]:
    """Yield the exact fit of every experiment and those of all that was *trained*, to the same events."""
    random = np.random.default_rng(seed)
    for first in range(0, number, BLOCK):
        made = [experiment(random, truth) for _ in range(min(BLOCK, number - first))]
        sizes = [len(columns["x0"]) for columns in made]
        joined = {name: np.concatenate([columns[name] for columns in made]) for name in inferno.COLUMNS}
        entry = random.integers(0, 2**20, sum(sizes))  # any fold: no network has seen them
        values = [classifier.densities(joined | {"entry": entry}) for classifier, _ in trained]
        ends = np.cumsum([0, *sizes])
        for columns, start, stop in zip(made, ends[:-1], ends[1:], strict=True):
            names = ("r", "lambda", "background_rate")
            centre = {name: truth.get(name, 0.0) + random.standard_normal() for name in names}
            yield (
                exact(columns, centre),
                [
                    learned(model, found[start:stop], entry[start:stop] % len(classifier.folds), centre)
                    for (classifier, model), found in zip(trained, values, strict=True)
                ],
            )


def row(label: str, pairs: list[tuple[Fit, Fit]]) -> dict[str, float | str]:
    """Return what the experiments at one truth say."""
    both = np.array(pairs)
    good = np.isfinite(both).all(axis=(1, 2))
    known, found = both[good, 0], both[good, 1]
    sigma = 0.5 * (known[:, 2] - known[:, 1]).mean()
    apart = found[:, 0] - known[:, 0]

    def covered(fits: np.ndarray) -> float:
        return float(((fits[:, 1] <= SIGNAL) & (fits[:, 2] >= SIGNAL)).mean())

    return {
        "truth": label,
        "experiments": len(both),
        "failed": int((~good).sum()),
        "sigma_exact": sigma,
        "width_ratio": float((found[:, 2] - found[:, 1]).mean() / (known[:, 2] - known[:, 1]).mean()),
        "shift_in_sigma": float(apart.mean() / sigma),
        "rms_in_sigma": float(np.sqrt((apart**2).mean()) / sigma),
        "coverage_exact": covered(known),
        "coverage": covered(found),
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "results" / "inferno")
    parser.add_argument("--training", default="unbinned")
    parser.add_argument("--number", type=int, default=2000, help="pseudo-experiments at each truth")
    parser.add_argument("--displaced", type=int, help="pseudo-experiments at other truths than nominal, if fewer")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of the training")
    arguments = parser.parse_args()
    trained = []
    for seed in range(1, arguments.seeds + 1):
        folder = arguments.results / "trainings" / arguments.training / f"seed{seed}"
        classifier = Classifier.load(folder / "model.pt")
        trained.append((classifier, UnbinnedModel(files.read_json(folder / "densities.json"))))
    rows = []
    for index, (label, truth) in enumerate(TRUTHS.items()):
        number = arguments.number if not truth else arguments.displaced or arguments.number
        experiments = list(progress(compared(trained, truth, number, 1000 + index), label, number))
        for seed in range(arguments.seeds):
            pairs = [(known, found[seed]) for known, found in experiments]
            rows.append({"seed": seed + 1} | row(label, pairs))
        print(pd.DataFrame(rows[-arguments.seeds :]).to_string(index=False), flush=True)
    place = ROOT / "results" / "studies"
    place.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(place / "unbinned_exact.csv", index=False)


if __name__ == "__main__":
    main()
