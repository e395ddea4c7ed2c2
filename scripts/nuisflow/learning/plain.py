"""Scores of plain networks and of trees without torch, whose import takes longer than to score a million events."""

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nuisflow.learning import scaling, scoring, tensors
from nuisflow.strategies import boosted_trees

if TYPE_CHECKING:
    from nuisflow.learning.classifier import Classifier

FORMAT = 3
"""Of the files of `classifier`."""
ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda values: np.maximum(values, 0, out=values),
    "tanh": lambda values: np.tanh(values, out=values),
    "silu": lambda values: np.multiply(values, _sigmoid(values), out=values),
}


@dataclass(frozen=True)
class Layers:
    """A multilayer perceptron: weights and biases of its layers as pairs, between them the *activation* of this name.

    *constants* follow the features in its inputs.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]
    activation: str
    constants: tuple[float, ...] = ()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of *features*, shape (events,)."""
        constants = np.broadcast_to(np.array(self.constants, np.float32), (len(features), len(self.constants)))
        values = np.concatenate([features, constants], axis=1)
        for index, (weights, biases) in enumerate(self.layers):
            values = (ACTIVATIONS[self.activation](values) if index else values) @ weights.T
            values += biases
        return values[:, 0]


@dataclass(frozen=True)
class Trees:
    """Boosted trees of xgboost, as bytes: other processes get them so."""

    content: bytes

    def __post_init__(self) -> None:
        booster = boosted_trees.xgboost().Booster()
        booster.load_model(bytearray(self.content))
        booster.set_param({"nthread": 1, "device": "cpu"})
        object.__setattr__(self, "booster", booster)

    def __reduce__(self) -> tuple[Any, ...]:
        return Trees, (self.content,)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the logits of *features*, shape (events,)."""
        margin: np.ndarray = self.booster.inplace_predict(features, predict_type="margin")  # type: ignore[attr-defined]
        return margin


@dataclass(frozen=True)
class Plain:
    """A trained classifier, per fold the scaling of its inputs and the logit, that scores as `classifier.Classifier`.

    Numbers differ by rounding, in the last digits of single precision.
    """

    features: tuple[str, ...]
    folds: tuple[tuple[scaling.Scaling, Layers | Trees], ...]

    def score(self, columns: scoring.Columns) -> np.ndarray:
        """Return the score of every event of *columns* (the features and ``entry``) as float32, shape (events,)."""

        def ask(fold: int, features: np.ndarray) -> np.ndarray:
            scaled, logit = self.folds[fold]
            return _sigmoid(logit(scaled(features)))

        return scoring.answers(columns, self.features, len(self.folds), ask)


def load(path: Path | str) -> Plain | None:
    """Return the classifier in *path*; None where its score takes more than a network (`Strategy.constants`).

    None also for a file that cannot be read: `classifier.Classifier.load` says what is wrong with it.
    """
    try:
        content = tensors.read(path)
        if content["format"] != FORMAT or any(fold["constants"] is None for fold in content["folds"]):
            return None
        folds = [_fold(fold, content["architecture"]["activation"]) for fold in content["folds"]]
        return Plain(tuple(content["features"]), tuple(folds))
    except Exception as error:  # of damaged bytes there are many kinds
        logging.getLogger(__name__).info("%s is read by torch (%s: %s)", path, type(error).__name__, error)
        return None


def scorer(path: Path | str, device: str) -> "tuple[Plain | Classifier, Callable[[scoring.Columns], np.ndarray]]":
    """Return the classifier in *path* and what gives its scores: without torch where it can be done without.

    Then a GPU is used only if it is asked for.
    """
    if device != "cuda" and (found := load(path)):
        return found, found.score
    from nuisflow.learning import classifier

    trained = classifier.Classifier.load(path).to(classifier.device(device))
    return trained, functools.partial(_by_torch, trained=trained)


def _by_torch(columns: scoring.Columns, trained: "Classifier") -> np.ndarray:
    """Return the scores of *columns*, made by one thread."""
    import torch

    torch.set_num_threads(1)  # jobs and workers run side by side; the setting holds for one thread
    return trained.score(dict(columns))


def _fold(content: Mapping[str, Any], activation: str) -> tuple[scaling.Scaling, Layers | Trees]:
    state = content["networks"]["classifier"]
    scaled = scaling.Scaling(content["mean"], content["deviation"], content["missing"])
    if "_extra_state" in state:
        return scaled, Trees(state["_extra_state"].tobytes())
    values = tuple(state.values())
    layers = tuple(zip(values[::2], values[1::2], strict=True))
    return scaled, Layers(layers, activation, tuple(content["constants"]))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-*values*))."""
    with np.errstate(over="ignore"):  # exp(-values) is infinite where the score is 0
        return np.asarray(1 / (1 + np.exp(-values)), dtype=values.dtype)
