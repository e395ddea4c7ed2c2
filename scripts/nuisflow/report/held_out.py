"""What held-out alternatives say of a training, in words."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from nuisflow.report import findings
from nuisflow.report.cautions import Caution
from nuisflow.report.findings import few
from nuisflow.slices.report import PlotSettings


def cautions(found: pd.DataFrame, settings: PlotSettings) -> list[Caution]:
    """Name variations that do not span a third alternative, and trainings that only look more certain."""
    wide, flagged = list(_not_spanned(found, settings)), list(_flagged(found, settings))
    kinds = []
    if wide:
        kinds.append(
            Caution(
                f"Two samples do not span the third: on the held-out alternative {findings.poi_name(settings)} is "
                f"biased by more than the variation claims, whatever the training: {few(wide)}.",
                "Give the variation a larger size, or quote the bias beside the result.",
            )
        )
    if flagged:
        kinds.append(
            Caution(
                "A smaller uncertainty is no smaller error here: the bias on the held-out alternative is not smaller, "
                "so that the training has learned to look away from the two samples it knows: "
                f"{few(name for name, _ in flagged)}.",
                "Do not choose this training for its uncertainty.",
                tuple(text for _, text in flagged),
            )
        )
    return kinds


def _not_spanned(found: pd.DataFrame, settings: PlotSettings) -> Iterator[str]:
    for name, of in found.groupby("variation", sort=False):
        if (of["bias"].abs() > of["apparent"]).all():
            least = of.iloc[int(of["bias"].abs().argmin())]
            yield (
                f"{settings.variations.get(str(name), str(name))} (bias {findings.number(abs(least['bias']), 2)} or "
                f"more, claimed {findings.number(least['apparent'], 2)})"
            )


def _flagged(found: pd.DataFrame, settings: PlotSettings) -> Iterator[tuple[str, str]]:
    for _, row in found[found["flagged"].astype(bool)].iterrows():
        yield (
            row["label"],
            f"{row['label']}: its uncertainty from {settings.variations.get(row['variation'], row['variation'])} is "
            f"{findings.percent(row['apparent_relative'])} from that of {settings.trainings[row['reference']]}, its "
            f"bias on the held-out alternative {findings.percent(row['bias_relative'])}",
        )


def rows(found: pd.DataFrame, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the rows of the table of the report."""
    places = findings.decimals(found["sigma"].min()) if len(found) else 3
    return [
        {
            "variation": settings.variations.get(row["variation"], row["variation"]),
            "label": row["label"],
            "apparent": findings.number(row["apparent"], places),
            "apparent_relative": "reference" if row["training"] == row["reference"] else _relative(row, "apparent"),
            "bias": findings.number(row["bias"], places),
            "bias_relative": "reference" if row["training"] == row["reference"] else _relative(row, "bias"),
            "sigma": findings.number(row["sigma"], places),
            "flagged": bool(row["flagged"]),
            "exceeded": bool(abs(row["bias"]) > row["apparent"]),
        }
        for _, row in found.iterrows()
    ]


def _relative(row: "pd.Series[Any]", name: str) -> str:
    text, sure = findings.percent(row[f"{name}_relative"]), row[f"{name}_significance"]
    return text if pd.isna(sure) else f"{text} ({findings.deviations(sure)})"
