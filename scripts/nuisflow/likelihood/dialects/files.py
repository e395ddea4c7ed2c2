"""Find out which dialect a file is written in, and read it as a workspace."""

import json
from pathlib import Path
from typing import Any

from nuisflow.likelihood.dialects import datacards, hs3

PYHF, HS3, XML, COMBINE = "pyhf", "HS3", "HistFactory XML", "Combine"


def dialect(text: str) -> str:
    """Name the dialect of a text; what is none of the others should be pyhf's."""
    if text.lstrip().startswith("<"):
        return XML
    if datacards.looks_like(text):
        return COMBINE
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return PYHF
    return HS3 if isinstance(content, dict) and hs3.looks_like(content) else PYHF


def read(path: Path, text: str, measurement: str | None = None, mass: str | None = None) -> dict[str, Any] | None:
    """Return the workspace of a file; None if it is none of the other dialects. Raise ValueError with the place."""
    which = dialect(text)
    if which == XML:
        from nuisflow.likelihood.dialects import xml

        if not path.exists():
            raise ValueError(f"{path}: HistFactory XML names files beside it: give its own path, not standard input")
        return xml.read(path)
    if which == COMBINE:
        from nuisflow.likelihood.dialects import combine

        return combine.read(path, text, mass)
    return hs3.read(path, json.loads(text), measurement) if which == HS3 else None
