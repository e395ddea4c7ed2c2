"""Tests of who compiles the likelihood: one process, once, and nobody else."""

import concurrent.futures
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nuisflow.likelihood.kernels import compilation
from nuisflow.storage import sources

MARKS = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from nuisflow.likelihood.kernels import compilation
compilation.folder = lambda: Path({folder!r})
with open({notes!r}, "a") as notes:
    notes.write("compiled\\n")
{end}
"""
WAITS = """
import sys
sys.path.insert(0, {scripts!r})
from pathlib import Path
from nuisflow.likelihood.kernels import compilation
compilation.folder, compilation._COMPILER = (lambda: Path({folder!r})), "import runpy; runpy.run_path({script!r})"
compilation.ready()
"""


@pytest.fixture
def names(tmp_path):
    return {name: str(tmp_path / name) for name in ("folder", "notes", "script")} | {"scripts": str(sources.SCRIPTS)}


def waiting(names):
    command = [sys.executable, "-c", WAITS.format(**names)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def write_script(names, end):
    Path(names["script"]).write_text(MARKS.format(end=end, **names))


def test_of_many_processes_one_compiles_and_the_others_wait_for_it(names, tmp_path):
    write_script(names, "import time; time.sleep(1); compilation.mark()")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in pool.map(waiting, [names] * 4):
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "notes").read_text() == "compiled\n"
    assert len(list((tmp_path / "folder").glob("complete-*"))) == 1


def test_an_error_while_compiling_is_shown(names):
    write_script(names, "raise SystemExit('no compiler')")
    done = waiting(names)
    assert done.returncode == 1
    assert "the likelihood cannot be compiled" in done.stderr
    assert "no compiler" in done.stderr


def test_jobs_load_everything_and_compile_nothing():
    code = """
    import sys
    from numba.core.dispatcher import Dispatcher
    from nuisflow.likelihood.kernels.compile import counting_experiment
    from nuisflow.likelihood import measurements, toys
    from nuisflow.likelihood.model import FEW, Model
    model = Model(counting_experiment())
    for number in (1, 2 * FEW):
        data = [[50.0 + k] for k in range(number)]
        minima = model.minimise(data)
        model.errors(minima, data)
        model.intervals(minima, model.poi, data)
    measurements.measure(model, "asimov", {"rates": ["rate"]}, {"bin": [0.0, 1.0]}, goodness_toys=100, seed=1)
    measurements.impact_rows(model, model.asimov(), "asimov")
    measurements.scan_rows(model, model.asimov(), "asimov")
    toys.run(model, None, 100, 1)
    for name in [name for name in sys.modules if name.startswith("nuisflow.")]:
        for attribute, function in vars(sys.modules[name]).items():
            if isinstance(function, Dispatcher):
                missed = sum(function.stats.cache_misses.values())
                assert not missed, f"{name}.{attribute} was compiled"
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=sources.SCRIPTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_folder_is_named_after_the_compiled_code():
    assert compilation.folder().name.startswith("numba-")
    assert set(compilation._COMPILED) <= {path.stem for path in compilation._HERE.glob("*.py")}
    compiles = {path.stem for path in compilation._HERE.glob("*.py") if "compilation import" in path.read_text()}
    assert compiles <= set(compilation._COMPILED)
