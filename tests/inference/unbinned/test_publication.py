"""A published likelihood is the one that was fitted: a reader of plain numpy finds the same numbers."""

import json
import runpy

import numpy as np
import pytest
from analyses import ROOT
from known_densities import SIGNAL, densities_of, described, simulated

from nuisflow.inference.unbinned import publication
from nuisflow.inference.unbinned.model import UnbinnedModel

READER = ROOT / "config" / "examples" / "published_likelihood.py"
CONTROL = {
    "region": "control",
    "yields": {"background": 120.0, "signal": 3.0},
    "shares": [[0.5, 0.0], [0.3, 0.25], [0.2, 0.75]],
    "slopes": [[0.1, 0.01], [0.0, 0.0], [-0.2, 0.02]],
    "norms": [[0.01, 0.002], [0.0, 0.0]],
}
COUNTS = np.array([62.0, 40.0, 21.0])


def reader():
    return runpy.run_path(str(READER))["Likelihood"]


def rows(model, events):
    """Return events as the publication has them, with their coefficients in single precision."""
    found = np.empty(len(events.weight), publication.record(model, "<f4", [("process", "<i4"), ("weight", "<f8")]))
    found["term"], found["weight"], found["process"] = events.fold, events.weight, events.process
    found["log_ratio"], found["slopes"] = events.values[:, :2], events.values[:, 2:]
    return found


BLOCK = {"parameters": ["shift", "rate"], "correlation": [[1.0, 0.4], [0.4, 1.0]]}


def published(folder, binned, correlations=()):
    model, events = UnbinnedModel(described(binned=binned, correlations=correlations)), simulated(7, 3000)
    events = events._replace(values=events.values.astype(np.float32))
    counts = COUNTS[: len(model.bins)]
    publication.write(folder, model, {"simulation": iter([rows(model, events)])}, {"simulation": counts})
    return model, model.data(events.weight, events.values, events.fold, counts=counts)


@pytest.mark.parametrize(
    ("binned", "correlations"),
    [([], []), ([CONTROL], []), ([], [BLOCK])],
    ids=["events", "events and bins", "correlated"],
)
def test_a_reader_of_plain_numpy_finds_the_same_likelihood_at_random_points(tmp_path, binned, correlations):
    model, data = published(tmp_path, binned, correlations)
    evaluate, random = reader()(tmp_path), np.random.default_rng(3)
    for _ in range(20):
        values = model.inits + np.array([0.5, 1.5, 1.5]) * random.uniform(-1, 1, 3)
        found = evaluate(**dict(zip(model.names, values.tolist(), strict=True)))
        assert found == pytest.approx(model.twice_nll(data, values)[0], rel=1e-9)


def test_the_files_say_what_they_are(tmp_path):
    published(tmp_path, [CONTROL])
    known = json.loads((tmp_path / "likelihood.json").read_text())
    assert {"statistic", "density", "rates", "polynomials", "events", "bins"} == set(known["formulas"])
    assert known["regions"][0]["yields"][known["processes"].index("signal")] == SIGNAL
    assert [row["auxiliary"] for row in known["parameters"]] == [None, 0.0, 0.0]
    page = (tmp_path / "README.md").read_text()
    assert "blinded" in page
    assert "prior standard deviations" in page
    assert np.load(tmp_path / "simulation.npy", mmap_mode="r")["log_ratio"].shape == (6000, 2)


def test_the_example_is_short_and_needs_numpy_only():
    lines = READER.read_text().splitlines()
    assert len(lines) <= 60
    imports = {line.split()[1] for line in lines if line.startswith(("import", "from"))}
    assert imports == {"json", "sys", "pathlib", "numpy"}
    with pytest.raises(ValueError, match="no parameters tes"):
        _unknown()


def _unknown():
    likelihood = reader().__new__(reader())
    likelihood.nominal = {"mu": 1.0}
    likelihood(tes=1.0)


def test_densities_of_events_are_those_of_the_model(tmp_path):
    """Of one event ln R is known: that of the definition in `test_model`."""
    published(tmp_path, [])
    evaluate, x = reader()(tmp_path), np.array([0.3])
    evaluate.weight, evaluate.term = np.ones(1), np.zeros(1, dtype=int)
    evaluate.log_ratio, evaluate.slopes = densities_of(x)[:, :2], densities_of(x)[:, 2:]
    one, two = evaluate(mu=2.0), evaluate(mu=0.0)
    share = np.exp(densities_of(x)[0, :2])
    ratio = (2 * SIGNAL * share[1] + 200.0 * share[0]) / (200.0 * share[0])
    assert one - two == pytest.approx(-2 * np.log(ratio) + 4 * SIGNAL)
