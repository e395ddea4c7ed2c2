"""A network whose units are dropped at random, in training and in scoring."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Networks, Strategy

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture


class Dropout(Strategy):
    """Monte Carlo dropout: the score is the mean over networks from which random units were taken out.

    Gal and Ghahramani, arXiv:1506.02142, equation 6: an approximate average over the posterior of the weights. Units of
    all hidden layers are dropped, anew for every event in training. Scores use *samples* sets of dropped units that are
    drawn once, before the training, and saved with the network: every event gets the same members, and the same score
    again. Their spread is the epistemic uncertainty of the score. The loss that stops the training is that of the
    network with all units. At *rate* 0 this is the nominal training.
    """

    strategy: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="probability that a hidden unit is dropped")
    samples: Annotated[int, Field(gt=0, le=1000)] = Field(20, description="sets of dropped units in the score")

    @property
    def members(self) -> int:
        """The number of sets of dropped units."""
        return self.samples

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the nominal network with dropout after every hidden layer."""
        from nuisflow import seeds
        from nuisflow.strategies import networks

        network = architecture.network("classifier")
        seed = seeds.number(architecture.seed, "dropout")
        return {"classifier": networks.with_dropout(network, self.rate, self.samples, seed)}

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the mean score of the members."""
        return self.member_scores(networks, features, z).mean(dim=1)

    def member_scores(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        """Return the score under every set of dropped units, shape (events, members)."""
        from nuisflow.strategies.networks import sampled

        return sampled(networks["classifier"], features, self.samples).squeeze(2).T.sigmoid()
