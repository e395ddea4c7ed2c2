"""Train the same networks on two devices and compare them; `check.sh` runs this.

    python compare_devices.py train DEVICE FOLDER [--events-seen N] [--hidden N,N,…] [--batch-size N] [--only NAME,NAME,…]
    python compare_devices.py compare FIRST SECOND

Needs torch, numpy, pydantic and numexpr only: the events are two Gaussian classes. Two runs on the CPU must agree to the
byte. A GPU adds up in another order, and thousands of steps enlarge the last digit: there losses and AUC must agree
within `LOSS` and `AUC`, and the scores that one network gives on both within `SCORE`.
"""

import argparse
import json
import platform
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "scripts")]

import gaussians

from nuisflow.learning import loop
from nuisflow.learning.classifier import Classifier

NUMBER = 50_000
"""Events per class, at most as many as a network sees."""
UNAWARE = ("nominal", "boosted_trees", "ensemble", "dropout", "bayesian")
AWARE = (
    *("augmentation", "adversarial", "inferno", "parametrised", "conditional", "decorrelation", "domain_adaptation"),
    *("tangent", "sensitivity_to_poi"),
)
"""Strategies that train, without variations and with the one of the toy."""
ACTING = {"background": (), "signal": ("shift",)}
TRAININGS: dict[str, dict[str, Any]] = {
    **{name: {"strategy": name} for name in UNAWARE},
    **{name: {"strategy": name, "variations": ["shift"]} for name in AWARE},
    "unbinned": {"strategy": "unbinned", "variations": ["shift"], "acting": ACTING, "signal": "signal"},
}
LOSS, AUC, SCORE = 0.05, 0.01, 1e-4
"""Largest relative difference of the kept validation loss, largest ones of its AUC and of a score."""
OTHER_CLASSES = 1e-3
"""Largest share of events that one network puts into another class, where scores are classes."""
BYTES = ("model.pt", "scores.npy")
FAILED = "failed.txt"


class Trained(NamedTuple):
    """What one training gave: of the kept epochs the mean over the folds, and its rate after the first epoch."""

    loss: float
    auc: float
    events_per_second: float


def train(device: str, folder: Path, names: Sequence[str], **learning: Any) -> None:
    """Train *names* on *device* and write models, histories and scores, one folder per training.

    What a training raises is written there in their place, and the others go on.
    """
    torch.set_num_threads(1)
    for name in names:
        number = min(NUMBER, learning["events_seen"])
        events, place = gaussians.pool(TRAININGS[name], number=number, folds=2, **learning), folder / name
        place.mkdir(parents=True)
        try:
            classifier, history = loop.train(events, events.settings.training, device)
            classifier.save(place / "model.pt")
            np.save(place / "scores.npy", scored(place, device))
            (place / "history.json").write_text(json.dumps(history))
        except Exception as error:
            traceback.print_exc()
            (place / FAILED).write_text(f"{type(error).__name__}: {error}")
    named = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    content = {"device": device, "name": named, "torch": torch.__version__}
    (folder / "device.json").write_text(json.dumps(content))


def scored(place: Path, device: str) -> np.ndarray:
    """Return the scores, or logarithms of densities, that the networks in *place* give the events on *device*."""
    classifier = Classifier.load(place / "model.pt").to(device)
    asked = classifier.densities if place.name == "unbinned" else classifier.score
    samples = (gaussians.columns(NUMBER, (1.0, 1.0), 1), gaussians.columns(NUMBER, (0.0, 0.0), 2))
    return np.concatenate([asked(columns) for columns in samples])


def trained(place: Path) -> Trained:
    """Read one history; the first of several epochs, in which a GPU starts up, does not count for the rate."""
    history = json.loads((place / "history.json").read_text())
    kept = [row for row in history if row["kept"]]
    folds = [[row for row in history if row["fold"] == number] for number in range(2)]
    begun = [rows[0] if len(rows) > 1 else {"events_seen": 0, "seconds": 0.0} for rows in folds]
    seen, seconds = (
        sum(rows[-1][name] - start[name] for start, rows in zip(begun, folds, strict=True))
        for name in ("events_seen", "seconds")
    )
    loss, auc = (float(np.mean([row[name] for row in kept])) for name in ("validation_loss", "auc"))
    return Trained(loss, auc, seen / seconds)


