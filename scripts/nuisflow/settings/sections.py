"""What all parts of a configuration are made of: frozen models, and types with limits."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
Column = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Expression = Annotated[str, Field(min_length=1)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(gt=0, le=10**12)]
Relative = Annotated[float, Field(gt=-1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def plain(part: Section) -> dict[str, Any]:
    """Return *part* as a dictionary of JSON types: Snakemake tracks changes of plain values only."""
    return part.model_dump(mode="json")
