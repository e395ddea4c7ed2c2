"""How much memory does training take, and does it grow with the events?

The default analysis on 1 to 30 million events: those of its simulation, ingested as often as needed, so that every
event has an entry of its own. Each training, with its default budget, runs in a fresh process. *peak* is what the
kernel says of all memory (VmHWM), *anonymous* of that without files (RssAnon, looked at every 20 ms), *start* is what
is there after the imports. CPU seconds are those of the training, and per million events that its networks saw.

    python tests/studies/memory_of_training.py       # prints a table, writes results/studies/memory_of_training.csv
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from analyses import shipped

from nuisflow.settings import configuration, sections
from nuisflow.slices import training as slices
from nuisflow.slices.events import simulation
from nuisflow.storage import event_files, files, ingested
from simulate_events import simulate_events

MILLIONS = (1.0, 3.0, 10.0, 30.0)
TRAININGS = ("nominal", "augmentation", "boosted_trees")
PIECE = 100_000


def settings() -> configuration.Configuration:
    """Return the default analysis."""
    return configuration.Configuration.model_validate(shipped("config"))


def simulate(folder: Path) -> None:
    """Simulate the samples of the default analysis."""
    for sample in settings().samples:
        simulate_events(folder / f"{sample}.root", settings=sections.plain(simulation(settings(), sample)))


def ingest(raw: Path, folder: Path, million: float) -> None:
    """Write *million* million events: the rows of each file in *raw* again and again, in the mixture that they have."""
    paths = {sample: raw / f"{sample}.root" for sample in settings().samples}
    numbers = {sample: _tree(path).num_entries for sample, path in paths.items()}
    for sample, path in paths.items():
        wanted = round(million * 1e6 * numbers[sample] / sum(numbers.values()))
        ingested.write(folder / f"{sample}.arrow", _repeated(path, numbers[sample], wanted))


def _tree(path: Path) -> Any:
    import uproot

    return uproot.open(path)[event_files.TREE]


def _repeated(path: Path, number: int, wanted: int) -> Iterator[dict[str, Any]]:
    columns = _tree(path).arrays(library="np")
    for start in range(0, wanted, number):
        for first in range(0, min(number, wanted - start), PIECE):
            stop = min(first + PIECE, number, wanted - start)
            yield {name: values[first:stop] for name, values in columns.items()}


# --- one training in a fresh process ---------------------------------------------------------------------------------


def status(name: str) -> float:
    """Return a line of what the kernel says of this process, in MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def job(folder: Path, training: str) -> dict[str, float]:
    """Train on the samples in *folder*, in this process."""
    from train_network import train_network

    chosen = sections.plain(slices.training(settings(), training, 1))
    model, found = folder / f"{training}.pt", [0.0]
    watch = threading.Thread(target=_watch, args=(found,), daemon=True)
    start, cpu, wall = status("VmHWM"), time.process_time(), time.monotonic()
    watch.start()
    samples = {sample: folder / f"{sample}.arrow" for sample in settings().samples}
    train_network(samples, model, model.with_suffix(".csv"), settings=chosen, device="cpu")
    used = {"cpu_seconds": time.process_time() - cpu, "wall_seconds": time.monotonic() - wall}
    history = files.read_table(model.with_suffix(".csv"))
    seen = history.groupby("fold")["events_seen"].max().sum() / 1e6
    memory = {"start_mb": start, "peak_mb": status("VmHWM"), "anonymous_mb": found[0]}
    return memory | used | {"millions_seen": seen, "cpu_seconds_per_million": used["cpu_seconds"] / seen}


def _watch(found: list[float]) -> None:
    while True:
        found[0] = max(found[0], status("RssAnon"))
        time.sleep(0.02)


def study(millions: list[float], trainings: list[str], raw: Path | None) -> Iterator[dict[str, Any]]:
    """Yield one row per number of events and training."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if raw is None:
            raw = folder / "raw"
            simulate(raw)
        for million in millions:
            place = folder / str(million)
            ingest(raw, place, million)
            for training in trainings:
                given = json.dumps([str(place), training])
                done = subprocess.run(
                    [sys.executable, __file__, "--job", given], stdout=subprocess.PIPE, text=True, check=True
                )
                yield {"training": training, "millions": million} | json.loads(done.stdout.splitlines()[-1])
            for path in place.glob("*.arrow"):
                path.unlink()


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--millions", type=float, nargs="+", default=MILLIONS, help="events, in millions (%(default)s)")
    parser.add_argument("--trainings", nargs="+", default=TRAININGS, help="of the default analysis (%(default)s)")
    parser.add_argument("--raw", type=Path, help="folder of its simulated samples; default: they are simulated")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        folder, training = json.loads(options.job)
        print(json.dumps(job(Path(folder), training)))
        return
    import pandas as pd

    rows = []
    for row in study(list(options.millions), list(options.trainings), options.raw):
        rows.append(row)
        shown = {key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}
        print(json.dumps(shown), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "memory_of_training.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
