"""Fits against pyhf with a tight minimiser, exact linear algebra, and known answers."""

import itertools
import logging
import math

import numpy as np
import pytest
from studies import random_limits
from workspace_strategies import KINDS, build

from nuisflow.likelihood import fits, limits, starts, toys, uncertainties
from nuisflow.likelihood.model import Model
from nuisflow.likelihood.valleys import profiles

TIGHT = {"tolerance": 1e-10, "maxiter": 100_000}


@pytest.fixture(scope="module")
def pyhf():
    module = pytest.importorskip("pyhf")
    logging.getLogger("pyhf").setLevel(logging.CRITICAL)
    module.set_backend("numpy", module.optimize.scipy_optimizer(**TIGHT))
    yield module
    module.set_backend("numpy")


@pytest.fixture(scope="module")
def workspace():
    return build(
        np.random.default_rng(12), 2, 3, ("normsys", "histosys", "staterror", "lumi"), bins=6, scale=5.0, wild=False
    )


@pytest.fixture(scope="module")
def model(workspace):
    return Model(workspace)


def counting(signal=10.0, background=50.0, observed=60.0, modifiers=(), bounds=(-10.0, 20.0)):
    samples = [
        {"name": "s", "data": [signal], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
        {"name": "b", "data": [background], "modifiers": list(modifiers)},
    ]
    return {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [observed]}], "version": "1.0.0",
        "measurements": [{"name": "m", "config": {
            "poi": "mu", "parameters": [{"name": "mu", "bounds": [list(bounds)]}]}}],
    }  # fmt: skip


def random_case(seed):
    rng = np.random.default_rng(seed)
    kinds = tuple(kind for kind in KINDS if kind != "shapefactor" and rng.random() < 0.5)
    channels, samples = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    return build(rng, channels, samples, kinds, scale=float(rng.choice([1, 1, 0.05, 50])),
                 bins=int(rng.integers(5, 9)), wild=False)  # fmt: skip


def compare(pyhf, case):
    """Return 2 NLL above pyhf's, the largest difference in units of the errors, and whether ours converged."""
    ours = fits.fit(Model(case))
    book = pyhf.Workspace(case)
    theirs = book.model()
    try:
        values, twice = pyhf.infer.mle.fit(book.data(theirs), theirs, return_fitted_val=True)
    except pyhf.exceptions.FailedMinimization:
        return -math.inf, 0.0, ours.converged
    if (np.asarray(theirs.expected_actualdata(values)) < -1e-6).any():  # which no data can have
        assert "expected rate" not in ours.message or not ours.converged
        return -math.inf, 0.0, ours.converged
    errors = np.where(ours.errors > 0, ours.errors, np.inf)
    above = ours.twice_nll - float(twice)
    return above, np.abs((ours.values - values) / errors).max() if ours.converged else 0.0, ours.converged


@pytest.mark.filterwarnings("ignore")
def test_fits_equal_pyhf_on_a_few_workspaces(pyhf):
    results = [compare(pyhf, random_case(seed)) for seed in range(12)]
    assert max(row[0] for row in results) < 1e-7
    assert max(row[1] for row in results if row[0] > -1e-9) < 1e-4


@pytest.mark.slow
@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_fits_equal_pyhf_on_100_random_workspaces(pyhf):
    results = [compare(pyhf, random_case(1000 + seed)) for seed in range(135)]
    converged = [row for row in results if row[2]]
    assert len(converged) >= 100  # the others: two free rates with one template, named as flat
    assert max(row[0] for row in results) < 1e-7
    same = [row for row in converged if row[0] > -1e-9]  # elsewhere pyhf stopped above our minimum
    assert len(same) > 0.8 * len(converged)
    assert max(row[1] for row in same) < 1e-4


