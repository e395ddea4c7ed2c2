"""How much memory does processing events take, and does it grow with their number?

`process_events` runs in a fresh process on 1 to 30 million events of the built-in simulation: one ROOT file of a
million, listed several times, at one shift of the default analysis. Peak resident memory is what the kernel says
(VmHWM, which unlike ru_maxrss does not begin with that of the parent process); `baseline_mb` is the peak after the
imports and a small job, so that the difference is what the events take.

    python tests/studies/memory_of_events.py       # prints a table, writes results/studies/memory_of_events.csv
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from analyses import shipped

from ingest_events import ingest_events
from nuisflow.progress import progress
from nuisflow.settings import configuration, sections
from nuisflow.slices.events import ingestion, processing, simulation
from nuisflow.storage import event_files, files, ingested
from process_events import process_events
from simulate_events import simulate_events

if TYPE_CHECKING:
    import pandas as pd

SAMPLE, VARIATION = "ztautau", "jes_up"
MILLIONS = (1, 3, 10, 30)
FLAT = 0.2
"""ASSUME: memory counts as flat if the largest peak is at most this much above the smallest."""


def peak() -> float:
    """Return the highest resident memory of this process so far, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def simulate(path: Path, events: int) -> None:
    """Simulate *events* events and ingest them."""
    chosen = simulation(settings(), SAMPLE).model_copy(update={"events": events})
    simulate_events(path.with_suffix(".root"), settings=sections.plain(chosen))
    ingest_events([path.with_suffix(".root")], path, settings=sections.plain(ingestion(settings(), SAMPLE)), shared={})


def settings() -> configuration.Configuration:
    """Return the default analysis."""
    return configuration.Configuration.model_validate(shipped("config"))


def process(raw: Path, warm: Path, dask: dict[str, Any]) -> dict[str, float]:
    """Process the file *raw* after the small file *warm*, in this process."""
    job = sections.plain(processing(settings(), SAMPLE, VARIATION))
    output = raw.with_suffix(".parquet")
    process_events(warm, output, settings=job, dask=dask)
    baseline, begin = peak(), time.process_time()
    process_events(raw, output, settings=job, dask=dask)
    spent = time.process_time() - begin
    rows = {"events": ingested.open(raw).rows, "selected": event_files.count_rows(output)}
    return rows | {"baseline_mb": baseline, "peak_mb": peak(), "cpu_seconds": spent}


def measured(raw: Path, warm: Path, repeats: int, dask: dict[str, Any] | None = None) -> dict[str, float]:
    """Process the rows of *raw* several times over in a fresh process; return events, peak memory and CPU seconds."""
    many = raw.with_name("many.arrow")
    ingested.write(many, itertools.repeat(ingested.open(raw).read(list(ingested.open(raw).columns)), repeats))
    job = json.dumps([str(many), str(warm), dask or {}])
    done = subprocess.run([sys.executable, __file__, "--job", job], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def study(millions: tuple[int, ...], size: int = 1_000_000, dask: dict[str, Any] | None = None) -> "pd.DataFrame":
    """Return one row per number of files, each with *size* events."""
    import pandas as pd  # here: the jobs do without

    with tempfile.TemporaryDirectory() as folder:
        raw, warm = (Path(folder) / name for name in ("raw.arrow", "warm.arrow"))
        simulate(raw, size)
        simulate(warm, 1000)
        return pd.DataFrame(
            [measured(raw, warm, repeats, dask) for repeats in progress(millions, "sizes", len(millions))]
        )


def main() -> None:
    """Run the study, write its table and fail if memory grows."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--millions", type=int, nargs="+", default=MILLIONS, help="events, in millions (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        raw, warm, dask = json.loads(options.job)
        print(json.dumps(process(Path(raw), Path(warm), dask)))
        return
    table = study(tuple(options.millions), dask={"workers": options.workers})
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "memory_of_events.csv", table)
    print(table.round(1).to_csv(index=False, lineterminator="\n"), end="")
    if table["peak_mb"].max() > (1 + FLAT) * table["peak_mb"].min():
        raise SystemExit("memory grows with the number of events")


if __name__ == "__main__":
    main()
