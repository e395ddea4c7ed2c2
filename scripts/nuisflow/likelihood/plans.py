"""Lay a HistFactory workspace out as flat arrays for compiled code."""

import itertools
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np

from nuisflow.likelihood import interpolation
from nuisflow.likelihood.constraints.parameters import CONSTRAINTS
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers, Structure

# Interpolation codes: pyhf's, and that of Combine's asymmetric log-normals (ProcessNormalization, AsymPow).
CODES = {"normsys": ("code1", "code4", "combine"), "histosys": ("code0", "code2", "code4p")}
# Of norms: the parameter itself, exponential, a polynomial of it, code 4, Combine's; of shapes: codes 0, 2 and 4p.
LINEAR, EXPONENTIAL, QUADRATIC, SCALING, POLYNOMIAL, SMOOTH = range(6)
_ORDERS = {"code0": LINEAR, "code1": EXPONENTIAL, "code2": QUADRATIC, "code4": POLYNOMIAL, "code4p": POLYNOMIAL,
           "combine": SMOOTH}  # fmt: skip
# Columns of Plan.cells (the pointers as in CSR matrices, with a last row), norms, ...; rows of Plan.parameters.
FIRST, LAST, START, LOCAL, NORMS, SHAPES, SLOTS = range(7)
OWNER, CODE, AT = 0, 1, 1
FULL, KIND, MIXED, ADDED = 0, 1, 2, 3
FROM, TO, SHAPE, CORNER = 2, 3, 4, 5
LOWER, UPPER, WIDTH = 0, 1, 2


class Plan(NamedTuple):
    """A workspace as few flat arrays (each costs compile time), their columns named by the constants above.

    A cell is a sample in a channel. In each bin at most one parameter is "local" (acts on this bin alone, is profiled
    in closed form); all others are "dense", and OWNER and *owners* count only these. FULL counts all parameters. The
    rates have a CORNER at 0 of a dense parameter where codes 0 and 1 have another slope above it than below.
    Where it is ADDED it multiplies the root of the summed *spreads* (squared errors of the cells, bin by bin; else
    empty) times squared norms. *pairs* of dense parameters have correlated constraints: *couplings* are the entries of
    the inverse covariance, and last what -ln L gains in its normalisation.
    """

    cells: Integers
    nominal: Floats
    norms: Integers
    coefficients: Floats
    shapes: Integers
    templates: Floats
    slots: Integers
    owners: Integers
    dense: Integers
    local: Integers
    parameters: Floats
    spreads: Floats
    pairs: Integers
    couplings: Floats


_LOCAL = ("mcstat", "staterror", "shapesys", "shapefactor")
_NORMS = ("lumi", "normfactor", "normsys", "polynomial")


def build(structure: Structure, normsys: str | None = None, histosys: str | None = None) -> Plan:
    """Return the plan of a workspace, with these interpolation codes (default: the workspace's, else code4, code4p)."""
    normsys, histosys = normsys or structure.extended.normsys, histosys or structure.extended.histosys
    for kind, code in (("normsys", normsys), ("histosys", histosys)):
        if code not in CODES[kind]:
            raise ValueError(f"{kind}: no interpolation code {code!r}; choose one of {', '.join(CODES[kind])}")
    index = _bin_parameters(structure)
    local, names = _locals(structure, index)
    parameters = structure.parameters
    dense = np.setdiff1d(np.arange(len(parameters)), local)
    position = np.full(len(parameters), -1)
    position[dense] = np.arange(len(dense))
    kinds = np.array([CONSTRAINTS.index(row.constraint) for row in parameters])
    lower = np.array([row.lower for row in parameters])
    added = {channel for channel, (kind, _) in names.items() if kind == "mcstat"}
    under = [cell.channel not in added and names.get(cell.channel) in cell.modifiers for cell in structure.cells]
    mixed = _mixed(structure, names, local, lower)
    bins = [(cell.channel in added, cell.first, cell.last) for cell in structure.cells]
    add = np.zeros(len(local), dtype=np.bool_)
    for some, begin, end in bins:
        add[begin:end] |= some
    widths, pairs, couplings = _correlated(structure, position)
    starts = np.cumsum([0] + [len(cell.nominal) for cell in structure.cells])
    norm_pointer, norms, coefficients = _norms(structure, position, normsys)
    shape_pointer, shapes, templates = _shapes(structure, position)
    slot_pointer, slots, owners = _slots(structure, position, index, names)
    first, last = _ranges(structure, position, index, len(dense))
    shape = np.full(len(dense), _ORDERS[histosys])
    corner = _corners(norms, coefficients, shapes, templates, shape)
    edges = [[*column, 0] for column in zip(*((cell.first, cell.last) for cell in structure.cells), strict=True)]
    return Plan(
        _table(*edges, starts, [*under, 0], norm_pointer, shape_pointer, slot_pointer),
        np.concatenate([cell.nominal for cell in structure.cells]), norms, coefficients, shapes, templates, slots,
        owners, _table(dense, kinds[dense], first, last, shape, corner),
        _table(local, np.where(local >= 0, kinds[local], -1), mixed | add, add),
        np.array([lower, [row.upper for row in parameters], widths]), _spreads(structure, added), pairs, couplings,
    )  # fmt: skip


