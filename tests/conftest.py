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
# Bytecode stays for the next process: the tests start hundreds, in each of which Python would compile the library anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first, so that no worker has one of them left when the other has nothing.

    These are the files that start Snakemake, then those with slow tests.
    """
    marked = [{item.path for item in items if item.get_closest_marker(name)} for name in ("workflow", "slow")]
    items.sort(key=lambda item: [item.path not in paths for paths in marked])


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
