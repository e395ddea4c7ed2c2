import logging
import os
import signal
import subprocess
import sys
import textwrap

from nuisflow.progress import progress
from nuisflow.storage import logs, sources


def run(body, tmp_path):
    code = f"""
    import types
    from nuisflow.storage import logs
    snakemake = types.SimpleNamespace(
        log=[{str(tmp_path / "job.log")!r}], rule="fit_workspace", input=["in.root"], output=[], params={{"z": 1}}, wildcards={{}}, threads=1
    )
    with logs.job(snakemake):
        {body}
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, cwd=sources.SCRIPTS, capture_output=True, text=True, check=False)


def test_an_error_of_the_input_is_one_line_for_the_user_and_a_traceback_in_the_log(tmp_path):
    done = run("raise ValueError('events.root: no column pt')", tmp_path)
    assert done.returncode == 1
    assert "ERROR in fit_workspace: events.root: no column pt" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / "job.log").read_text()


def test_prints_and_the_time_go_to_the_log(tmp_path):
    done = run("print('hello')", tmp_path)
    assert done.returncode == 0
    assert done.stdout == ""
    log = (tmp_path / "job.log").read_text()
    assert "hello" in log
    assert "fit_workspace: done in" in log


def test_a_job_ends_after_what_libraries_have_asked_for_and_after_its_threads(tmp_path):
    asked, written = tmp_path / "asked", tmp_path / "written"
    later = f"import atexit, pathlib; atexit.register(pathlib.Path({str(asked)!r}).write_text, 'x')"
    slow = (
        f"import threading, time; threading.Thread(target=lambda: time.sleep(1) or open({str(written)!r}, 'w')).start()"
    )
    for body in (later, f"{later}; {slow}"):
        asked.unlink(missing_ok=True)
        done = run(f"{body}; print('hello')", tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert asked.read_text() == "x"
        assert "hello" in (tmp_path / "job.log").read_text()
    assert written.exists()


def test_a_job_that_ends_well_is_not_taken_apart_and_one_that_fails_is(tmp_path):
    told = "type('Told', (), {'__del__': lambda self, write=__import__('os').write: write(2, b'freed')})()"
    assert "freed" not in run(f"kept = {told}", tmp_path).stderr
    assert "freed" in run(f"kept = {told}; raise ValueError('no')", tmp_path).stderr


def test_progress_reports_and_passes_everything_on(caplog, monkeypatch):
    monkeypatch.setattr("nuisflow.progress._SECONDS_BETWEEN_REPORTS", -1.0)
    monkeypatch.setattr("nuisflow.progress._PATIENCE", -1.0)
    with caplog.at_level(logging.INFO):
        assert list(progress("abc", "letters", 3)) == ["a", "b", "c"]
    assert "letters: 3 of 3" in caplog.text


def test_a_job_whose_snakemake_died_while_it_started_does_nothing(tmp_path, monkeypatch):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv(logs.PARENT, str(gone.pid))
    done = run("print('made')", tmp_path)
    assert done.returncode == 1
    assert f"Snakemake (process {gone.pid}) is gone" in done.stderr
    assert not (tmp_path / "job.log").exists()


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "job.log").mkdir()
    done = run("pass", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("\nERROR: ")
    assert "Traceback" not in done.stderr


def test_a_job_that_is_stopped_during_its_imports_says_nothing_on_the_terminal(monkeypatch):
    monkeypatch.setenv(logs.PARENT, str(os.getppid()))
    code = "import os, signal, nuisflow; os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.SCRIPTS, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_job_that_is_stopped_later_leaves_its_traceback_in_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv(logs.PARENT, str(os.getpid()))
    done = run("import os, signal; os.kill(os.getpid(), signal.SIGINT)", tmp_path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "KeyboardInterrupt" in (tmp_path / "job.log").read_text()
