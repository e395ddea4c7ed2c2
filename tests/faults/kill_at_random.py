"""Kill Snakemake and its jobs at random moments, resume, and compare: python tests/faults/kill_at_random.py [--kills 30].

The toy analysis runs in a folder of its own; at a random moment the whole process group (or Snakemake alone, in turn) gets
SIGKILL, the lock is taken off and the same command runs again, until it ends. Then everything it made must equal, byte
for byte but for times, what a run that nobody disturbed made; and the next analysis begins anew. Prints a line per kill
and one at the end.
"""

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    *(sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/default"),
    *("--configfile", "config.yaml", "--cores", "2", "--quiet", "all"),
)
TIMES = {"train_seconds", "seconds"}
"""Columns that say how long something took."""


def project(folder: Path) -> Path:
    """Copy the project and the toy configuration to *folder*, with fewer pseudo-experiments."""
    for name in ("workflow", "scripts", "envs"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    config = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    # As `make install` does. The process that compiles differs from those that find it compiled by the last digit.
    subprocess.run([sys.executable, "scripts/compile_likelihood.py"], cwd=folder, check=True, capture_output=True)
    return folder


def emptied(folder: Path) -> Path:
    """Remove what an earlier analysis left in *folder*."""
    for name in ("results", ".snakemake"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


def fingerprints(folder: Path) -> dict[str, str]:
    """Return a hash of every result; logs, timings, and the time stamps in ROOT files and the report are left out."""
    found = {}
    for path in sorted((folder / "results" / "toy").rglob("*")):
        name = path.relative_to(folder / "results" / "toy").as_posix()
        if path.is_file() and not name.startswith(("logs/", "benchmarks/", "raw/")) and path.name != "report.html":
            found[name] = hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.suffix != ".csv":
        return path.read_bytes()
    rows = [line.split(",") for line in path.read_text().splitlines()]
    kept = [index for index, name in enumerate(rows[0]) if name not in TIMES]
    return "\n".join(",".join(row[index] for index in kept if index < len(row)) for row in rows).encode()


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the workflow as the leader of a process group."""
    return subprocess.Popen(
        COMMAND, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def kill_after(process: "subprocess.Popen[bytes]", seconds: float, *, alone: bool) -> bool:
    """Kill Snakemake, *alone* or with its jobs, after some time; return whether it was still running."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return False
    if alone:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # jobs notice that their parent is gone
    return True


def resumed(folder: Path, moments: random.Random, longest: float, left: int) -> int:
    """Run the workflow to its end, killed at most *left* times on the way; return how often."""
    kills = 0
    while True:
        process, moment, alone = start(folder), moments.uniform(1, longest), kills % 2 == 1
        if kills >= left or not kill_after(process, moment, alone=alone):
            if process.wait() != 0:
                raise SystemExit(f"FAILED: the resumed run ended with {process.returncode}; see {folder}")
            return kills
        kills += 1
        print(f"    killed {'Snakemake alone' if alone else 'everything'} after {moment:.1f} s", flush=True)
        subprocess.run([*COMMAND, "--unlock"], cwd=folder, check=True, capture_output=True)


def main() -> None:
    """Kill until enough kills are done; compare after every analysis that ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="kills in total")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options = parser.parse_args()
    moments, base = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill-"))
    folder = project(base / "project")
    began = time.monotonic()
    if start(folder).wait() != 0:
        raise SystemExit(f"FAILED: the undisturbed run ended with an error; see {folder}")
    seconds = time.monotonic() - began
    expected, kills, runs = fingerprints(folder), 0, 0
    print(f"undisturbed: {seconds:.0f} s, {len(expected)} files", flush=True)
    while kills < options.kills:
        runs += 1
        kills += resumed(emptied(folder), moments, seconds, options.kills - kills)
        found = fingerprints(folder)
        if different := sorted(name for name in expected | found if expected.get(name) != found.get(name)):
            raise SystemExit(f"FAILED: {len(different)} files differ, the first is {different[0]}; see {folder}")
        print(f"run {runs}: the same {len(found)} files after {kills} kills in all", flush=True)
    shutil.rmtree(base)
    print(f"{kills} of {kills} kills resumed to identical results, in {runs} runs", flush=True)


if __name__ == "__main__":
    main()
