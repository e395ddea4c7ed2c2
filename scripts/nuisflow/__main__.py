"""The command ``nuisflow``, also ``python -m nuisflow``: fits, limits, scans, toys and more of any pyhf workspace."""

import logging
import sys
from typing import TYPE_CHECKING

import nuisflow

if TYPE_CHECKING:
    from nuisflow.likelihood.commands.line import Draw


def main(program: str | None = None) -> int:
    """Run a command and return its exit status; *program*: how it was called (default: as sys.argv says)."""
    if sys.argv[1:] == ["--version"]:
        print(f"nuisflow {nuisflow.__version__}")
        return 0
    from nuisflow.likelihood.commands import line

    called = "python -m nuisflow" if sys.argv[0].endswith("__main__.py") else "nuisflow"
    return line.main(program=program or called, drawing=drawing)


def drawing() -> "Draw":
    """Return what draws the figures of the report; raise ImportError where it is not installed."""
    logging.getLogger("numexpr").setLevel(logging.WARNING)  # it tells how many threads it has
    from nuisflow.report.plots import workspaces

    return workspaces.draw


if __name__ == "__main__":
    sys.exit(main())
