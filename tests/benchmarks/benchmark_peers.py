"""Time fits of pseudo-experiments against other engines: python tests/benchmarks/benchmark_peers.py [--peers RooFit,…].

Every peer stands in an environment of its own below build/peers, made here with pip where it is not yet, and fits in a
process of its own (`peer_fits.py`). All fit the same pseudo-data (main data fluctuate, auxiliary data are as measured,
since not all peers take others), for the minimum alone, one thread each, in turn: ours, one peer, ours, the next one.
CPU seconds per fit, medians of the rounds after the first, in which peers compile; what a peer does once for all
data sets is not counted. A fit counts if our -2 ln L at the peer's best fit is at most AGREEMENT above our minimum; of
rabbit, whose variations are interpolated otherwise, if mu is within LIKE standard deviations of ours.

Models: a and b of `benchmark_fits`; c: 4 channels x 25 bins, 6 samples, 184 parameters; d: 1000 nuisance parameters,
1000 bins in 20 channels, 10 samples (`large_models`). All with MC statistics.
"""

import argparse
import contextlib
import csv
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import benchmark_fits
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import large_models

from nuisflow.likelihood import toys
from nuisflow.likelihood.dialects import hs3_writing
from nuisflow.likelihood.model import Model

ENVIRONMENTS = ROOT / "build" / "peers"
PACKAGES = {
    "RooFit": ("root==0.1a12", "numpy==2.4.6"),  # ROOT 6.40
    "everwillow": ("everwillow==0.1.2", "jax==0.10.2"),
    "rabbit-fit": ("rabbit-fit==0.2.5", "tf-keras==2.21.0"),
    "NextStat": ("nextstat==0.10.1", "numpy==2.4.6"),
}
AGREEMENT, LIKE = 0.01, 0.3
PATIENCE = 600
"""CPU seconds that a peer has for all its fits of one model, reading and compilation included."""


class Case(NamedTuple):
    """A model; fits of ours per round, and rounds; fits per round of each peer that tries."""

    name: str
    workspace: Callable[[], dict[str, Any]]
    ours: int
    rounds: int
    peers: dict[str, int]


CASES = (
    Case("model a", lambda: benchmark_fits.workspace(1, 20, 3, 6), 2000, 5,
         {"RooFit": 50, "everwillow": 128, "rabbit-fit": 1, "NextStat": 50}),
    Case("model b", lambda: benchmark_fits.workspace(3, 25, 6, 40), 320, 5,
         {"RooFit": 5, "everwillow": 64, "rabbit-fit": 1, "NextStat": 5}),
    Case("184 parameters", lambda: benchmark_fits.workspace(4, 25, 6, 83), 128, 3,
         {"RooFit": 3, "everwillow": 16, "rabbit-fit": 1, "NextStat": 3}),
    Case("1000 x 1000", lambda: large_models.plain(large_models.workspace(1, parameters=1000, bins=1000)), 16, 1,
         {"RooFit": 1, "everwillow": 1, "rabbit-fit": 1, "NextStat": 1}),
)  # fmt: skip

MODELS = tuple(case.name for case in CASES)


