"""How much is enough: uncertainty and coverage against the number of events, in words and rows."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison.studies import Law
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings

TITLES = {"training_events": "Events that classifiers learn of", "simulated_events": "Simulated events"}
_MORE = {"training_events": "learning from twice as many", "simulated_events": "simulating twice as many"}
_DESCRIBED = {"sigma": "of σ", "sigma_syst": "of the systematic part", "sigma_mcstat": "of MC statistics"}


def sections(found: Mapping[str, pd.DataFrame], settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one section per study that was asked for: title, sentences, headings and rows, ready as text."""
    if "studies" not in found:
        return []
    table, laws = found["studies"], found["power_laws"]
    return [
        _section(study, table[table["study"] == study], laws[laws["study"] == study], settings)
        for study in dict.fromkeys(table["study"])
    ]


def _section(study: str, table: pd.DataFrame, laws: pd.DataFrame, settings: PlotSettings) -> dict[str, Any]:
    good = table[table["converged"]]
    names = [name for name in settings.trainings if name in set(good["training"])]
    rows = [
        {
            "label": settings.trainings[name],
            "sizes": list(_sizes(good[good["training"] == name], good["sigma"].min())),
            "exponents": _exponents(laws[laws["training"] == name]),
        }
        for name in names
    ]
    sentences = list(_sentences(study, good, laws, settings)) if names else ["No fit converged."]
    return {"title": TITLES[study], "rows": rows, "sentences": sentences, "described": list(_DESCRIBED.values())}


def _sizes(seeds: pd.DataFrame, smallest: float) -> Iterator[list[str]]:
    """Yield one row per size of one training: medians over the seeds; of the coverage and the shift, means."""
    places = findings.decimals(smallest)
    for size, group in seeds.groupby("size"):
        covered = "–" if group["coverage"].isna().all() else f"{100 * group['coverage'].mean():.1f} %"
        sigmas = [findings.number(group[column].median(), places) for column in _DESCRIBED]
        shift = findings.number(group["shift"].mean(), 2)
        yield [f"{100 * float(str(size)):g} %", *sigmas, covered, shift]


def _exponents(laws: pd.DataFrame) -> list[str]:
    """Return the exponent of every quantity with its error, if that is known."""
    texts = {
        row["quantity"]: findings.number(row["exponent"], 3)
        + ("" if pd.isna(row["error"]) else f" ± {row['error']:.3f}")
        for row in laws.to_dict("records")
    }
    return [texts.get(quantity, "–") for quantity in _DESCRIBED]


def _sentences(study: str, table: pd.DataFrame, laws: pd.DataFrame, settings: PlotSettings) -> Iterator[str]:
    """Yield what fewer events cost the best training, what more would gain, and whether the order is another."""
    medians = table.groupby(["size", "training"])["sigma"].median().unstack()
    least, whole = medians.iloc[0], medians.iloc[-1]
    first, share = str(whole.idxmin()), f"With {100 * medians.index[0]:g} %"
    label, poi = settings.trainings[first], findings.poi_name(settings)
    if pd.notna(least[first]):
        value, change = findings.number(least[first], findings.decimals(whole[first])), least[first] / whole[first] - 1
        yield f"{share}, σ({poi}) of {label}, best with all, is {value} ({findings.percent(change)})."
    own = laws[(laws["training"] == first) & (laws["quantity"] == "sigma")]
    if len(own):
        row = own.iloc[0]
        yield _gain(Law(row["exponent"], row["error"], row["at_whole"]), study)
    if (best := str(least.idxmin())) != first:
        yield f"{share}, {settings.trainings[best]} has the smallest σ({poi})."


def _gain(fitted: Law, study: str) -> str:
    """Return what twice as many events are expected to gain, if the power law goes on."""
    change = 2.0**fitted.exponent - 1
    if np.isnan(fitted.error):
        return f"If its power law goes on, {_MORE[study]} changes that by {findings.percent(change)}."
    error = np.log(2) * 2.0**fitted.exponent * fitted.error
    text = f"{findings.percent(change)[:-2]} ± {100 * error:.1f} %"
    if abs(change) < 2 * error:
        return f"No gain by {_MORE[study]} is established: {text}, if its power law goes on."
    return f"If its power law goes on, {_MORE[study]} changes that by {text}."
