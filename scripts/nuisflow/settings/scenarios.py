"""Expected results with some nuisance parameters only, and published values of these."""

from pydantic import Field

from nuisflow.settings.sections import Name, Section


class Scenario(Section):
    """Which nuisance parameters float beside the parameter of interest; all others are fixed at nominal."""

    free: tuple[Name, ...] = Field((), description="variations without their prior")
    constrained: tuple[Name, ...] = Field((), description="variations with their prior")


class Published(Section):
    """Published values of the expected uncertainty in every scenario, shown beside ours."""

    table: str = Field(description="CSV file with the columns training, one per scenario, and source")
    in_events: bool = Field(False, description="whether they are uncertainties of the signal events, not of the POI")
