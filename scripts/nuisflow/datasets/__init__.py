"""Kinds of events, one module each; the module's name is ``dataset.kind`` in the configuration.

A module offers ``COLUMNS`` (raw columns; empty where the configuration declares them), ``DERIVED`` (columns that
``reconstruct`` adds), ``SHIFTS`` (named shifts), ``shift(columns, {name: (z, size)})`` where it has shifts,
``reconstruct(columns, wanted)``, ``UNDEFINED`` (the value that stands for 'undefined', or None), and, for simulated
events, ``PROCESSES`` and ``simulate(process, events, generator)``. ``ACTS_ON`` names the processes of shifts that must
not act on others. Where the densities are known, ``log_density(process, columns, {shift: value})`` gives them with
every shift at z times size = value, in natural units.

``shift`` and ``reconstruct`` treat every row alone: the rows of a part of the events are the same as in the whole.
Derived columns that are not in *wanted* (default: all are) may be missing from what ``reconstruct`` returns.

Published files that are converted once have ``RAW`` (columns to read), ``TEXT`` (those of them that hold text, and what
it may be) and ``convert(columns, process, generator)``, which returns ``COLUMNS`` and ``weight`` of the rows of
*process* (default: all rows of a file); text comes to it as an index into what it may be.
"""

from types import ModuleType
from typing import Any

from nuisflow.datasets import ditau, flat, gaussian, inferno, pivot

MODULES: dict[str, ModuleType] = {
    "ditau": ditau,
    "flat": flat,
    "gaussian": gaussian,
    "inferno": inferno,
    "pivot": pivot,
}


def raw_columns(dataset: Any) -> tuple[str, ...]:
    """Return the columns that raw events of the section *dataset* have."""
    declared: tuple[str, ...] = getattr(dataset, "columns", ())
    return declared or (*MODULES[dataset.kind].COLUMNS, "weight")


def undefined(dataset: Any) -> float | None:
    """Return the value that stands for 'undefined' in events of the section *dataset*; None: there is none."""
    value: float | None = getattr(dataset, "missing", MODULES[dataset.kind].UNDEFINED)
    return value
