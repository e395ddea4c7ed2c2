"""What happens to every training away from nominal, in words and in the tables of the report."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from nuisflow.comparison import robustness
from nuisflow.comparison.trainings import Run
from nuisflow.report import findings
from nuisflow.report.cautions import MOVING, Caution, rebinned
from nuisflow.report.findings import few, poi_name
from nuisflow.slices.report import PlotSettings


def headline(
    robust: pd.DataFrame, trainings: pd.DataFrame, coverage: pd.DataFrame, settings: PlotSettings
) -> list[str]:
    """Return which training is best away from nominal, and by how much; nothing without displaced points."""
    known = robust[robust["worst_error"].notna()]
    if not len(known):
        return []
    nominal = next(iter(trainings.loc[trainings["data"] == "asimov", "training"]), None)
    return [" ".join([_best(known, coverage, settings), *_others(known, nominal)])]


def _best(known: pd.DataFrame, coverage: pd.DataFrame, settings: PlotSettings) -> str:
    best = known.iloc[0]
    seeds = f"median of {best['seeds']} seeds" if best["seeds"] > 1 else "a single seed"
    farthest = coverage["z"].abs().max()
    deviations = "deviation" if farthest == 1 else "deviations"
    value = findings.number(best["worst_error"], findings.decimals(best["worst_error"]))
    sizes = f"bias and uncertainty of {poi_name(settings)} together are at most {value}"
    where = f"({seeds}; {place(best['worst_point'], coverage, settings)})"
    away = (
        f"Where nature is away from nominal, by up to {farthest:g} prior standard {deviations} of one nuisance "
        "parameter at a time,"
    )
    if len(known) == 1:
        return f"{away} {sizes} with {best['label']} {where}; there is no other training to compare it with."
    return f"{away} {best['label']} has the smallest error: {sizes} {where}."


def _others(known: pd.DataFrame, nominal: str | None) -> Iterator[str]:
    """Compare the most robust training with the best at *nominal*, or with the next one if it is both."""
    others = known.iloc[1:]
    if not len(others):
        return
    second = others.iloc[0]
    if nominal == known.iloc[0]["training"]:
        yield f"It is the best at nominal too; the next, {second['label']}, has {_gap(second)}."
    for _, row in others[others["training"] == nominal].iterrows():
        yield f"{row['label']}, the best at nominal, has {_gap(row)}."
    established = [
        row["label"] for _, row in others.iterrows() if findings.judged(row["significance"]) == "established"
    ]
    if len(established) == len(others):
        yield "All others are worse, which is established."


def _gap(row: "pd.Series[Any]") -> str:
    return f"{findings.percent(row['relative'])}, {findings.sureness(row['significance'])}"


_INTERPOLATION = (
    "The interpolation between templates, or the polynomial in z of single events, does not describe the events there.",
    "If nature may be there, enlarge the prior, or let a conditional training have templates at every z.",
)


def cautions(coverage: pd.DataFrame, fits: Mapping[Run, Any], settings: PlotSettings) -> list[Caution]:
    """Name displaced points where intervals contain the true value too rarely: one line for all of one reason."""
    moving = rebinned(fits)
    still = {name: label for name, label in settings.trainings.items() if name not in moving}
    moved = {name: label for name, label in settings.trainings.items() if name in moving}
    kinds = ((still, _INTERPOLATION), (moved, MOVING))
    return [one for names, why in kinds for one in _too_rarely(coverage, names, why, settings)]


def _too_rarely(
    coverage: pd.DataFrame, names: Mapping[str, str], why: tuple[str, str], settings: PlotSettings
) -> Iterator[Caution]:
    """Name the points where intervals of the trainings *names* contain the true value too rarely."""
    displaced = coverage[coverage["point"].notna() & (coverage["toys"] > 0) & (coverage["z"] != 0)]
    lowest, cases = [], []
    for name, label in names.items():
        covered = robustness.pooled(displaced[displaced["training"] == name])
        measured = ((str(point), row["coverage"], row["error"]) for point, row in covered.iterrows())
        off = sorted((value, point) for point, value, error in measured if findings.too_rare(value, error))
        if off:
            lowest.append(f"{label} ({100 * off[0][0]:.0f} % at {place(off[0][1], coverage, settings)})")
            every = [f"{100 * value:.1f} % at {place(point, coverage, settings)}" for value, point in off]
            cases.append(f"{label}: {', '.join(every)}")
    if lowest:
        yield Caution(
            "Where nature is displaced, intervals contain the true value too rarely, by more than chance: "
            f"{few(lowest)}. {why[0]}",
            why[1],
            tuple(cases),
        )


def place(point: str | None, coverage: pd.DataFrame, settings: PlotSettings) -> str:
    """Return words for a displaced point, such as 'τ energy scale +2 σ'."""
    rows = coverage[coverage["point"] == point]
    if not len(rows):
        return "–"
    label = robustness.label(rows["variation"].iloc[0], settings)
    return f"{label} {_z(rows['z'].iloc[0])} σ" if rows["z"].iloc[0] else f"{label}, held-out alternative"


def _z(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


def rows(robust: pd.DataFrame, coverage: pd.DataFrame, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the rows of the table of robustness, the smallest worst error first."""
    places = findings.decimals(robust["sigma"].min()) if len(robust) else 3
    shown = []
    for index, (_, row) in enumerate(robust.iterrows()):
        covered = f"{100 * row['lowest_coverage']:.1f} ± {100 * row['lowest_coverage_error']:.1f} %"
        shown.append(
            {
                "training": row["training"],
                "label": row["label"],
                "sigma": findings.number(row["sigma"], places),
                "worst": findings.number(row["worst_error"], places),
                "spread": findings.spread(row["worst_error_spread"], places),
                "worst_place": place(row["worst_point"], coverage, settings),
                "bias": findings.number(row["largest_bias"], places),
                "bias_place": place(row["largest_bias_point"], coverage, settings),
                "coverage": "–" if pd.isna(row["lowest_coverage"]) else covered,
                "points": int(row["coverage_points"]),
                "honest": "–" if pd.isna(row["lowest_if_honest"]) else f"{100 * row['lowest_if_honest']:.1f} %",
                "coverage_place": place(row["lowest_coverage_point"], coverage, settings),
                "off": findings.too_rare(row["lowest_coverage"], row["lowest_coverage_error"]),
                "relative": "" if len(robust) == 1 else "best" if index == 0 else findings.percent(row["relative"]),
                "deviations": "" if index == 0 else findings.deviations(row["significance"]),
                "verdict": "" if index == 0 else findings.judged(row["significance"]),
            }
        )
    return shown


