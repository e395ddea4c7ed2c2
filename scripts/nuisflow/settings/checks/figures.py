"""Check words and colours for figures, which would otherwise fail when everything else is done."""

import re
from collections.abc import Iterator

from nuisflow.settings.configuration import Configuration

_CODE = re.compile(r"#([0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")


def problems(settings: Configuration) -> Iterator[str]:
    """Yield colours that matplotlib does not know and formulas that it cannot set, one line each."""
    for name, process in settings.processes.items():
        if process.color is not None and not _CODE.fullmatch(process.color) and not _is_colour(process.color):
            yield f"processes.{name}.color: {process.color!r} is no colour; write a name of matplotlib, or '#d55e00'"
    for place, text in _texts(settings):
        if "$" in text and (reason := _no_formula(text)):
            yield f"{place}: {text!r} cannot be set: {reason}; correct the formula between the signs $, or write \\$"


def _texts(settings: Configuration) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of all words that stand in figures."""
    yield "plots.title", settings.plots.title
    for section in ("processes", "variations", "regions", "trainings"):
        for name, entry in getattr(settings, section).items():
            for key in ("label", "axis"):
                if text := getattr(entry, key, None):
                    yield f"{section}.{name}.{key}", text


def _is_colour(text: str) -> bool:
    try:
        from matplotlib import colors
    except ImportError:  # jobs have environments of their own
        return True
    return bool(colors.is_color_like(text))


def _no_formula(text: str) -> str | None:
    """Return why *text*, as matplotlib reads it, is no formula; None: it is one."""
    try:
        from matplotlib import cbook, mathtext
    except ImportError:
        return None
    if cbook.is_math_text(text):
        try:
            mathtext.MathTextParser("path").parse(text)
        except ValueError as error:
            return str(error).strip().splitlines()[-1]
    return None
