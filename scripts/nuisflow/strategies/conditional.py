"""A classifier that is told the nuisance parameter, applied again at every hypothesised value of it."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from nuisflow.strategies.parametrised import Parametrised

if TYPE_CHECKING:
    import torch

    from nuisflow.strategies.networks import Architecture
    from nuisflow.strategies.strategy import Networks


class Conditional(Parametrised):
    """The uncertainty-aware classifier f(x, z): in the fit, all events are scored at every hypothesised z.

    Trained as `parametrised`. Simulation and data are scored and binned at a grid of z of its one variation, nominal
    and the points of ``toys.displacements``; -2 ln L(mu, z) has templates at every z for the score at the one nearest
    to the best fit of the data. Ghosh, Nachman and Whiteson, arXiv:2105.08742.

    *rebinned*: as published, data are binned anew at every z. Then they are not one set of data: z where f separates
    best is preferred, and how events happen to move between bins looks like knowledge of z, so that intervals are too
    narrow. This is right only where the sharpness of f at the true z is the same for all z, by a symmetry of the
    space of features that leaves its volume as it is, as in the data set gaussian.

    *told*: without it the network has no input for z, as that of `augmentation` or, at width 0, `nominal`; what is left
    is a fit with templates at every z in place of those at +-1 alone, the way ordinary trainings were fitted there.
    """

    strategy: Literal["conditional"] = "conditional"  # type: ignore[assignment]
    width: Annotated[float, Field(ge=0, le=10)] = Field(
        1.5, description="standard deviation of z in training, in units of the prior's"
    )
    rebinned: bool = Field(
        False, description="whether data are binned anew at every z of the fit, as published; right by a symmetry only"
    )
    told: bool = Field(
        True, description="whether the network is told z; false: an ordinary one (width 0: nominal), fitted in this way"
    )

    @model_validator(mode="after")
    def _check_conditional(self) -> Self:
        if len(self.variations) != 1:
            raise ValueError(
                f"variations: the strategy 'conditional' is scored at every z of exactly one, not of "
                f"{len(self.variations)}; choose the one that matters most, and 'parametrised' for several"
            )
        if self.at or self.scan:
            raise ValueError("at, scan: the strategy 'conditional' scores at every z; use 'parametrised' for these")
        return self

    def _uncalibrated(self) -> str:
        """Return why its score cannot be calibrated."""
        return "is another one at every hypothesised z, where one regression would be wrong"

    def networks(self, architecture: "Architecture") -> "Networks":
        """Return a classifier, with an input for z if it is told."""
        return super().networks(architecture) if self.told else {"classifier": architecture.network("classifier")}

    def output(self, networks: "Networks", features: "torch.Tensor", z: "torch.Tensor") -> "torch.Tensor":
        """Return the logit of every event, at its *z* if the network is told."""
        if self.told:
            return super().output(networks, features, z)
        logits: torch.Tensor = networks["classifier"](features)
        return logits.squeeze(1)

    def ignored(self) -> dict[str, Any]:
        """Return the options that training does not depend on: one is of the fit."""
        return super().ignored() | {"rebinned": False}
