"""What a workspace says beyond pyhf's: interpolation codes, other constraints of parameters, and their correlations.

It stands under ``extensions`` in a workspace, which pyhf then refuses: the likelihood would not be the same.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.constraints import correlations
from nuisflow.likelihood.constraints.correlations import Correlation
from nuisflow.likelihood.constraints.parameters import Parameter, constrained
from nuisflow.likelihood.constraints.written import entry, items, number

if TYPE_CHECKING:
    from nuisflow.likelihood.histfactory import Cell, Structure

KEY = "extensions"
_PARTS = ("interpolation", "constraints", "correlations", "groups")
_CODES = {"normsys": "code4", "histosys": "code4p"}


class Extended(NamedTuple):
    """What stands under ``extensions``, but for constraints, which are in the parameters."""

    normsys: str = _CODES["normsys"]
    histosys: str = _CODES["histosys"]
    correlations: tuple[Correlation, ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def among(self, names: Collection[str]) -> tuple[Correlation, ...]:
        """Return the correlations of these *names*, whatever the others are."""
        return tuple(block for block in (row.of(names) for row in self.correlations) if block)


def read(written: Any, parameters: Sequence[Parameter]) -> tuple[tuple[Parameter, ...], Extended]:
    """Return the parameters with the constraints, and the rest, of what a workspace has under ``extensions``."""
    found = entry(written, _PARTS, KEY)
    rows = {row.name: row for row in parameters}
    codes = entry(found.get("interpolation", {}), tuple(_CODES), f"{KEY}: interpolation")
    for name, constraint in entry(found.get("constraints", {}), tuple(rows), f"{KEY}: constraints").items():
        rows[name] = constrained(rows[name], constraint, f"{KEY}: constraints: {name}")
    blocks = correlations.read(found.get("correlations", []), rows, f"{KEY}: correlations")
    groups = {str(name): tuple(map(str, items(members, f"{KEY}: groups: {name}")))
              for name, members in entry(found.get("groups", {}), None, f"{KEY}: groups").items()}  # fmt: skip
    return tuple(rows.values()), Extended(**(_CODES | codes), correlations=blocks, groups=tuple(groups.items()))


def coefficients(numbers: npt.NDArray[np.float64], place: str) -> npt.NDArray[np.float64]:
    """Return the coefficients c0, c1, ... of a polynomial modifier (data), checked."""
    if len(numbers) > 7:
        raise ValueError(f"{place}: {len(numbers)} coefficients; at most 7 (up to the sixth power)")
    return numbers


class Terms(NamedTuple):
    """A polynomial in several *parameters*: the sum of *coefficients* times their *powers* (terms, parameters)."""

    parameters: tuple[str, ...]
    powers: tuple[tuple[int, ...], ...]
    coefficients: tuple[float, ...]


def terms(written: Any, place: str) -> Terms:
    """Return a polynomial in several parameters (the data of a polynomial modifier), checked."""
    found = entry(written, ("parameters", "terms"), place)
    names = tuple(map(str, items(found.get("parameters"), f"{place}: parameters")))
    if len(names) < 1 or len(set(names)) != len(names):
        raise ValueError(f"{place}: parameters: names are needed, each once, not {list(names)!r}")
    powers, numbers = [], []
    for index, row in enumerate(items(found.get("terms"), f"{place}: terms")):
        at = f"{place}: terms[{index}]"
        term = entry(row, ("powers", "coefficient"), at)
        chosen = tuple(items(term.get("powers"), f"{at}: powers"))
        if len(chosen) != len(names) or any(type(power) is not int or not 0 <= power <= 6 for power in chosen):
            raise ValueError(f"{at}: powers: {len(names)} whole numbers from 0 to 6 are needed, not {list(chosen)!r}")
        if chosen in powers:
            raise ValueError(f"{at}: powers: {list(chosen)!r} stand twice; add their coefficients")
        powers.append(chosen)
        numbers.append(number(term.get("coefficient"), f"{at}: coefficient"))
    if not any(numbers):
        raise ValueError(f"{place}: terms: at least one coefficient must not be 0")
    return Terms(names, tuple(powers), tuple(numbers))


def split(structure: "Structure") -> "Structure":
    """Return *structure* with every sample that a polynomial in several parameters scales as one sample per term.

    A term is a product of powers, as the plan has them; its samples have the channel and the name of the whole.
    """
    return structure._replace(cells=tuple(piece for cell in structure.cells for piece in _pieces(cell)))


def _pieces(cell: "Cell") -> list["Cell"]:
    """Return the terms of one sample in one channel; itself, if nothing of the kind scales it."""
    found = next((data for data in cell.modifiers.values() if isinstance(data, Terms)), None)
    if found is None:
        return [cell]
    if any(kind == "mcstat" for kind, _ in cell.modifiers):
        raise ValueError(f"channel {cell.channel}, sample {cell.sample}: mcstat and a polynomial in several parameters "
                         f"cannot act on one sample; use staterror")  # fmt: skip
    rest, pieces = {key: data for key, data in cell.modifiers.items() if data is not found}, list["Cell"]()
    for powers, coefficient in zip(found.powers, found.coefficients, strict=True):
        if coefficient == 0.0:
            continue
        own: dict[tuple[str, str], Any] = {
            (kind, name): tuple(coefficient * side for side in data) if kind == "histosys" else data
            for (kind, name), data in rest.items()
        }
        for name, power in zip(found.parameters, powers, strict=True):
            if power:
                own["polynomial", name] = np.eye(power + 1)[power]
        pieces += _pieces(cell._replace(nominal=coefficient * cell.nominal, modifiers=own))
    return pieces
