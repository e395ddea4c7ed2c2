"""A network that was trained at the true values of the nuisance parameters."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from nuisflow.strategies.strategy import Name, Strategy

if TYPE_CHECKING:
    import numpy as np


class Clairvoyant(Strategy):
    """The nominal network and loss on events at one fixed z, the true one: a reference that no analysis has.

    Called so in arXiv:2105.08742, section 2. Evaluated at this z it is what any training could reach there at best,
    evaluated elsewhere it shows what a training on the wrong simulation costs. Variations that are not in *at* stay at
    0, and where all do, this is the nominal training. The AUC in the history is of nominal events.
    """

    needs_variations: ClassVar[bool] = True

    strategy: Literal["clairvoyant"] = "clairvoyant"
    at: dict[Name, Annotated[float, Field(ge=-10, le=10)]] = Field(
        min_length=1, description="true value of each of its variations, in prior standard deviations; others are at 0"
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.at:
            if name not in self.variations:
                raise ValueError(
                    f"at.{name}: not among the variations of this training ({', '.join(self.variations) or 'none'}); "
                    "add it to 'variations' or remove it from 'at'"
                )
        return self

    def draw(self, generator: "np.random.Generator", size: int) -> "np.ndarray | None":  # noqa: ARG002
        """Return the same z for all events; None if it is 0."""
        import numpy as np

        z = [self.at.get(name, 0.0) for name in self.variations]
        return np.tile(z, (size, 1)) if any(z) else None
