"""Combine's likelihood of a datacard as a workspace with extensions.

Sources: HiggsAnalysis-CombinedLimit, ProcessNormalization (log-normals), FastVerticalInterpHistPdf2 and CMSHistFunc
(shapes: code 4p between templates of one integral, times a log-normal of the integrals), CMSHistErrorPropagator
(autoMCStats). Where Combine sets bins below 1e-9 to 1e-9, they are left as they are.
"""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from nuisflow.likelihood.dialects import datacards, histograms
from nuisflow.likelihood.dialects.datacards import Card, Column, Nuisance

POI, RANGE = "r", [0.0, 20.0]
_SMALL = 1e-3  # changes of an integral below this are left out by Combine
_FAR = 5.0  # standard deviations within which no bin should become negative

Floats = npt.NDArray[np.float64]
log = logging.getLogger(__name__)


class _Template(NamedTuple):
    """Rates and their errors; *total*: the integral of the histogram, 0 if there is none."""

    rates: Floats
    errors: Floats
    total: float


def read(path: Path, text: str, mass: str | None = None) -> dict[str, Any]:
    """Return the workspace of a datacard; *mass* stands for $MASS in the names of histograms."""
    card = datacards.read(path, text)
    with histograms.Files(card, mass) as files:
        return _workspace(card, files)


def _workspace(card: Card, files: histograms.Files) -> dict[str, Any]:
    kept = _kept(card)
    templates = {column: _template(card, files, column) for column in kept}
    constraints: dict[str, dict[str, Any]] = {}
    parameters = {POI: {"name": POI, "inits": [1.0], "bounds": [RANGE]}}
    for nuisance in card.nuisances:
        for column in (c for c in kept if nuisance.kind == "gmN" and c in nuisance.numbers):
            templates[column] = _counted(card, nuisance, column, templates[column])
    modifiers = {column: _rates(card, column) for column in kept}
    for rate in card.rates:
        bounds = list(rate.bounds or (min(100.0 * rate.value, 0.0), max(100.0 * rate.value, 10.0)))
        parameters[rate.name] = {"name": rate.name, "inits": [rate.value], "bounds": [bounds]}
        if rate.name in card.constraints:
            mean, width = card.constraints[rate.name]
            constraints[rate.name] = {"type": "normal", "auxdata": mean, "sigma": width}
    for nuisance in card.nuisances:
        used = False
        for column in kept:
            if column in nuisance.numbers:
                found = _effects(card, files, nuisance, column, templates)
                modifiers[column] += found
                used |= bool(found)
        if used:
            _parameter(nuisance, parameters, constraints)
    for bin_ in card.statistics:
        _statistics(card, bin_, templates, modifiers, parameters)
    channels, observations = [], []
    for bin_ in dict.fromkeys(bin_ for bin_, _ in kept):
        samples = [{"name": column[1], "data": templates[column].rates.tolist(), "modifiers": modifiers[column]}
                   for column in kept if column[0] == bin_]  # fmt: skip
        channels.append({"name": bin_, "samples": samples})
        observations.append({"name": bin_, "data": _observed(card, files, bin_, len(samples[0]["data"]))})
    extensions: dict[str, Any] = {"interpolation": {"normsys": "combine", "histosys": "code4p"}}
    if constraints:
        extensions["constraints"] = constraints
    if card.groups:
        extensions["groups"] = {name: list(members) for name, members in card.groups.items()}
    config = {"poi": POI, "parameters": list(parameters.values())}
    return {"channels": channels, "observations": observations, "extensions": extensions, "version": "1.0.0",
            "measurements": [{"name": "combine", "config": config}]}  # fmt: skip


def _kept(card: Card) -> list[Column]:
    """Return the processes with a rate, of which at least one must be a signal."""
    kept = [column for column, rate in card.columns.items() if rate != 0.0]
    if not any(process in card.signals for _, process in kept):
        raise ValueError(f"{card.path}: no process is a signal (a number of 0 or below, and a rate): cards of control "
                         f"regions have a likelihood with others only; combine them (combineCards.py)")  # fmt: skip
    return kept


def _rates(card: Card, column: Column) -> list[dict[str, Any]]:
    """Return the free factors of a process: r of a signal, and its rateParams."""
    names = [POI] if column[1] in card.signals else []
    names += [rate.name for rate in card.rates if column in rate.columns]
    return [{"name": name, "type": "normfactor", "data": None} for name in names]


