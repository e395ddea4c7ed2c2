"""Limits against closed formulae, brute force and the logarithms of the tails; where there is none, it says why."""

import json
import math

import numpy as np
import pytest
from scipy import optimize, stats
from studies import random_limits

from nuisflow.likelihood import fits, limits
from nuisflow.likelihood.commands import limit as limit_command
from nuisflow.likelihood.commands import line, question
from nuisflow.likelihood.model import Model


def workspace(samples, observed, bounds=(0.0, 100.0), parameters=()):
    parts = [{"name": name, "data": list(data), "modifiers": list(modifiers)} for name, data, modifiers in samples]
    poi = {"name": "mu", "bounds": [list(bounds)], "inits": [min(1.0, bounds[1])]}
    return {
        "channels": [{"name": "c", "samples": parts}],
        "observations": [{"name": "c", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [poi, *parameters]}}],
        "version": "1.0.0",
    }


MU = {"name": "mu", "type": "normfactor", "data": None}


def counting(signal, background, observed, bounds=(0.0, 100.0), modifiers=()):
    return workspace([("s", [signal], [MU]), ("b", [background], modifiers)], [observed], bounds)


def deviance(count, rate):
    return 2.0 * (rate - count + (count * math.log(count / rate) if count else 0.0))


def counted(signal, background, observed, band=None):
    """Return the CLs limit of a counting experiment with a known background, by logarithms of the normal tails."""
    best = max((observed - background) / signal, 0.0)

    def excess(mu):
        rate = background + mu * signal
        lowest = deviance(observed, background + best * signal)
        q = 0.0 if mu <= best else deviance(observed, rate) - lowest
        root = math.sqrt(max(deviance(background, rate), 0.0))
        shift = math.sqrt(q) - root if q <= root**2 else (q - root**2) / (2.0 * root)
        shift = shift if band is None else -band
        return stats.norm.logsf(shift + root) - stats.norm.logsf(shift) - math.log(0.05)

    return optimize.brentq(excess, 1e-3, 1e3, xtol=1e-12)


def run(capsys, tmp_path, case, *options):
    """Return the exit status, the answer and the messages of a command on a workspace."""
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(case))
    status = line.main([options[0], str(path), *options[1:], "--output", str(tmp_path / "answer.json")])
    return status, json.loads((tmp_path / "answer.json").read_text()), capsys.readouterr().err


@pytest.mark.parametrize("observed", [4000, 5000, 9000, 9900, 10_000, 10_300, 13_000])
def test_limits_are_those_of_the_logarithms_of_the_tails_from_60_sigma_below_to_30_above(observed):
    found = limits.limits(Model(counting(50.0, 10_000.0, observed)))
    assert found.problems == ()
    assert found.observed == pytest.approx(counted(50.0, 10_000.0, observed), rel=1e-5)
    bands = [counted(50.0, 10_000.0, observed, band) for band in limits.BANDS]
    assert found.expected == pytest.approx(bands, rel=1e-5)


def test_a_deficit_of_50_sigma_has_the_known_limit(capsys, tmp_path):
    status, found, _ = run(capsys, tmp_path, counting(50.0, 10_000.0, 5000), "limit")
    assert status == 0
    assert found["limits"][0]["mu"] == pytest.approx(0.11975, abs=1e-5)
    assert limits.limits(Model(counting(50.0, 10_000.0, 9000))).observed == pytest.approx(0.58578, abs=1e-5)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 2.0, 30.0, 300.0, 3e4])
@pytest.mark.parametrize("root", [1e-3, 0.1, 1.6, 5.0])
def test_the_ratio_of_tails_is_that_of_their_logarithms(shift, root):
    expected = np.exp(stats.norm.logsf(shift + root) - stats.norm.logsf(shift))
    assert limits.tail_ratio(shift, root) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_data_that_no_signal_explains_give_no_limit(capsys, tmp_path):
    rate = {"name": "k", "type": "normsys", "data": {"lo": 0.9, "hi": 1.1}}
    case = workspace([("s", [0.0, 5.0, 2.0], [MU]), ("b", [0.0, 20.0, 8.0], [rate])], [1, 24, 9], (0.0, 10.0))
    status, found, messages = run(capsys, tmp_path, case, "limit")
    assert status == 1
    assert [row["mu"] for row in found["limits"]] == [None] * 6
    assert found["best_fit"] is None
    assert found["sigmas"] is None
    assert "there are no limits: the fit without signal failed" in messages


