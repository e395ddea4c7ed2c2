"""What is best possible: the analytic bound and the optimal classifier, against the published and recomputed numbers."""

import math

import numpy as np
import pandas as pd
import pytest
from analyses import ROOT, changed, shipped
from scipy import stats

from nuisflow.comparison import references, scenarios
from nuisflow.settings.checks import reading
from nuisflow.slices.scenarios import slice_of

SCENARIOS = ("b0", "b1", "b2", "b3", "b4")
# Recomputed with 2-4 million events per class, independently of this project's code.
RECOMPUTED = {
    "Analytic likelihood": ((14.69, 15.49, 15.62, 15.59, 16.86), 0.01),
    "Optimal classifier, 10 uniform bins": ((15.00, 19.38, 24.94, 22.28, 28.31), 0.02),
    "Optimal classifier, 10 quantile bins": ((14.91, 17.67, 22.81, 20.84, 25.31), 0.02),
    "Optimal classifier, 20 quantile bins": ((14.79, 17.37, 22.46, 20.65, 24.95), 0.02),
}


@pytest.fixture(scope="module")
def inferno():
    """The reference rows of the INFERNO benchmark, by label."""
    found = references.rows(slice_of(reading.check(shipped("inferno"))))
    return {row["training"]: [row[name] for name in SCENARIOS] for row in found}


@pytest.mark.parametrize("label", RECOMPUTED)
def test_the_references_of_inferno_are_the_recomputed_ones(inferno, label):
    expected, tolerance = RECOMPUTED[label]
    assert inferno[label] == pytest.approx(expected, rel=tolerance)


def test_the_references_of_inferno_are_the_published_ones(inferno):
    published = pd.read_csv(ROOT / "config" / "published" / "inferno.csv").set_index("training")
    for label in ("Analytic likelihood", "Optimal classifier, 10 uniform bins"):
        assert inferno[label] == pytest.approx(published.loc[label, list(SCENARIOS)].astype(float).tolist(), rel=0.02)


def test_nothing_published_or_binned_is_below_the_analytic_likelihood(inferno):
    published = pd.read_csv(ROOT / "config" / "published" / "inferno.csv")
    bound = np.array(inferno["Analytic likelihood"])
    for values in [*(np.array(row) for row in inferno.values()), *published[list(SCENARIOS)].to_numpy()]:
        assert (values > bound * 0.998).all()


def test_the_bound_agrees_with_an_integral_on_a_grid(inferno):
    assert inferno["Analytic likelihood"] == pytest.approx(_on_a_grid(), rel=2e-3)


def _on_a_grid():
    """Return the bound from its definition, by trapezoids and Gauss-Laguerre, with derivatives worked out by hand."""
    x0, x1 = np.linspace(-12, 16, 141), np.linspace(-24, 24, 241)
    nodes, weights = np.polynomial.laguerre.laggauss(32)
    cells = (x0[1] - x0[0]) * (x1[1] - x1[0]) * weights * np.exp(nodes) / 2
    x0, x1, x2 = np.meshgrid(x0, x1, nodes / 2, indexing="ij")
    signal = stats.norm.pdf(x0) * stats.norm.pdf(x1) * 2 * np.exp(-2 * x2)
    background = stats.norm.pdf(x0, 2, math.sqrt(5)) * stats.norm.pdf(x1, 0, 3) * 3 * np.exp(-3 * x2)
    slopes = [signal, 1000 * background * (x0 - 2) / 5, 1000 * background * (1 / 3 - x2), background]
    total = 50 * signal + 1000 * background
    full = np.array([[np.sum(cells * a * b / total) for a in slopes] for b in slopes])
    priors = [0, 1 / 0.4**2, 1.0, 1 / 100**2]
    found = []
    for floating, constrained in ((1, False), (2, False), (3, False), (3, True), (4, True)):
        matrix = full[:floating, :floating] + np.diag(priors[:floating]) * constrained
        found.append(math.sqrt(np.linalg.inv(matrix)[0, 0]))
    return found


def test_the_unbinned_limit_of_the_rotating_gaussians():
    rows = {row["training"]: row for row in references.rows(slice_of(reading.check(shipped("gaussian"))))}
    assert rows["Analytic likelihood"]["known"] == pytest.approx(0.0676, abs=0.0001)
    assert rows["Optimal classifier, 10 quantile bins"]["known"] == pytest.approx(0.0685, rel=0.01)
    assert rows["Optimal classifier, 10 uniform bins"]["known"] == pytest.approx(0.0867, rel=0.01)


def test_there_are_no_references_where_densities_are_not_known():
    content = changed(shipped("config"), ("scenarios", {"tes": {"constrained": ["tes"]}}))
    assert references.rows(slice_of(reading.check(content))) == []


@pytest.mark.parametrize("seed", range(5))
def test_no_binning_of_events_has_more_information_than_all_of_them(seed, monkeypatch):
    # Any partition of the events, here along a random direction, with exact derivatives from the same events.
    monkeypatch.setattr(references, "BLOCKS", 1)
    monkeypatch.setattr(references, "BLOCK", 20_000)
    settings = slice_of(reading.check(shipped("inferno")))
    known = references.truth(settings)
    full = references.unbinned(known)
    columns = next(references._mixtures(known))
    densities = {process: np.exp(known.module.log_density(process, columns, {})) for process in known.expected}
    weights = 1 / np.mean(list(densities.values()), axis=0) / len(columns["x0"])
    slopes = np.array(list(references._slopes(known, columns, densities)))
    total = sum(known.expected[process] * values for process, values in densities.items())
    generator = np.random.default_rng(seed)
    direction = generator.normal(size=3) @ np.stack(list(columns.values()))
    index = np.searchsorted(
        np.quantile(direction, np.sort(generator.uniform(size=generator.integers(1, 40)))), direction
    )
    bins = [np.bincount(index, weights * values) for values in (total, *slopes)]
    names = [scenarios.POI, *known.parameters]
    binned = scenarios.information(scenarios.Expectation(bins[0], dict(zip(names, bins[1:], strict=True))))
    for scenario in settings.scenarios.values():
        bound = scenarios.uncertainty(full, names, scenario)
        reached = scenarios.uncertainty(binned, names, scenario)
        assert np.isnan(reached) or reached >= bound * (1 - 1e-6)
