"""Run all benchmarks and write one table: python tests/benchmarks/write_summary.py [summary.csv] [--quick].

Each benchmark measures our side and the peer's alternately in one run. Peers that are not installed are skipped, and
said so (events with coffea and ROOT: looked for in the Python that --peer-python names). Other engines of fits get
environments of their own below build/peers, 4 GB, which the first run makes (with --quick they are left out). Seconds
are CPU seconds of one thread (of training on a GPU: seconds).
"""

import argparse
import csv
import importlib.metadata
import logging
import os
import platform
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import benchmark_events
import benchmark_fits  # it limits numpy to one thread, as benchmark_events does
import benchmark_peers
import benchmark_training
import benchmark_unbinned
import torch

from nuisflow.learning import classifier
from nuisflow.storage import files

Row = tuple[str, str, float, float, float]
PACKAGES = ("numpy", "scipy", "numba", "iminuit", "pyhf", "cabinetry", "torch", "jax")
PEERS = {"pyhf": "every fit", "jax": "pyhf with jax, single events", "torch": "pyhf with torch", "cabinetry": "impacts"}
FOLDER = Path("results/benchmark")


def fits(*, quick: bool, large_repeats: int) -> Iterator[Row]:
    """Time fits and impacts on the small model, and unless *quick* on the large one."""
    for benchmark, peer, ours, theirs in benchmark_fits.benchmark(quick=quick, large_repeats=large_repeats):
        yield benchmark, peer, ours, theirs, theirs / ours


def engines(*, quick: bool) -> Iterator[Row]:
    """Time pseudo-experiments against other engines, unless *quick*."""
    if quick:
        print(f"skipped: toys with {', '.join(benchmark_peers.PACKAGES)} (not in a quick run)")
        return
    for benchmark, peer, ours, theirs in benchmark_peers.all_rows(install=True):
        yield benchmark, peer, ours, theirs, theirs / ours


def unbinned(*, quick: bool) -> Iterator[Row]:
    """Time fits of single events."""
    for benchmark, peer, ours, theirs in benchmark_unbinned.benchmark(quick=quick):
        yield benchmark, peer, ours, theirs, theirs / ours


def events(*, quick: bool, python: str) -> Iterator[Row]:
    """Time the processing of events at nominal and eight shifts."""
    for benchmark, peer, ours, theirs in benchmark_events.benchmark(
        *((100_000, 1) if quick else (1_000_000, 3)), python
    ):
        yield benchmark, peer, ours, theirs, theirs / ours


def trainings(*, quick: bool) -> Iterator[Row]:
    """Time the training loop."""
    torch.set_default_dtype(torch.float32)  # pyhf's backend leaves another one
    sizes = {"number": 20_000, "repetitions": 1} if quick else {}
    for row in benchmark_training.rows(device=classifier.device("auto"), **sizes):
        yield row["benchmark"], row["peer"], row["ours_seconds"], row["peer_seconds"], row["ratio"]


def machine() -> str:
    """Return the processor, its cores, and the versions of Python and of what is timed, on two lines."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = (models or [platform.processor() or platform.machine()])[0]
    versions = [f"{name} {version}" for name in PACKAGES if (version := installed(name))]
    return f"{model}, {os.cpu_count()} cores\nPython {platform.python_version()}, {', '.join(versions)}"


def installed(package: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def write(path: Path, rows: list[Row]) -> None:
    """Write the table."""
    with files.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        table = csv.writer(handle, lineterminator="\n")
        table.writerow(benchmark_fits.COLUMNS)
        for benchmark, peer, *numbers in rows:
            table.writerow([benchmark, peer, *(f"{number:.4g}" for number in numbers)])


def show(benchmark: str, peer: str, ours: str, theirs: str, ratio: str) -> None:
    """Print one line of the table."""
    print(f"{benchmark:38} {peer:26} {ours:>11} {theirs:>11} {ratio:>9}", flush=True)


def main() -> None:
    """Run all benchmarks; print every row when it is there, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="?", type=Path, help=f"default: {FOLDER}/summary.csv, with --quick quick.csv")
    parser.add_argument("--quick", action="store_true", help="small model, few repetitions: a minute, rough numbers")
    parser.add_argument("--large-repeats", type=int, default=2, help="fits of model b per peer (default: 2)")
    parser.add_argument("--peer-python", default=sys.executable, help="Python that has coffea, ROOT or both")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    print(machine())
    for package, use in PEERS.items():
        if not installed(package):
            print(f"skipped: {use} ({package} is not installed)")
    show("benchmark", "peer", "ours [s]", "peer [s]", "ratio")
    rows = []
    sources = (
        fits(quick=options.quick, large_repeats=options.large_repeats),
        engines(quick=options.quick),
        unbinned(quick=options.quick),
        events(quick=options.quick, python=options.peer_python),
        trainings(quick=options.quick),
    )
    for source in sources:
        for row in source:
            rows.append(row)
            benchmark, peer, ours, theirs, ratio = row
            show(benchmark, peer, f"{ours:.3g}", f"{theirs:.3g}", f"{ratio:,.0f} x" if ratio > 10 else f"{ratio:.2f} x")
    path = options.csv or FOLDER / ("quick.csv" if options.quick else "summary.csv")
    write(path, rows)
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())
