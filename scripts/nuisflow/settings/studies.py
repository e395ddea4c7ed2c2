"""How much is enough: the sizes for which an analysis is repeated with a part of its events."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nuisflow.settings.sections import Section

WHOLE = "1"
"""The size of the ordinary run, which every study has."""


def text(size: float) -> str:
    """Return *size* as in names of folders and in tables."""
    return f"{size:.6g}"


def _distinct(sizes: tuple[float, ...]) -> tuple[float, ...]:
    """Return *sizes* in order; raise `ValueError` if one stands twice, or none is below 1."""
    if twice := sorted({size for size in sizes if [text(other) for other in sizes].count(text(size)) > 1}):
        raise ValueError(f"{text(twice[0])} stands twice; list every size once")
    if sizes and min(sizes) == 1:
        raise ValueError("only the size 1, which is the ordinary run; add smaller ones, such as 0.3")
    return tuple(sorted(sizes))


Share = Annotated[float, Field(ge=0.0001, le=1, allow_inf_nan=False)]
Sizes = Annotated[tuple[Share, ...], AfterValidator(_distinct)]


class Studies(Section):
    """Repeat trainings, templates and fits with a part of the events; parts are random, and smaller ones in larger."""

    training_events: Sizes = Field(
        (), description="parts of the simulated events that classifiers learn of; all else has all: [0.1, 0.3, 1]"
    )
    simulated_events: Sizes = Field(
        (), description="parts of the simulated events that there are, for trainings and all behind them: [0.3, 1]"
    )

    def sizes(self, study: str) -> list[str]:
        """Return the sizes of *study* below 1, as in names of folders."""
        return [text(size) for size in getattr(self, study) if text(size) != WHOLE]

    @property
    def asked(self) -> list[str]:
        """The names of the studies that are asked for."""
        return [name for name in type(self).model_fields if self.sizes(name)]
