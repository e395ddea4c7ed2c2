"""The same events on every scheduler, with workers that are killed, want memory, or are not there."""

import functools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import dask_jobqueue
import ingesting
import numpy as np
import pytest
from analyses import ROOT, shipped
from dask_jobqueue import local

from nuisflow.datasets import ditau
from nuisflow.events import clusters, parallel, selection
from nuisflow.settings import configuration, sections
from nuisflow.settings.configuration import Dask
from nuisflow.slices.events import processing
from nuisflow.storage import event_files, sources
from process_events import process_events

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SETTINGS = configuration.Configuration.model_validate(shipped("config"))
EVENTS, CHUNK = 4000, 300
PATH = os.pathsep.join(map(str, (sources.SCRIPTS, ROOT / "tests", ROOT)))
"""Where workers find the library and this module."""
JOB = processing(SETTINGS, "ttbar", "jes_up")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "ttbar.arrow"
    columns = ditau.simulate("ttbar", EVENTS, np.random.default_rng(5))
    return ingesting.of_columns(path, columns | {"weight": np.full(EVENTS, 0.1)})


def processed(raw, folder, **options):
    """Return the bytes that the script writes."""
    output = folder / "events.parquet"
    process_events(raw, output, settings=sections.plain(JOB), dask={"chunk_size": CHUNK} | options)
    return output.read_bytes()


@pytest.fixture(scope="module")
def expected(raw, tmp_path_factory):
    found = processed(raw, tmp_path_factory.mktemp("expected"), scheduler="synchronous")
    assert len(found) > 10_000
    return found


# --- a scheduler that runs already ------------------------------------------------------------------------------------


@pytest.fixture
def running(tmp_path):
    """Start `dask scheduler` and return a function that starts workers and returns the address."""
    processes = []

    def start(program, *options, path=PATH, folder=None):
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard", *map(str, options)]
        environment = os.environ | {"PYTHONPATH": path}
        processes.append(
            subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        )

    def workers(number=2, **options):
        for _ in range(number):
            start("worker", "--scheduler-file", file, "--nthreads", 1, "--no-nanny", "--host", "127.0.0.1", **options)
        return json.loads(file.read_text())["address"]

    file = tmp_path / "scheduler.json"
    with (tmp_path / "log").open("wb") as log:
        start("scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", file)
        workers.scheduler = processes[0].pid
        wait_until(file.exists)
        yield workers
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(condition, seconds=300):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds
        time.sleep(0.1)


# --- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"scheduler": "threads"}, {"scheduler": "processes"}], ids=str)
def test_threads_and_processes_give_the_bytes_of_one_process(raw, expected, tmp_path, options):
    assert processed(raw, tmp_path, workers=2, **options) == expected


def test_workers_of_distributed_give_these_bytes_and_the_dashboard_and_the_progress_are_logged(
    raw, expected, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("nuisflow.progress._SECONDS_BETWEEN_REPORTS", 0)
    monkeypatch.setattr("nuisflow.progress._PATIENCE", 0)
    caplog.set_level(logging.INFO)
    assert processed(raw, tmp_path, scheduler="distributed", workers=2, memory="1GB") == expected
    assert "dask: distributed, workers: 2, chunks: 14" in caplog.text
    assert "chunks: 14 of 14" in caplog.text
    assert "dask: dashboard http://127.0.0.1:" in caplog.text
    assert caplog.text.count("which needs the package bokeh") == (shutil.which("bokeh") is None)


def test_a_running_scheduler_gives_these_bytes(raw, expected, tmp_path, running):
    assert processed(raw, tmp_path, scheduler="distributed", workers=2, address=running()) == expected


def test_batch_jobs_give_these_bytes(raw, expected, tmp_path, monkeypatch):
    # The class of dask-jobqueue whose jobs are processes of this machine: all but the words of the batch system is real.
    monkeypatch.setattr(dask_jobqueue, "SLURMCluster", local.LocalCluster)
    monkeypatch.chdir(tmp_path)
    options = {"cluster": "slurm", "memory": "1GB", "walltime": "00:10:00", "options": {"interface": "lo"}}
    assert processed(raw, tmp_path, scheduler="distributed", workers=2, **options) == expected


# --- lost workers -----------------------------------------------------------------------------------------------------


def killed_once(chunk, marker):
    """Process a chunk; the first worker that gets the third one is killed while it works."""
    if chunk.start == 2 * CHUNK and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return selection._process_chunk(chunk, JOB, None)


def with_a_killed_worker(raw, folder, **options):
    """Return the bytes of the same events when a worker is killed."""
    marker, output = folder / "killed", folder / "events.parquet"
    chunks = selection.chunks(raw, CHUNK)
    settings = Dask.model_validate({"workers": 2} | options)
    parts = parallel.ordered_map(functools.partial(killed_once, marker=marker), chunks, settings)
    event_files.write_event_parts(output, parts, {"region": list(JOB.events.regions)})
    assert marker.exists()
    return output.read_bytes()


def test_a_killed_process_is_replaced(raw, expected, tmp_path, caplog):
    assert with_a_killed_worker(raw, tmp_path, scheduler="processes") == expected
    assert "a worker process was killed (attempt 1 of 3)" in caplog.text


def test_a_killed_worker_of_distributed_is_replaced(raw, expected, tmp_path):
    assert with_a_killed_worker(raw, tmp_path, scheduler="distributed") == expected


def test_the_others_do_the_work_of_a_worker_that_a_running_scheduler_lost(raw, expected, tmp_path, running):
    assert with_a_killed_worker(raw, tmp_path, scheduler="distributed", address=running()) == expected


def test_a_lost_batch_job_is_submitted_again(raw, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_jobqueue, "SLURMCluster", local.LocalCluster)
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN_LOOKS", 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", PATH)
    options = {"scheduler": "distributed", "cluster": "slurm", "memory": "1GB", "workers": 1}
    options["options"] = {"interface": "lo", "nanny": False}
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}):
        assert with_a_killed_worker(raw, tmp_path, **options) == expected


