"""What a run says of itself: jobs that failed and why, the remaining time, and nothing more after Ctrl-C."""

import io
import logging

import pytest
from snakemake.settings.enums import Quietness

from nuisflow.storage import failures
from nuisflow.storage.failures import Failure

LINE = "2026-11-26 22:32:40,789"


def log(folder, text, name="job.log"):
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{LINE} INFO fit: 1 of 2\n{LINE} ERROR fit_workspace: a.csv: no column 'pt'\nTraceback (most\n  x\nV: 1\n", "a.csv: no column 'pt'"),
        (f"{LINE} ERROR fit_workspace: two lines:\nthe second\nTraceback (most recent)\n", "two lines:\nthe second"),
        (f"{LINE} ERROR fit: the first\n{LINE} ERROR fit: the last\n", "the last"),
        (f"{LINE} INFO fit\nTraceback (most recent call last):\n  File x\nKeyError: 'pt'\n", "KeyError: 'pt'"),
        (f"{LINE} INFO fit: 3 of 40\n", failures._NO_REASON),
        ("", failures._NO_REASON),
    ],
    ids=["one_line", "two_lines", "the_last_of_two", "a_traceback_alone", "killed", "killed_at_once"],
)  # fmt: skip
def test_the_reason_of_a_failure_is_the_last_error_in_its_log(tmp_path, text, expected):
    assert failures.reason(log(tmp_path, text)) == expected


def test_a_job_without_a_log_says_so(tmp_path):
    assert failures.reason(tmp_path / "none.log") == "it left no log"


def test_the_same_failure_of_several_jobs_is_one_paragraph_with_all_places():
    alike = [Failure("train_network", f"nominal, seed {seed}", "no events", f"logs/{seed}.log") for seed in (1, 2)]
    found = failures.summary([*alike, Failure("fit_workspace", "trees, seed 1", "flat\nin mu", "logs/fit.log")], 7)
    assert found.splitlines() == [
        "3 jobs failed, 7 more did not run:",
        "  train_network (nominal, seed 1; nominal, seed 2)",
        "    no events",
        "    log: logs/1.log (and 1 more)",
        "  fit_workspace (trees, seed 1)",
        "    flat",
        "    in mu",
        "    log: logs/fit.log",
        "Remove the cause and give the same command again: what is finished is kept.",
    ]
    assert failures.summary([]) == ""


@pytest.mark.parametrize(
    ("past", "seconds"), [({"fit": 100.0}, 3 * 10 / 2 + 2 * 100 / 2), ({}, 3 * 10 / 2 + 2 * 10 / 2)]
)
def test_the_remaining_time_is_that_of_the_remaining_jobs_at_the_pace_so_far(past, seconds):
    """Of four jobs of 10 s that ran in 20 s two ran side by side."""
    found = failures.remaining({"train": 7, "fit": 2}, {"train": [10.0] * 4}, past, elapsed=20.0)
    assert found == pytest.approx(seconds)


def test_nothing_is_said_of_the_remaining_time_before_anything_is_known():
    assert failures.remaining({"train": 7}, {}, {"train": 3.0}, elapsed=100.0) is None
    assert failures.remaining({"train": 7}, {"train": [1.0]}, {}, elapsed=5.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "less than a minute"),
        (55, "about 1 min"),
        (290, "about 5 min"),
        (5300, "about 88 min"),
        (9000, "about 2.5 h"),
    ],
)
def test_times_are_rough(seconds, words):
    assert failures.duration(seconds) == words


def test_earlier_runs_tell_how_long_a_rule_takes(tmp_path):
    head = "s\th:m:s\tmax_rss\n"
    (tmp_path / "fit" / "nominal").mkdir(parents=True)
    log(tmp_path / "fit" / "nominal", f"{head}2.0\t0:00:02\t1\n", "seed1.tsv")
    log(tmp_path / "fit" / "nominal", f"{head}4.0\t0:00:04\t1\n", "seed2.tsv")
    log(tmp_path, f"{head}7.5\t0:00:07\t1\n", "write_report.tsv")
    log(tmp_path, "", "broken.tsv")
    assert failures.past_seconds(tmp_path) == {"fit": 3.0, "write_report": 7.5}
    assert failures.past_seconds(tmp_path / "none") == {}


class Run:
    """A logger with a terminal and a watch, and Snakemake's events."""

    def __init__(self, folder, quiet=False, stages=None):
        self.logger = logging.Logger("snakemake")
        self.terminal, self.said, self.time = io.StringIO(), io.StringIO(), 0.0
        self.logger.addHandler(logging.StreamHandler(self.terminal))
        self.watch = failures.Watch(
            folder, quiet=quiet, clock=lambda: self.time, stream=self.said, logger=self.logger, stages=stages
        )
        self.logger.addHandler(self.watch)

    def tell(self, event, **what):
        self.logger.info(None, extra={"event": event, **what})

    def job(self, number, rule="train", seconds=10.0, log=None):
        self.tell("job_info", jobid=number, rule_name=rule, wildcards={"training": "nominal", "seed": number})
        self.tell("job_started", jobs=[number])
        self.time += seconds
        if log:
            self.tell("job_error", jobid=number, rule_name=rule, log=[log])
        else:
            self.tell("job_finished", job_id=number)
            self.tell("progress", done=number, total=10)


