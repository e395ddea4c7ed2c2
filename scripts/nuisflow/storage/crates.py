"""The provenance of an analysis as an RO-Crate: which jobs made which files from what, and the checksum of each.

It follows RO-Crate 1.1 with the profile Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5): every job is a
CreateAction from files (object) to files (result) by a script of a commit (instrument).
"""

import hashlib
import importlib.metadata
import json
import mimetypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlparse

import nuisflow
from nuisflow.storage import files, records
from nuisflow.storage.records import Made, Record

METADATA = "ro-crate-metadata.json"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_FORMATS = {
    **{".root": "application/x-root", ".parquet": "application/vnd.apache.parquet", ".pt": "application/octet-stream"},
    ".yaml": "application/yaml",
}


class Crate(NamedTuple):
    """What a crate is made of. *sources*: the files that no job made; *folder*: where it lies, and its own results."""

    folder: Path
    title: str
    jobs: Sequence[Record]
    sources: Sequence[Made]


def gather(folder: Path, target: str, title: str, logs: Path | None = None) -> Crate:
    """Find everything that *target* follows from, by the records in *logs*; take checksums of the sources.

    *logs* is by default ``folder/logs``.
    """
    jobs = records.leading_to(target, records.read(logs or folder / "logs"))
    produced = {made["path"] for job in jobs for made in job["outputs"]}
    sources = sorted({path for job in jobs for path in job["inputs"]} - produced)
    return Crate(folder, title, jobs, [records.made(path) for path in sources if Path(path).is_file()])


def without_record(crate: Crate) -> list[str]:
    """Return the files in the folder of the results that a job must have made but none says so (its record is gone)."""
    inside = [Path(made["path"]) for made in crate.sources]
    return [str(path) for path in inside if crate.folder.resolve() in path.resolve().parents]


