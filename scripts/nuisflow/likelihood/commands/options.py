"""Options of the commands: what may be written, and what it is read as."""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nuisflow.likelihood import measurements
from nuisflow.likelihood.histfactory import Setting

Options = dict[str, dict[str, Any]]


def whole(least: int) -> Callable[[str], int]:
    """Return what reads a whole number of at least *least*."""

    def convert(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return convert


def level(text: str) -> float:
    """Read a confidence level."""
    if not 0.0 < (value := _number(text)) < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1, such as 0.95")
    return value


def strength(text: str) -> float:
    """Read a signal strength."""
    if not (value := _number(text)) > 0.0 or math.isinf(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def real(text: str) -> float:
    """Read a number."""
    if not math.isfinite(value := _number(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _number(text: str) -> float:
    """Return the number that a text is, else NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def file(*suffixes: str) -> Callable[[str], Path]:
    """Return what reads a path that ends in one of *suffixes*."""

    def convert(text: str) -> Path:
        if Path(text).suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} must end in {' or '.join(suffixes)}")
        return Path(text)

    return convert


def _named(text: str, form: str, numbers: int) -> tuple[str, list[float]]:
    """Return the name and the finite numbers of NAME=number,number."""
    name, _, rest = text.partition("=")
    values = [_number(part) for part in rest.split(",")] if rest else []
    if not name or len(values) != numbers or not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as {form}")
    return name, values


def _set(text: str) -> tuple[str, Setting]:
    name, (value,) = _named(text, "NAME=VALUE", 1)
    return name, Setting(value=value)


def _fix(text: str) -> tuple[str, Setting]:
    if "=" not in text:
        return text, Setting(fixed=True)
    name, (value,) = _named(text, "NAME or NAME=VALUE", 1)
    return name, Setting(value=value, fixed=True)


def _free(text: str) -> tuple[str, Setting]:
    return text, Setting(fixed=False)


def _bounds(text: str) -> tuple[str, Setting]:
    name, (low, high) = _named(text, "NAME=LOW,HIGH", 2)
    return name, Setting(bounds=(low, high))


def settings_of(options: argparse.Namespace) -> dict[str, Setting]:
    """Return the settings of parameters that --set, --fix, --free and --bounds ask for.

    Raise ValueError where two of them contradict each other.
    """
    found: dict[str, Setting] = {}
    for name, setting in [*options.set, *options.fix, *options.free, *options.bounds]:
        before = found.get(name, Setting())
        asked = {part: new for part, new in setting._asdict().items() if new is not None}
        for part, new in asked.items():
            if getattr(before, part) not in (None, new):
                raise ValueError(f"{name}: {part} is to be {getattr(before, part)} and {new}; leave one of --set, "
                                 f"--fix, --free, --bounds out")  # fmt: skip
        found[name] = before._replace(**asked)
    return found


def _several(reads: Callable[[str], Any], form: str, text: str) -> dict[str, Any]:
    return {"action": "append", "default": [], "type": reads, "metavar": form, "help": f"{text}; may be repeated"}


def common() -> Options:
    """Return the options of all commands that look at a workspace."""
    asimov = "fit the expectation at the initial values of all parameters: the expected result (default: observed data)"
    fitted = "fit the expectation at the best fit to the observed data; parameters of --set stay at their values there"
    text = "also write all results to a .json file, or the last table to a .csv file, with all digits"
    return {
        "--patch": _several(str, "FILE[:NAME]", "apply a patch: one of a patch set of pyhf, or a file of operations"),
        "--measurement": {"metavar": "NAME", "help": "measurement of the workspace (default: the first)"},
        "--poi": _several(str, "NAME", "parameter of interest (default: the measurement's)"),
        "--set": _several(_set, "NAME=VALUE", "initial value, which is also that of --asimov"),
        "--fix": _several(_fix, "NAME[=VALUE]", "hold a parameter, or all of a modifier"),
        "--free": _several(_free, "NAME", "let go of a parameter that the workspace holds"),
        "--bounds": _several(_bounds, "NAME=LOW,HIGH", "bounds of a parameter"),
        "--asimov": {"action": "store_true", "help": asimov},
        "--asimov-fitted": {"action": "store_true", "help": fitted},
        "--output": {"type": file(".json", ".csv"), "metavar": "FILE", "help": text},
        "--plots": {"type": Path, "metavar": "DIR", "help": "also draw the report's figures, as PDF and SVG files"},
    }


def number(default: int, least: int = 2) -> dict[str, Any]:
    """Return the option of how many pseudo-experiments are thrown."""
    text = "pseudo-experiments (default: %(default)s)"
    return {"metavar": "N", "type": whole(least), "default": default, "help": text}


SEED = {"metavar": "N", "type": whole(0), "default": 1, "help": "seed of the random numbers (default: %(default)s)"}
POINTS = {"metavar": "N", "type": whole(2), "default": measurements.SCAN_POINTS,
          "help": "points of the scan (default: %(default)s)"}  # fmt: skip
GROUP = _several(str, "NAME=PAR1,PAR2", "a source of uncertainty: parameters or modifiers that belong together")


def ranges(text: str) -> dict[str, Any]:
    """Return the option of a range, which may be repeated."""
    return {"action": "append", "nargs": 2, "type": real, "default": [], "metavar": ("LOW", "HIGH"), "help": text}


def ordered(pairs: Sequence[Sequence[float]], option: str = "--range") -> list[tuple[float, float]]:
    """Return ranges, checked."""
    for low, high in pairs:
        if not low < high:
            raise ValueError(f"{option} {low:g} {high:g}: the first number must be the smaller one")
    return [(low, high) for low, high in pairs]
