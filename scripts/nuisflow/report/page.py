"""The report: one HTML file without any outside parts, made from tables, fits, notes and figures."""

import importlib.metadata
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

import nuisflow
from nuisflow.comparison import trainings as comparison
from nuisflow.comparison.trainings import DATA, UNCERTAINTIES, Run
from nuisflow.report import (
    bootstrap,
    cautions,
    closure,
    colours,
    drawings,
    findings,
    held_out,
    known_answers,
    robustness,
    tables,
    what_if,
    yields,
)
from nuisflow.report.review import (
    classifiers,
    conformal,
    coverage_map,
    epistemic,
    inputs,
    permutation,
    studies,
    visibility,
)
from nuisflow.slices.report import PlotSettings, ReportSettings

SOFTWARE = (
    *("numpy", "scipy", "pandas", "numba", "torch", "xgboost", "pyhf", "iminuit", "uproot", "hist", "dask"),
    *("pyarrow", "numexpr", "pydantic", "matplotlib", "snakemake"),
)
TABLES = ("summary", "trainings", "breakdown", "limits", "impacts", "coverage", "robustness", "held_out")
"""The tables of compare_trainings that the report is made of."""
_MOST_NOTES = 200
_NO_TEXT = re.compile(r"(<(?:script|style|svg|pre)\b.*?</(?:script|style|svg|pre)>|<[^>]*>)", re.DOTALL)
"""What is not text of a page: elements in which spaces mean something, and tags."""
_OVER_BUDGET = 1.05


class Material(NamedTuple):
    """Everything the report is made of: tables by name, fits by run, notes of runs, SVG figures by (owner, name).

    *trials*: those that chose the options of a training, by its name. *what_if*: `comparison.what_if.content`.
    *closures*: of densities of single events. *inputs*: `comparison.inputs.compare` of every region.
    *classifiers*: curves of `comparison.classifiers`, of every run. *one_page*: whether there is a summary beside it.
    """

    tables: Mapping[str, pd.DataFrame]
    fits: Mapping[Run, Any]
    notes: Sequence[tuple[Run, Mapping[str, Any]]]
    figures: Mapping[tuple[str, str], str]
    trials: Mapping[str, pd.DataFrame] = {}
    what_if: Mapping[str, Any] | None = None
    closures: Mapping[Run, Any] = {}
    inputs: Mapping[str, Any] = {}
    classifiers: Sequence[Mapping[str, Any]] = ()
    one_page: bool = False


def render(template: str, material: Material, settings: ReportSettings) -> str:
    """Return the report as HTML: *template* filled with *material*."""
    return filled(template, context(material, settings))


