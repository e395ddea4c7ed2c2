"""How an observable is binned: of a region, of all scores, or of a strategy with bins of its own."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
KEYS = {"quantile": ("number",), "uniform": ("number", "low", "high"), "edges": ("edges",)}
"""The keys that each rule uses."""


class Binning(BaseModel):
    """How a region's observable is binned; the same rule for every training."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    rule: Literal["quantile", "uniform", "edges"] = Field(
        "quantile",
        description="quantile: equal shares of the mixture of signal and background, each normalised to 1",
    )
    number: Annotated[int, Field(gt=0, le=1000)] = Field(15, description="number of bins")
    low: Number = Field(0.0, description="lower edge (uniform)")
    high: Number = Field(1.0, description="upper edge (uniform)")
    edges: tuple[Number, ...] = Field((), description="the edges themselves (edges)")
    minimum_events: Annotated[float, Field(ge=0)] = Field(
        10.0, description="bins with fewer effective background events, (sum w)^2 / sum w^2, join their neighbour"
    )

    @property
    def reach(self) -> tuple[float, float]:
        """The lowest and the highest edge that are given."""
        return (self.edges[0], self.edges[-1]) if self.rule == "edges" else (self.low, self.high)

    def unused(self, *further: str) -> Iterator[str]:
        """Yield which keys are given that the rule does not use, but for *further* ones; defaults may stand."""
        for key in ("number", "low", "high", "edges"):
            given = getattr(self, key) != type(self).model_fields[key].default
            if given and key not in (*KEYS[self.rule], *further):
                other = next(rule for rule, keys in reversed(KEYS.items()) if key in keys)
                yield f"{key}: is not used by 'rule: {self.rule}'; write 'rule: {other}', or leave {key!r} out"
