"""How honest are profile-likelihood intervals when templates are filled from few simulated events?

Templates are drawn from a finite simulation, pseudo-data from the true expectation, and the interval of the signal
strength is taken as in the workflow; every pseudo-experiment has a simulation of its own. Two problems: `ordinary` (a
signal peak on a falling background, with a scale uncertainty) and `degenerate` (a signal and a background of free rate
with almost the same shape: the case of Alexe et al., arXiv:2401.10542). Three models: without MC-statistical
uncertainties; with them (staterror, Barlow-Beeston-lite); and these in bins joined as binning.minimum_events does.

    python tests/studies/shrinking_simulation.py       # writes results/studies/shrinking_simulation.{csv,svg}
"""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from nuisflow import seeds
from nuisflow.likelihood import toys
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress
from nuisflow.settings import configuration
from nuisflow.storage import files
from nuisflow.templates import binning

BINS = 15
EVENTS = (3, 5, 10, 20, 30, 50, 100, 200, 500, 1000, 3000)
MODELS = ("none", "lite", "merged")
TRUTH = 1.0
"""Signal strength of the pseudo-data; the nuisance parameters are at their nominal values."""


class Template(NamedTuple):
    """One process in bins: sums of weights and of squared weights, and sums of weights varied up and down, if any."""

    values: np.ndarray
    variances: np.ndarray
    sides: tuple[np.ndarray, ...] = ()

    def grouped(self, kept: np.ndarray) -> "Template":
        """Return the template with only the edges *kept*."""
        values, variances, *sides = (np.add.reduceat(part, kept[:-1]) for part in (*self[:2], *self.sides))
        return Template(values, variances, tuple(sides))


@dataclasses.dataclass(frozen=True)
class Ordinary:
    """A Gaussian peak on an exponential background in bins of equal background; the scale of x is uncertain."""

    yields: tuple[float, float]
    peak: float = 1.6
    width: float = 0.4
    scale: float = 0.1
    edges: ClassVar = np.append(-np.log1p(-np.arange(BINS) / BINS), np.inf)
    free_rate: ClassVar = False

    def expected(self) -> np.ndarray:
        """Return the expected events of signal and background; shape (2, bins)."""
        peak = np.diff(special.ndtr((self.edges - self.peak) / self.width))
        peak[0] += special.ndtr(-self.peak / self.width)
        return np.array([self.yields[0] * peak, np.full(BINS, self.yields[1] / BINS)])

    def simulate(self, number: float, random: np.random.Generator) -> list[Template]:
        """Simulate *number* events per bin of each process; the same events fill the varied templates."""
        sizes = random.poisson(number * BINS, 2)
        columns = [random.normal(self.peak, self.width, sizes[0]), random.exponential(1.0, sizes[1])]
        templates = []
        for x, total in zip(columns, self.yields, strict=True):
            weight = total / (number * BINS)
            nominal, *sides = (weight * self._counts(x * (1 + z * self.scale)) for z in (0, 1, -1))
            templates.append(Template(nominal, weight * nominal, tuple(sides)))
        return templates

    def _counts(self, x: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(self.edges[1:-1], x), minlength=BINS).astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Degenerate:
    """A signal and a background of free rate that differ by a *slope*."""

    slope: float
    free_rate: ClassVar = True

    def expected(self) -> np.ndarray:
        """Return the expected events of signal and background; shape (2, bins)."""
        return np.array([100 * (1 + self.slope * np.linspace(-1, 1, BINS)), np.full(BINS, 200.0)])

    def simulate(self, number: float, random: np.random.Generator) -> list[Template]:
        """Simulate *number* events per bin of each process, on average over the bins."""
        weights = self.expected().mean(axis=1, keepdims=True) / number
        counts = random.poisson(self.expected() / weights)
        return [Template(*parts) for parts in zip(weights * counts, weights**2 * counts, strict=True)]


PROBLEMS: dict[str, Ordinary | Degenerate] = {
    "ordinary": Ordinary((150.0, 3000.0)),
    "few data": Ordinary((50.0, 150.0)),
    "degenerate": Degenerate(0.15),
}


def joined(templates: Sequence[Template], minimum: float) -> np.ndarray:
    """Return the edges that remain when bins with fewer than *minimum* effective background events join a neighbour."""
    signal, background = (binning.Content(*template[:2]) for template in templates)
    return binning.merge(signal, background, minimum)


