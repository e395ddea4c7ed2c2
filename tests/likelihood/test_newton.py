"""Fits side by side equal those one by one, on every kind of model, and do not depend on what runs beside them."""

import os

import numpy as np
import pytest
from workspace_strategies import build

from nuisflow.likelihood import starts, toys
from nuisflow.likelihood.constraints import parameters
from nuisflow.likelihood.covariances import covariance
from nuisflow.likelihood.model import Intervals, Minima, Model

to_the_bit = pytest.mark.skipif(
    os.environ.get("NUMBA_BOUNDSCHECK", "0") not in {"", "0"},
    reason="loops of code that checks indices are not vectorised as a whole: the last digit depends on the place",
)

SIMPLE = ("normsys", "histosys", "staterror", "lumi")


def case(seed, kinds=SIMPLE, **options):
    rng = np.random.default_rng(seed)
    return build(rng, int(rng.integers(1, 4)), int(rng.integers(1, 4)), kinds, wild=False, **options)


def covered(workspace):
    """Let every sample have MC statistics, so that the model is one for fits side by side."""
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [row for row in sample["modifiers"] if row["type"] != "staterror"]
            errors = [0.05 * value for value in sample["data"]]
            sample["modifiers"].append({"name": f"stat_{channel['name']}", "type": "staterror", "data": errors})
    return workspace


def one_by_one(model, data, **options):
    rows = [model.minimise(row, **options) for row in data]
    return Minima(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))


def data_of(model, number, values=None, seed=1):
    return np.concatenate(list(toys.throw(model, values, number, seed)))


@pytest.mark.parametrize("seed", range(12))
def test_side_by_side_equals_one_by_one(seed):
    model = Model(covered(case(seed, scale=[1.0, 30.0, 0.2][seed % 3])))
    data = data_of(model, 40)
    many, single = model.minimise(data), one_by_one(model, data)
    assert many.status.tolist() == single.status.tolist()
    good = many.status == 0
    assert good.any()
    assert many.twice_nll[good] == pytest.approx(single.twice_nll[good], abs=1e-7)
    tight = model.minimise(data, tolerance=1e-10).values[good], one_by_one(model, data, tolerance=1e-10).values[good]
    errors = np.where(model.errors(many, data)[good] > 0, model.errors(many, data)[good], 1.0)
    assert np.abs((tight[0] - tight[1]) / errors).max() < 1e-5


def test_a_workspace_that_does_not_fit_into_lanes_is_fitted_all_the_same():
    model = Model(case(3, (*SIMPLE, "shapesys", "shapefactor", "normfactor"), scale=10.0, bins=3))
    data = data_of(model, 20)
    assert model.minimise(data).twice_nll == pytest.approx(one_by_one(model, data).twice_nll, abs=1e-7)


@to_the_bit
def test_the_place_and_the_neighbours_of_a_data_set_change_nothing():
    model = Model(covered(case(7, scale=5.0)))
    data = data_of(model, 150)
    first, shifted = model.minimise(data), model.minimise(data[23:])
    assert first.values[23:].tolist() == shifted.values.tolist()
    assert first.twice_nll[23:].tolist() == model.minimise(data, workers=3).twice_nll[23:].tolist()


def test_bounds_and_fixed_parameters_hold_side_by_side():
    workspace = covered(case(5, scale=3.0))
    workspace["measurements"][0]["config"]["parameters"] = [
        {"name": "mu", "bounds": [[0.0, 10.0]]}, {"name": "lumi", "inits": [1.0], "bounds": [[0.9, 1.1]],
                                                  "auxdata": [1.0], "sigmas": [0.05]}]  # fmt: skip
    model = Model(workspace)
    data = data_of(model, 100, {"mu": 0.0})
    fits = model.minimise(data)
    at_bound = fits.values[:, model.index("mu")] == 0.0
    assert 0.2 < at_bound.mean() < 0.8
    assert fits.twice_nll == pytest.approx(one_by_one(model, data).twice_nll, abs=1e-7)
    held = np.arange(len(model.names)) == model.index("mu")
    fixed = model.minimise(data, {"mu": 2.0}, held)
    assert (fixed.values[:, model.index("mu")] == 2.0).all()
    assert (fixed.twice_nll >= fits.twice_nll - 1e-8).all()
    assert (model.errors(fixed, data, held)[:, model.index("mu")] == 0.0).all()


@pytest.mark.parametrize("seed", range(6))
def test_errors_of_many_equal_the_exact_covariance_of_each(seed):
    workspace = covered(case(seed, scale=10.0))
    if seed % 2:
        workspace = case(seed, (*SIMPLE, "shapesys"), scale=10.0)
    model = Model(workspace)
    data = data_of(model, 20)
    minima = model.minimise(data)
    errors = model.errors(minima, data)
    for row, values, found, status in zip(data, minima.values, errors, minima.status, strict=True):
        if status == 0:
            matrix, problem = covariance(model, row, values, model.fixed)
            assert not problem
            assert found == pytest.approx(np.sqrt(np.diagonal(matrix)), rel=1e-8, abs=1e-12)


def test_errors_of_a_failed_fit_are_not_numbers():
    model = Model(covered(case(2)))
    data = data_of(model, 20)
    minima = model.minimise(data)
    failed = minima._replace(status=np.where(np.arange(20) == 4, 1, minima.status))
    errors = model.errors(failed, data)
    assert np.isnan(errors[4]).all()
    assert np.isfinite(errors[5]).all()


