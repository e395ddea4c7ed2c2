"""The library as a package: a wheel, the console command, and what it needs."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from analyses import ROOT
from wheels import built, unpacked

import export_schema
from nuisflow.likelihood.kernels import compilation
from nuisflow.likelihood.kernels.compile import counting_experiment
from nuisflow.storage import files

FOUR = ("numpy", "scipy", "numba", "llvmlite", "iminuit")  # llvmlite is numba's own


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """A virtual environment with the wheel and the four packages that the likelihood needs, and no other."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    for name in FOUR:
        origin = Path(importlib.util.find_spec(name).origin).parent
        for path in [origin, *origin.parent.glob(f"{name}.libs"), *origin.parent.glob(f"{name}-*.dist-info")]:
            (packages / path.name).symlink_to(path)
    unpacked(wheel, packages)
    compilation.ready()
    shutil.copytree(compilation.folder(), packages / compilation.folder().relative_to(ROOT / "scripts"))
    return folder


def run(folder, *arguments, **more):
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [str(folder / "bin" / "python"), *arguments]
    return subprocess.run(command, cwd=folder, env=clean | more, capture_output=True, text=True, check=False)


def workspace(folder):
    files.write_json(folder / "workspace.json", counting_experiment())
    return "workspace.json"


def test_the_wheel_has_every_module_and_the_template_of_the_report(wheel, tmp_path):
    unpacked(wheel, tmp_path)
    ours = {path.relative_to(ROOT / "scripts") for path in (ROOT / "scripts" / "nuisflow").rglob("*.py")}
    assert ours <= {path.relative_to(tmp_path) for path in tmp_path.rglob("*.py")}
    assert (tmp_path / "nuisflow" / "report" / "report_template.html").is_file()


def test_the_package_asks_for_the_four_and_its_extra_for_all_requirements_of_the_workflow():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "envs" / "requirements.in").read_text().splitlines()
    requirements = {line.split("#")[0].strip() for line in lines} - {""}
    assert set(project["project"]["dependencies"]) <= requirements
    names = {requirement.split(">")[0] for requirement in project["project"]["dependencies"]}
    assert names == set(FOUR) - {"llvmlite"}
    extra = project["tool"]["setuptools"]["dynamic"]["optional-dependencies"]["workflow"]["file"]
    assert extra == ["envs/requirements.in", "envs/requirements-torch.in"]


def test_a_name_that_the_library_offers_is_loaded_when_it_is_asked_for():
    code = (
        "import sys, nuisflow.likelihood; assert 'numpy' not in sys.modules, 'numpy'\n"
        "from nuisflow.likelihood import Model, fit, interval, scan, load, limits, toys, significance\n"
        "from nuisflow.likelihood import fits, model\n"
        "assert (Model, fit) == (model.Model, fits.fit) and limits.limits and toys.run\n"
        "assert set(dir(nuisflow.likelihood)) >= {'Model', 'fit', 'limits'}\n"
        "nuisflow.likelihood.something"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "scripts", capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "AttributeError: module 'nuisflow.likelihood' has no attribute 'something'"


def test_the_schema_of_the_catalogue_of_workflows_is_that_of_editors():
    places = [ROOT / place for place in export_schema.PLACES]
    assert len({place.read_text() for place in places}) == 1 < len(places)


@pytest.mark.slow
def test_the_likelihood_works_with_four_packages_only(bare):
    code = (
        "import nuisflow.likelihood.model, nuisflow.likelihood.fits, nuisflow.likelihood.limits, nuisflow.likelihood.toys\n"
        "from nuisflow.likelihood import load, fit; from pathlib import Path\n"
        "print(float(fit(load(Path('workspace.json'))).values[0]))\n"
    )
    workspace(bare)
    done = run(bare, "-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1.0, abs=1e-6)  # observed is exactly signal and background
    for other in ("pandas", "pydantic", "pyhf", "snakemake"):
        assert f"No module named '{other}'" in run(bare, "-c", f"import {other}").stderr


@pytest.mark.slow
def test_the_console_command_fits_and_speaks_of_itself_as_it_was_called(bare):
    name, script = workspace(bare), bare / "nuisflow"
    script.write_text("import sys; from nuisflow.__main__ import main; sys.exit(main())")  # as pip writes it
    done = run(bare, str(script), "fit", name)
    assert done.returncode == 0, done.stderr
    assert "best fit                 1\n" in done.stdout
    assert run(bare, str(script), "fit", "none.json").stderr == "nuisflow: error: none.json: no such file\n"
    assert run(bare, "-m", "nuisflow", "fit", "none.json").stderr.startswith("python -m nuisflow: error: none.json")
    assert "\n  nuisflow fit workspace.json" in run(bare, str(script), "fit", "--help").stdout
    assert run(bare, str(script), "--version").stdout == "nuisflow 0.1.0\n"
    entry = next((bare / "lib").glob("python*/site-packages/nuisflow-*.dist-info/entry_points.txt")).read_text()
    assert "nuisflow = nuisflow.__main__:main" in entry


@pytest.mark.slow
def test_a_malformed_workspace_is_refused_without_pyhf_too(bare):
    (bare / "bad.json").write_text('{"channels": [3], "observations": [1], "measurements": [], "version": "1.0.0"}')
    done = run(bare, "-m", "nuisflow", "fit", "bad.json")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("python -m nuisflow: error: bad.json: ")


@pytest.mark.slow
def test_where_the_package_is_only_to_read_compiled_code_lies_in_the_cache_of_the_user(bare, tmp_path):
    """A file in place of the folder: root may write everywhere else."""
    kernels = next((bare / "lib").glob("python*/site-packages/nuisflow/likelihood/kernels"))
    own = tmp_path / "nuisflow" / compilation.folder().name
    shutil.move(kernels / "__pycache__" / own.name, own)
    shutil.rmtree(kernels / "__pycache__")
    (kernels / "__pycache__").write_text("")
    before = sorted(own.iterdir())
    code = "from nuisflow.likelihood.kernels import compilation; print(compilation.folder())"
    assert run(bare, "-c", code, XDG_CACHE_HOME=str(tmp_path)).stdout.strip() == str(own)
    done = run(bare, "-m", "nuisflow", "limit", workspace(bare), XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "compiling" not in done.stderr
    assert sorted(own.iterdir()) == before