def python_of(peer: str, *, install: bool) -> tuple[Path | None, str]:
    """Return the Python of a peer's environment, made if asked for, or None and why there is none."""
    folder = ENVIRONMENTS / peer
    ready, python = folder / ".ready", folder / "bin" / "python"
    if ready.exists() and ready.read_text() == "\n".join(PACKAGES[peer]):
        return python, ""
    if not install:
        return None, "not installed"
    print(f"installing {' '.join(PACKAGES[peer])} in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[peer]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None, f"pip cannot install it: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    ready.write_text("\n".join(PACKAGES[peer]))
    return python, ""


class Peer:
    """A peer at work on one model, in a process that may take *patience* CPU seconds."""

    def __init__(self, name: str, python: Path, folder: Path, patience: int) -> None:
        self.name, self.patience, self.log = name, patience, (folder / f"{name}.log").open("w+")
        script = str(Path(__file__).with_name("peer_fits.py"))
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", script, name, str(folder), str(patience)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip

    def fit(self, first: int, last: int) -> tuple[float, np.ndarray] | None:
        """Return CPU seconds and best fits of experiments, or None if the peer has ended."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(f"{first} {last}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        answer = self.process.stdout.readline()
        if not answer:
            return None
        found = json.loads(answer)
        return found["seconds"], np.array(found["values"], dtype=np.float64)

    def end(self) -> str:
        """End the process; return why it ended by itself, or ""."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        status = self.process.returncode
        self.log.seek(0)
        said = self.log.read().strip().splitlines()
        self.log.close()
        if status < 0:
            return (
                f"not within {self.patience} CPU seconds" if -status == signal.SIGXCPU else f"ended by signal {-status}"
            )
        return (said or ["no reason given"])[-1] if status else ""


def benchmark(case: Case, pythons: dict[str, Path], patience: int) -> Iterator[benchmark_fits.Row]:
    """Time one model, ours and every peer that tries it in turn."""
    workspace = case.workspace()
    model = Model(workspace)
    number = max(case.ours, (case.rounds + 1) * max(case.peers.values()))
    data = np.concatenate(list(toys.throw(model, None, number, benchmark_fits.SEED)))
    data[:, model.bins :] = model.asimov()[model.bins :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "workspace.json").write_text(json.dumps(workspace))
        (folder / "hs3.json").write_text(json.dumps(hs3_writing.write(model.structure)))
        (folder / "names.json").write_text(json.dumps(list(model.names)))
        np.save(folder / "toys.npy", data[:, : model.bins])
        some = data[: case.ours]
        model.minimise(some[:2], workers=1)
        for peer, python in pythons.items():
            if peer in case.peers:
                yield from _rounds(case, model, data, some, Peer(peer, python, folder, patience))


def _rounds(case: Case, model: Model, data: np.ndarray, some: np.ndarray, peer: Peer) -> Iterator[benchmark_fits.Row]:
    """Yield the row of one peer, if any of its fits counts."""
    size, mine, theirs, odd = case.peers[peer.name], [], [], 0
    for turn in range(case.rounds + 1):
        found = peer.fit(turn * size, (turn + 1) * size)
        if found is None:
            break
        good = _good(model, data[turn * size : (turn + 1) * size], found[1], peer.name)
        odd += int((~good).sum())
        if turn and good.any():
            theirs.append(found[0] / size)
            mine.append(benchmark_fits.seconds(lambda: model.minimise(some, workers=1))[0] / len(some))
    if reason := peer.end():
        print(f"skipped: {case.name}, {peer.name}: {reason}", file=sys.stderr)
    if odd:
        print(f"{case.name}, {peer.name}: {odd} of its fits are not at our minimum", file=sys.stderr)
    if theirs:
        yield f"toys, {case.name}", peer.name, statistics.median(mine), statistics.median(theirs)


def _good(model: Model, data: np.ndarray, found: np.ndarray, peer: str) -> np.ndarray:
    """Return which fits of a peer are as good as ours."""
    minima = model.minimise(data, workers=1)
    if peer == "rabbit-fit":
        at = model.index(model.poi)
        return np.abs(found[:, at] - minima.values[:, at]) < LIKE * model.errors(minima, data)[:, at]
    every = np.ones_like(found, dtype=np.bool_)
    depths = model.minimise(data, found, every, workers=1).twice_nll  # nothing is free
    return (depths - minima.twice_nll < AGREEMENT) & (depths - minima.twice_nll > -1e-6)


def all_rows(*, install: bool, models: Sequence[str] = MODELS, peers: Sequence[str] = tuple(PACKAGES),
             patience: int = PATIENCE) -> Iterator[benchmark_fits.Row]:  # fmt: skip
    """Time models against every peer that is there, or can be installed."""
    pythons = {}
    for peer in peers:
        python, reason = python_of(peer, install=install)
        if python:
            pythons[peer] = python
        else:
            print(f"skipped: toys with {peer} ({reason})")
    with benchmark_fits.one_core():
        for case in (case for case in CASES if case.name in models):
            yield from benchmark(case, pythons, patience)


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", nargs="?", type=Path, default=Path("results/benchmark/peers.csv"))
    parser.add_argument("--peers", default=",".join(PACKAGES), help="which of %(default)s")
    parser.add_argument("--models", default=",".join(MODELS), help="which of %(default)s")
    parser.add_argument("--patience", default=PATIENCE, type=int, help="CPU seconds per peer and model (%(default)s)")
    options = parser.parse_args()
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    with options.csv.open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(benchmark_fits.COLUMNS)
        models, peers = options.models.split(","), options.peers.split(",")
        for name, peer, ours, theirs in all_rows(install=True, models=models, peers=peers, patience=options.patience):
            table.writerow([name, peer, f"{ours:.4g}", f"{theirs:.4g}", f"{theirs / ours:.4g}"])
            print(f"{name:24} {peer:12} ours {ours:.3g} s, peer {theirs:.3g} s: {theirs / ours:,.0f} x", flush=True)


if __name__ == "__main__":
    main()
