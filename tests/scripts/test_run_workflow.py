"""`make run` around Snakemake: the configuration first, the report last, and one line after Ctrl-C."""

import os
import signal
import subprocess
import sys

import pytest
from analyses import ROOT

from run_workflow import run_workflow

CALM = "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    raise SystemExit(1)"


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """Return a configuration in a folder that has the report of an earlier run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "mine").mkdir(parents=True)
    (tmp_path / "results" / "mine" / "report.html").write_text("")
    path = tmp_path / "mine.yaml"
    path.write_text("analysis: mine\n")
    return path


def python(code):
    return [sys.executable, "-c", code]


def test_a_file_that_is_not_yaml_is_refused_with_its_line_before_anything_runs(tmp_path, capsys):
    path, trace = tmp_path / "mine.yaml", tmp_path / "ran"
    path.write_text("analysis: mine\nplots: title: x\n")
    assert run_workflow(path, python(f"open({str(trace)!r}, 'w')")) == 1
    assert "mine.yaml: line 2, column 13: not valid YAML" in capsys.readouterr().err
    assert not trace.exists()


def test_a_misspelt_file_is_refused_with_the_one_that_may_be_meant(configuration, capsys):
    assert run_workflow(configuration.with_name("mime.yaml"), python("")) == 1
    assert f"no such file; did you mean {configuration}?" in capsys.readouterr().err


def test_the_report_is_named_at_the_end_of_a_run_that_made_it(configuration, capfd):
    assert run_workflow(configuration, python("import sys; print(sys.argv[1:])")) == 0
    assert capfd.readouterr().out.splitlines() == [
        f"['--configfile', '{configuration}', '--quiet', 'host', 'reason', 'rules']",
        "==> The report is results/mine/report.html",
    ]


def test_the_ranking_of_the_trainings_stands_above_it(configuration, capfd):
    folder = configuration.parent / "results" / "mine" / "comparison"
    folder.mkdir()
    (folder / "trainings.csv").write_text(
        "rank,label,data,sigma,coverage,coverage_error,relative,significance\n"
        "1,Best,asimov,0.25,0.683,0.005,0,0\n2,Other,asimov,0.3,,,0.2,1.5\n"
    )
    assert run_workflow(configuration, python("")) == 0
    told = capfd.readouterr().out.splitlines()
    assert told[-3:] == ["1     Best      0.250  68.3 %", "2     Other     0.300  –         +20.0 %      undecided",
                         "==> The report is results/mine/report.html"]  # fmt: skip


def test_who_says_what_to_hide_or_only_looks_gets_all_that_snakemake_says(configuration, capfd):
    for options in (["--quiet", "all"], ["--verbose"], ["--dry-run"]):
        run_workflow(configuration, [*python("import sys; print(sys.argv[1:])"), *options])
        assert capfd.readouterr().out.splitlines()[0] == str([*options, "--configfile", str(configuration)])


def test_a_publication_is_named_where_that_was_asked_for(configuration, capfd):
    made = configuration.parent / "results" / "mine" / "hepdata" / "submission.yaml"
    made.parent.mkdir()
    made.write_text("")
    assert run_workflow(configuration, [*python(""), "write_publication"]) == 0
    assert capfd.readouterr().out == "==> The publication is results/mine/hepdata/submission.yaml\n"


@pytest.mark.parametrize("options", [["--dry-run"], ["-n"], ["--unlock"], ["--until", "train_network"]])
def test_no_report_is_named_where_none_was_made(configuration, capfd, options):
    assert run_workflow(configuration, [*python(""), *options]) == 0
    assert run_workflow(configuration, python("raise SystemExit(3)")) == 3
    (configuration.parent / "results" / "mine" / "report.html").unlink()
    assert run_workflow(configuration, python("")) == 0
    assert "report" not in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_ends_with_one_line_and_status_130(configuration, number):
    command = [sys.executable, str(ROOT / "scripts" / "run_workflow.py"), str(configuration), *python(CALM)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        assert process.stdout.readline() == "ready\n"
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "\nStopped; the same command goes on from here.\n")


def planned(*arguments, **environment):
    """Return the configurations over which `make dry-run` would go, without running or installing anything."""
    command = ["make", "--no-print-directory", "--dry-run", "--old-file", ".venv/.ready-cpu", "dry-run", *arguments]
    of_make = ("CONFIG", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")  # set where make itself runs the tests
    clean = {name: value for name, value in os.environ.items() if name not in of_make}
    done = subprocess.run(command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].removeprefix("for config in ").removesuffix("; do \\").split()


def test_a_dry_run_is_of_the_configuration_that_is_named_and_without_one_of_all():
    assert planned("CONFIG=config/inferno.yaml") == ["config/inferno.yaml"]
    assert planned(CONFIG="config/pivot.yaml") == ["config/pivot.yaml"]
    assert sorted(planned()) == sorted(f"config/{path.name}" for path in (ROOT / "config").glob("*.yaml"))
