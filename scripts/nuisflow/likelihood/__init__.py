"""The HistFactory likelihood: model, fits, intervals, limits, toys, and the commands of the shell.

Knows any pyhf workspace and nothing else of this project: it imports no other room, so that it is a library by itself
(numpy, numba, scipy, iminuit). Start with `model`, then `fits`; what all kinds of likelihood
offer is in `likelihoods`; what is compiled lies in `kernels`, the
matrix products of large models in `blocks`.

What is used most can be imported from here: ``from nuisflow.likelihood import Model, fit, interval, limits, toys``.
Nothing is loaded before it is used.
"""

import importlib
from typing import Any

_HOMES = {
    "Model": "model",
    "FitResult": "fits",
    "fit": "fits",
    "interval": "fits",
    "scan": "fits",
    "load": "commands.reading",
    "goodness_of_fit": "limits",
    "significance": "limits",
}
"""Names that users import from here, and the modules that define them; `limits` and `toys` are modules themselves."""


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List what can be imported from here."""
    return sorted([*globals(), *_HOMES])
