"""The best possible classifier at one point, where the densities of the events are known."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from nuisflow import datasets
from nuisflow.strategies.strategy import Events, History, Name, Networks, Strategy, Task, cross_entropy

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nuisflow.strategies.networks import Architecture


class Optimal(Strategy):
    """The exact likelihood ratio of signal to background, as the score s / (s + b) of their densities: no training.

    By the lemma of Neyman and Pearson no classifier separates better at this point; what it loses against the
    likelihood of all events is the binning, and everything that away from this point is not in its score.
    """

    scales: ClassVar[bool] = False
    learns: ClassVar[bool] = False

    strategy: Literal["optimal"] = "optimal"
    density: Name = Field(description="data set whose densities are used: that of the analysis")
    shifts: dict[Name, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        {}, description="where the ratio is optimal: shifts of the data set, in natural units; default: nominal"
    )

    def changes(self) -> dict[str, Any]:
        """Return fixed values for everything in ``learning`` that acts on a training: there is none."""
        return {"hidden": (1,), "activation": "relu", "batch_size": 1, "learning_rate": 1.0, "events_seen": 1}

    def networks(self, architecture: "Architecture") -> Networks:  # noqa: ARG002
        """Return no network."""
        return {}

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return ln s - ln b of every event; the features are the columns of the data set, in their order."""
        import torch

        ratio = log_ratio(self.density, features.cpu().numpy(), self.shifts)
        return torch.from_numpy(ratio.astype("float32")).to(features.device)

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:  # noqa: ARG002
        """Return no network, and one row of history with the loss on the validation events and no cost."""
        import torch

        from nuisflow.strategies import metrics

        events = task.fold.validation()
        batch: Events[torch.Tensor] = Events(*(torch.from_numpy(values) for values in events))
        logits = self.output({}, batch.features, batch.z)
        loss = float(cross_entropy(logits, batch))
        auc = metrics.area_under_curve(logits.numpy(), events.labels, events.weights)
        row = {"epoch": 1, "events_seen": 0, "seconds": 0.0, "train_loss": loss, "validation_loss": loss}
        return {}, [row | {"auc": auc, "kept": 1.0}]


def log_ratio(kind: str, features: "np.ndarray", shifts: dict[str, float]) -> "np.ndarray":
    """Return ln s - ln b of events of the data set *kind*, shape (events,); *features* has one column per raw column.

    The first process of the data set is the signal.
    """
    module = datasets.MODULES[kind]
    columns = dict(zip(module.COLUMNS, features.T, strict=True))
    signal, background = (module.log_density(process, columns, shifts) for process in module.PROCESSES)
    ratio: np.ndarray = signal - background
    return ratio
