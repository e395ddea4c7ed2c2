"""The rooms of the library: one table, in CONTRIBUTING.md, says who imports from whom; and what every room promises."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nuisflow.storage import sources

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = sources.SCRIPTS / "nuisflow"
DOORS, LINES = 14, 400
FILES = {path.relative_to(PACKAGE): path for path in sorted(PACKAGE.rglob("*.py"))}


def rooms():
    """Return the rooms in the order of the table, single modules by their file name."""
    text = (ROOT / "CONTRIBUTING.md").read_text().split("## The house", 1)[1]
    rows = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+) \|", text, flags=re.MULTILINE)
    return [[name.rstrip("/") for name in re.findall(r"`([^`]+)`", row)] for row in rows]


HEIGHT = {name: height for height, names in enumerate(rooms()) for name in names}


def imported(path):
    """Yield what of the library the file *path* imports, as parts of a path."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nuisflow":
            parts = node.module.split(".")[1:]
            yield from ([*parts, alias.name] for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1:] for alias in node.names if alias.name.startswith("nuisflow."))


def room_of(parts):
    """Return the room of a module given as parts of its path, an inner one where the table has it.

    A single module is a room of its own.
    """
    inner = "/".join(parts[:2])
    return next((name for name in (inner, parts[0]) if name in HEIGHT), f"{parts[0]}.py")


INSIDE = [path for path in FILES if path != Path("__init__.py")]


def test_the_table_lists_every_room_and_no_other():
    found = {path.parts[0] for path in INSIDE}
    assert found == {name for name in HEIGHT if "/" not in name}
    assert all((PACKAGE / name).exists() for name in HEIGHT)


@pytest.mark.parametrize("path", INSIDE, ids=str)
def test_a_room_imports_only_rooms_above_it_in_the_table(path):
    own = room_of(path.with_suffix("").parts)
    for parts in imported(FILES[path]):
        if parts[0] == "__version__":
            continue
        other = room_of(parts)
        assert other == own or HEIGHT[other] < HEIGHT[own], f"{path} imports {'.'.join(parts)}"


@pytest.mark.parametrize("path", INSIDE, ids=str)
def test_a_module_has_at_most_400_lines(path):
    assert len(FILES[path].read_text().splitlines()) <= LINES


@pytest.mark.parametrize("room", sorted({path.parent for path in INSIDE if path.parent != Path()}), ids=str)
def test_a_room_says_what_it_knows_and_has_about_a_dozen_doors(room):
    text = FILES[room / "__init__.py"].read_text()
    assert len(ast.get_docstring(ast.parse(text)).split()) > 15
    doors = [path for path in (PACKAGE / room).iterdir() if path.suffix == ".py" and path.name != "__init__.py"]
    if room != Path("strategies"):  # one door per strategy
        assert len(doors) <= DOORS, f"{room} has {len(doors)} doors"


def test_the_rooms_of_the_tests_are_those_of_the_library():
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))} - {"scripts", "module"}
    assert folders <= set(HEIGHT)


def test_the_likelihood_is_a_library_by_itself():
    """Importing it loads nothing of the other rooms and, of other packages, only numpy, numba, scipy and iminuit."""
    code = "import sys; before = set(sys.modules); import nuisflow.likelihood.model, nuisflow.likelihood.fits, "
    code += "nuisflow.likelihood.limits, nuisflow.likelihood.toys, nuisflow.likelihood.commands.line; "
    code += "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)); "
    code += "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('nuisflow.')}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=True)
    packages, rooms_loaded = map(str.split, done.stdout.splitlines())
    assert {name for name in packages if not name.startswith(("_", "cython"))} <= {
        "nuisflow",
        "numpy",
        "numba",
        "llvmlite",
        "scipy",
        "iminuit",
    }
    assert set(rooms_loaded) <= {"likelihood", "names", "progress", "seeds"}


def test_only_plots_import_matplotlib_but_for_a_check_of_words_for_them_that_does_so_where_it_must():
    users = [
        path
        for path, file in FILES.items()
        if re.search(r"^\s*(import|from) matplotlib", file.read_text(), re.MULTILINE)
    ]
    users.remove(Path("settings/checks/figures.py"))
    assert not re.search(
        "^(import|from) matplotlib", FILES[Path("settings/checks/figures.py")].read_text(), re.MULTILINE
    )
    assert {path.parts[:2] for path in users} == {("report", "plots")}
