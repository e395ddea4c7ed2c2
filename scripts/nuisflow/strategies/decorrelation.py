"""A network whose score must not be correlated with the nuisance parameters, in any way."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies.strategy import Events, Networks, Varied, cross_entropy

if TYPE_CHECKING:
    import torch

TINY = 1e-12


class Decorrelation(Varied):
    """DisCo: the cross-entropy plus *strength* times the squared distance correlation of the score with z.

    Kasieczka and Shih, arXiv:2001.05310, equation 1, with z in place of the mass; distance correlation is that of
    Szekely, Rizzo and Bakirov, arXiv:0803.4101, definitions 4 and 5, with event weights. It is 0 only where score and
    z are independent. A sample of n independent events has about 1/n instead of 0. The penalty is taken over background
    events by default, and per variation (*z*: ``each``, summed) or with all of z together, by its Euclidean norm. Its
    cost grows with the square of the number of events: *pairs* limits them, batch by batch.

    The distance correlation does not change with the scale of the score, so that its gradient is largest where the
    scores of all events are nearly equal, as they are at first. Hence the strength is 0 in the first part of the budget
    (*warm_up*), and the loss does not decide when to stop.
    """

    stops_early: ClassVar[bool] = False
    additive: ClassVar[bool] = False

    strategy: Literal["decorrelation"] = "decorrelation"
    strength: Annotated[float, Field(ge=0, le=1e6)] = Field(1.0, description="weight of the distance correlation")
    of: Literal["background", "signal", "all"] = Field("background", description="events that must be independent of z")
    z: Literal["each", "together"] = Field("each", description="one distance correlation per variation, or one of all")
    pairs: Annotated[int, Field(ge=2, le=8192)] = Field(1024, description="events at most whose distances are taken")
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="part of the budget at strength 0")

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":
        """Return the cross-entropy and the penalty on *batch*."""
        strength = self.strength if progress >= self.warm_up else 0.0
        logits = self.output(networks, batch.features, batch.z)
        classifier = cross_entropy(logits, batch)
        penalty = self._penalty(logits.sigmoid(), batch)
        return {"loss": classifier + strength * penalty, "classifier": classifier, "correlation": penalty.detach()}

    def _penalty(self, scores: "torch.Tensor", batch: "Events[torch.Tensor]") -> "torch.Tensor":
        """Return the squared distance correlation, summed over the variations."""
        import torch

        wanted = {"background": (0.0,), "signal": (1.0,), "all": (0.0, 1.0)}[self.of]
        chosen = torch.isin(batch.labels, batch.labels.new_tensor(wanted)) & (batch.weights > 0)
        rows = torch.nonzero(chosen).squeeze(1)
        rows = rows[:: 1 + max(len(rows) - 1, 0) // self.pairs]  # from all over the batch, which may be in order
        z = batch.z[rows]
        others = z.T.unsqueeze(2) if self.z == "each" else z.unsqueeze(0)
        return distance_correlation(scores[rows], others, batch.weights[rows])


def distance_correlation(values: "torch.Tensor", others: "torch.Tensor", weights: "torch.Tensor") -> "torch.Tensor":
    """Return the squared distance correlation of *values* with each of *others*, summed; gradients are of *values*.

    Shapes: (events,), (others, events, dimensions), (events,). Of what never changes, it is 0.
    With doubly centred distances A and B, the squared distance covariance is the mean of A B. Since B is centred, A
    need not be; the mean of A^2 follows from sums over rows, so that gradients pass through one matrix only.
    """
    import torch

    if len(values) < 2:
        return 0 * values.sum()
    share = weights / weights.sum()
    distances = (values.unsqueeze(0) - values.unsqueeze(1)).abs()
    means = distances @ share
    mean_square = 2 * (share @ values.square() - (share @ values).square())
    own = mean_square - 2 * share @ means.square() + (share @ means).square()
    with torch.no_grad():
        centred = sum((_standardised(other, share) for other in others), torch.zeros_like(distances))
    return share @ (distances * centred) @ share / own.clamp(min=TINY).sqrt()


def _standardised(values: "torch.Tensor", share: "torch.Tensor") -> "torch.Tensor":
    """Return the doubly centred distances of *values*, divided by the square root of their mean square."""
    import torch

    distances = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    means = distances @ share
    centred = distances - means.unsqueeze(0) - means.unsqueeze(1) + share @ means
    return centred / (share @ centred.square() @ share).clamp(min=TINY).sqrt()
