"""Run Snakemake on one configuration, as `make run` does: check the file first, stay calm when stopped.

Snakemake reads the file before the workflow can say where it is not YAML, and answers Ctrl-C with tracebacks.
"""

import difflib
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nuisflow.settings.checks import reading

STOPPED = 130
"""Exit status after Ctrl-C, by the convention of shells."""
_BRIEF = ["--quiet", "host", "reason", "rules"]
"""What Snakemake need not say of every job: the workflow says when a stage is done; all of it is in Snakemake's log."""
_MADE = {"write_inputs": "inputs.html", "write_publication": "hepdata/submission.yaml"}
"""What targets make that is not the report."""
_NO_REPORT = {"-n", "--dry-run", "--dryrun", "--unlock", "--lint", "--report", "--touch", "-t", "--until", "-U"}


def run_workflow(configuration: Path, command: Sequence[str]) -> int:
    """Run *command* (Snakemake with its options) on *configuration*; return its exit status, or 130 after Ctrl-C."""
    try:
        content = reading.read(_present(configuration))
    except reading.ConfigurationError as error:
        print(f"The configuration cannot be used:\n{error}", file=sys.stderr)
        return 1
    brief = [] if _NO_REPORT & set(command) or {"--quiet", "-q", "--verbose"} & set(command) else _BRIEF
    status, stopped = _called([*command, "--configfile", str(configuration), *brief])
    if stopped:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return STOPPED
    name = next((name for rule, name in _MADE.items() if rule in command), "report.html")
    report = Path("results") / str(content.get("analysis")) / name if isinstance(content, dict) else None
    if status == 0 and report and report.is_file() and not _NO_REPORT & set(command):
        if name == "report.html":
            _tell(report.parent / "comparison" / "trainings.csv")
        print(f"==> The {'publication' if 'hepdata' in name else 'report'} is {report}")
    return status


def _tell(table: Path) -> None:
    """Print the ranking of the trainings, if there is one."""
    if table.is_file():
        from nuisflow.report import terminal  # pandas, which nothing before the end of a run needs
        from nuisflow.storage import files

        print("==> Expected uncertainty, all systematic uncertainties in the fit:")
        print("\n".join(terminal.lines(files.read_table(table))))


def _present(path: Path) -> Path:
    """Return *path*, or say which file may be meant."""
    if path.is_file():
        return path
    known = [str(file) for file in sorted(path.parent.glob("*.yaml"))]
    close = difflib.get_close_matches(str(path), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
    raise reading.ConfigurationError(f"{path}: no such file; {hint}")


def _called(command: Sequence[str]) -> tuple[int, bool]:
    """Run *command*; return its status and whether the user has stopped it meanwhile.

    Ctrl-C reaches all processes of the terminal: this one only waits until Snakemake has ended its jobs. A request to
    terminate is handed on.
    """
    stopped: list[int] = []
    process = subprocess.Popen(command)

    def stop(number: int, _frame: Any) -> None:
        stopped.append(number)
        if number == signal.SIGTERM:
            process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return process.wait(), bool(stopped)


if __name__ == "__main__":
    raise SystemExit(run_workflow(Path(sys.argv[1]), sys.argv[2:]))
