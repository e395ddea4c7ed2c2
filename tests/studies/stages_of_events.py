"""What do the stages through which events pass take: time, memory and space, from 0.1 to 50 million events?

Two samples of the default analysis, at nominal: a small signal and 0.1 to 50 million events of the background. These
are one ROOT file of at most a million, listed as often as needed: what is read is the same as from one long file, and
the disk has room. Every stage runs in a fresh process on the file of the stage before:

- ``process_events``: all sizes;
- ``score_events``: a network (64, 64) and boosted trees, ``fill_templates``: as many as ``--scored`` allows;
- ``train_network``: as many as ``--trained`` allows (`memory_of_training.py` goes further).

CPU seconds are those of the stage after a small job of its kind (imports do not count), memory is the peak of the
process (VmHWM) and what it was after the small job.

    python tests/studies/stages_of_events.py       # prints a table, writes results/studies/stages_of_events.csv
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests"), str(ROOT / "tests" / "studies")]

from analyses import shipped
from memory_of_events import peak

from ingest_events import ingest_events
from nuisflow.settings import configuration, sections
from nuisflow.slices import inference
from nuisflow.slices import training as slices
from nuisflow.slices.events import ingestion, processing, simulation
from nuisflow.slices.training import scoring
from nuisflow.storage import event_files, files, ingested
from simulate_events import simulate_events

MILLIONS = (0.1, 0.3, 1, 3, 10, 30, 50)
SIGNAL, BACKGROUND = "htautau", "ztautau"
TRAININGS = {"network": {"strategy": "nominal"}, "boosted_trees": {"strategy": "boosted_trees"}}
SMALL = 20_000
BUDGET = 200_000
"""Events that a network sees in the study of memory: an epoch of a small sample."""


def settings(seen: int = BUDGET) -> configuration.Configuration:
    """Return the default analysis with two samples and two trainings, and without shifts."""
    made = shipped("config")
    made["processes"] = {name: made["processes"][name] for name in (SIGNAL, BACKGROUND)}
    made["samples"] = {name: made["samples"][name] for name in (SIGNAL, BACKGROUND)}
    made["variations"] = {"rate": {"kind": "rate", "size": 0.1, "processes": [BACKGROUND]}}
    made["trainings"], made["templates"] = TRAININGS, {"binning": made["templates"]["binning"]}
    made["selection"] = "(PRI_had_pt > 26) & (PRI_lep_pt > 20)"  # most events pass: the most there can be afterwards
    made["learning"] |= {"events_seen": seen, "seeds": 1}
    return configuration.Configuration.model_validate(made)


def simulate(folder: Path, sample: str, events: int) -> Path:
    """Simulate *events* events of *sample* and ingest them."""
    raw, path = (folder / f"{sample}_{events}.{suffix}" for suffix in ("root", "arrow"))
    chosen = simulation(settings(), sample).model_copy(update={"events": events})
    simulate_events(raw, settings=sections.plain(chosen))
    ingest_events([raw], path, settings=sections.plain(ingestion(settings(), sample)), shared={})
    return path


def repeated(path: Path, times: int) -> Path:
    """Write the rows of *path* several times, one below the other."""
    table = ingested.open(path)
    ingested.write(path.with_name("many.arrow"), itertools.repeat(table.read(list(table.columns)), times))
    return path.with_name("many.arrow")


def process(raw: Path, output: Path, sample: str) -> None:
    """Run process_events."""
    from process_events import process_events

    process_events(raw, output, settings=sections.plain(processing(settings(), sample, "nominal")), dask={})


def train(raw: dict[str, Path], model: Path, training: str) -> None:
    """Run train_network."""
    from train_network import train_network

    chosen = sections.plain(slices.training(settings(), training, 1))
    train_network(raw, model, model.with_suffix(".csv"), settings=chosen, device="cpu")


def score(model: Path, events: list[Path], output: Path) -> None:
    """Run score_events."""
    from score_events import score_events

    score_events(model, events, output, settings=sections.plain(scoring(settings())), dask={}, device="cpu")


def fill(events: list[Path], scores: Path, output: Path) -> None:
    """Run fill_templates."""
    from fill_templates import fill_templates

    chosen = sections.plain(inference.filling(settings(), "network"))
    fill_templates(events, scores, output, output.with_suffix(".notes"), settings=chosen)


# --- one stage in a fresh process -------------------------------------------------------------------------------------


def job(stage: str, folder: Path, raw: str) -> dict[str, float]:
    """Run *stage* on the small files, then on the large ones, in this process; return what the latter took."""
    small, large = stages(folder / "small", folder / f"{BACKGROUND}_{SMALL}.arrow")[stage], stages(folder, folder / raw)[stage]  # fmt: skip
    small()
    baseline, begin, wall = peak(), time.process_time(), time.monotonic()
    large()
    used = {"cpu_seconds": time.process_time() - begin, "wall_seconds": time.monotonic() - wall}
    return used | {"baseline_mb": baseline, "peak_mb": peak()}


def stages(folder: Path, raw: Path) -> dict[str, Callable[[], None]]:
    """Return the stages as functions that read and write in *folder*; the background is *raw*."""
    signal = raw.parent / f"{SIGNAL}_{SMALL}.arrow"
    events = [folder / "nominal" / f"{name}.parquet" for name in (SIGNAL, BACKGROUND)]
    models = {name: raw.parent / f"{name}.pt" for name in TRAININGS}
    both = {SIGNAL: signal, BACKGROUND: raw}
    return {
        "signal": lambda: process(signal, events[0], SIGNAL),
        "process_events": lambda: process(both[BACKGROUND], events[1], BACKGROUND),
        **{f"train {name}": lambda name=name: train(both, folder / f"{name}.pt", name) for name in TRAININGS},
        "score boosted_trees": lambda: score(models["boosted_trees"], events, folder / "scores.parquet"),
        "score network": lambda: score(models["network"], events, folder / "scores.parquet"),
        "fill_templates": lambda: fill(events, folder / "scores.parquet", folder / "templates.json"),
    }


def measured(stage: str, folder: Path, raw: Path) -> dict[str, float]:
    """Run one stage in a fresh process."""
    given = json.dumps([stage, str(folder), raw.name])
    done = subprocess.run([sys.executable, __file__, "--job", given], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def study(millions: tuple[float, ...], scored: float, trained: float) -> Iterator[dict[str, Any]]:
    """Yield one row per stage and size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signal, background = (simulate(folder, sample, SMALL) for sample in (SIGNAL, BACKGROUND))
        for target in ("small", "."):
            process(signal, folder / target / "nominal" / f"{SIGNAL}.parquet", SIGNAL)
            process(background, folder / target / "nominal" / f"{BACKGROUND}.parquet", BACKGROUND)
        for training in TRAININGS:
            train({SIGNAL: signal, BACKGROUND: background}, folder / f"{training}.pt", training)
        score(folder / "network.pt", [folder / "small" / "nominal" / f"{s}.parquet" for s in (SIGNAL, BACKGROUND)], folder / "small" / "scores.parquet")  # fmt: skip
        for million in millions:
            size = round(1e6 * min(million, 1))
            raw = folder / f"{BACKGROUND}_{size}.arrow"
            if not raw.exists():
                simulate(folder, BACKGROUND, size)
            many = repeated(raw, round(million * 1e6 / size))
            for stage in ("process_events", "score boosted_trees", "score network", "fill_templates", *map("train {}".format, TRAININGS)):  # fmt: skip
                if million > {"process": max(millions), "train": trained}.get(stage.partition("_")[0].partition(" ")[0], scored):  # fmt: skip
                    continue
                used = measured(stage, folder, many)
                yield {"stage": stage, "millions": million} | used | sizes(folder, many)


def sizes(folder: Path, raw: Path) -> dict[str, float]:
    """Return how many events were selected, and the size of what they are in, in MB."""
    events, scores = folder / "nominal" / f"{BACKGROUND}.parquet", folder / "scores.parquet"
    found = {"selected_millions": event_files.count_rows(events) / 1e6, "ingested_mb": raw.stat().st_size / 1e6}
    found |= {"events_mb": events.stat().st_size / 1e6}
    return found | ({"scores_mb": scores.stat().st_size / 1e6} if scores.exists() else {})


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--millions", type=float, nargs="+", default=MILLIONS, help="events, in millions (%(default)s)")
    parser.add_argument("--scored", type=float, default=50, help="millions that are scored and filled (%(default)s)")
    parser.add_argument("--trained", type=float, default=3, help="millions that are trained on (%(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        stage, folder, raw = json.loads(options.job)
        print(json.dumps(job(stage, Path(folder), raw)))
        return
    import pandas as pd

    rows = []
    for row in study(tuple(options.millions), options.scored, options.trained):
        rows.append(row)
        print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}), flush=True)  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    files.write_table(options.output / "stages_of_events.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
