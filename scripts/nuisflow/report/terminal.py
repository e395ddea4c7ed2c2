"""The comparison as a few lines for a terminal, at the end of a run."""

from typing import Any

import pandas as pd

from nuisflow.comparison.trainings import HINT
from nuisflow.report import findings


def lines(trainings: pd.DataFrame) -> list[str]:
    """Return one line per training, ranked by the expected uncertainty: *trainings* is the table of the comparison."""
    expected = trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()]
    if not len(expected):
        return []
    places = findings.decimals(expected["sigma"].min())
    rows = [("rank", "training", "sigma", "coverage", "to the best", "really worse?")]
    for _, row in expected.iterrows():
        first = row["rank"] == 1
        gap = "" if first else f"{100 * row['relative']:+.1f} %"
        sure = "" if first else findings.judged(row["significance"])
        if not first and abs(row["significance"]) >= HINT:
            sure += f" ({findings.deviations(row['significance'])})"
        rows.append((str(row["rank"]), str(row["label"]), f"{row['sigma']:.{places}f}", _covered(row), gap, sure))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _covered(row: "pd.Series[Any]") -> str:
    """Return how often intervals contain the true value, and whether that is wrong by more than chance."""
    value, error = row["coverage"], row["coverage_error"]
    if pd.isna(value):
        return "–"
    wrong = f" too {'narrow' if value < findings.TARGET else 'wide'}" if findings.is_off(value, error) else ""
    return f"{100 * value:.1f} %{wrong}"