def careful_intervals(model, minima, parameter, data):
    rows = [
        model.intervals(Minima(*(part[i : i + 1] for part in minima)), parameter, data[i]) for i in range(len(data))
    ]
    return Intervals(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))


@pytest.mark.parametrize("seed", range(12))
def test_intervals_of_many_equal_those_found_one_by_one(seed):
    model = Model(covered(case(seed, scale=[3.0, 30.0, 1.0][seed % 3])))
    data = data_of(model, 40, seed=seed)
    minima = starts.deepest(model, data)
    dense = [row.name for row in model.parameters if not row.fixed and row.kind != "staterror"]
    for parameter in dense[:3]:
        many, single = model.intervals(minima, parameter, data), careful_intervals(model, minima, parameter, data)
        assert many.flags.tolist() == single.flags.tolist()
        good = (minima.status == 0) & (single.flags & 4 == 0)
        assert good.any()
        for one, other in zip(many[:3], single[:3], strict=True):
            assert np.abs((one - other)[good] / single.error[good]).max() < 1e-5


def test_intervals_of_many_end_at_bounds():
    workspace = covered(case(5, scale=3.0))
    workspace["measurements"][0]["config"]["parameters"][0] |= {"name": "mu", "bounds": [[0.0, 10.0]]}
    model = Model(workspace)
    data = data_of(model, 100, {"mu": 0.3})
    minima = model.minimise(data)
    many, single = model.intervals(minima, "mu", data), careful_intervals(model, minima, "mu", data)
    assert many.flags.tolist() == single.flags.tolist()
    assert 0.1 < (many.flags & 1 > 0).mean() < 1.0  # of the lower ends, those of weak signals are at the bound
    assert (many.low[many.flags & 1 > 0] == 0.0).all()
    assert many.high == pytest.approx(single.high, rel=1e-6)


@to_the_bit
def test_the_neighbours_of_a_data_set_do_not_change_its_interval():
    model = Model(covered(case(7, scale=5.0)))
    data = data_of(model, 150)
    minima = model.minimise(data)
    later = Minima(*(part[23:] for part in minima))
    all_, some = model.intervals(minima, "mu", data), model.intervals(later, "mu", data[23:])
    assert all_.low[23:].tolist() == some.low.tolist()
    assert all_.high.tolist() == model.intervals(minima, "mu", data, workers=3).high.tolist()


def one_sided():
    """Return a model whose variation adds events in the same bin up and down: minima on both sides of 0."""
    shape = {"hi_data": [100.0, 150.0], "lo_data": [100.0, 145.0]}
    samples = [
        {"name": "s", "data": [5.0, 5.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": [100.0, 100.0], "modifiers": [{"name": "a", "type": "histosys", "data": shape}]},
    ]
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-20, 20]]}]}
    return Model({
        "channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [105.0, 140.0]}],
        "measurements": [{"name": "m", "config": config}], "version": "1.0.0",
    })  # fmt: skip


def test_one_sided_variations_are_recognised_and_their_deepest_minimum_found():
    model = one_sided()
    assert [model.names[i] for i in starts.two_sided(model)] == ["a"]
    data = np.tile(model.data, (20, 1))
    wrong, right = model.minimise(data, {"a": -1.0}), model.minimise(data, {"a": 1.0})
    assert (wrong.twice_nll > right.twice_nll + 1e-3).all()
    assert starts.deepest(model, data, {"a": -1.0}).twice_nll == pytest.approx(right.twice_nll, abs=1e-7)


def test_models_whose_variations_mirror_each_other_are_fitted_once():
    model = Model(covered(case(4, scale=10.0)))
    assert not len(starts.two_sided(model))
    data = data_of(model, 20)
    assert starts.deepest(model, data).iterations.tolist() == model.minimise(data).iterations.tolist()


def test_a_fixed_parameter_is_not_mirrored():
    model = one_sided()
    held = np.array([name == "a" for name in model.names])
    assert (starts.deepest(model, np.tile(model.data, (20, 1)), {"a": -0.7}, held).values[:, held] == -0.7).all()


@pytest.mark.slow
def test_hardly_any_fit_of_wild_models_misses_the_deepest_of_ten_random_starts():
    missed, before, total = 0, 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        model = Model(build(rng, 2, 3, SIMPLE, scale=float(rng.choice([1, 10, 100])), wild=True))
        try:
            data = data_of(model, 30)
        except ValueError:  # random templates that expect less than nothing
            continue
        found, single = starts.deepest(model, data), model.minimise(data)
        spread = np.where(model.fixed, 0.0, np.nan_to_num(parameters.widths(model.parameters)))
        best = found.twice_nll.copy()
        for _ in range(10):
            other = model.minimise(data, model.inits + 1.5 * spread * rng.standard_normal((30, len(spread))))
            best = np.minimum(best, np.where(other.status == 0, other.twice_nll, np.inf))
        missed += int((found.twice_nll > best + 1e-4).sum())
        before += int((single.twice_nll > best + 1e-4).sum())
        total += 30
    assert before > 0.01 * total  # that is why there are further starts
    assert missed < 0.005 * total
