"""What a fault leaves: full and read-only disks, two runs at once, kills, wrong clocks and damaged files."""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starts
import yaml
from analyses import FLAT, ROOT
from faults.kill_at_random import configuration, fingerprints

from nuisflow.storage import disks, event_files, files

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
RESULTS = Path("results") / "toy"
RAW = str(RESULTS / "raw" / "ztautau.root")
WORKSPACE = str(RESULTS / "trainings" / "augmentation" / "seed1" / "workspace.json")
SCORES = WORKSPACE.replace("workspace.json", "scores.parquet")
ARGUMENTS = (
    *("--snakefile", str(ROOT / "workflow" / "Snakefile")),
    *("--workflow-profile", str(ROOT / "workflow" / "profiles" / "default")),
    *("--configfile", "config.yaml", "--cores", "2"),
)
OPTIONS = {
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "env": os.environ | {"OMP_NUM_THREADS": "1"},
}


def snakemake(folder, *arguments):
    return starts.snakemake(folder, *ARGUMENTS, *arguments, environment=OPTIONS["env"])


def configured(folder, content=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content or configuration(), allow_unicode=True))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder in which the analysis has run up to the workspace."""
    folder = configured(tmp_path_factory.mktemp("faults") / "finished")
    done = snakemake(folder, "--", WORKSPACE)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of it, with its dates."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


@pytest.fixture
def mounted(tmp_path):
    """Mount something and take it away at the end; skip where that is not allowed."""
    with contextlib.ExitStack() as stack:

        def mount(*arguments, at):
            at.mkdir(parents=True, exist_ok=True)
            done = subprocess.run(["mount", *arguments, str(at)], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
            if "remount" not in arguments[-1]:
                stack.callback(subprocess.run, ["umount", str(at)], check=True)

        yield mount


def nothing_half_written(folder):
    return not [path for path in (folder / RESULTS).rglob(".*") if path.is_file()]


def jobs(output):
    return len(re.findall(r"^Finished jobid", output, re.MULTILINE))


def test_a_full_disk_stops_with_one_clear_line_and_the_next_run_ends_like_an_undisturbed_one(
    finished, tmp_path, mounted
):
    folder = configured(tmp_path / "full")
    mounted("-t", "tmpfs", "-o", "size=400k", "tmpfs", at=folder / "results")
    done = snakemake(folder, "--", RAW)
    assert done.returncode == 1
    assert re.search(rf"ERROR in simulate_events: {RAW}: cannot be written: the disk {folder}/results is full .*make room and run again", done.stdout)  # fmt: skip
    assert not (folder / RAW).exists()
    assert nothing_half_written(folder)
    mounted("-o", "remount,size=20m", at=folder / "results")
    assert snakemake(folder, "--", RAW).returncode == 0
    assert fingerprints(folder).items() <= fingerprints(finished).items()


NUMBERS = np.random.default_rng(1).normal(size=20_000)


def drawn(path):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(NUMBERS)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="svg")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("events.root", lambda path: event_files.write_root(path, {"x": NUMBERS})),
        ("events.parquet", lambda path: event_files.write_event_parts(path, iter([{"x": NUMBERS}]), {})),
        ("toys.parquet", lambda path: files.write_table(path, pd.DataFrame({"x": NUMBERS}))),
        ("scan.csv", lambda path: files.write_table(path, pd.DataFrame({"x": NUMBERS}))),
        ("fit.json", lambda path: files.write_json(path, NUMBERS)),
        ("figure.svg", drawn),
    ],
)
def test_every_kind_of_file_that_a_full_disk_does_not_take_is_named_and_none_is_left(tmp_path, mounted, name, write):
    mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", at=tmp_path / "small")
    with pytest.raises(disks.DiskError, match=f"{name}: cannot be written: the disk .*small is full"):
        write(tmp_path / "small" / name)
    assert not list((tmp_path / "small").iterdir())


def test_a_disk_that_is_full_from_the_start_is_named_before_any_work(copied, mounted):
    before = fingerprints(copied)
    mounted("-t", "tmpfs", "-o", "size=60k", "tmpfs", at=copied / ".snakemake")
    done = snakemake(copied, "--forcerun", "build_workspace", "--", WORKSPACE)
    assert done.returncode == 1
    assert f".snakemake: cannot be written: the disk {copied}/.snakemake is full" in done.stdout
    assert "Traceback" not in done.stdout
    assert fingerprints(copied) == before


def test_a_full_working_folder_is_repaired_by_the_next_run(finished, tmp_path, mounted):
    folder = tmp_path / "whole"
    mounted("-t", "tmpfs", "-o", "size=700k", "tmpfs", at=folder)
    configured(folder)
    done = snakemake(folder, "--", RAW)
    assert done.returncode == 1
    assert f"cannot be written: the disk {folder} is full" in done.stdout
    assert not (folder / RAW).exists()
    mounted("-o", "remount,size=20m", at=folder)
    assert snakemake(folder, "--", RAW).returncode == 0
    assert fingerprints(folder).items() <= fingerprints(finished).items()


def test_a_read_only_results_folder_is_named_and_loses_nothing(copied, mounted):
    before = fingerprints(copied)
    mounted("--bind", str(copied / "results"), at=copied / "results")
    mounted("-o", "remount,ro,bind", at=copied / "results")
    done = snakemake(copied, "--forcerun", "build_workspace", "--", WORKSPACE)
    assert done.returncode == 1
    assert "results/toy: cannot be written: it lies on a read-only file system; make that writable" in done.stdout
    assert "Traceback" not in done.stdout
    assert fingerprints(copied) == before


def begun(folder, *arguments):
    """Start a run and return it once it holds the results."""
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *ARGUMENTS, *arguments], cwd=folder, start_new_session=True, **OPTIONS
    )
    for _ in range(6000):
        with contextlib.suppress(OSError, ValueError):
            if json.loads((folder / ".snakemake/nuisflow/toy.lock").read_text())["process"] == process.pid:
                return process
        time.sleep(0.05)
    raise AssertionError(process.communicate()[0])


def test_of_two_runs_at_once_the_second_stops_and_the_first_is_undisturbed(copied):
    before = fingerprints(copied)
    first = begun(copied, "--forcerun", "build_workspace", "--", WORKSPACE)
    first.send_signal(signal.SIGSTOP)
    try:
        second = snakemake(copied, "--forcerun", "build_workspace", "--", WORKSPACE)
        unlocked = snakemake(copied, "--unlock")
    finally:
        first.send_signal(signal.SIGCONT)
    for done in (second, unlocked):
        assert done.returncode == 1
        assert f"results/toy: another run is at work here (process {first.pid} on" in done.stdout
    output = first.communicate()[0]
    assert first.returncode == 0, output
    assert fingerprints(copied) == before


def test_after_a_kill_the_same_command_goes_on_and_clears_what_was_half_written(copied):
    before = fingerprints(copied)
    (copied / WORKSPACE).unlink()
    half = (copied / WORKSPACE).with_name(f".{os.uname().nodename}-999999999-workspace.json")
    half.write_text("{")
    scores = base64.urlsafe_b64encode(SCORES.encode()).decode()
    assert (copied / ".snakemake" / "metadata" / scores).stat().st_size > 0
    (copied / ".snakemake" / "metadata" / scores).write_text("")
    process = begun(copied, "--", WORKSPACE)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list((copied / ".snakemake" / "locks").iterdir())
    done = snakemake(copied, "--", WORKSPACE)
    assert done.returncode == 0, done.stdout
    assert f"results/toy: the last run was killed (process {process.pid} on" in done.stdout
    assert "Score events" in done.stdout
    assert fingerprints(copied) == before
    assert nothing_half_written(copied)


def test_results_from_the_future_are_not_made_again(copied):
    for path in (copied / "results").rglob("*"):
        date = path.stat().st_mtime + 86_400
        os.utime(path, (date, date))
    done = snakemake(copied, "--", WORKSPACE)
    assert "dated in the future, the clock went back" in done.stdout
    assert "Nothing to be done" in done.stdout


def test_an_input_that_changed_while_the_clock_was_back_is_not_taken_for_known(tmp_path):
    folder = configured(tmp_path / "flat", FLAT | {"analysis": "toy"})
    (folder / "data").mkdir()
    for name in ("s", "b"):
        (folder / "data" / f"{name}.csv").write_text("x,w\n1.0,1.0\n2.0,1.0\n")
    targets = ["--", *(f"results/toy/ingested/main/{name}.arrow" for name in ("s", "b"))]
    assert jobs(snakemake(folder, *targets).stdout) == 2
    for path in (folder / "results").rglob("*.arrow"):
        os.utime(path, (time.time() + 86_400,) * 2)
    (folder / "data" / "s.csv").write_text("x,w\n1.0,1.0\n3.0,1.0\n")
    done = snakemake(folder, *targets)
    assert jobs(done.stdout) == 1, done.stdout
    assert "Ingest s" in done.stdout


def test_a_damaged_file_is_named_and_after_its_removal_all_is_as_before(copied):
    name = RESULTS / "events" / "tes_up" / "ztautau.parquet"
    before, content = fingerprints(copied), bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    done = snakemake(copied, "--", SCORES, WORKSPACE)
    assert done.returncode == 1
    assert re.search(rf"ERROR in score_events: {name}: cannot be read .*delete it and run again", done.stdout)
    (copied / name).unlink()
    done = snakemake(copied, "--", SCORES, WORKSPACE)
    assert done.returncode == 0
    assert "Train" not in done.stdout
    assert fingerprints(copied) == before
