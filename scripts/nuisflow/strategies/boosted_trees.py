"""Gradient-boosted decision trees on nominal events: the classifier that most analyses use."""

import importlib
import math
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Events, History, Networks, Strategy, Task

if TYPE_CHECKING:
    import numpy as np

    from nuisflow.strategies.networks import Architecture


class BoostedTrees(Strategy):
    """Decision trees of xgboost (histogram method) with the logistic loss, on the events that the networks get too.

    Of more training events than fit into memory, a random part grows the trees. They stop after ``learning.patience``
    rounds without a better validation loss. Features are not scaled and undefined values keep their value, which a tree
    can cut on. Chen and Guestrin, arXiv:1603.02754.
    """

    scales: ClassVar[bool] = False

    strategy: Literal["boosted_trees"] = "boosted_trees"
    rounds: Annotated[int, Field(gt=0, le=100_000)] = Field(300, description="trees at most")
    depth: Annotated[int, Field(gt=0, le=20)] = Field(5, description="cuts from the root to a leaf at most")
    shrinkage: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="factor on the output of every tree")
    subsample: Annotated[float, Field(gt=0, le=1)] = Field(0.8, description="part of the events for each tree")
    max_bins: Annotated[int, Field(ge=2, le=4096)] = Field(256, description="candidate cuts per feature")

    def changes(self) -> dict[str, Any]:
        """Return fixed values for everything in ``learning`` that acts on networks only: trees do not depend on it."""
        return {"hidden": (1,), "activation": "relu", "batch_size": 1, "learning_rate": 1.0, "events_seen": 1}

    def networks(self, architecture: "Architecture") -> Networks:  # noqa: ARG002
        """Return the trees, not yet grown, behind the interface of a network."""
        from nuisflow.strategies import networks

        return {"classifier": networks.Trees()}

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:  # noqa: ARG002
        """Grow the trees of *task*; a round counts as having seen every training event once."""
        from nuisflow.strategies import networks

        train = task.fold.train()
        matrix, size = _matrix(train, max_bin=self.max_bins), len(train.labels)
        del train  # xgboost has its own copy, in a byte per feature
        validation = _matrix(task.fold.validation(), max_bin=self.max_bins, ref=matrix)
        losses: dict[str, dict[str, list[float]]] = {}
        clock = _clock()
        booster = xgboost().train(
            self._parameters(task),
            matrix,
            num_boost_round=self.rounds,
            evals=[(matrix, "train"), (validation, "validation")],
            early_stopping_rounds=task.learning.patience,
            evals_result=losses,
            verbose_eval=False,
            callbacks=[clock],
        )
        best = booster.best_iteration
        rows = _history(losses, clock.seconds, size)
        rows[best] |= {"auc": _area_under_curve(booster[: best + 1], validation), "kept": 1.0}
        trees = networks.Trees()
        trees.grow(booster[: best + 1])
        return {"classifier": trees}, rows

    def _parameters(self, task: Task) -> dict[str, Any]:
        return {
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "device": task.device,
            "nthread": 1,
            "seed": task.seed % 2**31,
            "max_depth": self.depth,
            "eta": self.shrinkage,
            "subsample": self.subsample,
            "max_bin": self.max_bins,
        }


def xgboost() -> Any:
    """Return the library of this name without scikit-learn, which it imports where there is one: in two seconds."""
    absent = "sklearn" not in sys.modules
    if absent:
        sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("xgboost")
    finally:
        if absent:
            del sys.modules["sklearn"]


def _matrix(events: "Events[np.ndarray]", **options: Any) -> Any:
    return xgboost().QuantileDMatrix(events.features, label=events.labels, weight=events.weights, nthread=1, **options)


def _clock() -> Any:
    """Return a callback that notes the seconds since its making after every round."""

    class Clock(xgboost().callback.TrainingCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.began = time.monotonic()
            self.seconds: list[float] = []

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002
            self.seconds.append(time.monotonic() - self.began)
            return False

    return Clock()


def _area_under_curve(booster: Any, matrix: Any) -> float:
    """Return the weighted AUC of *booster*; in every round it would take more time than the trees."""
    booster.set_param({"eval_metric": "auc"})
    return float(booster.eval(matrix).rsplit(":", 1)[1])


def _history(losses: dict[str, dict[str, list[float]]], seconds: list[float], events: int) -> History:
    """Return one row per round, with the columns that networks have."""
    return [
        {
            "epoch": number + 1,
            "events_seen": (number + 1) * events,
            "seconds": seconds[number],
            "train_loss": losses["train"]["logloss"][number],
            "validation_loss": losses["validation"]["logloss"][number],
            "auc": math.nan,
            "kept": 0.0,
        }
        for number in range(len(seconds))
    ]
