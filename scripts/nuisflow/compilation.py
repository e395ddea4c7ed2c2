"""Compile the likelihood with numba, once for a version of its code; all processes load what one compiled."""

import contextlib
import fcntl
import functools
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

_COMPILED = (
    *("plans", "rates", "derivatives", "minimisation", "profiles", "lanes", "lane_derivatives", "newton", "crossings"),
    "compilation",
)
_Function = TypeVar("_Function", bound=Callable[..., object])
_HERE = Path(__file__).parent
_SCRIPT = _HERE.parent / "compile_likelihood.py"
_COMPILING = "NUISFLOW_COMPILING"
"""Set in the environment of the process that compiles."""


@functools.cache
def folder() -> Path:
    """Name a cache folder after the content of the compiled modules: numba does not see a change in a called one."""
    content = b"".join((_HERE / f"{name}.py").read_bytes() for name in _COMPILED)
    return _HERE / "__pycache__" / f"numba-{hashlib.blake2b(content, digest_size=8).hexdigest()}"


def _compile(function: _Function, **options: bool) -> _Function:
    """Compile on first use; results stay on disk. No fast mathematics that would break infinities."""
    import numba

    flags = {"reassoc", "contract", "nsz", "arcp"}
    before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(folder())  # type: ignore[attr-defined]
    try:
        jit: Any = numba.njit
        made: _Function = jit(cache=True, nogil=True, error_model="numpy", fastmath=flags, **options)(function)
        return made
    finally:
        numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


def compiled(function: _Function) -> _Function:
    """Compile a function that only compiled code calls."""
    return _compile(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry(function: _Function) -> _Function:
    """Compile a function that Python calls."""
    return _compile(function, no_cfunc_wrapper=True)


@functools.cache
def ready() -> None:
    """Have everything compiled by a process of its own, unless it is; others wait for it meanwhile.

    What a process compiled for itself differs from what others load of it by the last digit: LLVM inlines other
    functions. So nobody fits with what it compiled itself, and results do not depend on which job came first.
    """
    if in_progress() or _stamp().exists():
        return
    with _alone() as possible:
        if not possible or _stamp().exists():
            return
        logging.getLogger(__name__).info("compiling the likelihood (a minute, once for this version of the code)")
        environment = os.environ | {_COMPILING: "1"}
        command = [sys.executable, str(_SCRIPT)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{_SCRIPT.name}: the likelihood cannot be compiled:\n{done.stderr[-2000:]}")


def in_progress() -> bool:
    """Return whether this is the process that compiles, or a child of it."""
    return _COMPILING in os.environ


def mark() -> None:
    """Note that everything is compiled."""
    with contextlib.suppress(OSError):
        _stamp().touch()


@functools.cache
def _stamp() -> Path:
    """Return the file that says: complete for this numba, on this processor (as numba itself tells its files apart)."""
    from llvmlite import binding  # type: ignore[import-untyped]

    features = binding.get_host_cpu_features().flatten()
    key = f"{sys.version} {version('numba')} {version('llvmlite')} {binding.get_host_cpu_name()} {features}"
    return folder() / f"complete-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"


@contextlib.contextmanager
def _alone() -> Iterator[bool]:
    """Hold a lock that one process at a time has; give False where there cannot be one (a folder only to read)."""
    try:
        folder().mkdir(parents=True, exist_ok=True)
        handle = (folder() / "lock").open("w")
    except OSError:
        yield False
        return
    with handle:
        with contextlib.suppress(OSError):  # a file system without locks: two may compile, which only takes longer
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield True
