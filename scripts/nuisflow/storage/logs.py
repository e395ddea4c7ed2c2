"""Logging of a job: to its log file, with progress, and one clear line for an error of the user's."""

import atexit
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from nuisflow.storage import disks, records

PARENT = "NUISFLOW_PARENT"
"""The environment variable with the process that jobs must not outlive."""
JOB = "NUISFLOW_JOB"
"""The environment variable with the rule of the job that this process runs (`likelihood.kernels.compilation` asks)."""


def start(path: Path | str | None) -> None:
    """Send logging, stdout and stderr of this process to the file *path* (None: to the terminal)."""
    if path:
        sys.stdout = sys.stderr = _opened(Path(path))
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    logging.captureWarnings(capture=True)


def _opened(path: Path) -> TextIO:
    """Open a log file; end with one line if the disk does not take it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        sys.stderr.write(f"\nERROR: {disks.explained(error, path) or error}\n")
        raise SystemExit(1) from error


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[dict[str, Any]]:
    """Run a script's hand-over: log to the job's file, end with the parent, and report an error in one line.

    Give what the script may note for the record.

    An error of the input or the configuration (ValueError, OSError) is logged as one line, and its traceback below it.
    A job that ends well leaves a record beside its log (`records`), and its process with it (`_leave`).
    """
    startup, started, began = records.age(), time.time(), time.monotonic()
    os.environ[JOB] = snakemake.rule
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on its traceback is in the log (`nuisflow`)
    start(snakemake.log[0])
    records.place(snakemake.log[0]).unlink(missing_ok=True)
    notes: dict[str, Any] = {}
    try:
        yield notes
        records.write(snakemake, started, startup, notes)
    except (ValueError, OSError) as error:
        logging.exception("%s: %s", snakemake.rule, error)
        sys.__stderr__ and sys.__stderr__.write(f"\nERROR in {snakemake.rule}: {error}\n")
        raise SystemExit(1) from None
    logging.info("%s: done in %.1f s", snakemake.rule, time.monotonic() - began)
    if getattr(sys.modules["__main__"], "snakemake", None) is snakemake:
        _leave()


def _leave() -> None:
    """End this process, if no thread works on, without taking apart what its libraries have made.

    All files are whole by now; to free everything one by one takes 0.1 to 0.6 s, in each of hundreds of short jobs.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.current_thread()):
        return
    atexit._run_exitfuncs()  # what libraries have asked for: Python's own end calls the same function
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(0)


def die_with_parent() -> None:
    """Ask the kernel (Linux) to kill this process when its parent dies, so that no orphan goes on writing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    try:
        os.kill(int(os.environ.get(PARENT, os.getpid())), 0)
    except ProcessLookupError:  # it died while this process started
        sys.stderr.write(f"\nERROR: Snakemake (process {os.environ[PARENT]}) is gone, and with it this job\n")
        raise SystemExit(1) from None
    except PermissionError:
        pass
