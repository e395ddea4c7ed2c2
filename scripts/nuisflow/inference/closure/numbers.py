"""Everything that closure.json tells of one training, as plain values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.inference.closure import convergence
from nuisflow.inference.closure.differences import Sets, difference, separation
from nuisflow.inference.closure.probes import Moved, Nominal, Probes
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.measurements import finite
from nuisflow.templates import polynomials

CURVE = 15
"""Bins of the curves of calibration."""
SHOWN = 8
"""Features whose distributions are kept: those that differ most."""


def closure(probes: Probes, model: UnbinnedModel) -> dict[str, Any]:
    """Return all numbers that need no data and no fit.

    *normalisation*: mean ratios, minus 1; largest error of the polynomials of means, in ln; at every place *response*,
    mean response over counted yield, and *yield*, polynomial over counted yield, both minus 1; *yields*: where the
    latter is off, or nothing was counted. *reweighting*: features and classifier between reweighted and true events.
    *calibration*: the same of the learned quantity itself. *confirmed*: factors on responses to alternative samples
    that held-out events asked for, by fold, with errors; below 1 where training events were learned by heart.
    *convergence*: see there. *events*: effective number and
    largest contribution. *support*: events of the data beyond all simulated ones.
    """
    nominal = probes.nominal()
    measured = convergence.Templates(model, nominal)
    places, features, tests, curves = [], *_ratios(probes, nominal)
    rows: dict[int, list[tuple[Moved, Sets]]] = {}
    for moved in probes.moved():
        sets = _reweighted(probes, moved)
        places.append(_place(probes, model, moved))
        if moved.there is not None:
            measured.add(moved, convergence.parameters(model, probes.strategy, moved.process))
            curves.append(_response_curve(probes, nominal, moved, sets))
        if moved.place.is_shown:
            features += _features(probes, nominal, sets, _words(probes, moved.process, moved.place.words))
            rows.setdefault(moved.process, []).append((moved, sets))
    tests += [_tested(probes, nominal, process, found) for process, found in rows.items()]
    known = model.description["closure"]
    return {
        "normalisation": {
            "ratios": known["ratios"], "norms": known["norms"], "yields": known["yields"], "places": places,
        },
        "reweighting": {"features": _fewer(features), "classifier": tests},
        "calibration": curves,
        "confirmed": _confirmed(probes),
        "convergence": measured.widths(),
        "events": {"effective": known["effective_events"], "largest": measured.largest},
        "support": known["support"],
    }  # fmt: skip


def _words(probes: Probes, process: int, place: str) -> dict[str, str]:
    return {"process": probes.strategy.processes[process], "place": place}


def _confirmed(probes: Probes) -> list[dict[str, Any]]:
    """Return the factors of `strategies.unbinned` on responses to alternative samples, with their errors."""
    strategy, found = probes.strategy, []
    owners = [(process, row) for process in strategy.processes for row in strategy.monomials(process)]
    for fold, model in enumerate(probes.classifier.folds):
        factors, errors = (model.networks["measured"].get_buffer(name).tolist() for name in ("scales", "scale_errors"))
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        for (process, powers), factor, error in zip(owners, factors, errors, strict=True):
            variation = strategy.variations[int(np.flatnonzero(powers)[0])]
            if variation in strategy.sides:
                rows[process, variation] = {"factor": factor, "error": finite(error)}
        found += [{"process": key[0], "variation": key[1], "fold": fold} | row for key, row in rows.items()]
    return found


# --- normalisation --------------------------------------------------------------------------------------------------


def _response(probes: Probes, moved: Moved, values: Floats) -> Floats:
    """Return S of events of one process at the place of *moved*, from their *values*, (events,)."""
    strategy = probes.strategy
    name = strategy.processes[moved.process]
    first = len(strategy.processes) + sum(len(strategy.monomials(p)) for p in strategy.processes[: moved.process])
    z = np.array([[moved.place.z.get(variation, 0.0) for variation in strategy.variations]])
    monomials = polynomials.values(strategy.monomials(name), z)[0]
    return np.asarray(np.exp(values[:, first : first + len(monomials)] @ monomials))


def _place(probes: Probes, model: UnbinnedModel, moved: Moved) -> dict[str, Any]:
    """Return the normalisation at one place. The events are the same at both: errors are those of differences."""
    before, after = moved.before, moved.after
    reweighted = before * _response(probes, moved, moved.values)
    mean, counted = reweighted.sum() / after.sum(), after.sum() / before.sum()
    s = model.structure
    parameters = convergence.parameters(model, probes.strategy, moved.process)
    there = {parameters[variation]: value for variation, value in moved.place.z.items()}
    z = np.array([there.get(name, 0.0) for name in model.description["learned"]])
    described = float(np.exp(s.yields[0, model.processes.index(_name(probes, moved))] @ np.prod(z**s.powers, axis=1)))
    nominal = probes.strategy.processes[moved.process]
    low, high = (moved.features[before > 0].min(axis=0), moved.features[before > 0].max(axis=0))
    outside = ((moved.moved < low) | (moved.moved > high)).any(axis=1)
    return {
        "process": nominal,
        "place": moved.place.words,
        "z": dict(moved.place.z),
        "response": float(mean - 1),
        "response_error": float(np.sqrt(((reweighted - mean * after) ** 2).sum()) / after.sum()),
        "yield": float(described / counted - 1),
        "yield_error": float(np.sqrt(((after - counted * before) ** 2).sum()) / after.sum()),
        "outside": float(after[outside].sum() / after.sum()),
        "largest": float(reweighted.max() / reweighted.sum()),
    }


def _name(probes: Probes, moved: Moved) -> str:
    return probes.strategy.processes[moved.process]


# --- reweighting ----------------------------------------------------------------------------------------------------


def _reweighted(probes: Probes, moved: Moved) -> Sets:
    """Return nominal events times their response, and those of the place."""
    response = _response(probes, moved, moved.values)
    return Sets(moved.before * response, moved.after, moved.features, moved.moved, moved.entry)


def _features(probes: Probes, nominal: Nominal, sets: Sets, words: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the difference in every feature, with its histograms."""
    found = []
    for index, name in enumerate(probes.features):
        within = nominal.features[:, index], nominal.weight
        one = difference(sets, sets.x[:, index], sets.y[:, index], within)
        found.append({**words, "feature": name} | one.plain(whole=True))
    return found