def test_a_run_says_from_time_to_time_what_is_left(tmp_path):
    run = Run(tmp_path)
    run.tell("run_info", stats={"train": 10, "total": 10})
    for number in range(1, 11):
        run.job(number, seconds=20.0)
    assert run.said.getvalue().splitlines() == [
        "2 of 10 jobs done, about 3 min left",
        "4 of 10 jobs done, about 2 min left",
        "6 of 10 jobs done, about 1 min left",
        "8 of 10 jobs done, less than a minute left",
    ]
    run.watch.end()
    assert "failed" not in run.said.getvalue()


STAGES = {"train": "training", "score": "training", "fit": "templates and fits"}


def test_a_stage_that_is_done_has_one_line_with_counts_and_the_time_left(tmp_path):
    run = Run(tmp_path, stages=STAGES)
    run.tell("run_info", stats={"train": 2, "score": 2, "fit": 3, "total": 7})
    for number, rule in enumerate(["train", "score", "train", "score", "fit", "fit", "fit"], 1):
        run.job(number, rule)
    assert run.said.getvalue().splitlines() == [
        "3 of 10 jobs done (training 3 of 4), less than a minute left",
        "  0:40  training            4 jobs    done; 4 of 7, less than a minute left",
        "  1:10  templates and fits  3 jobs    done; 7 of 7",
    ]


def test_a_stage_with_a_failed_job_is_not_done(tmp_path):
    run = Run(tmp_path, stages=STAGES)
    run.tell("run_info", stats={"train": 2, "total": 2})
    run.job(1)
    run.job(2, log=log(tmp_path, f"{LINE} ERROR train: no events\n"))
    assert "training" not in run.said.getvalue()


def test_where_jobs_are_hidden_so_is_their_progress_from_the_terminal(tmp_path):
    run = Run(tmp_path)
    run.watch.shorten()
    run.job(1)
    for text in ("Select jobs to execute...", "Execute 3 jobs...", "Job stats:", "an error"):
        run.logger.info(text)
    shown = run.terminal.getvalue()
    assert "Job stats:\nan error" in shown
    assert not {"Select", "Execute"} & set(shown.split())


def test_where_jobs_are_hidden_one_that_fails_has_a_line_at_once_and_the_rest_at_the_end(tmp_path):
    run = Run(tmp_path)
    run.watch.shorten()
    run.job(3, log=log(tmp_path, f"{LINE} ERROR train: no events\nin region a\nTraceback (most recent call last):\n"))
    assert run.said.getvalue() == "failed: train (nominal, seed 3): no events\n"
    run.watch.end()
    assert "    in region a\n    log: " in run.said.getvalue()


def test_a_quiet_run_says_nothing_but_what_failed_and_why(tmp_path):
    run = Run(tmp_path, quiet=True)
    run.tell("run_info", stats={"train": 10, "total": 10})
    for number in range(1, 5):
        run.job(number, seconds=40.0)
    run.job(5, log=log(tmp_path, f"{LINE} ERROR train: no events\n"))
    assert run.said.getvalue() == ""
    run.watch.end()
    assert run.said.getvalue().splitlines()[1:4] == [
        "1 job failed, 5 more did not run:",
        "  train (nominal, seed 5)",
        "    no events",
    ]


def test_a_job_that_succeeds_when_tried_again_has_not_failed(tmp_path):
    run = Run(tmp_path)
    run.job(1, log=log(tmp_path, ""))
    run.job(1)
    run.watch.end()
    assert "failed" not in run.said.getvalue()


def test_after_ctrl_c_neither_the_terminal_nor_the_end_speaks_of_failures(tmp_path):
    run = Run(tmp_path)
    run.logger.info(f"{failures.STOPPED}, this might take some time.")
    run.job(1, log=log(tmp_path, f"{LINE} ERROR train: killed\n"))
    run.logger.error("At least one job did not complete successfully.")
    run.watch.end()
    assert run.terminal.getvalue() == f"{failures.STOPPED}, this might take some time.\n"
    assert run.said.getvalue() == ""


def test_an_event_that_is_not_understood_does_not_disturb_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    run = Run(tmp_path)
    run.tell("job_error", unknown=1)
    run.job(1)
    run.watch.end()
    assert "failed" not in run.said.getvalue()


def test_a_second_watch_replaces_the_first(tmp_path):
    logger = logging.Logger("snakemake")
    for hidden in (None, {Quietness.RULES}, {Quietness.ALL}):
        failures.watch(logger, tmp_path, hidden)
        (listening,) = logger.handlers
        assert listening.quiet == (hidden == {Quietness.ALL})


@pytest.mark.parametrize(("hidden", "said"), [(None, ""), ({Quietness.RULES}, ""), ({Quietness.ALL}, "no such file\n")])
def test_an_error_is_written_where_snakemake_would_hide_it(capsys, hidden, said):
    failures.show("no such file", hidden)
    assert capsys.readouterr().err == said
