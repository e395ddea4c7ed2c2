"""Kinds of events, one module each; the module's name is ``dataset.kind`` in the configuration.

A module offers ``COLUMNS`` (raw columns; empty where the configuration declares them), ``DERIVED`` (columns that
``reconstruct`` adds), ``SHIFTS`` (named shifts), ``shift(columns, {name: (z, size)})`` where it has shifts,
``reconstruct(columns, wanted)``, ``UNDEFINED`` (the value that stands for 'undefined', or None), and, for simulated
events, ``PROCESSES`` and ``simulate(process, events, generator)``. ``ACTS_ON`` names the processes of shifts that must
not act on others, ``LIMITS`` the greatest size times |z| of a shift in nature. Where the densities are known,
``log_density(process, columns, {shift: value})`` gives them with every shift at z times size = value, in natural units.

``shift`` and ``reconstruct`` treat every row alone: the rows of a part of the events are the same as in the whole.
Derived columns that are not in *wanted* (default: all are) may be missing from what ``reconstruct`` returns. A module
that has ``needed(wanted, shifts)`` names the raw columns without which ``reconstruct`` and ``shift``, by the named
*shifts*, make the columns *wanted* all the same: no others are read, and those that decide which events are selected
are made first, the others for selected events only.

Published files that are converted once have ``RAW`` (columns to read), ``TEXT`` (those of them that hold text, and what
it may be) and ``convert(columns, process, generator)``, which returns ``COLUMNS`` and ``weight`` of the rows of
*process* (default: all rows of a file); text comes to it as an index into what it may be. ``OPTIONS`` names what it
takes besides, from the section dataset, and ``FIXED`` the columns that no shift may meet, since they cannot be computed
anew.

Where what a module offers depends on the section of the configuration, ``of(dataset)`` returns an object that offers
it: ``shift``, ``reconstruct`` and ``SHIFTS``; it may also have ``grouped(columns)``, which makes its columns of those
in files, and ``problems()``, what is wrong with the section.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from nuisflow.datasets import ditau, fair_universe, flat, gaussian, higgsml, inferno, nanoaod, pivot

MODULES: dict[str, ModuleType] = {
    "ditau": ditau,
    "fair_universe": fair_universe,
    "flat": flat,
    "gaussian": gaussian,
    "higgsml": higgsml,
    "inferno": inferno,
    "nanoaod": nanoaod,
    "pivot": pivot,
}


def of(dataset: Any) -> Any:
    """Return what offers the shifts and the reconstruction of the section *dataset*: its module, or what that makes."""
    module = MODULES[dataset.kind]
    return module.of(dataset) if hasattr(module, "of") else module


def code(dataset: Any) -> tuple[str, ...]:
    """Return the files of the user that hold code of the section *dataset*."""
    functions: str | None = getattr(dataset, "functions", None)
    return () if functions is None else (str(Path(functions).resolve()),)


def raw_columns(dataset: Any) -> tuple[str, ...]:
    """Return the columns that raw events of the section *dataset* have."""
    if branches := getattr(dataset, "branches", ()):
        return (*branches, *dataset.generated)
    declared: tuple[str, ...] = getattr(dataset, "columns", ())
    return declared or (*MODULES[dataset.kind].COLUMNS, "weight")


def measured_columns(dataset: Any) -> tuple[str, ...]:
    """Return the raw columns that collision data have, too: all but the branches that only simulation has."""
    return tuple(getattr(dataset, "branches", ())) or raw_columns(dataset)


def undefined(dataset: Any) -> float | None:
    """Return the value that stands for 'undefined' in events of the section *dataset*; None: there is none."""
    value: float | None = getattr(dataset, "missing", MODULES[dataset.kind].UNDEFINED)
    return value


def options(dataset: Any) -> dict[str, Any]:
    """Return what ``convert`` takes from the section *dataset*."""
    return {name: getattr(dataset, name) for name in getattr(MODULES[dataset.kind], "OPTIONS", ())}
