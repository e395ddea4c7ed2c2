"""How far a long computation is, in the log."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_SECONDS_BETWEEN_REPORTS = 5.0


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield *items*, logging at most every few seconds how many of *total* are done."""
    logger = logging.getLogger(__name__)
    reported = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            logger.info("%s: %d%s", what, done, f" of {total}" if total else "")
