"""Branches with several values per event as collections of objects, and back to one number per event."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nuisflow.storage import files

Columns = dict[str, Any]

_RENAMED = {"Px": "px", "Py": "py", "Pz": "pz"}
_MOMENTA = {
    frozenset({"pt", "eta", "phi", "mass"}): "Momentum4D",
    frozenset({"px", "py", "pz", "E"}): "Momentum4D",
    frozenset({"pt", "eta", "phi"}): "Momentum3D",
    frozenset({"px", "py", "pz"}): "Momentum3D",
    frozenset({"pt", "phi"}): "Momentum2D",
}
_COORDINATES = {
    "x", "y", "z", "t", "rho", "theta", "tau", "px", "py", "pz", "pt", "phi", "eta",
    "E", "e", "energy", "m", "M", "mass",
}  # fmt: skip


class ShapeError(ValueError):
    """Values that are not one number per event."""


def grouped(arrays: Mapping[str, Any], place: str) -> Columns:
    """Return one array of lists of objects per collection, and one numpy array per branch with one number per event.

    A branch ``Muon_pt`` with several values per event is the field ``pt`` of the collection ``Muon``, one without an
    underscore a list of its own. Objects with pt, eta, phi and mass (or px, py, pz and E) are vectors of the package
    vector, unless they have other coordinates too, as secondary vertices do: these could be mistaken for a momentum.
    """
    columns: Columns = {}
    collections: dict[str, Columns] = {}
    for name, values in arrays.items():
        if values.ndim == 1:
            columns[name] = np.asarray(values)
        elif "_" in name:
            collections.setdefault(name.split("_")[0], {})[name] = values
        else:
            columns[name] = values
    for collection, branches in collections.items():
        if collection in columns:
            raise files.FileError(f"{place}: branch {collection!r} has the name of a collection; leave one of them out")
        columns[collection] = _zipped(branches, place)
    return columns


def _zipped(branches: Columns, place: str) -> Any:
    """Return the *branches* of one collection as one list of records per event."""
    import awkward as ak
    import vector

    vector.register_awkward()
    lists = {name: ak.from_regular(values, axis=1) for name, values in branches.items()}
    first, *others = lists
    for name in others:
        if not ak.all(ak.num(lists[first]) == ak.num(lists[name])):
            raise files.FileError(
                f"{place}: branches {first!r} and {name!r} have different numbers of values in an event; "
                "a collection has the same number in all of its branches: leave one of them out"
            )
    fields = {_field(name): values for name, values in lists.items()}
    return ak.zip(fields, depth_limit=2, with_name=_MOMENTA.get(frozenset(_COORDINATES & fields.keys())))


def _field(branch: str) -> str:
    field = branch.partition("_")[2]
    return _RENAMED.get(field, field)


def has_branch(columns: Columns, branch: str) -> bool:
    """Return whether *columns* have the *branch*, by itself or as a field of a collection."""
    collection = columns.get(branch.partition("_")[0])
    return branch in columns or _field(branch) in getattr(collection, "fields", ())


def has_lists(values: Any) -> bool:
    """Return whether a raw column has several values per event."""
    return bool(values.ndim > 1)


def joined(columns: Columns) -> Any:
    """Return *columns* as one awkward array of events, a record with one field per column."""
    import awkward as ak

    return ak.zip(columns, depth_limit=1)


def split(events: Any, before: Columns) -> Columns:
    """Return the fields of *events* as columns; numbers that were in single precision *before* are so again.

    A value multiplied by a number in double precision and by 1 is thus the same as before, bit for bit.
    """
    columns: Columns = {}
    for name in events.fields:
        values = _as_before(events[name], before[name]) if name in before else events[name]
        columns[name] = np.asarray(values) if values.ndim == 1 and values.layout.is_numpy else values
    return columns


def _as_before(values: Any, before: Any) -> Any:
    import awkward as ak

    if not values.fields:
        return ak.values_astype(values, np.float32) if _is_wider(values, before) else values
    for name in set(values.fields) & set(getattr(before, "fields", ())):
        if _is_wider(values[name], before[name]):
            values = ak.with_field(values, ak.values_astype(values[name], np.float32), name)
    return values


def _is_wider(values: Any, before: Any) -> bool:
    return (_primitive(before), _primitive(values)) == ("float32", "float64")


def _primitive(values: Any) -> str | None:
    """Return the name of the type of the numbers in lists of *values*."""
    if isinstance(values, np.ndarray):
        return str(values.dtype)
    kind = values.type
    while hasattr(kind, "content"):
        kind = kind.content
    return getattr(kind, "primitive", None)


def length(events: Any) -> int | None:
    """Return the number of *events*; None if they are no events."""
    return len(events) if hasattr(events, "fields") and hasattr(events, "layout") else None


def numbers(values: Any, size: int, missing: float | None) -> np.ndarray:
    """Return *values* as *size* numbers, one per event; None becomes *missing*, or NaN if there is no such value."""
    import awkward as ak

    array = values if isinstance(values, ak.Array) else ak.Array(np.atleast_1d(values))
    flat = array.ndim == 1 and not array.fields and (array is values or np.ndim(values) == 1)
    plain = ak.to_numpy(array, allow_missing=True) if flat else np.array("")
    if plain.dtype.kind not in "biuf":
        raise ShapeError(f"is not one number per event but {_short(array)}")
    if len(plain) != size:
        raise ShapeError(f"has {len(plain)} values for {size} events")
    if plain.dtype.kind in "biu":
        plain = plain.astype(np.int32 if plain.dtype.itemsize < 4 else np.int64)
    fraction = missing is None or not float(missing).is_integer()
    if np.ma.is_masked(plain) and fraction and plain.dtype.kind == "i":
        plain = plain.astype(np.float64)  # whole numbers would hold the whole part of *missing*
    plain = plain.astype(np.float32) if plain.dtype.itemsize < 4 else plain
    return np.asarray(np.ma.filled(plain, np.nan if missing is None else missing))


def _short(array: Any) -> str:
    text = str(array.type)
    return text if len(text) < 80 else text[:77] + "..."
