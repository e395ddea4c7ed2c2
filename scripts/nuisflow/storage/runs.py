"""One run at a time on an analysis; what a killed run left behind; dates in the future.

Snakemake's own lock does not know its owner and outlives it. A run also holds a lock of the kernel (flock), which ends
with the process, however it ends: whoever gets it knows that Snakemake's lock on the same results is left over.
"""

import atexit
import contextlib
import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from nuisflow.storage import disks, memory

FUTURE = 60.0
"""Seconds by which the date of an input may lie ahead of the clock."""
LOCKS = Path(".snakemake")

logger = logging.getLogger(__name__)
_held: list[int] = []


class RunError(ValueError):
    """A run that must not begin."""


class Holder(NamedTuple):
    """The run that holds an analysis, or held it when it was killed."""

    process: int
    host: str
    since: str
    batch: bool

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


def look_after(results: Path, inputs: Sequence[str], *, logs: Path | None = None, surely: bool = True) -> str:
    """Clean up after a killed run on *results* and return what the user should know; without effect on a living one.

    *inputs*: files that are not made by the workflow. *logs*: the folder of the records, by default that of the
    results; what Snakemake has forgotten of their files is told again. *surely*: every run that Snakemake's lock is of
    holds *results* (`begin`); if not, a lock without a known run may be that of a living one, and stays. Raise
    `RunError` if Snakemake could not even note what it does.
    """
    _try_writing(LOCKS)
    with contextlib.suppress(OSError), _lock(results) as (free, handle):
        holder = _read(handle)
        if not free:
            return _busy(results, holder)
        left = _left_locks(results) if surely or holder else []
        if left and holder and (holder.batch or holder.host != os.uname().nodename):
            where = "in the batch system" if holder.batch else f"on {holder.host}"
            return (
                f"{results}: the last run ({holder}) did not end by itself. When none of its jobs is left {where}, "
                "take off its lock: make run SNAKEMAKE_ARGS=--unlock (or snakemake --unlock)"
            )
        for path in left:
            path.unlink()
        if holder:  # a run that ends by itself takes its name away
            _forget_unreadable()
            os.ftruncate(handle, 0)
        notes = [f"{results}: the last run was killed ({holder}); this one goes on"] if left and holder else []
        notes += [*_unwritable(results), *_redated(results, inputs), *_remembered(results, logs)]
        return "\n".join(notes)
    return ""


def is_busy(results: Path) -> bool:
    """Tell whether a run is at work on *results*."""
    with contextlib.suppress(OSError), _lock(results) as (free, _):
        return not free
    return False


def begin(results: Path, inputs: Sequence[str], *, batch: bool, origin: Sequence[Path] = ()) -> None:
    """Hold *results* until this process ends; stop if another one does, or if nothing can be written there.

    *origin*: the files of the configuration, which the next run compares with its own (`confused`).
    """
    late = [path for path in inputs if Path(path).exists() and Path(path).stat().st_mtime > time.time() + FUTURE]
    if late:
        raise RunError(f"{late[0]} is dated in the future; set the clock of this machine, or: touch {late[0]}")
    _try_writing(results)
    _try_writing(LOCKS)
    with contextlib.suppress(OSError):  # a file system without locks: Snakemake's own must do
        handle = os.open(_path(results), os.O_RDWR | os.O_CREAT, 0o664)
        if not _obtained(handle, seconds=2):  # another one may just be looking
            raise RunError(_busy(results, _read(handle)))
        _write(handle, Holder(os.getpid(), os.uname().nodename, datetime.now().isoformat(" ", "seconds"), batch))
        _held.append(handle)
        text = json.dumps([str(path.resolve()) for path in origin])
        _path(results).with_suffix(".origin").write_text(text, encoding="utf-8")
        atexit.register(_end, handle, os.getpid())


def _busy(results: Path, holder: Holder | None) -> str:
    return f"{results}: another run is at work here ({holder}): wait for it, or end it; do not unlock"


def _end(handle: int, process: int) -> None:
    if os.getpid() == process:
        os.ftruncate(handle, 0)


