"""Histograms of ROOT files that a datacard names, read by uproot."""

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from nuisflow.likelihood.dialects.datacards import Card, Column, Shape

DATA = "data_obs"
Floats = npt.NDArray[np.float64]


class Files:
    """The open files of a datacard."""

    def __init__(self, card: Card, mass: str | None = None) -> None:
        self.card, self.mass = card, mass
        self.open: dict[Path, tuple[Any, frozenset[str]]] = {}
        self.found: dict[tuple[Column, str], tuple[Floats, Floats] | None] = {}

    def __enter__(self) -> "Files":
        """Open nothing yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the files."""
        for file, _ in self.open.values():
            file.close()

    def find(self, column: Column, systematic: str = "") -> tuple[Floats, Floats] | None:
        """Return the values and errors of a histogram; None for a process without one, or without this variation."""
        if (column, systematic) not in self.found:
            self.found[column, systematic] = self._read(column, systematic)
        return self.found[column, systematic]

    def _read(self, column: Column, systematic: str) -> tuple[Floats, Floats] | None:
        shape = self._shape(column)
        if shape is None or shape.file == "FAKE":
            return None
        pattern = shape.varied if systematic else shape.nominal
        if not pattern:
            return None
        file, name = (self._filled(shape, text, column, systematic) for text in (shape.file, pattern))
        path = self.card.path.parent / file
        content, names = self._content(shape, path)
        if name not in names:
            if systematic:
                return None
            raise ValueError(f"{self.card.path}: line {shape.line}: no histogram {name!r} in {path}")
        found = content[name]
        if not str(found.classname).startswith("TH1"):
            raise ValueError(
                f"{self.card.path}: line {shape.line}: {name!r} in {path} is a {found.classname}, not a TH1"
            )
        values = np.asarray(found.values(), dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{self.card.path}: line {shape.line}: {name!r} in {path} has a bin that is not finite")
        return values, np.sqrt(np.asarray(found.variances(), dtype=np.float64))

    def _shape(self, column: Column) -> Shape | None:
        """Return the line of shapes for a process: of its own bin if there is any, of its own name before ``*``."""
        bin_, process = column
        rows = [row for row in self.card.shapes if row.bin == bin_] or [r for r in self.card.shapes if r.bin == "*"]
        for name in (process, "*"):
            for row in rows:
                if row.process == name:
                    return row
        for row in self.card.shapes:
            if row.bin == "*" and row.process in (process, "*"):
                return row
        return None

    def _filled(self, shape: Shape, text: str, column: Column, systematic: str) -> str:
        """Put names in place of $CHANNEL, $PROCESS, $SYSTEMATIC and $MASS."""
        if "$MASS" in text and self.mass is None:
            raise ValueError(f"{self.card.path}: line {shape.line}: $MASS: convert the card first, with --mass")
        words = {"$CHANNEL": column[0], "$PROCESS": column[1], "$SYSTEMATIC": systematic, "$MASS": self.mass or ""}
        for word, value in words.items():
            text = text.replace(word, value)
        if "$" in text:
            raise ValueError(f"{self.card.path}: line {shape.line}: {text!r}: only {', '.join(words)} are known")
        return text

    def _content(self, shape: Shape, path: Path) -> tuple[Any, frozenset[str]]:
        """Return a file, opened once, and the names of what it holds."""
        if path not in self.open:
            try:
                import uproot
            except ImportError:
                raise ValueError(f"{self.card.path}: line {shape.line}: histograms are read by uproot, which is not "
                                 f'installed: pip install uproot (or "nuisflow[workflow]")') from None  # fmt: skip
            if not path.exists():
                raise ValueError(f"{self.card.path}: line {shape.line}: no file {path}")
            file = uproot.open(path)
            self.open[path] = file, frozenset(file.keys(cycle=False))
        return self.open[path]
