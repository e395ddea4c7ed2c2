"""A classifier whose histogram measures the signal strength as precisely as possible."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from nuisflow.strategies import information
from nuisflow.strategies.strategy import Events, Networks

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture

KNOTS = 100
"""Steps in which the scale of the score is measured: more would follow the fluctuations of the validation events."""


class SensitivityToPoi(information.InferenceAware):
    """The loss is the expected standard deviation of the signal strength in a fit to the histogram of the score.

    All variations are nuisance parameters of that fit, and MC statistics count. The histogram is the one that the
    binning rule "quantile" makes of the events: its edges cut the mixture of signal and background into equal shares,
    and follow the scores. In training an event lies in its bin with a sigmoid at each edge, whose width falls from one
    bin to *bandwidth* of it; the validation loss takes hard edges. In the first part of the budget (*warm_up*) the
    loss is that of the nominal training. In the spirit of neos (Simpson and Heinrich, arXiv:2203.05570), of Wunsch et
    al., arXiv:2003.07186, and of systematic-aware trainings, arXiv:2502.13047. Batches must be large: each stands for
    the whole experiment.
    """

    stops_early: ClassVar[bool] = False

    strategy: Literal["sensitivity_to_poi"] = "sensitivity_to_poi"
    soft_bins: Annotated[int, Field(ge=2, le=1000)] = Field(15, description="bins of the histogram in the loss")
    bandwidth: Annotated[float, Field(gt=0, le=1)] = Field(
        0.3, description="width of the edges at the end of the training, in units of a bin"
    )
    delta: Annotated[float, Field(gt=0, le=10)] = Field(
        2.0, description="derivatives are taken between z = -delta and +delta, in units of the prior's deviation"
    )
    warm_up: Annotated[float, Field(ge=0, le=1)] = Field(0.4, description="part of the budget with cross-entropy")
    mc_statistics: bool = Field(True, description="whether the loss knows the MC statistical uncertainty of the bins")
    batch_size: Annotated[int, Field(gt=0)] | None = Field(4096, description="as learning.batch_size")

    def networks(self, architecture: "Architecture") -> Networks:
        """Return the classifier, and the scale of its score: the logits at equal distances in [0, 1]."""
        import torch

        scale = torch.nn.Module()
        levels = torch.arange(KNOTS + 1) / KNOTS
        scale.register_buffer("knots", torch.logit(levels, eps=0.1 / KNOTS))
        return super().networks(architecture) | {"scale": scale}

    def score(self, networks: Networks, features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the share of the mixture of signal and background that is below the event, shape (events,)."""
        return _levels(self.output(networks, features, z), networks["scale"].get_buffer("knots")).clamp(0, 1)

    def loss(self, networks: Networks, batch: "Events[torch.Tensor]", progress: float) -> "dict[str, torch.Tensor]":
        """Return the cross-entropy (warm-up), or the expected standard deviation of the signal strength.

        Any rising function of the score is as good, so that the networks of two folds have different scales, and their
        histograms could not be added. In evaluation the batch, all validation events, makes the scale of the score.
        """
        import torch

        training = networks["classifier"].training
        if training and progress < self.warm_up:
            return super().loss(networks, batch, progress)
        rows = information.Rows(batch)
        logits = self.output(networks, rows.features, batch.z)
        nominal = logits[: len(batch.labels)].detach()
        levels = _levels(logits, _knots(nominal, batch.weights, 2 * self.soft_bins))
        if training:
            bandwidth = self.bandwidth ** ((progress - self.warm_up) / max(1 - self.warm_up, 1e-9))
            memberships = _soft(levels, batch.weights, self.soft_bins, bandwidth)
        else:
            networks["scale"].get_buffer("knots").copy_(_knots(nominal, batch.weights, KNOTS))
            index = (levels * self.soft_bins).floor().clamp(0, self.soft_bins - 1).long()
            memberships = torch.nn.functional.one_hot(index, self.soft_bins).to(logits.dtype)
        return {"loss": self.uncertainty(rows, memberships, mc_statistics=self.mc_statistics)}


def _knots(logits: "torch.Tensor", weights: "torch.Tensor", steps: int) -> "torch.Tensor":
    """Return the quantiles of *logits* with *weights* at 0, 1/steps, 2/steps, … 1."""
    import torch

    values, order = torch.sort(logits)
    shares = torch.cumsum(weights[order].double(), dim=0)
    wanted = torch.arange(1, steps, device=logits.device) / steps * shares[-1]
    inner = values[torch.searchsorted(shares, wanted).clamp(max=len(values) - 1)]
    return torch.cat([values[:1], inner, values[-1:]])


def _levels(logits: "torch.Tensor", knots: "torch.Tensor") -> "torch.Tensor":
    """Return *logits* on the scale on which the *knots* are 0, 1/steps, 2/steps, … 1: linear between and beyond them.

    The scale is fixed: gradients see its slope, not its changes.
    """
    import torch

    steps = len(knots) - 1
    slopes = 1 / (steps * (knots[1:] - knots[:-1]).clamp(min=1e-6))
    step = torch.bucketize(logits.detach(), knots[1:-1].contiguous(), right=True)
    return step / steps + (logits - knots[step]) * slopes[step]


def _soft(levels: "torch.Tensor", weights: "torch.Tensor", bins: int, bandwidth: float) -> "torch.Tensor":
    """Return the memberships of every row in *bins* equal bins of [0, 1], shape (rows, bins).

    The edges move with the first rows, which have *weights*, so that the sum of their memberships in a bin stays.
    """
    import torch

    first, width = levels[: len(weights)], bandwidth / bins
    edges = torch.arange(1, bins, device=levels.device, dtype=levels.dtype) / bins
    with torch.no_grad():
        above = torch.sigmoid((first.unsqueeze(1) - edges) / width)
        density = weights.unsqueeze(1) * above * (1 - above)
        density = density / density.sum(dim=0).clamp(min=1e-30)
    moving = edges + (first - first.detach()) @ density  # the second term is 0 and carries the gradient
    above = torch.sigmoid((levels.unsqueeze(1) - moving) / width)
    return torch.cat([1 - above[:, :1], above[:, :-1] - above[:, 1:], above[:, -1:]], dim=1)