def workspace(templates: Sequence[Template], free_rate: bool) -> dict[str, Any]:
    """Return the workspace of signal and background, with MC-statistical uncertainties."""
    samples = []
    for name, template in zip(("signal", "background"), templates, strict=True):
        modifiers = [{"name": "mc", "type": "staterror", "data": np.sqrt(template.variances).tolist()}]
        if template.sides:
            up, down = (side.tolist() for side in template.sides)
            modifiers.append({"name": "scale", "type": "histosys", "data": {"hi_data": up, "lo_data": down}})
        if name == "signal" or free_rate:
            modifiers.append({"name": "mu" if name == "signal" else "rate", "type": "normfactor", "data": None})
        samples.append({"name": name, "data": template.values.tolist(), "modifiers": modifiers})
    asimov = np.sum([template.values for template in templates], axis=0).tolist()
    bounds = [{"name": name, "bounds": [[-50.0, 50.0]]} for name in ("mu", "rate")[: 1 + free_rate]]
    return {
        "channels": [{"name": "region", "samples": samples}],
        "observations": [{"name": "region", "data": asimov}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": bounds}}],
        "version": "1.0.0",
    }


def experiment(problem: Ordinary | Degenerate, number: float, random: np.random.Generator) -> list[dict[str, Any]]:
    """Simulate, throw pseudo-data and return the interval of every model."""
    templates = problem.simulate(number, random)
    data = random.poisson(problem.expected().sum(axis=0)).astype(np.float64)
    thrown = {"scale": random.standard_normal()}
    lite, merged = (joined(templates, minimum) for minimum in (1e-9, configuration.Binning().minimum_events))
    rows = fitted(_model(problem, templates, lite), np.add.reduceat(data, lite[:-1]), thrown, ("none", "lite"))
    if len(merged) == len(lite):
        return [*rows, rows[-1] | {"model": "merged"}]
    return rows + fitted(_model(problem, templates, merged), np.add.reduceat(data, merged[:-1]), thrown, ("merged",))


def _model(problem: Ordinary | Degenerate, templates: Sequence[Template], kept: np.ndarray) -> Model:
    return Model(workspace([template.grouped(kept) for template in templates], problem.free_rate))


def fitted(model: Model, main: np.ndarray, thrown: Mapping[str, float], names: Sequence[str]) -> list[dict[str, Any]]:
    """Fit pseudo-data in the bins of *model*; return one row per name of `MODELS`.

    *thrown*: fluctuations of what was measured beforehand. The simulation needs none: it fluctuates by itself.
    """
    sample = model.asimov()
    sample[: model.bins] = main
    sample[model.bins :] += [thrown.get(model.names[i], 0.0) for i in model.constrained]
    return [{"model": name, **_interval(model, sample, with_mc=name != "none"), **_expected(model)} for name in names]


def _interval(model: Model, data: np.ndarray, *, with_mc: bool) -> dict[str, Any]:
    """Return best fit and profile interval of mu; NaN where the fit failed."""
    held = model.fixed | (_gammas(model) & (not with_mc))
    minima = model.minimise(data, fixed=held)
    found = model.intervals(minima, "mu", data, held)
    good = minima.status[0] == 0 and not found.flags[0] & 4
    value, low, high = minima.values[0, model.index("mu")], found.low[0], found.high[0]
    return dict(zip(("mu", "low", "high"), (value, low, high) if good else (np.nan,) * 3, strict=True))


def _gammas(model: Model) -> np.ndarray:
    return np.array([row.kind == "staterror" for row in model.parameters])


def _expected(model: Model) -> dict[str, float]:
    """Return what the analysis itself can see: MC statistics and the other parameters in the expected uncertainty."""
    hessian = 0.5 * model.derivatives(None, model.asimov()).hessian[0]
    poi, free = model.index("mu"), ~model.fixed
    places = {"total": free, "frozen": free & ~_gammas(model), "stat": np.arange(len(free)) == poi}
    sigma = {}
    for name, chosen in places.items():
        index = np.flatnonzero(chosen)
        sigma[name] = _sigma(hessian[np.ix_(index, index)], list(index).index(poi))
    share = np.sqrt(max(1 - (sigma["frozen"] / sigma["total"]) ** 2, 0.0))
    return {"sigma": sigma["total"], "mc_share": share, "inflation": sigma["frozen"] / sigma["stat"]}


def _sigma(hessian: np.ndarray, place: int) -> float:
    """Return the standard deviation of a parameter; NaN where the bins that are left do not determine it."""
    try:
        variance = float(np.linalg.inv(hessian)[place, place])
    except np.linalg.LinAlgError:
        return np.nan
    return np.sqrt(variance) if variance > 0 else np.nan


def study(
    number: int, events: Sequence[float] = EVENTS, problems: Sequence[str] = tuple(PROBLEMS), seed: int = 1
) -> pd.DataFrame:
    """Return the coverage for every problem, number of simulated events per bin, and model."""
    points = [(problem, size) for problem in problems for size in events]
    rows = []
    for problem, size in progress(points, "points", len(points)):
        random = seeds.generator(seed, "shrinking_simulation", problem, str(size))
        found = pd.DataFrame([row for _ in range(number) for row in experiment(PROBLEMS[problem], size, random)])
        rows += [
            {"problem": problem, "events_per_bin": size, "model": model, **summary(found[found["model"] == model])}
            for model in MODELS
        ]
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame) -> dict[str, float]:
    """Return coverage with Clopper-Pearson limits (failed fits do not cover), widths and what the analysis sees."""
    inside = (found["low"] <= TRUTH) & (found["high"] >= TRUTH)
    low, high = toys.clopper_pearson(int(inside.sum()), len(found))
    spread = 0.5 * (found["mu"].quantile(0.8413) - found["mu"].quantile(0.1587))
    return {
        "toys": len(found),
        "failed": int(found["low"].isna().sum()),
        "coverage": float(inside.mean()),
        "coverage_low": low,
        "coverage_high": high,
        "bias": float(found["mu"].median() - TRUTH),
        "spread": float(spread),
        "half_width": float(0.5 * (found["high"] - found["low"]).median()),
        **{name: float(found[name].median()) for name in ("sigma", "mc_share", "inflation")},
    }


