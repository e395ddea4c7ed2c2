"""What a reviewer asks beside the measurement: what is dear is decided here."""

from typing import Annotated

from pydantic import Field

from nuisflow.settings.sections import Count, Section


class Review(Section):
    """What a reviewer asks beside the measurement, as far as it is dear."""

    permuted_events: Annotated[int, Field(ge=0)] = Field(
        0,
        description="simulated events, about, whose features are permuted to find what that does to sigma(mu); "
        "60000 is enough for most, 0 for none",
    )
    permuted_seeds: Count = Field(1, description="seeds of every training for which that is found, from the first")
