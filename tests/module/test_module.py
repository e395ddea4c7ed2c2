"""The workflow as a module of another one: by its path, from a git source at a tag, deployed by snakedeploy."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import starts
import yaml
from analyses import ROOT, changed
from wheels import built, repository, unpacked

from nuisflow.likelihood.kernels import compilation

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
TOY = yaml.safe_load((ROOT / "tests" / "toy" / "config.yaml").read_text())
SMALL = changed(
    TOY,
    ("samples.ztautau", None), ("processes.ztautau", None),
    *((f"samples.{name}.events", 2000) for name in ("htautau", "ttbar")),
    ("variations", {name: TOY["variations"][name] for name in ("tes", "luminosity")}),
    ("trainings", {"boosted_trees": {"strategy": "boosted_trees", "rounds": 10, "depth": 3}}),
    ("templates.binning.number", 3),
    ("toys", {"number": 50}),
)  # fmt: skip
FIT = "trainings/boosted_trees/seed1/fit.json"
TRIGGERS = ("--rerun-triggers", "mtime", "params", "input", "software-env", "--max-checksum-file-size", "200000000")
URL = "https://github.com/physics/nuisflow"


def snakemake(folder, *arguments, **environment):
    """Run Snakemake in *folder*; return its status and what it printed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    settings = clean | {"OMP_NUM_THREADS": "1"} | environment
    return starts.snakemake(folder, "--cores", "2", *arguments, environment=settings)


def planned(printed):
    """Return the rules in the table of jobs of a dry run."""
    return set(re.findall(r"^(\w+) +\d+$", printed, flags=re.MULTILINE))


def write(folder, snakefile, content):
    """Write a workflow of a user."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Snakefile").write_text(textwrap.dedent(snakefile))
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return folder


# --- by its path, in a larger workflow ---------------------------------------------------------------------------------

LARGER = f"""
configfile: "config.yaml"

onstart:
    open("started.txt", "w").close()

module nuisflow:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config["nuisflow"]
    pathvars:
        results="analyses/small"

use rule * from nuisflow as nuisflow_*

rule conclude:
    default_target: True
    input:
        "analyses/small/comparison/trainings.csv",
        "analyses/small/ro-crate-metadata.json",
    output: "conclusion.txt"
    log: "conclude.log"
    shell: "cut -d, -f1 {{input[0]}} > {{output}}"
