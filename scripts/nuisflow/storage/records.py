"""What a job did: from which files, with which settings and software, where and when. One JSON file beside its log."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from nuisflow.storage import files

ROOT = Path(__file__).resolve().parents[3]


class Made(TypedDict):
    """A file that a job made: *size* in bytes."""

    path: str
    size: int
    sha256: str


class Record(TypedDict):
    """A job that ended well. Times are UTC (ISO 8601); paths are relative to the folder Snakemake runs in.

    *startup_seconds*: from the start of the process to the first line of the script's function (None where the system
    does not tell); *commit*: of the code, with ``-dirty`` if files under version control differ from it.
    """

    rule: str
    wildcards: dict[str, str]
    inputs: list[str]
    outputs: list[Made]
    params: dict[str, Any]
    threads: int
    host: str
    python: str
    packages: dict[str, str]
    commit: str | None
    started: str
    ended: str
    startup_seconds: float | None
    notes: NotRequired[dict[str, Any]]


def place(log: Path | str) -> Path:
    """Return where the record of the job with this log is."""
    return Path(log).with_suffix(".json")


def age() -> float | None:
    """Return the seconds since this process started (Linux; to 0.01 s)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


def write(snakemake: Any, started: float, startup: float | None, notes: dict[str, Any] | None = None) -> None:
    """Write the record of a job that began at *started* (seconds since 1970) and ends now, with its *notes*."""
    record = Record(
        rule=snakemake.rule,
        wildcards=dict(snakemake.wildcards.items()),
        inputs=list(map(str, snakemake.input)),
        outputs=[made(path) for path in map(str, snakemake.output)],
        params=json.loads(json.dumps(dict(snakemake.params.items()), default=str), parse_constant=str),
        threads=snakemake.threads,
        host=platform.node(),
        python=platform.python_version(),
        packages=loaded(),
        commit=commit(),
        started=_utc(started),
        ended=_utc(time.time()),
        startup_seconds=startup,
    )
    if notes:
        record["notes"] = notes
    files.write_json(place(snakemake.log[0]), record)


def made(path: str) -> Made:
    """Describe a file by its size and checksum."""
    return Made(path=path, size=Path(path).stat().st_size, sha256=checksum(path))


def checksum(path: Path | str) -> str:
    """Return the SHA-256 of a file."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def loaded() -> dict[str, str]:
    """Return the versions of the packages that this process has imported."""
    modules = {name: module for name, module in list(sys.modules.items()) if "." not in name}
    found = {name: getattr(module, "__dict__", {}).get("__version__") for name, module in modules.items()}
    kept = {name: version for name, version in sorted(found.items()) if name not in sys.stdlib_module_names}
    return {name: version for name, version in kept.items() if isinstance(version, str)}


def commit() -> str | None:
    """Return the commit of the code, of a checkout or as pip installed it from one; None if nobody can tell."""
    if not (ROOT / ".git").exists():
        return _installed_commit()
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _installed_commit() -> str | None:
    """Return the commit that pip noted (PEP 610) when it installed the library from a repository."""
    try:
        text = importlib.metadata.distribution("nuisflow").read_text("direct_url.json")
        commit: str | None = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    return commit


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def read(folder: Path) -> list[Record]:
    """Return the records of all jobs that have their logs in *folder*, the first ended first."""
    found: list[Record] = [files.read_json(path) for path in sorted(folder.rglob("*.json"))]
    return sorted(found, key=lambda record: record["ended"])


def leading_to(target: str, records: Iterable[Record]) -> list[Record]:
    """Return the records of all jobs that *target* follows from, the first ended first.

    A file that was made twice is that of the job that ended last.
    """
    by_output = {made["path"]: record for record in records for made in record["outputs"]}
    found: dict[int, Record] = {}
    pending = [target]
    while pending:
        record = by_output.get(pending.pop())
        if record is not None and id(record) not in found:
            found[id(record)] = record
            pending += record["inputs"]
    return sorted(found.values(), key=lambda record: record["ended"])
