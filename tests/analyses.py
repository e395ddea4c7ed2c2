"""Small configurations that tests build on."""

import copy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FLAT: dict[str, Any] = {
    "analysis": "flat",
    "dataset": {"kind": "flat", "path": "data", "columns": ["x", "w"]},
    "processes": {"s": {"role": "signal"}, "b": {}},
    "samples": {name: {"process": name, "files": [f"{name}.csv"], "weight": "w"} for name in ("s", "b")},
    "regions": {"signal": {}},
    "features": ["x"],
    "trainings": {"nominal": {"strategy": "nominal"}},
}
"""An analysis of two CSV files."""


def shipped(name: str) -> dict[str, Any]:
    """Return the content of a shipped configuration."""
    return yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text())


def changed(content: dict[str, Any], *changes: tuple[str, Any]) -> dict[str, Any]:
    """Return a copy of *content* with the value at each dotted path replaced (None removes it)."""
    content = copy.deepcopy(content)
    for path, value in changes:
        *parents, last = path.split(".")
        node = content
        for key in parents:
            node = node[key]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return content
