"""Large models, fitted in blocks, against the kernels that fit one data set after the other, and against pyhf."""

import large_models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspace_strategies import point, workspaces

from nuisflow.likelihood import covariances, fits, limits, model, starts, uncertainties
from nuisflow.likelihood.blocks import curvature, evaluation, steps
from nuisflow.likelihood.constraints import parameters
from nuisflow.likelihood.model import Model
from nuisflow.likelihood.valleys import profiles

QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def case():
    return large_models.workspace(3, parameters=110, bins=40, channels=5, samples=3, share=0.4)


@pytest.fixture(scope="module")
def large(case):
    found = Model(case)
    assert found.large
    return found


@pytest.fixture
def dense(case, monkeypatch):
    """Return the same model, fitted by the kernels with the whole Hessian: the oracle."""
    monkeypatch.setattr(model, "LARGE", 10**9)
    found = Model(case)
    assert not found.large
    return found


@QUICK
@given(workspaces(), st.integers(0, 2**32 - 1))
def test_value_gradient_and_hessian_in_blocks_equal_those_of_the_kernels(workspace, seed):
    ours = Model(workspace)
    if not evaluation.possible(ours.plan):
        return
    values = point(np.random.default_rng(seed), ours.parameters)
    main, auxiliary = ours.split()
    blocks, held = evaluation.Blocks(ours.plan), np.ones((1, len(values)), dtype=bool)
    lanes = steps.lanes_of(blocks, steps.Problem(main, auxiliary, values[None, :], held))
    expected, (bins, gradient) = ours.derivatives(values), blocks.evaluate(lanes)
    if not np.isfinite(expected.twice_nll[0]):
        assert not np.isfinite(bins.nll[0])
        return
    assert 2.0 * bins.nll[0] + ours.constants()[0] == pytest.approx(expected.twice_nll[0], rel=1e-9, abs=1e-9)
    hessian, size = 0.5 * expected.hessian[0], np.abs(expected.hessian[0]).max()
    assert 2.0 * gradient[:, 0] == pytest.approx(expected.gradient[0][blocks.dense], rel=1e-9, abs=1e-9 * size)
    found, some = curvature.at(blocks, lanes), blocks.local >= 0
    assert found.dense == pytest.approx(hessian[np.ix_(blocks.dense, blocks.dense)], rel=1e-9, abs=1e-9 * size)
    local = blocks.local[some]
    assert found.cross[:, some] == pytest.approx(hessian[np.ix_(blocks.dense, local)], rel=1e-9, abs=1e-9 * size)
    assert found.joint[some] == pytest.approx(hessian[local, local], rel=1e-9, abs=1e-9 * size)


def test_a_signal_strength_of_0_keeps_its_derivative(large):
    values = large.point({"mu": 0.0})
    main, auxiliary = large.split()
    held = np.ones((1, len(values)), dtype=bool)
    lanes = steps.lanes_of(large.blocks, steps.Problem(main, auxiliary, values[None, :], held))
    slope = large.blocks.evaluate(lanes)[1][large.blocks.dense == large.index("mu"), 0]
    assert 2.0 * slope == pytest.approx(large.derivatives(values).gradient[0][large.index("mu")], rel=1e-12)
    assert abs(slope) > 1.0
    hessian = 0.5 * large.derivatives(values).hessian[0][np.ix_(large.blocks.dense, large.blocks.dense)]
    assert curvature.at(large.blocks, lanes).dense == pytest.approx(hessian, rel=1e-9, abs=1e-9 * np.abs(hessian).max())


def test_a_fit_goes_on_in_another_metric_where_one_does_not_lead_to_the_end(large, monkeypatch):
    expected = large.minimise(tolerance=1e-10)
    monkeypatch.setattr(steps, "_ROUNDS", 6)
    monkeypatch.setattr(type(large), "one_by_one", lambda *_: None)  # what is left would have no value
    found = large.minimise(tolerance=1e-10)
    assert found.status[0] == 0
    assert found.iterations[0] > 6
    assert found.twice_nll == pytest.approx(expected.twice_nll, abs=1e-8)
    assert found.values == pytest.approx(expected.values, abs=1e-5)