def test_a_bin_that_a_shape_empties_is_named_instead_of_the_data(capsys, tmp_path):
    shape = {"name": "h", "type": "histosys", "data": {"lo_data": [10.0, 66.0], "hi_data": [0.0, 54.0]}}
    case = workspace([("s", [2.0, 4.0], [MU]), ("b", [5.0, 60.0], [shape])], [0, 50], (0.0, 10.0))
    status, found, messages = run(capsys, tmp_path, case, "limit")
    assert status == 1
    assert {row["mu"] for row in found["limits"]} == {None}
    assert "there are no limits: the fit without signal lies at the edge of the physical region" in messages
    assert "channel c, bin 0, which has no data, would expect a negative number of events (mostly by h)" in messages
    assert "data:" not in messages


def test_nothing_that_is_not_a_number_is_taken_for_a_sign():
    def broken(value):
        return math.nan if value > 1.0 else 0.95

    found, why = limits._root(broken, 0.3, 10.0, lambda: "it broke")
    assert math.isnan(found)
    assert why == "is not found up to 1; beyond, it broke"
    found, why = limits._root(lambda value: math.nan if 0.1 < value < 0.9 else 0.5 - value, 1.0, 10.0, lambda: "so")
    assert math.isnan(found)
    assert "at 0.5, so" in why


def test_a_bracket_without_a_crossing_gives_no_number():
    found, why = limits._root(lambda value: 0.9 if value < math.e else -0.05, 1.0, 10.0, str)
    assert math.isnan(found)
    assert "jumps over its level at 2.718" in why


def test_a_root_beyond_a_failing_step_is_still_found():
    found, why = limits._root(lambda value: math.nan if value > 3.0 else 2.0 - value, 8.0, 10.0, str)
    assert (found, why) == (pytest.approx(2.0), "")


def test_a_limit_beyond_the_bounds_says_what_it_needs_and_is_found_when_asked(capsys, tmp_path):
    expected = counted(50.0, 10_000.0, 10_100)
    status, found, messages = run(capsys, tmp_path, counting(50.0, 10_000.0, 10_100, (0.0, 2.0)), "limit")
    assert status == 1
    assert found["limits"][0]["mu"] is None
    assert f"beyond the upper bound 2 of mu; with wider bounds it is {expected:.4g}" in messages
    status, found, _ = run(capsys, tmp_path, counting(50.0, 10_000.0, 10_100, (0.0, 2.0)), "limit", "--widen")
    assert status == 0
    assert found["limits"][0]["mu"] == pytest.approx(expected, rel=1e-5)


def test_an_expected_limit_is_that_of_data_without_signal(capsys, tmp_path):
    rate = {"name": "k", "type": "normsys", "data": {"lo": 0.8, "hi": 1.25}}
    case = workspace([("s", [10.0, 3.0], [MU]), ("b", [30.0, 80.0], [rate])], [44, 85], (0.0, 20.0))
    status, found, _ = run(capsys, tmp_path, case, "limit", "--asimov")
    assert status == 0
    assert [row["limit"] for row in found["limits"]] == list(limits.NAMES[1:])
    without = workspace([("s", [10.0, 3.0], [MU]), ("b", [30.0, 80.0], [rate])], [30, 80], (0.0, 20.0))
    oracle = random_limits.cls(Model(without), Model(without).data, found["limits"][2]["mu"])
    assert oracle[3] == pytest.approx(0.05, abs=1e-6)
    assert found["best_fit"] == pytest.approx(1.0)