"""


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """A workflow of a user that has run, with the workflow as a part that it knows by its path."""
    folder = write(tmp_path_factory.mktemp("larger"), LARGER, {"own": 1, "nuisflow": SMALL})
    done = snakemake(folder, *TRIGGERS)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


def test_a_larger_workflow_uses_the_results_of_the_module(larger):
    assert (larger / "conclusion.txt").read_text() == "training\nboosted_trees\n"
    assert not (larger / "results").exists()  # pathvars say where
    made = yaml.safe_load((larger / "analyses" / "small" / "config.yaml").read_text())
    assert made == SMALL
    assert (larger / "analyses" / "small" / "report.html").is_file()
    graph = json.loads((larger / "analyses" / "small" / "ro-crate-metadata.json").read_text())["@graph"]
    jobs = {entity["name"].split()[0] for entity in graph if entity["@type"] == "CreateAction"}
    assert {"nuisflow_train_network", "nuisflow_write_report", "nuisflow_simulate_events"} <= jobs


def test_a_module_that_has_run_has_nothing_to_do(larger):
    assert "Nothing to be done" in snakemake(larger, "--dry-run", *TRIGGERS).stdout


def test_results_that_were_copied_without_snakemake_run_again_where_the_configuration_changed(larger, tmp_path):
    """Snakemake alone knows nothing of how they were made, and finds nothing to do."""
    folder = Path(shutil.copytree(larger, tmp_path / "copy", ignore=shutil.ignore_patterns(".snakemake")))
    done = snakemake(folder, "--dry-run", *TRIGGERS, "analyses/small/report.html")
    assert "Nothing to be done" in done.stdout
    assert "Snakemake knew nothing of" in done.stdout
    write(folder, LARGER, {"nuisflow": changed(SMALL, ("templates.binning.number", 4))})
    done = snakemake(folder, "--dry-run", *TRIGGERS, "analyses/small/report.html")
    assert {"nuisflow_fill_templates", "nuisflow_fit_workspace"} <= planned(done.stdout)
    assert not {"nuisflow_process_events", "nuisflow_train_network"} & planned(done.stdout)


def test_runs_of_a_module_hold_its_results_too_and_the_handler_of_the_user_runs_as_well(larger):
    assert (larger / "started.txt").exists()
    assert (larger / ".snakemake" / "nuisflow" / "small.lock").read_text() == ""  # held, and ended by itself


def test_a_module_does_not_take_off_a_lock_of_which_it_knows_no_run(larger, tmp_path):
    """A living run of which a handler of the user replaced ours would lose it."""
    shutil.copytree(larger, tmp_path / "copy")
    lock = tmp_path / "copy" / ".snakemake" / "locks" / "0.output.lock"
    lock.write_text("analyses/small/report.html\n")
    snakemake(tmp_path / "copy", "--dry-run", *TRIGGERS)
    assert lock.exists()


def test_where_the_profile_is_not_taken_along_a_run_says_which_flags_stand_for_it(larger, tmp_path):
    shutil.copytree(larger, tmp_path / "copy")
    (tmp_path / "copy" / "analyses" / "small" / "report.html").unlink()
    done = snakemake(tmp_path / "copy", "--until", "nuisflow_write_report", "--rerun-triggers", "code", "params")
    assert "--rerun-triggers mtime params input software-env" in done.stdout


def test_an_error_in_the_configuration_names_the_module(tmp_path):
    write(tmp_path, LARGER, {"nuisflow": changed(SMALL, ("trainings.boosted_trees.strategy", "boosted_tree"))})
    done = snakemake(tmp_path, "--dry-run")
    assert done.returncode == 1
    assert "config.yaml, module nuisflow: trainings.boosted_trees.strategy: no strategy 'boosted_tree'" in done.stdout


def test_a_prefix_is_refused_with_the_remedy(tmp_path):
    snakefile = LARGER.replace('pathvars:\n        results="analyses/small"', 'prefix: "mine"')
    done = snakemake(write(tmp_path, snakefile, {"nuisflow": SMALL}), "--dry-run")
    assert done.returncode == 1
    assert "module nuisflow: 'prefix'" in done.stdout
    assert 'pathvars: results="my/folder"' in done.stdout


def test_shipped_tables_are_copied_to_where_the_configuration_names_them(tmp_path):
    content = yaml.safe_load((ROOT / "config" / "gaussian.yaml").read_text())
    done = snakemake(write(tmp_path, LARGER, {"nuisflow": content}), "--dry-run", "--quiet", "rules")
    assert done.returncode == 0, done.stdout[-3000:]
    table = "config/published/gaussian.csv"
    assert (tmp_path / table).read_bytes() == (ROOT / table).read_bytes()
    content["published"]["table"] = "config/published/none.csv"
    done = snakemake(write(tmp_path, LARGER, {"nuisflow": content}), "--dry-run", "--quiet", "rules")
    assert "published.table: there is no file config/published/none.csv" in done.stdout


# --- from a git source -------------------------------------------------------------------------------------------------

FROM_GIT = """
configfile: "config.yaml"

module nuisflow:
    snakefile: {source}
    config: config