def test_the_fit_of_a_large_model_is_that_of_the_kernels_and_its_depth_is_that_of_pyhf(case, large, dense):
    pyhf = pytest.importorskip("pyhf")
    found = fits.fit(large)
    oracle = dense.minimise(tolerance=1e-12)
    assert found.converged
    assert found.twice_nll == pytest.approx(oracle.twice_nll[0], abs=1e-8)
    assert found.values == pytest.approx(oracle.values[0], abs=1e-5)
    listed = large_models.plain(case)
    book = pyhf.Workspace(listed)
    theirs = book.model()
    assert -2.0 * float(theirs.logpdf(found.values, book.data(theirs))[0]) == pytest.approx(found.twice_nll, abs=1e-8)
    assert found.covariance == pytest.approx(
        np.linalg.inv(0.5 * dense.derivatives(found.values).hessian[0]), rel=1e-7, abs=1e-10
    )


def test_fits_side_by_side_with_parameters_held_are_those_of_the_kernels(large, dense):
    best, count = fits.fit(large).values, 12
    held, start = np.tile(large.fixed, (count, 1)), np.tile(best, (count, 1))
    index = np.linspace(0, len(best) - 1, count).astype(int)  # also factors of single bins
    start[np.arange(count), index] += 0.5 * parameters.widths(large.parameters)[index]
    held[np.arange(count), index] = True
    found = large.minimise(None, start, held, tolerance=1e-10, near=best)
    oracle = dense.minimise(None, start, held, tolerance=1e-12)
    assert (found.status == 0).all()
    assert found.twice_nll == pytest.approx(oracle.twice_nll, abs=1e-8)
    assert found.values == pytest.approx(oracle.values, abs=1e-5)


def test_a_data_set_is_fitted_alike_in_whatever_company(large):
    data = np.random.default_rng(4).poisson(large.expected(), (5, large.bins)).astype(float)
    together, alone = large.minimise(data), large.minimise(data[3:4])
    assert together.values[3] == pytest.approx(alone.values[0], abs=1e-9)


