"""Tables of the report about the fits: tests of hypotheses, and the sources of the uncertainty by two methods."""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from nuisflow.comparison.trainings import EPISTEMIC
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings

_MOST_PARAMETERS = 25
METHODS = {"sigma": "frozen", "sigma_observable": "observables"}
"""Columns of the breakdown, and the words of the report for how they are found."""


def tested(tables: Mapping[str, pd.DataFrame], data: str, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one row per training for one kind of data: significance, upper limits, goodness of fit, checks.

    Medians over seeds, in the order of the configuration.
    """
    summary, limits = tables["summary"], tables["limits"]
    rows = []
    for name in ordered(tables["trainings"], settings):
        chosen = summary[(summary["training"] == name) & (summary["data"] == data) & summary["converged"]]
        if not len(chosen):
            continue
        found = chosen.median(numeric_only=True)
        bands = limits[(limits["training"] == name) & (limits["data"] == data)].groupby("band")["value"].median()
        remarks = int((chosen["interval_remarks"] > 0).sum())
        places = findings.decimals(found["limit_expected"])
        rows.append(
            {
                "label": settings.trainings.get(name, name),
                "significance": findings.number(found["significance"], 1),
                "limit_observed": findings.number(found["limit_observed"], places),
                "limit_expected": findings.number(found["limit_expected"], places),
                "bands": [_band(bands, size, places) for size in (1, 2)],
                "p_value": probability(found["p_value"]),
                "p_value_toys": probability(found["p_value_toys"]),
                "remarks": f"{remarks} of {len(chosen)}" if chosen["interval_remarks"].notna().any() else "–",
                "events": "–" if pd.isna(found["simulated_events"]) else f"{chosen['simulated_events'].min():,.0f}",
            }
        )
    return rows


def trial_rows(trials: Mapping[str, pd.DataFrame], settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one row per training whose options were chosen by trials: means over its networks, and all choices."""
    rows = []
    for name, table in trials.items():
        chosen, first = table[table["chosen"] == 1], table[table["trial"] == 0]
        before, after = first["expected_uncertainty"].mean(), chosen["expected_uncertainty"].mean()
        places = findings.decimals(after, 3)
        failed = int(table["expected_uncertainty"].isna().sum())
        rows.append(
            {
                "label": settings.trainings.get(name, name),
                "trials": f"{len(table)}" + (f" ({failed} failed)" if failed else ""),
                "seconds": findings.number(table["seconds"].sum(), 0),
                "before": findings.number(before, places),
                "after": findings.number(after, places),
                "options": "; ".join(_choice(row) for row in chosen.to_dict("records")),
            }
        )
    return rows


def _choice(trial: Mapping[Hashable, Any]) -> str:
    """Return the options of one trial in words."""
    options = json.loads(trial["options"]).items()
    words = (f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in options)
    return f"network {trial['fold'] + 1}: {', '.join(words)}"


def _band(bands: "pd.Series[float]", size: int, places: int) -> str:
    """Return the band of *size* standard deviations as text."""
    ends = [bands.get(sign * size, np.nan) for sign in (-1, 1)]
    return "–" if pd.isna(ends).all() else " to ".join(findings.number(end, places) for end in ends)


def probability(value: float) -> str:
    """Return a p-value with three decimals; one that would read as zero is said to be smaller."""
    return "–" if pd.isna(value) else "< 0.001" if value < 0.0005 else f"{value:.3f}"


def ordered(trainings: pd.DataFrame, settings: PlotSettings) -> list[str]:
    """Return the trainings with a converged fit to Asimov data in the order of the configuration."""
    expected = trainings[(trainings["data"] == "asimov") & trainings["sigma"].notna()]
    return [name for name in settings.trainings if name in set(expected["training"])]


def breakdown_table(
    tables: Mapping[str, pd.DataFrame], settings: PlotSettings, method: str = "sigma"
) -> dict[str, Any]:
    """Return the uncertainty by group: a row per group and a column per training, medians over seeds.

    *method*: ``sigma`` (groups frozen) or ``sigma_observable`` (auxiliary measurements shifted).
    """
    ranked = tables["trainings"]
    ranked = ranked[(ranked["data"] == "asimov") & ranked["sigma"].notna()].set_index("training")
    table = tables["breakdown"]
    medians = table[table["data"] == "asimov"].pivot_table(
        method, "group", "training", "median", sort=False, dropna=False
    )
    apart, medians = medians[medians.index == EPISTEMIC], medians[medians.index != EPISTEMIC]
    names = [name for name in ordered(tables["trainings"], settings) if name in medians]
    places = findings.decimals(ranked["sigma"].min(), 3) if len(ranked) else 3
    sigmas = {str(name): float(sigma) for name, sigma in ranked["sigma"].items()}
    rows = [
        (group, [_share(values[name], sigmas[name], places) for name in names]) for group, values in medians.iterrows()
    ]
    if method == "sigma":
        ends = {"all variations": ranked["sigma_syst"], "total": ranked["sigma"]}
    else:
        ends = {"sum in quadrature": np.sqrt((medians**2).sum()), "total (Hessian)": ranked["sigma_hessian"]}
    totals = [(label, [_share(values[name], sigmas[name], places) for name in names]) for label, values in ends.items()]
    spread = [
        ("epistemic spread (not part of the total)", [findings.number(values[name], places) for name in names])
        for _, values in apart.iterrows()
    ]
    labels = [settings.trainings.get(name, name) for name in names]
    return {"names": labels, "rows": rows, "totals": totals, "apart": spread if method == "sigma" else []}


def _share(value: float, total: float, places: int) -> tuple[str, float]:
    """Return *value* as text and the percentage of the total variance that it makes up."""
    return findings.number(value, places), 0.0 if pd.isna(value) else round(min(100 * (value / total) ** 2, 100), 1)


def impact_table(tables: Mapping[str, pd.DataFrame], settings: PlotSettings, kind: str = "impact") -> dict[str, Any]:
    """Return the size of the impact of every nuisance parameter on the POI in every training, the largest first.

    *kind*: ``impact`` (held one postfit standard deviation off): the mean size of up and down, which are not lost where
    both are on one side; or ``observable`` (auxiliary measurement shifted; only these add up, so that the factors of
    all bins stand in one row): half their distance. Medians over seeds, expected. Of very many parameters the largest
    are shown.
    """
    table = tables["impacts"]
    names = [name for name in ordered(tables["trainings"], settings) if name in set(table["training"])]
    table = table[(table["data"] == "asimov") & table["training"].isin(names)]
    up, down = table[f"{kind}_up"], table[f"{kind}_down"]
    table = table.assign(size=(up.abs() + down.abs()) / 2 if kind == "impact" else (up - down).abs() / 2)
    single = ~table["parameter"].str.endswith("]")
    parameters = table[single].pivot_table("size", "parameter", "training", "median", dropna=False)
    parameters = parameters.reindex(columns=names)
    parameters = parameters.loc[parameters.max(axis=1).sort_values(ascending=False, kind="stable").index]
    left, parameters = len(parameters) - _MOST_PARAMETERS, parameters.iloc[:_MOST_PARAMETERS]
    places = findings.decimals(parameters.max().max(), 3) if len(parameters) else 3
    labels = [settings.variations.get(str(name), str(name)) for name in parameters.index]
    cells = [[findings.number(size, places) for size in sizes] for sizes in parameters.to_numpy()]
    rows = list(zip(labels, cells, strict=True))
    if kind == "observable" and not single.all():
        squares = table[~single].assign(size=lambda many: many["size"] ** 2)
        sums = np.sqrt(squares.groupby(["training", "seed"])["size"].sum(skipna=False))
        medians = sums.groupby("training").median()
        rows.append(("MC statistics, all bins", [findings.number(medians.get(name, np.nan), places) for name in names]))
    return {"names": _labels(names, settings), "rows": rows, "left": max(left, 0)}


def _labels(names: Sequence[str], settings: PlotSettings) -> list[str]:
    return [settings.trainings.get(name, name) for name in names]
