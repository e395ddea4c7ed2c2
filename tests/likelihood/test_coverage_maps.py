"""Coverage maps: points from their priors, coverage as exact sums say, worst regions without the bias of looking."""

import json
import math

import numpy as np
import pytest
from scipy import special, stats
from studies import low_counts
from workspace_strategies import build

from nuisflow.likelihood import toys
from nuisflow.likelihood.commands import line
from nuisflow.likelihood.coverage import maps, regions, regression
from nuisflow.likelihood.coverage.summary import placed, summary
from nuisflow.likelihood.model import Model


def test_coordinates_of_a_factor_that_a_count_measures_are_those_of_the_count():
    rows = [{"name": name, "type": "normfactor", "data": None} for name in ("mu", "side")]
    samples = [{"name": name, "data": [50.0], "modifiers": [row]} for name, row in zip("sb", rows, strict=True)]
    bounds = [{"name": "mu", "bounds": [[-5.0, 10.0]]}, {"name": "side", "inits": [1.0], "bounds": [[0.01, 5.0]]}]
    constraint = {"constraints": {"side": {"type": "poisson", "auxdata": 400.0, "factor": 200.0}}}
    model = Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [150.0]}],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": bounds}}],
                   "version": "1.0.0", "extensions": constraint})  # fmt: skip
    found = maps.run(model, 2000, 3, reach=(0.5, 1.5))
    where = found.points[:, found.names.index("side")]
    assert where.mean() == pytest.approx(0.0, abs=0.1)
    assert where.std() == pytest.approx(1.0, abs=0.06)


@pytest.fixture(scope="module")
def workspace():
    kinds = ("normsys", "histosys", "staterror", "shapesys", "lumi")
    return build(np.random.default_rng(21), 1, 3, kinds, bins=6, scale=10.0, wild=False)


@pytest.fixture(scope="module")
def model(workspace):
    return Model(workspace)


def made(coverage, number, seed, names=("mu", "a", "b", "c")):
    """Return a map whose points cover with the probability that a function of (mu, a, b, ...) says."""
    random = np.random.default_rng(seed)
    points = np.column_stack([random.uniform(0.0, 2.0, number), random.standard_normal((number, len(names) - 1))])
    covered = random.random(number) < coverage(*points.T)
    yes = np.ones(number, dtype=bool)
    return maps.Map(names, (0.0, 2.0), points, covered, yes, yes, 0)


def test_true_points_are_drawn_from_the_range_and_the_priors(model):
    points = maps.drawn(model, 20_000, (0.5, 2.5), np.random.default_rng(1))
    assert stats.kstest(points[:, model.index("mu")], stats.uniform(0.5, 2.0).cdf).pvalue > 1e-3
    kinds = {row.constraint for row in model.parameters}
    assert kinds == {"normal", "poisson", "none"}
    for i, row in enumerate(model.parameters):
        if row.fixed:
            assert (points[:, i] == row.init).all()
        elif row.constraint == "normal":
            inside = stats.truncnorm(-8, 8, row.auxiliary, row.width)
            assert stats.kstest(points[:, i], inside.cdf).pvalue > 1e-3, row.name
        elif row.constraint == "poisson":
            assert points[:, i].mean() == pytest.approx(1.0, abs=5 * points[:, i].std() / math.sqrt(20_000))
            assert points[:, i].std() == pytest.approx(row.width**-0.5, rel=0.05)


def test_coordinates_are_in_standard_deviations_and_leave_single_bins_out(model):
    found = maps.run(model, 4000, 3, reach=(0.5, 1.5))
    assert found.names[0] == "mu"
    assert set(found.names) == {"mu", "lumi", *(r.name for r in model.parameters if r.kind in ("normsys", "histosys"))}
    assert found.points[:, 1:].std(axis=0) == pytest.approx(1.0, abs=0.06)
    assert found.points[:, 1:].mean(axis=0) == pytest.approx(0.0, abs=0.08)


def test_coverage_in_cells_is_the_exact_sum_over_all_counts():
    """One bin, 3 events at mu = 1: coverage has steps, which cells of mu average."""
    model = Model(low_counts.counting(3))
    found = maps.run(model, 40_000, 1, reach=(0.0, 3.0))
    assert (len(found.points), found.fitted.all(), found.bounded.all()) == (40_000, True, True)
    for row in regions.single(found):
        (side,) = row.sides
        exact = np.mean([low_counts.exact(3, mu) for mu in np.linspace(side.low, side.high, 101)])
        assert row.coverage == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / row.number) + 0.005)
    assert regression.fit(found).p_value < 0.01


def test_a_map_is_made_of_the_toys_own_fits(model):
    found = maps.run(model, 300, 5, reach=(0.5, 1.5))
    again = maps.run(model, 300, 5, reach=(0.5, 1.5), workers=3)
    more = maps.run(model, 500, 5, reach=(0.5, 1.5))
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    assert np.array_equal(found.covered, more.covered[:300])
    assert not np.array_equal(found.points, maps.run(model, 300, 6, reach=(0.5, 1.5)).points)
    random = np.random.default_rng(2)
    truth = maps.drawn(model, 40, (0.5, 1.5), random)
    data = toys.fluctuated(model, model.asimov(truth), random)
    together = toys.fitted(model, data, truth, "mu")
    assert together.true.tolist() == truth[:, model.index("mu")].tolist()
    for k in (0, 17, 39):
        alone = toys.fitted(model, data[k : k + 1], truth[k], "mu")
        assert (together.low[k], together.high[k]) == pytest.approx((alone.low[0], alone.high[0]), abs=1e-4)


