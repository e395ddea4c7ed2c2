"""What the tables mean in words: what was measured, which training is best, and how sure that is."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import CLEAR, DATA, HINT, TRUTH, Run
from nuisflow.slices.report import PlotSettings, ReportSettings

EQUAL = 0.01
"""Trainings whose uncertainties differ by less than this fraction are called practically equal."""
NEGLIGIBLE = 0.01
"""Part of an uncertainty below which the finite simulation does not matter."""
FEW_SEEDS = 5
TARGET = 0.682689492137
"""Coverage of an honest interval of one standard deviation."""
_COVERAGE_ERRORS = 4.0
_COVERAGE_MATTERS = 0.005
_REMARKS = 3
_MOST_SOURCES = 6
MOST_NAMES = 5
"""Names that a sentence lists; of more it gives the number."""


def decimals(value: float, digits: int = 3) -> int:
    """Return how many decimals show *value* to *digits* significant digits."""
    if not math.isfinite(value) or value == 0:
        return digits
    return max(0, digits - 1 - math.floor(math.log10(abs(value))))


def number(value: float, places: int) -> str:
    """Return *value* with *places* decimals and a real minus sign, none before a zero; an en dash if there is none."""
    return "–" if pd.isna(value) else f"{value:z.{places}f}".replace("-", "−")


def spread(value: float, places: int) -> str:
    """Return a spread with *places* decimals; one that would read as zero is said to be smaller than the last digit."""
    return f"< {10.0**-places:.{places}f}" if 0 <= value < 0.5 * 10.0**-places else number(value, places)


def percent(value: float, places: int = 1) -> str:
    """Return a fraction as a signed percentage."""
    return "–" if pd.isna(value) else f"{100 * value:+z.{places}f} %".replace("-", "−")


def deviations(value: float) -> str:
    """Return how sure a difference between trainings is; never in σ, which readers take for that of the signal."""
    if pd.isna(value):
        return "–"
    return "> 10 sd" if abs(value) > 10 else f"{abs(value):.1f} sd"


def sureness(value: float) -> str:
    """Return what a difference between trainings is worth, and why, such as 'undecided (1.4 sd)'."""
    return judged(value) + ("" if pd.isna(value) else f" ({deviations(value)})")


def poi_name(settings: PlotSettings) -> str:
    """Return the parameter of interest in words."""
    return "μ" if settings.poi == "mu" else settings.poi


def judged(significance: float) -> str:
    """Return what a difference of so many standard deviations is worth: 'established', 'a hint' or 'undecided'."""
    if pd.isna(significance) or abs(significance) < HINT:
        return "undecided"
    return "established" if abs(significance) >= CLEAR else "a hint"


def headline(
    trainings: pd.DataFrame,
    settings: PlotSettings,
    summary: pd.DataFrame | None = None,
    coverage: pd.DataFrame | None = None,
) -> list[str]:
    """Return the result in a few sentences, the most important first: what the data say, once they are looked at.

    *summary* has the tests of every fit, of which significance and limits of the signal are stated; *coverage* the
    pseudo-experiments at nominal, which say whether the best training's interval is one.
    """
    expected = trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()]
    if not len(expected):
        return ["No fit converged: there is nothing to compare. See the warnings below."]
    found = list(_measured(trainings, expected, settings, summary))
    narrow = [] if coverage is None else list(_too_narrow(expected, coverage))
    differences = [*_simulation(expected), *_reference(expected), *_rivals(expected)]
    compared = [_best(expected, settings), *(narrow or differences), *_caution(expected)]
    return [*found, *compared] if not settings.blinded else [*compared, *found]


def _best(expected: pd.DataFrame, settings: PlotSettings) -> str:
    best = expected.iloc[0]
    poi = poi_name(settings)
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


def _too_narrow(expected: pd.DataFrame, coverage: pd.DataFrame) -> Iterator[str]:
    """Say whose uncertainty is the smallest of those that hold, where that of the best does not.

    Differences to the best mean nothing then.
    """
    narrow = {}
    for name, table in coverage.groupby("training"):
        nearest = (table["mu_true"] - TRUTH).abs()
        value, error = pooled_coverage(table[nearest == nearest.min()])
        if too_rare(value, error):
            narrow[name] = f"{100 * value:.1f} ± {100 * error:.1f} %"
    best, others = expected.iloc[0], expected[~expected["training"].isin(list(narrow))]
    if best["training"] not in narrow:
        return
    words = "No other training is known to do better." if len(expected) > 1 else "Do not quote it."
    if len(others):
        first = others.iloc[0]
        sigma = number(first["sigma"], decimals(best["sigma"]))
        words = f"Of those whose intervals are not known to be too narrow, {first['label']} has the smallest: {sigma}."
    yield (
        f"But its intervals are too narrow: they contain the true value in {narrow[best['training']]} of "
        f"pseudo-experiments instead of {100 * TARGET:.1f} %. {words}"
    )


def _simulation(expected: pd.DataFrame) -> Iterator[str]:
    """Say what the best of the others has without the finite simulation, where only the best does not know this."""
    best, others = expected.iloc[0], expected[expected["sigma_mcstat"] > NEGLIGIBLE * expected["sigma"]]
    if pd.isna(best["sigma_mcstat"]) and len(others):
        bare, label = min((without_simulation(row), row["label"]) for _, row in others.iterrows())
        value = number(bare, decimals(best["sigma"]))
        yield f"This is without the finite simulation, which the others contain: without it, {label} has {value}."


def without_simulation(row: "pd.Series[Any]") -> float:
    """Return the uncertainty if the simulation had no statistical uncertainty."""
    return math.sqrt(max(row["sigma"] ** 2 - row["sigma_mcstat"] ** 2, 0.0))


def _reference(expected: pd.DataFrame) -> Iterator[str]:
    """Compare the best with the training that ignores all uncertainties, if there is one."""
    best = expected.iloc[0]
    plain = expected[(expected["strategy"] == "nominal") & (expected["training"] != best["training"])]
    if len(plain):
        other, places = plain.iloc[0], decimals(best["sigma"])
        yield (
            f"That is {100 * (1 - best['sigma'] / other['sigma']):.1f} % smaller than the "
            f"{number(other['sigma'], places)} of {other['label']}, which knows nothing of the "
            f"systematic uncertainties; {_means(other, places)} {sureness(other['significance'])}."
        )


def _means(other: "pd.Series[Any]", places: int) -> str:
    """Say which difference to the best is judged: that of the means, which medians may hide."""
    if pd.isna(other["significance"]):
        return "by a single seed of one of them this difference is"
    gap, error = number(other["difference"], places), spread(other["difference_error"], places)
    return f"the means over seeds differ by {gap} ± {error}, which is"


def _rivals(expected: pd.DataFrame) -> Iterator[str]:
    """Say which trainings cannot be told from the best, and which are established to be worse."""
    others = expected.iloc[1:]
    if not len(others):
        return
    sure = others["significance"].map(judged) == "established"
    worse, open_ones = ([_rival(row) for _, row in others[chosen].iterrows()] for chosen in (sure, ~sure))
    if not open_ones:
        yield f"All other trainings are worse by at least {CLEAR:g} standard deviations."
    elif not worse:
        yield f"No difference to the best is established: {few(open_ones)} may be as good."
    else:
        yield f"Established to be worse: {few(worse)}. Not established: {few(open_ones)}."
    means = others["difference"].abs() / expected.iloc[0]["sigma"]
    widest = max(others["relative"].max(), means.fillna(0.0).max())
    if widest < EQUAL:
        yield f"All trainings lie within {100 * widest:.1f} %: in practice it hardly matters which is used."


def _rival(row: "pd.Series[Any]") -> str:
    sure = "" if pd.isna(row["significance"]) else f", {deviations(row['significance'])}"
    return f"{row['label']} ({percent(row['relative'])}{sure})"


def listed(items: Sequence[str]) -> str:
    """Return *items* as 'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def few(names: Iterable[str]) -> str:
    """Return *names*, each once, as 'a, b and c', and how many more there are."""
    unique = list(dict.fromkeys(names))
    more = [f"{len(unique) - MOST_NAMES} more"] if len(unique) > MOST_NAMES else []
    return listed([*unique[:MOST_NAMES], *more])