def describe(crate: Crate, configuration: Path) -> dict[str, Any]:
    """Return the metadata of *crate*; *configuration* is the file that repeats the analysis."""
    from rocrate.rocrate import ROCrate

    found: Any = ROCrate(version="1.1")
    found.metadata.extra_terms["sha256"] = "https://schema.org/sha256"
    found.name, found.description = crate.title, _description(crate)
    root = found.root_dataset
    root["license"] = _add(found, "#license", "CreativeWork", name="Not stated: choose one before you publish")
    root["conformsTo"] = _add(found, _PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    repeats = "The configuration: run it again to repeat the analysis"
    _add_file(found, crate.folder, records.made(str(configuration)), description=repeats)
    for made in [*crate.sources, *(made for job in crate.jobs for made in job["outputs"])]:
        _add_file(found, crate.folder, made)
    root["mentions"] = [_add_job(found, crate.folder, job) for job in crate.jobs]
    root["softwareRequirements"] = [_add(found, name, "SoftwareApplication", **rest) for name, rest in _installed()]
    metadata: dict[str, Any] = found.metadata.generate()
    return metadata


def _description(crate: Crate) -> str:
    hosts = sorted({job["host"] for job in crate.jobs})
    commits = sorted({job["commit"] or "not under version control" for job in crate.jobs})
    lost = without_record(crate)
    return (
        f"{len(crate.jobs)} jobs on {', '.join(hosts)}; code: nuisflow {nuisflow.__version__}, {', '.join(commits)}"
        + (f"; the record of what made {len(lost)} files is gone, such as {lost[0]}" if lost else "")
    )


def _add(found: Any, identifier: str, kind: str, **properties: Any) -> dict[str, str]:
    """Add an entity, in place of one of the same name; return the reference to it."""
    from rocrate.model.contextentity import ContextEntity

    found.add(ContextEntity(found, identifier, {"@type": kind, **properties}))
    return {"@id": identifier}


def _add_file(found: Any, folder: Path, made: Made, **properties: Any) -> None:
    """Add a file: as part of the crate, or, if it lies elsewhere, as something that is only named."""
    from rocrate.model.file import File

    name = _identifier(folder, made["path"])
    kind = _FORMATS.get(Path(made["path"]).suffix) or mimetypes.guess_type(made["path"])[0] or _FORMATS[".pt"]
    known = {"name": Path(made["path"]).name, "contentSize": str(made["size"]), "sha256": made["sha256"]}
    properties |= known | {"encodingFormat": kind}
    if name.startswith("file:"):
        _add(found, name, "CreativeWork", **properties)
    else:
        found.add(File(found, dest_path=unquote(name), properties=properties))


def _add_job(found: Any, folder: Path, job: Record) -> dict[str, str]:
    """Add a job as an action, with its script, machine and settings; return the reference to it."""
    settings = json.dumps(job["params"], sort_keys=True)
    software = ", ".join(f"{name} {version}" for name, version in job["packages"].items())
    key = hashlib.sha256(f"{job['commit']} {software}".encode()).hexdigest()[:12]
    script = _add(
        found, f"#{job['rule']}-{key}", "SoftwareApplication", name=f"{job['rule']} of nuisflow",
        version=job["commit"] or nuisflow.__version__, description=f"Python {job['python']}, {software}",
    )  # fmt: skip
    value = hashlib.sha256(settings.encode()).hexdigest()[:12]
    chosen = _add(found, f"#settings-{value}", "PropertyValue", name="settings", value=settings)
    host = _add(found, f"#host-{job['host']}", "PropertyValue", name="host", value=job["host"])
    words = " ".join(f"{name}={text}" for name, text in job["wildcards"].items())
    return _add(
        found, f"#{quote(job['outputs'][0]['path'])}", "CreateAction", name=f"{job['rule']} {words}".strip(),
        description=f"Rule {job['rule']} of the workflow", instrument=script, environment=host,
        object=_single([*({"@id": _identifier(folder, path)} for path in job["inputs"]), chosen]),
        result=_single([{"@id": _identifier(folder, made["path"])} for made in job["outputs"]]),
        startTime=job["started"], endTime=job["ended"],
        actionStatus="http://schema.org/CompletedActionStatus",
    )  # fmt: skip


def _single(values: list[dict[str, str]]) -> Any:
    """Return the only one of *values*, or all: a list of one is not how JSON-LD writes it."""
    return values[0] if len(values) == 1 else values


def _identifier(folder: Path, path: str) -> str:
    """Return the place of a file relative to the crate, or its URI if it lies elsewhere."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 (a link stays the name that the user gave)
    base = Path(os.path.abspath(folder))  # noqa: PTH100
    return quote(whole.relative_to(base).as_posix()) if base in whole.parents else whole.as_uri()


def _installed() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every installed package once, with its name and version."""
    found = {package.metadata["Name"]: package.version for package in importlib.metadata.distributions()}
    for name, version in sorted(found.items(), key=lambda item: item[0].lower()):
        yield f"#package-{name}", {"name": name, "version": version}


class Difference(NamedTuple):
    """A file that is not what the crate says, and why."""

    path: str
    reason: str


def files_of(folder: Path) -> list[tuple[Path, int, str]]:
    """Return path, size and SHA-256 of every file that the crate in *folder* describes."""
    graph = files.read_json(folder / METADATA)["@graph"]
    described = [entity for entity in graph if "sha256" in entity]
    return [(_path(folder, one["@id"]), int(one["contentSize"]), one["sha256"]) for one in described]


def _path(folder: Path, identifier: str) -> Path:
    return Path(unquote(urlparse(identifier).path)) if identifier.startswith("file:") else folder / unquote(identifier)


def difference(path: Path, size: int, sha256: str) -> Difference | None:
    """Return how a file differs from its description, or None."""
    if not path.is_file():
        return Difference(str(path), "is missing")
    if path.stat().st_size != size:
        return Difference(str(path), f"has {path.stat().st_size} bytes instead of {size}")
    return None if records.checksum(path) == sha256 else Difference(str(path), "has other content (SHA-256)")