use rule * from nuisflow
"""
GITHUB = FROM_GIT.format(source='github("physics/nuisflow", path="workflow/Snakefile", tag="v1")')


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """A repository that stands for one on GitHub, and the environment in which git and Snakemake find it."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("github")
    origin = repository(ROOT, folder / "nuisflow", "v1")
    (folder / "gitconfig").write_text(f'[url "file://{origin}"]\n\tinsteadOf = {URL}\n')
    found = {"GIT_CONFIG_GLOBAL": str(folder / "gitconfig"), "XDG_CACHE_HOME": str(folder / "cache")}
    return origin, found | {"GITHUB_TOKEN": ""}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a user who has installed the library."""
    packages = unpacked(built(ROOT, tmp_path_factory.mktemp("wheel")), tmp_path_factory.mktemp("packages"))
    compilation.ready()
    shutil.copytree(compilation.folder(), packages / compilation.folder().relative_to(ROOT / "scripts"))
    return {"PYTHONPATH": str(packages)}


def test_from_a_git_source_at_a_tag_the_installed_library_is_used(tagged, installed, larger, tmp_path):
    _, found = tagged
    write(tmp_path, GITHUB, SMALL)
    target = f"results/toy/{FIT}"
    done = snakemake(tmp_path, target, **found, **installed)
    assert done.returncode == 0, done.stdout[-6000:]
    results = tmp_path / "results" / "toy"
    assert (results / FIT).read_bytes() == (larger / "analyses" / "small" / FIT).read_bytes()
    record = json.loads((results / "logs" / "fit_workspace" / "boosted_trees_seed1.json").read_text())
    assert record["packages"]["nuisflow"] == "0.1.0"
    assert "Nothing to be done" in snakemake(tmp_path, target, "--dry-run", **found, **installed).stdout


def test_a_changed_script_in_a_later_tag_runs_again_what_it_makes(tagged, installed, tmp_path):
    """The scripts come with the workflow, so their hash does too, not with the library."""
    from nuisflow.storage import sources

    sources.find_scripts(lambda name: str(tmp_path / f"{name}.py"))
    try:
        script, folder = tmp_path / "fit_workspace.py", Path(installed["PYTHONPATH"])
        shutil.copy(ROOT / "scripts" / "fit_workspace.py", script)
        before = sources.digest("fit_workspace", folder=folder)
        assert before == sources.digest("fit_workspace")  # as in a checkout
        script.write_text(script.read_text().replace('"asimov"', '"nominal"'))
        sources._parsed.cache_clear(), sources._tree_hash.cache_clear(), sources._imports.cache_clear()
        assert sources.digest("fit_workspace", folder=folder) != before
    finally:
        sources._finders.clear()


def test_without_the_library_the_command_that_installs_it_is_given(tagged, tmp_path):
    origin, found = tagged
    done = snakemake(write(tmp_path / "github", GITHUB, SMALL), "--dry-run", **found)
    assert done.returncode == 1
    assert f'not installed here: pip install "nuisflow[workflow] @ git+{URL}@v1"' in done.stdout
    snakefile = FROM_GIT.format(source=f'gitfile("{origin}", path="workflow/Snakefile", tag="v1")')
    done = snakemake(write(tmp_path / "local", snakefile, SMALL), "--dry-run", **found)
    assert f'pip install "nuisflow[workflow] @ git+file://{origin}@v1"' in done.stdout


def test_a_library_of_another_version_is_refused(tagged, installed, tmp_path):
    _, found = tagged
    other = Path(shutil.copytree(installed["PYTHONPATH"], tmp_path / "packages"))
    (other / "nuisflow" / "__init__.py").write_text('__version__ = "9.9"\n')
    done = snakemake(write(tmp_path / "run", GITHUB, SMALL), "--dry-run", **found, PYTHONPATH=str(other))
    assert done.returncode == 1
    assert f"is version 0.1.0, the library in {other}/nuisflow is version 9.9: pip install" in done.stdout


def test_a_checkout_uses_the_library_beside_it_whatever_is_installed(installed, tmp_path):
    other = Path(shutil.copytree(installed["PYTHONPATH"], tmp_path / "packages"))
    (other / "nuisflow" / "__init__.py").write_text("raise SystemExit('this is another library')\n")
    write(tmp_path / "run", LARGER, {"nuisflow": SMALL})
    target = "analyses/small/raw/ttbar.root"
    done = snakemake(tmp_path / "run", target, *TRIGGERS, PYTHONPATH=str(other))
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "run" / target).is_file()


# --- deployed ----------------------------------------------------------------------------------------------------------


def test_snakedeploy_makes_an_empty_folder_ready_to_run(tagged, installed, tmp_path):
    program = shutil.which("snakedeploy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not program:
        pytest.skip("snakedeploy is not installed: pip install -r envs/requirements-test.txt")
    _, found = tagged
    command = [program, "deploy-workflow", URL, str(tmp_path / "mine"), "--tag", "v1"]
    subprocess.run(command, env=os.environ | found, check=True, capture_output=True)
    folder = tmp_path / "mine"
    done = snakemake(folder, "--dry-run", "--quiet", "rules", **found, **installed)
    assert done.returncode == 0, done.stdout[-3000:]  # the default analysis
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False, allow_unicode=True))
    done = snakemake(folder, "--until", "process_events", **found, **installed)
    assert done.returncode == 0, done.stdout[-6000:]
    assert len(list((folder / "results" / "toy" / "events").rglob("*.parquet"))) == 6
