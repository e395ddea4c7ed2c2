"""What a run says of itself: which stage is done, how far it is, and at its end which jobs failed, why, and their logs.

All of it follows from the events of Snakemake's logger, which reach every handler whatever ``--quiet`` hides.
"""

import atexit
import logging
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

BETWEEN = 30.0
"""Seconds between two lines about the remaining time."""
_EARLY = 20.0
_MOST_FILES = 20
_ERROR = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) (?:\w+: )?(.*)")
_NO_LOG = "it left no log"
_NO_REASON = "its log ends without an error: it was killed, perhaps for its memory (mem_mb) or its time (runtime)"
_SINGLE = ("progress", "job_finished")
_CHATTER = re.compile("Select jobs to execute|Execute \\d+ jobs")
STOPPED = "Terminating processes on user request"
"""How Snakemake's message begins when a user has pressed Ctrl-C."""


class Failure(NamedTuple):
    """A job that failed: *place* are its wildcards in words."""

    rule: str
    place: str
    reason: str
    log: str


def reason(log: Path | str) -> str:
    """Return the last error in the log of a job; if there is none, what that means."""
    try:
        lines = Path(log).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return _NO_LOG
    for place in reversed(range(len(lines))):
        if found := _ERROR.match(lines[place]):
            rest = lines[place + 1 :]
            ends = [n for n, line in enumerate(rest) if line.startswith("Traceback")]
            return "\n".join([found[1], *rest[: ends[0] if ends else 0]]).strip()
    filled = [line for line in lines if line.strip()]
    return filled[-1].strip() if any(line.startswith("Traceback") for line in filled) else _NO_REASON


def words(wildcards: Mapping[str, Any]) -> str:
    """Return the wildcards of a job in words, such as 'adversarial, seed 2'; a number is named after its wildcard."""
    return ", ".join(f"{name} {value}" if str(value).isdigit() else str(value) for name, value in wildcards.items())


def summary(failures: Sequence[Failure], left: int = 0) -> str:
    """Return one paragraph per rule and reason, with the places and the first log; '' without failures.

    *left*: jobs that were not run, since they need what failed.
    """
    if not failures:
        return ""
    kinds: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        kinds.setdefault((failure.rule, failure.reason), []).append(failure)
    jobs = "1 job failed" if len(failures) == 1 else f"{len(failures)} jobs failed"
    lines = [f"{jobs}{f', {left} more did not run' if left else ''}:"]
    for (rule, why), alike in kinds.items():
        places = "; ".join(failure.place for failure in alike if failure.place)
        more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        lines += [f"  {rule}{places and f' ({places})'}", *(f"    {line}" for line in why.splitlines())]
        lines += [f"    log: {alike[0].log}{more}"]
    return "\n".join([*lines, "Remove the cause and give the same command again: what is finished is kept."])


def remaining(
    counts: Mapping[str, int],
    finished: Mapping[str, Sequence[float]],
    past: Mapping[str, float],
    elapsed: float,
) -> float | None:
    """Return about how many seconds a run will still take; None if that cannot be said yet.

    *counts*: jobs per rule; *finished*: seconds of each finished job; *past*: mean seconds per rule in earlier runs. A
    rule of which nothing is known counts as the mean of the others. Jobs run side by side as they did so far.
    """
    known = [seconds for each in finished.values() for seconds in each]
    if not known or elapsed < _EARLY:
        return None
    means = dict(past) | {rule: sum(each) / len(each) for rule, each in finished.items() if each}
    typical = sum(known) / len(known)
    work = sum(
        max(number - len(finished.get(rule, ())), 0) * means.get(rule, typical) for rule, number in counts.items()
    )
    return work / max(sum(known) / elapsed, 0.5)


def duration(seconds: float) -> str:
    """Return a rough time in words."""
    if seconds < 50:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {max(minutes, 1)} min" if minutes < 90 else f"about {seconds / 3600:.1f} h"


