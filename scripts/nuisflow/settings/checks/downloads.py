"""The user's and published files: which there are, which are to be fetched, and how."""

import fnmatch
import glob
import hashlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nuisflow.settings.configuration import Download

TIMEOUT = 60
"""Seconds without an answer after which a server counts as unreachable."""

logger = logging.getLogger(__name__)


class DownloadError(ValueError):
    """A file that could not be fetched."""


def matching(folder: str, name: str, downloads: Collection[str] = ()) -> list[str]:
    """Return the paths in *folder* that *name*, perhaps with * or ?, stands for, in the order of their names.

    A pattern that no file matches stands for the files among *downloads* that it matches.
    """
    if not set(name) & set("*?"):
        return [str(Path(folder) / name)]
    name = name.replace("[", "[[]")  # brackets mean themselves
    found = sorted(glob.glob(str(Path(glob.escape(folder)) / name)))  # noqa: PTH207 (a pattern may be absolute)
    return found or [str(Path(folder) / known) for known in sorted(downloads) if fnmatch.fnmatchcase(known, name)]


def fetch(path: Path, source: Download) -> None:
    """Fetch *source* to *path*, which appears only if the checksum, if there is one, is right."""
    import pooch

    known = f"sha256:{source.sha256}" if source.sha256 else f"md5:{source.md5}" if source.md5 else None
    # The environment of a cluster may know a proxy; requests, which fetches, reads it from there.
    downloader: Any = pooch.FTPDownloader if source.url.startswith("ftp") else pooch.HTTPDownloader
    try:
        pooch.retrieve(source.url, known, fname=path.name, path=path.parent, downloader=downloader(timeout=TIMEOUT))
    except ValueError as error:  # the only one that pooch raises itself: a wrong checksum
        raise DownloadError(
            f"{source.url}: the checksum is wrong, nothing is kept ({_line(error)}); try again, or correct "
            f"dataset.download if the publisher changed the file"
        ) from None
    except OSError as error:  # requests and ftplib: no network, no such file, a connection that broke
        raise DownloadError(
            f"{source.url}: cannot be fetched ({type(error).__name__}: {_line(error)}); fetch it on another machine "
            f"and put it at {path}"
        ) from None
    if known is None:
        logger.info("%s: sha256 %s, not compared with anything; dataset.download can name it", path, _sha256(path))


def _line(error: Exception) -> str:
    return (str(error).splitlines() or ["no reason given"])[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