def filled(template: str, words: Mapping[str, Any]) -> str:
    """Return *template* (jinja2) filled with *words*; its parts lie beside this module."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return bound(environment.from_string(template).render(words))


def bound(html: str) -> str:
    """Return *html* with numbers bound to their units: no line of the text begins with one."""
    parts = _NO_TEXT.split(html)
    parts[::2] = [re.sub(r"(?<=\d) (?=(?:%|σ|sd)(?!\w))", "\u00a0", text) for text in parts[::2]]
    return "".join(parts)


def context(material: Material, settings: ReportSettings) -> dict[str, Any]:
    """Return what the template shows, ready as text."""
    found = material.tables
    first = min(run.seed for run in material.fits)
    undisplaced = comparison.undisplaced(found["coverage"])
    compared = {data: comparison_rows(found["trainings"], data, settings) for data in DATA}
    sources = {method: tables.breakdown_table(found, settings, method) for method in tables.METHODS}
    covered = coverage_rows(undisplaced, settings)
    return {
        "title": settings.plots.title,
        "analysis": settings.configuration["analysis"],
        "poi": findings.poi_name(settings),
        "swatches": swatches(settings),
        "headline": findings.headline(found["trainings"], settings, found["summary"], undisplaced)
        + robustness.headline(found["robustness"], found["trainings"], found["coverage"], settings),
        "limits": findings.limits(compared["asimov"], sources["sigma"]),
        "covers": findings.covers(covered) if compared["asimov"] else "",
        "cautions": list(inputs.cautions(material.inputs, settings))
        + cautions.cautions({**found, "coverage": undisplaced}, material.fits, settings)
        + list(cautions.same_sides(material.notes, settings))
        + robustness.cautions(found["coverage"], material.fits, settings)
        + held_out.cautions(found["held_out"], settings)
        + closure.cautions(material.closures, settings)
        + classifiers.cautions(found.get("classifiers"), settings)
        + visibility.cautions(found.get("visibility")),
        "comparison": compared,
        "drawings": drawings.drawings(material.figures),
        "pdf": drawings.document,
        "correlated": findings.correlated(settings),
        "budgets": budget_rows(found["trainings"], settings),
        "trials": tables.trial_rows(material.trials, settings),
        "coverage": covered,
        "bootstrap": bootstrap.section(found, settings),
        "coverage_map": coverage_map.section(found, settings),
        "robustness": robustness.rows(found["robustness"], found["coverage"], settings),
        "what_if": what_if.section(material.what_if, found.get("what_if"), settings),
        "held_out": held_out.rows(found["held_out"], settings),
        "displaced": robustness.coverages(found["coverage"], settings),
        "tests": {data: tables.tested(found, data, settings) for data in DATA},
        "checks": [findings.intervals(material.fits, settings), findings.scarcest(material.fits, settings)],
        "breakdown": sources,
        "impacts": {kind: tables.impact_table(found, settings, kind) for kind in ("impact", "observable")},
        "answers": known_answers.sections(found, settings),
        "exact": known_answers.exact_rows(found),
        "sections": [training_section(name, first, material, settings) for name in settings.trainings],
        "regions": [(name, words[0]) for name, words in settings.regions.items()],
        "seed": first,
        "classifiers": classifiers.rows(found.get("classifiers"), material.classifiers, settings),
        "networks": classifiers.networks(found.get("classifiers"), settings),
        "importance": classifiers.importance(found.get("importance"), material.inputs, settings),
        "conformal": conformal.section(found.get("conformal"), settings),
        "epistemic": epistemic.rows(found, settings),
        "permutation": permutation.section(found.get("permutation"), material.inputs, settings),
        "visibility": visibility.rows(found.get("visibility"), settings),
        "inputs": inputs.sections(material.inputs, settings),
        "studies": studies.sections(found, settings),
        "yields": yields.tables(material.fits, settings),
        "notes": note_groups(material, settings),
        "account": findings.account(found, material.fits, [note for _, note in material.notes]),
        "configuration": yaml.safe_dump(settings.configuration, sort_keys=False, allow_unicode=True, width=100),
        "versions": versions(),
        "one_page": material.one_page,
    }


# --- tables ---------------------------------------------------------------------------------------------------------


def swatches(settings: PlotSettings) -> dict[str, str]:
    """Return the colour of every training in the figures, by its label."""
    looks = colours.of_trainings(settings)
    return {label: drawings.themed(looks[name].colour) for name, label in settings.trainings.items()}


def comparison_rows(trainings: pd.DataFrame, data: str, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the rows of the comparison table for one kind of data.

    Asimov data are ranked by the uncertainty; observed data, which should choose nothing, are as configured.
    """
    chosen = trainings[trainings["data"] == data]
    if data != "asimov":
        chosen = chosen.sort_values("training", key=lambda names: names.map(list(settings.trainings).index))
    places = findings.decimals(chosen["sigma"].min(), 3 if data == "asimov" else 2) if len(chosen) else 3
    found = [_comparison_row(row, places, first=not index) for index, (_, row) in enumerate(chosen.iterrows())]
    return found if len(found) > 1 else [row | {"relative": ""} for row in found]


