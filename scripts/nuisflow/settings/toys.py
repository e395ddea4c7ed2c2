"""The models of `toys`: where pseudo-experiments check the intervals."""

from typing import Annotated

from pydantic import Field

from nuisflow.settings.sections import Count, Fraction, Name, Number, Positive, Section


class Bootstrap(Section):
    """Pseudo-experiments made of reserved events at random true values of everything (arXiv:2410.02867)."""

    sets: Count = Field(10, description="sets of pseudo-experiments, each with one true value of the signal strength")
    number: Count = Field(100, description="pseudo-experiments per set")
    mu: tuple[Annotated[float, Field(ge=0)], Positive] = Field(
        (0.1, 3.0), description="range of the true signal strength: that of a set is drawn uniformly"
    )
    share: Fraction = Field(
        0.3,
        description="part of the rows of every simulated sample, at random, for these pseudo-experiments alone",
    )


class Map(Section):
    """Pseudo-experiments at random true points: the signal strength uniform, nuisance parameters from their priors."""

    number: Count = Field(100_000, description="true points, one pseudo-experiment each")
    mu: tuple[Number, Number] | None = Field(
        None,
        description="range of the true signal strength; default: three expected standard deviations around nominal",
    )


class Toys(Section):
    """Pseudo-experiments that check the coverage of the intervals."""

    number: Count = Field(10_000, description="pseudo-experiments per training and true value")
    truths: tuple[Number, ...] = Field((1.0,), min_length=1, description="true values of the signal strength")
    displacements: dict[Name, Number] = Field(
        {"down": -1.0, "up": 1.0},
        description="named true values of every nuisance parameter with a prior, one parameter at a time, "
        "in prior standard deviations; {} for none",
    )
    displaced_number: Count = Field(1_000, description="pseudo-experiments per training and displaced shift or weight")
    bootstrap: Bootstrap | None = Field(
        None, description="pseudo-experiments of reserved events at random true values; default: none"
    )
    map: Map | None = Field(
        None, description="pseudo-experiments of the model at random true points, one each; default: none"
    )
