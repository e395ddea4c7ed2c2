"""A network that is told the nuisance parameters."""

from typing import TYPE_CHECKING, Literal

from nuisflow.strategies.strategy import Networks, Varied

if TYPE_CHECKING:
    import torch

    from nuisflow.networks import Architecture


class Parametrised(Varied):
    """A classifier f(x, z) of the features and of z, trained on events varied at random.

    In a template fit the score is a fixed function of the event, so that it is taken at z = 0 for all events.
    Baldi et al., arXiv:1601.07913; with nuisance parameters arXiv:2105.08742.
    """

    strategy: Literal["parametrised"] = "parametrised"

    def networks(self, architecture: "Architecture") -> Networks:
        """Return a classifier with one more input per variation."""
        inputs = architecture.features + len(self.variations)
        return {"classifier": architecture.network("classifier", inputs=inputs)}

    def output(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of every event at its *z*."""
        import torch

        logits: torch.Tensor = networks["classifier"](torch.cat([features, z], dim=1))
        return logits.squeeze(1)
