"""Run one function on many pieces with dask, in order and with a bounded number of results in memory."""

import concurrent.futures
import contextlib
import importlib
import itertools
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from nuisflow.configuration import Dask

T = TypeVar("T")
R = TypeVar("R")

_TASKS_PER_WORKER = 4


def ordered_map(function: Callable[[T], R], pieces: Iterable[T], dask: Dask) -> Iterator[R]:
    """Yield ``function(piece)`` for every piece, in the order of *pieces*, whatever scheduler and workers.

    At most a few results per worker are held at a time, so that memory does not grow with the number of pieces.
    """
    if dask.scheduler == "synchronous" or (dask.scheduler == "threads" and dask.workers == 1):
        yield from map(function, pieces)
        return
    with _computing(dask) as compute:
        remaining = iter(pieces)
        while window := list(itertools.islice(remaining, _TASKS_PER_WORKER * dask.workers)):
            yield from compute(function, window)


@contextlib.contextmanager
def _computing(settings: Dask) -> Iterator[Callable[[Callable[[T], R], list[T]], Iterable[R]]]:
    """Give a function that maps over a list on the chosen scheduler."""
    if settings.scheduler == "distributed":
        import distributed

        cluster: Any = settings.address or distributed.LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=settings.workers, threads_per_worker=1, dashboard_address=None
        )
        with distributed.Client(cluster) as client:  # type: ignore[no-untyped-call]
            logging.getLogger(__name__).info("dask: %s", client)
            yield lambda function, window: client.gather(client.map(function, window, pure=False))
        if not settings.address:
            cluster.close()
    else:
        library: Any = importlib.import_module("dask")
        delayed: Any = importlib.import_module("dask.delayed").delayed
        with _pool(settings) as pool:
            yield lambda function, window: library.compute(
                *(delayed(function, pure=False)(piece) for piece in window), scheduler=settings.scheduler, pool=pool
            )


def _pool(settings: Dask) -> concurrent.futures.Executor:
    """Return the workers of this job: started once, not for every window of tasks."""
    if settings.scheduler == "threads":
        return concurrent.futures.ThreadPoolExecutor(settings.workers)
    return concurrent.futures.ProcessPoolExecutor(settings.workers, multiprocessing.get_context("spawn"))
