"""Polynomials of several parameters, as interference of two operators: against NumPy, Minuit and derivatives."""

import copy

import numpy as np
import pytest
from iminuit import Minuit
from scipy import stats

from nuisflow.likelihood import fits, toys
from nuisflow.likelihood.commands.compare import differences
from nuisflow.likelihood.histfactory import read
from nuisflow.likelihood.model import FEW, Model

SIGNAL, BACKGROUND = np.array([8.0, 12.0, 25.0, 9.0]), np.array([60.0, 45.0, 30.0, 20.0])
UP, DOWN = np.array([1.1, 1.0, 0.95, 0.9]), np.array([0.93, 1.0, 1.02, 1.15])
TERMS = {(0, 0): 1.0, (1, 0): 0.4, (0, 1): -0.3, (2, 0): 0.5, (1, 1): 0.35, (0, 2): 0.6}
OBSERVED = [85.0, 70.0, 66.0, 36.0]
BOUNDS = {"c1": (-4.0, 4.0), "c2": (-4.0, 4.0)}


def workspace(terms=TERMS, observed=OBSERVED, statistics=False):
    """Return a signal that two operators and their interference scale, with a tilt and a rate, and a background."""
    rows = [{"powers": list(powers), "coefficient": value} for powers, value in terms.items()]
    tilt = {"hi_data": (SIGNAL * UP).tolist(), "lo_data": (SIGNAL * DOWN).tolist()}
    signal = [
        {"name": "eft", "type": "polynomial", "data": {"parameters": ["c1", "c2"], "terms": rows}},
        {"name": "tilt", "type": "histosys", "data": tilt},
    ]
    background = [{"name": "rate", "type": "normsys", "data": {"hi": 1.1, "lo": 1 / 1.1}}]
    if statistics:
        signal.append({"name": "mc", "type": "staterror", "data": (0.1 * SIGNAL).tolist()})
        background.append({"name": "mc", "type": "staterror", "data": (0.05 * BACKGROUND).tolist()})
    samples = [
        {"name": "signal", "data": SIGNAL.tolist(), "modifiers": signal},
        {"name": "background", "data": BACKGROUND.tolist(), "modifiers": background},
    ]
    parameters = [{"name": name, "inits": [0.0], "bounds": [list(ends)]} for name, ends in BOUNDS.items()]
    return {
        "channels": [{"name": "bins", "samples": samples}],
        "observations": [{"name": "bins", "data": list(observed)}],
        "measurements": [{"name": "m", "config": {"poi": "c1", "parameters": parameters}}],
        "version": "1.0.0",
        "extensions": {"interpolation": {"normsys": "code1", "histosys": "code0"}},
    }


def by_hand(c1, c2, tilt, rate, observed=OBSERVED):
    """Return -2 ln L from its definition, with all constants."""
    scale = sum(value * c1**i * c2**j for (i, j), value in TERMS.items())
    shape = SIGNAL + SIGNAL * (tilt * (UP - 1) if tilt > 0 else tilt * (1 - DOWN))
    expected = scale * shape + BACKGROUND * 1.1**rate
    if (expected <= 0).any():
        return 1e9
    return -2 * (stats.poisson.logpmf(observed, expected).sum() + stats.norm.logpdf([tilt, rate]).sum())


NAMES = ("c1", "c2", "tilt", "rate")


def points(model, number, seed=1):
    """Return random points in the order of the model, and in that of `by_hand`."""
    at = np.random.default_rng(seed).uniform([-2, -2, -1.5, -1.5], [2, 2, 1.5, 1.5], (number, 4))
    found = np.empty_like(at)
    found[:, [model.index(name) for name in NAMES]] = at
    return found, at


def test_twice_nll_is_the_formula_at_100_points():
    model = Model(workspace())
    found, at = points(model, 100)
    assert model.twice_nll(found) == pytest.approx([by_hand(*row) for row in at], rel=1e-12)


