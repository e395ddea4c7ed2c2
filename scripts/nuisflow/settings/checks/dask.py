"""Check the section ``dask``: which keys belong to which scheduler."""

import re
from collections.abc import Iterator

from nuisflow.settings.configuration import Dask

_MEMORY = re.compile(r"\d+(\.\d+)? ?[kMGT]i?B")
_WALLTIME = re.compile(r"(\d+-)?\d+:[0-5]\d:[0-5]\d")
_SET_ELSEWHERE = {"memory": "dask.memory", "walltime": "dask.walltime", "n_workers": "dask.workers"}
_ONE_WORKER = ("cores", "processes")


def problems(dask: Dask) -> Iterator[str]:
    """Yield what is wrong with the section."""
    distributed, batch = dask.scheduler == "distributed", dask.cluster != "local"
    if dask.address is not None and not distributed:
        yield f"dask.address: is for scheduler distributed, not {dask.scheduler!r}"
    if batch and not distributed:
        yield f"dask.cluster: {dask.cluster} is for scheduler distributed, not {dask.scheduler!r}"
    if batch and dask.address is not None:
        yield f"dask.cluster: a running scheduler has its workers; remove cluster: {dask.cluster}, or dask.address"
    if dask.memory is not None:
        yield from _memory_problems(dask)
    if dask.walltime is not None:
        yield from _walltime_problems(dask)
    if dask.options and not batch:
        yield "dask.options: are for dask-jobqueue; choose dask.cluster slurm or htcondor, or remove them"
    for name in dask.options:
        if name in _SET_ELSEWHERE:
            yield f"dask.options.{name}: is set by {_SET_ELSEWHERE[name]}; remove it"
        if name == "scheduler_options" and not isinstance(dask.options[name], dict):
            yield f"dask.options.{name}: must be a mapping, such as {{interface: eth0}}"
        if name in _ONE_WORKER:
            yield f"dask.options.{name}: a batch job is one worker with one core; choose their number by dask.workers"


def _memory_problems(dask: Dask) -> Iterator[str]:
    if dask.scheduler != "distributed":
        remedy = "choose a smaller dask.chunk_size there, or remove it"
        yield f"dask.memory: only workers of scheduler distributed have a limit, not {dask.scheduler!r}; {remedy}"
    elif dask.address is not None:
        yield "dask.memory: workers of a running scheduler (dask.address) have their own limits; remove it"
    if not _MEMORY.fullmatch(str(dask.memory)):
        yield f"dask.memory: {dask.memory!r} is no amount of memory; write it with its unit: 2GB or 500MB"


def _walltime_problems(dask: Dask) -> Iterator[str]:
    if dask.cluster != "slurm":
        hint = (
            "; write what your site wants into dask.options, such as job_extra_directives: {+MaxRuntime: 7200}"
            if dask.cluster == "htcondor"
            else "; remove it"
        )
        yield f"dask.walltime: is for cluster slurm, not {dask.cluster!r}{hint}"
    if not (isinstance(dask.walltime, str) and _WALLTIME.fullmatch(dask.walltime)):
        yield f"dask.walltime: {dask.walltime!r} is no time; write it in quotes, as '02:00:00' or '1-12:00:00'"