def _template(card: Card, files: histograms.Files, column: Column) -> _Template:
    """Return the nominal rates of a process, scaled to the rate of the card as Combine does it."""
    rate = card.columns[column]
    found = files.find(column)
    if found is None:
        if rate < 0.0:
            raise ValueError(f"{card.path}: process {column[1]} in {column[0]}: a rate of {rate:g} needs a histogram")
        if column[0] in card.statistics:
            line = card.statistics[column[0]][0]
            raise ValueError(
                f"{card.path}: line {line}: autoMCStats in {column[0]}, where {column[1]} has no histogram"
            )
        return _Template(np.array([rate]), np.zeros(1), 0.0)
    values, errors = found
    total = float(values.sum())
    if (values < 0.0).any() or not total > 0.0:
        raise ValueError(f"{card.path}: process {column[1]} in {column[0]}: its histogram is empty or has a negative "
                         f"bin, which Combine sets to 1e-9")  # fmt: skip
    if rate >= 0.0 and abs(total - rate) > 0.01 * max(1.0, rate):
        raise ValueError(
            f"{card.path}: process {column[1]} in {column[0]}: rate {rate:g}, but its histogram has {total:g}"
        )
    scale = 1.0 if rate < 0.0 or column[0] in card.statistics else rate / total
    return _Template(values * scale, errors * scale, total)


def _observed(card: Card, files: histograms.Files, bin_: str, size: int) -> list[float]:
    """Return the observed events of a bin of the card."""
    count, found = card.observations.get(bin_, -1.0), files.find((bin_, histograms.DATA))
    if found is None:
        if count < 0.0:
            raise ValueError(f"{card.path}: bin {bin_}: neither a histogram {histograms.DATA} nor an observation")
        return [count]
    if len(found[0]) != size:
        raise ValueError(f"{card.path}: bin {bin_}: {len(found[0])} bins of data, {size} of the processes")
    if count >= 0.0 and abs(float(found[0].sum()) - count) > 0.005:
        raise ValueError(f"{card.path}: bin {bin_}: observation {count:g}, but the histogram has {found[0].sum():g}")
    observed: list[float] = found[0].tolist()
    return observed


def _effects(card: Card, files: histograms.Files, nuisance: Nuisance, column: Column,
             templates: Mapping[Column, _Template]) -> list[dict[str, Any]]:  # fmt: skip
    """Return the modifiers by which a nuisance acts on a process."""
    numbers, template = nuisance.numbers[column], templates[column]
    if nuisance.kind == "gmN":
        return [{"name": nuisance.name, "type": "normfactor", "data": None}]
    if not _shaped(files, nuisance, column):
        down, up = numbers if len(numbers) == 2 else (1.0 / numbers[0], numbers[0])
        return [{"name": nuisance.name, "type": "normsys", "data": {"lo": down, "hi": up}}]
    if not template.total:
        _refuse(card, nuisance, f"{column[1]} in {column[0]} has no histogram")
    scale, scales = numbers[0], _scales(card, files, column)
    if len(numbers) > 1 or any(other != scale for other in scales) or scale > 1.0:
        _refuse(card, nuisance, f"shapes of {column[1]} in {column[0]} with different effects than all 1 (or all the "
                                f"same number below 1): Combine's interpolation of them is not supported")  # fmt: skip
    return _shape(card, files, nuisance, column, template)


def _counted(card: Card, nuisance: Nuisance, column: Column, template: _Template) -> _Template:
    """Return the rates for one event of a gmN: its alpha, or with autoMCStats the template over the events."""
    alpha, rate = nuisance.numbers[column][0], float(template.rates.sum())
    if abs(alpha * nuisance.events - rate) > max(0.05 * max(rate, 1.0), alpha):
        _refuse(card, nuisance, f"{nuisance.events} times {alpha:g} is not the rate {rate:g} of {column[1]}")
    scale = 1.0 / max(nuisance.events, 1) if column[0] in card.statistics else alpha / rate
    return template._replace(rates=template.rates * scale, errors=template.errors * scale)


def _refuse(card: Card, nuisance: Nuisance, text: str) -> None:
    raise ValueError(f"{card.path}: line {nuisance.line}: {nuisance.name}: {text}")


def _shaped(files: histograms.Files, nuisance: Nuisance, column: Column) -> bool:
    """Tell whether a nuisance changes the shape of a process: a shape? does where it has histograms."""
    asked = nuisance.kind == "shape?" and _varied(files, nuisance, column, "Up") is not None
    return asked or nuisance.kind in ("shape", "shapeU")


def _scales(card: Card, files: histograms.Files, column: Column) -> list[float]:
    """Return the effects of all nuisances that change the shape of a process."""
    rows = [row for row in card.nuisances if column in row.numbers and _shaped(files, row, column)]
    return [row.numbers[column][0] for row in rows]


def _varied(files: histograms.Files, nuisance: Nuisance, column: Column, side: str) -> Floats | None:
    found = files.find(column, nuisance.name + side)
    return None if found is None else found[0]


