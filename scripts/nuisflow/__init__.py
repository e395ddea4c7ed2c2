"""Nuisflow: compare ways of training a classifier by the total uncertainty they give."""

import contextlib
import os
import signal

__version__ = "0.1.0"

if os.environ.get("NUISFLOW_PARENT", str(os.getpid())) != str(os.getpid()):
    # In a job workers are what runs side by side: products of matrices by several threads, of which Snakemake grants as
    # many as workers, would take twice the time and depend on their number. Read when numpy is imported.
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")
    # A job (`storage.logs`) that is stopped by Ctrl-C during its imports ends without a traceback on the terminal.
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
