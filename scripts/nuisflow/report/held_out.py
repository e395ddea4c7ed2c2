"""What held-out alternatives say of a training, in words."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings


def warnings(found: pd.DataFrame, settings: PlotSettings) -> Iterator[str]:
    """Name variations that do not span a third alternative, and trainings that only look more certain."""
    poi = "μ" if settings.poi == "mu" else settings.poi
    for name, of in found.groupby("variation", sort=False):
        if (of["bias"].abs() > of["apparent"]).all():
            least = of.iloc[int(of["bias"].abs().argmin())]
            yield (
                f"{settings.variations.get(str(name), str(name))}: on the held-out alternative {poi} is biased by "
                f"{findings.number(abs(least['bias']), 2)} or more, whatever the training, but the variation claims an "
                f"uncertainty of {findings.number(least['apparent'], 2)}: its two samples do not span the third."
            )
    for _, row in found[found["flagged"].astype(bool)].iterrows():
        yield (
            f"{row['label']}: its uncertainty from {settings.variations.get(row['variation'], row['variation'])} is "
            f"{findings.percent(row['apparent_relative'])} from that of {settings.trainings[row['reference']]}, but "
            f"its bias on the held-out alternative is not smaller ({findings.percent(row['bias_relative'])}): it "
            "has learned to look away from the two samples it knows. A smaller uncertainty is no smaller error here."
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