@pytest.mark.parametrize("closeness", [1e-3, 1e-4])
@pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy:UserWarning")
def test_errors_are_exact_where_the_model_is_ill_conditioned(pyhf, closeness):
    """Two free rates on nearly the same template: condition number beyond 1e6, finite differences are lost there."""
    torch = pytest.importorskip("torch")
    shape = np.array([100.0, 120.0, 90.0, 60.0, 40.0])
    tilt = 1.0 + closeness * np.array([-1.0, 1.0, -1.0, 1.0, -1.0])
    case = {
        "channels": [{"name": "c", "samples": [
            {"name": "s", "data": (1e3 * shape).tolist(),
             "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
            {"name": "b", "data": (1e3 * shape * tilt).tolist(),
             "modifiers": [{"name": "k", "type": "normfactor", "data": None},
                           {"name": "a", "type": "normsys", "data": {"hi": 1.05, "lo": 0.95}}]}]}],
        "observations": [{"name": "c", "data": np.round(1e3 * shape * (1 + tilt)).tolist()}], "version": "1.0.0",
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [
            {"name": "mu", "bounds": [[-50, 50]]}, {"name": "k", "bounds": [[-50, 50]]}]}}],
    }  # fmt: skip
    model = Model(case)
    result = fits.fit(model)
    hessian = 0.5 * model.derivatives(result.values).hessian[0]
    assert result.converged
    assert np.linalg.cond(hessian) > 1e6
    pyhf.set_backend("pytorch", precision="64b")
    book = pyhf.Workspace(case)
    theirs = book.model()
    data = torch.tensor(book.data(theirs), dtype=torch.float64)
    at = torch.tensor(result.values, dtype=torch.float64)
    automatic = torch.autograd.functional.hessian(lambda x: -theirs.logpdf(x, data)[0], at)
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(**TIGHT))
    exact = torch.linalg.inv(automatic).numpy()
    assert result.errors == pytest.approx(np.sqrt(np.diagonal(exact)), rel=1e-5)
    assert result.covariance[0, 1] == pytest.approx(exact[0, 1], rel=1e-5)
    interval = fits.interval(model, None, "mu")
    assert 0.5 * (interval.high - interval.low) == pytest.approx(result.errors[model.index("mu")], rel=0.02)
    held = fits.fit(model, fixed={"mu": interval.high})
    assert held.twice_nll - result.twice_nll == pytest.approx(1.0, abs=1e-4)


def test_asimov_data_return_the_values_they_were_made_of(model):
    values = model.point({"mu": 1.7, "a0": 0.5})
    result = fits.fit(model, model.asimov(values))
    assert result.values == pytest.approx(values, abs=1e-6)
    assert result.converged
    assert limits.goodness_of_fit(model, model.asimov(values)).statistic == pytest.approx(0.0, abs=1e-9)


def test_intervals_rise_by_one_at_both_ends(model):
    best = fits.fit(model)
    for name in ("mu", "a0", "stat_c0[2]", "lumi"):
        found = fits.interval(model, None, name, result=best)
        for end in (found.low, found.high):
            held = fits.fit(model, fixed={name: end})
            assert held.twice_nll - best.twice_nll == pytest.approx(1.0, abs=2e-4)
        two = fits.interval(model, None, name, sigmas=2.0, result=best)
        assert two.low < found.low < found.value < found.high < two.high


def test_errors_equal_those_of_the_intervals_kernel(model):
    best, minima = fits.fit(model), model.minimise(tolerance=1e-10)
    for name in ("mu", "a1", "stat_c1[0]"):
        assert model.intervals(minima, name).error[0] == pytest.approx(best.errors[model.index(name)], rel=1e-6)


def test_interval_warns_where_it_disagrees_with_the_hessian():
    low = fits.interval(Model(counting(signal=3.0, background=0.5, observed=2.0, bounds=(0.0, 20.0))))
    assert "disagrees" in low.message
    assert fits.interval(Model(counting(1e3, 1e4, 1.1e4))).message == ""
    edge = fits.interval(Model(counting(observed=40.0, bounds=(0.0, 20.0))))
    assert edge.low == edge.value == 0.0
    assert "lower end is at the bound" in edge.message


