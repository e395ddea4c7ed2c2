"""One run at a time, what a killed one leaves, and dates in the future."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nuisflow.storage import runs, sources

RESULTS = Path("results") / "toy"
BEGIN = """
import sys, time
from pathlib import Path
from nuisflow.storage import runs
runs.begin(Path("results/toy"), [], batch=bool(int(sys.argv[1])))
print("begun", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a result and Snakemake's lock on it."""
    monkeypatch.chdir(tmp_path)
    write(RESULTS / "raw" / "a.root", 100)
    for name in ("0.input.lock", "0.output.lock"):
        write(Path(".snakemake") / "locks" / name, 0, "results/toy/raw/a.root\nresults/toy/report.html\n")
    return tmp_path


def write(path, seconds_ago, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    now = time.time()
    os.utime(path, (now - seconds_ago, now - seconds_ago))
    return path


def another_run(*, batch=False, seconds=60):
    """Start another run and return it once it holds the results."""
    environment = os.environ | {"PYTHONPATH": str(sources.SCRIPTS)}
    command = [sys.executable, "-c", BEGIN, str(int(batch)), str(seconds)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with process.stdout as lines:
        assert lines.readline() == "begun\n"
    return process


def locks():
    return sorted(path.name for path in Path(".snakemake/locks").glob("*"))


def test_a_living_run_is_named_and_its_lock_stays(folder):
    process = another_run()
    try:
        assert runs.is_busy(RESULTS)
        assert f"another run is at work here (process {process.pid} on " in runs.look_after(RESULTS, [])
        assert len(locks()) == 2
        with pytest.raises(runs.RunError, match="wait for it, or end it"):
            runs.begin(RESULTS, [], batch=False)
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_run_is_taken_off(folder):
    process = another_run()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not runs.is_busy(RESULTS)
    assert f"the last run was killed (process {process.pid}" in runs.look_after(RESULTS, [])
    assert locks() == []
    assert runs.look_after(RESULTS, []) == ""


def test_after_a_kill_what_has_a_damaged_record_counts_as_unfinished(folder):
    another_run(seconds=0).wait()
    for name, text in {"whole": "{}", "empty": "", "@long/cut": '{"rule": '}.items():
        write(folder / ".snakemake" / "metadata" / name, 0, text)
    incomplete = folder / ".snakemake" / "incomplete"
    runs.look_after(RESULTS, [])
    assert not incomplete.exists()
    process = another_run()
    process.kill()
    process.wait()
    runs.look_after(RESULTS, [])
    assert {str(path.relative_to(incomplete)) for path in incomplete.rglob("*") if path.is_file()} == {
        "empty",
        "@long/cut",
    }


def test_the_lock_of_another_analysis_stays(folder):
    write(Path(".snakemake/locks/1.output.lock"), 0, "results/toy2/report.html\n")
    another_run(seconds=0).wait()
    runs.look_after(RESULTS, [])
    assert locks() == ["1.output.lock"]


def test_jobs_in_a_batch_system_may_outlive_their_run(folder):
    process = another_run(batch=True)
    process.kill()
    process.wait()
    assert "When none of its jobs is left in the batch system" in runs.look_after(RESULTS, [])
    assert len(locks()) == 2


def test_a_run_on_another_host_is_not_known_to_be_dead(folder):
    (folder / ".snakemake" / "nuisflow").mkdir()
    text = '{"process": 1, "host": "elsewhere", "since": "2026-01-01 00:00:00", "batch": false}'
    (folder / ".snakemake" / "nuisflow" / "toy.lock").write_text(text)
    assert "left on elsewhere, take off its lock: make run SNAKEMAKE_ARGS=--unlock" in runs.look_after(RESULTS, [])
    assert len(locks()) == 2


def test_a_run_that_ends_leaves_nothing_to_say(folder):
    for path in Path(".snakemake/locks").glob("*"):
        path.unlink()
    another_run(seconds=0).wait()
    assert runs.look_after(RESULTS, []) == ""


def test_results_from_the_future_are_dated_before_now_and_before_all_inputs_in_their_order(folder):
    source = write(Path("data.csv"), 1000)
    first = write(RESULTS / "events.parquet", -5000)
    second, third = write(RESULTS / "scores.parquet", -6000), write(RESULTS / "same.parquet", -6000)
    os.utime(third, ns=(second.stat().st_mtime_ns,) * 2)
    assert "dated in the future, the clock went back" in runs.look_after(RESULTS, [str(source)])
    dates = [path.stat().st_mtime_ns for path in (RESULTS / "raw" / "a.root", first, second, third, source)]
    assert dates[0] < dates[1] < dates[2] == dates[3] < dates[4]
    assert runs.look_after(RESULTS, [str(source)]) == ""


def test_an_input_from_the_future_stops_before_any_work(folder):
    write(Path("data.csv"), -1000)
    with pytest.raises(
        runs.RunError, match="data.csv is dated in the future; set the clock of this machine, or: touch"
    ):
        runs.begin(RESULTS, ["data.csv"], batch=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_may_not_be_written_stop_before_any_work(folder):
    RESULTS.chmod(0o500)
    with pytest.raises(runs.RunError, match="no permission to write in results/toy"):
        runs.begin(RESULTS, [], batch=False)
