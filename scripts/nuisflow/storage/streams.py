"""Streams of bytes of files of the user."""

import gzip
import io
from pathlib import Path
from typing import Any


class Ended(io.RawIOBase):
    """A stream of bytes that remembers how it ended; of *most* bytes, it ends with the last whole line of these."""

    def __init__(self, path: Path, most: int | None = None) -> None:
        self._file = path.open("rb")
        self._source: Any = gzip.GzipFile(fileobj=self._file) if path.name.lower().endswith(".gz") else self._file
        if most is not None and len(data := self._source.read(most)) == most:
            self._source = io.BytesIO(data[: data.rfind(b"\n") + 1])
        elif most is not None:
            self._source = io.BytesIO(data)
        self.last = b"\n"

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill *buffer*, or what there is left of it, and return how many bytes."""
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self.last = data[-1:] or self.last
        return len(data)

    def close(self) -> None:
        """Close the file, too."""
        self._source.close()
        self._file.close()
        super().close()