def _shape(card: Card, files: histograms.Files, nuisance: Nuisance, column: Column, template: _Template,
           ) -> list[dict[str, Any]]:  # fmt: skip
    """Return the shape with the nominal integral, and the log-normal of the integrals."""
    scale, total, ends, factors = nuisance.numbers[column][0], float(template.rates.sum()), {}, {}
    for side, key in (("Down", "lo"), ("Up", "hi")):
        values = _varied(files, nuisance, column, side)
        if values is None or len(values) != len(template.rates) or not values.sum() > 0.0:
            _refuse(card, nuisance, f"the histogram {nuisance.name}{side} of {column[1]} in {column[0]} is missing, "
                                    f"empty or has other bins")  # fmt: skip
        else:
            integral = float(values.sum())
            ends[f"{key}_data"] = template.rates + scale * (values * (total / integral) - template.rates)
            factors[key] = (integral / template.total) ** scale
    reach = np.minimum(template.rates + _FAR * (ends["hi_data"] - template.rates),
                       template.rates + _FAR * (ends["lo_data"] - template.rates))  # fmt: skip
    if (reach < 0.0).any():
        log.warning("WARNING: %s: line %d: %s makes bin %d of %s in %s negative within %g standard deviations, where "
                    "Combine sets it to 1e-9 and this likelihood does not", card.path, nuisance.line, nuisance.name,
                    int(np.argmin(reach)), column[1], column[0], _FAR)  # fmt: skip
    found = [{"name": nuisance.name, "type": "histosys", "data": {key: row.tolist() for key, row in ends.items()}}]
    if any(abs(factor ** (1.0 / scale) - 1.0) >= _SMALL for factor in factors.values()):
        found.append({"name": nuisance.name, "type": "normsys", "data": factors})
    return found


def _parameter(
    nuisance: Nuisance, parameters: dict[str, dict[str, Any]], constraints: dict[str, dict[str, Any]]
) -> None:
    """Note how a nuisance is constrained, where it is not by a unit normal distribution."""
    row: dict[str, Any] = {"name": nuisance.name}
    if nuisance.kind in ("lnU", "shapeU"):
        constraints[nuisance.name] = {"type": "none"}
        parameters[nuisance.name] = row | {"inits": [0.0], "bounds": [[-1.0, 1.0]]}
    elif nuisance.kind == "gmN":
        count = float(nuisance.events)
        constraints[nuisance.name] = {"type": "poisson", "auxdata": count, "factor": 1.0}
        low, high = stats.gamma.ppf(1e-12, count) if count else 0.0, stats.gamma.isf(1e-12, count + 1.0)
        parameters[nuisance.name] = row | {"inits": [count or 1e-6], "bounds": [[float(low), float(high)]]}


# --- autoMCStats ------------------------------------------------------------------------------------------------------


def _statistics(card: Card, bin_: str, templates: Mapping[Column, _Template],
                modifiers: Mapping[Column, list[dict[str, Any]]], parameters: dict[str, dict[str, Any]],
                ) -> None:  # fmt: skip
    """Add the parameters of the simulation's statistics, as CMSHistErrorPropagator::setupBinPars chooses them."""
    _, threshold, with_signal = card.statistics[bin_]
    columns = [column for column in templates if column[0] == bin_]
    factors = {column: math.prod(rate.value for rate in card.rates if column in rate.columns) for column in columns}
    for row in card.nuisances:
        for column in columns if row.kind == "gmN" else ():
            factors[column] *= row.events + 1 if column in row.numbers else 1
    size = len(templates[columns[0]].rates)
    total, poisson = ({column: np.zeros(size) for column in columns} for _ in range(2))
    for b in range(size):
        rates = {c: (float(templates[c].rates[b]), float(templates[c].errors[b])) for c in columns}
        counted = [c for c in columns if with_signal or c[1] not in card.signals]
        events = sum(factors[c] * rates[c][0] for c in counted)
        variance = sum((factors[c] * rates[c][1]) ** 2 for c in counted)
        if not variance > 0.0:
            continue
        if math.floor(0.5 + events**2 / variance) > threshold:
            for c in columns:
                total[c][b] = rates[c][1]
            continue
        for c in columns:
            kind, error = _single(*rates[c], threshold)
            if kind == "poisson":
                poisson[c][b] = error
            elif kind:
                own = f"prop_bin{bin_}_bin{b}_{c[1]}"
                parameters[own] = {"name": own, "inits": [0.0], "bounds": [[-7.0, 7.0]]}
                modifiers[c].append({"name": own, "type": "histosys", "data": _added(templates[c].rates, b, error)})
    whole = any(row.any() for row in total.values())
    for c in columns:
        name = f"prop_bin{bin_}"
        for kind, own, errors in (("mcstat", name, total[c]), ("shapesys", f"{name}_{c[1]}", poisson[c])):
            if errors.any() or (kind == "mcstat" and whole):
                modifiers[c].append({"name": own, "type": kind, "data": errors.tolist()})


def _single(rate: float, error: float, threshold: float) -> tuple[str, float]:
    """Return how the statistics of one process in one bin are varied, and the error: as a factor or by adding to it.

    What is added is the error of the nominal template, whatever shapes make of the rate.
    """
    if not error > 0.0:
        return "", 0.0
    events = math.floor(0.5 + (rate / error) ** 2)
    if rate >= 0.999 * error and events <= threshold:
        return "poisson", rate / math.sqrt(events)
    return "gauss", error


def _added(rates: Floats, bin_: int, error: float) -> dict[str, list[float]]:
    """Return the templates with the error of one bin added and subtracted."""
    change = error * (np.arange(len(rates)) == bin_)
    return {"hi_data": (rates + change).tolist(), "lo_data": (rates - change).tolist()}
