"""Simulate the events of one sample of a built-in data set."""

from pathlib import Path
from typing import Any

import numpy as np

from nuisflow import datasets, seeds
from nuisflow.slices.events import Simulation
from nuisflow.storage import event_files, logs


def simulate_events(events: Path, *, settings: dict[str, Any]) -> None:
    """Simulate a sample and write it to the ROOT file *events*; each event weighs expected / events."""
    chosen = Simulation.model_validate(settings)
    generator = seeds.generator(chosen.seed, "simulate_events", chosen.sample)
    options = {"variant": chosen.variant} if chosen.variant else {}
    columns = datasets.MODULES[chosen.dataset.kind].simulate(chosen.process, chosen.events, generator, **options)
    columns["weight"] = np.full(chosen.events, chosen.expected / chosen.events)
    event_files.write_root(events, columns)


if __name__ == "__main__":
    with logs.job(snakemake):
        simulate_events(Path(snakemake.output.events), settings=snakemake.params.settings)
