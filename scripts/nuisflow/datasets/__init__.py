"""Kinds of events, one module each; the module's name is ``dataset.kind`` in the configuration.

A module offers ``COLUMNS`` (raw columns; empty where the configuration declares them), ``DERIVED`` (columns that
``reconstruct`` adds), ``SHIFTS`` (named shifts), ``shift(columns, {name: (z, size)})`` where it has shifts,
``reconstruct(columns)``, and, for simulated events, ``PROCESSES`` and ``simulate(process, events, generator)``.
"""

from types import ModuleType

from nuisflow.datasets import ditau, flat

MODULES: dict[str, ModuleType] = {"ditau": ditau, "flat": flat}
