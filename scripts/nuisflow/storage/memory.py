"""What Snakemake remembers of jobs, told again from their records: results that came without ``.snakemake``.

Snakemake notes under ``.snakemake/metadata`` with which parameters a file was made. Where the note is missing (results
copied from elsewhere, a batch job that outlived Snakemake), it takes the file for current whatever has changed since.
"""

import base64
import contextlib
import functools
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from nuisflow.storage import disks, files
from nuisflow.storage.records import Record

METADATA = Path(".snakemake") / "metadata"
_FORMAT = 6  # of Snakemake 9.27; one that knows another takes a note of this for none


def restore(logs: Path, since: float = 0.0) -> int:
    """Write the missing notes on the files whose records lie in *logs* and are newer than *since* (seconds since 1970).

    Files that are not as long as their record says were made by something else: nothing is told of them. Return the
    number of files told of.
    """
    forgotten = [(path, record) for record in _records(logs, since) for path in _forgotten(record)]
    if not forgotten:
        return 0
    sums = {made["path"]: made["sha256"] for record in _records(logs) for made in record["outputs"]}
    for path, record in forgotten:
        _place(path).parent.mkdir(parents=True, exist_ok=True)
        with disks.replacing(_place(path)) as temporary:
            temporary.write_text(json.dumps(_note(record, sums)), encoding="utf-8")
    return len(forgotten)


def _forgotten(record: Record) -> list[str]:
    """Return the files of a job that Snakemake has no note on, and that are still what the job made."""
    missing = [made for made in record["outputs"] if not _place(made["path"]).exists()]
    sizes = {made["path"]: Path(made["path"]).stat().st_size for made in missing if Path(made["path"]).is_file()}
    return [made["path"] for made in missing if sizes.get(made["path"]) == made["size"]]


def newest(logs: Path) -> float:
    """Return when the last of the records in *logs* was written (seconds since 1970; 0 if there is none)."""
    return max((path.stat().st_mtime for path in logs.rglob("*.json")), default=0.0)


def _records(logs: Path, since: float = 0.0) -> Iterable[Record]:
    """Yield the records in *logs* that are newer than *since*; damaged ones are left out."""
    for path in logs.rglob("*.json"):
        with contextlib.suppress(files.FileError, OSError):
            content = files.read_json(path) if path.stat().st_mtime > since else {}
            if isinstance(content, dict) and Record.__required_keys__ <= set(content):
                yield cast(Record, content)


def _note(record: Record, sums: Mapping[str, str]) -> dict[str, Any]:
    """Return what Snakemake would have noted: inputs and parameters as it compares them, checksums of made inputs."""
    return {
        "rule": record["rule"],
        "input": sorted(record["inputs"]),
        "params": sorted(repr(value) for value in record["params"].values()),
        "record_format_version": _FORMAT,
        "starttime": datetime.fromisoformat(record["started"]).timestamp(),
        "endtime": datetime.fromisoformat(record["ended"]).timestamp(),
        "incomplete": False,
        "input_checksums": {path: f"sha256:{sums[path]}" for path in record["inputs"] if path in sums},
    }


def _place(path: str) -> Path:
    """Return where Snakemake's note on the file *path* is: its name in base 64, in pieces if it is long."""
    folder = METADATA if METADATA.exists() else Path()
    length = (os.pathconf(folder, "PC_NAME_MAX") or 255) - 1
    name = base64.urlsafe_b64encode(path.encode()).decode()
    parts = [name[start : start + length] for start in range(0, len(name), length)]
    return METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


Hashing = Callable[..., Awaitable[str | None]]
"""Snakemake's ``_IOFile.checksum``: the checksum of a file, or None if it has none."""


def hashed_once(hashing: Hashing) -> Hashing:
    """Return *hashing* that reads no file again of which content, length and time are what they were.

    Snakemake 9.27 hashes all inputs of a job when it has ended, once for each of its outputs, while no other can begin:
    15 GB in the default run, whose files have 0.5 GB.
    """
    known: dict[tuple[Any, ...], str] = {}

    @functools.wraps(hashing)
    async def checksum(file: Any, *arguments: Any, **options: Any) -> str | None:
        try:
            found = Path(file).stat()
        except OSError:  # not here: Snakemake knows what to do
            return await hashing(file, *arguments, **options)
        state = (str(file), found.st_ino, found.st_size, found.st_mtime_ns, arguments, *sorted(options.items()))
        if state not in known and (made := await hashing(file, *arguments, **options)) is not None:
            known[state] = made
        return known.get(state)

    return checksum
