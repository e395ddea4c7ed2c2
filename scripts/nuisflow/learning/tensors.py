"""What ``torch.save`` has written, read as numpy arrays: without torch, and without running code from the file."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "ByteStorage": np.dtype("u1"),
}


def read(path: Path | str) -> Any:
    """Return the content of *path*, tensors as read-only arrays; what is not known is an error of pickle or zip."""
    with zipfile.ZipFile(path) as parts:
        contents = {name.partition("/")[2]: parts.read(name) for name in parts.namelist()}  # compares checksums
    if contents["byteorder"] != b"little":
        raise pickle.UnpicklingError("written on a machine of another byte order")
    return _Reader(contents).load()


class _Reader(pickle.Unpickler):
    """Reads plain values, ordered dictionaries and tensors; anything else that a pickle can ask for is refused."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        super().__init__(io.BytesIO(contents["data.pkl"]))
        self.contents = contents

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for *name* of *module*."""
        if module == "torch" and name in TYPES:
            return TYPES[name]
        known = {("collections", "OrderedDict"): OrderedDict, ("torch._utils", "_rebuild_tensor_v2"): _tensor}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not known here")
        return known[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        """Return the numbers of a storage, one after the other."""
        _, kind, key, _, size = pid
        return np.frombuffer(self.contents[f"data/{key}"], kind, count=size)


def _tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> np.ndarray:
    """Return the tensor of *size* whose numbers stand in *storage* from *offset* on, *stride* apart."""
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 in size:
        return np.empty(size, storage.dtype)
    if min(offset, *stride, 0) < 0 or last >= len(storage):
        raise pickle.UnpicklingError("a tensor reaches beyond its numbers")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)