def clock_time(seconds: float) -> str:
    """Return a time as on a clock: minutes and seconds."""
    return f"{int(seconds) // 60:3d}:{int(seconds) % 60:02d}"


def past_seconds(benchmarks: Path) -> dict[str, float]:
    """Return the mean time of every rule in earlier runs, from ``benchmarks/{rule}.tsv`` and ``{rule}/….tsv``."""
    means = {}
    for entry in sorted(benchmarks.glob("*")):
        paths = [entry] if entry.is_file() else sorted(entry.rglob("*.tsv"))[:_MOST_FILES]
        found = [seconds for path in paths if (seconds := _benchmark(path)) is not None]
        if found:
            means[entry.stem] = sum(found) / len(found)
    return means


def _benchmark(path: Path) -> float | None:
    """Return the first column, seconds, of the first row."""
    try:
        return float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0])
    except (OSError, ValueError, IndexError):
        return None


class Watch(logging.Handler):
    """Listens to the events of Snakemake's logger (one object per run); *stages*: what the jobs of a rule belong to."""

    def __init__(
        self,
        benchmarks: Path,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
        stream: TextIO | None = None,
        logger: logging.Logger | None = None,
        stages: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.stages = stages or {}
        self.benchmarks, self.quiet, self.clock, self.logger = benchmarks, quiet, clock, logger
        self.stream = stream or sys.stderr
        self.began = self.said = clock()
        self.past: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.jobs: dict[int, tuple[str, str]] = {}
        self.started: dict[int, float] = {}
        self.finished: defaultdict[str, list[float]] = defaultdict(list)
        self.failed: dict[int, Failure] = {}
        self.stopped = self.brief = False
        self.process = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of one event; never disturb the run."""
        try:
            answer = getattr(self, f"_on_{getattr(record, 'event', None)}", None)
            if answer:
                answer(record)
            elif str(record.msg).startswith(STOPPED):
                self._on_stop()
        except Exception:  # what a later Snakemake may send
            self.handleError(record)

    def _on_stop(self) -> None:
        """Keep from the terminal, not from Snakemake's log file, that every job ended with an error."""
        self.stopped = True
        self._filter(lambda record: str(record.msg).startswith(STOPPED))

    def shorten(self) -> None:
        """Keep from the terminal, not from Snakemake's log file, what it says of the progress of single jobs.

        Of a job that fails, of which Snakemake says nothing then, there is one line at once.
        """
        self.brief = True
        self._filter(
            lambda record: not (str(getattr(record, "event", "")) in _SINGLE or _CHATTER.match(str(record.msg)))
        )

    def _filter(self, shown: Callable[[logging.LogRecord], bool]) -> None:
        for handler in self.logger.handlers if self.logger else ():
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.addFilter(shown)

    def _on_run_info(self, record: Any) -> None:
        self.began = self.said = self.clock()
        self.past = past_seconds(self.benchmarks)
        self.counts = Counter({rule: number for rule, number in record.stats.items() if rule != "total"})

    def _on_job_info(self, record: Any) -> None:
        self.jobs[record.jobid] = (record.rule_name, words(record.wildcards or {}))

    def _on_job_started(self, record: Any) -> None:
        self.started |= dict.fromkeys(getattr(record, "job_ids", None) or record.jobs, self.clock())

    def _on_job_finished(self, record: Any) -> None:
        self.failed.pop(record.job_id, None)  # it was tried again
        rule = self.jobs.get(record.job_id, ("", ""))[0]
        self.finished[rule].append(self.clock() - self.started.get(record.job_id, self.clock()))
        if rule in self.stages and not self.quiet:
            self._on_stage(self.stages[rule])

    def _on_stage(self, stage: str) -> None:
        """Say that all jobs of a *stage* are done, if they are, and what is left of all."""
        done, number = self._jobs(stage)
        if done == number:
            all_done = sum(map(len, self.finished.values()))
            left = remaining(self.counts, self.finished, self.past, self.clock() - self.began)
            words = f", {duration(left)} left" if left is not None and all_done < self.counts.total() else ""
            jobs = f"{number} job{'s' if number > 1 else ''}"
            passed = clock_time(self.clock() - self.began)
            self.said = self.clock()
            self._say(f"{passed}  {stage:<{self.width}}  {jobs:<9} done; {all_done} of {self.counts.total()}{words}")

    def _jobs(self, stage: str) -> tuple[int, int]:
        """Return how many jobs of a *stage* are done, and how many there are."""
        rules = [rule for rule in self.counts if self.stages.get(rule) == stage]
        return sum(len(self.finished[rule]) for rule in rules), sum(self.counts[rule] for rule in rules)

    @property
    def width(self) -> int:
        """How many letters the longest name of a stage has."""
        return max(map(len, self.stages.values()))

    def _on_job_error(self, record: Any) -> None:
        self._failed(record.jobid, record.rule_name, record.log)

    def _on_group_error(self, record: Any) -> None:
        for info in record.job_error_info:
            self._failed(info["jobid"], info["rule_name"], info["log"])

    def _failed(self, job: int, rule: str, logs: Sequence[str] | None) -> None:
        log = (logs or [""])[0]
        failure = Failure(rule, self.jobs.get(job, ("", ""))[1], reason(log), log)
        self.failed[job] = failure
        if self.brief and not self.stopped:
            place, first = failure.place and f" ({failure.place})", failure.reason.partition("\n")[0]
            self._say(f"failed: {rule}{place}: {first}")

    def _on_progress(self, record: Any) -> None:
        if not self.quiet and record.done < record.total and self.clock() - self.said >= BETWEEN:
            left = remaining(self.counts, self.finished, self.past, self.clock() - self.began)
            if left is not None:
                self.said = self.clock()
                begun = dict.fromkeys(
                    self.stages[rule] for rule, each in self.finished.items() if each and rule in self.stages
                )
                parts = [
                    f"{stage} {done} of {number}"
                    for stage in begun
                    for done, number in [self._jobs(stage)]
                    if done < number
                ]
                under_way = f" ({', '.join(parts)})" if parts else ""
                self._say(f"{record.done} of {record.total} jobs done{under_way}, {duration(left)} left")

    def end(self) -> None:
        """Say which jobs failed, and why; nothing in a process that was forked, nor after Ctrl-C."""
        done = sum(map(len, self.finished.values()))
        left = max(self.counts.total() - done - len(self.failed), 0)
        if self.failed and not self.stopped and os.getpid() == self.process:
            self._say("\n" + summary(list(self.failed.values()), left))

    def _say(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()


def show(text: str, hidden: Collection[object] | None) -> None:
    """Write an error to stderr if ``--quiet all`` is among what is *hidden*: Snakemake itself would not."""
    if "all" in map(str, hidden or ()):
        sys.stderr.write(f"{text}\n")


def watch(
    logger: logging.Logger, benchmarks: Path, hidden: Collection[object] | None, stages: Mapping[str, str] | None = None
) -> None:
    """Listen to *logger*, and say at the end of this process what failed; a second call replaces the first.

    *hidden*: what ``--quiet`` hides. The remaining time is hidden as Snakemake's own progress is; where single jobs are
    (``rules``), lines about *stages*, what the jobs of every rule belong to, stand in the place of their progress.
    """
    for handler in [handler for handler in logger.handlers if isinstance(handler, Watch)]:
        logger.removeHandler(handler)
        atexit.unregister(handler.end)
    kinds = set(map(str, hidden or ()))
    listening = Watch(benchmarks, quiet=not {"progress", "all"}.isdisjoint(kinds), logger=logger, stages=stages)
    if "rules" in kinds:
        listening.shorten()
    logger.addHandler(listening)
    atexit.register(listening.end)
