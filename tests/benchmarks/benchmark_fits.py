"""Time our fits against pyhf and cabinetry, side by side in one run: python tests/benchmarks/benchmark_fits.py [csv].

Both sides run on one core and do the same work, in turn: a batch of ours, one fit of the peer, and so on. CPU seconds
per fit (impacts: per parameter), medians of the fits after the first, in which peers compile. With Minuit pyhf finds
the minimum and the errors of all parameters (HESSE), and so do we, from the exact Hessian; with SciPy the minimum only.
Models: (a) 1 channel x 20 bins, 3 samples, 6 nuisance parameters; (b) 3 channels x 25 bins, 6 samples, 40 nuisance
parameters; both with MC statistics.
"""

import argparse
import contextlib
import csv
import importlib.util
import logging
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import numpy as np

from nuisflow.likelihood import toys, uncertainties
from nuisflow.likelihood.model import Intervals, Model

SEED = 1
COLUMNS = ("benchmark", "peer", "ours_seconds", "peer_seconds", "ratio")
# ASSUME: a peer's fit counts when its minimum lies at most this far above ours in 2 NLL.
AGREEMENT = 0.01
Row = tuple[str, str, float, float]


def workspace(channels: int, bins: int, samples: int, parameters: int) -> dict[str, Any]:
    """Return a workspace with smooth templates: rate and shape variations of 1 to 8 %, and MC statistics."""
    random, x = np.random.default_rng(SEED), np.linspace(0.02, 0.98, bins)
    regions, observations = [], []
    for channel in range(channels):
        rows, total = [], np.zeros(bins)
        for sample in range(samples):
            falling = 400.0 / max(sample, 1) * np.exp(-x * (1 + 0.4 * sample)) + 5.0
            nominal = (20.0 * np.exp(-(((x - 0.75) / 0.15) ** 2)) + 0.5 if sample == 0 else falling) * (
                0.6 + 0.4 * channel
            )
            total += nominal
            rows.append({"name": f"s{sample}", "data": nominal.tolist(),
                         "modifiers": _modifiers(random, x, sample, channel, nominal, parameters)})  # fmt: skip
        regions.append({"name": f"c{channel}", "samples": rows})
        observations.append({"name": f"c{channel}", "data": random.poisson(total).astype(float).tolist()})
    config = {"poi": "mu", "parameters": []}
    return {"channels": regions, "observations": observations, "version": "1.0.0",
            "measurements": [{"name": "measurement", "config": config}]}  # fmt: skip


def _modifiers(
    random: np.random.Generator, x: np.ndarray, sample: int, channel: int, nominal: np.ndarray, parameters: int
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"name": "mu", "type": "normfactor", "data": None}] if sample == 0 else []
    for number in np.flatnonzero(random.random(parameters) < 0.5):
        size, name = random.uniform(0.01, 0.08), f"np{number:02d}"
        other = size * random.uniform(0.8, 1.2)
        if random.random() < 0.5:
            rows.append({"name": name, "type": "normsys", "data": {"hi": 1 + size, "lo": 1 - other}})
        else:
            shape = np.sin(3 * x + number)
            data = {
                "hi_data": (nominal * (1 + size * shape)).tolist(),
                "lo_data": (nominal * (1 - other * shape)).tolist(),
            }
            rows.append({"name": name, "type": "histosys", "data": data})
    rows.append({"name": f"stat_c{channel}", "type": "staterror", "data": np.sqrt(0.2 * nominal).tolist()})
    return rows


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of *work* and its result."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Run on one core: libraries then start no further threads, and their waiting costs nobody CPU time."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def peers(case: dict[str, Any], *, large: bool) -> Iterator[tuple[str, str, Callable[[np.ndarray], float]]]:
    """Yield backend, optimiser and fit (data to 2 NLL) of every peer that is installed."""
    import pyhf

    for backend, package in (("numpy", "numpy"), ("jax", "jax"), ("pytorch", "torch")):
        for optimiser in ("minuit", "scipy"):
            slow = backend == "pytorch" and optimiser == "minuit"  # minutes per fit of the large model
            if (large and slow) or not importlib.util.find_spec(package):
                continue
            pyhf.set_backend(backend, getattr(pyhf.optimize, f"{optimiser}_optimizer")(), precision="64b")
            model = pyhf.Workspace(case).model()

            def fit(data: np.ndarray, model: Any = model) -> float:
                return float(pyhf.infer.mle.fit(data.tolist(), model, return_fitted_val=True)[1])

            yield backend, optimiser, fit


def benchmark_toys(name: str, case: dict[str, Any], number: int, repeats: int, *, large: bool = False) -> Iterator[Row]:
    """Time fits of pseudo-experiments."""
    model = Model(case)
    data = np.concatenate(list(toys.throw(model, None, number, SEED)))
    minima = model.minimise(data, workers=1)
    model.errors(minima, data, workers=1)
    if not (minima.status == 0).all():
        raise SystemExit(f"{name}: {np.count_nonzero(minima.status)} of our fits did not converge")

    def ours(*, errors: bool) -> None:
        found = model.minimise(data, workers=1)
        if errors:
            model.errors(found, data, workers=1)

    for backend, optimiser, fit in peers(case, large=large):
        mine, theirs, peer = [], [], f"pyhf {backend} + {optimiser}"
        errors = optimiser == "minuit"
        if backend != "numpy":
            fit(data[-1])  # compiles
        for repeat in range(repeats):
            mine.append(seconds(lambda errors=errors: ours(errors=errors))[0] / number)  # type: ignore[misc]
            time_, twice_nll = seconds(lambda fit=fit, repeat=repeat: fit(data[repeat]))  # type: ignore[misc]
            excess = twice_nll - minima.twice_nll[repeat]
            if -1e-6 < excess < AGREEMENT:
                theirs.append(time_)
            else:
                print(f"{name}, {peer}: 2 NLL is {excess:+.2g} from ours, not counted", file=sys.stderr)
        if theirs:
            what = "fit and errors" if errors else "fit"
            yield f"{what}, {name}", peer, statistics.median(mine), statistics.median(theirs)


