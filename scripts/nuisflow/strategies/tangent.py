"""A network whose score must not change along the path that a variation moves an event."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Events, Networks, Strategy, cross_entropy

if TYPE_CHECKING:
    import numpy as np
    import torch


class Tangent(Strategy):
    """The nominal loss plus *strength* times the mean over events of (d score / d z)^2, summed over the variations.

    Tangent propagation, Simard et al., Advances in Neural Information Processing Systems 4 (1991), page 895, equation
    2, with nuisance parameters as the transformations. The derivative is the central difference of the same event at
    z = +-*step*, everything derived recomputed, so that the directions need no gradient of the simulation. Events that
    a variation moves out of the selection on either side do not count in its penalty. Weights and rates move no
    event: of them the penalty is 0. Every batch passes the network once more per variation and direction.
    """

    needs_variations: ClassVar[bool] = True

    strategy: Literal["tangent"] = "tangent"
    strength: Annotated[float, Field(ge=0, le=1e6)] = Field(1.0, description="weight of the squared derivatives")
    step: Annotated[float, Field(gt=0, le=5)] = Field(1.0, description="z of the difference, in prior deviations")

    def points(self) -> "np.ndarray":
        """Return z = +step and -step of every variation, one after the other, shape (2 variations, variations)."""
        import numpy as np

        return np.kron(self.step * np.eye(len(self.variations)), [[1.0], [-1.0]])

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":  # noqa: ARG002
        """Return the cross-entropy and the penalty on *batch*."""
        classifier = cross_entropy(self.output(networks, batch.features, batch.z), batch)
        penalty = (batch.weights.unsqueeze(1) * self._derivatives(networks, batch).square()).sum(dim=1).mean()
        return {"loss": classifier + self.strength * penalty, "classifier": classifier, "slope": penalty}

    def _derivatives(self, networks: Networks, batch: "Events[torch.Tensor]") -> "torch.Tensor":
        """Return d score / d z of every event and variation, 0 where an event is not selected on both sides."""
        moved = batch.points.flatten(0, 1)
        scores = self.score(networks, moved, batch.z.repeat_interleave(batch.points.shape[1], dim=0))
        sides = scores.reshape(len(batch.labels), len(self.variations), 2)
        selected = (batch.counts.reshape(sides.shape) > 0).all(dim=2)
        return selected * (sides[:, :, 0] - sides[:, :, 1]) / (2 * self.step)
