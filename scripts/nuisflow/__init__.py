"""Nuisflow: compare ways of training a classifier by the total uncertainty they give."""

import contextlib
import os
import signal

__version__ = "0.1.0"

if os.environ.get("NUISFLOW_PARENT", str(os.getpid())) != str(os.getpid()):
    # A job (`storage.logs`) that is stopped by Ctrl-C during its imports ends without a traceback on the terminal.
    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_DFL)
