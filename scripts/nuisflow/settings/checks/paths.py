"""Which files of the user an analysis reads."""

import os
import re
from pathlib import Path

from nuisflow import datasets
from nuisflow.settings.checks import downloads
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.configuration import Configuration

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
    """Return the paths of the files of *sample*, those to be fetched included; none for simulated data sets."""
    place, found = f"samples.{sample}.files", []
    for name in (expand(name, place) for name in settings.samples[sample].files):
        if not (paths := downloads.matching(folder(settings), name, getattr(settings.dataset, "download", {}))):
            remedy = "put the file there, or correct the pattern or dataset.path"
            raise ConfigurationError(f"{place}: no file matches {name!r} in {folder(settings)}; {remedy}")
        found += paths
    return list(dict.fromkeys(found))


def missing_files(settings: Configuration) -> list[str]:
    """Return the names in ``dataset.download`` of the files that some sample needs and that are not there."""
    paths = {path for sample in settings.samples for path in raw_files(settings, sample)}
    known = getattr(settings.dataset, "download", {})
    return [
        name for name in known if (path := Path(folder(settings)) / name) and str(path) in paths and not path.exists()
    ]


def converted(settings: Configuration, sample: str) -> bool:
    """Return whether the files of *sample* are read once and written anew, since reading pieces of them is slow."""
    text = any(name.lower().endswith((".csv", ".csv.gz")) for name in settings.samples[sample].files)
    return text or hasattr(datasets.MODULES[settings.dataset.kind], "convert")