# --- figure and command ---------------------------------------------------------------------------------------------

LOOKS = {
    "none": ("#8b929c", "s", "no MC-statistical uncertainties"),
    "lite": ("#e76300", "o", "Barlow-Beeston-lite"),
    "merged": ("#3f90da", "^", "and bins below 10 events joined"),
}
TITLES = {
    "ordinary": "peak on background,\n200 data events per bin",
    "few data": "peak on background,\n10 data events per bin",
    "degenerate": "signal and a free background\nof almost the same shape",
}


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw coverage (above) and the MC-statistical part of the uncertainty (below) against the simulated events."""
    from matplotlib.figure import Figure

    from nuisflow.report.plots import style

    names = list(dict.fromkeys(table["problem"]))
    with style.applied():
        figure = Figure(figsize=(3.1 * len(names) + 0.6, 4.9), layout="constrained")
        panels = figure.subplots(
            2,
            len(names),
            sharex=True,
            sharey="row",
            squeeze=False,
            height_ratios=(3, 1.3),
            gridspec_kw={"hspace": 0.05},
        )
        for (top, bottom), name in zip(panels.T, names, strict=True):
            _draw_problem(top, bottom, table[table["problem"] == name])
            top.set_title(TITLES[name], fontsize=9.5)
        panels[0, 0].set_ylabel("coverage of the interval of μ")
        panels[1, 0].set_ylabel("MC statistics\nin σ(μ)")
        panels[0, len(names) // 2].legend(loc="lower right")
        figure.supxlabel("effective simulated events per bin", fontsize=10)
        style.save(figure, [path])


def _draw_problem(top: Any, bottom: Any, table: pd.DataFrame) -> None:
    for number, (model, (colour, marker, label)) in enumerate(LOOKS.items()):
        rows = table[table["model"] == model]
        x = rows["events_per_bin"] * 1.04 ** (number - 1)
        errors = [rows["coverage"] - rows["coverage_low"], rows["coverage_high"] - rows["coverage"]]
        top.errorbar(x, rows["coverage"], errors, color=colour, marker=marker, ms=4, lw=1.2, label=label)
    seen = table[table["model"] == "lite"]
    bottom.plot(seen["events_per_bin"], seen["mc_share"], color="#1b1e23", marker=".", lw=1.2)
    top.axhline(toys.LEVEL, color="#1b1e23", lw=1, ls=":", zorder=1)
    top.set_xscale("log")
    top.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    top.set_ylim(0, 0.8)
    bottom.set_ylim(0, 1.05)
    for panel in (top, bottom):
        panel.grid(color="#8b929c", alpha=0.35, lw=0.6)


def main() -> None:
    """Run the study and write its table and figure."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "--toys", type=int, default=2000, help="simulations and pseudo-experiments per point (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the random numbers (%(default)s)")
    parser.add_argument("--events", type=float, nargs="+", default=EVENTS, help="simulated events per bin")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    table = study(options.toys, options.events, seed=options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "shrinking_simulation.csv", table)
    draw(table, options.output / "shrinking_simulation.svg")
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
