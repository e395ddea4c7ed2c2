"""Expected uncertainty of the signal strength from soft templates: what inference-aware trainings minimise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from nuisflow.strategies.strategy import Events, Name, Strategy

if TYPE_CHECKING:
    import torch

FLOOR = 1e-6
"""Part of the mean bin content that is added to every bin, so that an empty bin carries no information, not 0/0."""
UNCONSTRAINED = 1e-6
"""ASSUME: a free nuisance parameter has a Gaussian constraint of 1000 prior widths, so that no matrix is singular."""


class Templates(NamedTuple):
    """Expected events per bin; all are sums over the memberships of events in bins, which may be soft."""

    total: "torch.Tensor"  # (bins,), signal and background at z = 0
    variance: "torch.Tensor"  # (bins,), of the total, since the simulated events are finite
    slopes: "torch.Tensor"  # (1 + variations, events, bins), derivatives by the signal strength and by every z


def points(variations: int, delta: float) -> np.ndarray:
    """Return the points +*delta* and -*delta* of one variation after the other, shape (2 variations, variations)."""
    steps = np.zeros((2 * variations, variations))
    for index in range(variations):
        steps[2 * index : 2 * index + 2, index] = delta, -delta
    return steps


class Rows:
    """The different events of a batch: first all at z = 0, then those that a point changes, not only in weight."""

    def __init__(self, batch: "Events[torch.Tensor]") -> None:
        import torch

        self.batch = batch
        self.moved = (batch.points != batch.features.unsqueeze(1)).any(dim=2)
        self.event, self.point = torch.nonzero(self.moved, as_tuple=True)
        self.features = torch.cat([batch.features, batch.points[self.event, self.point]])

    def templates(self, memberships: "torch.Tensor", delta: float) -> Templates:
        """Return the templates from the *memberships* of every row in the bins, shape (rows, bins).

        The batch stands for all events: signal and background are scaled to their full yields. Slopes are taken between
        the points, +-*delta*.
        """
        import torch

        batch, nominal, moved = self.batch, *torch.tensor_split(memberships, [len(self.batch.labels)])
        part = torch.stack([(batch.share * (1 - batch.labels)).sum(), (batch.share * batch.labels).sum()])
        if not (part > 0).all():
            raise ValueError(
                f"a batch of {len(batch.labels)} events has no signal or no background, so that it cannot stand for "
                "the experiment; raise batch_size"
            )
        scale = (1 / part)[batch.labels.long()]
        steps = torch.tensor([1.0, -1.0] * (batch.counts.shape[1] // 2), device=scale.device) / (2 * delta)
        counts = batch.counts * scale.unsqueeze(1) * steps
        own = batch.expected * scale
        still = torch.cat([(own * batch.labels).unsqueeze(0), counts.reshape(len(own), -1, 2).sum(dim=2).T])
        slopes = (still.unsqueeze(2) * nominal).flatten(end_dim=1)
        change = (moved - nominal[self.event]) * counts[self.event, self.point].unsqueeze(1)
        slopes = slopes.index_add(0, (1 + self.point // 2) * len(own) + self.event, change)
        return Templates(
            total=own @ nominal,
            variance=(own * batch.expected) @ nominal,
            slopes=slopes.reshape(-1, *nominal.shape),
        )


def uncertainty(
    templates: Templates, free: Sequence[bool], *, mc_statistics: bool = False, unbiased: bool = False
) -> "torch.Tensor":
    """Return the expected standard deviation of the signal strength at 1, all nuisance parameters profiled.

    It is the root of the [mu, mu] element of the inverse Fisher information of the binned Poisson likelihood of Asimov
    data (arXiv:1806.04743, eqs. 10-12), in which every nuisance parameter has a Gaussian constraint of width 1 in z,
    unless it is *free*. With *mc_statistics* every bin has a factor too, constrained by its variance (Barlow and
    Beeston, as simplified by Conway, arXiv:1103.0354): profiling it adds the variance of the simulation to that of the
    data.

    The fluctuations of a batch look like information on the nuisance parameters. With *unbiased* their expected size is
    subtracted (products of slopes leave out those of an event with itself), if the rest is still an information.
    """
    import torch

    total, slopes = templates.total.double(), templates.slopes.sum(dim=1).double()
    variance = total + (templates.variance.double() if mc_statistics else 0) + FLOOR * total.mean()
    constraints = total.new_tensor([0.0, *(UNCONSTRAINED if unconstrained else 1.0 for unconstrained in free)])
    found = (slopes / variance) @ slopes.T + torch.diag(constraints)
    if unbiased:
        scaled = (templates.slopes / variance.sqrt().to(templates.slopes.dtype)).flatten(start_dim=1)
        less = found - (scaled @ scaled.T).double()
        if not torch.linalg.cholesky_ex(less).info:
            found = less
    sigma: torch.Tensor = torch.linalg.inv(found)[0, 0].sqrt()
    return sigma


class InferenceAware(Strategy):
    """A training whose loss is the expected uncertainty of the signal strength, with nuisance parameters profiled."""

    needs_variations: ClassVar[bool] = True
    additive: ClassVar[bool] = False

    delta: Annotated[float, Field(gt=0, le=10)] = Field(
        0.5, description="derivatives are taken between z = -delta and +delta, in units of the prior's deviation"
    )
    free: tuple[Name, ...] = Field((), description="variations without a constraint in the loss; default: none")
    unbiased: bool = Field(True, description="whether the noise of a batch is subtracted from the information")

    @model_validator(mode="after")
    def _check_free(self) -> Self:
        if unknown := [name for name in self.free if name not in self.variations]:
            raise ValueError(f"free: {unknown} are not among the variations of the training, {list(self.variations)}")
        return self

    def points(self) -> np.ndarray:
        """Return z = +delta and -delta of every variation, shape (2 variations, variations)."""
        return points(len(self.variations), self.delta)

    def uncertainty(self, rows: Rows, memberships: "torch.Tensor", *, mc_statistics: bool) -> "torch.Tensor":
        """Return the expected standard deviation of the signal strength from the *memberships* of *rows* in bins."""
        free = [name in self.free for name in self.variations]
        templates = rows.templates(memberships, self.delta)
        return uncertainty(templates, free, mc_statistics=mc_statistics, unbiased=self.unbiased)
