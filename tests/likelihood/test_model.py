"""The compiled likelihood against pyhf, against automatic derivatives, and against brute force."""

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workspace_strategies import KINDS, build, point, workspaces

from nuisflow.likelihood.model import Model

SLOW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
QUICK = settings(SLOW, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def pyhf():
    module = pytest.importorskip("pyhf")
    yield module
    module.set_backend("numpy")


def oracle(pyhf, workspace, **options):
    book = pyhf.Workspace(workspace)
    model = book.model(**options)
    return model, book.data(model)


def interpolations(normsys, histosys):
    return {"modifier_settings": {"normsys": {"interpcode": normsys}, "histosys": {"interpcode": histosys}}}


@SLOW
@given(workspaces(), seeds)
def test_twice_nll_equals_pyhf(pyhf, workspace, seed):
    pyhf.set_backend("numpy")
    theirs, data = oracle(pyhf, workspace)
    ours = Model(workspace)
    assert list(ours.names) == theirs.config.par_names
    assert ours.data == pytest.approx(data, rel=1e-12)
    assert ours.fixed.tolist() == theirs.config.suggested_fixed()
    assert [(row.lower, row.upper) for row in ours.parameters] == [
        tuple(row) for row in theirs.config.suggested_bounds()
    ]
    values = point(np.random.default_rng(seed), ours.parameters)
    expected = -2.0 * float(theirs.logpdf(values, data)[0])
    assert ours.twice_nll(values)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert ours.expected(values) == pytest.approx(theirs.expected_actualdata(values), rel=1e-10)
    assert ours.asimov(values) == pytest.approx(theirs.expected_data(values), rel=1e-10)


@settings(QUICK, max_examples=20)
@given(workspaces(), seeds, st.sampled_from(["code1", "code4"]), st.sampled_from(["code0", "code4p"]))
def test_every_interpolation_code_equals_pyhf(pyhf, workspace, seed, normsys, histosys):
    pyhf.set_backend("numpy")
    theirs, data = oracle(pyhf, workspace, **interpolations(normsys, histosys))
    ours = Model(workspace, normsys=normsys, histosys=histosys)
    values = 2.0 * point(np.random.default_rng(seed), ours.parameters)
    values = np.clip(values, ours.lower, ours.upper)
    expected = -2.0 * float(theirs.logpdf(values, data)[0])
    if math.isfinite(expected):
        assert ours.twice_nll(values)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_interpolation_code_2_equals_pyhf_where_pyhf_is_continuous(pyhf):
    """Beyond one standard deviation pyhf 0.7.6 forgets the value there; RooFit, and we, go on from it."""
    pyhf.set_backend("numpy")
    workspace = build(np.random.default_rng(4), 2, 3, ("histosys",))
    theirs, data = oracle(pyhf, workspace, **interpolations("code4", "code2"))
    ours = Model(workspace, histosys="code2")
    for seed in range(10):
        noise = np.random.default_rng(seed).uniform(-1.0, 1.0, len(ours.names))
        values = np.where([row.kind == "histosys" for row in ours.parameters], noise, ours.inits)
        expected = -2.0 * float(theirs.logpdf(values, data)[0])
        assert ours.twice_nll(values)[0] == pytest.approx(expected, rel=1e-9)
    edge = [ours.expected({name: 1.0 + step for name in ours.names if name != "mu"}) for step in (-1e-9, 1e-9)]
    assert edge[0] == pytest.approx(edge[1], rel=1e-7)


@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy:UserWarning")
@settings(SLOW, max_examples=40)
@given(workspaces(), seeds, st.sampled_from(["code1", "code4"]), st.sampled_from(["code0", "code4p"]))
def test_gradient_and_hessian_equal_automatic_derivatives(pyhf, workspace, seed, normsys, histosys):
    torch = pytest.importorskip("torch")
    pyhf.set_backend("pytorch", precision="64b")
    theirs, data = oracle(pyhf, workspace, **interpolations(normsys, histosys))
    ours = Model(workspace, normsys=normsys, histosys=histosys)
    values = point(np.random.default_rng(seed), ours.parameters)

    def function(x):
        return -2.0 * theirs.logpdf(x, torch.tensor(data, dtype=torch.float64))[0]

    at = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(function(at), at)[0].numpy()
    hessian = torch.autograd.functional.hessian(function, at.detach()).numpy()
    result = ours.derivatives(values)
    assert result.gradient[0] == pytest.approx(gradient, rel=1e-7, abs=1e-9 + 1e-7 * np.abs(gradient).max())
    assert result.hessian[0] == pytest.approx(hessian, rel=1e-6, abs=1e-9 + 1e-7 * np.abs(hessian).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_modifier_type_alone_has_exact_derivatives(kind):
    rng = np.random.default_rng(KINDS.index(kind))
    model = Model(build(rng, 2, 3, (kind,)))
    values, step = point(rng, model.parameters), 1e-6
    result = model.derivatives(values)
    for i in range(len(values)):
        shift = step * (np.arange(len(values)) == i)
        up, down = model.derivatives(values + shift), model.derivatives(values - shift)
        assert result.gradient[0, i] == pytest.approx((up.twice_nll[0] - down.twice_nll[0]) / (2 * step), abs=1e-4)
        assert result.hessian[0, i] == pytest.approx(
            (up.gradient[0] - down.gradient[0]) / (2 * step), rel=1e-5, abs=1e-3
        )


def test_derivative_by_a_signal_strength_of_zero_is_not_zero():
    workspace = build(np.random.default_rng(1), 1, 3, ("normfactor", "normsys"), bins=4)
    for sample in workspace["channels"][0]["samples"]:
        if not any(row["name"] == "k0" for row in sample["modifiers"]):
            sample["modifiers"].append({"name": "k0", "type": "normfactor", "data": None})
    model = Model(workspace)
    one, none = model.expected({"mu": 1.0}), model.expected({"mu": 0.0})
    _, jacobian = model.cells({"mu": 0.0})
    assert jacobian[:4, model.index("mu")] == pytest.approx(one - none)
    # Without data -ln L is the sum of the rates: its mixed derivative is the yield without both factors.
    hessian = model.derivatives({"mu": 0.0, "k0": 0.0}, np.zeros(4)).hessian[0]
    assert hessian[model.index("mu"), model.index("k0")] == pytest.approx(2.0 * (one - none).sum())


@SLOW
@given(workspaces(), seeds)
def test_minimum_is_a_minimum(workspace, seed):
    model = Model(workspace)
    fit = model.minimise(tolerance=1e-10)
    if fit.status[0] != 0:
        return  # flat directions are legitimate here: two free rates on the same samples
    assert fit.twice_nll[0] == pytest.approx(model.twice_nll(fit.values)[0], rel=1e-12)
    free = ~model.fixed
    gradient = model.derivatives(fit.values).gradient[0]
    errors = 1.0 / np.sqrt(np.maximum(np.diagonal(model.derivatives(fit.values).hessian[0]), 1e-12))
    inside = free & (fit.values[0] > model.lower) & (fit.values[0] < model.upper)
    assert np.abs(gradient * errors)[inside].max(initial=0.0) < 1e-4
    assert (gradient[free & (fit.values[0] <= model.lower)] >= -1e-6).all()
    assert (gradient[free & (fit.values[0] >= model.upper)] <= 1e-6).all()
    rng = np.random.default_rng(seed)
    for _ in range(20):
        near = np.where(free, fit.values[0] + rng.normal(0, 0.05, len(errors)), fit.values[0])
        near = np.clip(near, model.lower, model.upper)
        assert model.twice_nll(near)[0] >= fit.twice_nll[0] - 1e-9


@pytest.mark.parametrize("kind", ["staterror", "shapesys", "shapefactor"])
@pytest.mark.parametrize("mixed", [False, True])
def test_profiled_bin_parameter_equals_brute_force(kind, mixed):
    optimize = pytest.importorskip("scipy.optimize")
    data = {"staterror": [1.2, 2.0, 0.5], "shapesys": [1.2, 2.0, 0.5], "shapefactor": None}[kind]
    samples = [
        {"name": "a", "data": [10.0, 20.0, 0.3], "modifiers": [{"name": "g", "type": kind, "data": data}]},
        {"name": "b", "data": [5.0, 0.1, 1.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
    ]
    if not mixed and kind == "staterror":
        samples[1]["modifiers"].append({"name": "g", "type": kind, "data": [0.1, 0.1, 0.1]})
    workspace = {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [14.0, 0.0, 5.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}], "version": "1.0.0",
    }  # fmt: skip
    model = Model(workspace)
    held = np.arange(len(model.names)) == model.index("mu")
    for mu in (0.0, 0.7, 3.0):
        fit = model.minimise(start={"mu": mu}, fixed=held)
        for number in range(3):
            i = model.index(f"g[{number}]")

            def function(x, i=i, fit=fit):
                values = fit.values[0].copy()
                values[i] = x
                return model.twice_nll(values)[0]

            best = optimize.minimize_scalar(function, bounds=(model.lower[i], model.upper[i]), options={"xatol": 1e-10},
                                            method="bounded")  # fmt: skip
            assert fit.twice_nll[0] <= best.fun + 1e-9
            assert fit.values[0, i] == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize(("scale", "strength"), [(1.0, 0.0), (0.01, 1.0), (100.0, 1.0), (0.02, 0.0)])
def test_all_toys_converge_also_at_the_bound_and_with_empty_bins(scale, strength):
    workspace = build(np.random.default_rng(5), 2, 3, ("normsys", "histosys", "staterror"), bins=8, scale=scale,
                      wild=False)  # fmt: skip
    workspace["measurements"][0]["config"]["parameters"] = [{"name": "mu", "bounds": [[0.0, 10.0]]}]
    model = Model(workspace)
    rng, truth = np.random.default_rng(6), model.asimov({"mu": strength})
    main = rng.poisson(truth[: model.bins], (300, model.bins))
    fits = model.minimise(main)
    assert (fits.status == 0).all()
    if strength == 0.0:
        assert 0.3 < (fits.values[:, model.index("mu")] == 0.0).mean() < 0.7
    other = model.minimise(main, {"mu": 3.0})
    assert other.twice_nll == pytest.approx(fits.twice_nll, abs=1e-7)


def test_data_sets_do_not_influence_each_other():
    model = Model(build(np.random.default_rng(7), 2, 3, ("normsys", "staterror", "shapesys")))
    data = np.random.default_rng(8).poisson(model.expected(), (50, model.bins))
    together = model.minimise(data, workers=2)
    alone = model.minimise(data[31])
    assert together.values[31].tolist() == alone.values[0].tolist()
    assert together.twice_nll[31] == alone.twice_nll[0]


def test_several_staterrors_in_one_bin_are_fitted():
    workspace = build(np.random.default_rng(9), 1, 3, ("normsys",), bins=3)
    for number, sample in enumerate(workspace["channels"][0]["samples"]):
        errors = [0.1 * value for value in sample["data"]]
        sample["modifiers"].append({"name": f"stat_{number}", "type": "staterror", "data": errors})
    fit = Model(workspace).minimise()
    assert fit.status[0] == 0


def broken(change):
    workspace = copy.deepcopy(
        build(np.random.default_rng(3), 2, 2, ("normsys", "histosys", "staterror", "shapesys"), bins=3)
    )
    change(workspace)
    return workspace


def sample_of(workspace):
    return workspace["channels"][1]["samples"][0]


def config_of(workspace):
    return workspace["measurements"][0]["config"]["parameters"]


def modifier_of(workspace, kind):
    return next(m for c in workspace["channels"] for s in c["samples"] for m in s["modifiers"] if m["type"] == kind)


@pytest.mark.parametrize(("change", "words"), [
    (lambda w: w.pop("channels"), "'channels'"),
    (lambda w: sample_of(w).pop("modifiers"), "channel c1, sample s0: 'modifiers' is missing"),
    (lambda w: sample_of(w).update(colour="red"), "unknown entry 'colour'"),
    (lambda w: sample_of(w)["data"].append(1.0), "channel c1, sample s1: 3 bins, sample s0 has 4|channel has|4"),
    (lambda w: sample_of(w)["data"].__setitem__(1, math.nan), "channel c1, sample s0: bin 1 is nan"),
    (lambda w: sample_of(w)["data"].__setitem__(0, "many"), "channel c1, sample s0: expected a list of numbers"),
    (lambda w: modifier_of(w, "histosys")["data"]["hi_data"].pop(), "hi_data: 2 bins where the channel has 3"),
    (lambda w: modifier_of(w, "histosys")["data"]["lo_data"].__setitem__(2, math.inf), "lo_data: bin 2 is inf"),
    (lambda w: modifier_of(w, "normsys")["data"].update(hi=-0.1), "normsys a.*must be positive"),
    (lambda w: modifier_of(w, "staterror").update(type="staterr"), "no modifier type 'staterr'"),
    (lambda w: w["observations"].pop(), "observations: none for channel c1"),
    (lambda w: w["observations"][0]["data"].append(3.0), "observation c0: 4 bins where the channel has 3"),
    (lambda w: w["observations"][0]["data"].__setitem__(2, -1.0), "observation c0: bin 2 is negative"),
    (lambda w: w["measurements"][0]["config"].update(poi="nu"), "parameter of interest 'nu' is not among"),
    (lambda w: config_of(w).append({"name": "a2", "sigmas": [1.0, 2.0]}), "a2.*sigmas"),
    (lambda w: config_of(w).append({"name": "stat_c0", "bounds": [[0, 1]]}), "1 values"),
    (lambda w: sample_of(w)["data"].__setitem__(1, -500.0), "channel c1, bin 1: -.* events are expected"),
])  # fmt: skip
def test_bad_workspace_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        Model(broken(change))


def test_unknown_measurement_code_and_parameter_are_named():
    workspace = build(np.random.default_rng(3), 1, 2, ())
    with pytest.raises(ValueError, match="no measurement 'other' in the workspace; there are measurement"):
        Model(workspace, "other")
    with pytest.raises(ValueError, match="no interpolation code 'code2'; choose one of code1, code4"):
        Model(workspace, normsys="code2")
    with pytest.raises(ValueError, match="no parameter 'nu'; there are: mu"):
        Model(workspace).index("nu")


@pytest.mark.parametrize(("data", "words"), [
    ([1.0], "expected 4 bins"), ([1.0, 2.0, math.nan, 1.0], "channel c0, bin 2 is nan"), ([1, -2, 1, 1], "bin 1 is -2"),
])  # fmt: skip
def test_bad_data_is_named(data, words):
    model = Model(build(np.random.default_rng(3), 1, 2, (), bins=4))
    with pytest.raises(ValueError, match=words):
        model.minimise(data)