def test_points_where_a_rate_is_negative_are_left_out_and_counted():
    modifiers = [{"name": "jes", "type": "histosys", "data": {"hi_data": [18.0, 10.0], "lo_data": [2.0, 10.0]}}]
    signal = {"name": "s", "data": [1.0, 5.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    model = Model({
        "channels": [{"name": "c", "samples": [signal, {"name": "b", "data": [10.0, 10.0], "modifiers": modifiers}]}],
        "observations": [{"name": "c", "data": [11.0, 15.0]}], "version": "1.0.0",
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    })  # fmt: skip
    found = maps.run(model, 5000, 1, reach=(0.5, 1.5))
    expected = stats.norm.cdf(-11.0 / 8.0)  # at mu = 1: 11 + 8 jes is negative
    assert found.impossible / 5000 == pytest.approx(expected, abs=0.02)
    assert len(found.points) == 5000 - found.impossible


def test_the_worst_region_is_found_and_its_coverage_is_not_biased_by_the_search():
    def corner(mu, a, b, c):
        return np.where((a > 1.5) & (b < -0.5), 0.4, 0.68)

    found = regions.worst(made(corner, 100_000, 1))
    assert {(side.parameter, side.low, side.high) for side in found.region.sides} <= {
        ("a", 1.5, np.inf), ("b", -np.inf, -1.5), ("b", -1.5, -0.5)}  # fmt: skip
    assert found.region.coverage == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / found.region.number))
    assert found.region.low < found.region.coverage < found.region.high
    assert found.considered == 4 * regions.CELLS + 6 * regions.CELLS**2


def test_of_equal_cells_the_worst_looks_low_but_is_counted_right():
    rows = [regions.worst(made(lambda mu, *_: 0.68 + 0.0 * mu, 4000, seed)) for seed in range(100)]
    seen, counted = np.mean([row.seen for row in rows]), np.mean([row.region.coverage for row in rows])
    error = np.std([row.region.coverage for row in rows]) / 10.0
    assert counted == pytest.approx(0.68, abs=4 * error)
    assert seen < 0.68 - 8 * error


def test_the_regression_finds_the_coefficients_and_knows_a_constant():
    def falling(mu, a, b, c):
        return special.expit(0.8 - 0.3 * (mu - 1.0) + 0.2 * a - 0.15 * (b**2 - 1.0) + 0.1 * a * c)

    found = made(falling, 200_000, 3)
    fitted = regression.fit(found)
    expected = np.zeros(len(fitted.coefficients))
    places = {"1": 0, "mu": 1, "a": 5, "b b": 9, "a c": 15}
    expected[list(places.values())] = 0.8, -0.3, 0.2, -0.15, 0.1
    errors = np.sqrt(np.diagonal(fitted.covariance))
    assert np.abs((fitted.coefficients - expected) / errors).max() < 4.0
    assert fitted.p_value < 1e-10
    curve = regression.curves(found, fitted)[1]
    assert curve.coverage == pytest.approx(special.expit(0.8 + 0.15 + 0.2 * curve.values), abs=0.02)
    assert (np.abs(curve.coverage - special.expit(0.95 + 0.2 * curve.values)) < 4.5 * curve.error).all()


def test_the_test_of_a_constant_has_uniform_p_values():
    p = [regression.fit(made(lambda mu, *_: 0.68 + 0.0 * mu, 3000, seed)).p_value for seed in range(100)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_the_lowest_predictions_are_counted_with_other_points():
    found = made(lambda mu, a, b, c: np.clip(0.68 - 0.08 * a, 0.0, 1.0), 100_000, 4)
    low = regression.lowest(found)
    assert low.number == 500
    assert low.centre["a"] > 2.0
    assert low.coverage == pytest.approx(0.68 - 0.08 * low.centre["a"], abs=4 * math.sqrt(0.25 / 500))
    assert low.predicted == pytest.approx(low.coverage, abs=4 * math.sqrt(0.25 / 500))


def test_few_points_give_no_worst_region():
    found = made(lambda mu, *_: 0.68 + 0.0 * mu, 40, 1)
    assert regions.worst(found) is None
    assert summary(found)["lowest"] is None


def test_regions_are_told_in_words():
    sides = [{"parameter": "mu", "low": 0.5, "high": 0.75}, {"parameter": "jes", "low": None, "high": -1.5}]
    assert placed(sides, "mu") == "mu from 0.5 to 0.75, jes below -1.5 sigma"


@pytest.fixture(scope="module")
def path(workspace, tmp_path_factory):
    place = tmp_path_factory.mktemp("maps") / "workspace.json"
    place.write_text(json.dumps(workspace))
    return place


def test_the_command_gives_what_the_library_finds(capsys, tmp_path, model, path):
    output = tmp_path / "map.json"
    arguments = ["map", str(path), "--number", "3000", "--seed", "4", "--range", "0.5", "2", "--output", str(output)]
    assert line.main(arguments) == 0
    found, told = json.loads(output.read_text()), summary(maps.run(model, 3000, 4, "commands", reach=(0.5, 2.0)))
    assert found["coverage"] == told["coverage"]
    assert [row["coverage"] for row in found["cells"]] == [row["coverage"] for row in told["cells"]]
    assert found["worst"][0]["points"] == told["worst"]["number"]
    assert "worst of" in capsys.readouterr().out


def test_a_range_beyond_the_bounds_is_refused(capsys, path):
    assert line.main(["map", str(path), "--range", "-50", "2"]) == 2
    assert "beyond the bounds" in capsys.readouterr().err
