"""Which files of the library a script imports, so that a rule reruns when their content changes.

Snakemake does not see a change in an imported module. Each rule therefore depends, through a parameter, on a hash of
the syntax tree of its script and of every library module that the script imports, directly or not: comments,
formatting and the time of a checkout do not count. Nor do the models of the configuration: they act only through the
values in the parameters of a rule, which Snakemake tracks itself.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from nuisflow.storage import disks

PACKAGE = "nuisflow"
REMEMBERED = 2000
"""How many contents of files are remembered at most: a few hundred bytes each."""
MODELS = (
    "settings/checks/",
    "settings/configuration.py",
    "settings/known_answers.py",
    "settings/points.py",
    "settings/sections.py",
    "settings/toys.py",
    "slices/",
    "storage/sources.py",
    "strategies/__init__.py",
)
"""Rooms and files that act only through the values of the configuration; strategies/__init__.py lists all of these."""
SCRIPTS = Path(__file__).resolve().parents[2]
"""The folder of the package: in a checkout that of the scripts too."""
_finders: list[Callable[[str], str]] = []
"""How scripts are found that do not lie beside the package; the last one counts."""


def find_scripts(finder: Callable[[str], str]) -> None:
    """Have *finder* say where the script of a name is: the package is installed, and the workflow lies elsewhere."""
    _finders.append(finder)


def script_file(name: str, folder: Path = SCRIPTS) -> Path:
    """Return the file of the script *name*: beside the package, else where the workflow comes from."""
    beside = folder / f"{name}.py"
    return Path(_finders[-1](name)) if _finders and not beside.is_file() else beside


def of(script: str, *modules: str, folder: Path = SCRIPTS) -> list[Path]:
    """Return the files of *script* and *modules* and of all library modules they import, the script first.

    *modules* are files relative to the package, such as ``strategies/adversarial.py``: what a script loads by name.
    """
    first = script_file(script, folder)
    pending = [first, *(folder / PACKAGE / module for module in modules)]
    found: dict[Path, None] = dict.fromkeys(pending)
    while pending:
        for imported in _imports(pending.pop(), folder):
            if imported not in found:
                found[imported] = None
                pending.append(imported)
    return [first, *sorted(path for path in found if path != first)]


def digest(script: str, *modules: str, folder: Path = SCRIPTS) -> str:
    """Return a short hash of the code in the files `of` the same arguments."""
    hashes = [_tree_hash(path) for path in of(script, *modules, folder=folder)]
    _remember()
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


class _Facts(NamedTuple):
    """What is known of a file: a hash of its syntax tree without docstrings, and the modules that it imports."""

    tree: str
    modules: list[str]


@functools.cache
def _parsed(path: Path) -> _Facts:
    """Return what is known of *path*, from the memory of earlier runs if its content was met before."""
    text = path.read_bytes()
    key = hashlib.sha256(_own_code() + text).hexdigest()
    if key not in _memory():
        _memory()[key] = _facts(ast.parse(text, filename=str(path)))
        _new.append(key)
    return _memory()[key]


def _facts(tree: ast.Module) -> _Facts:
    """Return what is known of a file with the syntax tree *tree*, which loses its docstrings."""
    modules: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        elif isinstance(node, ast.Import):
            modules |= dict.fromkeys(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= dict.fromkeys([node.module, *(f"{node.module}.{name.name}" for name in node.names)])
    return _Facts(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), list(modules))


# --- a memory across processes: every job of a cluster reads the Snakefile, and parsing takes seconds ----------------

_new: list[str] = []
"""Keys that are not in the file of the memory yet."""


@functools.cache
def _own_code() -> bytes:
    """Return a hash of this module: what another version of it remembers does not count."""
    return hashlib.sha256(Path(__file__).read_bytes()).digest()


def memory_file() -> Path:
    """Return the file of the memory, beside Python's own of this module: they go and come together."""
    return Path(importlib.util.cache_from_source(__file__)).with_suffix(".json")


@functools.cache
def _memory() -> dict[str, _Facts]:
    """Return what earlier processes found, by the content of files; nothing if there is no such file, or a bad one."""
    try:
        return {key: _Facts(str(tree), list(modules)) for key, (tree, modules) in json.loads(_text()).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _text() -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return memory_file().read_text(encoding="utf-8")
    return "{}"


def _remember() -> None:
    """Write what this process found beside what is known; where that is not possible, the next one parses again."""
    if not _new or sys.dont_write_bytecode:
        return
    latest = dict(list(_memory().items())[-REMEMBERED:])
    with contextlib.suppress(OSError), disks.replacing(memory_file()) as temporary:
        temporary.write_text(json.dumps(latest), encoding="utf-8")
    _new.clear()


@functools.cache
def _tree_hash(path: Path) -> str:
    """Return a hash of the syntax tree of *path* without docstrings."""
    return _parsed(path).tree


@functools.cache
def _imports(path: Path, folder: Path) -> tuple[Path, ...]:
    """Return the library files that *path* imports, at any depth of its code."""
    ours = {module for module in _parsed(path).modules if module.split(".")[0] == PACKAGE}
    return tuple(sorted({file for module in ours for file in _files(module, folder)}))


@functools.cache
def _files(module: str, folder: Path) -> tuple[Path, ...]:
    """Return the files of *module*, which may be a name in one, and of the packages it lies in, but for models."""
    parts = module.split(".")
    bases = [folder.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    files = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return tuple(file for file in files if not _is_model(file.relative_to(folder / PACKAGE)))


def _is_model(file: Path) -> bool:
    """Tell whether a file of the library acts through values only: it is in `MODELS`, or in a room there."""
    return file.as_posix().startswith(MODELS)
