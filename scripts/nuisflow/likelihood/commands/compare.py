"""What two workspaces have in common and in what they differ, in words."""

import argparse
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nuisflow.likelihood import histfactory
from nuisflow.likelihood.commands import reading
from nuisflow.likelihood.commands.answer import Answer, Row, Table
from nuisflow.likelihood.commands.options import Options
from nuisflow.likelihood.dialects.extensions import Terms
from nuisflow.likelihood.histfactory import Cell, Floats, Structure

TEXT = "differences of two workspaces in words: channels, samples, modifiers, the largest bins"
EXAMPLE = "other.json --tolerance 1e-6 --output differences.csv"
OPTIONS: Options = {
    "--tolerance": {"type": float, "default": 1e-9, "metavar": "X",
                    "help": "relative difference of numbers from which they are told (default: %(default)s)"},
}  # fmt: skip
_SETTINGS = ("kind", "init", "lower", "upper", "fixed", "constraint", "width", "auxiliary")


def run(options: argparse.Namespace) -> Answer:
    """Compare two workspaces."""
    if not options.tolerance >= 0.0:
        raise ValueError(f"--tolerance {options.tolerance:g}: it must not be negative")
    one, other = (_structure(path) for path in (options.workspace, options.other))
    rows = list(differences(one, other, options.tolerance))
    title = "differences, from the first workspace to the second" if rows else "the workspaces say the same"
    return Answer({"differences": len(rows)}, [Table("list", title, rows)], [], converged=True)


def _structure(path: Path) -> Structure:
    try:
        content = reading.read(path)
        return histfactory.read(content, poi="")._replace(poi=histfactory.settings_of(content, None)["poi"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None


def differences(one: Structure, other: Structure, tolerance: float = 0.0) -> Iterator[Row]:
    """Yield a row for every difference: its place, and what it is; order does not count."""
    if one.poi != other.poi:
        yield _row("measurement", f"parameter of interest {one.poi or 'none'} -> {other.poi or 'none'}")
    bins = [{name: (first, last) for name, first, last in side.channels} for side in (one, other)]
    yield from _only("channel", *bins)
    cells = [{(cell.channel, cell.sample): cell for cell in side.cells} for side in (one, other)]
    for name in sorted(bins[0].keys() & bins[1].keys()):
        place, ends = f"channel {name}", [side[name] for side in bins]
        observed = [side.observed[first:last] for side, (first, last) in zip((one, other), ends, strict=True)]
        yield from _numbers(f"{place}, observation", observed[0], observed[1], tolerance)
        samples = [{sample: cell for (channel, sample), cell in side.items() if channel == name} for side in cells]
        yield from _only(f"{place}, sample", *samples)
        for sample in sorted(samples[0].keys() & samples[1].keys()):
            yield from _cells(f"{place}, sample {sample}", samples[0][sample], samples[1][sample], tolerance)
    yield from _parameters(one, other, tolerance)
    yield from _extensions(one, other, tolerance)


def _row(place: str, what: str) -> Row:
    return {"place": place, "difference": what}


def _only(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Row]:
    """Yield what only one side has."""
    for side, names in (("first", one.keys() - other.keys()), ("second", other.keys() - one.keys())):
        for name in sorted(names):
            yield _row(f"{what} {name}", f"only in the {side}")


def _cells(place: str, one: Cell, other: Cell, tolerance: float) -> Iterator[Row]:
    """Yield how a sample of a channel differs: its nominal bins, and its modifiers."""
    yield from _numbers(place, one.nominal, other.nominal, tolerance)
    named = [{" ".join(key): value for key, value in cell.modifiers.items()} for cell in (one, other)]
    yield from _only(f"{place},", *named)
    for name in sorted(named[0].keys() & named[1].keys()):
        data = [side[name] for side in named]
        if data[0] is None:
            continue
        if any(isinstance(side, Terms) for side in data):
            if data[0] != data[1]:
                yield _row(f"{place}, {name}", "another polynomial")
            continue
        words = ("down", "up") if np.ndim(data[0]) == 2 else ("",)
        for word, before, after in zip(words, *map(np.atleast_2d, data), strict=True):
            yield from _numbers(f"{place}, {name} {word}".strip(), before, after, tolerance)


def _numbers(place: str, one: Floats, other: Floats, tolerance: float) -> Iterator[Row]:
    """Yield how two lists of bins differ: most of all where, and their sums."""
    if len(one) != len(other):
        yield _row(place, f"{len(one)} -> {len(other)} bins")
        return
    sizes = np.abs(other - one) / np.maximum(np.maximum(np.abs(one), np.abs(other)), 1e-300)
    if not (sizes > tolerance).any():
        return
    at, count = int(np.argmax(sizes)), int((sizes > tolerance).sum())
    change = f"by {100 * (other[at] / one[at] - 1):+.3g} %, " if one[at] else ""
    text = f"{count} of {len(one)} numbers differ, most of all bin {at}: {change}{one[at]:.6g} -> {other[at]:.6g}"
    yield _row(place, f"{text}; sum {one.sum():.6g} -> {other.sum():.6g}")


def _parameters(one: Structure, other: Structure, tolerance: float) -> Iterator[Row]:
    """Yield how parameters differ: initial values, bounds, constraints, and whether they are fixed."""
    named = [{row.name: row for row in side.parameters} for side in (one, other)]
    yield from _only("parameter", *named)
    for name in named[0]:
        if name in named[1]:
            rows = [[getattr(side[name], key) for key in _SETTINGS] for side in named]
            changes = [f"{key} {_text(a)} -> {_text(b)}" for key, a, b in zip(_SETTINGS, *rows, strict=True)
                       if not _close(a, b, tolerance)]  # fmt: skip
            if changes:
                yield _row(f"parameter {name}", ", ".join(changes))


def _extensions(one: Structure, other: Structure, tolerance: float) -> Iterator[Row]:
    """Yield how interpolation codes differ, where they act, and correlations of constraints, pair by pair."""
    kinds = {kind for side in (one, other) for cell in side.cells for kind, _ in cell.modifiers}
    for kind in sorted({"normsys", "histosys"} & kinds):
        codes = [getattr(side.extended, kind) for side in (one, other)]
        if codes[0] != codes[1]:
            yield _row(f"interpolation of {kind}", f"{codes[0]} -> {codes[1]}")
    pairs = [_correlations(side) for side in (one, other)]
    for pair in sorted(pairs[0].keys() | pairs[1].keys()):
        before, after = (side.get(pair, 0.0) for side in pairs)
        if abs(after - before) > tolerance:
            yield _row(f"correlation of {pair[0]} and {pair[1]}", f"{before:.6g} -> {after:.6g}")


def _correlations(structure: Structure) -> dict[tuple[str, str], float]:
    """Return the correlations of constraints by their two parameters, in alphabetical order."""
    return {
        (min(one, other), max(one, other)): float(block.matrix[i, j])
        for block in structure.extended.correlations
        for (i, one), (j, other) in itertools.combinations(enumerate(block.parameters), 2)
    }


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, float):
        return bool(one == other)
    return (
        one == other or abs(one - other) <= tolerance * max(abs(one), abs(other)) or bool(np.isnan([one, other]).all())
    )