def _fewer(features: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *features*, those that differ most first; only one each of the first `SHOWN` keeps its histograms."""
    ordered = sorted(features, key=lambda row: -row["in_data"])
    kept = list(dict.fromkeys(row["feature"] for row in ordered))[:SHOWN]
    found = []
    for row in ordered:
        whole = row["feature"] in kept
        if whole:
            kept.remove(row["feature"])
        found.append(row if whole else {name: value for name, value in row.items() if name not in _HISTOGRAMS})
    return found


_HISTOGRAMS = ("edges", "first", "second", "error")


def _tested(probes: Probes, nominal: Nominal, process: int, found: list[tuple[Moved, Sets]]) -> dict[str, Any]:
    """Return what a classifier finds between reweighted and true events of one process, at all places together."""
    parts = [sets for _, sets in found]
    joined = Sets(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    place = np.repeat(np.arange(len(parts)), [len(sets.entry) for sets in parts])
    expected = float(nominal.weight[nominal.process == process].sum()), float(nominal.weight.sum())
    return _words(probes, process, "all") | separation(joined, expected, place).plain()


# --- ratios ---------------------------------------------------------------------------------------------------------


def _ratios(
    probes: Probes, nominal: Nominal
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return features, classifiers and calibration of the reference times every ratio against the process itself."""
    size = len(probes.strategy.processes)
    total = np.bincount(nominal.process, nominal.weight, size)
    share = nominal.weight / total[nominal.process]
    features, tests, curves = [], [], []
    for index in range(size):
        true = np.where(nominal.process == index, nominal.weight, 0.0)
        ratio = np.exp(nominal.values[:, index])
        sets = Sets(total[index] * share * ratio, true, nominal.features, nominal.features, nominal.entry)
        words = _words(probes, index, "nominal")
        features += _features(probes, nominal, sets, words)
        expected = float(total[index]), float(total.sum())
        tests.append(words | separation(sets, expected).plain())
        stages = {}
        for name, logs in (("before", nominal.raw), ("after", nominal.values)):
            first = sets._replace(first=total[index] * share * np.exp(logs[:, index]))
            stages[name] = _curve(
                first, logs[:, index], logs[:, index], total[index] * share, (logs[:, index], nominal.weight)
            )
        curves.append(words | {"kind": "ratio"} | stages)
    return features, tests, curves


def _curve(sets: Sets, x: Floats, y: Floats, base: Floats, within: tuple[np.ndarray, Floats]) -> dict[str, Any]:
    """Return predicted and true means in bins of a learned logarithm: first and second set over *base*, (bins,)."""
    one = difference(sets, x, y, within, CURVE)
    lines, size = one.edges[1:-1], len(one.first)
    below = np.bincount(np.searchsorted(lines, x, side="right"), base, size)
    good = below > 0
    scale = np.where(good, below, 1.0)
    curve = {"predicted": one.first / scale, "true": one.second / scale, "error": one.error / scale}
    return one.plain(whole=False) | {name: values[good].tolist() for name, values in curve.items()}


def _response_curve(probes: Probes, nominal: Nominal, moved: Moved, sets: Sets) -> dict[str, Any]:
    """Return the calibration of the response of a process at an anchor: in bins of ln S of the event where it is."""
    assert moved.there is not None  # for mypy
    own = nominal.process == moved.process
    logs = [np.log(_response(probes, moved, values)) for values in (moved.values, moved.there, nominal.values[own])]
    # Other processes fluctuate in the same bins only where they are like this one: ASSUME they are not.
    within = logs[2], nominal.weight[own]
    stage = _curve(sets, logs[0], logs[1], moved.before, within)
    return _words(probes, moved.process, moved.place.words) | {"kind": "response", "after": stage}
