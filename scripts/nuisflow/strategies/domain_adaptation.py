"""A network whose hidden representation does not tell nominal events from varied ones."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies import adversarial
from nuisflow.strategies.strategy import Events, Networks, Varied, cross_entropy

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nuisflow.strategies.networks import Architecture


class DomainAdaptation(Varied):
    """Domain-adversarial training (DANN): a second head must not tell nominal from varied events.

    Ganin et al., arXiv:1505.07818, equations 9 and 10: all hidden layers are the feature extractor; the domain
    classifier sees the last of them through a gradient reversal layer, whose factor rises from 0 to *strength* as in
    section 5.2.2. The source domain is nominal simulation, the target domain events at z ~ N(0, width), one half of the
    events each. Unlike in the paper, the labels of both are known and used. Its other use, simulation against
    collision data, is not offered: collision data have no part in training here.

    Since the objective is a saddle point, not a minimum, the training never stops early.
    """

    stops_early: ClassVar[bool] = False

    strategy: Literal["domain_adaptation"] = "domain_adaptation"
    width: Annotated[float, Field(gt=0, le=10)] = Field(
        1.0, description="standard deviation of z in the varied domain, in units of the prior's"
    )
    strength: Annotated[float, Field(ge=0, le=1e4)] = Field(1.0, description="factor of the reversed gradient at last")
    domain_hidden: tuple[Annotated[int, Field(gt=0)], ...] = Field((32,), description="nodes of the domain classifier")

    def draw(self, generator: "np.random.Generator", size: int) -> "np.ndarray | None":
        """Return z = 0 for one half of the events, at random, and z ~ N(0, width) for the others."""
        z = self.width * generator.standard_normal((size, len(self.variations)))
        z[generator.random(size) < 0.5] = 0
        return z

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the classifier and the domain classifier."""
        inputs = architecture.hidden[-1] if architecture.hidden else architecture.features
        return {
            "classifier": architecture.network("classifier"),
            "domain": architecture.network("domain", inputs=inputs, hidden=self.domain_hidden, activation="relu"),
        }

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":
        """Return the classifier's objective; the domain classifier gets the gradient of its own loss."""
        strength = self.strength * (2 / (1 + math.exp(-10 * progress)) - 1)
        hidden = networks["classifier"][:-1](batch.features)  # type: ignore[index]
        classifier = cross_entropy(networks["classifier"][-1](hidden).squeeze(1), batch)  # type: ignore[index]
        domain = self._domain_loss(networks, adversarial.reversed_gradient(hidden, strength), batch)
        value = domain.detach()
        # The first bracket is 0 and carries the gradients; so the value is exactly the nominal loss at strength 0.
        return {"loss": classifier + (domain - value) - strength * value, "classifier": classifier, "domain": value}

    def _domain_loss(self, networks: Networks, hidden: "torch.Tensor", batch: "Events[torch.Tensor]") -> "torch.Tensor":
        """Return the weighted cross-entropy of varied against nominal events; ln 2 where nothing can be told."""
        import torch

        varied = (batch.z != 0).any(dim=1).to(batch.labels.dtype)
        logits = networks["domain"](hidden).squeeze(1)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, varied, weight=batch.weights)
