"""NanoAOD: lists of objects per event, which functions of the user turn into flat columns.

Raw columns are numpy arrays, one per branch with one number per event, and awkward arrays, one per collection: the
branches ``Muon_*`` become ``Muon``, a list of muons for every event. `of` gives what a data set offers: its columns and
shifts come from a Python file that the section names, which is run when events are needed, not before.
"""

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from nuisflow import names
from nuisflow.datasets import records
from nuisflow.storage import plugins

Columns = dict[str, Any]

COLUMNS: tuple[str, ...] = ()
DERIVED: tuple[str, ...] = ()
SHIFTS: dict[str, Any] = {}
PROCESSES: tuple[str, ...] = ()
UNDEFINED = None


class FunctionError(ValueError):
    """A function of the user that fails, or returns something else than it should."""


def of(dataset: Any) -> "Objects":
    """Return what the section *dataset* offers."""
    return Objects(dataset)


class Objects:
    """Events of one section `dataset`, flattened and shifted by the functions in its file."""

    whole = True
    """Whether ``reconstruct`` computes all columns at once, so that computing few of them first does not pay."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.SHIFTS: tuple[str, ...] = dataset.shifts

    def grouped(self, branches: Columns) -> Columns:
        """Return one column per collection and per number of an event."""
        return records.grouped(branches, "dataset.branches")

    def shift(self, columns: Columns, changes: Mapping[str, tuple[Any, float]]) -> Columns:
        """Return *columns* after the named *changes*, each given as (z, size): the user gets z times size."""
        if unknown := sorted(set(changes) - set(self.SHIFTS)):
            hint = names.suggest(unknown[0], self.SHIFTS)
            raise FunctionError(f"no shift {unknown[0]!r}; {hint} (dataset.shifts lists them)")
        size = len(next(iter(columns.values())))
        values = {name: np.full(size, np.multiply(z, one), dtype=float) for name, (z, one) in changes.items()}
        moved = self._call("shift", records.joined(columns), values)
        if (found := records.length(moved)) != size:
            was = type(moved).__name__ if found is None else f"{found} events"
            raise self._wrong("shift", f"returns {was} for {size} events", "return events, changed but all of them")
        if lost := [name for name in columns if name not in moved.fields]:
            raise self._wrong("shift", f"returns events without {lost[0]!r}", "return events, changed but complete")
        return records.split(moved, columns) | {name: columns[name] for name in ("entry",) if name in columns}

    def reconstruct(self, columns: Columns, wanted: Collection[str] | None = None) -> Columns:  # noqa: ARG002
        """Return the flat columns of the section, and ``entry``; functions of the user compute all of them at once."""
        size = len(next(iter(columns.values())))
        found = self._call("flatten", records.joined(columns))
        if not isinstance(found, dict):
            raise self._wrong("flatten", f"returns {type(found).__name__}", "return {name: one number per event}")
        declared = self.dataset.columns
        if unknown := [name for name in found if name not in declared]:
            remedy = f"{names.suggest(unknown[0], declared)}; dataset.columns lists what is returned"
            raise self._wrong("flatten", f"returns the column {unknown[0]!r}, which is not declared", remedy)
        flat = {name: self._numbers(name, self._chosen(name, found, columns), size) for name in declared}
        return flat | {name: columns[name] for name in ("entry",) if name in columns}

    def _chosen(self, name: str, found: Columns, columns: Columns) -> Any:
        """Return the column *name* of flatten; else the branch of this name, or nothing in data, which has less."""
        if name in found:
            return found[name]
        if name in columns and not records.has_lists(columns[name]):
            return columns[name]
        if not all(records.has_branch(columns, branch) for branch in self.dataset.generated):
            return np.full(len(next(iter(columns.values()))), np.nan)
        if name in (*self.dataset.branches, *self.dataset.generated):
            remedy = "return one number per event under another name"
            raise self._wrong("flatten", f"column {name!r} is a branch with several values per event", remedy)
        raise self._wrong("flatten", f"does not return the column {name!r}", "dataset.columns lists what is returned")

    def _numbers(self, name: str, values: Any, size: int) -> np.ndarray:
        """Return *values* as one number per event; None becomes the value that stands for 'undefined'."""
        try:
            return records.numbers(values, size, self.dataset.missing)
        except records.ShapeError as error:
            raise self._wrong("flatten", f"column {name!r} {error}", "return one number per event") from None

    def _call(self, name: str, *arguments: Any) -> Any:
        """Return what the user's function *name* returns; an error in it is told with its line."""
        module = plugins.load(self.dataset.functions)
        function = getattr(module, name, None)
        if not callable(function):
            raise FunctionError(_absent(self.dataset.functions, name, vars(module)))
        try:
            with np.errstate(all="ignore"):
                return function(*arguments)
        except Exception as error:
            hint = f"; events has {', '.join(arguments[0].fields)} (dataset.branches lists what is read)"
            reason = plugins.reason(error, str(module.__file__)) + (hint if "no field" in str(error) else "")
            raise self._wrong(name, f"failed: {reason}") from error

    def _wrong(self, name: str, problem: str, remedy: str = "") -> FunctionError:
        return FunctionError(f"{self.dataset.functions}: {name} {problem}{remedy and f'; {remedy}'}")

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the section, as far as can be told without running the file."""
        branches = (*self.dataset.branches, *self.dataset.generated)
        yield from names.duplicates(branches, "dataset.branches (and generated)")
        yield from names.duplicates(self.dataset.shifts, "dataset.shifts")
        file = self.dataset.functions
        try:
            defined = set(_defined(ast.parse(plugins.content(file), filename=file)))
        except (plugins.PluginError, SyntaxError) as error:
            told = str(error) if isinstance(error, plugins.PluginError) else f"{file!r}: {plugins.reason(error, file)}"
            yield f"dataset.functions: {told}"
            return
        for name in ("flatten", *(["shift"] if self.SHIFTS else [])):
            if name not in defined:
                yield f"dataset.functions: {_absent(file, name, defined)}"


def _absent(file: str, name: str, defined: Any) -> str:
    found = ", ".join(sorted(key for key in defined if not key.startswith("_"))) or "nothing"
    argument = {"flatten": "events", "shift": "events, values"}[name]
    return f"{file!r} defines no function {name}({argument}); it defines {found}"


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the statements of a file give to something."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
