"""The profile likelihood along one parameter, or in two with its contours."""

import argparse
import math

import numpy as np

from nuisflow.likelihood import contours, fits, measurements
from nuisflow.likelihood.commands import options as own
from nuisflow.likelihood.commands import question
from nuisflow.likelihood.commands.answer import Answer, Row, Table
from nuisflow.likelihood.commands.question import Command, Question
from nuisflow.likelihood.histfactory import Floats

_GRID = 21
_BELOW = "scan: points lie below the best fit, which is therefore not the deepest minimum"


def run(asked: Question, options: argparse.Namespace) -> Answer:
    """Scan one parameter, or two."""
    if len(asked.pois) > 2:
        raise ValueError(f"scan: one or two parameters can be scanned, not {len(asked.pois)} (--poi)")
    ranges = own.ordered(options.range)
    if ranges and len(ranges) != len(asked.pois):
        raise ValueError(f"--range: {len(ranges)} of them for {len(asked.pois)} parameters (--poi)")
    if len(asked.pois) == 2:
        return surface(asked, options.points or _GRID, ranges)
    return scan(asked, options.points or measurements.SCAN_POINTS, ranges)


def scan(asked: Question, points: int, ranges: list[tuple[float, float]] | None = None) -> Answer:
    """Profile -2 ln L in a range (default: within three standard deviations of the best fit, within the bounds)."""
    model, poi = asked.model, asked.model.poi
    best, facts, warnings = question.fitted(model, asked.data)
    found = fits.scan(model, asked.data, poi, _grid(asked, best, poi, points, ranges[0] if ranges else None), best)
    rows = [
        {poi: point, "twice_delta_nll": delta, "converged": bool(good)}
        for point, delta, good in zip(found.points, found.twice_delta_nll, found.converged, strict=True)
    ]
    if lost := int((~found.converged).sum()):
        warnings.append(f"scan: {lost} of {len(rows)} points did not converge")
    if (found.twice_delta_nll < -1e-6).any():
        warnings.append(_BELOW)
    table = Table("scan", f"rise of -2 ln L above its minimum, all other parameters fitted at each {poi}", rows)
    shown = {"scan": [{"data": asked.told, "mu": row[poi], "delta": row["twice_delta_nll"]} for row in rows]}
    return Answer(facts, [table], warnings, best.converged and not lost, shown)


def _grid(asked: Question, best: fits.FitResult, name: str, points: int, ends: tuple[float, float] | None) -> Floats:
    """Return where to scan a parameter."""
    model, index = asked.model, asked.model.index(name)
    lower, upper = float(model.lower[index]), float(model.upper[index])
    if ends is None:
        reach = measurements.SCAN_SIGMAS * best.errors[index] if best.errors[index] > 0 else math.inf
        ends = max(lower, best.values[index] - reach), min(upper, best.values[index] + reach)
    elif not lower <= ends[0] < ends[1] <= upper:
        raise ValueError(f"--range {ends[0]:g} {ends[1]:g}: beyond the bounds [{lower:g}, {upper:g}] of {name}; "
                         f"--bounds {name}=LOW,HIGH widens them")  # fmt: skip
    return np.linspace(*ends, points)


def surface(asked: Question, points: int, ranges: list[tuple[float, float]]) -> Answer:
    """Profile -2 ln L in two parameters on a grid, and find its contours."""
    model, data, names = asked.model, asked.data, asked.pois
    best, _, warnings = question.fitted(model, data)
    if not best.converged:
        return Answer({}, [], warnings, converged=False)
    axes = [_grid(asked, best, name, points, ranges[i] if ranges else None) for i, name in enumerate(names)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    found = contours.surface(model, data, names, grid, best)
    rows = [
        dict(zip(names, map(float, point), strict=True)) | {"twice_delta_nll": delta, "converged": bool(good)}
        for point, delta, good in zip(grid, found.twice_delta_nll, found.converged, strict=True)
    ]
    lines = [contours.contour(model, data, names, best, level=level) for level in contours.LEVELS]
    lost = int((~found.converged).sum())
    warnings += [f"scan: {lost} of {len(rows)} points did not converge"] if lost else []
    warnings += [_BELOW] if (found.twice_delta_nll < -1e-6).any() else []
    missed = any(np.isnan(line.points).any() for line in lines)
    for line in lines:
        name = f"scan: the contour of {100 * line.level:g} %"
        warnings += [f"{name} ends at a bound, or at the edge of the physical region"] if line.bounded.any() else []
        warnings += [f"{name} is not found in all directions"] if np.isnan(line.points).any() else []
    facts = {f"best_fit_{name}": best.values[model.index(name)] for name in names} | {"twice_nll": best.twice_nll}
    every = [dict(zip(names, map(float, point), strict=True)) | {"level": line.level, "at_bound": bool(bound)}
             for line in lines for point, bound in zip(line.points, line.bounded, strict=True)]  # fmt: skip
    title = "rise of -2 ln L above its minimum, all other parameters fitted at each point"
    tables = [Table("extents", "contours: their lowest and highest values", _extents(lines, names)),
              Table("contours", "points of the contours", every, long=True),
              Table("scan", title, rows, long=True)]  # fmt: skip
    shown = {"contours": {"names": list(names), "best": [best.values[model.index(name)] for name in names],
                          "lines": every, "scan": rows}}  # fmt: skip
    return Answer(facts, tables, warnings, not lost and not missed, shown)


def _extents(lines: list[contours.Contour], names: tuple[str, ...]) -> list[Row]:
    """Return the lowest and the highest value of both parameters on every contour."""
    return [
        {"level": f"{100 * line.level:g} %", "rise": contours.rise(line.level)}
        | {f"{name} {side}": float(pick(line.points[:, i])) for i, name in enumerate(names)
           for side, pick in (("from", np.nanmin), ("to", np.nanmax))}
        for line in lines
    ]  # fmt: skip


COMMAND = Command(
    run,
    "profile likelihood of a parameter, or of two with contours of 68 and 95 %",
    "--poi mu --range 0 2 --points 61 --output scan.csv",
    {
        "--points": own.POINTS | {"default": None, "help": "points of the scan (default: 41; 21 for each of two)"},
        "--range": own.ranges("range of the scan, for each parameter in their order (default: three standard "
                              "deviations)"),
    },
)  # fmt: skip
