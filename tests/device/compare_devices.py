"""Train the same networks on two devices and compare them; `check.sh` runs this.

    python compare_devices.py train DEVICE FOLDER [--events-seen N]
    python compare_devices.py compare FIRST SECOND

Two runs on the CPU must agree to the byte. A GPU adds up in another order, and thousands of steps enlarge the last digit:
there losses and AUC must agree within `LOSS` and `AUC`, and the scores that one network gives on both within `SCORE`.
"""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "scripts")]

import small_analyses
from analyses import changed

from nuisflow.learning.classifier import Classifier
from nuisflow.settings.checks import reading

KNOWN = {"variations": ["tes", "tilt"]}
TRAININGS = {
    "nominal": {"strategy": "nominal"},
    "augmentation": {"strategy": "augmentation", **KNOWN},
    "adversarial": {"strategy": "adversarial", **KNOWN},
    "inferno": {"strategy": "inferno", **KNOWN},
}
LOSS, AUC, SCORE = 0.05, 0.01, 1e-4
"""Largest relative difference of the kept validation loss, largest ones of its AUC and of a score."""
OTHER_CLASSES = 1e-3
"""Largest share of events that one network puts into another class, where scores are classes."""
BYTES = ("model.pt", "scores.parquet", "templates.json")


class Trained(NamedTuple):
    """What one training gave: of the kept epochs the mean over the folds, and its rate after the first epoch."""

    loss: float
    auc: float
    events_per_second: float


def settings(name: str, events_seen: int) -> Any:
    """Return the toy analysis with one training and a network of usual size."""
    learning = {"hidden": [64, 64], "batch_size": 1024, "events_seen": events_seen, "folds": 2, "seeds": 1}
    content = changed(small_analyses.TOY, ("trainings", {name: TRAININGS[name]}), ("learning", learning))
    return reading.check(content, "tests/toy/config.yaml")


def train(device: str, folder: Path, events_seen: int) -> None:
    """Make the toy analysis with every training on *device*, one folder each."""
    torch.set_num_threads(1)
    for name in TRAININGS:
        small_analyses.make(folder / name, settings(name, events_seen), device=device)
    named = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    content = {"device": device, "name": named, "torch": torch.__version__}
    (folder / "device.json").write_text(json.dumps(content))


def place(folder: Path, name: str) -> Path:
    """Return where the files of one training are."""
    return folder / name / "trainings" / name / "seed1"


def trained(folder: Path, name: str) -> Trained:
    """Read the history of one training; without the first epoch, in which a GPU starts up, its rate."""
    history = pd.read_csv(place(folder, name) / "history.csv")
    kept = history[history["kept"] == 1]
    first, last = (history.groupby("fold")[["events_seen", "seconds"]].nth(row).sum() for row in (0, -1))
    rate = (last["events_seen"] - first["events_seen"]) / (last["seconds"] - first["seconds"])
    return Trained(kept["validation_loss"].mean(), kept["auc"].mean(), rate)


def rescored(folder: Path, name: str, device: str) -> np.ndarray:
    """Return the scores that the network in *folder* gives nominal events on *device*."""
    classifier = Classifier.load(place(folder, name) / "model.pt").to(device)
    scores = []
    for path in sorted((folder / name / "events" / "nominal").glob("*.parquet")):
        events = pd.read_parquet(path, columns=[*classifier.features, "entry"])
        scores.append(classifier.score({column: events[column].to_numpy() for column in events}, device))
    return np.concatenate(scores)


def faults(first: Path, second: Path, devices: tuple[str, str]) -> list[str]:
    """Return in words what differs by more than it may."""
    found = []
    for name in TRAININGS:
        scores = [rescored(first, name, device) for device in devices]
        if devices[0] == devices[1]:
            found += other_bytes(first, second, name, scores)
        else:
            found += beyond_rounding(name, trained(first, name), trained(second, name), scores)
    return found


def other_bytes(first: Path, second: Path, name: str, scores: list[np.ndarray]) -> list[str]:
    """Return what is not the same to the byte."""
    pairs = {file: [place(folder, name) / file for folder in (first, second)] for file in BYTES}
    found = [f"{name}: {file} differs" for file, (one, two) in pairs.items() if one.read_bytes() != two.read_bytes()]
    return found + [f"{name}: the scores of one network differ"] * (not np.array_equal(*scores))


def beyond_rounding(name: str, one: Trained, two: Trained, scores: list[np.ndarray]) -> list[str]:
    """Return what differs by more than another order of sums explains; *scores*: of one network on both devices."""
    far = np.abs(scores[1] - scores[0]) > SCORE
    allowed = OTHER_CLASSES if TRAININGS[name]["strategy"] == "inferno" else 0
    return [
        *[f"{name}: losses {one.loss:.5f} and {two.loss:.5f}"] * (not abs(two.loss / one.loss - 1) <= LOSS),
        *[f"{name}: AUC {one.auc:.4f} and {two.auc:.4f}"] * (not abs(two.auc - one.auc) <= AUC),
        *[f"{name}: {far.sum()} of {far.size} scores of one network differ"] * bool(far.mean() > allowed),
    ]


def table(first: Path, second: Path) -> str:
    """Return losses, AUC and events per second of all trainings side by side."""
    rows = [
        {"training": name, "device": where, **trained(folder, name)._asdict()}
        for name in TRAININGS
        for where, folder in (("first", first), ("second", second))
    ]
    formats = {"loss": "{:.5f}".format, "auc": "{:.4f}".format, "events_per_second": "{:,.0f}".format}
    return pd.DataFrame(rows).to_string(index=False, formatters=formats)


def compare(first: Path, second: Path) -> int:
    """Print what both devices gave; return 1 if they differ by more than they may."""
    about = [json.loads((folder / "device.json").read_text()) for folder in (first, second)]
    for which, one in zip(("first", "second"), about, strict=True):
        print(f"{which}: {one['device']} ({one['name']}), torch {one['torch']}")
    print(table(first, second))
    devices = (about[0]["device"], about[1]["device"])
    found = faults(first, second, devices)
    print("\n".join(found) or f"{devices[0]} and {devices[1]} agree" + " to the byte" * (devices[0] == devices[1]))
    return int(bool(found))


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("device", choices=("cpu", "cuda"))
    training.add_argument("folder", type=Path)
    training.add_argument("--events-seen", type=int, default=1_000_000)
    comparison = commands.add_parser("compare")
    comparison.add_argument("first", type=Path)
    comparison.add_argument("second", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return compare(options.first, options.second)
    train(options.device, options.folder, options.events_seen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