def suicide(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_always_die_are_an_error_with_a_remedy():
    with pytest.raises(clusters.WorkerError) as caught:
        list(parallel.ordered_map(suicide, [1], Dask(scheduler="processes", workers=2, chunk_size=70)))
    assert str(caught.value) == (
        "dask: workers died 3 times at the same events, most likely for want of memory; "
        "choose a smaller dask.chunk_size (now 70), fewer dask.workers (now 2)"
    )


# --- memory -----------------------------------------------------------------------------------------------------------


def take(megabytes):
    """Hold some memory for a second: dask looks ten times a second."""
    values = np.ones(megabytes * 125_000)
    time.sleep(1 if megabytes else 0)
    return len(values)


def test_a_worker_beyond_its_memory_is_killed_and_in_the_end_an_error():
    settings = Dask(scheduler="distributed", workers=1, memory="600MB")
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        results = parallel.ordered_map(take, [100, 0, 0, 0, 700], settings)
        assert [next(results) for _ in range(4)] == [12_500_000, 0, 0, 0]
        with pytest.raises(clusters.WorkerError, match=r"died 2 times .* or more dask.memory \(now 600MB\)"):
            next(results)


def test_workers_that_cannot_even_start_are_an_error(monkeypatch):
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN_LOOKS", 1)
    with pytest.raises(clusters.WorkerError, match=r"no worker starts.* dask.memory \(now 40MB\)"):
        list(parallel.ordered_map(take, [1], Dask(scheduler="distributed", workers=1, memory="40MB")))


# --- a job that is killed ---------------------------------------------------------------------------------------------


def sleep(seconds):
    Path(f"worker-{os.getpid()}").touch()
    time.sleep(seconds)


def alive(identifier):
    try:
        return "zombie" not in Path(f"/proc/{identifier}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize("scheduler", ["processes", "distributed"])
def test_no_worker_outlives_a_killed_job(tmp_path, scheduler):
    code = f"""if __name__ == "__main__":
    from tests.events import test_clusters
    from nuisflow.events import parallel
    from nuisflow.settings.configuration import Dask
    list(parallel.ordered_map(test_clusters.sleep, [60, 60], Dask(scheduler={scheduler!r}, workers=2)))
    """
    environment = os.environ | {"PYTHONPATH": PATH}
    job = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    job.kill()
    job.wait()
    workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")]
    wait_until(lambda: not any(map(alive, workers)), seconds=30)  # of 60 that they would sleep


# --- workers that cannot be used --------------------------------------------------------------------------------------


def run(address):
    return list(parallel.ordered_map(abs, [1], Dask(scheduler="distributed", address=address)))


def test_an_address_where_nobody_answers_is_named():
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(clusters.WorkerError, match=r"dask.address: no scheduler answers at tcp://127.0.0.1:9"),
    ):
        run("tcp://127.0.0.1:9")


def kill(identifier):
    os.kill(identifier, signal.SIGKILL)
    time.sleep(5)


def test_a_scheduler_that_is_lost_is_an_error(running):
    settings = Dask(scheduler="distributed", address=running(1))
    with pytest.raises(clusters.WorkerError, match=r"dask: the connection to the scheduler at tcp.* is lost"):
        list(parallel.ordered_map(kill, [running.scheduler], settings))


def test_a_scheduler_without_workers_is_an_error(running, monkeypatch):
    monkeypatch.setattr(clusters, "_SECONDS_BETWEEN_LOOKS", 1)
    with pytest.raises(clusters.WorkerError, match="dask.address: the scheduler has no worker; start workers in"):
        run(running(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "cannot import nuisflow; start workers in .* with PYTHONPATH=.*scripts"),
        ({"folder": "/"}, "runs in / and imports nuisflow from .*; start workers in .* with PYTHONPATH=.*scripts"),
    ],
    ids=["no path", "folder"],
)
def test_workers_that_do_not_know_the_project_are_an_error(running, options, message):
    with pytest.raises(clusters.WorkerError, match=message):
        run(running(1, **options))


def test_a_worker_with_older_code_is_an_error(running, tmp_path):
    shutil.copytree(sources.SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    address = running(1, path=str(tmp_path / "scripts"), folder=tmp_path)
    call = f"list(parallel.ordered_map(abs, [-1], Dask(scheduler='distributed', address={address!r})))"
    code = f"from nuisflow.events import parallel; from nuisflow.settings.configuration import Dask; print({call})"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "scripts")}

    def again():
        command = [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert again().stdout == "[1]\n"
    (tmp_path / "scripts" / "nuisflow" / "events" / "selection.py").touch()
    assert "imported nuisflow before it changed; restart it" in again().stderr


def test_what_the_batch_system_refuses_is_told(tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: lnog' >&2; exit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    settings = Dask(scheduler="distributed", cluster="slurm", options={"queue": "lnog", "interface": "lo"})
    with pytest.raises(
        clusters.WorkerError, match=r"submitted \(sbatch: .* invalid partition specified: lnog\); correct dask.options"
    ):
        list(parallel.ordered_map(abs, [1], settings))


def test_an_option_that_dask_jobqueue_does_not_know_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = Dask(scheduler="distributed", cluster="htcondor", options={"quee": "long"})
    with pytest.raises(clusters.WorkerError, match=r"dask.options: dask-jobqueue cannot use them: .*'quee'"):
        list(parallel.ordered_map(abs, [1], settings))