def _spreads(structure: Structure, added: Collection[str]) -> Floats:
    """Return the squared errors of all cells, bin by bin; nothing if no channel has an mcstat modifier."""
    if not added:
        return np.zeros(0)
    rows = []
    for cell in structure.cells:
        errors = [data for (kind, _), data in cell.modifiers.items() if kind == "mcstat"]
        rows.append(errors[0] ** 2 if errors else np.zeros(len(cell.nominal)))
    return np.concatenate(rows)


def _correlated(structure: Structure, position: Integers) -> tuple[Floats, Integers, Floats]:
    """Return all widths (of correlated constraints: the others held), the pairs and their couplings, see Plan."""
    widths = np.array([row.width for row in structure.parameters])
    names = [row.name for row in structure.parameters]
    pairs, couplings, offset = [], [], 0.0
    for block in structure.extended.correlations:
        at = [names.index(name) for name in block.parameters]
        sizes = widths[at]
        inverse = np.linalg.inv(block.matrix) / np.outer(sizes, sizes)
        widths[at] = 1.0 / np.sqrt(np.diagonal(inverse))
        offset += 0.5 * np.linalg.slogdet(block.matrix)[1] + np.log(sizes / widths[at]).sum()
        for i, j in itertools.combinations(range(len(at)), 2):
            pairs.append(sorted((position[at[i]], position[at[j]]), reverse=True))
            couplings.append(inverse[i, j])
    return widths, np.array(pairs, dtype=np.int64).reshape(-1, 2), np.array([*couplings, offset])


def simple(plan: Plan) -> bool:
    """Tell whether every local parameter scales all of its bin and no other parameter acts on single bins."""
    kinds = plan.local[:, KIND]
    return not (plan.slots.size or plan.local[:, MIXED].any() or (kinds == CONSTRAINTS.index("none")).any())


def _table(*columns: Iterable[int] | Integers) -> Integers:
    """Return these columns side by side."""
    return np.ascontiguousarray(np.array([_integers(column) for column in columns]).T)


def _integers(values: Iterable[int] | Integers) -> Integers:
    return np.array(list(values), dtype=np.int64)


def _bin_parameters(structure: Structure) -> dict[tuple[str, str, str], Integers]:
    """Return, for (type, name, channel) of every modifier with a parameter per bin, the parameters of the bins."""
    first = _groups(structure)
    used: dict[str, int] = {}
    index = {}
    for kind in _LOCAL:
        for cell in structure.cells:
            for type_, name in cell.modifiers:
                if type_ == kind and (kind, name, cell.channel) not in index:
                    begin = used.get(name, 0) if kind == "staterror" else 0
                    index[kind, name, cell.channel] = first[name] + begin + np.arange(len(cell.nominal))
                    used[name] = begin + len(cell.nominal)
    return index


def _locals(structure: Structure, index: dict[tuple[str, str, str], Integers],
            ) -> tuple[Integers, dict[str, tuple[str, str]]]:  # fmt: skip
    """Choose the modifier of each channel whose parameters are profiled: the one that scales the most samples."""
    local, names = np.full(len(structure.observed), -1), {}
    for channel, first, last in structure.channels:
        counts: dict[tuple[str, str], int] = {}
        for cell in structure.cells:
            for modifier in cell.modifiers if cell.channel == channel else ():
                counts[modifier] = counts.get(modifier, 0) + 1
        shared = {name for kind, name, other in index if kind == "shapefactor" and other != channel}
        good = [row for row in counts if row[0] in _LOCAL and not (row[0] == "shapefactor" and row[1] in shared)]
        if good:
            best = min(good, key=lambda row: (_LOCAL.index(row[0]), -counts[row], row[1]))
            names[channel] = best
            local[first:last] = index[(*best, channel)]
    return local, names


def _mixed(structure: Structure, names: dict[str, tuple[str, str]], local: Integers, lower: Floats) -> Booleans:
    """Tell the bins of channels where some sample is not scaled by the local parameter, or it may be 0."""
    mixed = np.zeros(len(structure.observed), dtype=np.bool_)
    for cell in structure.cells:
        if cell.channel in names:
            everywhere = names[cell.channel] in cell.modifiers
            positive = bool((lower[local[cell.first : cell.last]] > 0).all())
            mixed[cell.first : cell.last] |= not (everywhere and positive)
    return mixed


