"""Features before any training: expected events, systematic band, agreement with data, separation, correlations."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from nuisflow import names
from nuisflow.likelihood.constraints import correlations
from nuisflow.settings import points, systematics
from nuisflow.settings.systematics import Variation
from nuisflow.slices.inputs import InputSettings
from nuisflow.templates import inputs
from nuisflow.templates.histograms import DATA, Histogram, content
from nuisflow.templates.inputs import Axes, Axis

Row = dict[str, Any]
Samples = Mapping[str, Mapping[str, Histogram]]
Changes = dict[str, tuple[np.ndarray, np.ndarray]]
EXPECTED = 5.0
"""Expected events of a bin from which fluctuations are about Gaussian: others join their neighbour for chi-squared."""


class Agreement(NamedTuple):
    """The chi-squared of data against a model, over bins with at least `EXPECTED` events, and its p-value."""

    chi2: float
    ndof: int
    p_value: float


def compare(samples: Samples, sums: Mapping[str, Mapping[str, Any]], axes: Axes, settings: InputSettings) -> Row:
    """Return what is known of one region before any training, as plain values.

    *samples*, *sums*: histograms and sums of every sample (`templates.inputs.Filled`); *axes*: the bins.
    """
    region = settings.region
    if region not in axes:
        return {"region": region, "shown": settings.shown, "yields": [], "features": [], "correlations": {}}
    needed = axes if settings.filling.renormalised else {region: axes[region]}
    merged = {name: inputs.merged(samples, name, needed, settings.filling)[region] for name in axes[region]}
    return {
        "region": region,
        "shown": settings.shown,
        "yields": list(_yields(samples, sums, next(iter(merged.values())), settings)),
        "features": [_feature(name, Axis(**axes[region][name]), one, settings) for name, one in merged.items()],
        "correlations": _correlations(sums, settings),
    }


# --- expected events ------------------------------------------------------------------------------------------------


def _yields(
    samples: Samples, sums: Mapping[str, Mapping[str, Any]], histogram: Histogram, settings: InputSettings
) -> Iterator[Row]:
    """Yield expected events of every sample, process and of all, with errors from simulation and variations."""
    region, filling = settings.region, settings.filling
    for process in filling.processes:
        own = [name for name, of in filling.samples.items() if of == process and name not in filling.alternatives]
        moved, _ = changes(histogram, settings, [process])
        one = content(histogram, process)
        counted = sum(sums[name].get(region, {}).get("events", 0) for name in own)
        error = _systematic(moved, settings)
        yield _yield(("process", process, ""), one.values.sum(), one.variances.sum(), error, events=counted)
        for name in own:
            found = samples[name]
            feature = next(key for key in found if key.startswith(f"{region}/")).partition("/")[2]
            value, variance = inputs.yields(found, region, feature)
            count = sums[name].get(region, {}).get("events", 0)
            yield _yield(("sample", process, name), value, variance, None, events=count)
    moved, _ = changes(histogram, settings, filling.processes)
    values, variances = _total(histogram, settings)
    yield _yield(("total", "", ""), values.sum(), variances.sum(), _systematic(moved, settings))
    if settings.shown and DATA in filling.samples.values():
        seen = float(content(histogram, DATA).values.sum())
        yield _yield(("data", DATA, ""), seen, 0.0, None, events=round(seen))


def _yield(
    of: tuple[str, str, str], value: float, variance: float, systematic: float | None, *, events: int | None = None
) -> Row:
    """Return one row for *of* (kind, process and sample); *systematic*: the error by all variations with a prior."""
    return {
        **dict(zip(("kind", "process", "sample"), of, strict=True)),
        "events": events,
        "effective": value**2 / variance if variance > 0 else None,
        "expected": float(value),
        "simulation": math.sqrt(max(variance, 0.0)),
        "systematic": systematic,
    }


def _systematic(moved: Changes, settings: InputSettings) -> float:
    """Return the error of the summed bins by all variations with a prior."""
    sums = {name: (up.sum(keepdims=True), down.sum(keepdims=True)) for name, (up, down) in moved.items()}
    return math.sqrt(covariance(sums, 1, settings.correlations)[0, 0])


def _total(histogram: Histogram, settings: InputSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return expected events and their variance by the finite simulation, bin by bin."""
    found = [content(histogram, process) for process in settings.filling.processes]
    return np.sum([one.values for one in found], axis=0), np.sum([one.variances for one in found], axis=0)


