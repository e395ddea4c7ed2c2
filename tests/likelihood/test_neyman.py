"""Feldman-Cousins intervals are those of the paper and of exact sums, and cover where the profile likelihood does not."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from nuisflow.likelihood import fits, limits, toys
from nuisflow.likelihood.commands import line
from nuisflow.likelihood.coverage import neyman
from nuisflow.likelihood.model import Model


def counting(events, background, signal=1.0, high=50.0, modifiers=()):
    """Return a workspace of one bin: *events* seen, mu times *signal* and *background* expected, mu from 0 on."""
    samples = [{"name": "signal", "data": [signal], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}]
    if background:
        samples.append({"name": "background", "data": [background], "modifiers": list(modifiers)})
    parameters = [{"name": "mu", "bounds": [[0.0, high]], "inits": [1.0]}]
    return {
        "channels": [{"name": "bin", "samples": samples}],
        "observations": [{"name": "bin", "data": [float(events)]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def exact(events, background, level):
    """Return the ends of the Feldman-Cousins interval of a Poisson mean, by sums over the numbers of events."""
    n, inside = np.arange(150), []
    best = np.maximum(n - background, 0.0)
    for mu in np.arange(0.0, 30.0, 0.005):
        q = 2.0 * (stats.poisson.logpmf(n, best + background) - stats.poisson.logpmf(n, mu + background))
        if stats.poisson.pmf(n, mu + background)[q >= q[events] - 1e-9].sum() > 1.0 - level:
            inside.append(mu)
    return inside[0], inside[-1]


# Phys. Rev. D 57 (1998) 3873, tables IV and V (90 % and 95 % confidence level).
TABLE = [(0, 0.0, 0.9, 0.00, 2.44), (1, 0.0, 0.9, 0.11, 4.36), (3, 3.0, 0.9, 0.00, 4.42), (6, 3.0, 0.9, 0.15, 8.47),
         (10, 3.0, 0.9, 2.63, 13.50), (0, 0.0, 0.95, 0.00, 3.09)]  # fmt: skip


@pytest.mark.parametrize(("events", "background", "level", "low", "high"), TABLE)
def test_intervals_of_few_events_are_those_of_feldman_and_cousins(events, background, level, low, high):
    assert exact(events, background, level) == pytest.approx((low, high), abs=0.011)
    found = neyman.interval(Model(counting(events, background)), level=level, number=2000, seed=3)
    assert not found.problems
    assert abs(found.low - low) < 3.0 * found.low_error + 0.01
    assert abs(found.high - high) < 3.0 * found.high_error + 0.01
    assert found.low_error < 0.12
    assert found.high_error < 0.4


@pytest.mark.parametrize("mu", [0.5, 4.0])
def test_p_values_are_sums_over_the_numbers_of_events(mu):
    found = neyman.at_value(Model(counting(4, 3.0)), None, "mu", mu, number=20_000, seed=1)
    n = np.arange(100)
    q = 2.0 * (stats.poisson.logpmf(n, np.maximum(n, 3.0)) - stats.poisson.logpmf(n, mu + 3.0))
    p = stats.poisson.pmf(n, mu + 3.0)[q >= q[4] - 1e-9].sum()
    assert found.observed == pytest.approx(q[4], abs=1e-6)
    assert found.p_value == pytest.approx(p, abs=4.0 * math.sqrt(p * (1.0 - p) / 20_000))


def bounded(x, level):
    """Return the ends of the interval of a Gaussian mean that cannot be negative, measured as *x*, in its widths."""
    y, inside = np.linspace(-8.0, 14.0, 22_001), []
    for mu in np.arange(0.0, 8.0, 0.01):
        q, seen = (y - mu) ** 2 - np.minimum(y, 0.0) ** 2, (x - mu) ** 2 - min(x, 0.0) ** 2
        if np.trapezoid(stats.norm.pdf(y - mu) * (q >= seen), y) > 1.0 - level:
            inside.append(mu)
    return inside[0], inside[-1]


@pytest.mark.parametrize(("x", "high"), [(-1.0, 0.81), (0.0, 1.64), (1.0, 2.64)])
def test_a_gaussian_with_a_nuisance_parameter_has_the_interval_of_the_paper(x, high):
    """Table X, 90 %: 100,000 events expected, a rate uncertainty as large as their fluctuations."""
    size = math.sqrt(1e5)
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.0 + size / 1e5, "lo": 1.0 / (1.0 + size / 1e5)}}
    model = Model(counting(round(1e5 + math.sqrt(2.0) * size * x), 1e5, math.sqrt(2.0) * size, 20.0, [rate]))
    assert bounded(x, 0.9)[1] == pytest.approx(high, abs=0.015)
    found = neyman.interval(model, level=0.9, number=2000, seed=5)
    assert found.low == 0.0
    assert abs(found.high - high) < 3.0 * found.high_error + 0.02
    assert found.high_error < 0.1


def test_far_from_any_bound_the_interval_is_that_of_the_profile_likelihood():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.01, "lo": 1.0 / 1.01}}
    model = Model(counting(11_000, 10_000.0, 100.0, 50.0, [rate]))
    for level, sigmas in ((toys.LEVEL, 1.0), (0.95, 1.959964)):
        found, other = neyman.interval(model, level=level, number=2000), fits.interval(model, sigmas=sigmas)
        assert abs(found.low - other.low) < 3.0 * found.low_error
        assert abs(found.high - other.high) < 3.0 * found.high_error
        assert found.low_error + found.high_error < 0.15 * (other.high - other.low)


def test_the_errors_of_the_ends_are_not_smaller_than_those_of_repeating_the_construction():
    model = Model(counting(1020, 1000.0, 10.0))
    rows = [neyman.interval(model, level=0.9, number=400, seed=seed) for seed in range(12)]
    spread, error = np.std([row.high for row in rows], ddof=1), np.mean([row.high_error for row in rows])
    assert 0.6 * spread < error < 1.8 * spread


def test_the_interval_covers_where_that_of_the_profile_likelihood_does_not():
    """Signal 0.3 on a background of 3.7: of 90 % (exact sums over all outcomes)."""
    n = np.arange(14)
    chance = stats.poisson.pmf(n, 4.0)
    model = Model(counting(0, 3.7))
    p = [neyman.at_value(model, [float(events)], "mu", 0.3, number=4000, seed=1).p_value for events in n]
    assert chance[np.array(p) > 0.1].sum() > 0.9 - 0.005
    inside = [fits.interval(model, [float(events)], sigmas=1.6449) for events in n]
    wide = [row.low <= 0.3 <= row.high for row in inside]
    assert chance[np.array(wide)].sum() != pytest.approx(0.9, abs=0.005)


def test_the_number_of_workers_changes_nothing_and_the_values_tested_do_not_influence_each_other():
    rate = {"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    model = Model(counting(12, 8.0, modifiers=[rate]))
    one, three = (neyman.interval(model, number=100, seed=2, workers=workers) for workers in (1, 3))
    assert (one.low, one.high, one.low_error, one.high_error) == (
        three.low,
        three.high,
        three.low_error,
        three.high_error,
    )
    assert [row.statistics.tolist() for row in one.tested] == [row.statistics.tolist() for row in three.tested]
    alone = neyman.at_value(model, None, "mu", one.tested[2].value, number=100, seed=2)
    assert alone.statistics.tolist() == one.tested[2].statistics.tolist()
    other = neyman.at_value(model, None, "mu", one.tested[2].value, number=100, seed=3)
    assert other.statistics.tolist() != alone.statistics.tolist()


def test_an_end_that_the_tested_values_do_not_reach_is_missing_and_said():
    found = neyman.interval(Model(counting(10, 3.0)), level=0.9, number=200, points=[5.0, 6.0, 8.0])
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert [text.split(" of ")[0] for text in found.problems] == ["the lower end", "the upper end"]


def test_p_values_fall_away_from_the_best_fit():
    shares = neyman.falling(np.array([80.0, 40.0, 60.0, 5.0]), np.array([100.0, 100.0, 100.0, 100.0]))
    assert shares.tolist() == pytest.approx([1.0, 0.8, 0.5, 0.5, 0.05])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    place = tmp_path_factory.mktemp("neyman") / "workspace.json"
    place.write_text(json.dumps(counting(6, 3.0)))
    return place


def test_the_command_gives_both_intervals_and_the_tested_values(capsys, tmp_path, path):
    output = tmp_path / "out.json"
    arguments = ["interval", str(path), "--level", "0.9", "--toys", "500", "--output", str(output)]
    assert line.main(arguments) == 0
    found, made = json.loads(output.read_text()), neyman.interval(Model(counting(6, 3.0)), level=0.9, number=500)
    profile, construction = found["intervals"]
    assert construction["low"] == made.low
    assert construction["high_error"] == made.high_error
    assert profile["high"] == pytest.approx(fits.interval(Model(counting(6, 3.0)), sigmas=1.644854).high, abs=1e-5)
    assert [row["mu"] for row in found["tested"]] == [row.value for row in made.tested]
    row = found["tested"][0]
    assert row["p_asymptotic"] == pytest.approx(stats.chi2.sf(row["twice_delta_nll"], 1))
    assert "Feldman-Cousins" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("--at", "3"), "say how many with --toys"), (("--toys", "50", "--at", "-2"), "outside the bounds [0, 50] of mu")],
)
def test_values_that_cannot_be_tested_are_refused(capsys, path, arguments, told):
    assert line.main(["interval", str(path), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_limits_by_toys_reproduce_cls_of_a_counting_experiment():
    """With q = 0 above the limit CLs is a ratio of Poisson sums: of at most the events seen, with signal and without."""
    found = toys.cls(Model(counting(4, 5.0)), None, 4.0, 20_000, 1)
    exact_ratio = stats.poisson.cdf(4, 9.0) / stats.poisson.cdf(4, 5.0)
    assert found.observed == pytest.approx(exact_ratio, rel=0.05)
    assert limits.cls(Model(counting(4, 5.0)), None, 4.0).observed != pytest.approx(exact_ratio, rel=0.05)
