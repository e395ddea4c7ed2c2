"""Time our processing of events against coffea and ROOT: python tests/benchmarks/benchmark_events.py [--peer-python P].

The job: events of the built-in simulation (Z to tau tau, the default selection and features) at nominal and at eight
shifts (tau, jet and lepton energy scales and soft missing momentum, up and down), each with what it changes in the
missing momentum and in everything derived. Read from one ROOT file, the selected events written with all features, the
weight and the entry number. Ours is what the workflow runs: `ingest_events` once and `process_events` in nine jobs, each
of which reads the ingested events and writes one Parquet file. The peers (`peer_events.py`) read it once and make the nine in one pass.

Single thread, CPU seconds, medians of alternating runs; interpreter start, imports and a small first job, in which
peers compile, are not counted. A peer counts if it keeps the same events and has the same features up to `AGREEMENT`
(relative; absolute below 1); in at most `EDGE` of the events, at a threshold, rounding may decide otherwise.

coffea is timed with chunks of 100,000 events, its default and ours, and with chunks of a million, where its overhead
per operation no longer matters. Peers are looked for in the Python that `--peer-python` names, by default this one.
They need not fit our pinned versions, so that one of their own is best:

    python3.11 -m venv peers && peers/bin/pip install coffea==2026.9.0 ROOT
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import numpy as np
from analyses import changed, shipped
from benchmark_fits import COLUMNS, Row, one_core, seconds

from ingest_events import ingest_events
from nuisflow.datasets import kinematics
from nuisflow.settings import configuration, sections
from nuisflow.slices import events
from nuisflow.storage import event_files, user_files
from process_events import process_events
from simulate_events import simulate_events

SAMPLE = "ztautau"
SCALES = ("tes", "jes", "les")
AGREEMENT = 1e-4
EDGE = 1e-4
CHUNKS = {"coffea": (100_000, 1_000_000), "ROOT": (0,)}


def analysis() -> configuration.Configuration:
    """Return the default analysis with a lepton energy scale."""
    scale = {"kind": "shift", "shift": "les", "size": 0.01}
    return configuration.Configuration.model_validate(changed(shipped("config"), ("variations.les", scale)))


def simulate(settings: configuration.Configuration, path: Path, number: int) -> Path:
    """Simulate *number* events."""
    chosen = events.simulation(settings, SAMPLE).model_copy(update={"events": number})
    simulate_events(path, settings=sections.plain(chosen))
    return path


def sizes(settings: configuration.Configuration) -> dict[str, list[float]]:
    """Return what each variation does: relative changes of tau, jets and lepton, and GeV of soft noise."""
    found = {}
    for name in events.shifted_names(settings, SAMPLE):
        job = events.processing(settings, SAMPLE, name)
        known = {key: getattr(shift, "size", None) or 0.0 for key, shift in job.variations.items()}
        moved = {job.variation: job.z * known[job.variation]} if job.variation else {}
        noise = kinematics.soft_noise(moved.get("soft_met", 0.0), 1.0) - kinematics.soft_noise(0.0, 1.0)
        found[name] = [*(moved.get(scale, 0.0) for scale in SCALES), float(noise)]
    return found


def ours(settings: configuration.Configuration, raw: Path, folder: Path) -> None:
    """Do the job as the workflow does: ingest the file, then write one Parquet file after the other."""
    ingested = folder / "ingested.arrow"
    ingest_events([raw], ingested, settings=sections.plain(events.ingestion(settings, SAMPLE)), shared={})
    for name in events.shifted_names(settings, SAMPLE):
        job = sections.plain(events.processing(settings, SAMPLE, name))
        process_events(ingested, folder / f"{name}.parquet", settings=job, dask={})


def installed(python: str, package: str) -> bool:
    """Return whether *python* has a package."""
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", found], check=False).returncode == 0


def theirs(python: str, peer: str, job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the job of *peer* in a process of its own; return its CPU seconds and version."""
    (folder / "job.json").write_text(json.dumps(job))
    command = [python, "-W", "ignore", str(Path(__file__).with_name("peer_events.py")), peer, str(folder / "job.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def read(paths: Sequence[Path], columns: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the columns of files that follow each other: Parquet, or of ROOT."""
    known = dict.fromkeys(columns, np.dtype("float64"))
    parts = [
        next(user_files.pieces(path, known, 1 << 30, event_files.TREE, {}))
        if path.suffix == ".root"
        else event_files.read_rows(path, columns, 0, event_files.count_rows(path))
        for path in paths
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}


def difference(mine: Path, peer: Path, settings: configuration.Configuration) -> str | None:
    """Return by what the files of *peer* differ from ours, or None."""
    columns = ["entry", "weight", *settings.features]
    for path in sorted(mine.glob("*.parquet")):
        first = read([path], columns)
        second = read(sorted(peer.glob(f"{path.stem}[._][0-9r]*")), columns)
        _, i, j = np.intersect1d(first["entry"], second["entry"], assume_unique=True, return_indices=True)
        size = len(first["entry"])
        other = size + len(second["entry"]) - 2 * len(i)
        if other > EDGE * size:
            return f"{path.stem}: {other} of {size} events are selected by one side only"
        for name in columns:
            a, b = first[name][i].astype(float), second[name][j].astype(float)
            off = np.count_nonzero(np.abs(a - b) > AGREEMENT * np.maximum(np.abs(a), 1.0))
            if off > EDGE * size:
                return f"{path.stem}: {name} differs in {off} of {size} events"
    return None


def benchmark(number: int, repeats: int, python: str = sys.executable) -> Iterator[Row]:
    """Time both sides in turn, for every peer that *python* has."""
    settings, name = analysis(), f"{number:,} events, nominal and 8 shifts"
    there = {peer: installed(python, peer) for peer in CHUNKS}
    for peer in (peer for peer in CHUNKS if not there[peer]):
        print(f"skipped: events with {peer} (not installed in {python}; --peer-python names another Python)")
    cases = [(peer, chunk) for peer, chunks in CHUNKS.items() if there[peer] for chunk in chunks]
    if not cases:
        return
    with tempfile.TemporaryDirectory() as temporary, one_core():
        folder = Path(temporary)
        (folder / "peer").mkdir()
        raw = simulate(settings, folder / "raw.root", number)
        warm = simulate(settings, folder / "warm.root", min(number, 20_000))
        ours(settings, warm, folder / "ours")
        job = {"path": str(raw), "warm": str(warm), "folder": str(folder / "peer"), "variations": sizes(settings)}
        for peer, chunk in cases:
            rows = []
            for _ in range(repeats):
                first = seconds(lambda: ours(settings, raw, folder / "ours"))[0]
                found = theirs(python, peer, job | {"chunk": chunk}, folder)
                rows.append((first, found["seconds"]))
            label = f"{peer} {found['version']}" + (f", chunks of {chunk:,}" if chunk else " RDataFrame")
            if differs := difference(folder / "ours", folder / "peer", settings):
                print(f"{name}, {label}: {differs}, not counted", file=sys.stderr)
            else:
                yield name, label, *map(statistics.median, zip(*rows, strict=True))  # type: ignore[misc]


def main() -> None:
    """Run the benchmark and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="?", type=Path, default=Path("results/benchmark/events.csv"))
    parser.add_argument("--events", type=int, default=1_000_000, help="simulated events (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side (%(default)s)")
    parser.add_argument("--peer-python", default=sys.executable, help="Python that has coffea, ROOT or both")
    options = parser.parse_args()
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(COLUMNS)
        for name, peer, first, second in benchmark(options.events, options.repeats, options.peer_python):
            table.writerow([name, peer, f"{first:.4g}", f"{second:.4g}", f"{second / first:.4g}"])
            rates = " and ".join(f"{9e-6 * options.events / time_:.2f}" for time_ in (first, second))
            print(f"{name}, {peer}: {first:.3g} s against {second:.3g} s: {rates} million events and shifts per second")


if __name__ == "__main__":
    main()
