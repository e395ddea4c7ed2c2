"""Copies of the project, and runs of Snakemake."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import starts
import yaml
from analyses import ROOT


def copy_project(folder: Path) -> Path:
    """Copy workflow, scripts and environments to *folder* and return it."""
    for name in ("workflow", "scripts", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def snakemake(folder: Path, content: dict[str, Any] | Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in *folder*; return its exit status and, as ``stdout``, all that it printed.

    *content*: a configuration, which becomes ``config.yaml`` there, or the path of one. A folder without a copy of the
    project uses the workflow of this one.
    """
    if isinstance(content, dict):
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        content = "config.yaml"
    place = [] if (folder / "workflow").is_dir() else ["--snakefile", str(ROOT / "workflow" / "Snakefile")]
    return starts.snakemake(folder, *place, "--configfile", str(content), "--cores", "2", *arguments)
