"""Starts of Snakemake that import it once: a process forks for every command that it is given, as ``python -m`` does.

Half of the processor time of a dry run is the import of Snakemake and of what it imports.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


def snakemake(
    folder: Path, *arguments: str, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m snakemake`` with *arguments* in *folder*; return its status and, as ``stdout``, all it printed."""
    with tempfile.NamedTemporaryFile("r", prefix="snakemake-", encoding="utf-8", errors="replace") as printed:
        asked = {
            "folder": str(folder), "arguments": arguments, "output": printed.name, "environment": dict(environment)
        }  # fmt: skip
        server = _server()
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *arguments], status, printed.read())


@functools.cache
def _server() -> subprocess.Popen[str]:
    """Return the process that forks, which ends with this one."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    server = subprocess.Popen(
        [sys.executable, __file__], env=clean, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )

    def end() -> None:
        server.communicate()

    atexit.register(end)
    return server


def _become(asked: dict) -> None:
    """Make this process what ``python -m snakemake`` would be: its folder, output, environment and paths."""
    os.chdir(asked["folder"])
    given, output = os.open(os.devnull, os.O_RDONLY), os.open(asked["output"], os.O_WRONLY)
    os.dup2(given, 0), os.dup2(output, 1), os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(asked["environment"])
    further = filter(None, asked["environment"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:1] = [str(Path.cwd()), *map(os.path.abspath, further)]
    sys.argv[:] = ["snakemake", *asked["arguments"]]
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    Workflow._rundir = str(Path.cwd())  # which Snakemake looks up when it is imported


def _serve() -> None:
    """Fork for every line of the input and print the status of the child when it has ended; the child returns."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            return _become(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    raise SystemExit


if __name__ == "__main__":
    # Also what Snakemake imports on its way. The library is imported by each child: there are copies, and changed ones.
    for name in ("docutils.core", "jinja2", "jsonschema", "nbformat", "pydantic", "requests", "smart_open", "yte"):
        importlib.import_module(name)
    from snakemake.cli import main
    from snakemake.workflow import Workflow

    gc.freeze()
    _serve()
    main()
