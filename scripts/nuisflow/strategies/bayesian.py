"""A network with a distribution per weight instead of a value."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Events, History, Networks, Strategy, Task, cross_entropy

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture

START = 0.1
"""First standard deviation of the weights, in units of 1 / sqrt(inputs of the layer)."""


class Bayesian(Strategy):
    """Variational inference of the weights: the score is the mean over draws from their posterior.

    Bayes by backprop, Blundell et al., arXiv:1505.05424: the posterior is a normal distribution per weight, independent
    of each other, and the loss per event is the cross-entropy plus the Kullback-Leibler divergence from the prior,
    N(0, prior), divided by the number of training events (equation 2, with the divergence in closed form instead of
    equation 1's samples). Gradients by the local reparametrisation of arXiv:1506.02557. Scores use *samples* draws of
    the weights whose noise is fixed before the training and saved with the network. *strength* below 1 tempers the
    posterior (a cold posterior, arXiv:2002.02405); at 0 nothing holds the widths up and they shrink.

    The widths go on shrinking or growing after the means are good, so that the training never stops early.
    """

    stops_early: ClassVar[bool] = False

    strategy: Literal["bayesian"] = "bayesian"
    prior: Annotated[float, Field(gt=0, le=100)] = Field(1.0, description="standard deviation of the weights' prior")
    strength: Annotated[float, Field(ge=0, le=1e4)] = Field(1.0, description="factor on the divergence from the prior")
    samples: Annotated[int, Field(gt=0, le=1000)] = Field(20, description="draws of the weights in the score")
    events: Annotated[float, Field(gt=0)] | None = Field(
        None, description="events that stand against the prior; default: the effective number of training events"
    )

    @property
    def members(self) -> int:
        """The number of draws of the weights."""
        return self.samples

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the nominal network with a width per weight."""
        from nuisflow import seeds
        from nuisflow.strategies import networks

        network = architecture.network("classifier")
        seed = seeds.number(architecture.seed, "weights")
        return {"classifier": networks.with_uncertain_weights(network, START, self.samples, seed)}

    def fit(self, task: Task, loop: "Callable[[Strategy, Task], tuple[Networks, History]]") -> tuple[Networks, History]:
        """Count the training events of *task*, then train.

        ASSUME: weighted events count as (sum w)^2 / sum w^2 events, since the likelihood of no more stands behind them.
        """
        if self.events is not None:
            return loop(self, task)
        weights = task.fold.train().weights.astype(float)
        effective = weights.sum() ** 2 / (weights**2).sum() * (task.fold.train_total / task.fold.train_size)
        return loop(self.model_copy(update={"events": effective}), task)

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":  # noqa: ARG002
        """Return the negative evidence lower bound per event; without *events*, the batch counts as all there are."""
        classifier = cross_entropy(self.output(networks, batch.features, batch.z), batch)
        divergence = self.divergence(networks)
        loss = classifier + self.strength / (self.events or len(batch.labels)) * divergence
        return {"loss": loss, "classifier": classifier, "divergence": divergence}

    def divergence(self, networks: Networks) -> "torch.Tensor":
        """Return the Kullback-Leibler divergence of the weights' posterior from their prior."""
        import torch

        from nuisflow.strategies.networks import UncertainLinear

        layers = [layer for layer in networks["classifier"].children() if isinstance(layer, UncertainLinear)]
        return torch.stack([layer.divergence(self.prior) for layer in layers]).sum()

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the mean score of the members."""
        return self.member_scores(networks, features, z).mean(dim=1)

    def member_scores(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the score under every draw of the weights, shape (events, members)."""
        from nuisflow.strategies.networks import sampled

        return sampled(networks["classifier"], features, self.samples).squeeze(2).T.sigmoid()