def _groups(structure: Structure) -> dict[str, int]:
    """Return the first parameter of every modifier."""
    first: dict[str, int] = {}
    for number, row in enumerate(structure.parameters):
        first.setdefault(row.group, number)
    return first


def _norms(structure: Structure, position: Integers, code: str) -> tuple[Integers, Integers, Floats]:
    pointer, rows, groups = [0], [], _groups(structure)
    for cell in structure.cells:
        entries = []
        for (kind, name), data in cell.modifiers.items():
            if kind in _NORMS:
                order = _ORDERS[code] if kind == "normsys" else SCALING if kind == "polynomial" else LINEAR
                row = (
                    interpolation.code4(data)
                    if kind != "polynomial"
                    else np.array([*data[1:], *[0.0] * (7 - len(data)), data[0], 0.0])
                )
                entries.append((int(position[groups[name]]), order, row))
        owners = [entry[0] for entry in entries]
        for kind, name in cell.modifiers:
            if kind == "polynomial" and owners.count(int(position[groups[name]])) > 1:
                raise ValueError(f"channel {cell.channel}, sample {cell.sample}: {name} is a polynomial and a "
                                 f"normfactor; write one polynomial")  # fmt: skip
        rows += sorted(entries, key=lambda entry: entry[0])
        pointer.append(len(rows))
    coefficients = np.array([row[2] for row in rows]) if rows else np.zeros((0, 8))
    table = _table([row[0] for row in rows], [row[1] for row in rows])
    return _integers(pointer), table, coefficients


def _shapes(structure: Structure, position: Integers) -> tuple[Integers, Integers, Floats]:
    """Write delta = odd x + even q(x): code 4p with the even polynomial q, codes 0 and 2 with 8 |x| and 8 x^2."""
    pointer, owners, starts, odd, even, size = [0], [], [], [np.zeros(0)], [np.zeros(0)], 0
    groups = _groups(structure)
    for cell in structure.cells:
        for (kind, name), data in cell.modifiers.items():
            if kind == "histosys":
                up, down = data[1] - cell.nominal, cell.nominal - data[0]
                owners.append(int(position[groups[name]]))
                starts.append(size)
                odd.append((up + down) / 2)
                even.append((up - down) / 16)
                size += len(up)
        pointer.append(len(owners))
    templates = np.array([np.concatenate(odd), np.concatenate(even)])
    return _integers(pointer), _table(owners, starts), templates


def _corners(norms: Integers, coefficients: Floats, shapes: Integers, templates: Floats, shape: Integers) -> Integers:
    """Tell the dense parameters with a corner: 1, else 0."""
    found = np.zeros(len(shape), dtype=np.int64)
    bent = (norms[:, CODE] == EXPONENTIAL) & (coefficients[:, 6] != -coefficients[:, 7])
    found[norms[bent, OWNER]] = 1
    even = templates[1] != 0.0
    for row, (owner, start) in enumerate(shapes):
        end = shapes[row + 1, AT] if row + 1 < len(shapes) else even.size
        found[owner] |= shape[owner] == LINEAR and bool(even[start:end].any())
    return found


def _slots(structure: Structure, position: Integers, index: dict[tuple[str, str, str], Integers],
           names: dict[str, tuple[str, str]]) -> tuple[Integers, Integers, Integers]:  # fmt: skip
    """List the bin factors of each cell that are not profiled."""
    pointer, starts, owners, size = [0], [], [np.zeros(0, np.int64)], 0
    for cell in structure.cells:
        for modifier in cell.modifiers:
            if modifier[0] in _LOCAL and modifier != names.get(cell.channel):
                starts.append(size)
                owners.append(position[index[(*modifier, cell.channel)]])
                size += len(cell.nominal)
        pointer.append(len(starts))
    return _integers(pointer), _integers(starts), np.concatenate(owners)


def _ranges(structure: Structure, position: Integers, index: dict[tuple[str, str, str], Integers],
            dense: int) -> tuple[Integers, Integers]:  # fmt: skip
    """Return the first and last bin (exclusive) that each dense parameter acts on."""
    bins, groups = len(structure.observed), _groups(structure)
    first, last = np.full(dense, bins), np.zeros(dense, np.int64)
    for cell in structure.cells:
        for kind, name in cell.modifiers:
            if kind in _LOCAL:
                where = position[index[kind, name, cell.channel]]
                spans = np.arange(cell.first, cell.last)
                keep = where >= 0
                np.minimum.at(first, where[keep], spans[keep])
                np.maximum.at(last, where[keep], spans[keep] + 1)
            else:
                at = position[groups[name]]
                first[at], last[at] = min(first[at], cell.first), max(last[at], cell.last)
    return _integers(np.minimum(first, last)), _integers(last)
