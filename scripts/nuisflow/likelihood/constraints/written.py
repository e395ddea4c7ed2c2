"""Objects, lists and numbers as they stand in a file: returned, or refused with their place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nuisflow.names import suggest


def entry(written: Any, known: Sequence[str] | None, place: str) -> dict[str, Any]:
    """Return an object, whose keys must be known (None: any are)."""
    if not isinstance(written, Mapping):
        raise ValueError(f"{place}: expected an object, not {written!r}")
    for key in written:
        if known is not None and key not in known:
            raise ValueError(f"{place}: no {key!r}; {suggest(str(key), known)}")
    return dict(written)


def items(written: Any, place: str) -> Sequence[Any]:
    """Return a list (or tuple)."""
    if not isinstance(written, (list, tuple)):
        raise ValueError(f"{place}: expected a list, not {written!r}")
    return written


def number(written: Any, place: str) -> float:
    """Return a finite number."""
    if isinstance(written, bool) or not isinstance(written, (int, float)) or not np.isfinite(written):
        raise ValueError(f"{place}: expected a finite number, not {written!r}")
    return float(written)
