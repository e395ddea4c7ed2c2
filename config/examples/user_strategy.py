"""An example of a strategy of one's own: the focal loss, which gives hard events more weight.

In the configuration:

    trainings:
      focal:
        strategy: user
        file: config/examples/user_strategy.py
        options: {gamma: 2}

Everything that a strategy can change stands in scripts/nuisflow/strategies/strategy.py, and the files beside it are
further examples. Import torch inside functions: this file is read whenever the configuration is checked.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from nuisflow.strategies.strategy import Events, Networks, Strategy

if TYPE_CHECKING:
    import torch


class Focal(Strategy):
    """The cross-entropy of an event times (1 - p)^gamma, with p the score of its true class; gamma 0 is nominal.

    Lin et al., arXiv:1708.02002, equation 4.
    """

    gamma: Annotated[float, Field(ge=0, le=10)] = Field(2.0, description="how much less easy events count")

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":  # noqa: ARG002
        """Return the focal loss of *batch*."""
        import torch

        logits = self.output(networks, batch.features, batch.z)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels, reduction="none")
        hardness = -torch.expm1(-entropy)  # 1 - p, since entropy = -ln p
        return {"loss": (batch.weights * hardness**self.gamma * entropy).mean()}
