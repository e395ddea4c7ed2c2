"""Kill Snakemake and its jobs at random moments, resume, and compare: python tests/faults/kill_at_random.py [--kills 30].

A small analysis runs in a folder of its own. Again and again SIGKILL hits Snakemake with all its jobs, Snakemake alone, or
one job: after a random time, in the first seconds, while a file is being written, or just after one has appeared. The
same command then runs again, without a word about locks, until it ends. After every kill each file that is there must
equal that of a run that nobody disturbed; at the end all of them must be there, and the next analysis begins anew. Prints
a line per kill and a table.
"""

import argparse
import collections
import contextlib
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import uproot
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    *(sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/default"),
    *("--configfile", "config.yaml", "--cores", "2"),
)
RESULTS = Path("results") / "toy"
TIMES = {"train_seconds", "seconds"}
"""Columns that say how long something took."""
DATED = {"report.html", "ro-crate-metadata.json"}
"""Files that say when they were made."""
TARGETS = ("everything", "Snakemake", "a job")
MOMENTS = ("any time", "first seconds", "writing", "written")
SHARE = 0.6
"""Of the time of an undisturbed run, how long a run may take before it is hit; a start of Snakemake takes some of it."""
FILES = 8
"""How many files may appear before one is waited for."""


class Study(NamedTuple):
    """Where the analysis runs, what it must give, how long it may be left alone, and what chance decides."""

    folder: Path
    expected: dict[str, str]
    longest: float
    chance: random.Random
    plans: Iterator[tuple[str, str]]


class Kill(NamedTuple):
    """What was hit, when, and which jobs were running."""

    target: str
    moment: str
    seconds: float
    jobs: tuple[str, ...]


def configuration() -> dict[str, object]:
    """Return the toy analysis with fewer jobs, but with all steps from the simulation to the report."""
    config = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
    del config["processes"]["ttbar"], config["samples"]["ttbar"], config["variations"]["ttbar_rate"]
    config["variations"]["tilt"]["processes"] = ["ztautau"]
    config["learning"]["events_seen"] = 20_000
    config["trainings"] = {"augmentation": config["trainings"]["augmentation"]}
    config["toys"] = {"number": 20, "displacements": {"up2": 2}, "displaced_number": 10}
    config["toys"]["bootstrap"] = {"sets": 1, "number": 2}
    return dict(config)


def project(folder: Path) -> Path:
    """Copy the project and the small configuration to *folder*, and compile the likelihood as `make install` does."""
    for name in ("workflow", "scripts", "envs"):
        shutil.copytree(ROOT / name, folder / name)  # with what is compiled
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(), allow_unicode=True))
    # The process that compiles differs by the last digit from those that find it compiled.
    subprocess.run([sys.executable, "scripts/compile_likelihood.py"], cwd=folder, check=True, capture_output=True)
    return folder


def fingerprints(folder: Path) -> dict[str, str]:
    """Return a hash of every result; logs, benchmarks, and what tells the time are left out."""
    found = {}
    for path in sorted((folder / RESULTS).rglob("*")):
        name = path.relative_to(folder / RESULTS).as_posix()
        if path.is_file() and not path.name.startswith(".") and not name.startswith(("logs/", "benchmarks/")):
            found[name] = "" if name in DATED else hashlib.sha256(_content(path)).hexdigest()
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".root":  # its bytes tell the time
        with uproot.open(path) as root:
            columns = root["events"].arrays(library="np")
        return b"".join(name.encode() + values.tobytes() for name, values in sorted(columns.items()))
    if path.suffix != ".csv":
        return path.read_bytes()
    rows = [line.split(",") for line in path.read_text().splitlines()]
    kept = [index for index, name in enumerate(rows[0]) if name not in TIMES]
    return "\n".join(",".join(row[index] for index in kept if index < len(row)) for row in rows).encode()


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start the workflow as the leader of a process group."""
    with (folder / "run.log").open("wb") as log:
        return subprocess.Popen(COMMAND, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def jobs(process: int) -> dict[int, str]:
    """Return the processes of the jobs of a running Snakemake, and their scripts."""
    found = {}
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(process).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if script := re.search(r"scripts/tmp[^.]*\.(\w+)\.py", " ".join(child.cmdline())):
                    found[child.pid] = script[1]
    return found


def waiting(study: Study, moment: str) -> Iterator[None]:
    """Yield, every few milliseconds, until the moment has come."""
    began, number = time.monotonic(), study.chance.randrange(FILES)
    before = {hidden: set(files(study.folder, hidden=hidden)) for hidden in (True, False)}
    limit = study.chance.uniform(0.1, 6.0 if moment == "first seconds" else study.longest)

    def new(*, hidden: bool) -> int:
        return len(set(files(study.folder, hidden=hidden)) - before[hidden])

    watched: dict[str, Callable[[], bool]] = {
        "writing": lambda: new(hidden=False) >= number and new(hidden=True) > 0,
        "written": lambda: new(hidden=False) > number,
    }
    come = watched.get(moment, lambda: time.monotonic() - began > limit)
    while not come() and time.monotonic() - began < 2 * study.longest:
        yield
        time.sleep(0.002)
    time.sleep(study.chance.uniform(0, 0.02 if moment == "writing" else 0.5))


def files(folder: Path, *, hidden: bool) -> list[str]:
    """Return the results, or the temporary files of those being written."""
    found = (os.path.join(at, name) for at, _, names in os.walk(folder / RESULTS) for name in names)  # noqa: PTH118
    kept = (path for path in found if "/logs/" not in path and "/benchmarks/" not in path)
    return [path for path in kept if os.path.basename(path).startswith(".") == hidden]  # noqa: PTH119


def plans(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Yield what to kill and when, without end: every pair equally often."""
    pairs = list(itertools.product(TARGETS, MOMENTS))
    while True:
        yield from chance.sample(pairs, len(pairs))


