"""Run one function on many pieces with dask, in order and with a bounded number of results in memory."""

import concurrent.futures
import contextlib
import importlib
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from nuisflow.events import clusters
from nuisflow.progress import progress
from nuisflow.settings.configuration import Dask
from nuisflow.storage import logs

T = TypeVar("T")
R = TypeVar("R")

_TASKS_PER_WORKER = 4
_ATTEMPTS = 3

logger = logging.getLogger(__name__)


def ordered_map(function: Callable[[T], R], pieces: Sequence[T], dask: Dask) -> Iterator[R]:
    """Yield ``function(piece)`` for every piece, in the order of *pieces*, whatever scheduler and workers.

    At most a few results per worker are held at a time, so that memory does not grow with the number of pieces. The
    pieces of a worker that is lost are computed again.
    """
    logger.info("dask: %s, workers: %d, chunks: %d", dask.scheduler, dask.workers, len(pieces))
    yield from progress(_results(function, pieces, dask), "chunks", len(pieces))


def _results(function: Callable[[T], R], pieces: Sequence[T], dask: Dask) -> Iterator[R]:
    if dask.scheduler == "synchronous" or (dask.scheduler == "threads" and dask.workers == 1):
        yield from map(function, pieces)
        return
    computing: Any = {"threads": _threads, "processes": _processes, "distributed": clusters.computing}[dask.scheduler]
    size = _TASKS_PER_WORKER * dask.workers
    with computing(dask) as compute:
        for first in range(0, len(pieces), size):
            yield from compute(function, pieces[first : first + size])


@contextlib.contextmanager
def _threads(dask: Dask) -> Iterator[clusters.Compute]:
    with concurrent.futures.ThreadPoolExecutor(dask.workers) as pool:
        yield lambda function, window: _compute(function, window, "threads", pool)


@contextlib.contextmanager
def _processes(dask: Dask) -> Iterator[clusters.Compute]:
    """Give a map over worker processes, which are started once, and anew when one of them was killed."""
    with contextlib.ExitStack() as pools:
        pool = pools.enter_context(_pool(dask.workers))

        def compute(function: Callable[[Any], Any], window: Sequence[Any]) -> Sequence[Any]:
            nonlocal pool
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return _compute(function, window, "processes", pool)
                except BrokenProcessPool:
                    logger.warning("dask: a worker process was killed (attempt %d of %d)", attempt, _ATTEMPTS)
                    pool = pools.enter_context(_pool(dask.workers))
            raise clusters.died(dask, _ATTEMPTS)

        yield compute


def _pool(workers: int) -> concurrent.futures.Executor:
    """Return processes that end with this one, however it ends."""
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, context, initializer=logs.die_with_parent)


def _compute(function: Callable[[Any], Any], window: Sequence[Any], scheduler: str, pool: Any) -> Sequence[Any]:
    library: Any = importlib.import_module("dask")
    delayed: Any = importlib.import_module("dask.delayed").delayed
    tasks = [delayed(function, pure=False)(piece) for piece in window]
    # Without chunksize, one process would get six tasks at once while others wait.
    results: Sequence[Any] = library.compute(*tasks, scheduler=scheduler, pool=pool, chunksize=1)
    return results