def test_scan_is_the_profile(model):
    best = fits.fit(model)
    points = best.values[model.index("mu")] + best.errors[model.index("mu")] * np.array([-1.0, 0.0, 1.0])
    scan = fits.scan(model, None, "mu", points)
    assert scan.converged.all()
    assert scan.twice_delta_nll[1] == pytest.approx(0.0, abs=1e-8)
    expected = [fits.fit(model, fixed={"mu": point}).twice_nll - best.twice_nll for point in points]
    assert scan.twice_delta_nll == pytest.approx(expected, abs=1e-8)


def test_impacts_of_observables_add_up_to_the_total_error(model):
    best, index = fits.fit(model, model.asimov()), model.index("mu")
    shifts = uncertainties.observable_shifts(model, model.asimov(), best, "mu")
    systematic = np.nansum((0.5 * (shifts[0] - shifts[1])) ** 2)
    parts = uncertainties.breakdown(model, model.asimov())
    statistics = next(row.observable for row in parts.sources if row.group == uncertainties.STATISTICS)
    assert math.sqrt(systematic + statistics**2) == pytest.approx(best.errors[index], rel=0.01)


def test_impact_is_the_change_of_the_refitted_parameter_of_interest(model):
    best, rows = fits.fit(model), {row.parameter: row for row in uncertainties.impacts(model)}
    assert set(rows) == set(model.names) - {"mu"} - {
        name for name, held in zip(model.names, model.fixed, strict=True) if held
    }
    for name in ("a0", "stat_c0[1]"):
        i, row = model.index(name), rows[name]
        up = fits.fit(model, fixed={name: best.values[i] + best.errors[i]}).values[model.index("mu")]
        assert row.up == pytest.approx(up - best.values[model.index("mu")], abs=1e-6)
    sizes = [max(abs(row.up), abs(row.down)) for row in uncertainties.impacts(model)]
    assert sizes == sorted(sizes, reverse=True)


def test_breakdown_by_freezing_equals_refits(model):
    parts = uncertainties.breakdown(model, None, groups={"shapes": ["a0", "a1"]})
    best = fits.fit(model)
    held = {name: best.values[model.index(name)] for name in ("a0", "a1")}
    frozen = fits.interval(model, fixed=held, result=best)
    size = 0.5 * (frozen.high - frozen.low)
    shapes = next(row for row in parts.sources if row.group == "shapes")
    assert shapes.frozen == pytest.approx(math.sqrt(parts.sigma_total**2 - size**2), rel=1e-3)
    assert [row.group for row in parts.sources] == ["statistics", "shapes", "other", "MC statistics"]
    assert parts.sigma_stat**2 + parts.sigma_syst**2 == pytest.approx(parts.sigma_total**2)
    assert 0 < parts.sigma_mcstat < parts.sigma_total
    with pytest.raises(ValueError, match="no parameter or modifier 'a9'; there are: a0, a1"):
        uncertainties.breakdown(model, None, groups={"shapes": ["a9"]})


def test_breakdown_of_a_counting_experiment_is_known():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}
    model = Model(counting(100.0, 1000.0, 1100.0, [rate]))
    parts = uncertainties.breakdown(model, groups={"rates": ["rate"]})
    assert parts.sigma_stat == pytest.approx(math.sqrt(1100) / 100, rel=0.01)
    assert parts.sources[1].frozen == pytest.approx(1000 * math.log(1.1) / 100, rel=0.02)
    assert parts.sources[1].observable == pytest.approx(1000 * math.log(1.1) / 100, rel=0.02)


