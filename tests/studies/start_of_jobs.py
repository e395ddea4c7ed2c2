"""How long does a job take from the start of its process to the first line of its function, rule by rule?

Every script is run up to its hand-over in a fresh process, as Snakemake runs it: with its preamble, which unpickles an
object of Snakemake's. CPU seconds are those of the process from its start (of three runs, the least; so are those on
the wall), ``modules`` says how many Python modules were loaded. ``snakemake`` is a script without a line of ours.

    python tests/studies/start_of_jobs.py                     # prints a table, writes results/studies/start_of_jobs.csv
    python tests/studies/start_of_jobs.py --slow fill_templates     # which imports take long
"""

import argparse
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from snakemake import iocontainers

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts")]

from nuisflow.progress import progress
from nuisflow.storage import files

LIMIT = 1.0
"""Seconds of CPU that a rule without torch may take to start."""


def scripts() -> list[str]:
    """Return the names of the scripts of all rules."""
    rules = "\n".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    return sorted(set(re.findall(r"scripts/(\w+)\.py", rules)))


def preamble() -> str:
    """Return the lines that Snakemake puts before a script."""
    empty = iocontainers.InputFiles(), iocontainers.OutputFiles(), iocontainers.Params(), iocontainers.Wildcards()
    job = iocontainers.Snakemake(
        *empty, 1, iocontainers.ResourceList(), iocontainers.Log(), {}, "rule", None, "scripts"
    )
    pickled = pickle.dumps(job, protocol=4)
    return (
        f"import sys; sys.path.append({str(ROOT / 'scripts')!r}); import pickle; snakemake = pickle.loads({pickled!r}); "
        "from snakemake.logging import logger; from snakemake.iocontainers import Snakemake\n"
    )


def source(script: str | None) -> str:
    """Return what Snakemake runs, up to the first line of the script's function; it prints what that took."""
    ours = "" if script is None else (ROOT / "scripts" / f"{script}.py").read_text().partition("\nif __name__")[0]
    return f"{preamble()}\n{ours}\nimport sys, time\nprint(time.process_time(), len(sys.modules), *sys.modules)\n"


def started(script: str | None, *options: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run the beginning of *script* in a fresh process; return the seconds on the wall and what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.py"
        path.write_text(source(script))
        began = time.monotonic()
        command = [sys.executable, *options, str(path)]
        done = subprocess.run(command, env=clean, capture_output=True, text=True, check=True)
        return time.monotonic() - began, done


def measured(script: str | None, repeats: int = 3) -> dict[str, Any]:
    """Return one row of the table."""
    started(script)  # compiles what Python keeps compiled
    runs = [started(script) for _ in range(repeats)]
    seconds = [float(done.stdout.split()[0]) for _, done in runs]
    modules = runs[0][1].stdout.split()[2:]
    heavy = "torch" in modules
    return {
        "script": script or "snakemake",
        "torch": heavy,
        "cpu_seconds": min(seconds),
        "wall_seconds": min(wall for wall, _ in runs),
        "modules": len(modules),
    }


def slow(script: str) -> str:
    """Return the imports of *script* that take longest, in microseconds: by themselves, and with what they import."""
    _, done = started(script, "-X", "importtime")
    lines = [line for line in done.stderr.splitlines() if re.match(r"import time: +\d", line)]
    return "\n".join(sorted(lines, key=lambda line: int(line.split("|")[1]))[-60:])


def main() -> None:
    """Run the study, write its table and fail if a rule without torch starts slowly."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--slow", help="print which imports of this script take long, instead")
    parser.add_argument("--scripts", nargs="+", default=scripts(), help="default: those of all rules")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    options = parser.parse_args()
    if options.slow:
        print(slow(options.slow))
        return
    import pandas as pd

    chosen = [None, *options.scripts]
    table = pd.DataFrame([measured(script) for script in progress(chosen, "scripts", len(chosen))])
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "start_of_jobs.csv", table)
    print(table.round(2).to_csv(index=False, lineterminator="\n"), end="")
    late = table[~table["torch"] & (table["cpu_seconds"] > LIMIT)]
    if len(late):
        raise SystemExit(f"more than {LIMIT:g} s to start: {', '.join(late['script'])}")


if __name__ == "__main__":
    main()
