"""Process events with workers that are jobs of a real, private HTCondor: python tests/cluster/dask_on_htcondor.py [--install].

As dask_on_slurm.py: the job `process_events` runs here, its two dask workers are HTCondor jobs (`dask.cluster: htcondor`).
One is removed while it works: another must be submitted, and the Parquet file must be, byte for byte, that of a run
without dask. Then the job itself is killed: its workers must leave the queue. See htcondor.py for what it needs and leaves.
"""

import sys
import time
from pathlib import Path
from typing import Any

import htcondor
from dask_on_slurm import DASK, LOG, TARGET, log, made, start, wait
from slurm import TIMEOUT, check, project, say

# The node does not know that it shares a file system with the machine that submits, as in the profile htcondor.
SHARED = {"+ShouldTransferFiles": '"NO"', "Requirements": "TARGET.FileSystemDomain =!= undefined"}


def running() -> set[str]:
    """Return the ids of the jobs that run."""
    return set(htcondor.ask("condor_q", "-const", "JobStatus == 2", "-af", "ClusterId").split())


def at_work(folder: Path) -> bool:
    """Return whether two workers run and some chunks are done."""
    return len(running()) == 2 and " of " in log(folder).partition("dashboard")[2]


def removed_while_running(folder: Path, config: dict[str, Any]) -> bytes:
    """Make the target, remove one worker when both are at work, and return the bytes."""
    process = start(folder, config)
    wait(lambda: at_work(folder), "two workers have done some chunks")
    lost = min(running())
    htcondor.ask("condor_rm", lost)
    say(f"job {lost} is removed while the job is at: {log(folder).splitlines()[-1]}")
    check(process.wait(TIMEOUT) == 0, "the job ends well although a worker was removed", log(folder))
    check(
        log(folder).count("submitting batch jobs") == 2, "a new worker was submitted for the removed one", log(folder)
    )
    check(not running(), "no worker stays in the queue")
    return (folder / TARGET).read_bytes()


def killed(folder: Path, config: dict[str, Any]) -> None:
    """Kill the job and Snakemake while workers run; they must go by themselves."""
    (folder / TARGET).unlink()
    (folder / LOG).unlink()
    process = start(folder, config)
    wait(lambda: at_work(folder), "two workers have done some chunks")
    process.kill()  # the job dies with Snakemake
    process.wait()
    begun = time.monotonic()
    wait(lambda: not running(), "the workers of a killed job leave the queue")
    say(f"holds: the workers of a killed job leave the queue, after {time.monotonic() - begun:.0f} s")
    check(not (folder / TARGET).exists(), "nothing half done is left")


def inside(folder: Path) -> None:
    """Make the target without dask, then with workers on HTCondor."""
    for part in ("local", "htcondor"):
        (folder / part).mkdir()
        config = project(folder / part)
    config["variations"]["tes"] = {"kind": "shift", "shift": "tes", "size": 0.02}
    config["samples"]["ttbar"]["events"] = 1_000_000
    options = {"interface": "lo", "disk": "500MB", "job_extra_directives": SHARED}
    config["dask"] = {name: value for name, value in DASK.items() if name != "walltime"}
    config["dask"] |= {"cluster": "htcondor", "options": options, "chunk_size": 500}
    expected = made(folder / "local", config)
    with htcondor.private_condor(folder / "daemons"):
        say("a private HTCondor is up")
        check(removed_while_running(folder / "htcondor", config) == expected, "the bytes are those without HTCondor")
        killed(folder / "htcondor", config)


if __name__ == "__main__":
    sys.exit(htcondor.main(Path(__file__).resolve(), inside, __doc__))
