"""Fits of any pyhf workspace from the command line: fit, rank, scan, limit and toys, as tables and as files."""

import argparse
import copy
import csv
import io
import json
import logging
import math
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from nuisflow.likelihood import answers, fits, histfactory, measurements
from nuisflow.likelihood.answers import Answer, Row
from nuisflow.likelihood.histfactory import Floats
from nuisflow.likelihood.kernels import compilation
from nuisflow.likelihood.model import Model
from nuisflow.names import suggest

PROGRAM = "fit_workspace.py"
DONE, NOT_CONVERGED, BAD_INPUT = 0, 1, 2
STDIN = Path("-")
_PATIENCE = 8.0  # seconds
LABELS = {
    "hessian_error": "Hessian error", "twice_nll": "-2 ln L", "goodness_of_fit": "-2 ln (L / L saturated)",
    "sigmas": "significance", "p_value_low": "p value, lower end (Clopper-Pearson)",
    "p_value_high": "p value, upper end (Clopper-Pearson)", "true": "true value", "number": "toys",
    "failed": "failed fits", "unbounded": "without an end of the interval", "limited": "with an end at a bound",
    "coverage_low": "coverage, lower end (Clopper-Pearson)", "coverage_high": "coverage, upper end (Clopper-Pearson)",
    "interval": "mean width of the interval", "rmse": "RMSE", "mae": "MAE",
}  # fmt: skip
COMPILING = "still working; the very first use compiles the likelihood, which takes half a minute, once"
EPILOG = "exit status: 0 done, 1 done but a fit did not converge or a number is missing (see the warnings), 2 bad input"


def read(path: Path) -> dict[str, Any]:
    """Read a workspace; raise ValueError or OSError where *path* holds none."""
    if path == STDIN:
        return _parsed(path, sys.stdin.read)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: a folder, not a file")
    return _parsed(path, lambda: path.read_text(encoding="utf-8"))


