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
    and the points of ``toys.displacements``; -2 ln L(mu, z) compares them at the same z and is continuous in z (see
    `grids`). Ghosh, Nachman and Whiteson, arXiv:2105.08742.

    *data_terms*: since the binned data change with z, so do the terms of -2 ln L without parameters, such as ln n!.
    ``kept`` makes -2 ln L relative to the saturated model, which fits best at the true z whatever f. ``dropped``, as
    published, lets the data prefer the z at which f separates best; this is right only where the sharpness of f at
    the true z is the same for all z, by a symmetry, as in the data set gaussian.

    *told*: without it the network has no input for z, as that of `augmentation` or, at width 0, `nominal`; what is left
    is a fit with templates at every z in place of those at +-1 alone, the way ordinary trainings were fitted there.
    """

    strategy: Literal["conditional"] = "conditional"  # type: ignore[assignment]
    width: Annotated[float, Field(ge=0, le=10)] = Field(
        1.5, description="standard deviation of z in training, in units of the prior's"
    )
    data_terms: Literal["kept", "dropped"] = Field(
        "kept", description="terms of -2 ln L that depend on the data alone (dropped: only if f is as sharp at all z)"
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
        return super().ignored() | {"data_terms": "kept"}