def _comparison_row(row: "pd.Series[Any]", places: int, *, first: bool) -> dict[str, Any]:
    sigmas = {name: findings.number(row[name], places) for name in UNCERTAINTIES}
    if pd.isna(row["sigma_mcstat"]) and not pd.isna(row["sigma"]):
        sigmas["sigma_mcstat"] = "not included"
    return sigmas | {
        "rank": row["rank"],
        "training": row["training"],
        "label": row["label"],
        "strategy": row["strategy"],
        "mu": findings.number(row["mu"], findings.decimals(row["sigma"], 2)),
        "spread": findings.spread(row["sigma_spread"], places),
        "seeds": f"{row['seeds']}" + (f" ({row['failed']} failed)" if row["failed"] else ""),
        "auc": findings.number(row["auc"], 3),
        "relative": "best" if first else findings.percent(row["relative"]),
        "deviations": "" if first else findings.deviations(row["significance"]),
        "verdict": "" if first else findings.judged(row["significance"]),
        "p_value": tables.probability(row["p_value"]),
    }


def budget_rows(trainings: pd.DataFrame, settings: ReportSettings) -> dict[str, Any]:
    """Return what every training was given and used, and whether all that learn were given the same."""
    learning = settings.configuration["learning"]
    rows, asked, over = [], [], []
    expected = trainings[trainings["data"] == "asimov"].set_index("training")
    for name, label in settings.trainings.items():
        if name not in expected.index:
            continue
        row = expected.loc[[name]].iloc[0]
        options = dict(settings.configuration["trainings"][name])
        given, learns = options.pop("events_seen", None) or learning["events_seen"], row["events_seen"] != 0
        asked += [given] if learns else []
        options |= dict.fromkeys(settings.configuration.get("tune", {}).get(name, {}).get("options", {}), "by trials")
        if row["events_seen"] > _OVER_BUDGET * given * learning["folds"]:
            over.append(label)
        rows.append(
            {
                "label": label,
                "strategy": options.pop("strategy"),
                "asked": f"{given * learning['folds']:,}" if learns else "none: nothing is learnt",
                "seen": "–" if pd.isna(row["events_seen"]) else f"{row['events_seen']:,.0f}",
                "seconds": findings.number(row["train_seconds"], 1),
                "options": "; ".join(
                    f"{key}: {_plain(value)}"
                    for key, value in options.items()
                    if key not in ("label", "inputs") and value not in _NONE
                ),
            }
        )
    idle = len(asked) < len(rows)
    return {"rows": rows, "matched": len(set(asked)) <= 1, "idle": idle, "over": over, "folds": learning["folds"]}


_NONE: tuple[Any, ...] = (None, [], {})


