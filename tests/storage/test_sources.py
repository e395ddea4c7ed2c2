import functools
import os
import re
import shutil
import subprocess
import sys

import pytest
from analyses import ROOT

from nuisflow.storage import sources


@pytest.fixture
def library(tmp_path):
    package = tmp_path / "nuisflow"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "files.py").write_text('"""Files."""\nX = 1\n')
    (package / "fits.py").write_text("from nuisflow import files\n\ndef fit():\n    return files.X\n")
    (package / "plots.py").write_text("import math\n")
    (tmp_path / "fit_workspace.py").write_text("def run():\n    from nuisflow import fits\n    return fits\n")
    sources._imports.cache_clear(), sources._parsed.cache_clear(), sources._tree_hash.cache_clear()
    return tmp_path


def fresh_digest(folder):
    sources._imports.cache_clear(), sources._parsed.cache_clear(), sources._tree_hash.cache_clear()
    return sources.digest("fit_workspace", folder=folder)


def test_imports_inside_functions_and_of_imported_modules_count(library):
    names = [path.name for path in sources.of("fit_workspace", folder=library)]
    assert names == ["fit_workspace.py", "__init__.py", "files.py", "fits.py"]


def test_a_changed_value_in_an_imported_module_changes_the_digest(library):
    before = fresh_digest(library)
    (library / "nuisflow" / "files.py").write_text("X = 2\n")
    assert fresh_digest(library) != before


def test_comments_docstrings_and_unused_modules_do_not_change_the_digest(library):
    before = fresh_digest(library)
    (library / "nuisflow" / "files.py").write_text('"""Other words."""\n\n# a comment\nX = 1\n')
    (library / "nuisflow" / "plots.py").write_text("import sys\n")
    assert fresh_digest(library) == before


def test_a_copy_elsewhere_has_the_same_digest(library, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy") / "scripts"
    shutil.copytree(library, copy)
    assert fresh_digest(copy) == fresh_digest(library)


RULES = "\n".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))


SCRIPTS = sorted(set(re.findall(r"scripts/(\w+)\.py", RULES)))
LOADS = """
import gc, os, sys
import hist, iminuit, matplotlib.figure, numba, pandas, pyarrow.parquet, pydantic, scipy.stats, torch, uproot  # once
gc.freeze()
for script in sys.argv[1:]:
    if (child := os.fork()) == 0:
        __import__(script)
        print(script, *sorted(name for name in sys.modules if name.split(".")[0] == "nuisflow"), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, script
"""


@pytest.fixture(scope="module")
def loaded():
    """Return the modules of the library that each script loads in a process of its own."""
    command = [sys.executable, "-c", LOADS, *SCRIPTS]
    done = subprocess.run(command, cwd=sources.SCRIPTS, capture_output=True, text=True, check=True)
    return {line.split()[0]: set(line.split()[1:]) for line in done.stdout.splitlines()}


def library_files(name):
    """Return the files of the library that *name* stands for, a file or a room, relative to the package."""
    package = sources.SCRIPTS / "nuisflow"
    paths = package.joinpath(name).rglob("*.py") if name.endswith("/") else [package / name]
    return sorted(path.relative_to(package).as_posix() for path in paths)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_library_module_that_a_script_loads_is_tracked(loaded, script):
    # What only the models of the configuration import acts through the values of the configuration, as they do.
    models = [file for name in (*sources.MODELS, "strategies/") for file in library_files(name)]
    tracked = {
        path.relative_to(sources.SCRIPTS).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in sources.of(script, *models)
    }
    assert "nuisflow" in loaded[script]
    assert loaded[script] <= tracked


def test_a_training_depends_on_its_own_strategy_and_no_other():
    names = {path.name for path in sources.of("train_network", "strategies/adversarial.py")}
    assert {"strategy.py", "adversarial.py", "loop.py"} <= names
    assert "augmentation.py" not in names


# --- the memory across processes --------------------------------------------------------------------------------------


def parsed_files(memory, **environment):
    """Return how many files a fresh process parses for the digest of a script, and that digest."""
    code = (
        "import ast\n"
        "from nuisflow.storage import sources\n"
        f"sources.memory_file = lambda: sources.Path({str(memory)!r})\n"
        "count, real = [], ast.parse\n"
        "ast.parse = lambda *given, **named: count.append(1) or real(*given, **named)\n"
        "print(len(count), sources.digest('fill_templates'), len(count))\n"
    )
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=sources.SCRIPTS,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    _, digest, number = done.stdout.split()
    return int(number), digest


def test_only_the_first_of_many_processes_parses_the_library_and_all_agree(tmp_path):
    memory = tmp_path / "__pycache__" / "memory.json"
    first, digest = parsed_files(memory)
    assert first > 10
    assert parsed_files(memory) == (0, digest)
    assert [path.name for path in memory.parent.iterdir()] == ["memory.json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 1}', '{"a": ["b"]}', "\x00\x00"])
def test_a_damaged_memory_is_made_anew(tmp_path, damage):
    memory = tmp_path / "memory.json"
    memory.write_text(damage)
    first, digest = parsed_files(memory)
    assert first > 10
    assert parsed_files(memory) == (0, digest)


def test_where_nothing_can_be_written_the_digest_is_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    first, digest = parsed_files(tmp_path / "file" / "memory.json")
    assert first > 10
    assert parsed_files(tmp_path / "memory.json", PYTHONDONTWRITEBYTECODE="1") == (first, digest)
    assert not (tmp_path / "memory.json").exists()


def test_the_memory_forgets_what_another_version_of_this_module_found(tmp_path, monkeypatch):
    path = tmp_path / "some.py"
    path.write_text("import math\n")
    monkeypatch.setattr(sources, "memory_file", lambda: tmp_path / "memory.json")
    monkeypatch.setattr(sources, "_memory", functools.cache(dict))
    sources._parsed.cache_clear()
    before = sources._parsed(path)
    monkeypatch.setattr(sources, "_own_code", lambda: b"another")
    sources._parsed.cache_clear()
    assert sources._parsed(path) == before
    assert len(sources._memory()) == 2


def test_reading_the_snakefile_imports_nothing_heavy():
    """Every job of a cluster reads it anew: what the configuration needs must load in a fraction of a second."""
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text()
    imports = re.findall(r"^(?:import nuisflow\..*|from nuisflow.* import .*)$", text, re.MULTILINE)
    assert len(imports) > 5
    code = "; ".join(["import sys", *imports, "print(*sys.modules)"])
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "pyarrow", "scipy", "uproot", "awkward", "hist", "matplotlib", "dask", "numba", "pyhf"}
    heavy |= {"xgboost", "numexpr", "sklearn", "distributed", "iminuit", "jsonschema"}
    assert not heavy & {name.partition(".")[0] for name in loaded.stdout.split()}
