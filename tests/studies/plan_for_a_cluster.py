"""What would an analysis of ten billion events take on a cluster, and what breaks first?

Everything follows from the tables that `stages_of_events` and `scale_of_workflow` have written, scaled in proportion,
and from the assumptions that are the options of this script.

    python tests/studies/plan_for_a_cluster.py         # prints the plan, writes results/studies/plan_for_a_cluster.csv
"""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize

ROOT = Path(__file__).resolve().parents[2]
ROWS_OF_JOBS = 8
"""Jobs of one training and seed: train, score twice, fill twice, build, fit, throw toys."""
FILES_PER_JOB = 4
"""An output, its record in .snakemake, a log, a benchmark (some jobs have more outputs)."""


@dataclass(frozen=True)
class Plan:
    """The assumptions: an analysis of LHC size."""

    events: float = 10e9  # simulated events, of all samples
    samples: int = 20
    largest: float = 0.2  # share of the largest sample
    shifts: int = 30  # with up and down: twice as many passes over the events
    selected: float = 0.1  # share of events that are selected
    trainings: int = 4
    seeds: int = 5
    file_events: float = 1e6  # events per file as the simulation writes them
    trained: float = 20e6  # events that classifiers are trained on
    seen: float = 100e6  # events that a network sees
    folds: int = 2
    cores: int = 1000
    workers: int = 16  # dask.workers: cores of one job that processes or scores
    price: float = 0.04  # per core hour
    price_of_space: float = 20.0  # per terabyte and month

    @property
    def passes(self) -> int:
        """How often all events are processed: nominal, up and down."""
        return 1 + 2 * self.shifts


@dataclass(frozen=True)
class Rates:
    """What was measured, per million events (raw or selected)."""

    process: float  # CPU seconds per million raw events
    score: float  # CPU seconds per million selected events
    fill: float
    raw_mb: float
    events_mb: float  # per million selected events
    scores_mb: float
    training: float  # CPU seconds per million events seen


def rates(stages: pd.DataFrame, seen: float) -> Rates:
    """Return the rates of the largest measurement of every stage; *seen*: events of the measured training."""

    def last(stage: str) -> pd.Series:
        return stages[stages["stage"] == stage].sort_values("millions").iloc[-1]

    process, score, fill = last("process_events"), last("score network"), last("fill_templates")
    train = stages[stages["stage"] == "train network"].sort_values("millions")
    return Rates(
        process=process["cpu_seconds"] / process["millions"],
        score=score["cpu_seconds"] / score["selected_millions"],
        fill=fill["cpu_seconds"] / fill["selected_millions"],
        raw_mb=process["raw_mb"] / process["millions"],
        events_mb=process["events_mb"] / process["selected_millions"],
        scores_mb=score["scores_mb"] / score["selected_millions"],
        training=train["cpu_seconds"].min() / (2 * seen / 1e6),
    )


def seconds_of_dag(scale: pd.DataFrame, jobs: float, dependencies: float) -> float:
    """Return the CPU seconds of a dry run: a start, a time per job and one per dependency, fitted to *scale*."""
    fresh = scale[scale["to_do"] == "everything"]
    known = np.stack([np.ones(len(fresh)), fresh["jobs"], fresh["dependencies"]], axis=1)
    relative = 1 / fresh["cpu_seconds"].to_numpy()
    fitted, _ = optimize.nnls(known * relative[:, None], np.ones(len(fresh)))  # relative deviations, none negative
    return float(fitted @ [1, jobs, dependencies])


def plan(chosen: Plan, measured: Rates, scale: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of the plan, with their units in their names."""
    repetitions = chosen.trainings * chosen.seeds
    million, kept = chosen.events / 1e6, chosen.events * chosen.selected / 1e6
    event_jobs = chosen.samples * chosen.passes
    jobs = event_jobs + repetitions * ROWS_OF_JOBS + chosen.trainings + 4
    dependencies = repetitions * 2 * event_jobs
    hours = {
        "process": million * chosen.passes * measured.process / 3600,
        "train": repetitions * chosen.folds * chosen.seen / 1e6 * measured.training / 3600,
        "score": repetitions * kept * chosen.passes * measured.score / 3600,
        "fill": repetitions * kept * chosen.passes * measured.fill / 3600,
    }
    longest = {
        "process": chosen.largest * million * measured.process / 3600 / chosen.workers,
        "train": hours["train"] / repetitions,
        "score": hours["score"] / repetitions / chosen.workers,
        "fill": hours["fill"] / repetitions,
    }
    space = {
        "raw": million * measured.raw_mb / 1e6,
        "events": kept * chosen.passes * measured.events_mb / 1e6,
        "scores": repetitions * kept * chosen.passes * measured.scores_mb / 1e6,
    }
    wall = max(hours["process"] / chosen.cores, longest["process"]) + longest["train"] + longest["score"]
    return {
        "raw files": chosen.events / chosen.file_events,
        "jobs": jobs,
        "of them process_events": event_jobs,
        "dependencies": dependencies,
        "dry run [s]": seconds_of_dag(scale, jobs, dependencies),
        "files made": jobs * FILES_PER_JOB,
        **{f"{stage} [core hours]": value for stage, value in hours.items()},
        **{f"longest {stage} [hours]": value for stage, value in longest.items()},
        **{f"{what} [TB]": value for what, value in space.items()},
        "largest file of events [GB]": chosen.largest * kept * measured.events_mb / 1e3,
        "a file of scores [GB]": space["scores"] / repetitions * 1e3,
        "core hours": sum(hours.values()),
        "cost of computing": sum(hours.values()) * chosen.price,
        "cost of a month of space": sum(space.values()) * chosen.price_of_space,
        "hours until the last fit": wall + longest["fill"],
    }


def main() -> None:
    """Print the plan and write it."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    for field in fields(Plan):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--studies", type=Path, default=ROOT / "results" / "studies", help="folder (%(default)s)")
    parser.add_argument("--budget", type=float, default=200_000, help="events seen in stages_of_events (%(default)s)")
    options = vars(parser.parse_args())
    folder, budget = options.pop("studies"), options.pop("budget")
    stages, scale = (pd.read_csv(folder / f"{name}.csv") for name in ("stages_of_events", "scale_of_workflow"))
    measured = rates(stages, budget)
    found = pd.Series(measured.__dict__ | plan(Plan(**options), measured, scale), name="value")
    found.to_csv(folder / "plan_for_a_cluster.csv", index_label="what")
    print(found.map("{:.4g}".format).to_string())


if __name__ == "__main__":
    main()