def _plain(value: Any) -> str:
    if isinstance(value, dict) and "rule" in value:
        return _binned(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _binned(binning: Mapping[str, Any]) -> str:
    """Return a binning of a strategy in words."""
    if binning["rule"] == "edges":
        return f"with edges {', '.join(f'{edge:g}' for edge in binning['edges'])}"
    kind = "quantiles" if binning["rule"] == "quantile" else "equal bins"
    return f"{binning['number']} {kind} from {binning['low']:g} to {binning['high']:g}"


def coverage_rows(coverage: pd.DataFrame, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the results of pseudo-experiments, one row per training and true value: means over the seeds."""
    rows = []
    order = {name: index for index, name in enumerate(settings.trainings)}
    points = coverage[["training", "mu_true"]].drop_duplicates().itertuples(index=False)
    for name, truth in sorted(points, key=lambda point: (order[point[0]], point[1])):
        table = coverage[(coverage["training"] == name) & (coverage["mu_true"] == truth)]
        mean = table.mean(numeric_only=True)
        value, error = findings.pooled_coverage(table)
        places = findings.decimals(mean["mean_width"])
        rows.append(
            {
                "label": settings.trainings[name],
                "truth": f"{truth:g}",
                "toys": f"{table['toys'].sum():,.0f}",
                **{kind: f"{table[kind].sum():,.0f}" for kind in ("failed", "unbounded", "limited")},
                "coverage": f"{100 * value:.1f} ± {100 * error:.1f} %",
                "off": findings.is_off(value, error),
                "bias": findings.number(mean["bias"], places),
                "pull_mean": findings.number(mean["pull_mean"], 2),
                "pull_width": findings.number(mean["pull_width"], 2),
                "mean_width": findings.number(mean["mean_width"], places),
                "interval_score": findings.number(mean["interval_score"], 3),
            }
        )
    return rows


def note_groups(material: Material, settings: PlotSettings) -> list[dict[str, Any]]:
    """Return the notes by kind, the same note of several runs once."""
    places: dict[tuple[str, ...], list[Run]] = {}
    for run, note in material.notes:
        key = tuple(str(note.get(name) or "") for name in ("kind", "region", "process", "variation", "bin", "text"))
        places.setdefault(key, []).append(run)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for (kind, *words), runs in places.items():
        row = dict(zip(("region", "process", "variation", "bin", "text"), words, strict=True))
        row["bin"] = re.sub(r"\d+", lambda index: str(int(index[0]) + 1), row["bin"])
        row["where"] = _where(runs, material.fits, settings)
        kinds.setdefault(kind, []).append(row)
    return [
        {"kind": kind.replace("_", " "), "count": len(rows), "rows": rows[:_MOST_NOTES]}
        for kind, rows in sorted(kinds.items())
    ]


def _where(runs: Sequence[Run], fits: Mapping[Run, Any], settings: PlotSettings) -> str:
    """Return words for *runs*: all, or each training with its seeds."""
    if set(runs) >= set(fits):
        return "all"
    seeds: dict[str, list[int]] = {}
    for run in runs:
        seeds.setdefault(run.training, []).append(run.seed)
    everything = {name: {run.seed for run in fits if run.training == name} for name in seeds}
    return ", ".join(
        settings.trainings.get(name, name)
        + ("" if set(numbers) >= everything[name] else f" (seed {', '.join(map(str, sorted(set(numbers))))})")
        for name, numbers in seeds.items()
    )


# --- one training ---------------------------------------------------------------------------------------------------


def training_section(name: str, seed: int, material: Material, settings: PlotSettings) -> dict[str, Any]:
    """Return what is shown of one training."""
    table = material.tables["trainings"]
    rows = table[(table["training"] == name) & (table["data"] == "asimov")]
    row = rows.iloc[0] if len(rows) else None
    fit = material.fits.get(Run(name, seed)) or {}
    quality = (fit.get("observed") or {}).get("goodness_of_fit")
    return {
        "name": name,
        "label": settings.trainings[name],
        "strategy": "" if row is None else row["strategy"],
        "sigma": "–" if row is None else findings.number(row["sigma"], findings.decimals(row["sigma"])),
        "learns": row is None or row["events_seen"] > 0,
        "observed": bool(fit.get("observed")),
        "quality": quality and _quality(quality),
        "where": cautions.disagreement(fit["observed"], settings) if fit.get("observed") else "",
        "remarks": _remarks(fit, settings),
        "closure": closure.section(material.closures.get(Run(name, seed)) or {}),
    }


def _quality(quality: Mapping[str, Any]) -> str:
    text = f"χ² = {quality['chi2']:.1f} for {quality['ndof']:.0f} degrees of freedom"
    p_value = "–" if quality["p_value"] is None else tables.probability(quality["p_value"])
    thrown = quality.get("toys") or {}
    if thrown.get("p_value") is None:
        return f"{text}, p-value {p_value}"
    ends = f"{thrown['p_low']:.3f} to {thrown['p_high']:.3f}"
    failed = f", of which {thrown['failed']} failed" if thrown["failed"] else ""
    return f"{text}, p-value {p_value}; {ends} from {thrown['number']} pseudo-experiments{failed}"


def _remarks(fit: Mapping[str, Any], settings: PlotSettings) -> list[str]:
    """Return what profile intervals say against the Hessian's errors, parameter by parameter."""
    names = {settings.poi: findings.poi_name(settings)} | dict(settings.variations)
    return [
        f"{names.get(name, name)} ({data} data): {text}"
        for data in DATA
        for name, text in ((fit.get(data) or {}).get("intervals") or {"remarks": {}})["remarks"].items()
    ]


# --- the end --------------------------------------------------------------------------------------------------------


def versions() -> list[tuple[str, str]]:
    """Return the versions of the software that is installed."""
    found = [("nuisflow", nuisflow.__version__), ("Python", platform.python_version())]
    for name in SOFTWARE:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
