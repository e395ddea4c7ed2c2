"""What closure says of likelihoods of single events, in words: warnings with their thresholds, and a table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nuisflow.comparison.trainings import Run
from nuisflow.report.cautions import Caution
from nuisflow.report.findings import few, named, number, percent
from nuisflow.slices.report import PlotSettings

CHANCE, ERRORS = 0.001, 4.0
"""A difference counts if chance makes a larger one less often, or if it is so many of its errors."""
VISIBLE = 0.5
"""Standard deviations of the data that a difference of distributions may reach."""
YIELD, RESPONSE = 0.01, 0.05
"""Relative errors that the polynomial of a yield, and the mean of a response within one deviation, may have."""
BELOW = 0.02
"""By how much templates may promise less than single events: they cannot know more."""
OUTSIDE, LARGEST = 0.01, 0.05
"""Part of varied events where there are no nominal ones, within one deviation; of one event in the information."""
OFF_TRUTH, OFF_RATIO, OFF_NORM = 0.1, 0.01, 0.01
"""Shift of expected data in errors, mean of a ratio less 1, ln of the mean of a response."""
BY_HEART = 0.9
"""Factor that held-out events ask for on a response, below which the training has learned single events by heart."""
SCATTER = 2.0
"""Standard deviations up to which such a shift is what chance in the simulation makes."""


def cautions(closures: Mapping[Run, Any], settings: PlotSettings) -> list[Caution]:
    """Return one caution per kind of trouble."""
    found: dict[str, list[tuple[str, str]]] = {}
    for run, closure in closures.items():
        name = named(run, settings.trainings)
        for kind, text in _troubles(closure):
            found.setdefault(kind, []).append((name, f"{name}: {text}"))
    return [
        Caution(words.format(few(name for name, _ in found[kind])), remedy, tuple(text for _, text in found[kind]))
        for kind, (words, remedy) in _KINDS.items()
        if kind in found
    ]


_KINDS = {
    "learned": (
        f"Expected data are fitted best away from the truth, by more than {OFF_TRUTH:g} of an error, in {{}}: "
        "networks, or a polynomial in z, that are not right yet.",
        "Raise events_seen of the training, or its degree; simulate more events.",
    ),
    "scattered": (
        f"Too few simulated events: expected data of them are fitted best more than {OFF_TRUTH:g} of an error away "
        "from the truth by chance alone in {}, and so are pseudo-experiments, whose coverage is then too low. "
        "Learning better changes nothing.",
        "Simulate many more events than the data have; ask for replicas of the training, whose spread is that of the "
        "finite simulation.",
    ),
    "loose": (
        "Densities of single events are not normalised to 1 % in {}.",
        "Raise events_seen of the training, or choose fewer and closer toys.displacements; see its closure.json.",
    ),
    "by heart": (
        f"Few alternative events were learned by heart in {{}}: held-out ones confirm less than {BY_HEART:g} of the "
        "response to them (by more than two errors), to which it was shrunk.",
        "Simulate more alternative events, or lower events_seen of the training.",
    ),
    "beyond": (
        "Events of the data have features beyond those of all simulated events, where densities are guesses, in {}.",
        "Look whether data and simulation mean the same by this feature; exclude such events in 'selection', or "
        "simulate more.",
    ),
    "observed": (
        f"Observed events differ from the fitted model in features, in ln R (chance below {100 * CHANCE:g} %, divided "
        f"by the number of features) or for a classifier (AUC more than {ERRORS:g} errors from 0.5) in {{}}.",
        "Look at this feature in data and simulation: a shape that no variation has, a missing process, a wrong "
        "weight.",
    ),
    "distributions": (
        f"Learned densities of single events differ from simulation by more than {VISIBLE:g} standard deviations of "
        "the data, and more than by chance, in {}.",
        "Raise events_seen or the degree of the training; a distribution that differs names the feature and the place.",
    ),
    "normalisation": (
        f"Yields between and beyond the points at which they were counted are off by more than {100 * YIELD:g} %, or "
        f"mean responses within one deviation by more than {100 * RESPONSE:g} %, in {{}}.",
        "Add points to toys.displacements, or raise the degree of the training; name pairs of variations in pairs.",
    ),
    "convergence": (
        f"Templates of the learned ratio promise an uncertainty more than {100 * BELOW:g} % below the one of single "
        "events in {}: no histogram knows more than all events.",
        "The response is learned wrongly: raise events_seen of the training.",
    ),
    "support": (
        f"More than {100 * OUTSIDE:g} % of varied events lie where there are no nominal ones, or one simulated event "
        f"is more than {100 * LARGEST:g} % of the information, in {{}}.",
        "Simulate more events; no weight makes events where there are none.",
    ),
}


def _troubles(closure: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and words of everything that is beyond a threshold."""
    yield from _shifts(closure)
    yield from (("loose", text) for text in _loose(closure["normalisation"]))
    yield from (("by heart", text) for text in _by_heart(closure["confirmed"]))
    for feature, events in closure["support"]["outside"].items():
        yield "beyond", f"{events} of {closure['support']['data']} events, by {feature}"
    yield from _observed(closure.get("observed"))
    for row in closure["reweighting"]["features"]:
        if row["p_value"] < CHANCE and row["in_data"] > VISIBLE:
            yield "distributions", f"{row['feature']} of {row['process']} at {row['place']}: {_size(row)}"
    for row in closure["reweighting"]["classifier"]:
        if abs(row["auc"] - 0.5) > ERRORS * row["error"] and row["in_data"] > VISIBLE:
            where = f"{row['process']} at {row['place']}" if row["place"] != "all" else f"{row['process']}, varied"
            yield "distributions", f"a classifier tells {where} apart: AUC {number(row['auc'], 3)}"
    for row in closure["normalisation"]["places"]:
        where, near = f"{row['process']} at {row['place']}", max(map(abs, row["z"].values())) <= 1
        if abs(row["yield"]) > max(YIELD, ERRORS * row["yield_error"]):
            yield "normalisation", f"yield of {where}: {percent(row['yield'])}"
        if near and abs(row["response"]) > max(RESPONSE, ERRORS * row["response_error"]):
            yield "normalisation", f"mean response of {where}: {percent(row['response'])}"
        if near and row["outside"] > OUTSIDE:
            yield "support", f"{where}: {_share(row['outside'])} outside"
    best = closure["convergence"]["binned"][-1]["sigma"] / closure["convergence"]["unbinned"] - 1
    if best < -BELOW:
        yield "convergence", f"{percent(best)} in {closure['convergence']['binned'][-1]['bins']} bins"
    if closure["events"]["largest"] > LARGEST:
        yield "support", f"one event has {_share(closure['events']['largest'])} of the information"