def _try_writing(folder: Path) -> None:
    """Write and remove a small file in *folder*."""
    path = folder / ".nuisflow-try"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100_000))
    except OSError as error:
        logging.raiseExceptions = False  # Snakemake's log is on that disk as well
        raise RunError(str(disks.explained(error, folder) or error)) from error
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _unwritable(results: Path) -> list[str]:
    if not results.exists() or os.access(results, os.W_OK):
        return []
    code = errno.EROFS if os.statvfs(results).f_flag & os.ST_RDONLY else errno.EACCES
    return [str(disks.explained(OSError(code, ""), results))]


def _path(results: Path) -> Path:
    folder = LOCKS / "nuisflow"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{'-'.join(results.parts[1:] or results.parts)}.lock"


@contextlib.contextmanager
def _lock(results: Path) -> Iterator[tuple[bool, int]]:
    """Yield whether the lock could be had, and its file."""
    handle = os.open(_path(results), os.O_RDWR | os.O_CREAT, 0o664)
    try:
        yield _obtained(handle), handle
    finally:
        os.close(handle)


def _obtained(handle: int, seconds: float = 0.0) -> bool:
    """Take the lock on an open file if it can be had within some time."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        else:
            return True


def _read(handle: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(handle, 10_000, 0)))
    except (ValueError, TypeError):
        return None


def _write(handle: int, holder: Holder) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(holder._asdict()).encode(), 0)
    os.fsync(handle)


def _left_locks(results: Path) -> list[Path]:
    """Return the files of Snakemake's lock on *results*: those that list a file in it."""
    folder = f"{results.as_posix()}/"
    return [
        path
        for path in sorted((LOCKS / "locks").glob("*.lock"))
        if any(line.startswith(folder) for line in path.read_text(encoding="utf-8").splitlines())
    ]


def _forget_unreadable() -> None:
    """Have Snakemake make again what it has only a damaged record of, as a loss of power can leave."""
    for path in (LOCKS / "metadata").rglob("*"):
        try:
            path.is_file() and json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            marker = LOCKS / "incomplete" / path.relative_to(LOCKS / "metadata")
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text('{"external_jobid": null}', encoding="utf-8")


def _remembered(results: Path, logs: Path | None) -> list[str]:
    """Tell Snakemake what records say of files that it knows nothing of, once for every record."""
    place = logs or results / "logs"
    stamp = _path(results).with_suffix(".told")
    since = stamp.stat().st_mtime if stamp.exists() and memory.METADATA.exists() else 0.0
    newest = memory.newest(place)
    if newest <= since:
        return []
    told = memory.restore(place, since)
    stamp.touch()
    os.utime(stamp, (newest, newest))
    return [f"{results}: Snakemake knew nothing of {told} files; what made them is in {place}"] if told else []


def confused(results: Path, origin: Sequence[Path]) -> str:
    """Return a warning if the last run on *results* was of another configuration that is still there, else nothing.

    *origin*: the files of this one. Both have the same analysis name, or the same folder of results.
    """
    with contextlib.suppress(OSError, ValueError):
        last = json.loads(_path(results).with_suffix(".origin").read_text(encoding="utf-8"))
        others = [path for path in last if Path(path).exists()]
        mine = [str(path.resolve()) for path in origin]
        if others and mine and others != mine:
            return (
                f"{results}: the last run here was of {', '.join(others)}, this one is of {', '.join(mine)}: each "
                "makes anew what the other made. Give one of them another name (analysis: …)"
            )
    return ""


def _redated(results: Path, inputs: Sequence[str]) -> list[str]:
    """Date all results back, in their order, if the clock went back since: before now, and before all *inputs*.

    Snakemake compares contents only where an input is dated after an output: so it compares all of them.
    """
    dates = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    now = time.time_ns()
    if not dates or max(dates.values()) <= now + 1_000_000_000:
        return []
    known = [Path(path).stat().st_mtime_ns for path in inputs if Path(path).exists()]
    places = {date: place for place, date in enumerate(sorted(set(dates.values()), reverse=True), start=1)}
    last = min([now, *known])
    for path, date in dates.items():
        os.utime(path, ns=(last - 1_000_000 * places[date],) * 2)
    return [f"{results}: dated in the future, the clock went back: dated anew, inputs are compared by content"]
