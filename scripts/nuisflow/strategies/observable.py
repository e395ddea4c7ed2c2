"""An observable as it is, without any training: the line 'no machine learning' of a comparison."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nuisflow import expressions
from nuisflow.strategies.binning import Binning
from nuisflow.strategies.strategy import History, Networks, Strategy, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nuisflow.strategies.networks import Architecture


class Observable(Strategy):
    """An expression over the features, in bins of its own; nothing is learnt.

    The score is the position of the value between the lowest and the highest edge, so that bins of the score are bins
    of the value. Values beyond are at the ends.
    """

    scales: ClassVar[bool] = False
    learns: ClassVar[bool] = False

    strategy: Literal["observable"] = "observable"
    expression: Annotated[str, Field(min_length=1)] = Field(description="the observable, over the features")
    binning: Binning = Field(description="its bins, as those of a region; quantile: between low and high")
    axis: str | None = Field(None, description="label of the observable's axis, with units; default: the expression")
    inputs: tuple[str, ...] = Field((), description="the features, in order (filled in; not to be written)")

    @model_validator(mode="after")
    def _check_bins(self) -> Self:
        chosen = self.binning
        for problem in chosen.unused("low", "high"):
            raise ValueError(f"binning.{problem}")
        if chosen.rule == "edges" and (len(chosen.edges) < 2 or list(chosen.edges) != sorted(set(chosen.edges))):
            raise ValueError("binning.edges: needs at least two increasing edges")
        if chosen.rule == "quantile" and not {"low", "high"} <= chosen.model_fields_set:
            raise ValueError("binning: give 'low' and 'high', between which the quantiles of the observable are")
        if chosen.rule != "edges" and chosen.low >= chosen.high:
            raise ValueError(f"binning: low ({chosen.low:g}) must be below high ({chosen.high:g})")
        return self

    @property
    def own_binning(self) -> Binning:
        """The bins of the score: those of the observable in units of their range."""
        low, high = self.binning.reach
        edges = tuple((edge - low) / (high - low) for edge in self.binning.edges)
        return self.binning.model_copy(update={"low": 0.0, "high": 1.0, "edges": edges})

    def changes(self) -> dict[str, Any]:
        """Return fixed values for everything in ``learning`` that acts on a training: there is none."""
        return {"hidden": (1,), "activation": "relu", "batch_size": 1, "learning_rate": 1.0, "events_seen": 1}

    def ignored(self) -> dict[str, Any]:
        """Return the options that scores do not depend on: words, and bins but for their range."""
        low, high = self.binning.reach
        return super().ignored() | {"axis": None, "binning": Binning(rule="uniform", low=low, high=high)}

    def networks(self, architecture: "Architecture") -> Networks:  # noqa: ARG002
        """Return no network."""
        return {}

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the position of the value of every event between the ends of the bins, shape (events,)."""
        import torch

        low, high = self.binning.reach
        position = (self.values(features.cpu().numpy()) - low) / (high - low)
        return torch.from_numpy(position.clip(0, 1).astype("float32")).to(features.device)

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of the score."""
        return self.score(networks, features, z).logit(eps=1e-6)

    def values(self, features: "np.ndarray") -> "np.ndarray":
        """Return the observable of events, shape (events,), in float64; *features* is of shape (events, features)."""
        import numpy as np

        columns = dict(zip(self.inputs, np.asarray(features, dtype=np.float32).T, strict=True))
        found = expressions.evaluate(self.expression, columns, len(features), "expression")
        return found.astype(np.float64)

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:  # noqa: ARG002
        """Return no network, and one row of history without loss and cost; the AUC is that of the better direction.

        It is nan where the few events that would validate are not of both classes: nothing depends on it.
        """
        import math

        from nuisflow.strategies import metrics

        try:
            events = task.fold.validation()
        except ValueError:  # `batches.BatchError`, of a room that imports this one
            area = math.nan
        else:
            area = metrics.area_under_curve(self.values(events.features), events.labels, events.weights)
        row = {"epoch": 1, "events_seen": 0, "seconds": 0.0, "train_loss": math.nan, "validation_loss": math.nan}
        return {}, [row | {"auc": max(area, 1 - area), "kept": 1.0}]
