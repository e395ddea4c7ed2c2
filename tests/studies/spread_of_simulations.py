"""Is the uncertainty of a finite simulation that a fit quotes the spread that repeated simulation has?

The benchmark inferno is simulated anew *number* times at several sizes; each simulation goes the whole way, as in the
workflow: ingestion, selection, training, templates or densities, fit. All likelihoods are fitted to the same data, a
large independent sample of the true densities at their expected yields; the spread of the best fits is the truth.
Beside it stands what is quoted: for histograms the Barlow-Beeston part of the uncertainty, for single events the spread
of bootstrap replicas of a simulation.

    python tests/studies/spread_of_simulations.py      # writes results/studies/spread_of_simulations.csv
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import build_workspace
import fill_templates
import fill_unbinned
import ingest_events
import process_events
import score_events
import simulate_events
import spread_replicas
import train_network
from nuisflow.datasets import inferno
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.learning.classifier import Classifier
from nuisflow.likelihood import measurements
from nuisflow.likelihood.model import Model
from nuisflow.progress import progress
from nuisflow.settings import sections
from nuisflow.settings.checks import reading
from nuisflow.settings.configuration import Configuration
from nuisflow.slices import inference, training, unbinned
from nuisflow.slices.events import ingestion, processing, shifted_names, simulation
from nuisflow.storage import files

SIZES = (5_000, 20_000, 100_000)
"""Simulated events per process."""
SIGNAL, BACKGROUND = 50.0, 1000.0
BINNED, SINGLE = "nominal", "unbinned"
LARGE = 100_000
"""Events per process in the data, whose own fluctuation all fits share."""
EVENTS_SEEN = {5_000: 500_000, 20_000: 1_000_000, 100_000: 1_500_000}


class Data(NamedTuple):
    """Columns and weights of the data, and the fold whose networks an event goes through."""

    columns: dict[str, np.ndarray]
    weight: np.ndarray
    entry: np.ndarray


def large_sample() -> Data:
    """Return the data: as many events of either process, at their expected yields."""
    random = np.random.default_rng(1)
    parts = [inferno.simulate(process, LARGE, random) for process in ("signal", "background")]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in inferno.COLUMNS}
    weight = np.repeat([SIGNAL / LARGE, BACKGROUND / LARGE], LARGE)
    return Data(columns, weight, np.arange(2 * LARGE))


def analysis(size: int, seed: int, replicas: int) -> Configuration:
    """Return the benchmark with *size* events per process and one training of each kind."""
    read = yaml.safe_load((ROOT / "config" / "inferno.yaml").read_text())
    samples = {name: sample | {"events": size} for name, sample in read["samples"].items()}
    seen = EVENTS_SEEN.get(size, 1_500_000)
    trainings = {
        BINNED: read["trainings"]["nominal"] | {"events_seen": 500_000},
        SINGLE: read["trainings"]["unbinned"] | {"events_seen": seen, "replicas": replicas},
    }
    changes = {"samples": samples, "seed": seed, "trainings": trainings, "scenarios": {}, "published": None}
    changes |= {"learning": read["learning"] | {"seeds": 1}, "toys": {"number": 10}}
    kept = {name: value for name, value in (read | changes).items() if value is not None}
    return reading.check(kept, "inferno.yaml")


class Simulation:
    """One simulation in a folder, with what is made of it."""

    def __init__(self, folder: Path, settings: Configuration) -> None:
        self.folder, self.settings = folder, settings
        self.ingested = {name: folder / "ingested" / f"{name}.arrow" for name in settings.samples}
        self.events: list[Path] = []
        for sample, path in self.ingested.items():
            raw = folder / "raw" / f"{sample}.root"
            simulate_events.simulate_events(raw, settings=sections.plain(simulation(settings, sample)))
            ingest_events.ingest_events([raw], path, settings=sections.plain(ingestion(settings, sample)), shared={})
            for name in shifted_names(settings, sample):
                self.events.append(folder / "events" / name / f"{sample}.parquet")
                chosen = sections.plain(processing(settings, sample, name))
                process_events.process_events(path, self.events[-1], settings=chosen, dask={})

    def trained(self, name: str, replica: int = 0) -> Path:
        """Train; return the file of the model."""
        place = self.folder / name / str(replica)
        chosen = sections.plain(training.training(self.settings, name, 1, replica))
        train_network.train_network(
            self.ingested, place / "model.pt", place / "history.csv", settings=chosen, device="cpu"
        )
        return place / "model.pt"

    def workspace(self, model: Path, name: str) -> tuple[Model, Path]:
        """Return the binned likelihood of a training, and the file of its templates."""
        place = model.parent
        plain = sections.plain(training.scoring(self.settings))
        score_events.score_events(model, self.events, place / "scores.parquet", settings=plain, dask={}, device="cpu")
        fill_templates.fill_templates(
            self.events, place / "scores.parquet", place / "templates.json", place / "notes.json",
            settings=sections.plain(inference.filling(self.settings, name)),
        )  # fmt: skip
        build_workspace.build_workspace(
            place / "templates.json", place / "workspace.json", place / "workspace_notes.json",
            settings=sections.plain(inference.workspace(self.settings, name)),
        )  # fmt: skip
        return Model(files.read_json(place / "workspace.json")), place / "templates.json"

    def binned(self, data: Data) -> dict[str, float]:
        """Fit *data* in bins of the score; return the best fit and the quoted parts of the uncertainty."""
        path = self.trained(BINNED)
        model, templates = self.workspace(path, BINNED)
        (histogram,) = files.read_histograms(templates).values()
        scores = Classifier.load(path).score(data.columns | {"entry": data.entry})
        counts, _ = np.histogram(scores, histogram.axes["score"].edges, weights=data.weight)
        best = model.best(np.concatenate([counts, model.asimov()[len(counts) :]]))
        groups = inference.fit(self.settings).groups
        quoted = measurements.measure(model, "asimov", groups, {"all": list(histogram.axes["score"].edges)})
        value = best.values[list(best.names).index("mu")]
        return {"value": value, "sigma": quoted["sigma"], "quoted": quoted["sigma_mcstat"]}

    def single(self, data: Data) -> dict[str, float]:
        """Fit *data* event by event; return the best fit, and the spread of replicas if there are any."""
        path, filling = self.trained(SINGLE), sections.plain(unbinned.filling(self.settings))
        _, templates = self.workspace(path, SINGLE)
        description = path.parent / "densities.json"
        fill_unbinned.fill_unbinned(
            path, templates, self.events, path.parent / "densities.parquet", description,
            settings=filling | {"thrown": ["nominal"]}, device="cpu",
        )  # fmt: skip
        model, classifier = UnbinnedModel(files.read_json(description)), Classifier.load(path)
        values = classifier.densities(data.columns | {"entry": data.entry})
        fold = data.entry % len(classifier.folds)
        fitted = model.data(data.weight, values, fold)
        best = model.best(fitted)
        poi = list(best.names).index("mu")
        found = {"value": best.values[poi], "sigma": best.errors[poi], "quoted": np.nan}
        if number := self.settings.trainings[SINGLE].replicas:
            models = [self.trained(SINGLE, replica) for replica in range(1, number + 1)]
            table = path.parent / "replicas.csv"
            spread_replicas.spread_replicas(
                models, templates, self.events, table, settings=filling | {"thrown": ["nominal"]}, device="cpu"
            )
            found["quoted"] = files.read_table(table)["mu"].std(ddof=1)
        return found


def simulated(size: int, number: int, replicated: int, replicas: int, data: Data) -> list[dict[str, Any]]:
    """Return one row per simulation and kind of likelihood; the first *replicated* have replicas."""
    rows = []
    for index in progress(range(number), f"simulations of {size} events", number):
        with tempfile.TemporaryDirectory() as folder:
            one = Simulation(Path(folder), analysis(size, 1000 + index, replicas if index < replicated else 0))
            for kind, found in ((BINNED, one.binned(data)), (SINGLE, one.single(data))):
                rows.append({"size": size, "simulation": index, "kind": kind} | found)
        print(pd.DataFrame(rows[-2:]).to_string(index=False, header=index == 0), flush=True)
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return spread and quoted uncertainty, in events of the signal, with their errors."""
    found = []
    for (size, kind), group in rows.groupby(["size", "kind"], sort=False):
        spread, quoted = SIGNAL * group["value"].std(ddof=1), SIGNAL * group["quoted"].dropna()
        found.append(
            {
                "size": size, "kind": kind, "simulations": len(group), "mean": SIGNAL * group["value"].mean(),
                "sigma": SIGNAL * group["sigma"].mean(), "spread": spread,
                "spread_error": spread / np.sqrt(2 * (len(group) - 1)), "quoted": quoted.mean(),
                "quoted_from_to": f"{quoted.min():.2f}-{quoted.max():.2f}", "ratio": quoted.mean() / spread,
            }
        )  # fmt: skip
    return pd.DataFrame(found)


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=30, help="independent simulations")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--replicated", type=int, default=3, help="simulations of each size that have replicas")
    parser.add_argument("--replicas", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, rows = large_sample(), []
    place = ROOT / "results" / "studies"
    place.mkdir(parents=True, exist_ok=True)
    for size in arguments.sizes:
        rows += simulated(size, arguments.number, arguments.replicated, arguments.replicas, data)
        files.write_rows(place / "spread_of_simulations.csv", rows)
        print(summary(pd.DataFrame(rows)).round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
