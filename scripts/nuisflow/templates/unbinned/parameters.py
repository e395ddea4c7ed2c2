"""A likelihood of single events whose variations have one nuisance parameter per process or region, not one for all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Json = dict[str, Any]
Axes = Mapping[str, Sequence[Sequence[str]]]
"""The parameter of every process and variation ('': none), by region with bins; that of single events is ''."""
Key = tuple[int, ...]


def decorrelated(description: Json, axes: Axes) -> Json:
    """Return a *description* in variations as one in their parameters.

    Networks and yields are of one process each, so that polynomials stay what they are, in other variables. A parameter
    of a region with bins has columns of its own, which single events do not have (-1 in ``columns``).
    """
    count = range(len(description["learned"]))
    learned = list(dict.fromkeys(row[v] for v in count for rows in axes.values() for row in rows if row[v]))
    place = {name: index for index, name in enumerate(learned)}

    def key(powers: Sequence[int], names: Sequence[str]) -> Key | None:
        """Return the exponents of all parameters; None where a variation does not act."""
        if any(power and not name for power, name in zip(powers, names, strict=True)):
            return None
        found = np.zeros(len(learned), dtype=np.int64)
        for power, name in zip(powers, names, strict=True):
            if power:
                found[place[name]] = power
        return tuple(found.tolist())

    rows = [names for of_term in axes.values() for names in of_term]
    table: dict[Key, int] = {}
    for powers in description["powers"]:
        for names in rows:
            if (found := key(powers, names)) is not None:
                table.setdefault(found, len(table))

    def spread(coefficients: Sequence[Sequence[float]], term: str) -> list[list[float]]:
        """Return the coefficients (processes, terms) in the new table."""
        made = np.zeros((len(coefficients), len(table)))
        for index, (values, names) in enumerate(zip(coefficients, axes[term], strict=True)):
            for powers, value in zip(description["powers"], values, strict=True):
                if (found := key(powers, names)) is not None:
                    made[index, table[found]] = value
        return [list(row) for row in made.tolist()]

    monomials: list[Key] = []
    owners: list[str] = []
    columns: list[int] = []
    sources: dict[str, list[int]] = {region["region"]: [] for region in description["binned"]}
    for index, process in enumerate(description["processes"]):
        own = [column for column, owner in enumerate(description["owners"]) if owner == process]
        keys: dict[Key, int] = {}
        for column in own:
            if (found := key(description["monomials"][column], axes[""][index])) is not None:
                keys[found] = column
        used: dict[str, dict[Key, int]] = {name: {} for name in sources}
        for region in description["binned"]:
            name, slopes = region["region"], np.array(region["slopes"]).reshape(len(region["shares"]), -1)
            for column in own:
                found = key(description["monomials"][column], axes[name][index])
                if found is not None and (found in keys or slopes[:, column].any()):
                    keys.setdefault(found, -1)
                    used[name][found] = column
        monomials += keys
        owners += [process] * len(keys)
        columns += keys.values()
        for name, found_in in used.items():
            sources[name] += [found_in.get(found, -1) for found in keys]
    return description | {
        "learned": learned,
        "powers": [list(row) for row in table],
        "yield_terms": spread(description["yield_terms"], ""),
        "norms": [spread(of_fold, "") for of_fold in description["norms"]],
        "monomials": [list(row) for row in monomials],
        "owners": owners,
        "columns": columns,
        "binned": [
            region
            | {"norms": spread(region["norms"], region["region"]), "slopes": _taken(region, sources[region["region"]])}
            for region in description["binned"]
        ],
    }


def _taken(region: Json, columns: Sequence[int]) -> list[list[float]]:
    """Return the slopes (bins, columns) of a region, 0 where the column is -1."""
    slopes = np.array(region["slopes"]).reshape(len(region["shares"]), -1)
    widened = np.concatenate([slopes, np.zeros((len(slopes), 1))], axis=1)
    return [list(row) for row in widened[:, columns].tolist()]
