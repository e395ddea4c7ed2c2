"""The kinds of systematic uncertainties: what an entry of the section variations may contain."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag

from nuisflow.likelihood import interpolation
from nuisflow.likelihood.constraints import correlations
from nuisflow.settings.sections import Column, Count, Expression, Name, Number, Positive, Relative, Section


class _Variation(Section):
    label: str | None = Field(None, description="name in figures; default: the name of the variation")
    group: str = Field("other", description="group in the breakdown of the total uncertainty")
    processes: tuple[Name, ...] | None = Field(None, description="processes it acts on; default: all")
    regions: tuple[Name, ...] | None = Field(None, description="regions it acts in; default: all")
    decorrelate: tuple[Literal["process", "region"], ...] = Field(
        (), description="one nuisance parameter for every process, every region, or every pair of them"
    )


class Shift(_Variation):
    """Columns change, and everything derived from them is recomputed."""

    kind: Literal["shift"]
    shift: Name | None = Field(None, description="a shift that the data set offers, e.g. tes of ditau or r of inferno")
    size: Positive | None = Field(None, description="prior standard deviation, for a shift of the data set")
    columns: dict[Column, Expression] | None = Field(
        None, description="new value of each column, over the old columns and z (in prior standard deviations)"
    )
    acceptance: Literal["kept", "renormalised"] = Field(
        "kept", description="renormalised: the yield of every process, summed over regions, stays the nominal one"
    )


class Weight(_Variation):
    """Event weights change by a factor."""

    kind: Literal["weight"]
    factor: Expression | None = Field(None, description="factor on the weight, over columns and z; 1 at z = 0")
    up: Expression | None = Field(None, description="factor at z = +1 (interpolated exponentially), such as sf_up / sf")
    down: Expression | None = Field(None, description="factor at z = -1; default: 1 / up")
    alternatives: tuple[Name, ...] = Field(
        (), description="samples that the weight at z = +1 makes of nominal ones (see two_point, reweight)"
    )
    held_out: tuple[Name, ...] = Field((), description="as for two_point")

    sides: ClassVar[tuple[str, ...]] = ("alternatives", "held_out")


class WeightSet(_Variation):
    """Several weights per event that belong together: PDF replicas or eigenvectors, renormalisation scales."""

    kind: Literal["weight_set"]
    members: tuple[Expression, ...] | str = Field(
        description="the weights, as expressions, or columns that count as in 'pdf_{}', with 'first' and 'number'"
    )
    first: Annotated[int, Field(ge=0)] = Field(1, description="number of the first column of a pattern")
    number: Count | None = Field(None, description="how many columns a pattern stands for")
    central: Expression = Field("1", description="the weight that the members are varied from")
    combine: Literal["replicas", "hessian", "symmetric_hessian", "envelope"] = Field(
        description="replicas: standard deviation; hessian: pairs of eigenvectors up and down, in quadrature on either "
        "side; symmetric_hessian: all in quadrature; envelope: the largest and the smallest, bin by bin"
    )
    keep: bool = Field(False, description="one nuisance parameter per eigenvector instead of their combination")

    @property
    def expressions(self) -> tuple[str, ...]:
        """The factor on the weight of an event of every member."""
        members = self.members
        if isinstance(members, str):
            members = tuple(members.replace("{}", str(self.first + index)) for index in range(self.number or 0))
        return members if self.central == "1" else tuple(f"({member}) / ({self.central})" for member in members)


class TwoPoint(_Variation):
    """Another way of making the same events, such as another generator: alternative samples."""

    kind: Literal["two_point"]
    up: tuple[Name, ...] = Field(min_length=1, description="samples that replace those of their process at z = +1")
    down: tuple[Name, ...] = Field((), description="samples at z = -1; default: up mirrored at nominal")
    held_out: tuple[Name, ...] = Field(
        (), description="a third alternative that neither trainings nor templates see: what if nature is like it?"
    )
    reweight: bool = Field(
        False, description="reweight nominal events to 'up' by a classifier of both: a weight variation, at any z"
    )

    sides: ClassVar[tuple[str, ...]] = ("up", "down", "held_out")


SIZES = ("one number", "up and down")
"""What a size may be: pydantic puts this into the place of an error."""


def _kind_of_size(value: Any) -> str:
    return SIZES[isinstance(value, list | tuple)]


Size = Annotated[
    Annotated[Positive, Tag(SIZES[0])] | Annotated[tuple[Relative, Relative], Tag(SIZES[1])],
    Discriminator(_kind_of_size),
    Field(description="relative uncertainty, or the relative changes up and down, such as [0.05, -0.07]"),
]


class Rate(_Variation):
    """The yield changes by (1 + size)^z: a log-normal uncertainty; of [up, down] by (1 + down)^-z below 0.

    Between -1 and 1 it is the smooth polynomial of sixth order in between, as in workspaces (interpolation code 4).
    """

    kind: Literal["rate"]
    size: Size

    @property
    def sides(self) -> tuple[float, float]:
        """The factors on the yield at z = +1 and -1."""
        if isinstance(self.size, tuple):
            return 1 + self.size[0], 1 + self.size[1]
        return 1 + self.size, 1 / (1 + self.size)

    @property
    def slope(self) -> float:
        """The relative change of the yield per unit of z at z = 0: of a single size, its logarithm."""
        up, down = self.sides
        return float(interpolation.code4(np.array([down, up]))[0])

    def factor(self, z: np.ndarray | float) -> np.ndarray:
        """Return the factor on the yield at *z*, of its shape; infinity where it is beyond all numbers."""
        up, down = self.sides
        return interpolation.factor(interpolation.code4(np.array([down, up])), np.asarray(z, dtype=np.float64))


class FreeRate(_Variation):
    """The yield is a free parameter of the fit, without a constraint."""

    kind: Literal["free_rate"]
    bounds: tuple[Number, Number] = Field((0.0, 10.0), description="range of the factor on the yield")


class Luminosity(_Variation):
    """The integrated luminosity, common to all processes normalised by it: the lumi modifier of HistFactory."""

    kind: Literal["luminosity"]
    size: Positive = Field(description="relative uncertainty, e.g. 0.026")


Variation = Annotated[Shift | Weight | WeightSet | TwoPoint | Rate | FreeRate | Luminosity, Field(discriminator="kind")]


class Correlated(Section):
    """Constraints of nuisance parameters that are not independent: two with a coefficient, or any with a matrix."""

    between: tuple[str, ...] = Field(
        min_length=2, description="variations; of a decorrelated one its parameters, such as jes_ttbar"
    )
    coefficient: Annotated[float, Field(gt=-1, lt=1)] | None = Field(None, description="correlation of the two")
    matrix: tuple[tuple[Number, ...], ...] | None = Field(
        None, description="correlations of all of them, in their order; 1 on the diagonal"
    )

    def pairs(self) -> dict[tuple[str, str], float]:
        """Return the correlation of every pair, in alphabetical order each."""
        names = self.between
        return {
            tuple(sorted((names[i], names[j]))): self.matrix[i][j] if self.matrix else self.coefficient or 0.0  # type: ignore[misc]
            for i in range(len(names))
            for j in range(i)
        }


class Block(Section):
    """Nuisance parameters whose constraints are correlated, as a workspace says it in its extensions."""

    parameters: tuple[str, ...]
    correlation: tuple[tuple[float, ...], ...]


def kept(blocks: Iterable[Block], parameters: Collection[str]) -> list[dict[str, Any]]:
    """Return what of *blocks* is about these *parameters*, as plain values for a likelihood."""
    return correlations.kept((block.model_dump() for block in blocks), parameters)