@pytest.mark.parametrize("statistics", [False, True])
def test_gradient_hessian_and_slopes_of_rates_are_the_derivatives(statistics):
    model, step = Model(workspace(statistics=statistics)), 1e-5
    for point in model.inits + np.random.default_rng(2).uniform(-0.8, 0.8, (4, len(model.names))) * (model.inits == 0):
        found, (rates, slopes) = model.derivatives(point), model.cells(point)
        assert rates.sum() == pytest.approx(model.expected(point).sum())
        for i in range(len(point)):
            shift = step * (np.arange(len(point)) == i)
            up, down = model.derivatives(point + shift), model.derivatives(point - shift)
            assert found.gradient[0, i] == pytest.approx((up.twice_nll - down.twice_nll)[0] / (2 * step), abs=1e-4)
            assert found.hessian[0, i] == pytest.approx(
                (up.gradient - down.gradient)[0] / (2 * step), rel=1e-5, abs=1e-3
            )
            change = (model.cells(point + shift)[0] - model.cells(point - shift)[0]) / (2 * step)
            assert slopes[:, i] == pytest.approx(change, rel=1e-6, abs=1e-6)


def minuit(observed, c1, c2):
    """Return what Minuit finds from one start."""
    found = Minuit(lambda c1, c2, tilt, rate: by_hand(c1, c2, tilt, rate, observed), c1=c1, c2=c2, tilt=0.0, rate=0.0)
    found.limits["c1"], found.limits["c2"] = BOUNDS["c1"], BOUNDS["c2"]
    found.errordef, found.tol, found.strategy = 1.0, 1e-4, 2
    return found.migrad()


@pytest.mark.parametrize("seed", range(4))
def test_a_fit_is_the_deepest_of_what_minuit_finds_from_many_starts(seed):
    """Interference makes an ellipse of equal rates: several valleys, of which the deepest counts."""
    random = np.random.default_rng(seed)
    scale = sum(value * 1.5**i * (-1.2) ** j for (i, j), value in TERMS.items())
    observed = random.poisson(scale * SIGNAL + BACKGROUND).astype(float)
    best = fits.fit(Model(workspace(observed=observed)))
    tried = [minuit(observed, *start).fval for start in random.uniform(-3, 3, (12, 2))]
    assert best.twice_nll < min(tried) + 1e-5
    assert by_hand(*(best.values[best.names.index(name)] for name in NAMES), observed) == pytest.approx(best.twice_nll)


def test_a_polynomial_of_one_parameter_has_the_deepest_of_both_minima():
    """1 - 4 c + c^2 has two places for every rate; only a second bin of its own tells them apart."""

    def made(second):
        rows = [{"name": "c", "type": "polynomial", "data": [1.0, -4.0, 1.0]}]
        other = [{"name": "c", "type": "polynomial", "data": [1.0, second]}]
        samples = [[{"name": "s", "data": [10.0], "modifiers": chosen}, {"name": "b", "data": [50.0], "modifiers": []}]
                   for chosen in (rows, other)]  # fmt: skip
        return Model({
            "channels": [{"name": name, "samples": rows} for name, rows in zip("xy", samples, strict=True)],
            "observations": [{"name": "x", "data": [100.0]}, {"name": "y", "data": [50.0 + 10.0 * (1 + 5 * second)]}],
            "measurements": [{"name": "m", "config": {"poi": "c", "parameters": [
                {"name": "c", "inits": [-0.5], "bounds": [[-6.0, 6.0]]}]}}],
            "version": "1.0.0",
        })  # fmt: skip

    model = made(0.5)
    line = np.linspace(-6, 6, 240_001)[:, None]
    twice = model.twice_nll(line)
    found = fits.fit(model)
    assert found.twice_nll <= twice.min() + 1e-9
    assert found.values[0] == pytest.approx(line[twice.argmin(), 0], abs=1e-3)
    assert found.values[0] > 3  # the start is in the other valley


def test_toys_side_by_side_find_the_deepest_minima_of_single_fits():
    model = Model(workspace())
    data = np.concatenate(list(toys.throw(model, {"c1": 1.0, "c2": -1.0}, FEW, 3)))
    from nuisflow.likelihood import starts

    together = starts.deepest(model, data)
    assert together.twice_nll == pytest.approx([fits.fit(model, row).twice_nll for row in data], abs=2e-4)