def benchmark_intervals(name: str, case: dict[str, Any], number: int, repeats: int) -> Iterator[Row]:
    """Time a fit with the profile interval of the parameter of interest."""
    if not importlib.util.find_spec("cabinetry"):
        return
    import cabinetry
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    theirs, _ = cabinetry.model_utils.model_and_data(case)
    model = Model(case)
    data = np.concatenate(list(toys.throw(model, None, number, SEED)))
    rows = []

    def ours() -> Intervals:
        return model.intervals(model.minimise(data, workers=1), model.poi, data, workers=1)

    found = ours()
    for repeat in range(repeats):
        mine, _ = seconds(ours)
        peer, result = seconds(lambda repeat=repeat: cabinetry.fit.fit(theirs, data[repeat].tolist(), minos=model.poi))  # type: ignore[misc]
        best = float(result.bestfit[model.index(model.poi)])
        low, high = (best + end for end in result.minos_uncertainty[model.poi])
        if abs(low - found.low[repeat]) + abs(high - found.high[repeat]) > AGREEMENT * (high - low):
            print(f"{name}, cabinetry: another interval, not counted", file=sys.stderr)
            continue
        rows.append((mine / number, peer))
    if rows:
        yield f"fit and profile interval, {name}", "cabinetry (MINOS)", *map(statistics.median, zip(*rows, strict=True))


def benchmark_threads(name: str, case: dict[str, Any], number: int, repeats: int) -> Iterator[Row]:
    """Time two threads against one (seconds by the clock)."""
    model = Model(case)
    data = np.concatenate(list(toys.throw(model, None, number, SEED)))
    model.minimise(data, workers=1)
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for workers, found in times.items():
            begin = time.perf_counter()
            model.minimise(data, workers=workers)
            found.append((time.perf_counter() - begin) / number)
    yield f"fit, {name}, 2 threads", "1 worker", min(times[2]), min(times[1])


def benchmark_impacts(name: str, case: dict[str, Any], count: int) -> Iterator[Row]:
    """Time the impacts, per parameter, against the same fits in cabinetry (of the first *count* parameters)."""
    if not importlib.util.find_spec("cabinetry"):
        return
    import cabinetry
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    model, data = cabinetry.model_utils.model_and_data(case)
    result = cabinetry.fit.fit(model, data)
    ours = Model(case)
    uncertainties.impacts(ours)
    mine, rows = seconds(lambda: uncertainties.impacts(ours))
    held, best = model.config.suggested_fixed(), [float(value) for value in result.bestfit]
    names = [row for row in result.labels if row != ours.poi][:count]

    def rank() -> None:
        for label in names:
            index = list(result.labels).index(label)
            fixed = [*held[:index], True, *held[index + 1 :]]
            widths = model.config.par_map.get(label.split("[")[0])["paramset"].width()
            for size in (result.uncertainty[index], -result.uncertainty[index], widths[0], -widths[0]):
                start = [*best[:index], best[index] + float(size), *best[index + 1 :]]
                cabinetry.fit.fit(model, data, init_pars=start, fix_pars=fixed)

    theirs, _ = seconds(rank)
    yield f"impacts, {name}, per parameter", "cabinetry", mine / len(rows), theirs / len(names)


def benchmark(*, quick: bool, large_repeats: int) -> Iterator[Row]:
    """Run all benchmarks on the small model, and unless *quick* on the large one."""
    small, large = workspace(1, 20, 3, 6), workspace(3, 25, 6, 40)
    number, repeats = (1000, 1) if quick else (4000, 5)
    with one_core():
        yield from benchmark_toys("model a", small, number, repeats)
        yield from benchmark_intervals("model a", small, number, repeats)
        yield from benchmark_impacts("model a", small, 1 if quick else 6)
        if not quick:
            yield from benchmark_toys("model b", large, 640, large_repeats, large=True)
            yield from benchmark_impacts("model b", large, 1)
    yield from benchmark_threads("model a", small, 10 * number, 5)


def main() -> None:
    """Run all benchmarks and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", nargs="?", type=Path, default=Path("results/benchmark/fits.csv"))
    parser.add_argument(
        "--large-repeats", type=int, default=2, help="fits of model b per peer (about 20 s each in pyhf)"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = list(benchmark(quick=False, large_repeats=options.large_repeats))
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(COLUMNS)
        for name, peer, ours, theirs in rows:
            table.writerow([name, peer, f"{ours:.4g}", f"{theirs:.4g}", f"{theirs / ours:.4g}"])
            print(f"{name:40} {peer:24} ours {ours:.3g} s, peer {theirs:.3g} s: {theirs / ours:,.0f} x")


if __name__ == "__main__":
    main()
