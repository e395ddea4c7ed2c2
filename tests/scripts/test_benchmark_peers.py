"""The benchmark against other engines: what it gives them is our model, and who does not run is named."""

import sys
from pathlib import Path

import numpy as np
import pytest
from analyses import ROOT

sys.path.append(str(ROOT / "tests" / "benchmarks"))
import benchmark_fits
import benchmark_peers
import peer_fits

from nuisflow.likelihood.model import Model

WORKSPACE = benchmark_fits.workspace(2, 5, 3, 6)


def test_a_workspace_in_arrays_expects_the_same_events_at_one_standard_deviation_of_every_parameter():
    model = Model(WORKSPACE)
    parts = peer_fits._arrays(peer_fits.Job(Path(), WORKSPACE, list(model.names), np.empty(0)))
    assert {*parts.names, "mu"} == {name for name in model.names if not name.startswith("stat")}
    for p, name in enumerate(parts.names):
        for value in (1.0, -1.0):
            shapes = parts.nominal + value * parts.odd[p] + 8.0 * parts.even[p]
            powers = value ** np.arange(1, 7)
            factors = 1.0 + np.tensordot(powers, parts.coefficients[:, p], 1)
            np.testing.assert_allclose(factors, np.exp(value * parts.up[p] if value > 0 else parts.down[p]), rtol=1e-12)
            expected = (shapes * factors[:, parts.channel]).sum(axis=0)
            np.testing.assert_allclose(expected, model.expected({name: value}), rtol=1e-10)


def test_the_factor_of_the_rate_between_its_ends_is_code_4():
    pyhf = pytest.importorskip("pyhf")
    up, down = np.log(np.array([1.3])), np.log(np.array([0.9]))
    code = pyhf.interpolators.code4(np.array([[[[0.9], [1.0], [1.3]]]]))
    for value in (-1.0, -0.6, 0.2, 0.5, 1.0):
        ours = 1.0 + value ** np.arange(1, 7) @ peer_fits._code4(up, down)
        assert ours[0] == pytest.approx(float(np.squeeze(code(np.array([[value]])))), rel=1e-12)


def test_a_peer_that_does_not_run_is_named_with_its_reason(capsys):
    case = benchmark_peers.Case("small", lambda: WORKSPACE, 2, 1, {"NextStat": 1})
    assert not list(benchmark_peers.benchmark(case, {"NextStat": Path(sys.executable)}, 60))
    assert "small, NextStat: ModuleNotFoundError: No module named 'nextstat'" in capsys.readouterr().err


def test_fits_that_are_not_at_the_minimum_do_not_count():
    model = Model(WORKSPACE)
    best = model.minimise(tolerance=1e-10).values[0]
    found = np.array([best, best + 0.5, np.full_like(best, np.nan)])
    data = np.repeat(model.asimov(best)[None, :], 3, axis=0)
    data[:, : model.bins] = model.split(None)[0]
    data[:, model.bins :] = model.asimov()[model.bins :]
    assert benchmark_peers._good(model, data, found, "RooFit").tolist() == [True, False, False]
