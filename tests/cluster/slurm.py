"""Run the toy analysis through a real, private SLURM of one node: python tests/cluster/slurm.py [--install].

It starts munge, slurmctld and slurmd on loopback, cancels a running job (which must be tried again), lets one training
fail for good (which must be reported with its log while the others go on), compares the results with a run without
SLURM, and stops what it started, by process id. Needs root, and /etc/slurm/slurm.conf for the time of the run, since
jobs find SLURM there; an existing one is never touched. Where that cannot be had, it says so and succeeds.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "squeue", "scancel")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
TIMEOUT = 900
CONFIG = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
MinJobAge=600
JobRequeue=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} CoresPerSocket={cores} RealMemory=16000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(RuntimeError):
    """SLURM cannot be run here, and why."""


def say(text: str) -> None:
    """Print a line at once."""
    print(f"==> {text}", flush=True)


def prepare(*, install: bool) -> None:
    """Check, or install, what is needed; raise `Unavailable` with the reason."""
    if os.geteuid() != 0:
        raise Unavailable("it takes root to start the daemons")
    if CONFIGURATION.exists():
        raise Unavailable(f"{CONFIGURATION} is there: this machine has a SLURM of its own")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing and install and shutil.which("apt-get"):
        say(f"installing {', '.join(PACKAGES)}")
        options = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        done = subprocess.run(["apt-get", "install", *options, *PACKAGES], capture_output=True, text=True, check=False)
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise Unavailable(f"the packages cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    if missing:
        raise Unavailable(f"{', '.join(missing)} not found (Debian: {' '.join(PACKAGES)}; or --install)")


@contextlib.contextmanager
def private_slurm(folder: Path) -> Iterator[None]:
    """Run munge, slurmctld and slurmd for the time of the block."""
    folder.chmod(0o755)
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o755)
    CONFIGURATION.parent.mkdir(exist_ok=True)
    CONFIGURATION.write_text(CONFIG.format(host=socket.gethostname(), folder=folder, cores=os.cpu_count()))
    started: list[subprocess.Popen[bytes]] = []
    try:
        started += _daemons(folder)
        _wait_until_idle()
        yield
    finally:
        subprocess.run(["scancel", "--user", "root"], capture_output=True, check=False)
        for process in reversed(started):
            _stop(process)
        CONFIGURATION.unlink(missing_ok=True)


def _daemons(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the daemons in the foreground of processes of ours, so that their ids are known."""
    munge, log = folder / "munge", (folder / "daemons.log").open("ab")
    key = munge / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    options = {"key-file": key, "socket": munge / "socket", "pid-file": munge / "pid", "seed-file": munge / "seed"}
    options |= {"log-file": munge / "log"}
    commands = [
        ["munged", "--foreground", "--force", *(f"--{name}={value}" for name, value in options.items())],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D", "-c"],
    ]
    for command in commands:
        yield subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        time.sleep(1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_idle() -> None:
    for _ in range(60):
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        if done.stdout.strip() == "idle":
            return
        time.sleep(1)
    raise Unavailable(f"it does not come up: sinfo says {done.stdout.strip() or done.stderr.strip()!r}")


# --- the analysis -----------------------------------------------------------------------------------------------------

BROKEN = '''"""A strategy that always fails."""

from typing import Literal

from nuisflow.strategies.strategy import Strategy


class Broken(Strategy):
    """Fail."""

    strategy: Literal["broken"] = "broken"

    def fit(self, task, loop):
        """Fail."""
        raise RuntimeError("broken on purpose")
'''


def project(folder: Path) -> dict[str, Any]:
    """Copy the project to *folder* and return a configuration of few, short jobs."""
    for name in ("workflow", "scripts", "envs"):
        shutil.copytree(ROOT / name, folder / name)  # with what is compiled
    config: dict[str, Any] = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
    config["trainings"] = {"boosted_trees": config["trainings"]["boosted_trees"]}
    config["variations"] = {"ttbar_rate": config["variations"]["ttbar_rate"]}
    config["toys"] = {"number": 100, "displacements": {}}
    return config


def command(folder: Path, config: dict[str, Any], profile: str, *options: str) -> list[str]:
    """Return the command that runs *config* in *folder* with one of the shipped profiles."""
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    return [
        *(sys.executable, "-m", "snakemake", "--workflow-profile", f"workflow/profiles/{profile}"),
        *("--configfile", "config.yaml", *options),
    ]


ON_SLURM = ("--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "3")


def run(folder: Path, config: dict[str, Any], profile: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the workflow and return what it printed."""
    return subprocess.run(
        command(folder, config, profile, *options), cwd=folder, capture_output=True, text=True, check=False,
        timeout=TIMEOUT,
    )  # fmt: skip


def cancelled_while_running(folder: Path, config: dict[str, Any]) -> tuple[str, str]:
    """Run the workflow on SLURM and cancel the first job that runs; return its id and what Snakemake printed."""
    begun, identifier = time.monotonic(), ""
    with (folder / "snakemake.txt").open("w+") as printed:
        process = subprocess.Popen(
            command(folder, config, "slurm", *ON_SLURM), cwd=folder, stdout=printed, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            if time.monotonic() - begun > TIMEOUT:
                process.kill()
                raise RuntimeError(f"SLURM: not done after {TIMEOUT} s:\n{(folder / 'snakemake.txt').read_text()}")
            if not identifier:
                queue = subprocess.run(
                    ["squeue", "-h", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=False
                )
                if running := queue.stdout.split():
                    identifier = running[0]
                    subprocess.run(["scancel", identifier], check=True)
            time.sleep(0.5)
        printed.seek(0)
        text = printed.read()
    check(process.returncode == 0, "the analysis ends well although a job was cancelled", text)
    return identifier, text


def check(holds: bool, what: str, printed: str = "") -> None:
    """Say what holds, or stop with what was printed."""
    if not holds:
        raise SystemExit(f"FAILED: {what}\n{printed[-6000:]}")
    say(f"holds: {what}")


def results(folder: Path) -> dict[str, Any]:
    """Return what must not depend on where jobs run."""
    base = folder / "results" / "toy"
    (workspace,) = base.glob("trainings/*/seed1/workspace.json")
    return {"workspace": workspace.read_text(), "summary": _summary(base / "comparison" / "summary.csv")}


def _summary(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    table = pd.read_csv(path).drop(columns="train_seconds")
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return rows


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="install SLURM with apt-get if it is not there")
    install = parser.parse_args().install
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that what was started is stopped
    try:
        prepare(install=install)
        with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            for part in ("daemons", "slurm", "local"):
                (folder / part).mkdir()
            stack.enter_context(private_slurm(folder / "daemons"))
            say("a private SLURM is up")
            compare(folder)
    except Unavailable as reason:
        say(f"SLURM is not tested here: {reason}")


def compare(folder: Path) -> None:
    """Run the analysis with and without SLURM, disturb it, and stop if anything is not as it must be."""
    config = project(folder / "slurm")
    begun = time.monotonic()
    identifier, printed = cancelled_while_running(folder / "slurm", config)
    check(bool(identifier) and "Trying to restart job" in printed, "the cancelled job was tried again", printed)
    say(f"{time.monotonic() - begun:.0f} s with SLURM")
    project(folder / "local")
    done = run(folder / "local", config, "default", "--cores", "2")
    check(done.returncode == 0, "the same runs without SLURM", done.stdout + done.stderr)
    check(results(folder / "slurm") == results(folder / "local"), "workspace and summary are the same as without")
    (folder / "slurm" / "broken.py").write_text(BROKEN)
    config["trainings"]["broken"] = {"strategy": "user", "file": "broken.py"}
    failed = run(folder / "slurm", config, "slurm", *ON_SLURM, "--retries", "1")
    text = failed.stdout + failed.stderr
    shown = failed.returncode != 0 and "broken on purpose" in text
    check(shown, "a job that always fails is shown with its log", text)


if __name__ == "__main__":
    main()
