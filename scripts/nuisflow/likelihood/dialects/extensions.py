"""What a workspace says beyond pyhf's: interpolation codes, other constraints of parameters, and their correlations.

It stands under ``extensions`` in a workspace, which pyhf then refuses: the likelihood would not be the same.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nuisflow.names import suggest

if TYPE_CHECKING:
    from nuisflow.likelihood.histfactory import Cell, Parameter, Structure

KEY = "extensions"
_PARTS = ("interpolation", "constraints", "correlations", "groups")
_CONSTRAINTS = {"none": (), "normal": ("auxdata", "sigma"), "poisson": ("auxdata", "factor")}
_CODES = {"normsys": "code4", "histosys": "code4p"}


class Correlation(NamedTuple):
    """Parameters whose constraints are correlated, with the correlation matrix."""

    parameters: tuple[str, ...]
    matrix: npt.NDArray[np.float64]

    def of(self, names: Collection[str]) -> "Correlation | None":
        """Return what is left of the block for these *names*, whatever the others are; None for less than two."""
        at = [index for index, name in enumerate(self.parameters) if name in names]
        if len(at) < 2:
            return None
        return Correlation(tuple(self.parameters[i] for i in at), self.matrix[np.ix_(at, at)])


class Extended(NamedTuple):
    """What stands under ``extensions``, but for constraints, which are in the parameters."""

    normsys: str = _CODES["normsys"]
    histosys: str = _CODES["histosys"]
    correlations: tuple[Correlation, ...] = ()
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def among(self, names: Collection[str]) -> tuple[Correlation, ...]:
        """Return the correlations of these *names*, whatever the others are."""
        return tuple(block for block in (row.of(names) for row in self.correlations) if block)


def read(written: Any, parameters: Sequence["Parameter"]) -> tuple[tuple["Parameter", ...], Extended]:
    """Return the parameters with the constraints, and the rest, of what a workspace has under ``extensions``."""
    found = _entry(written, _PARTS, KEY)
    rows = {row.name: row for row in parameters}
    codes = _entry(found.get("interpolation", {}), tuple(_CODES), f"{KEY}: interpolation")
    for name, constraint in _entry(found.get("constraints", {}), tuple(rows), f"{KEY}: constraints").items():
        rows[name] = _constrained(rows[name], constraint)
    blocks: list[Correlation] = []
    for number, block in enumerate(_list(found.get("correlations", []), f"{KEY}: correlations")):
        blocks.append(_correlation(block, rows, f"{KEY}: correlations[{number}]"))
    named = [name for block in blocks for name in block.parameters]
    for name in named:
        if named.count(name) > 1:
            raise ValueError(f"{KEY}: correlations: {name} is named twice; one matrix has all its correlations")
    groups = {str(name): tuple(map(str, _list(members, f"{KEY}: groups: {name}")))
              for name, members in _entry(found.get("groups", {}), None, f"{KEY}: groups").items()}  # fmt: skip
    return tuple(rows.values()), Extended(**(_CODES | codes), correlations=tuple(blocks), groups=tuple(groups.items()))


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
    found = _entry(written, ("parameters", "terms"), place)
    names = tuple(map(str, _list(found.get("parameters"), f"{place}: parameters")))
    if len(names) < 1 or len(set(names)) != len(names):
        raise ValueError(f"{place}: parameters: names are needed, each once, not {list(names)!r}")
    powers, numbers = [], []
    for number, row in enumerate(_list(found.get("terms"), f"{place}: terms")):
        at = f"{place}: terms[{number}]"
        term = _entry(row, ("powers", "coefficient"), at)
        chosen = tuple(_list(term.get("powers"), f"{at}: powers"))
        if len(chosen) != len(names) or any(type(power) is not int or not 0 <= power <= 6 for power in chosen):
            raise ValueError(f"{at}: powers: {len(names)} whole numbers from 0 to 6 are needed, not {list(chosen)!r}")
        if chosen in powers:
            raise ValueError(f"{at}: powers: {list(chosen)!r} stand twice; add their coefficients")
        powers.append(chosen)
        numbers.append(_number(term.get("coefficient"), f"{at}: coefficient"))
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


def _entry(written: Any, known: Sequence[str] | None, place: str) -> dict[str, Any]:
    """Return an object, whose keys must be known (None: any are)."""
    if not isinstance(written, Mapping):
        raise ValueError(f"{place}: expected an object, not {written!r}")
    for key in written:
        if known is not None and key not in known:
            raise ValueError(f"{place}: no {key!r}; {suggest(str(key), known)}")
    return dict(written)


def _list(written: Any, place: str) -> Sequence[Any]:
    if not isinstance(written, (list, tuple)):
        raise ValueError(f"{place}: expected a list, not {written!r}")
    return written


def _number(written: Any, place: str) -> float:
    if isinstance(written, bool) or not isinstance(written, (int, float)) or not np.isfinite(written):
        raise ValueError(f"{place}: expected a finite number, not {written!r}")
    return float(written)


def _constrained(row: "Parameter", written: Any) -> "Parameter":
    """Return a parameter with another constraint."""
    place = f"{KEY}: constraints: {row.name}"
    kind = written.get("type") if isinstance(written, Mapping) else None
    if kind not in _CONSTRAINTS:
        raise ValueError(f"{place}: 'type' must be one of {', '.join(_CONSTRAINTS)}, not {kind!r}")
    names = _CONSTRAINTS[kind]
    numbers = {name: _number(written.get(name), f"{place}: {name!r}") for name in names}
    _entry(written, ("type", *names), place)
    if kind == "none":
        return row._replace(constraint="none", width=float("inf"), auxiliary=float("nan"))
    auxiliary, width = numbers.values()
    if not width > 0.0 or (kind == "poisson" and auxiliary < 0.0):
        raise ValueError(f"{place}: {names[1]!r} must be positive, and 'auxdata' of a poisson not negative")
    return row._replace(constraint=kind, width=width, auxiliary=auxiliary)


def _correlation(written: Any, rows: dict[str, "Parameter"], place: str) -> Correlation:
    """Return a block of correlated parameters; a covariance gives them their widths, too."""
    matrices = ("correlation", "covariance")
    found = _entry(written, ("parameters", *matrices), place)
    names = tuple(map(str, _list(found.get("parameters"), f"{place}: parameters")))
    for name in names:
        if name not in rows:
            raise ValueError(f"{place}: no parameter {name!r}; {suggest(name, sorted(rows))}")
        if rows[name].constraint != "normal" or rows[name].kind in ("staterror", "mcstat"):
            raise ValueError(f"{place}: {name} must have a normal constraint and not belong to a single bin")
    given = [key for key in matrices if key in found]
    if len(given) != 1:
        raise ValueError(f"{place}: give either 'correlation' or 'covariance'")
    table = [_list(row, f"{place}: {given[0]}") for row in _list(found[given[0]], f"{place}: {given[0]}")]
    if len(table) != len(names) or any(len(row) != len(names) for row in table):
        raise ValueError(f"{place}: {given[0]}: {len(names)} rows of {len(names)} numbers are needed")
    matrix = np.array([[_number(value, f"{place}: {given[0]}") for value in row] for row in table])
    matrix = matrix.reshape(len(names), len(names))
    sizes = np.sqrt(np.maximum(np.diagonal(matrix), 0.0)) if given[0] == "covariance" else np.ones(len(names))
    _check(matrix, sizes, names, f"{place}: {given[0]}")
    for name, size in zip(names, sizes, strict=True) if given[0] == "covariance" else ():
        rows[name] = rows[name]._replace(width=float(size))
    return Correlation(names, matrix / np.outer(sizes, sizes))


def _check(matrix: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64], names: Sequence[str], place: str) -> None:
    """Refuse what is no covariance, naming the parameters that make it none."""
    apart = np.argwhere(np.abs(matrix - matrix.T) > 1e-9 * np.abs(matrix).max(initial=1e-300))
    if len(apart):
        one, other = (names[i] for i in apart[0])
        raise ValueError(f"{place}: not symmetric: {one} with {other} is not {other} with {one}")
    if (np.diagonal(matrix) <= 0.0).any() or (np.abs(np.diagonal(matrix) / sizes**2 - 1.0) > 1e-9).any():
        wrong = names[int(np.argmax(np.abs(np.diagonal(matrix) / np.maximum(sizes, 1e-300) ** 2 - 1.0)))]
        raise ValueError(f"{place}: the diagonal entry of {wrong} must be {'1' if (sizes == 1).all() else 'positive'}")
    values, vectors = np.linalg.eigh(matrix / np.outer(sizes, sizes))
    if len(values) and values[0] < 1e-10:
        parts = sorted(zip(np.abs(vectors[:, 0]), names, strict=True), reverse=True)
        raise ValueError(f"{place}: not positive definite (smallest eigenvalue {values[0]:.3g}, mostly of "
                         f"{' and '.join(name for _, name in parts[:2])}); lower these correlations")  # fmt: skip


def blocks(written: Iterable[Mapping[str, Any]]) -> tuple[Correlation, ...]:
    """Return blocks that were checked before they were written, as plain values."""
    return tuple(Correlation(tuple(row["parameters"]), np.array(row["correlation"])) for row in written)


def kept(written: Iterable[Mapping[str, Any]], names: Collection[str]) -> list[dict[str, Any]]:
    """Return what is left of *written* blocks for these *names*, as plain values."""
    found = (block.of(names) for block in blocks(written))
    return [{"parameters": list(block.parameters), "correlation": block.matrix.tolist()} for block in found if block]


def matrix(blocks: Sequence[Correlation], names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the correlation matrix of all parameters with these *names*."""
    found = np.eye(len(names))
    for block in blocks:
        at = [names.index(name) for name in block.parameters]
        found[np.ix_(at, at)] = block.matrix
    return found


def correlate(blocks: Sequence[Correlation], names: Sequence[str], noise: npt.NDArray[np.float64],
              ) -> npt.NDArray[np.float64]:  # fmt: skip
    """Return standard normal *noise* (..., constrained parameters of these *names*) with the correlations.

    The root of the matrix is the symmetric one, so that each direction still belongs to one parameter most of all.
    """
    if not blocks:
        return noise
    result = noise.copy()
    for block in blocks:
        at = [names.index(name) for name in block.parameters]
        values, vectors = np.linalg.eigh(block.matrix)
        result[..., at] = noise[..., at] @ (vectors * np.sqrt(values)) @ vectors.T
    return result
