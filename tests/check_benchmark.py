"""Check the table of a benchmark with known answers: python tests/check_benchmark.py RESULTS_FOLDER.

Every column is there, and no training measures better than what is best possible. Used after a short run in CI.
"""

import sys
from pathlib import Path

import pandas as pd

ROUNDING = 0.005
"""What is best possible is known to half a percent: an average over simulated events."""
LEARNED = 0.03
"""A likelihood of learned densities says itself how precise it is: after a short training only to some percent."""


def check(folder: Path) -> str:
    """Return a summary of ``comparison/published.csv``; raise AssertionError if it cannot be right."""
    table = pd.read_csv(folder / "comparison" / "published.csv")
    scenarios = [name for name in table.columns if name not in ("training", "seeds", "source")]
    assert scenarios, "no scenario"
    bound = table[table["training"] == "Analytic likelihood"]
    ours = table[table["seeds"] > 0]
    assert len(bound) == 1, "no single row for what is best possible"
    assert len(ours), "no training"
    for name in scenarios:
        assert ours[name].notna().all(), f"{name}: a training has no value"
        for row in ours.to_dict("records"):
            tolerance = LEARNED if row["training"] == "unbinned" else ROUNDING
            limit = (1 - tolerance) * bound[name].iloc[0]
            assert row[name] >= limit, f"{name}: {row['training']} has {row[name]:.3f}, below the bound {limit:.3f}"
    return table.to_string(index=False)


if __name__ == "__main__":
    print(check(Path(sys.argv[1])))
