"""The HistFactory likelihood: model, fits, intervals, limits, toys, and the commands of the shell.

Knows any pyhf workspace and nothing else of this project: it imports no other room, so that it is a library by itself
(numpy, numba, scipy, iminuit). Start with `model`, then `fits`; what all kinds of likelihood
offer is in `likelihoods`; what is compiled lies in `kernels`, the
matrix products of large models in `blocks`, what an interval is where there are several minima in `valleys`, the
commands of the shell in `commands`, other ways of writing a likelihood in `dialects`.

What is used most can be imported from here: ``from nuisflow.likelihood import Model, fit, interval, scan, rank, limits,
toys``; README.md beside this file shows how. Nothing is loaded before it is used.
"""

import importlib
from typing import Any

_HOMES = {
    "Model": "model.Model",
    "FitResult": "fits.FitResult",
    "fit": "fits.fit",
    "interval": "fits.interval",
    "scan": "fits.scan",
    "contour": "contours.contour",
    "coverage_map": "coverage.maps.run",
    "feldman_cousins": "coverage.neyman.interval",
    "rank": "uncertainties.impacts",
    "breakdown": "uncertainties.breakdown",
    "load": "commands.reading.load",
    "Setting": "histfactory.Setting",
    "goodness_of_fit": "limits.goodness_of_fit",
    "significance": "limits.significance",
}
"""Names that users import from here, and where they are defined; `limits` and `toys` are modules themselves."""


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own = _HOMES[name].rpartition(".")
    return getattr(importlib.import_module(f"{__name__}.{module}"), own)


def __dir__() -> list[str]:
    """List what can be imported from here."""
    return sorted([*globals(), *_HOMES])