def test_the_breakdown_of_a_constrained_parameter_has_its_own_measurement():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.01, "lo": 1.0 / 1.01}}
    samples = [{"name": "s", "data": [1.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
               {"name": "b", "data": [10_000.0], "modifiers": [rate]}]  # fmt: skip
    book = {"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [10_001.0]}],
            "measurements": [{"name": "m", "config": {"poi": "rate", "parameters": [{"name": "mu", "fixed": True}]}}],
            "version": "1.0.0"}  # fmt: skip
    parts = {row.group: row.observable for row in uncertainties.breakdown(Model(book)).sources}
    # Two measurements of one number, both of width 1: rate moves 10,000 events by 100, their fluctuation.
    assert parts == pytest.approx({uncertainties.STATISTICS: 0.5, uncertainties.OWN: 0.5}, rel=0.01)


def test_a_frozen_parameter_never_widens_the_interval(model):
    total = fits.interval(model)
    for name in ("a0", "a1", "lumi"):
        best = fits.fit(model)
        frozen = fits.interval(model, fixed={name: best.values[model.index(name)]}, result=best)
        assert frozen.high - frozen.low <= total.high - total.low + 1e-9


def test_postfit_yields_match_numerical_propagation(model):
    result, step = fits.fit(model), 1e-6
    rows = {(row.channel, row.bin, row.sample): row for row in fits.yields(model, result)}
    above, below = (result.values + sign * step * np.eye(len(result.values)) for sign in (1, -1))
    slopes = np.array([(model.expected(up) - model.expected(down)) / (2 * step)
                       for up, down in zip(above, below, strict=True)]).T  # fmt: skip
    errors = np.sqrt(np.diagonal(slopes @ result.covariance @ slopes.T))
    assert [rows["c0", b, "total"].error for b in range(6)] == pytest.approx(errors[:6], rel=1e-5)
    parts = [rows["c1", 3, sample].value for sample in model.structure.samples]
    assert sum(parts) == pytest.approx(rows["c1", 3, "total"].value)
    prefit = fits.yields(model)[0]
    assert prefit.value == pytest.approx(model.cells()[0][0])
    assert prefit.error > 0


def test_pulls_and_correlations_of_an_asimov_fit(model):
    result = fits.fit(model, model.asimov({"a0": 1.0}))
    pulls = {row.parameter: row for row in fits.pulls(model, result)}
    assert pulls["a0"].pull == pytest.approx(1.0, abs=1e-6)
    assert 0 < pulls["a0"].constraint <= 1.0 + 1e-9
    assert pulls["lumi"].pull == pytest.approx((1.0 - 1.02) / 0.03, abs=1e-5)
    matrix = fits.correlations(result)
    assert np.diagonal(matrix) == pytest.approx(1.0)
    assert np.abs(matrix).max() <= 1.0 + 1e-9


@pytest.mark.filterwarnings("ignore")
def test_limits_and_significance_equal_pyhf(pyhf, workspace, model):
    book = pyhf.Workspace(workspace)
    theirs = book.model()
    data = book.data(theirs)
    theirs.config.par_map["mu"]["paramset"].suggested_bounds = [(0.0, 20.0)]  # what q-tilde assumes
    observed, expected = pyhf.infer.hypotest(1.5, data, theirs, test_stat="qtilde", return_expected_set=True)
    ours = limits.cls(model, None, 1.5)
    assert ours.observed == pytest.approx(float(observed), rel=1e-3)
    assert ours.expected == pytest.approx([float(value) for value in expected], rel=2e-3)
    found = limits.limits(model)
    assert limits.cls(model, None, found.observed).observed == pytest.approx(0.05, abs=1e-6)
    assert found.expected[0] < found.expected[2] < found.expected[4]
    assert limits.cls(model, None, found.expected[2]).expected[2] == pytest.approx(0.05, abs=1e-6)
    p_value = float(pyhf.infer.hypotest(0.0, data, theirs, test_stat="q0"))
    assert limits.significance(model).p_value == pytest.approx(p_value, rel=1e-3)


def test_goodness_of_fit_counts_degrees_of_freedom(model):
    found = limits.goodness_of_fit(model)
    assert found.degrees == 12 - 1
    assert 0.0 < found.p_value < 1.0
    absurd = np.tile([1.0, 4.0], 6) * model.expected()
    assert limits.goodness_of_fit(model, absurd).p_value < 1e-10


def test_a_flat_direction_is_named():
    free = {"name": "k", "type": "normfactor", "data": None}
    case = counting(modifiers=[free])
    result = fits.fit(Model(case))
    assert not result.converged
    assert "flat mostly along" in result.message
    assert np.isnan(result.errors).any()


def test_a_parameter_at_its_bound_is_named():
    result = fits.fit(Model(counting(observed=30.0, bounds=(0.0, 10.0))))
    assert result.converged
    assert "mu is at its lower bound 0" in result.message


def test_no_bin_expects_fewer_than_no_events():
    """With 10 mu + 5 events expected and none observed: mu = -0.5, and 2 (10 mu + 5) = 1 at the upper end."""
    model = Model(counting(signal=10.0, background=5.0, observed=0.0))
    result, found = fits.fit(model), fits.interval(model)
    assert result.converged
    assert result.values[0] == pytest.approx(-0.5, abs=1e-8)
    assert "beyond it channel c, bin 0, which has no data, would expect a negative number" in result.message
    assert (found.low, found.high) == pytest.approx((-0.5, -0.45), abs=1e-6)
    assert "the lower end is at the bound; the physical region ends where channel c, bin 0" in found.message


def test_a_signal_that_takes_events_away_ends_where_none_are_left():
    result = fits.interval(Model(counting(signal=-2.0, background=6.0, observed=0.0)))
    assert (result.value, result.high) == pytest.approx((3.0, 3.0), abs=1e-8)
    assert result.low == pytest.approx(2.75)


def edge_case(seed):
    """Return a workspace with few events and bins without data, and wide bounds."""
    rng = np.random.default_rng(seed)
    kinds = [("histosys", "normsys"), ("histosys", "staterror"), ("histosys", "shapesys")][seed % 3]
    case = build(rng, 1 + seed % 2, 2, kinds, bins=3, scale=0.1, wild=False)
    for row in case["observations"]:
        row["data"] = [float(n * (rng.random() < 0.4)) for n in row["data"]]
    case["measurements"][0]["config"]["parameters"][0]["bounds"] = [[-20.0, 20.0]]
    return case


@pytest.mark.parametrize("seed", range(9))
def test_fits_and_intervals_at_the_edge_of_the_physical_region_are_those_of_another_minimiser(seed):
    model = Model(edge_case(seed))
    result, found, at = fits.fit(model), fits.interval(model), model.index("mu")
    oracle = random_limits.Oracle(model, model.data)
    lowest, _ = oracle.minimum({}, [result.values, *random_limits.starts(model)])
    assert result.twice_nll == pytest.approx(lowest, abs=1e-6)
    assert model.expected(result.values).min() > -1e-6
    for end in (found.low, found.high):
        if model.lower[at] < end < model.upper[at] and abs(end - found.value) > 1e-6:
            rise, _ = oracle.minimum({at: end}, [result.values, *random_limits.starts(model)])
            assert rise - lowest == pytest.approx(1.0, abs=1e-3) or "physical region ends" in found.message


def test_zero_data_are_fitted():
    model = Model(counting(observed=0.0, bounds=(0.0, 10.0)))
    result = fits.fit(model)
    assert result.values[0] == 0.0
    assert result.twice_nll == pytest.approx(2 * 50.0)
    found = fits.interval(model)
    assert found.high == pytest.approx(0.05, rel=1e-3)  # 2 x 10 mu = 1


def test_data_without_any_expectation_is_not_converged():
    case = counting(background=0.0, observed=5.0)
    model = Model(case)
    result = fits.fit(model, fixed={"mu": 0.0})
    assert not result.converged
    assert "channel c, bin 0 has data but no expected events" in result.message


def test_fixed_parameters_stay_and_unknown_ones_are_named(model):
    result = fits.fit(model, fixed={"mu": 2.0})
    assert result.values[model.index("mu")] == 2.0
    assert result.errors[model.index("mu")] == 0.0
    with pytest.raises(ValueError, match="no parameter 'nu'"):
        fits.fit(model, fixed={"nu": 1.0})


def test_minuit_agrees_where_it_takes_over(model):
    pytest.importorskip("iminuit")
    best = fits.fit(model)
    values, twice, good, message = profiles.minimise_with_minuit(model, None, model.inits, model.fixed, "asked for")
    assert good
    assert "Minuit" in message
    assert twice == pytest.approx(best.twice_nll, abs=1e-6)
    assert values == pytest.approx(best.values, abs=1e-4)


def of_the_signal_alone(observed, bounds=(0.0, 10.0)):
    """Return a workspace whose signal has an efficiency without a prior, and the same without that."""
    free = {"name": "shape", "type": "histosys", "data": {"lo_data": [4.0, 4.0], "hi_data": [6.5, 2.0]}}
    rate = {"name": "rate", "type": "normsys", "data": {"lo": 0.9, "hi": 1.1}}
    mu = {"name": "mu", "type": "normfactor", "data": None}
    return [
        {"channels": [{"name": "c", "samples": [{"name": "s", "data": [5.0, 3.0], "modifiers": [mu, *more]},
                                                {"name": "b", "data": [10.0, 12.0], "modifiers": [rate]}]}],
         "observations": [{"name": "c", "data": list(observed)}], "version": "1.0.0",
         "measurements": [{"name": "m", "config": {
             "poi": "mu", "parameters": [{"name": "mu", "bounds": [list(bounds)]}]}}],
         "extensions": {"constraints": {row["name"]: {"type": "none"} for row in more}}}
        for more in ([free], [])
    ]  # fmt: skip


@pytest.mark.parametrize("fixed", [None, {"mu": 0.0}])
def test_what_acts_on_a_signal_of_0_alone_has_the_error_of_its_range_and_changes_no_other(fixed):
    model, without = map(Model, of_the_signal_alone([8.0, 9.0]))
    found, other = fits.fit(model, fixed=fixed), fits.fit(without, fixed=fixed)
    assert found.converged
    assert "flat here, without a prior: shape (the error is that of the range)" in found.message
    errors, rest = (dict(zip(row.names, row.errors, strict=True)) for row in (found, other))
    assert errors["shape"] == pytest.approx(10.0 / math.sqrt(12.0))  # uniform from -5 to 5
    alone = fits.fit(without, fixed={"mu": 0.0})
    assert errors["rate"] == pytest.approx(alone.errors[alone.names.index("rate")], rel=1e-6)
    assert found.twice_nll == pytest.approx(other.twice_nll, abs=1e-8)
    assert found.values[found.names.index("mu")] == 0.0
    assert set(rest) < set(errors)


def test_pseudo_experiments_whose_signal_is_fitted_to_be_0_count():
    model, _ = map(Model, of_the_signal_alone([10.0, 12.0]))
    found = toys.run(model, {"mu": 0.0}, 200, 1)
    assert found.fitted.all()
    assert (found.value == 0.0).mean() > 0.2


def test_what_acts_on_nothing_at_all_is_still_a_flat_direction():
    book, _ = of_the_signal_alone([8.0, 9.0])
    book["channels"][0]["samples"][0]["modifiers"][1]["data"] = {"lo_data": [5.0, 3.0], "hi_data": [5.0, 3.0]}
    found = fits.fit(Model(book))
    assert not found.converged
    assert "flat mostly along shape" in found.message


@pytest.mark.parametrize(
    ("up", "down", "seen", "signal"),
    [([116.0, 120.0], [126.0, 121.0], [113.0, 107.0], [5.0, 2.0]),
     ([116.0, 127.0], [127.0, 129.0], [143.0, 114.0], [16.0, 4.0])],
)  # fmt: skip
def test_an_interval_reaches_as_far_as_any_valley_of_the_likelihood(up, down, seen, signal):
    """Both variations add events, so that minima lie on either side of 0, of which the deeper one counts everywhere."""
    shape = {"name": "a", "type": "histosys", "data": {"hi_data": up, "lo_data": down}}
    samples = [{"name": "s", "data": signal, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
               {"name": "b", "data": [100.0, 100.0], "modifiers": [shape]}]  # fmt: skip
    model = Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": seen}],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [
                       {"name": "mu", "bounds": [[-20, 20]], "inits": [1.0]}]}}], "version": "1.0.0"})  # fmt: skip
    strengths, shifts = np.linspace(-6.0, 6.0, 241), np.linspace(-3.0, 3.0, 601)
    points = np.zeros((len(strengths), len(shifts), 2))
    points[..., model.index("mu")], points[..., model.index("a")] = strengths[:, None], shifts
    profile = model.twice_nll(points.reshape(-1, 2)).reshape(points.shape[:2]).min(axis=1)
    inside = strengths[profile < profile.min() + 1.0]
    found = fits.interval(model)
    assert (found.low, found.high) == pytest.approx((inside.min(), inside.max()), abs=0.06)
    thrown = toys.fitted(model, np.tile(model.data, (20, 1)), model.inits, "mu")
    assert thrown.low == pytest.approx(found.low, abs=1e-4)
    assert thrown.high == pytest.approx(found.high, abs=1e-4)


