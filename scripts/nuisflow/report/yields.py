"""Expected events of every region and process, before and after the fit, with errors: the tables of the report."""

from collections.abc import Mapping
from typing import Any

from nuisflow.comparison.trainings import Run
from nuisflow.report import findings
from nuisflow.slices.report import PlotSettings

STAGES = ("prefit", "postfit")


def tables(fits: Mapping[Run, Any], settings: PlotSettings) -> list[dict[str, Any]]:
    """Return one table per region: a row per process, the total and the data; columns of every training's first seed.

    Before the fit there is one column if all trainings expect the same events there.
    """
    runs = [min(run for run in fits if run.training == name) for name in settings.trainings if name in _names(fits)]
    kind = "observed" if any(fits[run].get("observed") for run in runs) else "asimov"
    results = {run: fits[run][kind] for run in runs if fits[run].get(kind)}
    observed = kind == "observed"
    found = [_table(name, words[0], results, settings, observed=observed) for name, words in settings.regions.items()]
    return [table | {"data": kind} for table in found if table]


def _names(fits: Mapping[Run, Any]) -> set[str]:
    return {run.training for run in fits}


def _table(
    region: str, label: str, results: Mapping[Run, Any], settings: PlotSettings, *, observed: bool
) -> dict[str, Any]:
    """Return the table of one region; empty without yields in any fit."""
    there = {
        run: [result["yields"][stage][region] for stage in STAGES]
        for run, result in results.items()
        if all(region in result["yields"].get(stage, {}) for stage in STAGES)
    }
    if not there:
        return {}
    first = next(iter(there.values()))
    same = all(_total(stages[0]) == _total(first[0]) for stages in there.values())
    columns = [first[0]] if same else [stages[0] for stages in there.values()]
    columns += [stages[1] for stages in there.values()]
    names = [name for name in settings.processes if name in first[0]["samples"]]
    rows = [(settings.processes[name].label or name, [_sum(column, name) for column in columns]) for name in names]
    rows.append(("total", [_sum(column, "total") for column in columns]))
    if observed:
        rows.append(("data", [f"{sum(column['data']):,.0f}" for column in columns]))
    labels = [settings.trainings[run.training] for run in there]
    return {"label": label, "before": [""] if same else labels, "after": labels, "rows": rows}


def _total(yields: Mapping[str, Any]) -> float:
    return round(float(sum(yields["total"])), 6)


def _sum(yields: Mapping[str, Any], name: str) -> str:
    """Return events with their error, the error to two digits."""
    if name in yields.get("sums", {}):
        return with_error(*yields["sums"][name])
    return with_error(float(sum(yields["total"] if name == "total" else yields["samples"][name])), 0.0)


def with_error(value: float, error: float) -> str:
    """Return a number of events with its error; an error of 0 (nothing is uncertain but a free rate) is not written."""
    if not error > 0:
        return f"{value:,.{min(findings.decimals(value, 4), 2)}f}".replace("-", "−")
    places = min(findings.decimals(error, 2), 3)
    return f"{value:,.{places}f} ± {error:,.{places}f}".replace("-", "−")
