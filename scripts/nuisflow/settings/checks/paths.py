"""Which files of the user an analysis reads."""

import difflib
import itertools
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nuisflow import datasets
from nuisflow.settings.checks import downloads
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Configuration

SHOWN = 10
"""Files of a folder that are named in an error."""
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def expand(path: str, place: str) -> str:
    """Return *path* with ``${NAME}`` replaced by the environment variable; one that is not set is an error."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            remedy = "export it (the folder of the data) or write the path"
            raise ConfigurationError(f"{place}: the environment variable {name} is not set; {remedy}")
        return os.environ[name]

    return _VARIABLE.sub(value, path)


def folder(settings: Configuration) -> str:
    """Return the folder of the user's files."""
    return expand(getattr(settings.dataset, "path", "."), "dataset.path")


def raw_files(settings: Configuration, sample: str) -> list[str]:
    """Return the paths of the files of *sample*, those to be fetched included; none for simulated data sets.

    A file that is there twice, also by a link, is an error: its events would count twice.
    """
    place, found = f"samples.{sample}.files", []
    for name in (expand(name, place) for name in settings.samples[sample].files):
        if not (paths := downloads.matching(folder(settings), name, getattr(settings.dataset, "download", {}))):
            remedy = "put the file there, or correct the pattern or dataset.path"
            raise ConfigurationError(f"{place}: no file matches {name!r} in {folder(settings)}; {remedy}")
        found += paths
    seen: dict[Any, str] = {}
    for path in found:
        if braces := set(path) & set("{}\n"):
            odd = sorted(braces)[0]
            raise ConfigurationError(
                f"{place}: {path!r}: Snakemake cannot read a file with {odd!r} in its name; rename it"
            )
        if (other := seen.setdefault(identity(path), path)) != path or found.count(path) > 1:
            twice = "is there twice" if other == path else f"is {other} once more, by a link"
            raise ConfigurationError(
                f"{place}: {path} {twice}: its events would count twice; correct the patterns, or leave one name out"
            )
    return found


def identity(path: str) -> Any:
    """Return what two names of the same file have in common, whether they are links or not."""
    try:
        status = os.stat(path)  # noqa: PTH116 (of many files)
    except OSError:
        return os.path.abspath(path)  # noqa: PTH100 (one that is to be fetched)
    return status.st_dev, status.st_ino


def sized(settings: Configuration, paths: Sequence[str]) -> list[str]:
    """Return *paths* in their order, each with its size: a change that no date tells of.

    Files that are fetched are known by their checksums, and have no size before.
    """
    known = {str(Path(folder(settings)) / name) for name in getattr(settings.dataset, "download", {})}
    fixed = [path in known or not Path(path).exists() for path in paths]
    return [
        path if is_fixed else f"{path}: {Path(path).stat().st_size} bytes"
        for path, is_fixed in zip(paths, fixed, strict=True)
    ]


def shared(settings: Configuration, files: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Return for every sample which others read some of its *files*, these files, and a selection of rows of both.

    Samples that stand in for each other (two-point variations) and those of different published processes may do so.
    Others need selections, which ingest_events finds to exclude each other, or not.
    """
    owners: dict[Any, list[tuple[str, str]]] = {}
    for sample, paths in files.items():
        for path in paths:
            owners.setdefault(identity(path), []).append((sample, path))
    found: dict[str, dict[str, Any]] = {sample: {} for sample in files}
    for claims in owners.values():
        for (sample, path), (other, _) in itertools.permutations(claims, 2):
            if _count_together(settings, sample, other, path):
                both = _both(settings, sample, other, path)
                found[sample].setdefault(other, {"files": [], "both": both})["files"].append(path)
    return found


def _count_together(settings: Configuration, first: str, second: str, path: str) -> bool:
    """Return whether two samples take part in the same templates, with the same rows of one tree of the file *path*.

    ASSUME: who names a file for two processes means it, as events that are weighted to either; a pattern may err.
    """
    published = bool(datasets.MODULES[settings.dataset.kind].PROCESSES)
    same = settings.samples[first].process == settings.samples[second].process
    places = [settings.alternatives.get(sample) for sample in (first, second)]
    usual = getattr(settings.dataset, "tree", None)
    if len({settings.samples[sample].tree or usual for sample in (first, second)}) > 1:
        return False
    if not same and all(_is_named(settings, sample, path) for sample in (first, second)):
        return False
    return places[0] == places[1] and (same or not published)


def _is_named(settings: Configuration, sample: str, path: str) -> bool:
    """Return whether *sample* names the file *path* itself, not by a pattern."""
    return any(Path(path) == Path(folder(settings)) / name for name in settings.samples[sample].files)


def _both(settings: Configuration, first: str, second: str, path: str) -> str:
    selections = {sample: settings.samples[sample].selection for sample in (first, second)}
    if open_ := [sample for sample, selection in selections.items() if selection is None]:
        raise ConfigurationError(
            f"samples.{first}.files: {path} is a file of {second!r} too, so that its events count twice; correct the "
            f"patterns, or give {' and '.join(open_)} a 'selection', so that no event belongs to both"
        )
    return " & ".join(f"({selection})" for selection in selections.values())


def absent(settings: Configuration, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line for every one of the *files* that is not there and will not be fetched, with what there is."""
    where = Path(folder(settings))
    fetched = {str(where / name) for name in missing_files(settings)}
    lost: dict[str, str] = {}
    for sample, paths in files.items():
        for path in paths:
            if path not in fetched and not Path(path).exists():
                lost.setdefault(path, f"samples.{sample}.files: {path}: no such file; {_nearby(Path(path))}")
    if lost and not where.is_dir():
        return [f"dataset.path: there is no folder {str(where)!r}, seen from {Path.cwd()}; correct it"]
    return list(lost.values())


def _nearby(path: Path) -> str:
    """Return what there is in the folder of *path* instead."""
    if not path.parent.is_dir():
        return f"there is no folder {str(path.parent)!r}; correct the name"
    known = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    if close := difflib.get_close_matches(path.name, known, n=1):
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if len(known) > SHOWN else "")
    return f"the folder has {shown or 'no files'}; correct the name or dataset.path"


def missing_files(settings: Configuration) -> list[str]:
    """Return the names in ``dataset.download`` of the files that some sample needs and that are not there."""
    paths = {path for sample in settings.samples for path in raw_files(settings, sample)}
    known = getattr(settings.dataset, "download", {})
    return [
        name for name in known if (path := Path(folder(settings)) / name) and str(path) in paths and not path.exists()
    ]