def faults(first: Path, second: Path, devices: tuple[str, str]) -> list[str]:
    """Return in words what differs by more than it may."""
    found = []
    for name in made(first):
        one, two = first / name, second / name
        if errors := failures(one, two):
            found += errors
            continue
        scores = [scored(one, device) for device in devices]
        if devices[0] == devices[1]:
            found += other_bytes(name, one, two, scores)
        else:
            found += beyond_rounding(name, trained(one), trained(two), scores)
    return found


def made(folder: Path) -> list[str]:
    """Return the trainings in *folder*."""
    return [name for name in TRAININGS if (folder / name).is_dir()]


def failures(*places: Path) -> list[str]:
    """Return what was raised instead of a result in *places*."""
    files = (place / FAILED for place in places)
    return [f"{file.parent.name}: failed ({file.read_text()})" for file in files if file.exists()]


def other_bytes(name: str, one: Path, two: Path, scores: list[np.ndarray]) -> list[str]:
    """Return what is not the same to the byte."""
    found = [f"{name}: {file} differs" for file in BYTES if (one / file).read_bytes() != (two / file).read_bytes()]
    return found + [f"{name}: the scores of one network differ"] * (not np.array_equal(*scores))


def beyond_rounding(name: str, one: Trained, two: Trained, scores: list[np.ndarray]) -> list[str]:
    """Return what differs by more than another order of sums explains; *scores*: of one network on both devices."""
    far = ~(np.abs(scores[1] - scores[0]) <= SCORE)
    allowed = OTHER_CLASSES if TRAININGS[name]["strategy"] == "inferno" else 0
    return [
        *[f"{name}: losses {one.loss:.5f} and {two.loss:.5f}"] * (not abs(two.loss / one.loss - 1) <= LOSS),
        *[f"{name}: AUC {one.auc:.4f} and {two.auc:.4f}"] * (not abs(two.auc - one.auc) <= AUC),
        *[f"{name}: {far.sum()} of {far.size} scores of one network differ"] * bool(far.mean() > allowed),
    ]


def compare(first: Path, second: Path) -> int:
    """Print what both devices gave; return 1 if they differ by more than they may."""
    about = [json.loads((folder / "device.json").read_text()) for folder in (first, second)]
    for which, one in zip(("first", "second"), about, strict=True):
        print(f"{which}: {one['device']} ({one['name']}), torch {one['torch']}")
    print(f"{'training':20}{'device':8}{'loss':>10}{'auc':>8}{'events_per_second':>20}")
    for name in (name for name in made(first) if not failures(first / name, second / name)):
        for which, folder in (("first", first), ("second", second)):
            row = trained(folder / name)
            print(f"{name:20}{which:8}{row.loss:10.5f}{row.auc:8.4f}{row.events_per_second:20,.0f}")
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
    training.add_argument("--hidden", type=lambda text: tuple(map(int, text.split(","))), default=(64, 64))
    training.add_argument("--batch-size", type=int, default=1024)
    training.add_argument(
        "--only", type=lambda text: text.split(","), default=list(TRAININGS), help="names of trainings"
    )
    comparison = commands.add_parser("compare")
    comparison.add_argument("first", type=Path)
    comparison.add_argument("second", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        return compare(options.first, options.second)
    if unknown := set(options.only) - set(TRAININGS):
        parser.error(f"no training {min(unknown)!r}; there are {', '.join(TRAININGS)}")
    size = {"hidden": options.hidden, "batch_size": options.batch_size}
    train(options.device, options.folder, options.only, events_seen=options.events_seen, **size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
