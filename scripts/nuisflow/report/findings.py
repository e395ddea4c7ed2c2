"""What the tables mean in words: which training is best, how sure that is, and what to be careful about."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import CLEAR, DATA, HINT, Run, fewest_events
from nuisflow.slices.report import PlotSettings

EQUAL = 0.01
"""Trainings whose uncertainties differ by less than this fraction are called practically equal."""
FEW_SEEDS = 5
TARGET = 0.682689492137
"""Coverage of an honest interval of one standard deviation."""
_COVERAGE_ERRORS = 4.0
_COVERAGE_MATTERS = 0.005
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
_REMARKS = 3


def decimals(value: float, digits: int = 4) -> int:
    """Return how many decimals show *value* to *digits* significant digits."""
    if not math.isfinite(value) or value == 0:
        return digits
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def number(value: float, places: int) -> str:
    """Return *value* with *places* decimals and a real minus sign; an en dash if there is none."""
    return "–" if pd.isna(value) else f"{value:.{places}f}".replace("-", "−")


def spread(value: float, places: int) -> str:
    """Return a spread with *places* decimals; one that would read as zero is said to be smaller than the last digit."""
    return f"< {10.0**-places:.{places}f}" if 0 <= value < 0.5 * 10.0**-places else number(value, places)


def percent(value: float, places: int = 1) -> str:
    """Return a fraction as a signed percentage."""
    return "–" if pd.isna(value) else f"{100 * value:+.{places}f} %".replace("-", "−")


def deviations(value: float) -> str:
    """Return a significance in standard deviations."""
    if pd.isna(value):
        return "–"
    return "> 10 σ" if abs(value) > 10 else f"{abs(value):.1f} σ"


def judged(significance: float) -> str:
    """Return what a difference of so many standard deviations is worth: 'established', 'a hint' or 'undecided'."""
    if pd.isna(significance) or abs(significance) < HINT:
        return "undecided"
    return "established" if abs(significance) >= CLEAR else "a hint"


def headline(trainings: pd.DataFrame, settings: PlotSettings) -> list[str]:
    """Return the result in a few sentences, the most important first."""
    expected = trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()]
    if not len(expected):
        return ["No fit converged: there is nothing to compare. See the warnings below."]
    sentences = [_best(expected, settings), *_reference(expected), *_rivals(expected), *_caution(expected)]
    return [*sentences, *_measured(trainings, expected, settings)]


def _best(expected: pd.DataFrame, settings: PlotSettings) -> str:
    best = expected.iloc[0]
    poi = "μ" if settings.poi == "mu" else settings.poi
    places = decimals(best["sigma"])
    seeds = f"median of {best['seeds']} seeds" if best["seeds"] > 1 else "a single seed"
    width = (
        f", which spread by {spread(best['sigma_spread'], places)}".replace("<", "less than")
        if best["seeds"] > 1
        else ""
    )
    value = f"σ({poi}) = {number(best['sigma'], places)} ({seeds}{width})"
    if len(expected) == 1:
        return f"{best['label']} gives {value}. There is no other training to compare it with."
    return f"{best['label']} has the smallest expected uncertainty: {value}."


def _reference(expected: pd.DataFrame) -> Iterator[str]:
    """Compare the best with the training that ignores all uncertainties, if there is one."""
    best = expected.iloc[0]
    plain = expected[(expected["strategy"] == "nominal") & (expected["training"] != best["training"])]
    if len(plain):
        other = plain.iloc[0]
        yield (
            f"That is {100 * (1 - best['sigma'] / other['sigma']):.1f} % smaller than the "
            f"{number(other['sigma'], decimals(best['sigma']))} of {other['label']}, which knows nothing of the "
            f"systematic uncertainties; against the spread between seeds this difference is "
            f"{judged(other['significance'])}{_in_deviations(other['significance'])}."
        )


def _in_deviations(significance: float) -> str:
    return "" if pd.isna(significance) else f" ({deviations(significance)})"


def _rivals(expected: pd.DataFrame) -> Iterator[str]:
    """Say which trainings cannot be told from the best, and which are established to be worse."""
    others = expected.iloc[1:]
    if not len(others):
        return
    undecided = others[others["significance"].map(judged) != "established"]
    open_ones = [_rival(row) for _, row in undecided.iterrows()]
    if not open_ones:
        yield f"All other trainings are worse by at least {CLEAR:g} standard deviations."
    elif len(open_ones) == len(others):
        yield f"No difference to the best is established: {_listed(open_ones)} may be as good."
    else:
        yield f"Not established to be worse: {_listed(open_ones)}."
    if others["relative"].max() < EQUAL:
        widest = 100 * others["relative"].max()
        yield f"All trainings lie within {widest:.1f} %: in practice it hardly matters which is used."


def _rival(row: "pd.Series[Any]") -> str:
    sure = "" if pd.isna(row["significance"]) else f", {deviations(row['significance'])}"
    return f"{row['label']} ({percent(row['relative'])}{sure})"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _caution(expected: pd.DataFrame) -> Iterator[str]:
    seeds = int(expected["seeds"].min())
    if len(expected) > 1 and seeds < FEW_SEEDS:
        few = f"{seeds} seeds resolve only large differences"
        few = few if seeds > 1 else "one seed says nothing about the randomness of training"
        yield f"With learning.seeds: {seeds} be careful: {few}; use {FEW_SEEDS} or more before drawing conclusions."


def _measured(trainings: pd.DataFrame, expected: pd.DataFrame, settings: PlotSettings) -> Iterator[str]:
    """State the measurement of the training that is best on Asimov data: data must not choose the training."""
    observed = trainings[(trainings["data"] == "observed") & trainings["sigma"].notna()]
    chosen = observed[observed["training"] == expected.iloc[0]["training"]]
    poi = "μ" if settings.poi == "mu" else settings.poi
    if len(chosen):
        row = chosen.iloc[0]
        places = decimals(row["sigma"], 2)
        yield (
            f"On the observed data it measures {poi} = {number(row['mu'], places)} "
            f"+{number(row['sigma_up'], places)} −{number(row['sigma_down'], places)}; the best fits of all trainings "
            f"lie between {number(observed['mu'].min(), places)} and {number(observed['mu'].max(), places)}. "
            "The training was chosen by its expected uncertainty, not by the data."
        )
    elif settings.blinded:
        yield "The collision data are blinded: all numbers are expectations (Asimov data)."


# --- warnings -------------------------------------------------------------------------------------------------------


def warnings(tables: Mapping[str, pd.DataFrame], fits: Mapping[Run, Any], settings: PlotSettings) -> list[str]:
    """Return everything that makes a number less trustworthy than it looks."""
    names = settings.trainings
    return [
        *_remarks(fits, names),
        *_coverage_warnings(tables["coverage"], names),
        *_simulation_warnings(tables["trainings"], fits),
        *_uncertainty_warnings(tables["trainings"]),
        *_pull_warnings(fits, settings),
    ]


def _remarks(fits: Mapping[Run, Any], names: Mapping[str, str]) -> Iterator[str]:
    remarks = []
    for run, fit in fits.items():
        for data in DATA:
            result = fit.get(data) or {"converged": True}
            text = str(result.get("message") or "")
            if not result["converged"]:
                reason = f": {text}" if text else ""
                yield f"{_named(run, names)}: the fit to {data} data did not converge and is left out{reason}."
            elif text:
                remarks.append(f"{_named(run, names)}, {data} data: {text}")
    if remarks:
        more = f"; {len(remarks) - _REMARKS} more" if len(remarks) > _REMARKS else ""
        yield f"Some fits converged with a remark (message in fit.json): {'; '.join(remarks[:_REMARKS])}{more}."


def _named(run: Run, names: Mapping[str, str]) -> str:
    return f"{names.get(run.training, run.training)} (seed {run.seed})"


def _coverage_warnings(coverage: pd.DataFrame, names: Mapping[str, str]) -> Iterator[str]:
    for place, table in coverage.groupby(["training", "mu_true"], sort=False):
        training, truth = str(place[0]), place[1]
        value, error = pooled_coverage(table)
        label, failed, toys = names.get(training, training), table["failed"].sum(), table["toys"].sum()
        if is_off(value, error):
            kind = "too often: they are too wide" if value > TARGET else "too rarely: they are too narrow"
            yield (
                f"{label}: its intervals contain the true value {truth:g} {kind} "
                f"({100 * value:.1f} ± {100 * error:.1f} % instead of {100 * TARGET:.1f} %)."
            )
        bias = float(table["pull_mean"].mean())
        if abs(bias) > max(_BIAS, _COVERAGE_ERRORS / math.sqrt(toys)):
            yield f"{label}: best fits are off by {number(bias, 2)} of their uncertainty on average, at {truth:g}."
        if failed > _FAILED_TOYS * toys:
            yield f"{label}: {failed:.0f} of {toys:.0f} fits to pseudo-experiments failed."


def pooled_coverage(table: pd.DataFrame) -> tuple[float, float]:
    """Return the coverage of all seeds together and its error."""
    errors = (table["coverage_high"] - table["coverage_low"]) / 2
    return float(table["coverage"].mean()), float(math.sqrt((errors**2).sum()) / len(table))


def is_off(value: float, error: float) -> bool:
    """Return whether a coverage is wrong by more than chance, among many that are tested, and by enough to matter."""
    return abs(value - TARGET) > max(_COVERAGE_ERRORS * error, _COVERAGE_MATTERS)


def _uncertainty_warnings(trainings: pd.DataFrame) -> Iterator[str]:
    for _, row in trainings.iterrows():
        excess = row["sigma"] / row["sigma_hessian"] - 1
        if abs(excess) > _PARABOLIC:
            yield (
                f"{row['label']} ({row['data']} data): the profile-likelihood interval differs by {percent(excess, 0)} "
                "from the parabolic error of the Hessian; all numbers here are of the former."
            )
        if row["p_value"] < _POOR_FIT:
            yield f"{row['label']}: the model describes the {row['data']} data poorly (p-value {row['p_value']:.2g})."


def _simulation_warnings(trainings: pd.DataFrame, fits: Mapping[Run, Any]) -> Iterator[str]:
    """Say where the simulation is too small, and whether that makes intervals too narrow or only wide."""
    scarce, alike, large = [], [], []
    for _, row in trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()].iterrows():
        share = row["sigma_mcstat"] / row["sigma"]
        own = {run: fit for run, fit in fits.items() if run.training == row["training"]}
        events = min((fewest_events(fit) for fit in own.values()), default=math.nan)
        name = f"{row['label']} ({100 * share:.0f} %)"
        if share > _SCARCE_SHARE and events < SCARCE:
            scarce.append(f"{row['label']} ({100 * share:.0f} % of σ, {events:.0f} events)")
        elif share > _ALIKE_SHARE and _without_simulation(row) > _ALIKE * row["sigma_stat"]:
            alike.append(name)
        elif share > _MC_SHARE:
            large.append(name)
    remedy = "Simulate more events or use fewer bins."
    if scarce:
        yield (
            f"The simulation is too small for {_listed(scarce)}: intervals cover too rarely where it dominates the "
            f"uncertainty and bins have fewer than about {SCARCE} effective simulated events (arXiv:2401.10542). "
            f"{remedy}"
        )
    if alike:
        yield (
            f"The finite simulation makes up more than half of the total uncertainty of {_listed(alike)}, and nuisance "
            "parameters act almost like the signal strength: intervals then cover too rarely even with hundreds of "
            f"simulated events per bin (arXiv:2401.10542). {remedy}"
        )
    if large:
        yield (
            f"The finite simulation makes up more than a third of the total uncertainty of {_listed(large)}: a larger "
            "one would measure better."
        )


def _without_simulation(row: "pd.Series[Any]") -> float:
    """Return the uncertainty if the simulation had no statistical uncertainty."""
    return math.sqrt(max(row["sigma"] ** 2 - row["sigma_mcstat"] ** 2, 0.0))


def scarcest(fits: Mapping[Run, Any], settings: PlotSettings) -> str:
    """Name the bin with the fewest effective simulated background events of all trainings; '' if that is unknown."""
    found = [(row["events"], run, row) for run, fit in fits.items() for row in fit.get("simulation") or ()]
    if not found:
        return ""
    events, run, row = min(found, key=lambda entry: entry[0])
    region = settings.regions.get(row["region"], (row["region"], ""))[0]
    name, _, side = row["variation"].rpartition("_")
    varied = f", {settings.variations.get(name, name)} {side}" if name else ""
    return (
        f"The fewest effective simulated background events are {events:,.0f}, in bin {row['bin'] + 1} of {row['bins']} "
        f"of {region} ({_named(run, settings.trainings)}{varied})."
    )


def intervals(fits: Mapping[Run, Any], settings: PlotSettings) -> str:
    """Count the profile intervals that are not what the Hessian says, of all parameters and fits; '' if unknown."""
    found: dict[str, int] = {}
    checked = 0
    for fit in fits.values():
        for data in DATA:
            compared = (fit.get(data) or {}).get("intervals") or {"checked": 0, "remarks": {}}
            checked += compared["checked"]
            for name in compared["remarks"]:
                found[name] = found.get(name, 0) + 1
    if not checked:
        return ""
    names = {settings.poi: "μ" if settings.poi == "mu" else settings.poi} | dict(settings.variations)
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    listed = [f"{names.get(name, name)} ({count})" for name, count in most[:_REMARKS]]
    more = [f"{len(most) - _REMARKS} more parameters"] if len(most) > _REMARKS else []
    which = f": {_listed([*listed, *more])}" if found else ""
    return (
        "Profile-likelihood intervals that differ from the errors of the Hessian by more than 10 %, or end at a bound: "
        f"{sum(found.values())} of {checked}{which}."
    )


def account(
    tables: Mapping[str, pd.DataFrame], fits: Mapping[Run, Any], notes: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return counts of everything that failed or was changed, zeros included."""
    results = [fit[data] for fit in fits.values() for data in DATA if fit.get(data)]
    failed = sum(not result["converged"] for result in results)
    toys = tables["coverage"][["failed", "toys"]].sum()
    kinds = pd.Series([str(note.get("kind")) for note in notes], dtype=str).value_counts()
    changes = [
        f"{kinds.get(kind, 0)} {words}"
        for kind, words in (
            ("merged", "bins merged"),
            ("filled_up", "templates filled up"),
            ("pruned", "effects pruned"),
            ("dropped", "effects dropped"),
            ("left_out", "processes left out of a region"),
        )
    ]
    return [
        f"Fits that did not converge: {failed} of {len(results)}.",
        f"Pseudo-experiments whose fit failed: {toys['failed']:,.0f} of {toys['toys']:,.0f}.",
        f"Templates of all trainings and seeds: {', '.join(changes)}.",
    ]


def _pull_warnings(fits: Mapping[Run, Any], settings: PlotSettings) -> Iterator[str]:
    """Name parameters that observed data pull far, once for all trainings."""
    found: dict[str, float] = {}
    for fit in fits.values():
        for parameter in (fit.get("observed") or {}).get("parameters", []):
            pull, name = parameter["pull"], parameter["name"]
            if pull is not None and not name.endswith("]") and abs(pull) > max(_LARGE_PULL, abs(found.get(name, 0))):
                found[name] = pull
    for name, pull in found.items():
        label = settings.variations.get(name, name)
        yield f"{label} is pulled by up to {number(pull, 1)} prior standard deviations by the observed data."