def test_a_bilinear_polynomial_without_products_is_the_product_of_two_factors():
    model = Model(workspace({(1, 1): 1.0}))
    factors = copy.deepcopy(workspace())
    modifiers = factors["channels"][0]["samples"][0]["modifiers"]
    modifiers[:1] = [{"name": name, "type": "normfactor", "data": None} for name in BOUNDS]
    plain = Model(factors)
    assert set(plain.names) == set(model.names)
    at, _ = points(model, 20)
    order = [model.names.index(name) for name in plain.names]
    assert plain.twice_nll(at[:, order]) == pytest.approx(model.twice_nll(at), rel=1e-12)


def test_yields_are_those_of_the_whole_sample():
    model = Model(workspace())
    best = fits.fit(model)
    rows = [row for row in fits.yields(model, best) if row.sample == "signal"]
    values = dict(zip(best.names, best.values, strict=True))
    scale = sum(value * values["c1"] ** i * values["c2"] ** j for (i, j), value in TERMS.items())
    tilt = values["tilt"]
    shape = SIGNAL + SIGNAL * (tilt * (UP - 1) if tilt > 0 else tilt * (1 - DOWN))
    assert [row.value for row in rows] == pytest.approx(scale * shape)


def test_the_statistics_of_the_simulation_are_those_of_the_whole_sample():
    model = Model(workspace(statistics=True))
    widths = [row.width for row in model.parameters if row.kind == "staterror"]
    expected = np.hypot(0.1 * SIGNAL, 0.05 * BACKGROUND) / (SIGNAL + BACKGROUND)
    assert widths == pytest.approx(expected)


def changed(data):
    book = workspace()
    book["channels"][0]["samples"][0]["modifiers"][0]["data"] = data
    return book


PLACE = "channel bins, sample signal, polynomial eft"
TERM = {"powers": [1, 1], "coefficient": 1.0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"parameters": ["c1", "c1"], "terms": [TERM]}, f"{PLACE}: parameters: names are needed, each once"),
        ({"parameters": ["c1", "c2"], "term": [TERM]}, f"{PLACE}: no 'term'; did you mean 'terms'"),
        ({"parameters": ["c1", "c2"], "terms": [{"powers": [1]}]}, r"terms\[0\]: powers: 2 whole numbers from 0 to 6"),
        ({"parameters": ["c1", "c2"], "terms": [{"powers": [1, 7]}]}, r"terms\[0\]: powers: 2 whole numbers"),
        ({"parameters": ["c1", "c2"], "terms": [TERM, TERM]}, r"terms\[1\]: powers: \[1, 1\] stand twice"),
        (
            {"parameters": ["c1", "c2"], "terms": [TERM | {"coefficient": "x"}]},
            r"coefficient: expected a finite number",
        ),
        ({"parameters": ["c1", "c2"], "terms": [TERM | {"coefficient": 0}]}, "at least one coefficient must not be 0"),
    ],
)
def test_what_is_no_polynomial_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        Model(changed(data))


def test_what_cannot_be_combined_is_named():
    book = workspace()
    modifiers = book["channels"][0]["samples"][0]["modifiers"]
    modifiers.append({"name": "spread", "type": "mcstat", "data": SIGNAL.tolist()})
    with pytest.raises(ValueError, match="mcstat and a polynomial in several parameters cannot act on one sample"):
        Model(book)
    modifiers[-1] = {"name": "c1", "type": "polynomial", "data": [0.0, 1.0]}
    with pytest.raises(ValueError, match="polynomial c1: listed twice"):
        Model(book)
    modifiers[-1] = {"name": "c1", "type": "normfactor", "data": None}
    with pytest.raises(ValueError, match="c1 is a polynomial and a normfactor; write one polynomial"):
        Model(book)


def test_another_polynomial_is_a_difference_of_workspaces():
    one, other = read(workspace()), read(workspace(TERMS | {(1, 1): 0.3}))
    assert {row["difference"] for row in differences(one, other)} == {"another polynomial"}
    assert not list(differences(one, one))