def coverages(coverage: pd.DataFrame, settings: PlotSettings) -> dict[str, Any]:
    """Return coverage at displaced points: a row per point and a column per training, all seeds together."""
    displaced = coverage[coverage["point"].notna() & (coverage["toys"] > 0)]
    names = [name for name in settings.trainings if (displaced["training"] == name).any()]
    columns = [robustness.pooled(displaced[displaced["training"] == name]) for name in names]
    points = displaced.drop_duplicates("point").sort_values("z", kind="stable")
    points = points.sort_values("variation", key=lambda values: values.map(_order(displaced)), kind="stable")
    shown = [
        (place(point, coverage, settings), [_cell(column, point) for column in columns]) for point in points["point"]
    ]
    errors = [float(column["error"].median()) for column in columns]
    return {
        "names": [settings.trainings[name] for name in names],
        "rows": shown,
        "toys": int(displaced["toys"].max()) if len(displaced) else 0,
        "error": f"{100 * max(errors):.1f}" if errors else "",
    }


def _order(displaced: pd.DataFrame) -> dict[str, int]:
    return {name: index for index, name in enumerate(displaced["variation"].unique())}


def _cell(column: pd.DataFrame, point: str) -> tuple[str, bool]:
    """Return a coverage in per cent, and whether it is wrong."""
    if point not in column.index:
        return "–", False
    row: Any = column.loc[point]
    value, error = float(row["coverage"]), float(row["error"])
    return f"{100 * value:.1f}", findings.is_off(value, error)
