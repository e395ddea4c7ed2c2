"""Which files of the library a script imports, so that a rule reruns when their content changes.

Snakemake does not see a change in an imported module. Each rule therefore depends, through a parameter, on a hash of
the syntax tree of its script and of every library module that the script imports, directly or not: comments,
formatting and the time of a checkout do not count. Nor do the models of the configuration: they act only through the
values in the parameters of a rule, which Snakemake tracks itself.
"""

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = "nuisflow"
MODELS = frozenset(
    {
        "benchmarks.py",
        "configuration.py",
        "checks.py",
        "points.py",
        "reweightings.py",
        "shown.py",
        "slices.py",
        "sections.py",
        "systematics.py",
        "sources.py",
        "strategies/__init__.py",
    }
)
"""Files that act only through the values of the configuration (strategies/__init__.py lists all strategies)."""
SCRIPTS = Path(__file__).resolve().parent.parent


def of(script: str, *modules: str, folder: Path = SCRIPTS) -> list[Path]:
    """Return the files of *script* and *modules* and of all library modules they import, the script first.

    *modules* are files relative to the package, such as ``strategies/adversarial.py``: what a script loads by name.
    """
    first = folder / f"{script}.py"
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
    hashes = (_tree_hash(path) for path in of(script, *modules, folder=folder))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def _tree_hash(path: Path) -> str:
    """Return a hash of the syntax tree of *path* without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@functools.cache
def _imports(path: Path, folder: Path) -> tuple[Path, ...]:
    """Return the library files that *path* imports, at any depth of its code."""
    modules: set[str] = set()
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            modules.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
            modules.update(f"{node.module}.{name.name}" for name in node.names)
    ours = {module for module in modules if module.split(".")[0] == PACKAGE}
    files: set[Path] = set()
    for module in ours:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            base = folder.joinpath(*parts[:length])
            files.update(file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file())
    return tuple(sorted(file for file in files if file.relative_to(folder / PACKAGE).as_posix() not in MODELS))
