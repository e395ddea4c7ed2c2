"""Peak memory and time of the likelihood of single events by the number of simulated events: expected data, fit, toys.

    python tests/studies/memory_of_unbinned.py 0.3 1 3 10     # millions; prints a table

Densities are made up: 4 processes, 6 shifts, 28 numbers per event, as in `tests/benchmarks/benchmark_unbinned.py`; one
displaced point has a third more events. Every size is a process of its own.
"""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "benchmarks")]
BLOCK = 50_000
EXPECTED = 15_000


def parts(size: int, model) -> Iterator[dict[str, np.ndarray]]:
    """Yield blocks of events: all processes at nominal, the first one at a displaced point."""
    for block, start in enumerate(range(0, size + size // 3, BLOCK)):
        random, number = np.random.default_rng(block), min(BLOCK, size + size // 3 - start)
        displaced = start >= size
        process = np.zeros(number, np.int16) if displaced else random.integers(0, 4, number).astype(np.int16)
        share = -0.5 * (random.normal(process, 1.0)[:, None] - np.arange(4)) ** 2
        share -= np.log(np.exp(share).sum(axis=1, keepdims=True))
        weight = 4 * model.structure.number[0][process] / (size if not displaced else 4 * size / 3)
        values = np.concatenate([share, 0.1 * random.normal(size=(number, len(model.columns)))], axis=1)
        yield {
            "variation": np.full(number, int(displaced), np.int16),
            "sample": process,
            "fold": random.integers(0, 2, number).astype(np.int16),
            "weight": weight,
        } | {f"d{k}": column.astype(np.float32) for k, column in enumerate(values.T)}


def ask(path: Path, stage: str) -> None:
    """Make expected data and fit them, or also throw toys, and print the time and the most memory used until then."""
    import benchmark_unbinned

    from nuisflow.inference.unbinned import events
    from nuisflow.likelihood.kernels import density_fits

    model = benchmark_unbinned.model(1)
    pools = events.Pools(path, model, {name: name for name in model.processes}, {}, {})
    best = model.best(events.asimov(model, pools["nominal"]))
    held = np.zeros(len(model.names), dtype=np.bool_)
    for point in ("nominal", "displaced") if stage == "toys" else ():
        for data in events.throw(model, pools[point], model.inits, 20, "memory", seed=1):
            density_fits.experiment(model.structure, data, model.inits, held, 0, 1e-3)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"{stage:6} {best.converged} {used.ru_utime + used.ru_stime:7.1f} s {used.ru_maxrss / 1024:8.0f} MB")


def main() -> None:
    """Measure all sizes."""
    if sys.argv[1] == "ask":
        ask(Path(sys.argv[2]), sys.argv[3])
        return
    import benchmark_unbinned

    from nuisflow.storage import event_files

    model = benchmark_unbinned.model(1)
    for millions in map(float, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            path, size = Path(folder) / "densities.parquet", round(1e6 * millions)
            categories = {"variation": ["nominal", "displaced"], "sample": list(model.processes)}
            event_files.write_event_parts(path, parts(size, model), categories)
            for stage in ("fit", "toys"):
                command = [sys.executable, __file__, "ask", str(path), stage]
                done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
                print(f"{millions:5g} million: {done.stdout.strip() or done.stderr[-500:]}", flush=True)


if __name__ == "__main__":
    main()
