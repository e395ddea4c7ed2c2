"""A whole small analysis, from simulated events to the workspace of every training, in one process."""

import copy
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from analyses import ROOT, changed

import build_workspace
import fill_templates
import ingest_events
import process_events
import score_events
import simulate_events
import train_network
from nuisflow.settings import sections
from nuisflow.settings.checks import reading
from nuisflow.settings.configuration import Configuration
from nuisflow.slices import inference, training
from nuisflow.slices.events import ingestion, processing, shifted_names, simulation

TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
BOOTSTRAP = ("toys", {"displacements": {}, "bootstrap": {"sets": 2, "number": 20, "share": 0.5}})
TRAININGS = ("trainings", {"boosted_trees": {"strategy": "boosted_trees", "rounds": 20, "depth": 3}})
TRAININGS_AND_BOOTSTRAP = (TRAININGS, BOOTSTRAP)


class Small(NamedTuple):
    """An analysis and where its files are."""

    folder: Path
    settings: Configuration

    def ingested(self) -> dict[str, Path]:
        return {sample: self.folder / "ingested" / f"{sample}.arrow" for sample in self.settings.samples}

    def of(self, name: str) -> Path:
        """Return a file of the first training."""
        return self.folder / "trainings" / next(iter(self.settings.trainings)) / "seed1" / name


def configured(*changes: tuple[str, Any]) -> Configuration:
    """Return the toy analysis with one quick training and a bootstrap."""
    return reading.check(changed(TOY, *copy.deepcopy(TRAININGS_AND_BOOTSTRAP), *changes), "toy.yaml")


def make(folder: Path, settings: Configuration) -> Small:
    """Simulate, process, train, score, fill and build, as the workflow does."""
    small, dask = Small(folder, settings), {}
    for sample, path in small.ingested().items():
        raw = folder / "raw" / f"{sample}.root"
        simulate_events.simulate_events(raw, settings=sections.plain(simulation(settings, sample)))
        ingest_events.ingest_events([raw], path, settings=sections.plain(ingestion(settings, sample)), shared={})
    events = []
    for sample, ingested in small.ingested().items():
        for variation in shifted_names(settings, sample):
            events.append(folder / "events" / variation / f"{sample}.parquet")
            chosen = sections.plain(processing(settings, sample, variation))
            process_events.process_events(ingested, events[-1], settings=chosen, dask=dask)
    name = next(iter(settings.trainings))
    model, scores, templates = (small.of(file) for file in ("model.pt", "scores.parquet", "templates.json"))
    learned = {sample: small.ingested()[sample] for sample in training.training_samples(settings, name)}
    chosen = sections.plain(training.training(settings, name, 1))
    train_network.train_network(learned, model, small.of("history.csv"), settings=chosen, device="cpu")
    score_events.score_events(
        model, events, scores, settings=sections.plain(training.scoring(settings)), dask=dask, device="cpu"
    )
    chosen = sections.plain(inference.filling(settings, name))
    fill_templates.fill_templates(events, scores, templates, small.of("templates_notes.json"), settings=chosen)
    chosen = sections.plain(inference.workspace(settings, name))
    build_workspace.build_workspace(
        templates, small.of("workspace.json"), small.of("workspace_notes.json"), settings=chosen
    )
    return small
