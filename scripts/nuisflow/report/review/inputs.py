"""The part of the report on features before any training: yields, agreement with data, separation, correlations."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow.report import drawings, findings, tables, yields
from nuisflow.report.cautions import Caution
from nuisflow.report.findings import few
from nuisflow.slices.report import PlotSettings

Row = dict[str, Any]
_MOST_FEATURES = 100
"""Rows of a table of features; all are in its file."""
_MOST_PAIRS = 12
_ALIKE = 0.95
"""Size of a correlation from which two features say nearly the same."""
_DOUBTFUL = 0.01
"""P-value below which data and model disagree in a feature."""


def cautions(contents: Mapping[str, Any], settings: PlotSettings) -> Iterator[Caution]:
    """Yield what is missing in the data or says nothing: one line per kind, for all regions."""
    shown = {settings.regions[name][0]: contents[name] for name in settings.regions if name in contents}
    if empty := {label: words for label, content in shown.items() if (words := _no_data(content))}:
        yield Caution(
            f"Regions without any data: {few(empty)}.",
            "Compare the selection of the region with what is in the files of the data (samples).",
            tuple(f"{label}: {words}" for label, words in empty.items()),
        )
    constant = {
        label: [one["feature"] for one in content["features"] if one["constant"]] for label, content in shown.items()
    }
    if constant and (everywhere := set.intersection(*map(set, constant.values()))):
        yield Caution(
            f"Features without variance, from which nothing can be learnt: {few(sorted(everywhere))}.",
            "Remove them from features, or look at what their columns contain.",
        )


def sections(contents: Mapping[str, Any], settings: PlotSettings) -> list[Row]:
    """Return what is shown of every region: *contents* are those of `comparison.inputs`, by region."""
    return [_section(contents[name], settings) for name in settings.regions if name in contents]


def _section(content: Mapping[str, Any], settings: PlotSettings) -> Row:
    region, found = content["region"], content["features"]
    ranked = sorted(found, key=_rank)
    return {
        "name": region,
        "label": settings.regions[region][0],
        "shown": content["shown"],
        "blinded": settings.blinded and not content["shown"],
        "yields": _yield_rows(content["yields"], settings),
        "pages": {one["feature"]: page for page, one in enumerate(found, 1)},
        "captions": {one["feature"]: _caption(one) for one in found},
        "rows": [_feature_row(one, settings) for one in ranked[:_MOST_FEATURES]],
        "left": max(len(ranked) - _MOST_FEATURES, 0),
        "remarks": list(_remarks(content, settings)),
    }


def _rank(one: Mapping[str, Any]) -> tuple[float, float]:
    """Put first where data and model agree least, then what separates most."""
    p_value = 1.0 if one["with"] is None else one["with"]["p_value"]
    return p_value, -(one["separation"] or 0.0)


# --- yields ---------------------------------------------------------------------------------------------------------


def _yield_rows(rows: Sequence[Mapping[str, Any]], settings: PlotSettings) -> list[Row]:
    """Return expected events as text: what is subtracted in an estimate stands below it."""
    owners = [row["process"] for row in rows if row["kind"] == "sample"]
    found = []
    for row in rows:
        if row["kind"] == "sample" and owners.count(row["process"]) == 1:
            continue  # its process says the same
        expected = yields.with_error(row["expected"], row["simulation"])
        found.append(
            {
                "kind": row["kind"],
                "label": _label(row, settings),
                "expected": f"{row['expected']:,.0f}" if row["kind"] == "data" else expected,
                "systematic": "" if row["systematic"] is None else _error(row["systematic"]),
                "events": "" if row["events"] is None else f"{row['events']:,}",
                "effective": "" if row["effective"] is None else f"{row['effective']:,.0f}",
            }
        )
    return found


def _label(row: Mapping[str, Any], settings: PlotSettings) -> str:
    if row["kind"] in ("total", "data"):
        return str(row["kind"])
    if row["kind"] == "sample":
        return str(row["sample"])
    if owner := settings.parts.get(row["process"]):
        return f"{_process(owner, settings)}: subtracted, {row['process'].removeprefix(f'{owner}_minus_')}"
    return _process(row["process"], settings)


def _process(name: str, settings: PlotSettings) -> str:
    return settings.processes[name].label or name if name in settings.processes else name


def _error(value: float) -> str:
    return f"{value:,.{min(findings.decimals(value, 2), 3)}f}"


# --- features -------------------------------------------------------------------------------------------------------


def _feature_row(one: Mapping[str, Any], settings: PlotSettings) -> Row:
    """Return one feature as text; *moved*: the variation that changes its shape most."""
    shapes = {name: max(pair) for name, pair in one["shapes"].items()}
    strongest = max(shapes, key=lambda name: shapes[name], default=None)
    moved = strongest is not None and shapes[strongest] > 0
    return {
        "feature": one["feature"],
        "separation": "–" if one["separation"] is None else f"{one['separation']:.3f}",
        "without": _agreement(one["without"]),
        "with": _agreement(one["with"]),
        "p_value": "–" if one["with"] is None else tables.probability(one["with"]["p_value"]),
        "off": one["with"] is not None and one["with"]["p_value"] < _DOUBTFUL,
        "moved": settings.variations.get(strongest or "", strongest) if moved else "nothing",
        "size": f"{shapes[strongest]:.2g}" if moved and strongest is not None else "",
    }


def _agreement(found: Mapping[str, Any] | None) -> str:
    return "–" if found is None else f"{found['chi2']:.1f} / {found['ndof']}"


def _caption(one: Mapping[str, Any]) -> str:
    """Return the words for those who do not see the figure of a feature."""
    words = f"Expected events in bins of {one['feature']} from {one['low']:g} to {one['high']:g}, stacked by process"
    if one["data"] is None:
        return f"{words}, without data."
    agreement = "" if one["with"] is None else f", chi-squared {_agreement(one['with'])} degrees of freedom"
    return f"{words}, with data and their ratio{agreement}."


# --- remarks --------------------------------------------------------------------------------------------------------


def _no_data(content: Mapping[str, Any]) -> str:
    """Say that a region whose data may be seen has none; '' if it has."""
    found = content["features"]
    if not content["shown"] or not found or any(one["data"] and sum(one["data"]) for one in found):
        return ""
    return f"There are no data in this region, where {sum(found[0]['total']):,.3g} events are expected."


def _remarks(content: Mapping[str, Any], settings: PlotSettings) -> Iterator[str]:
    """Yield sentences on what is missing, constant, alike or off."""
    found = content["features"]
    if not found:
        yield "No simulated event is in this region."
        return
    if settings.blinded and not content["shown"]:
        yield (
            "Collision data are blinded here. Unblind all with fit.unblind: true, or a control region with "
            f"regions.{content['region']}.control: true."
        )
    absent = _no_data(content)
    if absent:
        yield absent
    if constant := [one["feature"] for one in found if one["constant"]]:
        yield f"Without variance, so that nothing can be learnt from it here: {_listed(constant)}."
    if undefined := [one["feature"] for one in found if one["undefined"]]:
        yield f"Undefined for some events, which the first bin holds: {_listed(undefined)}."
    if off := [one["feature"] for one in found if not absent and one["with"] and one["with"]["p_value"] < _DOUBTFUL]:
        share = _DOUBTFUL * sum(one["with"] is not None for one in found)
        yield (
            f"Data and model disagree (p-value below {_DOUBTFUL:g}, variations included) in {_listed(off)}; by chance "
            f"{share:.2g} would. Mend the model of these, or leave them out of the features."
        )
    if pairs := _alike(content):
        yield f"Nearly the same (correlation of {_ALIKE:g} or more): {_listed(pairs)}."


def _listed(names: Sequence[str]) -> str:
    """Return some of *names*, and how many more there are."""
    more = len(names) - _MOST_PAIRS
    return ", ".join(names[:_MOST_PAIRS]) + (f" and {more} more" if more > 0 else "")


def _alike(content: Mapping[str, Any]) -> list[str]:
    names = [one["feature"] for one in content["features"]]
    found: dict[tuple[int, int], list[str]] = {}
    for role, matrix in content["correlations"].items():
        for first in range(len(names)):
            for second in range(first):
                value = matrix[first][second]
                if value is not None and abs(value) >= _ALIKE:
                    found.setdefault((second, first), []).append(role)
    return [f"{names[first]} and {names[second]} ({' and '.join(roles)})" for (first, second), roles in found.items()]


# --- a page of its own ----------------------------------------------------------------------------------------------


def render(contents: Mapping[str, Any], figures: Mapping[tuple[str, str], str], settings: PlotSettings) -> str:
    """Return a page that shows the features alone, before there are any trainings; *figures* as in the report."""
    from nuisflow.report import page

    template = (Path(__file__).parent / "inputs_page.html").read_text(encoding="utf-8")
    return page.filled(
        template,
        {
            "title": settings.plots.title,
            "inputs": sections(contents, settings),
            "drawings": drawings.drawings(figures),
            "pdf": drawings.document,
        },
    )
