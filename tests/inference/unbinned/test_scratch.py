"""Events on the disk are those in memory, whatever has been given back, and take no memory."""

from pathlib import Path

import numpy as np
import pytest
from known_densities import described, simulated

from nuisflow.inference.unbinned import events as experiments
from nuisflow.inference.unbinned.events import Part
from nuisflow.inference.unbinned.model import UnbinnedModel
from nuisflow.inference.unbinned.scratch import Scratch

BINNED = {
    "region": "control",
    "yields": {"background": 120.0, "signal": 3.0},
    "shares": [[0.5, 0.0], [0.3, 0.25], [0.2, 0.75]],
    "slopes": [[0.1, 0.01], [0.0, 0.0], [-0.2, 0.02]],
    "norms": [[0.01, 0.002], [0.0, 0.0]],
}
BINS = np.array([[60.0, 0.0], [36.0, 0.75], [24.0, 2.25]])


def both(folder, size=30_000):
    """Return a model, and the same events in memory and on the disk in pieces."""
    events = simulated(3, size)._replace(bins=BINS)
    rows = [slice(first, first + 7000) for first in range(0, len(events.weight), 7000)]
    parts = (
        Part("nominal", events.weight[one], events.process[one], events.fold[one], events.values[one]) for one in rows
    )
    return UnbinnedModel(described(binned=[BINNED])), events, experiments.stacked(parts, BINS, Scratch(folder))


def test_arrays_stay_what_they_are_when_their_memory_is_given_back(tmp_path):
    scratch, random = Scratch(tmp_path), np.random.default_rng(1)
    parts = [(random.normal(size=(n, 3)).astype(np.float32), np.arange(n)) for n in (5, 0, 1000)]
    values, numbers = scratch.stacked(parts)
    free = scratch.empty((3, 1000))
    free[:] = 1.5
    for _ in range(2):
        scratch.release()
        assert np.array_equal(values, np.concatenate([part[0] for part in parts]))
        assert np.array_equal(numbers, np.concatenate([part[1] for part in parts]))
        assert (free == 1.5).all()
    assert list(tmp_path.iterdir()) == []  # no names: nothing is left over, however the process ends
    assert [len(array) for array in scratch.stacked([(np.zeros((0, 2)), np.zeros(0))])] == [0, 0]


def test_expected_data_on_the_disk_have_the_same_likelihood(tmp_path):
    model, memory, disk = both(tmp_path)
    for values in (None, np.array([1.5, 0.5, -0.3])):
        known, found = (experiments.asimov(model, events, values) for events in (memory, disk))
        assert found.mapped
        for point in (model.inits, np.array([0.5, -1.0, 0.7])):
            for one, other in zip(model.twice_nll(known, point), model.twice_nll(found, point), strict=True):
                assert np.array_equal(one, other)
        assert np.array_equal(model.fit(known).values, model.fit(found).values)
        assert np.array_equal(known.slope, found.slope)
        assert np.array_equal(known.ratio, found.ratio)


def test_events_on_the_disk_are_thrown_alike(tmp_path):
    model, memory, disk = both(tmp_path)
    moved = [events.scaled(np.array([1.0, 2.0])) for events in (memory, disk)]
    for one, other in zip(
        *(experiments.throw(model, events, model.inits, 30, "x", seed=2) for events in moved), strict=True
    ):
        for name in ("weight", "ratio", "slope", "start", "centre"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is asked of Linux")
def test_a_likelihood_of_mapped_events_takes_no_memory_for_them(tmp_path):
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[2]) * 4096  # of files

    model, _, disk = both(tmp_path, size=400_000)
    data = experiments.asimov(model, disk)
    model.twice_nll(data, model.inits)
    before = resident()
    whole = data.ratio.sum() + data.slope.sum()
    touched = resident() - before
    assert np.isfinite(whole)
    assert touched > 20e6  # 32 bytes an event
    model.twice_nll(data, model.inits)
    assert resident() - before < 0.1 * touched
