"""What makes numbers less trustworthy than they look: one line per kind, with names, cause and remedy."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd

from nuisflow.comparison import agreement
from nuisflow.comparison.trainings import DATA, Run, fewest_events
from nuisflow.report import findings
from nuisflow.report.findings import MOST_NAMES, TARGET, few, listed, named, number, percent
from nuisflow.report.tables import probability
from nuisflow.slices.report import PlotSettings, ReportSettings

_BIAS_ERRORS = 4.0
_BIAS = 0.1
_MC_SHARE = 1 / 3
# ASSUME: where intervals cover too rarely by 3 % or more in tests/studies/shrinking_simulation.py (arXiv:2401.10542): a
# simulation of few events that dominates, or one that matters while other parameters act almost like the signal.
SCARCE, _SCARCE_SHARE = 100, 0.75
_ALIKE, _ALIKE_SHARE = 2.0, 0.5
_PARABOLIC = 0.10
_FAILED_TOYS = 0.01
_POOR_FIT = 0.01
_LARGE_PULL = 2.0
_SIMULATE = "Simulate more events or use fewer bins."


class Caution(NamedTuple):
    """One kind of trouble: what, for whom and why; what to do about it; and every single case."""

    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()


def cautions(tables: Mapping[str, pd.DataFrame], fits: Mapping[Run, Any], settings: ReportSettings) -> list[Caution]:
    """Return what to be careful about at nominal: fits, coverage, simulation, agreement with the data."""
    return [
        *_failed(fits, settings.trainings),
        *_remarked(fits, settings.trainings),
        *_coverage(tables["coverage"], tables["trainings"], fits, settings.trainings),
        *_single_bins(fits, settings),
        *_simulation(tables["trainings"], fits),
        *_unknown_simulation(tables["trainings"]),
        *_parabolic(tables["trainings"]),
        *_poor(tables["trainings"], fits, settings),
        *_pulls(fits, settings),
    ]


def _failed(fits: Mapping[Run, Any], names: Mapping[str, str]) -> Iterator[Caution]:
    """Count fits that did not converge."""
    found = [(run, data, fit[data]) for run, fit in fits.items() for data in DATA if fit.get(data)]
    lost = [(run, data, result) for run, data, result in found if not result["converged"]]
    if lost:
        yield Caution(
            f"{len(lost)} of {len(found)} fits did not converge and are left out: "
            f"{few(f'{named(run, names)}, {data} data' for run, data, _ in lost)}.",
            "Mostly a parameter that nothing determines, or a bin without background: see the messages; use fewer "
            "bins, or narrower fit.bounds.",
            tuple(f"{named(run, names)}, {data} data: {result.get('message') or '–'}" for run, data, result in lost),
        )


def _remarked(fits: Mapping[Run, Any], names: Mapping[str, str]) -> Iterator[Caution]:
    """Count fits that converged with a remark."""
    found = [
        (named(run, names), f"{named(run, names)}, {data} data: {fit[data]['message']}")
        for run, fit in fits.items()
        for data in DATA
        if fit.get(data) and fit[data]["converged"] and fit[data].get("message")
    ]
    if found:
        number_of = "1 fit" if len(found) == 1 else f"{len(found)} fits"
        yield Caution(
            f"{number_of} converged with a remark: {few(name for name, _ in found)}.",
            "Such an interval may end at a bound, or differ from what the curvature of the likelihood says.",
            tuple(text for _, text in found),
        )


def _coverage(
    coverage: pd.DataFrame, trainings: pd.DataFrame, fits: Mapping[Run, Any], names: Mapping[str, str]
) -> Iterator[Caution]:
    """Say where intervals cover too often or too rarely, best fits are biased, or many fits failed."""
    unbinned, moving = set(trainings.loc[trainings["strategy"] == "unbinned", "training"]), rebinned(fits)
    kinds: dict[str, list[tuple[str, str, str]]] = {}
    for (name, truth), table in coverage.groupby(["training", "mu_true"], sort=False):
        label, where = names.get(str(name), str(name)), f"at a true value of {truth:g}"
        value, error = findings.pooled_coverage(table)
        toys, bias = table["toys"].sum(), float(table["pull_mean"].mean())
        found = {}
        if findings.is_off(value, error):
            narrow = "rebinned" if name in moving else "narrow"
            found["wide" if value > TARGET else narrow] = f"{100 * value:.1f} ± {100 * error:.1f} %"
        if abs(bias) > max(_BIAS, _BIAS_ERRORS / math.sqrt(toys)):
            found["bias"] = number(bias, 2)
        for kind in ("failed", "unbounded"):
            if (number_of := table[kind].sum()) > _FAILED_TOYS * toys:
                found[kind] = f"{number_of:.0f} of {toys:.0f}"
        for kind, measured in found.items():
            kinds.setdefault(kind, []).append((str(name), f"{label} ({measured})", f"{label}: {measured} {where}"))
    for kind, (text, remedy) in _TOYS.items():
        if cases := kinds.get(kind):
            single = kind in ("narrow", "bias") and any(name in unbinned for name, _, _ in cases)
            yield Caution(
                text.format(few(short for _, short, _ in cases)),
                f"{remedy} {_SINGLE_EVENTS}" if single else remedy,
                tuple(case for _, _, case in cases),
            )


def rebinned(fits: Mapping[Run, Any]) -> set[str]:
    """Return the trainings whose data are binned anew at every hypothesised z."""
    return {run.training for run, fit in fits.items() if fit.get("score", {}).get("asimov", 0.0) is None}


MOVING = (
    "Their data are binned anew at every hypothesised z, and how events happen to move between the bins counts as "
    "knowledge of z.",
    "Do not quote such an interval: set rebinned of these trainings to false.",
)
"""Why intervals of such trainings are too narrow, and what to do."""
_SINGLE_EVENTS = "Of single events: raise events_seen or the degree of the training; see the closure."
_HONEST = f"instead of {100 * TARGET:.1f} %"
_TOYS = {
    "narrow": (
        f"Intervals contain the true value too rarely, so they are too narrow: {{}} {_HONEST}.",
        "Do not quote such an interval: simulate more events, use fewer bins, or widen the priors.",
    ),
    "rebinned": (
        f"Intervals contain the true value too rarely: {{}} {_HONEST}. {MOVING[0]}",
        MOVING[1],
    ),
    "wide": (
        f"Intervals contain the true value too often, so they are too wide: {{}} {_HONEST}.",
        "Few expected events do that; the interval is safe, not sharp.",
    ),
    "bias": (
        "Best fits are biased, in units of their uncertainty on average: {}.",
        "Few events in the most sensitive bins do that: use fewer bins, or larger templates.minimum_events.",
    ),
    "failed": (
        "More than one in a hundred fits to pseudo-experiments failed: {}.",
        "They count as not covered, and bias and pulls are those of the others only: use fewer bins, or larger "
        "templates.minimum_events.",
    ),
    "unbounded": (
        "More than one in a hundred pseudo-experiments have an interval without an end: {}.",
        "They count as not covered. Where the data do not exclude any value, no interval has an end: widen fit.bounds, "
        "or use fewer bins.",
    ),
}


def _asked(settings: ReportSettings, region: str) -> int:
    """Return how many bins the configuration asks for in a region."""
    content = settings.configuration
    binning = (content.get("regions", {}).get(region) or {}).get("binning") or content["templates"]["binning"]
    return len(binning["edges"]) - 1 if binning.get("edges") else int(binning.get("number") or 1)


def _single_bins(fits: Mapping[Run, Any], settings: ReportSettings) -> Iterator[Caution]:
    """Name regions of which one bin is left, though more were asked for."""
    single: dict[str, list[str]] = {}
    for run, fit in fits.items():
        for region, yields in (fit.get("asimov") or {}).get("yields", {}).get("prefit", {}).items():
            if len(yields["total"]) == 1 and _asked(settings, region) > 1:
                single.setdefault(region, []).append(named(run, settings.trainings))
    for region, runs in single.items():
        yield Caution(
            f"One bin is left of {settings.regions.get(region, (region, ''))[0]} for {few(runs)}: it is a counting "
            "experiment there, whatever the training has learned.",
            "Bins were merged for templates.binning.minimum_events: simulate more events or lower it.",
        )


def _parabolic(trainings: pd.DataFrame) -> Iterator[Caution]:
    table = trainings.assign(excess=trainings["sigma"] / trainings["sigma_hessian"] - 1)
    found = table[table["excess"].abs() > _PARABOLIC]
    if len(found):
        words = [f"{row['label']} ({row['data']} data, {percent(row['excess'], 0)})" for _, row in found.iterrows()]
        yield Caution(
            f"The profile-likelihood interval differs from the parabolic error of the Hessian: {few(words)}.",
            "All numbers here are of the former; do not use the covariance matrix alone.",
            tuple(words) if len(words) > MOST_NAMES else (),
        )


def _poor(trainings: pd.DataFrame, fits: Mapping[Run, Any], settings: PlotSettings) -> Iterator[Caution]:
    """Say which models describe the data poorly, and where."""
    found = trainings[trainings["p_value"] < _POOR_FIT]
    if len(found):
        words = [f"{row['label']} (p-value {probability(row['p_value'])})" for _, row in found.iterrows()]
        poor = [run for run, fit in fits.items() if run.training in set(found["training"]) and fit.get("observed")]
        where = {run: disagreement(fits[run]["observed"], settings) for run in poor}
        first = f" {named(poor[0], settings.trainings)}: {where[poor[0]]}" if poor else ""
        yield Caution(
            f"The model describes the observed data poorly: {few(words)}.{first}",
            "Look at the figures of these regions: a shape that no variation has, a missing process, a wrong weight.",
            tuple(f"{named(run, settings.trainings)}: {text}" for run, text in where.items()),
        )


def disagreement(result: Mapping[str, Any], settings: PlotSettings) -> str:
    """Return the chi-squared of every region and the bins with the largest pulls of the worst, in words."""
    if not (result["converged"] and result["yields"].get("postfit")):
        return ""
    found = agreement.of(result)
    parts = [
        f"{settings.regions.get(region.name, (region.name, ''))[0]} {region.chi2:.1f} in {len(region.pulls)} bins"
        for region in found.regions
    ]
    rest = [] if math.isnan(found.auxiliary) else [f"nuisance parameters {found.auxiliary:.1f}"]
    worst = found.regions[0]
    bins = [f"bin {place} ({pull:+.1f})".replace("-", "−") for place, pull in agreement.largest(worst, 3)]
    label = settings.regions.get(worst.name, (worst.name, ""))[0]
    return f"χ² by region: {listed([*parts, *rest])}; largest pulls in {label}: {listed(bins)}."


def _simulation(trainings: pd.DataFrame, fits: Mapping[Run, Any]) -> Iterator[Caution]:
    """Say where the simulation is too small, and whether that makes intervals too narrow or only wide."""
    scarce, alike, large = [], [], []
    for _, row in trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()].iterrows():
        share = row["sigma_mcstat"] / row["sigma"]
        own = {run: fit for run, fit in fits.items() if run.training == row["training"]}
        events = min((fewest_events(fit) for fit in own.values()), default=math.nan)
        name = f"{row['label']} ({100 * share:.0f} %)"
        if share > _SCARCE_SHARE and events < SCARCE:
            scarce.append(f"{row['label']} ({100 * share:.0f} % of σ, {events:.0f} events)")
        elif share > _ALIKE_SHARE and findings.without_simulation(row) > _ALIKE * row["sigma_stat"]:
            alike.append(name)
        elif share > _MC_SHARE:
            large.append(name)
    if scarce:
        yield Caution(
            f"The simulation is too small for {few(scarce)}: intervals cover too rarely where it dominates the "
            f"uncertainty and bins have fewer than about {SCARCE} effective simulated events (arXiv:2401.10542).",
            _SIMULATE,
        )
    if alike:
        yield Caution(
            f"The finite simulation makes up more than half of the total uncertainty of {few(alike)}, and nuisance "
            "parameters act almost like the signal strength: intervals then cover too rarely even with hundreds of "
            "simulated events per bin (arXiv:2401.10542).",
            _SIMULATE,
        )
    if large:
        yield Caution(
            f"The finite simulation makes up more than a third of the total uncertainty of {few(large)}.",
            "A larger one would measure better.",
        )


def same_sides(notes: Iterable[tuple[Run, Mapping[str, Any]]], settings: ReportSettings) -> Iterator[Caution]:
    """Name weights whose up and down change yields in the same direction in most places where they act."""
    content = settings.configuration
    told = [note for _, note in notes if note.get("kind") == "same_side" and " the yield " in str(note.get("text"))]
    found: dict[str, tuple[str, ...]] = {}
    for name, variation in content["variations"].items():
        cases = {f"{note['region']}, {note['process']}: {note['text']}" for note in told if note["variation"] == name}
        regions, processes = (variation.get(key) or content[key] for key in ("regions", "processes"))
        places = {case.partition(": ")[0] for case in cases}
        if variation["kind"] == "weight" and 2 * len(places) > len(regions) * len(processes):
            found[variation.get("label") or name] = tuple(sorted(cases))
    if found:
        yield Caution(
            f"Up and down of a weight change the yields in the same direction: {few(found)}.",
            "They are factors on the weight of the event: for weights or scale factors as a whole write the ratio, "
            "such as up: sf_up / sf. If both are meant, the fit sees an uncertainty to one side only.",
            tuple(f"{name}: {case}" for name, cases in found.items() for case in cases),
        )


def _unknown_simulation(trainings: pd.DataFrame) -> Iterator[Caution]:
    """Name trainings whose uncertainty is without the finite simulation, where that of others is with it."""
    fitted = trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()]
    unknown = fitted[fitted["sigma_mcstat"].isna()]
    if len(unknown) and (fitted["sigma_mcstat"] > findings.NEGLIGIBLE * fitted["sigma"]).any():
        yield Caution(
            f"The uncertainty of {few(map(str, unknown['label']))} does not include the finite "
            "simulation, that of the others does: ranked with them, it looks too good.",
            "Ask for replicas of this training (replicas: 10), whose spread is the missing part.",
        )


def _pulls(fits: Mapping[Run, Any], settings: PlotSettings) -> Iterator[Caution]:
    """Name parameters that observed data pull far, once for all trainings, the farthest first."""
    found: dict[str, float] = {}
    for fit in fits.values():
        for parameter in (fit.get("observed") or {}).get("parameters", []):
            pull, name = parameter["pull"], parameter["name"]
            if pull is not None and not name.endswith("]") and abs(pull) > max(_LARGE_PULL, abs(found.get(name, 0))):
                found[name] = pull
    if found:
        words = [
            f"{settings.variations.get(name, name)} ({number(pull, 1)})"
            for name, pull in sorted(found.items(), key=lambda item: -abs(item[1]))
        ]
        yield Caution(
            f"The observed data pull nuisance parameters far, in prior standard deviations: {few(words)}.",
            "Ask whether the data can know this parameter so well, or whether it stands for something that is missing.",
            tuple(words) if len(words) > MOST_NAMES else (),
        )