def _caution(expected: pd.DataFrame) -> Iterator[str]:
    seeds = int(expected["seeds"].min())
    if len(expected) > 1 and seeds < FEW_SEEDS:
        few = f"{seeds} seeds resolve only large differences"
        few = few if seeds > 1 else "one seed says nothing about the randomness of training"
        yield f"With learning.seeds: {seeds} be careful: {few}; use {FEW_SEEDS} or more before drawing conclusions."


def _measured(
    trainings: pd.DataFrame, expected: pd.DataFrame, settings: PlotSettings, summary: pd.DataFrame | None
) -> Iterator[str]:
    """State the measurement of the training that is best on Asimov data: data must not choose the training."""
    observed = trainings[(trainings["data"] == "observed") & trainings["sigma"].notna()]
    chosen = observed[observed["training"] == expected.iloc[0]["training"]]
    if len(chosen):
        row = chosen.iloc[0]
        places = decimals(row["sigma"], 2)
        tested = "" if summary is None else _tested(summary[summary["training"] == row["training"]], settings)
        yield (
            f"Observed: {poi_name(settings)} = {number(row['mu'], places)} +{number(row['sigma_up'], places)} "
            f"−{number(row['sigma_down'], places)}{tested}."
        )
        yield f"By {row['label']}, chosen by its expected uncertainty, not by the data.{_range(observed)}"
    elif settings.blinded:
        yield "The collision data are blinded: all numbers are expectations (Asimov data)."


def limits(rows: Sequence[Mapping[str, Any]], sources: Mapping[str, Any]) -> str:
    """Return what limits the best training, the largest source first; '' if no fit tells.

    *rows*: the comparison (`page.comparison_rows`); *sources*: its breakdown (`tables.breakdown_table`).
    """
    if not rows or rows[0]["label"] not in sources["names"]:
        return ""
    place = sources["names"].index(rows[0]["label"])
    found = sorted(((cells[place][1], group, cells[place][0]) for group, cells in sources["rows"]), reverse=True)
    listed = "; ".join(f"{group} {value} ({share:.0f} %)" for share, group, value in found[:_MOST_SOURCES])
    return f"{rows[0]['label']}, uncertainty by source and its share of the variance: {listed}."


