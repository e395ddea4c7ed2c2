"""What a coverage map says, as plain values for JSON, tables, figures and words."""

from typing import Any

import numpy as np

from nuisflow.likelihood import toys
from nuisflow.likelihood.coverage import regions, regression
from nuisflow.likelihood.coverage.maps import Map
from nuisflow.likelihood.measurements import plain


def summary(found: Map) -> dict[str, Any]:
    """Return counts and coverage over all points, its regression, all cells of single parameters, the worst region.

    *uniform* tests whether coverage is the same everywhere; *worst* and *lowest* are chosen with one half of the points
    and counted with the other (None: too few points). Open ends of cells are null.
    """
    number, covered = len(found.points), int(found.covered.sum())
    low, high = toys.clopper_pearson(covered, number)
    smooth, worst, lowest = regression.fit(found), regions.worst(found), regression.lowest(found)
    return {
        "poi": found.names[0],
        "range": list(found.reach),
        "number": number,
        "impossible": found.impossible,
        "failed": int((~found.fitted).sum()),
        "unbounded": int((found.fitted & ~found.bounded).sum()),
        "level": toys.LEVEL,
        **_shares(covered / number, low, high),
        "uniform": {"statistic": smooth.statistic, "degrees": smooth.degrees, "p_value": smooth.p_value},
        "curves": plain([row._asdict() for row in regression.curves(found, smooth)]),
        "cells": [_cell(row) for row in regions.single(found)],
        "worst": None if worst is None else _worst(found, worst),
        "lowest": None if lowest is None else _lowest(lowest),
    }


def _shares(coverage: float, low: float, high: float) -> dict[str, Any]:
    return {"coverage": plain(coverage), "coverage_low": low, "coverage_high": high}


def _cell(row: regions.Region) -> dict[str, Any]:
    sides = plain([side._asdict() for side in row.sides])
    return {"sides": sides, "number": row.number, **_shares(row.coverage, row.low, row.high)}


def _worst(found: Map, worst: regions.Worst) -> dict[str, Any]:
    """Return the worst region, with all cells of its two parameters (or of its one and the parameter of interest)."""
    names = [side.parameter for side in worst.region.sides]
    pair = [found.names[0], *names] if len(names) == 1 else names
    cells = regions.pair(found, (pair[0], pair[1])) if pair[0] != pair[1] else []
    return _cell(worst.region) | {"seen": worst.seen, "considered": worst.considered, "pair": pair,
                                  "cells": [_cell(row) for row in cells]}  # fmt: skip


def _lowest(row: regression.Lowest) -> dict[str, Any]:
    return {"number": row.number, "predicted": row.predicted, **_shares(row.coverage, row.low, row.high),
            "centre": row.centre}  # fmt: skip


def placed(sides: list[dict[str, Any]], poi: str) -> str:
    """Return where a region is, in words: "mu from 0.5 to 0.9, jes above 1.5 sigma"."""
    words = []
    for side in sides:
        unit = "" if side["parameter"] == poi else " sigma"
        low, high = (
            None if end is None or not np.isfinite(end) else f"{end:.3g}" for end in (side["low"], side["high"])
        )
        where = f"above {low}{unit}" if high is None else f"below {high}{unit}" if low is None else None
        words.append(f"{side['parameter']} {where or f'from {low} to {high}{unit}'}")
    return ", ".join(words)