def test_fits_of_a_limit_find_the_deeper_of_two_minima():
    """A shape that does the same up and down: the better side of it depends on the signal strength."""
    shape = {"name": "a", "type": "histosys",
             "data": {"hi_data": [120.0, 95.0, 130.0], "lo_data": [118.0, 130.0, 90.0]}}  # fmt: skip
    case = workspace(
        [("s", [2.0, 8.0, 4.0], [MU]), ("b", [100.0, 100.0, 100.0], [shape])], [118, 112, 104], (0.0, 30.0)
    )
    model = Model(case)
    found = limits.limits(model)
    alphas = np.linspace(-5.0, 5.0, 2001)

    def lowest(data, mu):
        points = np.column_stack([alphas, np.full(len(alphas), mu)])
        points = points if model.names == ("a", "mu") else points[:, ::-1]
        return float(model.twice_nll(points, data).min())

    def cls(mu):
        signals = np.linspace(0.0, 12.0, 121)
        background = model.asimov(fits.fit(model, fixed={"mu": 0.0}).values)
        q = [lowest(data, mu) - min(lowest(data, x) for x in signals) for data in (model.data, background)]
        root = math.sqrt(q[1])
        shift = math.sqrt(q[0]) - root if q[0] <= q[1] else (q[0] - q[1]) / (2.0 * root)
        return math.exp(stats.norm.logsf(shift + root) - stats.norm.logsf(shift))

    assert cls(found.observed) == pytest.approx(0.05, abs=2e-4)


@pytest.mark.parametrize(("seed", "lowest"), [(48, 351.27420), (73, 2420.32420), (108, 100.66945)])
def test_a_fit_far_from_its_constraints_finds_the_valley_behind_the_edge_of_the_physical_region(seed, lowest):
    """The numbers are those of SLSQP with inequality constraints, from several starts (`random_limits.Oracle`)."""
    result = fits.fit(Model(random_limits.workspace(seed)))
    assert result.twice_nll < lowest + 1e-4


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
def test_no_number_of_a_random_workspace_is_wrong(seed):
    row = random_limits.check(seed)
    assert "wrong" not in {row["fit"], row["limit"], row["rank"]}, row
    assert abs(row["pyhf"]) < 1e-6
    assert row["told"]
    assert (row["limits"] == 6) or row["why"]


def test_a_parameter_with_equal_bounds_is_fixed_everywhere(capsys, tmp_path):
    rate = {"name": "n", "type": "normsys", "data": {"lo": 0.9, "hi": 1.1}}
    factor = {"name": "k", "type": "normfactor", "data": None}
    samples = [("s", [6.0, 9.0], [MU]), ("b", [50.0, 40.0], [factor, rate])]
    frozen = {"name": "k", "bounds": [[1.0, 1.0]], "inits": [1.0]}
    held = {"name": "k", "fixed": True, "inits": [1.0]}
    status, one, messages = run(capsys, tmp_path, workspace(samples, [58, 52], (0.0, 10.0), [frozen]), "fit")
    _, two, _ = run(capsys, tmp_path, workspace(samples, [58, 52], (0.0, 10.0), [held]), "fit")
    one, two = ({k: v for k, v in row.items() if k != "workspace"} for row in (one, two))
    assert one == two
    assert (status, messages) == (0, "")
    assert one["hessian_error"] == pytest.approx(0.86531, abs=1e-5)
    assert (one["degrees_of_freedom"], one["p_value"]) == (1, pytest.approx(1.0))


def test_a_significance_that_is_infinite_is_no_number_and_has_a_reason():
    model = Model(workspace([("s", [5.0], [MU]), ("b", [0.0], [])], [4], (0.0, 10.0)))
    answer = limit_command.limit(question.of(model, np.array([4.0])))
    assert math.isnan(answer.facts["sigmas"])
    assert not answer.converged
    assert any("significance: there is none" in warning and "has data but no expected" in warning
               for warning in answer.warnings)  # fmt: skip


