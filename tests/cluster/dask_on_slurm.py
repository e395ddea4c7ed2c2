"""Process events with workers that are jobs of a real, private SLURM: python tests/cluster/dask_on_slurm.py [--install].

The job `process_events` runs here, its two dask workers are SLURM jobs (`dask.cluster: slurm`). One of them is
cancelled while it works: another must be submitted, and the Parquet file must be, byte for byte, that of a run without
dask. Then the job itself is killed: its workers must leave the queue. See slurm.py for what it needs and leaves.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slurm

TARGET = "results/toy/events/tes_up/ttbar.parquet"
LOG = "results/toy/logs/process_events/tes_up_ttbar.log"
DASK = {
    "scheduler": "distributed",
    "cluster": "slurm",
    "workers": 2,
    "memory": "1GB",
    "walltime": "00:10:00",
    "options": {"queue": "debug", "interface": "lo"},
}


def running() -> set[str]:
    """Return the ids of the jobs that run."""
    done = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=False)
    return set(done.stdout.split())


def wait(condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Return what *condition* returns as soon as it is true."""
    begun = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - begun > seconds:
            raise SystemExit(f"FAILED: not within {seconds} s: {what}")
        time.sleep(0.2)
    return found


def start(folder: Path, config: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start Snakemake to make the target."""
    command = slurm.command(folder, config, "default", "--cores", "2", "--", TARGET)
    with (folder / "snakemake.txt").open("wb") as printed:
        return subprocess.Popen(command, cwd=folder, stdout=printed, stderr=subprocess.STDOUT)


def log(folder: Path) -> str:
    """Return the log of the job so far."""
    return (folder / LOG).read_text() if (folder / LOG).exists() else ""


def registered(folder: Path) -> int:
    """Return how many workers have ever reached the scheduler: one that is lost before is not submitted again."""
    return sum("Registered to:" in path.read_text() for path in (folder / "results" / "dask").glob("*.err"))


def at_work(folder: Path) -> bool:
    """Return whether some chunks are done."""
    return " of " in log(folder).partition("dashboard")[2]


def made(folder: Path, config: dict[str, Any]) -> bytes:
    """Return the bytes of the target, made without dask."""
    process = start(folder, config | {"dask": {"scheduler": "synchronous", "chunk_size": config["dask"]["chunk_size"]}})
    slurm.check(process.wait() == 0, "the events without SLURM", (folder / "snakemake.txt").read_text())
    return (folder / TARGET).read_bytes()


def cancelled_while_running(folder: Path, config: dict[str, Any]) -> bytes:
    """Make the target, cancel one worker when both are at work, and return the bytes."""
    process = start(folder, config)
    wait(lambda: registered(folder) == 2 and at_work(folder), "two workers have done some chunks")
    lost = min(running())
    subprocess.run(["scancel", lost], check=True)
    slurm.say(f"job {lost} is cancelled while the job is at: {log(folder).splitlines()[-1]}")
    slurm.check(process.wait(slurm.TIMEOUT) == 0, "the job ends well although a worker was cancelled", log(folder))
    slurm.check(
        log(folder).count("submitting batch jobs") == 2, "a new worker was submitted for the cancelled one", log(folder)
    )
    slurm.check(not running(), "no worker stays in the queue")
    return (folder / TARGET).read_bytes()


def killed(folder: Path, config: dict[str, Any]) -> None:
    """Kill the job and Snakemake while workers run; they must go by themselves."""
    (folder / TARGET).unlink()
    (folder / LOG).unlink()
    process = start(folder, config)
    wait(lambda: len(running()) == 2 and at_work(folder), "some chunks are done")
    process.kill()  # the job dies with Snakemake
    process.wait()
    begun = time.monotonic()
    wait(lambda: not running(), "the workers of a killed job leave the queue")
    slurm.say(f"holds: the workers of a killed job leave the queue, after {time.monotonic() - begun:.0f} s")
    slurm.check(not (folder / TARGET).exists(), "nothing half done is left")


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install SLURM with apt-get if it is not there")
    install = parser.parse_args().install
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that what was started is stopped
    try:
        slurm.prepare(install=install)
    except slurm.Unavailable as reason:
        slurm.say(f"dask on SLURM is not tested here: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="dask-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for part in ("daemons", "slurm", "local"):
            (folder / part).mkdir()
        stack.enter_context(slurm.private_slurm(folder / "daemons"))
        slurm.say("a private SLURM is up")
        config = slurm.project(folder / "slurm")
        slurm.project(folder / "local")
        config["variations"]["tes"] = {"kind": "shift", "shift": "tes", "size": 0.02}
        config["samples"]["ttbar"]["events"] = 1_000_000
        config["dask"] = DASK | {"chunk_size": 500}
        expected = made(folder / "local", config)
        slurm.check(cancelled_while_running(folder / "slurm", config) == expected, "the bytes are those without SLURM")
        killed(folder / "slurm", config)


if __name__ == "__main__":
    main()
