"""Kinds of events, one module each; the module's name is ``dataset.kind`` in the configuration.

A module offers ``COLUMNS`` (raw columns; empty where the configuration declares them), ``DERIVED`` (columns that
``reconstruct`` adds), ``SHIFTS`` (named shifts), ``shift(columns, {name: (z, size)})`` where it has shifts,
``reconstruct(columns)``, ``UNDEFINED`` (the value that stands for 'undefined', or None), and, for simulated events,
``PROCESSES`` and ``simulate(process, events, generator)``. ``ACTS_ON`` names the processes of shifts that must not act
on others. Where the densities are known, ``log_density(process, columns, {shift: value})`` gives them with every shift
at z times size = value, in natural units.
"""

from types import ModuleType

from nuisflow.datasets import ditau, flat, gaussian, inferno, pivot

MODULES: dict[str, ModuleType] = {
    "ditau": ditau,
    "flat": flat,
    "gaussian": gaussian,
    "inferno": inferno,
    "pivot": pivot,
}
