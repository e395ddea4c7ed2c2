"""Settings for all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("nuisflow", deadline=None, derandomize=True)
hypothesis.settings.load_profile("nuisflow")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real events, or skip the test."""
    folder = Path(os.environ.get("NUISFLOW_DATA") or Path(__file__).resolve().parent.parent.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("real events are not here: set NUISFLOW_DATA to their folder")
    return folder


@pytest.fixture(autouse=True)
def torch_as_it_was() -> Iterator[None]:
    """Give torch back its default type: pyhf's torch backend changes it for the whole process."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)