def _parsed(path: Path, text: Callable[[], str]) -> dict[str, Any]:
    """Return the workspace that a text is."""
    try:
        content = json.loads(text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a workspace: a JSON object is needed, not a {type(content).__name__}")
    if "patches" in content and "channels" not in content:
        raise ValueError(f"{path}: a patch set, not a workspace; apply it first with 'pyhf patchset apply'")
    return content


def load(path: Path, measurement: str | None = None, poi: str | None = None) -> Model:
    """Return the model of a workspace file, with *poi* in place of the measurement's parameter of interest.

    Raise ValueError with the file, the place in it and the remedy.
    """
    content = read(path)
    try:
        names = [str(entry.get("name")) for entry in content.get("measurements", [])]
        if measurement is not None and names and measurement not in names:
            raise ValueError(f"no measurement {measurement!r} in the workspace; {_hint(measurement, names)}")
        chosen, config = _measurement(content, measurement)
        wanted = config.get("poi") if poi is None else poi
        config["poi"] = ""
        structure = histfactory.read(chosen, measurement)
        config["poi"] = _known_poi(structure.parameters, wanted)
        return Model(chosen, measurement)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (TypeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: not a workspace: {_schema_problem(content, error)}") from None


def _measurement(content: Mapping[str, Any], name: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a copy of the workspace, and the settings of the measurement in it (empty where there are none)."""
    chosen: dict[str, Any] = copy.deepcopy(dict(content))
    for entry in chosen.get("measurements") or []:
        if name in (None, entry["name"]) and "poi" in entry["config"]:
            return chosen, entry["config"]
    return chosen, {}


def _known_poi(parameters: Sequence[histfactory.Parameter], wanted: Any) -> str:
    known = [row.name for row in parameters]
    free = [row.name for row in parameters if row.kind == "normfactor"]
    if not wanted:
        raise ValueError(f"the measurement names no parameter of interest; give one with --poi, such as "
                         f"{', '.join(free or known)}")  # fmt: skip
    if wanted not in known:
        raise ValueError(f"no parameter {wanted!r} to be of interest (--poi); {_hint(str(wanted), known)}")
    if parameters[known.index(wanted)].fixed:
        raise ValueError(f"the parameter of interest {wanted!r} is fixed by the measurement: nothing to fit")
    return str(wanted)


def _hint(name: str, known: Sequence[str]) -> str:
    """Return what may have been meant, not longer than a few lines."""
    return textwrap.shorten(suggest(name, known), 400, placeholder=f" … ({len(known)} in all)")


def _schema_problem(content: Mapping[str, Any], error: Exception) -> str:
    """Return what pyhf's schema says of a workspace that our reader stumbled over."""
    try:
        import pyhf

        pyhf.schema.validate(content, "workspace.json")
    except ImportError:
        return f"{type(error).__name__}: {error} (with pyhf installed, its schema says more)"
    except pyhf.exceptions.InvalidSpecification as invalid:
        return " ".join(str(invalid).split())
    return f"{type(error).__name__}: {error}"


def groups_of(options: Sequence[str], model: Model) -> dict[str, list[str]]:
    """Read NAME=par1,par2 options: the members are parameters, or modifiers with all their parameters."""
    known = dict.fromkeys([*model.names, *(row.group for row in model.parameters)])
    groups: dict[str, list[str]] = {}
    for option in options:
        name, _, members = option.partition("=")
        groups[name] = [member.strip() for member in members.split(",") if member.strip()]
        if not name or not groups[name]:
            raise ValueError(f"--group {option}: write it as NAME=par1,par2")
        if name in answers.OWN_SOURCES:
            raise ValueError(
                f"--group {name}: choose another name; the breakdown uses {', '.join(answers.OWN_SOURCES)}"
            )
        for member in groups[name]:
            if member not in known:
                raise ValueError(f"--group {name}: no parameter or modifier {member!r}; "
                                 f"{_hint(member, list(known))}")  # fmt: skip
    return groups


def printed(answer: Answer, options: argparse.Namespace, poi: str) -> str:
    """Return the facts and tables as aligned text."""
    data = "the nominal expectation (Asimov)" if options.asimov else "observed data"
    lines = [f"{options.command} of {options.workspace}: {data}, parameter of interest {poi}", ""]
    names = {name: LABELS.get(name, name).replace("_", " ") for name in answer.facts}
    width = max(len(name) for name in names.values())
    lines += [f"{names[name]:<{width}}  {answers.number(value)}" for name, value in answer.facts.items()]
    for table in answer.tables:
        lines += ["", table.title, *answers.aligned(table.rows)]
    return "\n".join([*lines, "", f"values, errors, impacts and limits of {poi} are in units of {poi}"])


def written(answer: Answer, options: argparse.Namespace, poi: str) -> str:
    """Return everything as JSON, or the last table (else the facts) as CSV; what is not a number becomes empty."""
    if options.output.suffix == ".csv":
        return _comma_separated(answer.tables[-1].rows if answer.tables else [answer.facts])
    data = "asimov" if options.asimov else "observed"
    content = {"command": options.command, "workspace": options.workspace, "data": data, "poi": poi}
    content |= answer.facts | {table.name: table.rows for table in answer.tables}
    content = _finite(content | {"converged": answer.converged, "warnings": answer.warnings})
    return json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n"


def _comma_separated(rows: Sequence[Row]) -> str:
    """Return *rows* as CSV, with the columns of all rows in order of appearance."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(
            {name: "" if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        )
    return text.getvalue()


def _plain(value: Any) -> Any:
    """Turn numpy values and paths into what JSON knows."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _finite(value: Any) -> Any:
    """Return *value* with null in place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float | np.floating) and not math.isfinite(value) else value


class Parser(argparse.ArgumentParser):
    """A parser that reports a wrong option in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and leave with the status of bad input."""
        self.exit(BAD_INPUT, f"{self.prog}: error: {message} (see --help)\n")


class Command(NamedTuple):
    """A command, what it does and an example of its options."""

    run: Callable[[Model, Floats, argparse.Namespace], Answer]
    text: str
    example: str


def _fit(model: Model, data: Floats, options: argparse.Namespace) -> Answer:
    groups = groups_of(options.group, model)
    return answers.fit(model, data, groups, observed=not options.asimov, profiles=options.profiles)


COMMANDS = {
    "fit": Command(
        _fit,
        "best fit, its errors and where they come from, significance, goodness of fit, pulls",
        "--group 'jets=jes,jer'",
    ),
    "rank": Command(
        lambda model, data, _: answers.rank(model, data),
        "impact of every nuisance parameter, largest first",
        "--asimov --output impacts.csv",
    ),
    "scan": Command(
        lambda model, data, options: answers.scan(model, data, options.points),
        "profile likelihood of a parameter, to three standard deviations",
        "--poi mu --points 61 --output scan.csv",
    ),
    "limit": Command(
        lambda model, data, options: answers.limit(
            model, data, observed=not options.asimov, widen=options.widen, level=options.level, at=options.at
        ),
        "CLs upper limit (observed and expected) and significance, asymptotic",
        "--level 0.9 --at 0.5 1 2 --output limit.json",
    ),
    "goodness": Command(
        lambda model, data, options: answers.goodness(model, data, options.number, options.seed),
        "goodness of fit: the likelihood against that of the saturated model",
        "--number 1000",
    ),
    "toys": Command(
        lambda model, data, options: answers.throw(
            model, data, options.number, options.seed, observed=not options.asimov
        ),
        "pseudo-experiments at the best fit: do the intervals cover, bias, pulls, goodness of fit",
        "--asimov --number 10000",
    ),
}


def parser(program: str = PROGRAM) -> Parser:
    """Return the parser of the command line; *program*: how it was called."""
    called = f"python scripts/{PROGRAM}" if program == PROGRAM else program
    plain = argparse.RawDescriptionHelpFormatter
    about = "Fit a pyhf workspace (HistFactory JSON) of any origin."
    result = Parser(prog=program, description=about, epilog=EPILOG, formatter_class=plain)
    place = "the workspace, as pyhf reads it (-: standard input)"
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, (_, text, example) in COMMANDS.items():
        shown = f"example:\n  {called} {name} workspace.json {example}\n\n{EPILOG}"
        described = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=described, epilog=shown, formatter_class=plain)
        command.add_argument("workspace", type=Path, metavar="WORKSPACE.json", help=place)
        for option, settings in (_options() | _own_options(name)).items():
            command.add_argument(option, **settings)
    return result


def _options() -> dict[str, dict[str, Any]]:
    asimov = "fit the expectation at the initial values of all parameters: the expected result (default: observed data)"
    output = "also write all results to a .json file, or the last table to a .csv file, with all digits"
    return {
        "--asimov": {"action": "store_true", "help": asimov},
        "--measurement": {"metavar": "NAME", "help": "measurement of the workspace (default: the first)"},
        "--poi": {"metavar": "NAME", "help": "parameter of interest (default: the measurement's)"},
        "--output": {"type": _output, "metavar": "FILE", "help": output},
    }


def _own_options(command: str) -> dict[str, dict[str, Any]]:
    group = "a source in the breakdown: parameters or modifiers that belong together; may be repeated"
    options: list[dict[str, Any]] = [{"metavar": "N", "type": _integer(least)} for least in (2, 2, 0, 0)]
    points, number, seed, profiles = options
    told = "find all profile intervals if there are at most N parameters, else that of interest (default: %(default)s)"
    profiles |= {"default": fits.PROFILES, "help": told}
    widen = "look for limits beyond the upper bound of the parameter of interest"
    level = "confidence level, between 0 and 1 (default: %(default)s)"
    at = "also list CLs of these values of the parameter of interest"
    points |= {"default": measurements.SCAN_POINTS, "help": "points of the scan (default: %(default)s)"}
    number |= {"default": 1000, "help": "pseudo-experiments (default: %(default)s)"}
    seed |= {"default": 1, "help": "seed of the random numbers (default: %(default)s)"}
    own: dict[str, dict[str, dict[str, Any]]] = {
        "fit": {
            "--group": {"action": "append", "default": [], "metavar": "NAME=PAR1,PAR2", "help": group},
            "--profiles": profiles,
        },
        "limit": {
            "--widen": {"action": "store_true", "help": widen},
            "--level": {"type": _level, "default": 0.95, "metavar": "P", "help": level},
            "--at": {"type": _strength, "nargs": "+", "default": [], "metavar": "MU", "help": at},
        },
        "goodness": {"--number": number | {"type": _integer(0), "default": 0}, "--seed": seed},
        "scan": {"--points": points},
        "toys": {"--number": number, "--seed": seed},
    }
    return own.get(command, {})


def _integer(least: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return convert


def _level(text: str) -> float:
    if not 0.0 < (value := _real(text)) < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.95")
    return value


def _strength(text: str) -> float:
    if not (value := _real(text)) > 0.0 or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def _real(text: str) -> float:
    """Return the number that a text is, else NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _output(text: str) -> Path:
    if Path(text).suffix not in (".json", ".csv"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .json or .csv")
    return Path(text)


def write(path: Path, text: str) -> None:
    """Write *text* beside *path* and rename it, so that the file appears whole or not at all."""
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def main(
    arguments: Iterable[str] | None = None, write: Callable[[Path, str], None] = write, program: str = PROGRAM
) -> int:
    """Run a command, have *write* write what ``--output`` asks for, and return the exit status."""
    os.environ.setdefault(compilation.JOB, "command")
    options = parser(program).parse_args(None if arguments is None else list(arguments))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    told = threading.Timer(_PATIENCE, logging.getLogger(__name__).info, [COMPILING])
    told.daemon = True
    told.start()
    try:
        model = load(options.workspace, options.measurement, options.poi)
        data = measurements.data_of(model, "asimov" if options.asimov else "observed")
        model.minimise(data)  # compiles on first use
        told.cancel()
        answer = COMMANDS[options.command].run(model, data, options)
        if options.output:
            write(options.output, written(answer, options, model.poi))
    except (ValueError, OSError) as error:
        print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    finally:
        told.cancel()
    try:
        print(printed(answer, options, model.poi), flush=True)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for warning in answer.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    return DONE if answer.converged else NOT_CONVERGED
