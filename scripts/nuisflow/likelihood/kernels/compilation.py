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
    *("rates", "derivatives", "minimisation", "profiles", "lanes", "lane_derivatives", "newton", "crossings"),
    *("densities", "density_fits", "norms", "spreads"),
)
_OPTIONS: dict[str, Any] = {
    **{"cache": True, "nogil": True, "error_model": "numpy"},
    "fastmath": ("arcp", "contract", "nsz", "reassoc"),  # nothing that would break infinities
}
_Function = TypeVar("_Function", bound=Callable[..., object])
_HERE = Path(__file__).parent
_LIBRARY = _HERE.parents[2]
_COMPILER = "from nuisflow.likelihood.kernels.compile import compile_likelihood; compile_likelihood()"
JOB = "NUISFLOW_JOB"
"""Set in the environment of a process that runs nothing but a job, or a command."""
_COMPILING = "NUISFLOW_COMPILING"
"""Set in the environment of the process that compiles."""


def _sources() -> list[Path]:
    return [_HERE.parent / "plans.py", *(_HERE / f"{name}.py" for name in _COMPILED)]


@functools.cache
def folder() -> Path:
    """Name a cache folder after the content of the compiled modules: numba does not see a change in a called one.

    It lies in NUMBA_CACHE_DIR if that is set; else beside the code, or in the user's own cache where that is only to
    read and nothing is compiled there. Code that checks indices (NUMBA_BOUNDSCHECK=1) is other code.
    """
    content = repr(_OPTIONS).encode() + b"".join(path.read_bytes() for path in _sources())
    content += b"checked" if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in {"", "0"} else b""
    name = f"numba-{hashlib.blake2b(content, digest_size=8).hexdigest()}"
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen) / name
    beside, own = _HERE / "__pycache__" / name, _own_cache() / name
    return beside if (beside / _complete()).exists() or _writable(beside) else own


def _own_cache() -> Path:
    """Return the folder of the user's own cache for this project."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "nuisflow"


def _writable(place: Path) -> bool:
    """Return whether files can be made in *place*, which may not exist yet."""
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
    return os.access(place, os.W_OK)


class ByContent:
    """Tell numba where it keeps a function: by the content of its code, so that copies and touched files share it."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Callable[..., object], _: str) -> "ByContent | None":
        """Return the place of a function; None if nothing can be written there (numba goes on to its own)."""
        return cls(function) if _stamp().exists() or _writable(folder()) else None

    def ensure_cache_path(self) -> None:
        """Do what `from_function` did."""

    def get_cache_path(self) -> str:
        """Return the folder."""
        return str(folder())

    def get_source_stamp(self) -> str:
        """Return what a change of the code changes."""
        return folder().name

    def get_disambiguator(self) -> str:
        """Return what tells functions of one name in one module apart."""
        return str(self.line)


def _compile(function: _Function, **options: bool) -> _Function:
    """Compile on first use; results stay on disk."""
    import numba

    _skip_extensions()
    before = numba.config.CACHE_LOCATOR_CLASSES  # type: ignore[attr-defined]
    numba.config.CACHE_LOCATOR_CLASSES = (  # type: ignore[attr-defined]
        "nuisflow.likelihood.kernels.compilation.ByContent,numba.core.caching.UserWideCacheLocator"
    )
    try:
        jit: Any = numba.njit
        made: _Function = jit(**_OPTIONS | {"fastmath": set(_OPTIONS["fastmath"])}, **options)(function)
        return made
    finally:
        numba.config.CACHE_LOCATOR_CLASSES = before  # type: ignore[attr-defined]


def _skip_extensions() -> None:
    """In a job, which uses numba for nothing else, do not load what other packages add to it.

    awkward and vector would be imported, with sympy: a second in each of many short jobs.
    """
    if JOB in os.environ:
        from numba.core import entrypoints

        entrypoints._already_initialized = True


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
        command = [sys.executable, "-c", f"import sys; sys.path.append({str(_LIBRARY)!r}); {_COMPILER}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the likelihood cannot be compiled:\n{done.stderr[-2000:]}")


def in_progress() -> bool:
    """Return whether this is the process that compiles, or a child of it."""
    return _COMPILING in os.environ


def mark() -> None:
    """Note that everything is compiled."""
    with contextlib.suppress(OSError):
        _stamp().touch()


def _stamp() -> Path:
    """Return the file that says: complete."""
    return folder() / _complete()


@functools.cache
def _complete() -> str:
    """Name what is complete: for this numba, on this processor (as numba itself tells its files apart)."""
    from llvmlite import binding

    features = binding.get_host_cpu_features().flatten()
    key = f"{sys.version} {version('numba')} {version('llvmlite')} {binding.get_host_cpu_name()} {features}"
    return f"complete-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"


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