def wide_background(data):
    """Return the workspace of one bin: signal 3 mu on a background of 5 + 5 h, which may vanish within h's prior."""
    signal = {"name": "s", "data": [3.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    width = {"name": "h", "type": "histosys", "data": {"lo_data": [0.0], "hi_data": [10.0]}}
    return {
        "channels": [{"name": "c", "samples": [signal, {"name": "b", "data": [5.0], "modifiers": [width]}]}],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def profiled_by_hand(mu, count, centre):
    """Return the minimum of -2 ln L over h, and h, from a fine scan of all h at which the rate is positive."""
    h = np.linspace(-1 - 0.6 * mu + 1e-6, 6, 20_001)

    def twice_nll(h):
        rate = 3 * mu + 5 + 5 * h
        return 2 * (rate - count * np.log(rate)) + (h - centre) ** 2

    at = int(np.argmin(twice_nll(h)))
    near = (h[max(at - 1, 0)], h[min(at + 1, len(h) - 1)])
    found = optimize.minimize_scalar(twice_nll, bounds=near, method="bounded", options={"xatol": 1e-12})
    return float(found.fun), float(found.x)


@pytest.mark.parametrize("count", [2.0, 4.0, 7.0])
def test_a_minimum_of_another_strength_that_is_impossible_here_is_not_where_a_limit_ends(count):
    def q(mu, count, centre):
        best = optimize.minimize_scalar(
            lambda m: profiled_by_hand(m, count, centre)[0], bounds=(0, 10), method="bounded", options={"xatol": 1e-9}
        )
        lowest, place = min((best.fun, best.x), (profiled_by_hand(0, count, centre)[0], 0.0))
        return 0.0 if place > mu else max(profiled_by_hand(mu, count, centre)[0] - lowest, 0.0)

    _, centre = profiled_by_hand(0, count, 0)
    asimov = 5 + 5 * centre

    def cls(mu):
        root, other = math.sqrt(q(mu, count, 0)), math.sqrt(q(mu, asimov, centre))
        if root <= other:
            return stats.norm.sf(root) / stats.norm.sf(root - other)
        both = (root**2 + other**2) / (2 * other), (root**2 - other**2) / (2 * other)
        return stats.norm.sf(both[0]) / stats.norm.sf(both[1])

    found = limits.limits(Model(wide_background(count)))
    assert found.observed == pytest.approx(optimize.brentq(lambda mu: cls(mu) - 0.05, 0.5, 10), rel=1e-5)
    median = optimize.brentq(lambda mu: math.sqrt(q(mu, asimov, centre)) - 1.959964, 0.5, 10)
    assert found.expected[2] == pytest.approx(median, rel=1e-5)


def test_many_events_have_the_limits_of_the_gaussian_case():
    found = []
    for size in (1e6, 1e10):
        factor, root = {"name": "mu", "type": "normfactor", "data": None}, size**0.5
        rate = {"name": "k", "type": "normsys", "data": {"hi": 1.0 + 0.1 / root, "lo": 1.0 - 0.1 / root}}
        samples = [{"name": "s", "data": [5.0 * root, 3.0 * root], "modifiers": [factor]},
                   {"name": "b", "data": [50.0 * size, 20.0 * size], "modifiers": [rate]}]  # fmt: skip
        data = [50.0 * size + 3.0 * root, 20.0 * size + 2.0 * root]
        model = Model({"channels": [{"name": "c", "samples": samples}], "version": "1.0.0",
                       "observations": [{"name": "c", "data": data}],
                       "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]})  # fmt: skip
        found.append(limits.limits(model))
    assert found[1].problems == ()
    assert [found[1].observed, *found[1].expected] == pytest.approx([found[0].observed, *found[0].expected], rel=1e-3)


def test_cls_of_a_strength_beyond_the_bound_is_that_of_a_wider_bound():
    narrow, wide = (Model(counting(1.0, 3.0, 12.0, bounds=(0.0, high))) for high in (4.0, 30.0))
    for one, other in zip(*(limits.table(model, None, [2.0, 10.0, 20.0]) for model in (narrow, wide)), strict=True):
        assert (one.observed, *one.expected) == pytest.approx((other.observed, *other.expected), abs=1e-9)
