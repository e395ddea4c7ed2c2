"""Where a fitted model and the data disagree: the chi-squared of the saturated model by region, and pulls of bins."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Region(NamedTuple):
    """Part of the chi-squared that one region has, and the signed roots of the bins' parts, shape (bins,)."""

    name: str
    chi2: float
    pulls: np.ndarray


class Agreement(NamedTuple):
    """All regions, the worst by chi-squared per bin first; *auxiliary*: the part of the nuisance parameters."""

    regions: list[Region]
    auxiliary: float


def deviances(data: Sequence[float], expected: Sequence[float]) -> np.ndarray:
    """Return -2 ln of the Poisson likelihood ratio of every bin to the saturated model (Baker and Cousins 1984)."""
    seen, mean = np.asarray(data, float), np.asarray(expected, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithms = np.where(seen > 0, seen * np.log(seen / mean), 0.0)
    terms: np.ndarray = np.maximum(2 * (mean - seen + logarithms), 0.0)
    return terms


def of(result: Mapping[str, Any]) -> Agreement:
    """Return where the chi-squared of a fit (``fit.json``) comes from: regions after the fit, and what is left.

    A bin's part contains that of its own factor for the finite simulation (``staterror_{region}[{bin}]``), which moves
    towards the data. What regions do not account for are the nuisance parameters that the data pull.
    """
    moved = {parameter["name"]: parameter.get("pull") or 0.0 for parameter in result.get("parameters", ())}
    regions = []
    for name, yields in result["yields"]["postfit"].items():
        own = [moved.get(f"staterror_{name}[{place}]", 0.0) for place in range(len(yields["total"]))]
        parts = deviances(yields["data"], yields["total"]) + np.square(own)
        found = np.where(np.asarray(yields["data"], float) < np.asarray(yields["total"], float), -1, 1) * np.sqrt(parts)
        regions.append(Region(name, float((found**2).sum()), found))
    quality = result.get("goodness_of_fit") or {}
    total, pulls = quality.get("chi2"), quality.get("pulls")  # the latter where bins are not those of the regions
    left = np.nan if total is None else max(float(total) - sum(region.chi2 for region in regions), 0.0)
    left = left if pulls is None else float(pulls)
    regions.sort(key=lambda region: -region.chi2 / len(region.pulls))
    return Agreement(regions, left)


def largest(region: Region, most: int) -> list[tuple[int, float]]:
    """Return the bins with the largest pulls, counted from 1, and their pulls; at most *most*."""
    order = np.argsort(-np.abs(region.pulls), kind="stable")[:most]
    return [(int(place) + 1, float(region.pulls[place])) for place in order]
