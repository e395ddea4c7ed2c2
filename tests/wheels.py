"""The project as others get it: a copy, a wheel, a repository at a tag."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

SHIPPED = ("config", "envs", "scripts", "workflow", "pyproject.toml", "README.md", "LICENSE")


def copied(root: Path, folder: Path) -> Path:
    """Copy what the repository consists of for a user."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(root / name, folder / name)
    return folder


def built(root: Path, folder: Path) -> Path:
    """Return a wheel made from a copy of the project."""
    source = copied(root, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, capture_output=True)
    return next(folder.glob("nuisflow-*.whl"))


def unpacked(wheel: Path, folder: Path) -> Path:
    """Put the content of a wheel where Python finds packages, as pip does."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def repository(root: Path, folder: Path, tag: str) -> Path:
    """Return a git repository with the project at *tag*."""
    copied(root, folder)
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"], ["tag", tag]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    return folder
