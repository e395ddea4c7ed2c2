"""A network that says in which bin an event belongs, so that the measurement is as precise as possible."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nuisflow.strategies import information, metrics
from nuisflow.strategies.strategy import Events, History, Networks, Strategy, Task

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture


class Inferno(information.InferenceAware):
    """INFERNO, de Castro and Dorigo, arXiv:1806.04743: the outputs of the network are the bins of the measurement.

    The loss is the expected standard deviation of the signal strength, the root of the [mu, mu] element of the inverse
    Fisher information (theirs is the element itself: with Adam, the scale of a loss does not matter). Bins are soft in
    training: a softmax at a temperature that falls from *start* to *temperature* (theirs is constant; a warm start
    keeps all bins in use). They are hard everywhere else, in the validation loss too: the most probable class counts.

    Afterwards classes are sorted by the share of signal in them, so that the score rises with it as that of a
    classifier does. Batches must be large: each stands for the whole experiment.
    """

    strategy: Literal["inferno"] = "inferno"
    bins: Annotated[int, Field(ge=2, le=1000)] = Field(10, description="bins (outputs of the network)")
    temperature: Annotated[float, Field(gt=0, le=100)] = Field(0.1, description="temperature of the softmax at the end")
    start: Annotated[float, Field(gt=0, le=100)] = Field(3.0, description="temperature of the softmax at the start")
    batch_size: Annotated[int, Field(gt=0)] | None = Field(2000, description="as learning.batch_size")

    @property
    def classes(self) -> int:
        """The number of bins."""
        return self.bins

    def networks(self, architecture: "Architecture") -> Networks:
        """Return a network with one output per bin."""
        return {"classifier": architecture.network("classifier", outputs=self.bins)}

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the logits of every bin, shape (events, bins)."""
        logits: torch.Tensor = networks["classifier"](features)
        return logits

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return (class + 0.5) / bins, where the class is the most probable one, shape (events,)."""
        return (self.output(networks, features, z).argmax(dim=1) + 0.5) / self.bins

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":
        """Return the expected uncertainty of the signal strength, from soft bins in training and hard ones else."""
        import torch

        rows = information.Rows(batch)
        logits = self.output(networks, rows.features, batch.z)
        if networks["classifier"].training:
            temperature = self.start * (self.temperature / self.start) ** progress
            memberships = torch.softmax(logits / temperature, dim=1)
        else:
            memberships = torch.nn.functional.one_hot(logits.argmax(dim=1), self.bins).to(logits.dtype)
        return {"loss": self.uncertainty(rows, memberships, mc_statistics=False)}

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Train, then sort the classes; before, they have no order, so that only the kept state has an AUC."""
        import torch

        networks, history = loop(self, task)
        events = Events(*map(torch.from_numpy, task.fold.validation()))
        with torch.no_grad():
            found = self.output(networks, events.features, events.z).argmax(dim=1)
        _permute(networks["classifier"], _by_purity(found, events, self.bins))
        with torch.no_grad():
            scores = self.score(networks, events.features, events.z)
        auc = metrics.area_under_curve(scores.numpy(), events.labels.numpy(), events.weights.numpy())
        return networks, [row | {"auc": auc if row["kept"] else float("nan")} for row in history]


def _by_purity(found: "torch.Tensor", events: "Events[torch.Tensor]", bins: int) -> "torch.Tensor":
    """Return the classes in the order of the part of signal among the events *found* in each, empty ones first."""
    import torch

    signal = torch.bincount(found, weights=events.weights * events.labels, minlength=bins)
    total = torch.bincount(found, weights=events.weights, minlength=bins)
    return torch.argsort(signal / total.clamp(min=1e-30), stable=True)


def _permute(network: "torch.nn.Module", order: "torch.Tensor") -> None:
    """Put the outputs of *network* into a new *order*, in place."""
    import torch

    last = list(network.children())[-1]
    with torch.no_grad():
        for values in last.parameters():
            values.copy_(values[order].clone())
