"""Make the pages of the site that repeat nothing by hand: sections of the READMEs, and tables of what models accept."""

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nuisflow.settings.configuration import Configuration
from nuisflow.strategies import STRATEGIES

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = "*"
PAGES: dict[str, tuple[str, dict[str, Sequence[str]]]] = {
    "start": ("Start", {"README.md": ["Two commands", "A result", "How to read the report"]}),
    "events": (
        "Your own events",
        {
            "config/README.md": [
                "Bring your own ntuples", "`dataset`", "`processes`", "`samples`", "Ingestion", "Expressions",
                "`derived`, `selection`, `features`, `regions`", "NanoAOD",
            ]
        },
    ),
    "analysis": (
        "The analysis",
        {
            "config/README.md": [
                "`analysis`, `seed`", "`variations`", "`learning`, `trainings`", "`tune`", "`templates`",
                "`fit`, `toys`", "What if an uncertainty were another?", "`scenarios`, `published`", "`plots`",
                "How much simulation is enough?", "`studies`",
            ]
        },
    ),
    "gallery": (
        "Gallery", {"README.md": ["A result", "All strategies", "Collision data", EVERYTHING]},
    ),
    "clusters": ("Clusters and scale", {"config/README.md": ["On a batch system", "`dask`", "How far it scales"]}),
    "faults": (
        "When something goes wrong",
        {
            "config/README.md": [
                "When something goes wrong", "If you change X, this runs again", "Where results come from",
            ],
            "results/README.md": [EVERYTHING],
        },
    ),
    "house": ("The house", {"CONTRIBUTING.md": [EVERYTHING]}),
}  # fmt: skip
"""Pages of sections: title, and the headings of each file, in order; `EVERYTHING`: all others of the file."""


def sections(text: str) -> dict[str, str]:
    """Return the text under every heading of level 2 of a Markdown file, without code blocks taken for headings."""
    found, title, fenced = dict[str, list[str]](), "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("## "):
            title = line.removeprefix("## ").strip()
            if title in found:
                raise ValueError(f"two sections are called {title!r}")
        else:
            found.setdefault(title, []).append(line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def page(name: str) -> str:
    """Return a page of `PAGES` as Markdown, links relative to the folder of made pages."""
    title, files = PAGES[name]
    parts = [f"# {title}"]
    for file, headings in files.items():
        known = sections((ROOT / file).read_text())
        if missing := [heading for heading in headings if heading not in known and heading != EVERYTHING]:
            raise ValueError(f"{file} has no section {missing[0]!r}; it has {', '.join(known)}")
        others = [heading for heading in known if heading not in headings]
        for heading in headings:
            for chosen in others if heading == EVERYTHING else [heading]:
                body = relative(known[chosen], (ROOT / file).parent)
                body = re.sub(r"^# .*$", "", body, flags=re.MULTILINE) if not chosen else body
                parts.append(f"## {chosen}\n\n{body}" if chosen else body)
    return "\n\n".join(parts).replace("```mermaid", "```text") + "\n"


def relative(text: str, folder: Path) -> str:
    """Return *text* with links to files seen from the folder ``docs/made`` in place of *folder*."""

    def seen(match: re.Match[str]) -> str:
        path = (folder / match[1]).resolve()
        return f"](../../{path.relative_to(ROOT)})" if path.exists() else match[0]

    return re.sub(r"\]\(([^):#]+)\)", seen, text)


# --- from models ----------------------------------------------------------------------------------------------------


def strategies() -> str:
    """Return one section per strategy: its docstring, which names paper and equation, and its options."""
    parts = ["# Strategies, one by one\n\nOptions of networks (`hidden`, `events_seen`, …) are in {doc}`reference`."]
    for name, strategy in STRATEGIES.items():
        own = {key: strategy.model_fields[key] for key in strategy.__annotations__ if key in strategy.model_fields}
        own.pop("strategy", None)
        parts.append(f"## `{name}`\n\n{cleaned(strategy.__doc__ or '')}\n\n{table(own)}".strip())
    return "\n\n".join(parts) + "\n"


def reference() -> str:
    """Return one section per model of the configuration, the whole first, in the order in which they are met."""
    parts = ["# Reference of the configuration\n\nMade from the models that check a configuration."]
    for model in models(Configuration):
        title = "The configuration" if model is Configuration else model.__name__
        anchor = model.__name__.lower()
        parts.append(f"({anchor})=\n## {title}\n\n{cleaned(model.__doc__ or '')}\n\n{table(model.model_fields)}")
    return "\n\n".join(parts) + "\n"


def models(first: type[BaseModel]) -> list[type[BaseModel]]:
    """Return *first* and all models that its fields hold; strategies have a page of their own."""
    found, waiting = list[type[BaseModel]](), [first]
    while waiting:
        model = waiting.pop(0)
        if model not in found and model not in STRATEGIES.values():
            found.append(model)
            waiting += [inner for field in model.model_fields.values() for inner in held(field.annotation)]
    return found


def held(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models in a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from held(inner)


def table(fields: Mapping[str, FieldInfo]) -> str:
    """Return a table of the options that people write: name, type, default, meaning."""
    written = {name: field for name, field in fields.items() if "filled in" not in (field.description or "")}
    if not written:
        return ""
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for name, field in written.items():
        default = "required" if field.is_required() else f"`{_default(field)}`"
        rows.append(f"| `{field.alias or name}` | {typed(field.annotation)} | {default} | {_cell(field.description)} |")
    return "\n".join(rows)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    text = "…" if isinstance(value, BaseModel) else str(value)
    return _cell({"True": "true", "False": "false", "None": "none", "()": "[]", "": "''"}.get(text, text))


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def typed(annotation: Any) -> str:
    """Return a type in words: models as links, literals as their values."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        own = annotation in STRATEGIES.values()
        return "{doc}`strategies`" if own else f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin is typing.Annotated:
        return typed(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(typed(one) for one in inner if one is not type(None)))
    if origin is dict:
        return f"names of {typed(inner[1])}"
    if origin in (tuple, list, set, frozenset):
        return "list of " + " and ".join(dict.fromkeys(typed(one) for one in inner if one is not ...))
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "NoneType": "none"}
    name = getattr(annotation, "__name__", str(annotation))
    return words.get(name, name)


def cleaned(text: str) -> str:
    """Return a docstring as Markdown."""
    lines = [line.strip() for line in text.strip().splitlines()]
    text = re.sub(r"(?<![\w*])\*([A-Za-z_][\w, ]*)\*(?![\w*])", r"`\1`", "\n".join(lines)).replace("``", "`")
    return text.replace("*", "\\*")


def make(folder: Path) -> None:
    """Write all made pages into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: page(name) for name in PAGES} | {"strategies": strategies(), "reference": reference()}
    for name, text in made.items():
        (folder / f"{name}.md").write_text(text)
