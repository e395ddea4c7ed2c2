"""Say in one line what is wrong with a disk: full, read-only, or not ours."""

import errno
import os
import shutil
from pathlib import Path


class DiskError(OSError):
    """A file that the disk did not take; the message names it, the disk and the remedy."""


def explained(error: OSError, path: Path) -> DiskError | None:
    """Return what *error*, met when *path* was written, means for the user; None if the disk is not to blame."""
    disk = mount_point(path)
    match error.errno:
        case errno.ENOSPC:
            text = f"the disk {disk} is full ({_free(disk)}); make room and run again: finished results are kept"
        case errno.EDQUOT:
            text = f"your quota on {disk} is used up; make room and run again: finished results are kept"
        case errno.EROFS:
            text = f"{disk} is read-only; make it writable (mount -o remount,rw), or run in another folder"
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
    return f"{usage.free / 1e6:,.0f} of {usage.total / 1e6:,.0f} MB free{files}"


def _about(error: OSError, path: Path) -> bool:
    """Tell whether an error of permissions is one of writing *path*, not of reading something else meanwhile."""
    return error.filename is None or Path(error.filename).absolute().parent in {
        path.absolute().parent,
        *path.absolute().parent.parents,
    }
