"""The workers of dask.distributed: on this machine, as jobs of a batch system, or those of a running scheduler."""

import concurrent.futures
import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nuisflow.settings.configuration import Dask

Compute = Callable[[Callable[[Any], Any], Sequence[Any]], Sequence[Any]]
"""Maps a function over a list."""

BATCH = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}
"""The classes of dask-jobqueue."""
_SCRIPTS = Path(__file__).resolve().parents[2]
_IMPORTED = time.time()
# A worker that pauses, the default at 80 % of its memory, may never go on; without, it is killed at 95 %.
_PAUSE = "DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE"
_SECONDS_BETWEEN_LOOKS = 30.0
_LOOKS_WITHOUT_WORKERS = 4

logger = logging.getLogger(__name__)


class WorkerError(OSError):
    """Workers that do not come, cannot be used, or die again and again."""


def died(settings: Dask, times: int) -> WorkerError:
    """Return the error of workers that died *times* times at the same events."""
    remedy = f"a smaller dask.chunk_size (now {settings.chunk_size}), fewer dask.workers (now {settings.workers})"
    if settings.scheduler == "distributed":
        remedy += f", or more dask.memory (now {settings.memory or 'not set'})"
    return WorkerError(
        f"dask: workers died {times} times at the same events, most likely for want of memory; choose {remedy}"
    )


@contextlib.contextmanager
def computing(settings: Dask) -> Iterator[Compute]:
    """Give what maps a function over a list with scheduler distributed; tasks of lost workers are done by others."""
    import distributed  # which sets its level

    logging.getLogger(distributed.__name__).setLevel(logging.WARNING)
    with _cluster(settings) as cluster, _client(cluster, settings) as client:
        missing = "" if settings.address or importlib.util.find_spec("bokeh") else " (which needs the package bokeh)"
        logger.info("dask: dashboard %s%s", client.dashboard_link, missing)
        if settings.address:
            _check_workers(client)
        yield functools.partial(_compute, client=client, cluster=cluster, settings=settings)


def _compute(
    function: Callable[[Any], Any], window: Sequence[Any], client: Any, cluster: Any, settings: Dask
) -> Sequence[Any]:
    """Map *function* over *window*; look from time to time whether there are workers, and submit lost jobs again."""
    import distributed

    if settings.cluster != "local":
        _submit(cluster, settings.workers)
    futures, alone = client.map(function, window, pure=False), 0
    try:
        while not _done(futures):
            workers = len(client.nthreads())
            alone = 0 if workers else alone + 1
            if workers < settings.workers:
                logger.warning("dask: %d of %d workers are there", workers, settings.workers)
            if settings.cluster != "local":
                _submit(cluster, settings.workers)
            elif alone == _LOOKS_WITHOUT_WORKERS:
                raise _none_left(settings)
        results: Sequence[Any] = client.gather(futures)
    except distributed.KilledWorker as error:
        raise died(settings, 1 + int(error.allowed_failures)) from error
    except concurrent.futures.CancelledError as error:
        where = f" at {settings.address}" if settings.address else ""
        raise WorkerError(f"dask: the connection to the scheduler{where} is lost; start it and run again") from error
    return results


def _done(futures: Sequence[Any]) -> bool:
    """Wait a while and return whether all *futures* are done."""
    import distributed

    try:
        distributed.wait(futures, timeout=_SECONDS_BETWEEN_LOOKS)  # type: ignore[no-untyped-call]
    except TimeoutError:
        return False
    return True


def _none_left(settings: Dask) -> WorkerError:
    if settings.address:
        return WorkerError(f"dask.address: no worker is left at {settings.address}; start some there")
    memory = settings.memory or "not set"
    return WorkerError(f"dask: no worker starts; most likely one needs more than dask.memory (now {memory})")


# --- workers of this job ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _cluster(settings: Dask) -> Iterator[Any]:
    """Start the workers; None: they are there."""
    if settings.address:
        yield None
    elif settings.cluster == "local":
        with _local_cluster(settings) as cluster:
            yield cluster
    else:
        with _batch_cluster(settings) as cluster:
            yield cluster