def _shifts(closure: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the parameters that expected data shift: by what was learned, or by chance in the simulation alone."""
    for parameter, shift in closure["shifts"].items():
        if shift is not None and abs(shift) > OFF_TRUTH:
            chance = closure["scatter"][parameter] or 0.0
            text = f"{parameter} by {number(shift, 2)} of its error (by chance: ± {number(chance, 2)})"
            yield "scattered" if abs(shift) < SCATTER * chance else "learned", text


def _by_heart(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the responses to alternative samples that held-out events do not confirm."""
    for row in rows:
        if row["error"] is not None and row["factor"] + 2 * row["error"] < BY_HEART:
            factor = f"{number(row['factor'], 2)} ± {number(row['error'], 2)}"
            yield f"{row['process']}, {row['variation']} (fold {row['fold']}): {factor}"


def _loose(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield what in a likelihood of single events is not normalised."""
    for process, mean in found["ratios"].items():
        if abs(mean) > OFF_RATIO:
            yield f"the mean ratio of {process} is off by {percent(mean)}"
    if found["norms"] > OFF_NORM:
        yield f"the mean of a response is described to {percent(found['norms'])} only"
    for row in found["yields"]:
        off = "there are no events" if row["off"] is None else f"its polynomial is off by {percent(row['off'])}"
        yield f"the yield of {row['process']} at {row['place']}: {off}"


def _observed(found: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield where observed events differ from the model at the best fit."""
    if not found:
        return
    rows, tested = found["features"], found["classifier"]
    listed = [(row["feature"], row) for row in rows if row["p_value"] < CHANCE / len(rows)]
    listed += [("ln R", found["log_ratio"])] if found["log_ratio"]["p_value"] < CHANCE else []
    for name, row in listed:
        yield "observed", f"{name}: χ² = {row['chi2']:.0f} for {row['ndof']}, chance {row['p_value']:.1g}"
    if abs(tested["auc"] - 0.5) > ERRORS * tested["error"]:
        yield "observed", f"a classifier tells data from the model: AUC {_area(tested)}"


def _size(row: Mapping[str, Any]) -> str:
    return f"χ² = {row['chi2']:.0f} for {row['ndof']}, {number(row['in_data'], 2)} standard deviations of the data"


def section(closure: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was asked and the answer of one training, in words; nothing of other trainings."""
    if not closure:
        return []
    tests, rows = closure["reweighting"], closure["normalisation"]["places"]
    worst = max(tests["features"], key=lambda row: row["in_data"])
    apart = max(tests["classifier"], key=lambda row: abs(row["auc"] - 0.5))
    shift = max(closure["shifts"].items(), key=lambda item: abs(item[1] or 0.0))
    bins = [f"{number(row['sigma'], 4)} ({row['bins']})" for row in closure["convergence"]["binned"]]
    ratio = max(closure["normalisation"]["ratios"].items(), key=lambda item: abs(item[1]))
    answers = [
        ("Mean of a ratio over the reference, minus 1", f"{percent(ratio[1], 2)} ({ratio[0]})"),
        ("Largest χ² of a feature, by what data would see", f"{_size(worst)} ({_where(worst)})"),
        ("Classifier between learned and true events", f"AUC {_area(apart)} ({apart['process']}, {apart['place']})"),
        ("Expected data, fitted: farthest parameter", f"{shift[0]}, {number(shift[1] or 0.0, 2)} of its error"),
        ("Uncertainty by bins of the ratio, and of events", f"{', '.join(bins)}; {_unbinned(closure)}"),
        ("Largest part of one event in the information", _share(closure["events"]["largest"])),
    ]
    if rows:
        far = max(rows, key=lambda row: abs(row["yield"]))
        text = f"{percent(far['yield'], 2)} ± {100 * far['yield_error']:.2f} % ({far['process']} at {far['place']})"
        answers.insert(1, ("Farthest yield, two parameters at once included", text))
    return answers + _data(closure.get("observed"))


def _data(found: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return what was asked of observed events, if they may be looked at."""
    if not found:
        return []
    feature, ratio = found["features"][0], found["log_ratio"]
    return [
        ("Classifier between data and fitted model", f"AUC {_area(found['classifier'])}"),
        ("ln R of data and fitted model", _chance(ratio)),
        ("Feature in which they differ most", f"{feature['feature']}: {_chance(feature)}"),
    ]


def _chance(row: Mapping[str, Any]) -> str:
    return f"χ² = {row['chi2']:.1f} for {row['ndof']}, p-value {row['p_value']:.2g}"


def _share(value: float) -> str:
    return f"{100 * value:.2g} %"


def _where(row: Mapping[str, Any]) -> str:
    return f"{row['feature']} of {row['process']} at {row['place']}"


def _area(row: Mapping[str, Any]) -> str:
    return f"{number(row['auc'], 4)} ± {number(row['error'], 4)}"


def _unbinned(closure: Mapping[str, Any]) -> str:
    return f"{number(closure['convergence']['unbinned'], 4)} (events)"