def covers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how often intervals contain the truth at nominal, by all trainings of `page.coverage_rows`."""
    if not rows:
        return "Not known: no pseudo-experiments at nominal (toys.number)."
    off = [row["label"] for row in rows if row["off"]]
    ends = sorted((row["coverage"] for row in rows), key=lambda text: float(text.split()[0]))
    between = ends[0] if ends[0] == ends[-1] else f"{ends[0]} to {ends[-1]}"
    wrong = f"wrong by more than chance: {few(off)}" if off else "none is wrong by more than chance"
    return f"At nominal, 68.3 % intervals contain the true value in {between} of pseudo-experiments; {wrong}."


def _range(observed: pd.DataFrame) -> str:
    if len(observed) < 2:
        return ""
    places = decimals(observed["sigma"].min(), 2)
    ends = [number(end, places) for end in (observed["mu"].min(), observed["mu"].max())]
    return f" The best fits of all {len(observed)} trainings lie between {ends[0]} and {ends[1]}."


def _tested(summary: pd.DataFrame, settings: PlotSettings) -> str:
    """Return significance and upper limit of the signal in words, medians over seeds, as far as they are known."""
    good = summary[summary["converged"]]
    seen, expected = (good[good["data"] == kind].median(numeric_only=True) for kind in ("observed", "asimov"))
    words = ""
    if pd.notna(seen.get("significance")):
        words += f"; significance of the signal {number(seen['significance'], 1)} σ"
        words += f" (expected {number(expected['significance'], 1)} σ)" if len(expected) else ""
    if pd.notna(seen.get("limit_observed")):
        places = decimals(seen["limit_observed"])
        limits = number(seen["limit_observed"], places), number(seen["limit_expected"], places)
        words += f"; upper limit on {poi_name(settings)} {limits[0]} at 95 % CL (expected {limits[1]})"
    return words


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
        f"of {region} ({named(run, settings.trainings)}{varied})."
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
    names = {settings.poi: poi_name(settings)} | dict(settings.variations)
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    named_ones = [f"{names.get(name, name)} ({count})" for name, count in most[:_REMARKS]]
    more = [f"{len(most) - _REMARKS} more parameters"] if len(most) > _REMARKS else []
    which = f": {listed([*named_ones, *more])}" if found else ""
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
    toys = tables["coverage"][["failed", "unbounded", "limited", "toys"]].sum()
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
        f"Pseudo-experiments whose fit failed: {toys['failed']:,.0f} of {toys['toys']:,.0f}; without an end of the "
        f"interval: {toys['unbounded']:,.0f}; with an end at a bound or at the edge of what is physical: "
        f"{toys['limited']:,.0f}.",
        f"Templates of all trainings and seeds: {', '.join(changes)}.",
    ]


def named(run: Run, names: Mapping[str, str]) -> str:
    """Return words for one repetition of a training."""
    return f"{names.get(run.training, run.training)} (seed {run.seed})"


def pooled_coverage(table: pd.DataFrame) -> tuple[float, float]:
    """Return the coverage of all seeds together and its error."""
    errors = (table["coverage_high"] - table["coverage_low"]) / 2
    return float(table["coverage"].mean()), float(math.sqrt((errors**2).sum()) / len(table))


def is_off(value: float, error: float) -> bool:
    """Return whether a coverage is wrong by more than chance, among many that are tested, and by enough to matter."""
    return abs(value - TARGET) > max(_COVERAGE_ERRORS * error, _COVERAGE_MATTERS)


def too_rare(value: float, error: float) -> bool:
    """Return whether a coverage is too low by more than chance, so that the intervals are too narrow."""
    return value < TARGET and is_off(value, error)


def correlated(settings: ReportSettings) -> str:
    """Return which constraints are correlated, largest first; '' if all are independent."""
    pairs = [
        (block.correlation[i][j], block.parameters[j], block.parameters[i])
        for block in settings.correlations
        for i in range(len(block.parameters))
        for j in range(i)
        if block.correlation[i][j]
    ]
    if not pairs:
        return ""
    label = settings.variations.get
    words = [
        f"{label(one, one)} and {label(other, other)} ({value:+.2g})"
        for value, one, other in sorted(pairs, key=lambda pair: -abs(pair[0]))
    ]
    more = f" and {len(words) - _MOST_PAIRS} more pairs" if len(words) > _MOST_PAIRS else ""
    return (
        f"Constraints are correlated: {', '.join(words[:_MOST_PAIRS])}{more}; all others are independent. Fits, "
        "pseudo-experiments, impacts and the numbers below follow that, losses of trainings do not. "
        "Workspaces say it in an extension, which pyhf refuses."
    ).replace("(-", "(−")


_MOST_PAIRS = 6
