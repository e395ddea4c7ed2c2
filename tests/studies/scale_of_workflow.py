"""How long does Snakemake need to see what there is to do, for 100 to 10,000 jobs?

Configurations are made from the default one: samples, shifts, trainings and seeds are repeated. For each, three dry
runs are measured: in an empty folder, where all is done (empty files with Snakemake's own records, by ``--touch``),
and where one option of one training changed. Seconds are those of the process and its children, memory is its peak.

    python tests/studies/scale_of_workflow.py            # prints a table, writes results/studies/scale_of_workflow.csv
    python tests/studies/scale_of_workflow.py --profile 1000_trainings     # where the time goes (cProfile)
"""

import argparse
import copy
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from analyses import shipped

from nuisflow.settings import configuration, points
from nuisflow.slices import events
from nuisflow.storage import files


class Shape(NamedTuple):
    """How many there are of what makes jobs."""

    samples: int
    shifts: int
    trainings: int
    seeds: int


SHAPES = {
    "100": Shape(4, 3, 3, 2),
    "1000_trainings": Shape(4, 3, 60, 2),
    "1000_variations": Shape(20, 10, 5, 2),
    "1500_both": Shape(20, 10, 20, 4),
    "10000_trainings": Shape(4, 3, 300, 4),
    "10000_variations": Shape(60, 40, 5, 2),
}
"""Many jobs by many trainings, or by many samples and variations (two or four displaced points each)."""


def content(shape: Shape) -> dict[str, Any]:
    """Return the default configuration with as many samples, shifts, trainings and seeds as *shape* says."""
    made = copy.deepcopy(shipped("config"))
    processes = list(made["processes"])
    made["analysis"] = "scale"
    made["samples"] = {
        f"{processes[number % len(processes)]}_{number}": {
            "process": processes[number % len(processes)],
            "events": 1000,
            "expected": 100.0,
        }
        for number in range(shape.samples)
    }
    kept = {name: chosen for name, chosen in made["variations"].items() if chosen["kind"] != "shift"}
    shift = {"kind": "shift", "shift": "tes", "size": 0.02}
    made["variations"] = kept | {f"tes_{number}": dict(shift) for number in range(shape.shifts)}
    made["templates"].pop("smooth")
    training = {"strategy": "augmentation", "variations": ["tes_0"]}
    made["trainings"] = {f"training_{number}": dict(training) for number in range(shape.trainings)}
    made["learning"]["seeds"] = shape.seeds
    return made


def dependencies(made: dict[str, Any]) -> int:
    """Return how many processed files all jobs that read such files read, together."""
    settings = configuration.Configuration.model_validate(made)
    each = sum(
        2 * len(events.shifted_names(settings, sample))
        + len(points.shifted_folders(settings, sample))
        + len(points.filled_folders(settings, sample))
        for sample in settings.samples
    )
    return each * len(settings.trainings) * settings.learning.seeds


class Used(NamedTuple):
    """What a command printed and used."""

    text: str
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


def snakemake(folder: Path, made: dict[str, Any], *arguments: str, python: tuple[str, ...] = ()) -> Used:
    """Run Snakemake in *folder* with the configuration *made*."""
    (folder / "config.yaml").write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    command = [sys.executable, *python, "-m", "snakemake", "-s", str(ROOT / "workflow" / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "1", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    with (folder / "printed").open("w+") as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        printed.seek(0)
        text = printed.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-4000:]}")
    return Used(text, time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def jobs(used: Used) -> int:
    """Return how many jobs a dry run lists."""
    found = re.search(r"^total +(\d+)$", used.text, re.MULTILINE)
    return int(found[1]) if found else 0


def finish(folder: Path, made: dict[str, Any]) -> Used:
    """Make every output an empty file, and let Snakemake record it as its own."""
    summary = snakemake(folder, made, "--summary", "--quiet", "all").text
    for line in summary.splitlines():
        path = folder / line.partition("\t")[0]
        if line.startswith("results/"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return snakemake(folder, made, "--touch", "--forceall", "--quiet", "all")


def measured(shape: Shape, *, fresh: bool = False) -> list[dict[str, Any]]:
    """Return one row per dry run of a workflow of this *shape*; *fresh*: only of that in an empty folder."""
    made = content(shape)
    other = copy.deepcopy(made)
    other["trainings"]["training_0"]["variations"] = ["tes_1"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dry = ("--dry-run", "--quiet", "all")
        runs = {"everything": snakemake(folder, made, *dry)}
        if not fresh:
            finish(folder, made)
            runs |= {"nothing": snakemake(folder, made, *dry), "one training": snakemake(folder, other, *dry)}
    every = {"jobs": jobs(runs["everything"]), **shape._asdict(), "dependencies": dependencies(made)}
    return [
        {**every, "to_do": what, "listed": jobs(used), **{key: value for key, value in used._asdict().items() if key != "text"}}
        for what, used in runs.items()
    ]  # fmt: skip


def profile(shape: Shape) -> str:
    """Return where the time of a dry run goes: functions, by the time in them and in what they call."""
    with tempfile.TemporaryDirectory() as name:
        python = ("-m", "cProfile", "-o", "profile")
        snakemake(Path(name), content(shape), "--dry-run", "--quiet", "all", python=python)
        code = "import pstats; pstats.Stats('profile').sort_stats('cumulative').print_stats(60)"
        return subprocess.run(
            [sys.executable, "-c", code], cwd=name, stdout=subprocess.PIPE, text=True, check=True
        ).stdout


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), help="default: all")
    parser.add_argument("--fresh", action="store_true", help="only the dry runs in empty folders")
    parser.add_argument("--profile", choices=SHAPES, help="print a profile of one dry run instead")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    options = parser.parse_args()
    if options.profile:
        print(profile(SHAPES[options.profile]))
        return
    rows = []
    for shape in options.shapes:
        for row in measured(SHAPES[shape], fresh=options.fresh):
            rows.append({"shape": shape, **row})
            print(", ".join(f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}" for key, value in rows[-1].items()), flush=True)  # fmt: skip
    import pandas as pd

    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "scale_of_workflow.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