def changes(histogram: Histogram, settings: InputSettings, processes: Sequence[str]) -> tuple[Changes, Changes]:
    """Return how expected events of *processes* change by every nuisance parameter, up and down, shape (bins,) each.

    The second: those without a prior, by all of what they scale. Variations are taken as they are, before smoothing.
    """
    constrained: Changes = {}
    free: Changes = {}
    for name, variation in settings.variations.items():
        for process in processes:
            if process not in (variation.processes or ()) or settings.region not in (variation.regions or ()):
                continue
            owner = points.owner_of(process, settings.filling.parts, variation.processes)
            parameter = names.parameter(name, variation.kind, variation.decorrelate, owner, settings.region)
            sides = _sides(histogram, name, variation, process)
            into = free if variation.kind == "free_rate" else constrained
            zero = np.zeros(len(sides[0]))
            old = into.get(parameter, (zero, zero))
            into[parameter] = (old[0] + sides[0], old[1] + sides[1])
    return constrained, free


def _sides(histogram: Histogram, name: str, variation: Variation, process: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the change of one process at +1 and at -1; what has one side only is mirrored."""
    nominal = content(histogram, process).values
    match variation:
        case systematics.Rate():
            up, down = variation.sides
            return nominal * (up - 1), nominal * (down - 1)
        case systematics.FreeRate():
            return nominal, -nominal
        case systematics.Luminosity(size=size):
            return nominal * size, -nominal * size
    known = list(histogram.axes["variation"])
    found = [
        content(histogram, process, key).values - nominal
        for side in ("up", "down")
        if (key := f"{name}_{side}") in known
    ]
    return (found[0], found[1]) if len(found) == 2 else (found[0], -found[0])


def covariance(moved: Changes, bins: int, priors: Sequence[systematics.Block] = ()) -> np.ndarray:
    """Return the covariance of the expected events of all bins by the variations, shape (bins, bins).

    Each adds the mean of both sides, so that a variation that moves events to one side only is not lost. Those whose
    priors are correlated add the products of their sides, too.
    """
    sides = np.array(list(moved.values())).reshape(-1, 2, bins)
    blocks = correlations.blocks(systematics.kept(priors, moved))
    return np.asarray(np.einsum("isa,ij,jsb->ab", sides, correlations.matrix(blocks, list(moved)), sides) / 2)


# --- one feature ----------------------------------------------------------------------------------------------------


def _feature(feature: str, axis: Axis, histogram: Histogram, settings: InputSettings) -> Row:
    """Return histograms, band, separation and agreement of one feature."""
    processes = settings.filling.processes
    total, variances = _total(histogram, settings)
    moved, free = changes(histogram, settings, processes)
    band = covariance(moved, len(total), settings.correlations)
    signal = content(histogram, settings.filling.signal).values
    found: Row = {
        "feature": feature,
        **axis._asdict(),
        "samples": {process: content(histogram, process).values.tolist() for process in processes},
        "total": total.tolist(),
        "error": np.sqrt(np.diag(band) + variances).tolist(),
        "simulation": np.sqrt(variances).tolist(),
        "separation": separation(signal, total - signal),
        "shifts": {name: [_distance(change, total) for change in pair] for name, pair in moved.items()},
        "shapes": {name: [_distance(_shape(change, total), total) for change in pair] for name, pair in moved.items()},
        "data": None,
        "without": None,
        "with": None,
    }
    if settings.shown:
        data = content(histogram, DATA).values
        found["data"] = data.tolist()
        statistical = np.diag(variances)
        templates = np.array([up for up, _ in free.values()]).reshape(-1, len(total))
        found["without"] = _plain(agreement(data, total, statistical))
        found["with"] = _plain(agreement(data, total, statistical + band, templates))
    return found


def _plain(found: Agreement | None) -> Row | None:
    return None if found is None else found._asdict()


def separation(signal: np.ndarray, background: np.ndarray) -> float | None:
    """Return how well a feature separates: half the sum of (s - b)^2 / (s + b) of shares, 0 (alike) to 1 (apart).

    As in TMVA (arXiv:physics/0703039, eq. 1). None without events; bins of negative content do not count.
    """
    signal, background = np.maximum(signal, 0), np.maximum(background, 0)
    if not (signal.sum() > 0 and background.sum() > 0):
        return None
    first, second = signal / signal.sum(), background / background.sum()
    both = first + second
    filled = both > 0
    return float(0.5 * np.sum((first - second)[filled] ** 2 / both[filled]))


def _distance(change: np.ndarray, total: np.ndarray) -> float:
    """Return in how many standard deviations of the data a *change* is seen: root of the sum of change^2 / total."""
    filled = total > 0
    return float(np.sqrt(np.sum(change[filled] ** 2 / total[filled])))


def _shape(change: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return what of a *change* is not one of the yield."""
    whole = total.sum()
    return change - total * (change.sum() / whole) if whole > 0 else change


def agreement(
    data: np.ndarray, total: np.ndarray, covariance: np.ndarray, free: np.ndarray | None = None
) -> Agreement | None:
    """Return the chi-squared of *data* and expected events *total* with a *covariance* of the expectation.

    Poisson fluctuations are those of the expectation (Pearson). *free*: changes by parameters without a prior, shape
    (parameters, bins), over which chi-squared is minimised. None where no bin expects `EXPECTED` events.
    """
    joined = join(total)
    if joined is None:
        return None
    expected = joined @ total
    difference = joined @ data - expected
    inverse = np.linalg.inv(joined @ covariance @ joined.T + np.diag(expected))
    chi2, ndof = float(difference @ inverse @ difference), len(difference)
    if free is not None and len(free):
        directions = joined @ free.T
        matrix = directions.T @ inverse @ directions
        gradient = directions.T @ inverse @ difference
        chi2 -= float(gradient @ np.linalg.pinv(matrix, rcond=1e-10, hermitian=True) @ gradient)
        ndof -= int(np.linalg.matrix_rank(matrix, hermitian=True))
    chi2 = max(chi2, 0.0)
    return Agreement(chi2, ndof, _tail(chi2, ndof))


def _tail(chi2: float, ndof: int) -> float:
    from scipy import special

    return float(special.gammaincc(ndof / 2, chi2 / 2)) if ndof > 0 else 1.0


def join(total: np.ndarray) -> np.ndarray | None:
    """Return which neighbouring bins are added so that each expects `EXPECTED` events, shape (joined, bins)."""
    groups: list[list[int]] = [[]]
    for index in range(len(total)):
        groups[-1].append(index)
        if total[groups[-1]].sum() >= EXPECTED:
            groups.append([])
    rest = groups.pop()
    if not groups:
        return None
    groups[-1] += rest
    joined = np.zeros((len(groups), len(total)))
    for row, group in enumerate(groups):
        joined[row, group] = 1
    return joined


# --- correlations ---------------------------------------------------------------------------------------------------


def _correlations(sums: Mapping[str, Mapping[str, Any]], settings: InputSettings) -> Row:
    """Return the correlations of features in signal and background, and pairs that say nearly the same."""
    filling, region = settings.filling, settings.region
    found: Row = {}
    for role in ("signal", "background"):
        chosen = [
            one[region]
            for name, one in sums.items()
            if name not in filling.alternatives
            and filling.samples[name] != DATA
            and (filling.samples[name] == filling.signal) == (role == "signal")
            and one.get(region, {}).get("events")
        ]
        if chosen:
            matrix = inputs.correlations(chosen)
            found[role] = [[None if math.isnan(value) else round(value, 4) for value in row] for row in matrix.tolist()]
    return found


# --- tables ---------------------------------------------------------------------------------------------------------


def feature_rows(found: Row) -> list[Row]:
    """Return one row per feature: bins, separation and agreement with data."""
    return [
        {
            "feature": one["feature"],
            "constant": one["constant"],
            "separation": one["separation"],
            **{
                f"{key}_{word}": (one[word] or {}).get(key) for word in ("without", "with") for key in Agreement._fields
            },
        }
        for one in found["features"]
    ]


def variation_rows(found: Row) -> list[Row]:
    """Return one row per feature and nuisance parameter: how many standard deviations of the data it moves it."""
    return [
        {
            "feature": one["feature"],
            "parameter": name,
            "up": pair[0],
            "down": pair[1],
            "shape_up": one["shapes"][name][0],
            "shape_down": one["shapes"][name][1],
        }
        for one in found["features"]
        for name, pair in one["shifts"].items()
    ]
