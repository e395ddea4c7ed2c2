import re
import shutil
import subprocess
import sys

import pytest
from analyses import ROOT

from nuisflow import sources


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


@pytest.mark.parametrize("script", sorted(set(re.findall(r"scripts/(\w+)\.py", RULES))))
def test_every_library_module_that_a_script_loads_is_tracked(script):
    code = f"import sys, {script}; print(*sorted(m for m in sys.modules if m.split('.')[0] == 'nuisflow'))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=True
    )
    # What only the models of the configuration import acts through the values of the configuration, as they do.
    strategies = sorted(
        f"strategies/{path.name}" for path in (sources.SCRIPTS / "nuisflow" / "strategies").glob("*.py")
    )
    tracked = {
        path.relative_to(sources.SCRIPTS).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in sources.of(script, *sorted(sources.MODELS), *strategies)
    }
    assert set(loaded.stdout.split()) <= tracked


def test_a_training_depends_on_its_own_strategy_and_no_other():
    names = {path.name for path in sources.of("train_network", "strategies/adversarial.py")}
    assert {"strategy.py", "adversarial.py", "training.py"} <= names
    assert "augmentation.py" not in names
