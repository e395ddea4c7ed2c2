"""A network from whose output an adversary cannot tell the nuisance parameters."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Events, Networks, Varied, cross_entropy

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture


class Adversarial(Varied):
    """Learning to pivot: the classifier minimises its loss minus *strength* times the loss of an adversary.

    The adversary learns the density of z given the classifier's output, p(z | f(x)), as a Gaussian mixture per
    variation (or the mean of z alone, as a regression), and its loss is -ln p(z | f(x)) per event (half the squared
    error). Both are trained in the same step through a gradient reversal layer (Ganin et al., arXiv:1505.07818) instead
    of the alternating steps of Louppe, Kagan and Cranmer, arXiv:1611.01046, whose objective this is. In the first part
    of the budget (*warm_up*) the strength is 0, so that both networks are good before they work against each other.

    Since the objective is a saddle point, not a minimum, the training never stops early.
    """

    stops_early: ClassVar[bool] = False

    strategy: Literal["adversarial"] = "adversarial"

    width: Annotated[float, Field(gt=0, le=10)] = Field(
        1.0, description="standard deviation of z in training, in units of the prior's"
    )
    strength: Annotated[float, Field(ge=0, le=1e4)] = Field(1.0, description="weight of the adversary's loss")
    adversary: Literal["mixture", "regression"] = Field("mixture", description="density of z, or its mean only")
    components: Annotated[int, Field(gt=0, le=50)] = Field(5, description="Gaussians per variation (mixture)")
    adversary_hidden: tuple[Annotated[int, Field(gt=0)], ...] = Field((32, 32), description="nodes of the adversary")
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="part of the budget at strength 0")

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the classifier and an adversary that sees its output alone."""
        outputs = len(self.variations) * (3 * self.components if self.adversary == "mixture" else 1)
        return {
            "classifier": architecture.network("classifier"),
            "adversary": architecture.network(
                "adversary", inputs=1, outputs=outputs, hidden=self.adversary_hidden, activation="relu"
            ),
        }

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":
        """Return the classifier's objective; the adversary's parameters get the gradient of the adversary's loss."""
        strength = self.strength if progress >= self.warm_up else 0.0
        logits = self.output(networks, batch.features, batch.z)
        classifier = cross_entropy(logits, batch)
        adversary = self._adversary_loss(networks, reversed_gradient(logits.sigmoid(), strength), batch)
        value = adversary.detach()
        # The first bracket is 0 and carries the gradients; so the value is exactly the nominal loss at strength 0.
        loss = classifier + (adversary - value) - strength * value
        return {"loss": loss, "classifier": classifier, "adversary": adversary}

    def _adversary_loss(
        self, networks: Networks, scores: "torch.Tensor", batch: "Events[torch.Tensor]"
    ) -> "torch.Tensor":
        """Return the weighted mean over events of -ln p(z | score), summed over the variations."""
        predicted = networks["adversary"](2 * scores.unsqueeze(1) - 1)
        density = _mixture if self.adversary == "mixture" else _regression
        losses = density(predicted.reshape(len(scores), len(self.variations), -1), batch.z / self.width)
        return (batch.weights * losses.sum(dim=1)).mean() + len(self.variations) * math.log(self.width)


def _mixture(predicted: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
    """Return -ln of a Gaussian mixture at *z*; *predicted* has shape (events, variations, 3 components)."""
    import torch

    logits, means, widths = predicted.chunk(3, dim=2)
    # ASSUME: no component is narrower than 0.05 or wider than 20 prior widths, so that the density stays finite.
    widths = widths.clamp(math.log(0.05), math.log(20.0))
    pulls = (z.unsqueeze(2) - means) * torch.exp(-widths)
    terms = torch.log_softmax(logits, dim=2) - 0.5 * pulls.square() - widths
    return 0.5 * math.log(2 * math.pi) - torch.logsumexp(terms, dim=2)


def _regression(predicted: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
    """Return half the squared error, that is -ln of a Gaussian of width 1 without its constant."""
    return 0.5 * (predicted.squeeze(2) - z).square()


def reversed_gradient(values: "torch.Tensor", strength: float) -> "torch.Tensor":
    """Return *values*, whose gradient is multiplied by -*strength* on its way back."""
    fixed = values.detach()
    return fixed - strength * (values - fixed)
