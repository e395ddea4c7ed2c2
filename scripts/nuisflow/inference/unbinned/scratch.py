"""Arrays of many events in files without names that are mapped: memory does not grow with the number of events."""

import contextlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


class Scratch:
    """Arrays on the disk of *folder*, in files that are gone with the last array in them, however the process ends.

    What is read or written of them stays in memory until `release`, also what compiled code has read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()

    def empty(self, shape: int | Sequence[int], dtype: Any = np.float64) -> np.ndarray:
        """Return an array to be filled; `OSError` where the disk is full."""
        size = max(int(np.prod(shape)) * np.dtype(dtype).itemsize, 1)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
            os.truncate(file.fileno(), size)
            return self._array(file.fileno(), size, dtype).reshape(shape)

    def stacked(self, parts: Iterable[Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Return arrays, each of which is one behind the other what all *parts* (at least one) have in its place."""
        files, first, rows = list[Any](), list[np.ndarray](), 0
        with contextlib.ExitStack() as stack:
            for part in parts:
                if not files:
                    files = [stack.enter_context(tempfile.TemporaryFile(dir=self.folder)) for _ in part]
                    first = [values[:0] for values in part]
                for file, values, one in zip(files, part, first, strict=True):
                    file.write(np.ascontiguousarray(values, one.dtype))
                rows += len(part[0])
            found = []
            for file, one in zip(files, first, strict=True):
                file.flush()
                shape = rows, *one.shape[1:]
                found.append(self._array(file.fileno(), int(np.prod(shape)) * one.itemsize, one.dtype).reshape(shape))
        return found

    def _array(self, file: int, size: int, dtype: Any) -> np.ndarray:
        if not size:
            return np.empty(0, dtype)
        mapped = mmap.mmap(file, size)
        self._mapped.add(mapped)
        return np.frombuffer(mapped, dtype, size // np.dtype(dtype).itemsize)

    def release(self) -> None:
        """Give back the memory of all arrays; they stay what they are."""
        for mapped in self._mapped:
            mapped.madvise(mmap.MADV_DONTNEED)
