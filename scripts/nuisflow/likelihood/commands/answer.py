"""What a command found, as numbers, tables and warnings; and how that is printed and written."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Row = dict[str, Any]
_DIGITS = 4
_ZERO = 1e-9  # what is smaller is rounding, and printed as 0, but for probabilities
LABELS = {
    "hessian_error": "Hessian error", "twice_nll": "-2 ln L", "goodness_of_fit": "-2 ln (L / L saturated)",
    "sigmas": "significance", "p_value_low": "p value, lower end (Clopper-Pearson)",
    "p_value_high": "p value, upper end (Clopper-Pearson)", "true": "true value", "number": "toys",
    "failed": "failed fits", "unbounded": "without an end of the interval", "limited": "with an end at a bound",
    "coverage_low": "coverage, lower end (Clopper-Pearson)", "coverage_high": "coverage, upper end (Clopper-Pearson)",
    "interval": "mean width of the interval", "rmse": "RMSE", "mae": "MAE",
}  # fmt: skip


class NoAnswer(Exception):  # noqa: N818 (it is no error of the input)
    """There is no result at all, and why."""


class Table(NamedTuple):
    """Rows to print below a title; *name* is their key in JSON; *long* ones are written only."""

    name: str
    title: str
    rows: list[Row]
    long: bool = False


class Answer(NamedTuple):
    """What a command found: single numbers, tables (a CSV file holds the last one), and what to be careful about.

    *shown*: what the figures draw besides, if they are asked for: by name of the figure.
    """

    facts: Row
    tables: list[Table]
    warnings: list[str]
    converged: bool
    shown: Mapping[str, Any] = {}


class Asked(NamedTuple):
    """What was asked: the command, of which file, of which data (a word, and words), and of which parameters."""

    command: str
    workspace: str
    data: str
    told: str
    pois: tuple[str, ...]


def together(answers: Mapping[str, Answer]) -> Answer:
    """Return the answers for several parameters of interest as one; a single one as it is.

    Facts in which they differ become a table; rows of the tables say in "poi" whose they are.
    """
    pois, several = list(answers), list(answers.values())
    if len(several) == 1:
        return several[0]
    same = {k: v for k, v in several[0].facts.items() if all(_alike(row.facts.get(k), v) for row in several)}
    own = list(dict.fromkeys(k for row in several for k in row.facts if k not in same))
    tables = [Table("interests", "parameters of interest", [
        {"poi": poi} | {name: row.facts.get(name) for name in own} for poi, row in answers.items()])]  # fmt: skip
    for parts in zip(*(row.tables for row in several), strict=True):
        rows = [{"poi": poi} | _renamed(row, poi) for poi, part in zip(pois, parts, strict=True) for row in part.rows]
        common = all(part == parts[0] for part in parts)
        tables.append(parts[0] if common else parts[0]._replace(title=_several(parts[0].title, pois[0]), rows=rows))
    warnings = list(dict.fromkeys(text for row in several for text in row.warnings))
    shown = {f"{name}_{poi}": part for poi, row in answers.items() for name, part in row.shown.items()}
    return Answer(same, tables, warnings, all(row.converged for row in several), shown)


def _alike(one: Any, other: Any) -> bool:
    both = isinstance(one, float | np.floating) and isinstance(other, float | np.floating)
    return bool(one == other) or (both and math.isnan(one) and math.isnan(other))


def _renamed(row: Row, poi: str) -> Row:
    """Return a row with "value" for the column that has the name of its parameter of interest."""
    return {("value" if name == poi else name): value for name, value in row.items()}


def _several(title: str, poi: str) -> str:
    return " ".join("the parameter of interest" if word == poi else word for word in title.split(" "))


def printed(answer: Answer, asked: Asked) -> str:
    """Return the facts and tables as aligned text."""
    words = f", parameter{'s' if len(asked.pois) > 1 else ''} of interest {', '.join(asked.pois)}" if asked.pois else ""
    lines = [f"{asked.command} of {asked.workspace}" + (f": {asked.told}{words}" if asked.told else ""), ""]
    names = {name: LABELS.get(name, name).replace("_", " ") for name in answer.facts}
    width = max(map(len, names.values()), default=0)
    least = {name: 0.0 if name.startswith("p_value") else _ZERO for name in names}
    lines += [f"{names[name]:<{width}}  {number(value, least[name])}" for name, value in answer.facts.items()]
    for table in answer.tables:
        lines += ["", table.title]
        lines += [f"({len(table.rows)} rows, with --output)"] if table.long else aligned(table.rows)
    if len(asked.pois) == 1:
        (poi,) = asked.pois
        lines += ["", f"values, errors, impacts and limits of {poi} are in units of {poi}"]
    return "\n".join(lines)


def written(answer: Answer, asked: Asked, path: Path) -> str:
    """Return everything as JSON, or the last table (else the facts) as CSV; what is not a number becomes empty."""
    if path.suffix == ".csv":
        return _comma_separated(answer.tables[-1].rows if answer.tables else [answer.facts])
    content: Row = {"command": asked.command, "workspace": asked.workspace}
    content |= {"data": asked.data} if asked.data else {}
    content |= {"poi": asked.pois[0] if len(asked.pois) == 1 else list(asked.pois)} if asked.pois else {}
    content |= answer.facts | {table.name: table.rows for table in answer.tables}
    content = _finite(content | {"converged": answer.converged, "warnings": answer.warnings})
    return json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n"


def _comma_separated(rows: Sequence[Row]) -> str:
    """Return *rows* as CSV, with the columns of all rows in order of appearance."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(
            {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        )
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Turn numpy values and paths into what JSON knows."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _finite(value: Any) -> Any:
    """Return *value* with null in place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float | np.floating) and not math.isfinite(value) else value


def number(value: Any, least: float = _ZERO) -> str:
    """Return a number with the digits that matter, or "-"; what is below *least* is 0."""
    if isinstance(value, int | np.integer | str):
        return str(value)
    if value is None or not math.isfinite(value):
        return "-"
    return f"{0.0 if abs(value) < least else value:.{_DIGITS + 1}g}"


def aligned(rows: Sequence[Row]) -> list[str]:
    """Return a table as lines: text to the left, numbers to the right with the same decimals in a column."""
    if not rows:
        return ["(none)"]
    columns = [[name.replace("_", " "), *_cells([row[name] for row in rows])] for name in rows[0]]
    left = [isinstance(value, str) for value in rows[0].values()]
    padded = []
    for column, text in zip(columns, left, strict=True):
        width = max(map(len, column))
        padded.append([cell.ljust(width) if text else cell.rjust(width) for cell in column])
    return ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]


def _cells(values: Sequence[Any]) -> list[str]:
    """Return the values of a column as text: four digits of the largest number, three of the middle one."""
    if any(isinstance(value, str | bool) for value in values):
        return [{"True": "yes", "False": "no", "None": "-"}.get(str(value), str(value)) for value in values]
    numbers = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    sizes = np.abs(numbers[np.isfinite(numbers) & (np.abs(numbers) > _ZERO)])
    sizes = sizes[sizes > 1e-5 * sizes.max(initial=0.0)]
    if len(sizes) and not 1e-4 < sizes.max() < 1e7:
        return [number(value) for value in numbers]
    powers = np.floor(np.log10([sizes.max(), np.median(sizes)])) if len(sizes) else np.zeros(2)
    places = int(np.clip(np.max((3, 2) - powers), 0, 6))
    return [f"{value:.{places}f}" if math.isfinite(value) else "-" for value in np.round(numbers, places) + 0.0]