def same_sided(rng, parameters):
    """Return a workspace whose variations do nearly the same up and down, and a data set of true values off nominal."""
    bins, samples = int(rng.integers(2, 8)), []
    for index in range(3):
        rates = rng.uniform(5, 100, bins)
        modifiers = [{"name": "mu", "type": "normfactor", "data": None}] if index == 0 else []
        for number in range(parameters):
            if rng.random() < 0.3:
                continue
            up, down = (list(rates * (1 + rng.uniform(0.02, 0.4, bins))) for _ in range(2))
            data = {"hi_data": up, "lo_data": down}
            modifiers.append({"name": f"shape{number}", "type": "histosys", "data": data})
        samples.append({"name": f"sample{index}", "data": list(rates), "modifiers": modifiers})
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-5, 10]], "inits": [1.0]}]}
    model = Model(
        {
            "channels": [{"name": "c", "samples": samples}],
            "observations": [{"name": "c", "data": [0.0] * bins}],
            "measurements": [{"name": "m", "config": config}],
            "version": "1.0.0",
        }
    )
    truth = {name: rng.uniform(0, 3) if name == "mu" else 1.5 * rng.normal() for name in model.names}
    data = np.array(model.data)
    data[:bins] = rng.poisson(np.ravel(model.expected(model.point(truth))))
    return model, data


@pytest.mark.parametrize("parameters", [2, 3, 4])
def test_of_several_parameters_with_two_sides_the_deepest_combination_is_found(parameters):
    rng, above, of_toys = np.random.default_rng(parameters), 0, 0
    for _ in range(60):
        model, data = same_sided(rng, parameters)
        signs = itertools.product((-1.0, 1.0), repeat=len(model.names) - 1)
        begins = [[next(sign) if name != "mu" else 1.0 for name in model.names] for sign in map(iter, signs)]
        every = model.minimise(data, np.array(begins))
        lowest = every.twice_nll[every.status == 0].min()
        above += fits.fit(model, data).twice_nll > lowest + 1e-4
        of_toys += starts.deepest(model, data).twice_nll[0] > lowest + 1e-4
    assert above == 0
    assert of_toys <= 1  # which have fewer starts
