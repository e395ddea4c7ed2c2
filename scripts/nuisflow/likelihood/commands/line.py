"""The command line: which commands there are, what is printed and written, and the exit status."""

import argparse
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from nuisflow.likelihood.commands import (
    answer,
    compare,
    correlations,
    fit,
    goodness,
    limit,
    options,
    question,
    rank,
    scan,
    yields,
)
from nuisflow.likelihood.commands.answer import Answer, Asked, NoAnswer
from nuisflow.likelihood.commands.coverage import interval, toys
from nuisflow.likelihood.commands.coverage import map as coverage_map
from nuisflow.likelihood.dialects import conversion
from nuisflow.likelihood.kernels import compilation

PROGRAM = "fit_workspace.py"
DONE, NO_RESULT, BAD_INPUT = 0, 1, 2
COMMANDS = {
    "fit": fit.COMMAND,
    "rank": rank.COMMAND,
    "scan": scan.COMMAND,
    "interval": interval.COMMAND,
    "limit": limit.COMMAND,
    "goodness": goodness.COMMAND,
    "toys": toys.COMMAND,
    "map": coverage_map.COMMAND,
    "correlations": correlations.COMMAND,
    "yields": yields.COMMAND,
}
COMPARE, CONVERT = "compare", "convert"
_PATIENCE = 8.0  # seconds
COMPILING = "still working; the very first use compiles the likelihood, which takes half a minute, once"
EPILOG = "exit status: 0 done, 1 done but a fit did not converge or a number is missing (see the warnings), 2 bad input"

Draw = Callable[[Answer, Asked, Path], list[Path]]
"""Draws the figures of an answer into a folder and returns their files."""
DRAWN = ("fit", "rank", "scan", "correlations", "yields")
"""Commands that have figures."""


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with the status of bad input."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see --help)\n")


def parser(program: str = PROGRAM) -> Parser:
    """Return the parser of the command line; *program*: how it was called."""
    plain = argparse.RawDescriptionHelpFormatter
    about = "Fit a pyhf workspace (HistFactory JSON) of any origin, HistFactory XML, HS3 or a Combine datacard."
    result = Parser(prog=program, description=about, epilog=EPILOG, formatter_class=plain)
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    called = f"python scripts/{PROGRAM}" if program == PROGRAM else program
    known = {name: (row.text, row.example, options.common() | row.options) for name, row in COMMANDS.items()}
    known[COMPARE] = (compare.TEXT, compare.EXAMPLE, _output() | compare.OPTIONS)
    known[CONVERT] = (conversion.TEXT, conversion.EXAMPLE, _output() | conversion.OPTIONS)
    for name, (text, example, own) in known.items():
        shown = f"example:\n  {called} {name} workspace.json {example}\n\n{EPILOG}"
        described = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=described, epilog=shown, formatter_class=plain)
        place = "the workspace, as pyhf reads it, HistFactory XML, HS3 or a datacard (-: standard input)"
        command.add_argument("workspace", type=Path, metavar="WORKSPACE.json", help=place)
        if name == COMPARE:
            command.add_argument("other", type=Path, metavar="OTHER.json", help="another workspace")
        elif name == CONVERT:
            command.add_argument("other", type=Path, metavar="TO.json", help="file to write")
        for option, settings in own.items():
            command.add_argument(option, **settings)
    return result


def _output() -> options.Options:
    return {"--output": options.common()["--output"]}


def write(path: Path, content: str | bytes) -> None:
    """Write beside *path* and rename, so that the file appears whole or not at all."""
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        beside.write_bytes(content if isinstance(content, bytes) else content.encode())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def main(arguments: Iterable[str] | None = None, program: str = PROGRAM, drawing: Callable[[], Draw] | None = None
         ) -> int:  # fmt: skip
    """Run a command and return the exit status; *drawing*: loads what draws figures, or raises ImportError."""
    os.environ.setdefault(compilation.JOB, "command")
    chosen = parser(program).parse_args(None if arguments is None else list(arguments))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    told = threading.Timer(_PATIENCE, logging.getLogger(__name__).info, [COMPILING])
    told.daemon = True
    told.start()
    try:
        found, asked = _answered(chosen, drawing, told.cancel)
        if chosen.output:
            write(chosen.output, answer.written(found, asked, chosen.output))
    except (ValueError, OSError) as error:
        return _refused(program, error, BAD_INPUT)
    except NoAnswer as error:
        return _refused(program, error, NO_RESULT)
    except KeyboardInterrupt:
        return _refused(program, "interrupted; nothing was written", 130)
    finally:
        told.cancel()
    return _told(found, asked)


def _answered(
    chosen: argparse.Namespace, drawing: Callable[[], Draw] | None, compiled: Callable[[], None]
) -> tuple[Answer, Asked]:
    """Return the answer to what was asked, and draw it."""
    if chosen.command == COMPARE:
        return compare.run(chosen), Asked(COMPARE, f"{chosen.workspace} and {chosen.other}", "", "", ())
    if chosen.command == CONVERT:
        return conversion.run(chosen, write), Asked(CONVERT, str(chosen.workspace), "", "", ())
    draw = _drawer(chosen, drawing) if chosen.plots else None
    command = COMMANDS[chosen.command]
    told = question.asked(chosen, needs_poi=command.needs_poi)
    told.model.minimise(told.data)  # compiles on first use
    compiled()
    found = command.run(told, chosen)
    asked = Asked(chosen.command, str(chosen.workspace), told.kind, question.TOLD[told.kind], told.pois)
    if draw is not None:
        for path in draw(found, asked, chosen.plots):
            logging.getLogger(__name__).info("%s", path)
    return found, asked


def _drawer(chosen: argparse.Namespace, drawing: Callable[[], Draw] | None) -> Draw:
    """Return what draws; raise ValueError where nothing does."""
    if chosen.command not in DRAWN:
        raise ValueError(f"--plots: {chosen.command} has no figures; these commands have: {', '.join(DRAWN)}")
    try:
        if drawing is None:
            raise ImportError("no figures are installed")
        return drawing()
    except ImportError as error:
        raise ValueError(f"--plots: figures need what the workflow needs ({error}): "
                         f'pip install "nuisflow[workflow]"') from None  # fmt: skip


def _refused(program: str, error: Any, status: int) -> int:
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _told(found: Answer, asked: Asked) -> int:
    """Print the answer and its warnings, and return the exit status."""
    try:
        print(answer.printed(found, asked), flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for warning in found.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    return DONE if found.converged else NO_RESULT
