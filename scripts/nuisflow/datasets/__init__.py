"""Kinds of events, one module each; the module's name is ``dataset.kind`` in the configuration.

A module offers ``COLUMNS`` (raw columns; empty where the configuration declares them), ``DERIVED`` (columns that
``reconstruct`` adds), ``SHIFTS`` (named shifts), ``shift(columns, {name: (z, size)})`` where it has shifts,
``reconstruct(columns, wanted)``, ``UNDEFINED`` (the value that stands for 'undefined', or None), and, for simulated
events, ``PROCESSES`` and ``simulate(process, events, generator)``. ``ACTS_ON`` names the processes of shifts that must
not act on others, ``LIMITS`` the greatest size times |z| of a shift in nature. Where the densities are known,
``log_density(process, columns, {shift: value})`` gives them with every shift at z times size = value, in natural units.

``shift`` and ``reconstruct`` treat every row alone: the rows of a part of the events are the same as in the whole.
Derived columns that are not in *wanted* (default: all are) may be missing from what ``reconstruct`` returns.

Published files that are converted once have ``RAW`` (columns to read), ``TEXT`` (those of them that hold text, and what
it may be) and ``convert(columns, process, generator)``, which returns ``COLUMNS`` and ``weight`` of the rows of
*process* (default: all rows of a file); text comes to it as an index into what it may be. ``OPTIONS`` names what it
takes besides, from the section dataset, and ``FIXED`` the columns that no shift may meet, since they cannot be computed
anew.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from nuisflow.datasets import ditau, fair_universe, flat, gaussian, higgsml, inferno, pivot

MODULES: dict[str, ModuleType] = {
    "ditau": ditau,
    "fair_universe": fair_universe,
    "flat": flat,
    "gaussian": gaussian,
    "higgsml": higgsml,
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


def converter(dataset: Any) -> Callable[..., Any] | None:
    """Return ``convert`` of the kind of *dataset* with the options of this section; None where there is none."""
    module = MODULES[dataset.kind]
    if not hasattr(module, "convert"):
        return None
    return partial(module.convert, **{name: getattr(dataset, name) for name in getattr(module, "OPTIONS", ())})
