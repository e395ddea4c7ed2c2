"""What happens to every training away from nominal, in words and in the tables of the report."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from nuisflow.comparison import robustness
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings


def headline(
    robust: pd.DataFrame, trainings: pd.DataFrame, coverage: pd.DataFrame, settings: PlotSettings
) -> list[str]:
    """Return which training is best away from nominal, and by how much; nothing without displaced points."""
    known = robust[robust["worst_error"].notna()]
    if not len(known):
        return []
    nominal = next(iter(trainings.loc[trainings["data"] == "asimov", "training"]), None)
    return [" ".join([_best(known.iloc[0], coverage, settings), *_others(known, nominal)])]


def _best(best: "pd.Series[Any]", coverage: pd.DataFrame, settings: PlotSettings) -> str:
    poi, places = _poi(settings), findings.decimals(best["worst_error"])
    seeds = f"median of {best['seeds']} seeds" if best["seeds"] > 1 else "a single seed"
    farthest = coverage["z"].abs().max()
    deviations = "deviation" if farthest == 1 else "deviations"
    return (
        f"Where nature is away from nominal, by up to {farthest:g} prior standard {deviations} of one nuisance "
        f"parameter at a time, {best['label']} is the most robust: bias and uncertainty of {poi} together are at most "
        f"{findings.number(best['worst_error'], places)} ({seeds}; {place(best['worst_point'], coverage, settings)})."
    )


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
    sure = "" if pd.isna(row["significance"]) else f", {findings.deviations(row['significance'])}"
    return f"{findings.percent(row['relative'])} ({findings.judged(row['significance'])}{sure})"


def warnings(coverage: pd.DataFrame, settings: PlotSettings) -> Iterator[str]:
    """Name displaced points where intervals contain the true value too rarely, once per training."""
    displaced = coverage[coverage["point"].notna() & (coverage["toys"] > 0) & (coverage["z"] != 0)]
    for name, label in settings.trainings.items():
        covered = robustness.pooled(displaced[displaced["training"] == name])
        off = [(row["coverage"], point) for point, row in covered.iterrows() if too_rare(row)]
        if off:
            lowest, point = min(off)
            points = "point" if len(off) == 2 else "points"
            more = f" and at {len(off) - 1} more {points}" if len(off) > 1 else ""
            yield (
                f"{label}: where nature is displaced its intervals contain the true value too rarely "
                f"({100 * lowest:.1f} % at {place(str(point), coverage, settings)}{more}): the interpolation between "
                "its templates does not describe the events there."
            )


def too_rare(row: "pd.Series[Any]") -> bool:
    """Return whether a pooled coverage is too low by more than chance."""
    return bool(row["coverage"] < findings.TARGET and findings.is_off(row["coverage"], row["error"]))


def place(point: str | None, coverage: pd.DataFrame, settings: PlotSettings) -> str:
    """Return words for a displaced point, such as 'τ energy scale +2 σ'."""
    rows = coverage[coverage["point"] == point]
    if not len(rows):
        return "–"
    label = robustness.label(rows["variation"].iloc[0], settings)
    return f"{label} {_z(rows['z'].iloc[0])} σ" if rows["z"].iloc[0] else f"{label}, held-out alternative"


def _z(value: float) -> str:
    return f"{value:+g}".replace("-", "−")


def _poi(settings: PlotSettings) -> str:
    return "μ" if settings.poi == "mu" else settings.poi


def rows(robust: pd.DataFrame, coverage: pd.DataFrame, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the rows of the table of robustness, the most robust training first."""
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
                "coverage_place": place(row["lowest_coverage_point"], coverage, settings),
                "off": too_rare(pd.Series({"coverage": row["lowest_coverage"], "error": row["lowest_coverage_error"]})),
                "relative": "best" if index == 0 else findings.percent(row["relative"]),
                "significance": "" if index == 0 else findings.deviations(row["significance"]),
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
