"""Python files of the user: run once per content, and an error in them is told with its line."""

import functools
import hashlib
import sys
from pathlib import Path
from types import ModuleType


class PluginError(ValueError):
    """A Python file of the user that cannot be read or run."""


def load(file: str) -> ModuleType:
    """Return the module that *file* defines, relative to the working folder; a changed file is run again."""
    return _imported(file, str(Path(file).resolve()), content(file))


def content(file: str) -> bytes:
    """Return what stands in *file*."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        place = f"the path is relative to {Path.cwd()}"
        raise PluginError(f"{file!r} cannot be read ({error.strerror}); {place}") from None


@functools.cache
def _imported(file: str, path: str, content: bytes) -> ModuleType:
    """Run *content*; the same content always gives the same module."""
    module = ModuleType(f"nuisflow_user_{hashlib.sha256(content).hexdigest()[:16]}")
    module.__file__ = path
    sys.modules[module.__name__] = module  # where pydantic looks up the names in annotations
    try:
        exec(compile(content, path, "exec"), vars(module))
    except Exception as error:
        del sys.modules[module.__name__]
        raise PluginError(f"{file!r} cannot be imported: {reason(error, path)}; correct it") from error
    return module


def reason(error: Exception, path: str) -> str:
    """Return the kind of *error*, its first line, and the last line of the file *path* that had a part in it."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None and not isinstance(error, SyntaxError):
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == path else line
        trace = trace.tb_next
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return text + (f" (line {line})" if line and "line" not in text else "")
