"""Flat ntuples of the user: columns, derived quantities and shifts are all declared in the configuration."""

from collections.abc import Callable, Collection

import numpy as np

Columns = dict[str, np.ndarray]

COLUMNS: tuple[str, ...] = ()
DERIVED: tuple[str, ...] = ()
SHIFTS: dict[str, Callable[..., Columns]] = {}
PROCESSES: tuple[str, ...] = ()
UNDEFINED = None


def reconstruct(columns: Columns, wanted: Collection[str] | None = None) -> Columns:  # noqa: ARG001
    """Return *columns*: the configuration's ``derived`` section says what to compute."""
    return columns


def needed(wanted: Collection[str], shifts: Collection[str]) -> set[str]:  # noqa: ARG001
    """Return *wanted*: nothing is computed of other columns here."""
    return set(wanted)
