"""What if an uncertainty were another? Sentences, exact refits, and what the page needs to answer by itself."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison import what_if
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings

Json = Mapping[str, Any]
LONGEST, SHORTEST = what_if.LUMINOSITIES[-1], what_if.LUMINOSITIES[0]


def section(content: Json | None, found: pd.DataFrame | None, settings: PlotSettings) -> dict[str, Any] | None:
    """Return what the report shows, ready as text; None without it."""
    if content is None or found is None or not content["runs"]:
        return None
    names = {name: source_name(name, content["sources"], settings) for name in content["sources"]}
    today: dict[str, list[float]] = {}
    for run in content["runs"]:
        today.setdefault(run["training"], []).append(run["sigma"])
    medians = {name: float(np.median(values)) for name, values in today.items()}
    places = findings.decimals(min(medians.values()))
    return {
        "sliders": [{"name": name, "label": label} for name, label in names.items()],
        "rows": [
            {"training": name, "label": settings.trainings.get(name, name), "sigma": findings.number(value, places)}
            for name, value in sorted(medians.items(), key=lambda item: item[1])
        ],
        "sentences": list(sentences(content, settings)),
        "accuracy": accuracy(found),
        "precise": precision_rows(found, names),
        "missing": unrefitted(found, settings),
        "data": script({key: content[key] for key in ("sources", "runs")} | {"places": places}),
        "shortest": f"{np.log10(SHORTEST):.2f}",
        "longest": f"{np.log10(LONGEST):.2f}",
        "alone": len(medians) == 1,
    }


def source_name(name: str, sources: Mapping[str, Any], settings: PlotSettings) -> str:
    """Return a source in words: the label of its variation."""
    if name == what_if.LUMINOSITY:
        return "Amount of data"
    if name == what_if.SIMULATION:
        return "Finite simulation"
    for key in (name, *sources.get(name, ())):
        if key in settings.variations:
            return settings.variations[key]
    return name


def script(content: Any) -> str:
    """Return *content* as JSON that may stand in an element of a page."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def sentences(content: Json, settings: PlotSettings) -> Iterator[str]:
    """Yield where another training becomes the best, one change at a time; that none does is said too."""
    for row in content["changes"]:
        label = source_name(row["source"], content["sources"], settings)
        what = "the integrated luminosity" if row["source"] == what_if.LUMINOSITY else f"the prior of “{label}”"
        names = [settings.trainings.get(row[key], row[key]) for key in ("training", "best")]
        gain = 1 - row["sigma"] / row["sigma_best"]
        ahead = f"{100 * gain:.1f} % smaller" if gain > 0 else f"{-100 * gain:.1f} % larger again"
        yield (
            f"{row['side'].capitalize()} {row['scale']:.2g} × today's size of {what}, {names[0]} measures better than "
            f"{names[1]} (at × {row['end']:g} its σ is {ahead})."
        )
    if not content["changes"] and len({run["training"] for run in content["runs"]}) > 1:
        yield (
            f"No single change makes another training the best, neither of a prior (× 0 to {what_if.SCALES[-1]:g}) nor "
            f"of the luminosity (× {SHORTEST:g} to {LONGEST:g})."
        )


# --- how exact ------------------------------------------------------------------------------------------------------


def _known(found: pd.DataFrame) -> pd.DataFrame:
    known = found[found["exact"].notna() & found["gaussian"].notna()]
    return known.assign(off=known["gaussian"] / known["exact"] - 1)


def accuracy(found: pd.DataFrame) -> str:
    """Return in a sentence how far the Gaussian limit is from exact refits at half and double, and in their order."""
    known = _known(found)
    near = known[known["scale"].isin([0.5, 2.0])]
    if not len(near):
        return ""
    largest, far = 100 * near["off"].abs().max(), 100 * known["off"].abs().max()
    wrong = what_if.swapped(found)
    clear = f"trainings that differ by more than {100 * what_if.CLEAR:g} %"
    order = f"the order of {clear} is the same everywhere"
    if len(wrong):
        order = f"{len(wrong)} pairs of {clear} stand in another order"
    return (
        f"Exact refits by the engine at half and double of every slider differ from these numbers by at most "
        f"{largest:.1f} %, at its ends by at most {far:.1f} %; {order}."
    )


def precision_rows(found: pd.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the largest difference of any run to the exact refit, one row per source and one column per scale."""
    known = _known(found)
    labels = {**names, what_if.LUMINOSITY: "Amount of data", what_if.SIMULATION: "Finite simulation"}
    if not len(known):
        return {"scales": [], "rows": []}
    scales = sorted(known["scale"].unique())
    rows = []
    for source, part in known.groupby("source", sort=False):
        worst = part.loc[part.groupby("scale")["off"].apply(lambda column: column.abs().idxmax())].set_index("scale")
        cells = [findings.percent(worst["off"][scale]) if scale in worst.index else "" for scale in scales]
        rows.append((labels.get(str(source), str(source)), cells))
    return {"scales": [f"× {scale:g}" for scale in scales], "rows": rows}


def unrefitted(found: pd.DataFrame, settings: PlotSettings) -> list[str]:
    """Return the trainings that were not refitted: their likelihood is not one workspace."""
    none = found.groupby("training", sort=False)["exact"].apply(lambda column: column.isna().all())
    return [settings.trainings.get(str(name), str(name)) for name, empty in none.items() if empty]
