"""Write a file whole or not at all, and say in one line what is wrong with a disk: full, read-only, or not ours."""

import contextlib
import errno
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


class DiskError(OSError):
    """A file that the disk did not take; the message names it, the disk and the remedy."""


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside *path* to write to; rename it to *path* when the block ends without an error."""
    final = Path(path)
    temporary = final.with_name(f".{os.uname().nodename}-{os.getpid()}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(final)
        yield temporary
        _sync(temporary)
        temporary.replace(final)
        _sync(final.parent)  # or a loss of power could bring back the old file after Snakemake noted the new one
    except OSError as error:
        if plain := explained(error, final):
            raise plain from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_left_over(final: Path) -> None:
    """Remove what killed jobs had begun to write of *final*, also on other hosts: one job at a time makes a file."""
    for path in final.parent.glob(f".*-{glob.escape(final.name)}"):
        host, _, process = path.name.removesuffix(f"-{final.name}")[1:].rpartition("-")
        if process.isdigit() and not (host == os.uname().nodename and _is_alive(int(process))):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def explained(error: OSError, path: Path) -> DiskError | None:
    """Return what *error*, met when *path* was written, means for the user; None if the disk is not to blame."""
    disk = mount_point(path)
    match error.errno:
        case errno.ENOSPC:
            text = f"the disk {disk} is full ({_free(disk)}); make room and run again: finished results are kept"
        case errno.EDQUOT:
            text = f"your quota on {disk} is used up; make room and run again: finished results are kept"
        case errno.EROFS:
            text = "it lies on a read-only file system; make that writable, or run in another folder"
        case errno.EACCES | errno.EPERM if _about(error, path):
            text = f"no permission to write in {path.parent}; change its owner or mode, or run in another folder"
        case errno.EIO:
            text = f"the disk {disk} fails to write (input/output error); copy your results to another one"
        case _:
            return None
    return DiskError(f"{path}: cannot be written: {text}")


def mount_point(path: Path) -> Path:
    """Return where the file system begins on which *path* lies, or would lie."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    place = place.resolve()
    while not place.is_mount():
        place = place.parent
    return place


def _free(disk: Path) -> str:
    usage, status = shutil.disk_usage(disk), os.statvfs(disk)
    files = "" if status.f_favail or not status.f_files else ", no more files"
    return f"{usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free{files}"


def _about(error: OSError, path: Path) -> bool:
    """Tell whether an error of permissions is one of writing *path*, not of reading something else meanwhile."""
    return error.filename is None or Path(error.filename).absolute().parent in {
        path.absolute().parent,
        *path.absolute().parent.parents,
    }
