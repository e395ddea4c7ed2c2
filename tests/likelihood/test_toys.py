"""Pseudo-experiments: reproducible; they cover where the model is right, and visibly not where it is wrong."""

import copy
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from studies import low_counts, random_limits
from workspace_strategies import build

from nuisflow.likelihood import fits, limits, toys
from nuisflow.likelihood.model import Model


@pytest.fixture(scope="module")
def workspace():
    case = build(np.random.default_rng(21), 1, 3, ("normsys", "histosys", "staterror"), bins=6, scale=10.0, wild=False)
    case["measurements"][0]["config"]["parameters"] = [{"name": "mu", "bounds": [[-20.0, 30.0]]}]
    return case


@pytest.fixture(scope="module")
def model(workspace):
    return Model(workspace)


def without(workspace, *names):
    case = copy.deepcopy(workspace)
    for channel in case["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [row for row in sample["modifiers"] if row["name"] not in names]
    return case


def test_the_number_of_workers_changes_nothing(model):
    one, two = (toys.run(model, None, 300, 5, "a", workers=workers, block=128) for workers in (1, 3))
    for first, second in zip(one, two, strict=True):
        assert first.tolist() == second.tolist()


def test_more_toys_begin_with_the_same_ones_and_names_make_others(model):
    few, many = toys.run(model, None, 70, 5, "a", block=50), toys.run(model, None, 100, 5, "a", block=50)
    assert few.value.tolist() == many.value[:70].tolist()
    assert toys.run(model, None, 70, 5, "b").value.tolist() != few.value.tolist()


def test_main_and_auxiliary_data_fluctuate_around_the_truth():
    case = build(np.random.default_rng(3), 1, 2, ("normsys", "staterror", "shapesys", "lumi"), bins=4, wild=False)
    model = Model(case)
    truth = model.asimov({"mu": 2.0})
    data = np.concatenate(list(toys.throw(model, {"mu": 2.0}, 20_000, 1)))
    widths = np.array([model.parameters[i].width for i in model.constrained])
    poisson = np.array([model.parameters[i].constraint == "poisson" for i in model.constrained])
    variance = np.concatenate([truth[: model.bins], np.where(poisson, truth[model.bins :], widths**2)])
    assert np.abs((data.mean(axis=0) - truth) / np.sqrt(variance / len(data))).max() < 4.5
    assert data.var(axis=0) == pytest.approx(variance, rel=0.08)


def test_memory_holds_one_block(model):
    blocks = toys.throw(model, None, 10**12, 1)
    assert next(blocks).shape == (toys.BLOCK, len(model.data))


PEAK = """
import json, resource, sys
from nuisflow.likelihood import toys
from nuisflow.likelihood.model import Model
model = Model(json.load(sys.stdin))
toys.run(model, None, 500, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
toys.run(model, None, int(sys.argv[1]), 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is in other units elsewhere")
def test_memory_does_not_grow_with_the_number_of_toys(workspace):
    def growth(number):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        found = subprocess.run([sys.executable, "-c", PEAK, str(number)], input=json.dumps(workspace), text=True,
                               capture_output=True, check=True, env=environment)  # fmt: skip
        return int(found.stdout)

    # KiB. All 40,000 data sets at once would take 10,000 more; what is kept of each takes 8 numbers.
    assert growth(40_000) < growth(2000) + 40_000 * 8 * 8 / 1024 + 4000


@pytest.mark.slow
def test_a_correct_model_covers_68_percent_of_20000_toys(model):
    found = toys.coverage(toys.run(model, {"mu": 1.0}, 20_000, 11))
    assert found.failed == 0
    assert found.coverage == pytest.approx(toys.LEVEL, abs=3 * math.sqrt(toys.LEVEL * (1 - toys.LEVEL) / 20_000))
    assert abs(found.bias) < 0.1 * found.interval
    assert found.pull_width == pytest.approx(1.0, abs=0.05)


def test_a_correct_model_covers(model):
    found = toys.coverage(toys.run(model, {"mu": 3.0, "a0": 0.5}, 2000, 12))
    assert found.failed == 0
    assert found.coverage == pytest.approx(toys.LEVEL, abs=4 * found.coverage_error)
    assert found.coverage_low < found.coverage < found.coverage_high


def test_a_model_that_leaves_a_variation_out_under_covers(workspace, model):
    wrong = Model(without(workspace, "a0", "a1", "a2"))
    random, covered = np.random.default_rng(2), []
    for k in range(40):  # the data come from the full model, with its parameters drawn from their constraints
        truth = {name: random.standard_normal() for name in ("a0", "a1", "a2")}
        runs = toys.run(wrong, None, 50, 13, str(k), expectation=model.expected(truth))
        covered.append(toys.coverage(runs).coverage)
    assert np.mean(covered) < toys.LEVEL - 0.1


def test_data_from_another_expectation_bias_the_fit(model):
    shifted = model.expected({"mu": 1.0}) + 0.5 * (model.expected({"mu": 2.0}) - model.expected({"mu": 1.0}))
    found = toys.coverage(toys.run(model, {"mu": 1.0}, 500, 14, expectation=shifted))
    assert found.bias == pytest.approx(0.5, abs=4 * found.bias_error)
    with pytest.raises(ValueError, match="6 finite rates are needed"):
        toys.run(model, None, 10, 1, expectation=[1.0, 2.0])
    with pytest.raises(ValueError, match="channel c0, bin 2 expects -1 events"):
        toys.run(model, None, 10, 1, expectation=[5.0, 5.0, -1.0, 5.0, 5.0, 5.0])


def test_goodness_of_fit_by_toys_equals_chi_squared_for_many_events(workspace):
    case = copy.deepcopy(workspace)
    for channel in case["channels"]:
        for sample in channel["samples"]:
            for row in (sample, *(row for row in sample["modifiers"] if row["type"] == "staterror")):
                row["data"] = [100.0 * value for value in row["data"]]
            for row in (row for row in sample["modifiers"] if row["type"] == "histosys"):
                row["data"] = {key: [100.0 * value for value in values] for key, values in row["data"].items()}
    model = Model(case)
    for seed in (2, 3, 4):
        data = next(toys.throw(model, None, 1, seed))[0]
        found = toys.goodness_of_fit_by_toys(model, data, 3000, 1)
        assert (found.number, found.failed) == (3000, 0)
        assert found.p_low < found.p_value < found.p_high
        assert found.p_value == pytest.approx(limits.goodness_of_fit(model, data).p_value, abs=0.04)


def test_goodness_of_fit_by_toys_knows_a_perfect_and_an_absurd_fit(model):
    assert toys.goodness_of_fit_by_toys(model, model.asimov(), 200, 1).p_value == 1.0
    absurd = model.asimov() * np.where(np.arange(len(model.data)) % 2, 1.0, 3.0)
    found = toys.goodness_of_fit_by_toys(model, absurd[: model.bins], 200, 1, "name")
    assert found.p_value == found.p_low == 0.0
    assert 0.0 < found.p_high < 0.02


def test_goodness_of_fit_by_toys_is_not_a_number_where_the_fit_fails():
    free = {"name": "k", "type": "normfactor", "data": None}
    case = build(np.random.default_rng(1), 1, 1, (), bins=1)
    case["channels"][0]["samples"][0]["modifiers"].append(free)
    found = toys.goodness_of_fit_by_toys(Model(case), None, 50, 1)
    assert math.isnan(found.p_value)
    assert (found.number, found.failed) == (50, 50)


def test_toys_equal_single_fits(model):
    runs, block = toys.run(model, None, 20, 15), next(toys.throw(model, None, 20, 15))
    for k in (0, 7, 19):
        interval = fits.interval(model, block[k])
        assert runs.value[k] == pytest.approx(interval.value, abs=1e-5)
        assert (runs.low[k], runs.high[k]) == pytest.approx((interval.low, interval.high), abs=1e-4)


@pytest.mark.parametrize("events", [3, 10])
def test_no_fit_of_few_events_fails_and_intervals_end_where_events_would_be_negative(events):
    model = Model(low_counts.counting(events))
    runs = toys.run(model, {"mu": 1.0}, 2000, 3)
    found = toys.coverage(runs)
    assert (found.failed, found.unbounded) == (0, 0)
    empty = runs.low < -1.0 + 1e-6
    assert found.limited == empty.sum()
    assert runs.value[empty] == pytest.approx(-1.0)  # no events: a signal that takes the background away
    assert runs.high[empty] == pytest.approx(-1.0 + 0.5 / (0.5 * events), abs=1e-5)
    exact = low_counts.exact(events, 1.0)
    assert found.coverage == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2000))
    assert found.bias == pytest.approx(0.0, abs=4 * found.bias_error)


def test_an_end_along_the_edge_is_found_by_halving_where_the_quick_way_fails():
    """Here MC statistics, a rate and a shape follow the signal strength so that an empty bin stays at no events."""
    model = Model(low_counts.shapes(3))
    data = np.array([0.0, 1.0, 0.0, 0.0408605760539111, -2.2369849756848494, 0.9259143142847245, 1.0707405152299077,
                     0.9705051837607934])  # fmt: skip
    best, found = fits.fit(model, data), fits.interval(model, data)
    oracle = random_limits.Oracle(model, data)
    starts = [best.values, *random_limits.starts(model)]
    for end in (found.low, found.high):
        rise = oracle.minimum({model.index("mu"): end}, starts)[0] - oracle.minimum({}, starts)[0]
        assert rise == pytest.approx(1.0, abs=1e-4)


def test_experiments_without_an_end_are_counted_apart_and_keep_their_value():
    ones, end = np.ones(4), np.array([True, True, False, True])
    fitted = np.array([True, True, True, False])
    table = toys.block_of(1.0, [np.array([0.9, 1.1, 1.3, 9.0]), 0 * ones, 2 * ones, ones, ones], fitted, fitted & end,
                          np.array([True, False, False, False]))  # fmt: skip
    found = toys.coverage(table)
    assert (found.number, found.failed, found.unbounded, found.limited, found.pulls) == (4, 1, 1, 1, 3)
    assert found.coverage == 0.5
    assert found.bias == pytest.approx(0.1)
    assert found.pull_mean == pytest.approx(0.1)
    assert found.interval == 2.0


def test_failed_fits_are_counted_as_not_covered():
    nothing, ones = np.full(4, np.nan), np.ones(4)
    good = np.array([True, True, True, False])
    table = toys.Toys(ones, np.where(good, 1.0, nothing), np.where(good, 0.5, nothing), np.where(good, 1.5, nothing),
                      np.where(good, 0.5, nothing), ones, good, good)  # fmt: skip
    found = toys.coverage(table)
    assert found.failed == 1
    assert found.coverage == 0.75
    assert found.interval == 1.0


@pytest.mark.parametrize(("covered", "score"), [(0.60, -5.1515533409), (0.80, -5.3658345355), (0.75, -2.8928453479)])
def test_interval_score_reproduces_the_check_values(covered, score):
    inside = np.arange(1000) < round(1000 * covered)
    low = np.where(inside, -0.5, 1.0)
    assert toys.interval_score(low, low + 1.0, np.zeros(1000), 0.6827) == pytest.approx(score, abs=1e-9)


def test_clopper_pearson_equals_the_binomial_definition():
    stats = pytest.importorskip("scipy.stats")
    for successes, trials in ((0, 10), (3, 10), (10, 10), (680, 1000)):
        low, high = toys.clopper_pearson(successes, trials)
        expected = stats.binomtest(successes, trials).proportion_ci(toys.LEVEL, "exact")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.slow
def test_cls_by_toys_agrees_with_the_asymptotic_one(model):
    bound = limits.limits(model)
    found = toys.cls(model, None, bound.observed, 4000, 3)
    assert found.observed == pytest.approx(0.05, abs=0.015)
    points = bound.observed * np.array([0.6, 0.8, 1.0, 1.2, 1.4])
    assert toys.limit(model, None, points, 2000, 3).observed == pytest.approx(bound.observed, rel=0.1)


@pytest.mark.parametrize(
    ("tail", "exact"), [(lambda s: np.exp(-s), np.log(20.0)), (lambda s: 2 * stats.norm.sf(s), 1.96)]
)
def test_limits_between_a_few_strengths_are_those_of_tails_that_fall_steeply(tail, exact):
    """CLs of a count of 0, exp(-s), and of a Gaussian measurement at its boundary."""
    strengths, size = exact * np.array([0.4, 0.8, 1.2, 1.6]), 200_000
    rows = []
    for strength in strengths:
        signal = (np.arange(size) < tail(strength) * size).astype(float)  # 1: agrees as badly as the data
        rows.append(toys.Tested(float(strength), 1.0, signal, np.ones(size)))
    assert toys.limit_of(rows).observed == pytest.approx(exact, rel=0.015)


def counting(signal, background, observed, high=30.0):
    mu = {"name": "mu", "type": "normfactor", "data": None}
    samples = [{"name": "s", "data": signal, "modifiers": [mu]}, {"name": "b", "data": background, "modifiers": []}]
    parameters = [{"name": "mu", "bounds": [[0.0, high]], "inits": [1.0]}]
    return Model(
        {
            "channels": [{"name": "c", "samples": samples}],
            "observations": [{"name": "c", "data": observed}],
            "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
            "version": "1.0.0",
        }
    )


@pytest.mark.parametrize("high", [4.0, 30.0])
@pytest.mark.parametrize(("seen", "background", "strength"), [(5, 3.0, 7.3), (2, 3.0, 3.0), (4, 2.7, 5.0)])
def test_experiments_with_the_same_count_agree_with_the_data_as_badly_as_these_do(seen, background, strength, high):
    """Also beyond the bound: a best fit above a strength says nothing against it."""
    found = toys.cls(counting([1.0], [background], [seen], high), None, strength, 4000, 1).observed
    signal, alone = (float(stats.poisson.cdf(seen, rate)) for rate in (background + strength, background))
    error = math.sqrt(signal * (1 - signal) / 4000) / alone
    assert found == pytest.approx(signal / alone, abs=4 * error + 0.02 * signal / alone)


def test_a_strength_at_which_a_bin_would_expect_negative_events_is_excluded():
    model = counting([-0.5, 5.0], [1.0, 3.0], [0.0, 3.0])
    excluded = toys.cls(model, None, 2.5, 1000, 1)
    assert max(excluded.observed, *excluded.expected) < 0.001
    # Summed over all counts, with the best fit by bounded minimisation between 0 and 2.
    assert toys.cls(model, None, 0.8, 20_000, 1).observed == pytest.approx(0.1370, abs=0.01)
    limit = toys.limit(model, None, [0.6, 0.9, 1.2, 1.9, 2.5], 4000, 1)
    assert np.isfinite([limit.observed, *limit.expected[1:]]).all()