def test_intervals_and_limits_of_a_large_model_are_those_of_the_kernels(case, large, monkeypatch):
    found, ends = limits.limits(large), fits.interval(large)
    monkeypatch.setattr(model, "LARGE", 10**9)
    dense = Model(case)
    oracle, expected = limits.limits(dense), fits.interval(dense)
    assert (ends.low, ends.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert ends.error == pytest.approx(expected.error, rel=1e-6)
    assert (found.observed, *found.expected) == pytest.approx((oracle.observed, *oracle.expected), rel=1e-5)
    assert found.problems == ()


def test_the_breakdown_of_a_large_model_is_that_of_the_kernels(case, large, monkeypatch):
    found = uncertainties.breakdown(large)
    monkeypatch.setattr(model, "LARGE", 10**9)
    oracle = uncertainties.breakdown(Model(case))
    assert found[:4] == pytest.approx(oracle[:4], rel=1e-5)
    for one, two in zip(found.sources, oracle.sources, strict=True):
        assert (one.group, one.frozen, one.observable) == (
            two.group, pytest.approx(two.frozen, rel=1e-4), pytest.approx(two.observable, rel=1e-4, nan_ok=True)
        )  # fmt: skip


def test_a_flat_direction_of_a_large_model_is_named(case):
    flat = large_models.plain(case)
    for channel in flat["channels"]:
        channel["samples"][0]["modifiers"].append({"name": "twin", "type": "normfactor", "data": None})
    found = fits.fit(Model(flat))
    assert not found.converged
    assert "flat mostly along mu" in found.message or "flat mostly along twin" in found.message


def test_a_bound_that_a_large_model_reaches_is_where_it_stops(large):
    data = large.asimov({"mu": 0.0})
    data[: large.bins] *= 0.9
    found = fits.fit(large, data)
    assert found.values[large.index("mu")] == 0.0
    assert "mu is at its lower bound 0" in found.message
    slope = large.derivatives(found.values, data).gradient[0]
    free = ~large.fixed & (np.arange(len(slope)) != large.index("mu"))
    assert slope[large.index("mu")] > 0.0
    assert slope[free] == pytest.approx(0.0, abs=1e-4)


def test_changes_along_a_direction_are_those_by_the_whole_jacobian(large):
    rng = np.random.default_rng(5)
    direction = rng.standard_normal(len(large.names))
    rates, slopes = covariances.totals(large, large.inits)
    found, change = covariances.along(large, large.inits, direction)
    assert found == pytest.approx(rates, rel=1e-12)
    assert change == pytest.approx(slopes @ direction, rel=1e-10)


@pytest.fixture(scope="module")
def valleys():
    """Return a large model whose signal is the same at mu and 6 - mu; a small background tells them apart."""
    found = large_models.workspace(3, parameters=110, bins=60, channels=5, samples=3)
    for channel in found["channels"]:
        signal, background = channel["samples"][:2]
        polynomial = {"name": "mu", "type": "polynomial", "data": [1.0, -0.9, 0.15]}
        signal["modifiers"] = [polynomial if row["name"] == "mu" else row for row in signal["modifiers"]]
        linear = [{"name": "mu", "type": "normfactor", "data": None}]
        channel["samples"].append({"name": "zz", "data": 0.02 * np.array(background["data"]), "modifiers": linear})
    model = Model(found)
    assert model.large
    return model


@pytest.mark.parametrize("truth", [0.5, 5.5])
def test_a_large_model_is_fitted_in_the_valley_of_the_truth(valleys, truth):
    data = valleys.asimov({"mu": truth})
    other = profiles.Profile(valleys, data, valleys.index("mu"), valleys.inits).conditional(6.0 - truth).twice_nll
    found = fits.fit(valleys, data)
    assert found.values[valleys.index("mu")] == pytest.approx(truth, abs=1e-5)
    assert found.twice_nll == pytest.approx(valleys.constants(data)[0], abs=1e-7)  # nothing describes them better
    assert other > found.twice_nll + 0.1
    top = profiles.Profile(valleys, data, valleys.index("mu"), valleys.inits).conditional(3.0).twice_nll
    assert top > other + 1.0  # a ridge between two valleys


def test_valleys_of_many_data_sets_are_those_of_each_alone(valleys):
    data = valleys.asimov(np.array([valleys.point({"mu": mu}) for mu in (0.5, 5.5, 0.3, 5.8)]))
    together = starts.deepest(valleys, data, tolerance=1e-8)
    assert together.values[:, valleys.index("mu")] == pytest.approx([0.5, 5.5, 0.3, 5.8], abs=1e-4)
    alone = [fits.fit(valleys, row).twice_nll for row in data]
    assert together.twice_nll == pytest.approx(alone, abs=1e-6)


def test_a_profile_of_a_large_model_knows_the_valleys_of_another_parameter(valleys):
    """At a value of a nuisance parameter mu is in either valley; the oracle fits at all values of mu."""
    data, index = valleys.asimov({"mu": 5.5}), valleys.index("rate0000") if "rate0000" in valleys.names else 0
    profile = profiles.Profile(valleys, data, index, valleys.inits)
    found = profile.conditional(0.5, thorough=True)
    held = valleys.fixed.copy()
    held[[index, valleys.index("mu")]] = True
    line = np.linspace(5.0, 6.0, 21)
    begins = np.tile(found.values, (len(line), 1))
    begins[:, valleys.index("mu")] = line
    lowest = valleys.minimise(data, begins, held, tolerance=1e-8).twice_nll.min()
    assert found.twice_nll <= lowest + 1e-6
    assert found.values[valleys.index("mu")] > 4.0


def test_the_inverse_of_a_matrix_of_nothing_is_nothing_without_a_word(capfd):
    assert steps.inverted(np.empty((0, 0))).shape == (0, 0)
    assert capfd.readouterr() == ("", "")