@contextlib.contextmanager
def _local_cluster(settings: Dask) -> Iterator[Any]:
    """Start processes on this machine, which can be reached from nowhere else."""
    import distributed

    config: Any = importlib.import_module("dask").config
    options = {"memory_limit": settings.memory or "auto", "dashboard_address": "127.0.0.1:0"}
    with config.set({"distributed.worker.memory.pause": False}):  # as _PAUSE
        cluster = distributed.LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=settings.workers, threads_per_worker=1, **options
        )
    with cluster:
        yield cluster


def _batch_cluster(settings: Dask) -> Any:
    """Return a cluster of dask-jobqueue, whose jobs are one worker with one core each."""
    import dask_jobqueue

    given: dict[str, Any] = dict(settings.options)
    path = os.pathsep.join([str(_SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    folder, path = shlex.quote(str(Path.cwd())), shlex.quote(path)
    environment = f"env --chdir={folder} PYTHONPATH={path} OMP_NUM_THREADS=1 {_PAUSE}=False"
    options = {"log_directory": "results/dask", **({"disk": "1GB"} if settings.cluster == "htcondor" else {})} | given
    options |= {"cores": 1, "processes": 1, "memory": settings.memory or "2GB"}
    options |= {"python": f"{environment} {given.get('python', sys.executable)}"}
    options |= {"scheduler_options": {"dashboard_address": ":0"} | given.get("scheduler_options", {})}
    if settings.walltime:
        options["walltime"] = settings.walltime
    try:
        return getattr(dask_jobqueue, BATCH[settings.cluster])(**options)
    except (TypeError, ValueError) as error:
        raise WorkerError(f"dask.options: dask-jobqueue cannot use them: {error}") from error


def _submit(cluster: Any, jobs: int) -> None:
    """Submit as many batch jobs as are missing of *jobs*; what the batch system refuses is an error here."""
    import distributed

    if missing := jobs - len(cluster.workers):
        logger.info("dask: submitting batch jobs, one worker each: %d", missing)

    async def submit() -> None:
        cluster.scale(jobs=jobs)
        await cluster._correct_state()  # scale alone would only log that a job cannot be submitted

    try:
        cluster.sync(submit)
    except (RuntimeError, OSError) as error:
        for job in cluster.workers.values():  # else the cluster cannot be closed
            job.status = distributed.Status.failed if job.job_id is None else job.status
        reason = str(error).strip().splitlines()[-1]
        raise WorkerError(f"dask.cluster: a job cannot be submitted ({reason}); correct dask.options") from error


# --- workers that others started --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _client(cluster: Any, settings: Dask) -> Iterator[Any]:
    import distributed

    try:
        client = distributed.Client(cluster or settings.address)  # type: ignore[no-untyped-call]
    except OSError as error:
        remedy = "start `dask scheduler` there, or correct it"
        raise WorkerError(f"dask.address: no scheduler answers at {settings.address} ({error}); {remedy}") from error
    with client:
        yield client


def _check_workers(client: Any) -> None:
    """Raise `WorkerError` if a worker would run other code than this process, or in another folder."""
    import distributed

    folder, scripts = str(Path.cwd()), str(_SCRIPTS)
    remedy = f"start workers in {folder} with PYTHONPATH={scripts}"
    try:
        client.wait_for_workers(1, timeout=_SECONDS_BETWEEN_LOOKS)
        places = client.run(_place)
    except (TimeoutError, distributed.TimeoutError):
        raise WorkerError(f"dask.address: the scheduler has no worker; {remedy}") from None
    except Exception as error:  # dask raises a plain one for what a worker cannot unpickle
        if "No module named 'nuisflow'" not in str(error):
            raise
        raise WorkerError(f"dask.address: a worker cannot import nuisflow; {remedy}") from None
    for worker, (its_folder, its_scripts, fresh) in places.items():
        if (its_folder, its_scripts) != (folder, scripts):
            found = f"runs in {its_folder} and imports nuisflow from {its_scripts}"
            raise WorkerError(f"dask.address: the worker {worker} {found}; {remedy}")
        if not fresh:
            raise WorkerError(f"dask.address: the worker {worker} imported nuisflow before it changed; restart it")


def _place() -> tuple[str, str, bool]:
    """Return the working folder, the folder of the library, and whether its files are those that were imported."""
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.parent.rglob("*.py"))
    return os.getcwd(), str(_SCRIPTS), newest < _IMPORTED  # noqa: PTH109 (compared as text)