def hit(study: Study, process: "subprocess.Popen[bytes]", began: float) -> Kill | None:
    """Wait for a random moment and kill something; None if the run had ended before."""
    target, moment = next(study.plans)
    for _ in waiting(study, moment):
        if process.poll() is not None:
            return None
    running = jobs(process.pid)
    if target == "a job" and not running:
        target = "Snakemake"
    seconds = time.monotonic() - began
    if process.poll() is not None:
        return None
    victim = study.chance.choice(sorted(running)) if target == "a job" else process.pid
    with contextlib.suppress(ProcessLookupError):  # a job may end meanwhile: the file it made is whole
        os.killpg(victim, signal.SIGKILL) if target == "everything" else os.kill(victim, signal.SIGKILL)
    if target != "a job":
        process.wait()
    names = (running[victim],) if target == "a job" else tuple(sorted(running.values()))
    return Kill(target, moment, seconds, names)


def compare(folder: Path, expected: dict[str, str], *, whole: bool) -> None:
    """Stop if a file differs from what is *expected*; if *whole*, also if one is missing or left over."""
    found = fingerprints(folder)
    wrong = sorted(name for name in found if found[name] != expected.get(name))
    if whole:
        wrong += sorted(expected.keys() - found.keys()) + files(folder, hidden=True)
    wrong = [name for name in wrong if not name.endswith(".snakemake_timestamp")]
    if wrong:
        raise SystemExit(f"FAILED: {len(wrong)} files differ, the first is {wrong[0]}; see {folder}")


def verify(folder: Path) -> None:
    """Stop if the RO-Crate describes a file otherwise than it is."""
    command = [sys.executable, "scripts/verify_results.py", str(RESULTS)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"FAILED: {done.stdout}{done.stderr}; see {folder}")


def analysis(study: Study, left: int) -> list[Kill]:
    """Run the workflow to its end, hit at most *left* times on the way."""
    kills: list[Kill] = []
    excused = False
    process, began = start(study.folder), time.monotonic()
    while True:
        kill = hit(study, process, began) if len(kills) < left else None
        if kill:
            kills.append(kill)
            print(f"    {kill.seconds:5.1f} s, {kill.moment}: {kill.target} ({', '.join(kill.jobs) or 'no job'})", flush=True)  # fmt: skip
            excused = kill.target == "a job" or excused
        if kill is None and process.wait() == 0:
            return kills
        if kill is None and not excused:
            log = (study.folder / "run.log").read_text()[-3000:]
            raise SystemExit(f"FAILED: the resumed run ended with {process.returncode}; see {study.folder}\n{log}")
        if process.poll() is not None:
            compare(study.folder, study.expected, whole=False)
            process, began, excused = start(study.folder), time.monotonic(), False


def table(kills: list[Kill]) -> Iterator[str]:
    """Yield how often what was hit, by moment, and which jobs were running."""
    counts = collections.Counter((kill.target, kill.moment) for kill in kills)
    yield f"{'killed':<12}" + "".join(f"{moment:>15}" for moment in MOMENTS)
    for target in TARGETS:
        yield f"{target:<12}" + "".join(f"{counts[target, moment]:>15}" for moment in MOMENTS)
    running = collections.Counter(job for kill in kills for job in kill.jobs)
    yield "jobs that were running: " + ", ".join(f"{name} {number}" for name, number in sorted(running.items()))


def main() -> None:
    """Kill until enough kills are done; compare after every kill and after every analysis."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="kills in total")
    parser.add_argument("--seed", type=int, default=1, help="of what is killed when")
    options = parser.parse_args()
    chance, base = random.Random(options.seed), Path(tempfile.mkdtemp(prefix="kill-"))
    folder, began = project(base / "project"), time.monotonic()
    if start(folder).wait() != 0:
        raise SystemExit(f"FAILED: the undisturbed run ended with an error; see {folder}/run.log")
    longest, kills, runs = SHARE * (time.monotonic() - began), list[Kill](), 0
    study = Study(folder, fingerprints(folder), longest, chance, plans(chance))
    print(f"undisturbed: {time.monotonic() - began:.0f} s, {len(study.expected)} files", flush=True)
    while len(kills) < options.kills:
        for name in ("results", ".snakemake"):
            shutil.rmtree(folder / name)
        kills += analysis(study, options.kills - len(kills))
        runs += 1
        compare(folder, study.expected, whole=True)
        verify(folder)
        print(f"analysis {runs}: the same {len(study.expected)} files after {len(kills)} kills in all", flush=True)
    shutil.rmtree(base)
    print("\n".join(table(kills)))
    print(f"{len(kills)} of {len(kills)} kills resumed to identical results, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
