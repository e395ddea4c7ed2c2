"""Tables of the report for LaTeX, with booktabs: comparison, sources of uncertainty, yields."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nuisflow.report import findings, page, tables, yields
from nuisflow.report.page import Material
from nuisflow.report.review import studies
from nuisflow.slices.report import ReportSettings, yields_table

_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": "$<$", ">": "$>$", "|": "$|$"},
}
_SIGNS = {"±": r"\pm", "−": "-", "→": r"\to", "×": r"\times", "≥": r"\geq", "≤": r"\leq", "χ": r"\chi", "√": r"\surd"}
_PLAIN = {"–": "--", "—": "---", "…": r"\ldots{}", "\u00a0": "~", "’": "'", "“": "``", "”": "''"}
_POWERS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_OVER = {"\u0304": "bar", "\u0305": "bar", "\u0303": "tilde", "\u0302": "hat"}
"""Signs that stand above the letter before them."""


def text(words: str) -> str:
    """Return *words* for LaTeX: its special signs as themselves, Greek letters and signs of mathematics in formulas."""
    found = "".join(_sign(one) for one in re.findall("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+|.[\u0302-\u0305]?", words, re.DOTALL))
    return re.sub(r"(?<!\\)\$\$", "", found)


def _sign(one: str) -> str:
    """Return one sign, with what stands above it, or some raised ones."""
    if one[0] in _POWERS:
        return f"$^{{{''.join(_POWERS[sign] for sign in one)}}}$"
    if len(one) == 2:
        return f"$\\{_OVER[one[1]]}{{{one[0]}}}$"
    if one in _SIGNS:
        return f"${_SIGNS[one]}$"
    if one in _SPECIAL or one in _PLAIN:
        return (_SPECIAL | _PLAIN)[one]
    kind, *rest = unicodedata.name(one, "").split()
    if kind == "GREEK" and rest[1:2] == ["LETTER"] and len(rest) == 3:
        name = rest[2].lower().replace("lamda", "lambda")
        return f"$\\{name if rest[0] == 'SMALL' else name.capitalize()}$"
    return one


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str) -> str:
    """Return a floating table with booktabs; the first column is flush left, the others right."""
    frame = pd.DataFrame([[text(cell) for cell in row] for row in rows], columns=range(len(head)))
    names = [text(name) for name in head]  # of two trainings perhaps the same, which columns cannot have
    styled = frame.style.hide(axis="index").format_index(lambda place: names[int(str(place))], axis="columns")
    made: str = styled.to_latex(
        hrules=True,
        column_format="l" + "r" * (len(head) - 1),
        position="htbp",
        position_float="centering",
        caption=text(caption),
        label=f"tab:{label}",
    )
    return made


def documents(material: Material, settings: ReportSettings) -> dict[str, str]:
    """Return all tables by the names of their files, and ``tables``, a document that shows them."""
    poi, found = findings.poi_name(settings), {}
    found["comparison"] = _comparison(material, poi, settings)
    found["uncertainties"] = _uncertainties(material, poi, settings)
    found |= {yields_table(name): _yields(name, part) for name, part in _of_regions(material, settings).items()}
    if sections := studies.sections(material.tables, settings):
        found["studies"] = "\n".join(_study(section, place, poi) for place, section in enumerate(sections, start=1))
    parts = "\n".join(f"\\input{{{name}}}" for name in found)
    head = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\usepackage[landscape]{geometry}"
    return found | {"tables": f"{head}\n\\begin{{document}}\n{parts}\n\\end{{document}}\n"}


def _comparison(material: Material, poi: str, settings: ReportSettings) -> str:
    head = ("training", f"σ({poi})", "stat.", "syst.", "MC stat.", "AUC", "to the best", "seeds")
    columns = ("label", "sigma", "sigma_stat", "sigma_syst", "sigma_mcstat", "auc", "relative", "seeds")
    found = page.comparison_rows(material.tables["trainings"], "asimov", settings)
    rows = [[str(row[name]) + (_spread(row["spread"]) if name == "sigma" else "") for name in columns] for row in found]
    words = f"Expected uncertainty of {poi} for every training: median over the seeds, their spread, and its parts."
    return table(head, rows, words, "comparison")


def _spread(spread: str) -> str:
    """Return the *spread* of seeds behind a number; '' of a single seed."""
    return "" if spread == "–" else f" (± {spread})" if spread.startswith("<") else f" ± {spread}"


def _uncertainties(material: Material, poi: str, settings: ReportSettings) -> str:
    found = tables.breakdown_table(material.tables, settings)
    rows = [[str(group), *(cell for cell, _ in cells)] for group, cells in (*found["rows"], *found["totals"])]
    words = f"Uncertainty of {poi} by source: what it loses when the source is frozen, in quadrature."
    return table(("source", *found["names"]), rows, words, "uncertainties")


def _of_regions(material: Material, settings: ReportSettings) -> dict[str, Mapping[str, Any]]:
    """Return the yields of every region that has some, by its name."""
    found = {part["label"]: part for part in yields.tables(material.fits, settings)}
    return {name: found[words[0]] for name, words in settings.regions.items() if words[0] in found}


def _study(section: Mapping[str, Any], place: int, poi: str) -> str:
    """Return the table of one study, and the exponents of its power laws."""
    head = ("training", "events", f"σ({poi})", "syst.", "MC stat.", "coverage", "best fit to the whole, in σ")
    rows = [[row["label"], *cells] for row in section["rows"] for cells in row["sizes"]]
    words = f"{section['title']}: the same analysis with a part of them. Medians over the seeds."
    laws = [[row["label"], *row["exponents"]] for row in section["rows"]]
    further = f"{section['title']}: exponents of the power laws of uncertainties against their number."
    return table(head, rows, words, f"studies_{place}") + table(
        ("training", *section["described"]), laws, further, f"power_laws_{place}"
    )


def _yields(name: str, part: Mapping[str, Any]) -> str:
    head = ["process", *(f"before the fit{after and f', {after}'}" for after in part["before"]), *part["after"]]
    rows = [[label, *cells] for label, cells in part["rows"]]
    return table(head, rows, f"Expected events in the region {part['label']}.", f"yields_{name}")
