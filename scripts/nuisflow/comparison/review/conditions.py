"""Events of conditions (nature at nominal, or at a value of one variation): a bounded number, held in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nuisflow.slices.review import Source
from nuisflow.storage import event_files

Key = tuple[str, str]
"""Folder and sample of a file of events."""


class Taken(NamedTuple):
    """Events of one file at equal distances: their *rows* in it, *region* (index) and columns, ``weight`` among them.

    Each stands for those between: weights are times *step*.
    """

    rows: np.ndarray
    region: np.ndarray
    columns: dict[str, np.ndarray]
    step: int


def take(path: Path, columns: Sequence[str], regions: Sequence[str], most: int) -> Taken:
    """Return at most *most* events of a file; memory does not grow with it."""
    step, start = max(1, -(-event_files.count_rows(path) // most)), 0
    parts = []
    for rows in event_files.read_event_parts(path, ("entry", "weight", *columns), {"region": regions}):
        number = len(rows["region"])
        chosen = np.arange(-start % step, number, step)
        parts.append({name: values[chosen] for name, values in rows.items()} | {"row": start + chosen})
        start += number
    if not parts:
        return Taken(np.empty(0, int), np.empty(0, int), dict.fromkeys(("entry", "weight", *columns), np.empty(0)), 1)
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Taken(found.pop("row"), found.pop("region"), found | {"weight": found["weight"] * step}, step)


def weights(source: Source, events: Mapping[Key, Taken], regions: Sequence[str]) -> np.ndarray:
    """Return the weights of the events of a *source*, 0 outside of its regions."""
    found = events[source.folder, source.sample]
    inside = np.isin(found.region, [regions.index(name) for name in source.regions])
    weight = found.columns["weight"] * inside * source.scale
    return weight if source.factor is None else weight * found.columns[source.factor]


def factors(sources: Sequence[Source], key: Key) -> list[str]:
    """Return the columns of factors that *sources* need of one file."""
    return list(dict.fromkeys(one.factor for one in sources if one.factor and (one.folder, one.sample) == key))
