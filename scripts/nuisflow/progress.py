"""How far a long computation is, in the log."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE, _SECONDS_BETWEEN_REPORTS = 2.0, 5.0


class Reporter:
    """Logs, or says, how much of something is done: first after two seconds, then at most every few seconds."""

    def __init__(self, what: str, total: int | None = None, say: Callable[[str], None] | None = None) -> None:
        self.say = say or logging.getLogger(__name__).info
        self.what, self.total, self.due = what, f" of {total}" if total else "", time.monotonic() + _PATIENCE

    def tell(self, done: int) -> None:
        """Log that *done* are done, if it is time to."""
        if time.monotonic() > self.due:
            self.due = time.monotonic() + _SECONDS_BETWEEN_REPORTS
            self.say(f"{self.what}: {done}{self.total}")


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield *items*, logging at most every few seconds how many of *total* are done."""
    reporter = Reporter(what, total)
    for done, item in enumerate(items, start=1):
        yield item
        reporter.tell(done)
