"""Two Gaussian classes in two dimensions as a flat data set: small events whose optimal classifier is known."""

from typing import Any

import numpy as np

from nuisflow.learning import batches, loop
from nuisflow.slices.training import TrainingSamples
from nuisflow.strategies import networks

SHIFT = {"kind": "shift", "columns": {"y": "y + z"}, "processes": ["signal"]}
RATE = {"kind": "rate", "size": 0.1, "processes": ["background"]}
WEIGHT = {"kind": "weight", "factor": "1 + 0.1 * z * x"}


def columns(number: int, mean: tuple[float, float], seed: int, weight: float = 1.0) -> dict[str, np.ndarray]:
    """Return raw columns of *number* events of one class."""
    x = np.random.default_rng(seed).normal(size=(2, number)) + np.reshape(mean, (2, 1))
    return {
        "x": x[0].astype(np.float32),
        "y": x[1].astype(np.float32),
        "w": np.full(number, weight, np.float32),
        "entry": np.arange(number),
    }


def settings(training: dict[str, Any], *, events: dict[str, Any] | None = None, **learning: Any) -> TrainingSamples:
    """Return what a training on the two classes depends on; *training* may name the variations of this module."""
    known = {"shift": SHIFT, "rate": RATE, "weight": WEIGHT}
    return TrainingSamples.model_validate(
        {
            "events": {
                "dataset": {"kind": "flat", "columns": ("x", "y", "w"), "missing": -999},
                "derived": {},
                "selection": None,
                "regions": {"all": {"selection": None, "observable": "score"}},
                "features": ("x", "y"),
                **(events or {}),
            },
            "samples": {
                "signal": {"process": "signal", "weight": "w"},
                "background": {"process": "background", "weight": "w"},
            },
            "signal": "signal",
            "variations": {name: known[name] for name in training.get("variations", ())},
            "learning": {"hidden": (16,), "batch_size": 256, "events_seen": 20_000, "folds": 2} | learning,
            "training": training,
            "name": "toy",
            "repetition": 1,
            "seed": 1,
        }
    )


def pool(
    training: dict[str, Any] | None = None,
    *,
    number: int = 4000,
    signal: tuple[float, float] = (1.0, 1.0),
    background: tuple[float, float] = (0.0, 0.0),
    **options: Any,
) -> batches.Pool:
    """Return *number* raw events per class with the settings of *training*."""
    samples = {"signal": columns(number, signal, 1), "background": columns(number, background, 2, weight=3.0)}
    return batches.Pool(samples, settings(training or {"strategy": "nominal"}, **options))


def batch_for(strategy: Any, **options: Any) -> Any:
    """Return the training events of the first fold, at all points that *strategy* needs, as tensors."""
    events = pool({"strategy": strategy.strategy, "variations": strategy.variations}, **options)
    return loop.to_device(batches.fold_events(events, 0, points=strategy.points()).train(), "cpu")


def networks_for(strategy: Any, seed: int = 1) -> Any:
    """Return the untrained networks of *strategy* for the two features."""
    return strategy.networks(networks.Architecture(2, (16,), seed=seed))
