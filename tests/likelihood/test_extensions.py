"""What no pyhf workspace can say: the compiled likelihood against formulas written out, and what is refused."""

import copy
import json

import numpy as np
import pytest
from plain_likelihood import twice_nll
from scipy import optimize

from nuisflow.likelihood import fits, sums, toys, uncertainties
from nuisflow.likelihood.commands import reading
from nuisflow.likelihood.constraints import auxiliary
from nuisflow.likelihood.model import FEW, LARGE, Model

CORRELATION = [[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]]
NAMES = ["rate_a", "rate_b", "tilt"]


def workspace(*, spread=True, histosys="code4p", rates=2, **extensions):
    """Return two channels with every extended modifier; a signal that interferes, two rates, a shape."""
    rng, channels, observations = np.random.default_rng(5), [], []
    for channel, size in (("low", 4), ("high", 3)):
        samples = []
        for number, sample in enumerate(("signal", "one", "two")):
            nominal = rng.uniform(5.0, 15.0, size) * (1 + 4 * (number > 0))
            up, down = nominal * rng.uniform(0.9, 1.2, size), nominal * rng.uniform(0.85, 1.1, size)
            rows = [
                {"name": "rate_a", "type": "normsys", "data": {"hi": 1.12, "lo": 0.93}},
                {"name": "tilt", "type": "histosys", "data": {"hi_data": up.tolist(), "lo_data": down.tolist()}},
            ]
            if number == 0:
                rows.append({"name": "mu", "type": "polynomial", "data": [0.2, 0.5, 0.3]})
            if number == 1:
                rows.append({"name": "rate_b", "type": "normsys", "data": {"hi": 0.85, "lo": 1.3}})
            rows += [
                {"name": f"more{k}", "type": "normsys", "data": {"hi": 1.02, "lo": 0.99}} for k in range(rates - 2)
            ]
            if spread:
                error = (0.1 * nominal).tolist()
                rows.append({"name": f"mc_{channel}", "type": "mcstat", "data": error})
            samples.append({"name": sample, "data": nominal.tolist(), "modifiers": rows})
        channels.append({"name": channel, "samples": samples})
        observations.append({"name": channel, "data": rng.poisson(90.0, size).astype(float).tolist()})
    extensions.setdefault("interpolation", {"normsys": "combine", "histosys": histosys})
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-5.0, 10.0]]}]}
    return {"channels": channels, "observations": observations, "version": "1.0.0", "extensions": extensions,
            "measurements": [{"name": "m", "config": config}]}  # fmt: skip


def correlated(**options):
    return workspace(correlations=[{"parameters": NAMES, "correlation": CORRELATION}], **options)


def points(model, number=100, seed=1):
    """Return random points within two prefit standard deviations."""
    rng = np.random.default_rng(seed)
    return model.inits + rng.uniform(-2.0, 2.0, (number, len(model.names))) * np.where(model.inits == 1, 0.4, 1.0)


@pytest.mark.parametrize("histosys", ["code0", "code2", "code4p"])
@pytest.mark.parametrize("made", [workspace, correlated])
def test_twice_nll_equals_the_formulas_at_100_points(made, histosys):
    book = made(histosys=histosys)
    model = Model(book)
    at = points(model)
    assert model.twice_nll(at) == pytest.approx([twice_nll(book, model, point) for point in at], rel=1e-11)


@pytest.mark.parametrize("made", [workspace, correlated])
def test_derivatives_are_exact(made):
    model, step = Model(made()), 1e-6
    for point in points(model, 3, 2):
        found = model.derivatives(point)
        rates, slopes = model.cells(point)
        for i in range(len(point)):
            shift = step * (np.arange(len(point)) == i)
            up, down = model.derivatives(point + shift), model.derivatives(point - shift)
            assert found.gradient[0, i] == pytest.approx((up.twice_nll - down.twice_nll)[0] / (2 * step), abs=2e-4)
            change = (up.gradient - down.gradient)[0] / (2 * step)
            assert found.hessian[0, i] == pytest.approx(change, rel=1e-5, abs=1e-3)
            ends = (model.cells(point + shift)[0] - model.cells(point - shift)[0]) / (2 * step)
            assert slopes[:, i] == pytest.approx(ends, rel=1e-5, abs=1e-6)
        assert rates.sum() == pytest.approx(model.expected(point).sum(), rel=1e-12)


def test_a_fit_finds_the_minimum_of_the_formulas():
    book = correlated()
    model = Model(book)
    best = fits.fit(model)
    found = optimize.minimize(lambda x: twice_nll(book, model, x), best.values, method="Powell",
                              options={"xtol": 1e-7, "ftol": 1e-12, "maxfev": 40000})  # fmt: skip
    assert best.converged
    assert found.fun == pytest.approx(best.twice_nll, abs=2e-6)
    assert found.fun > best.twice_nll - 1e-8


@pytest.mark.parametrize("histosys", ["code2", "code4p"])
def test_fits_side_by_side_and_one_by_one_are_the_same(histosys):
    model = Model(correlated(spread=False, histosys=histosys))
    data = np.concatenate(list(toys.throw(model, None, FEW, 3)))
    together = model.minimise(data)
    alone = [model.minimise(row) for row in data]
    assert (together.status == 0).all()
    assert together.twice_nll == pytest.approx([row.twice_nll[0] for row in alone], abs=1e-6)


@pytest.mark.parametrize("histosys", ["code2", "code4p"])
def test_a_large_model_is_the_same_in_blocks(histosys):
    model = Model(correlated(spread=False, histosys=histosys, rates=120))
    assert model.large
    best = fits.fit(model)
    gradient = model.derivatives(best.values).gradient[0]
    assert best.converged
    assert np.abs(gradient * best.errors).max() < 1e-3
    inverse = np.linalg.inv(0.5 * model.derivatives(best.values).hessian[0])
    assert best.errors == pytest.approx(np.sqrt(np.diagonal(inverse)), rel=1e-6)


def test_without_correlation_the_matrix_changes_nothing():
    plain, book = Model(workspace()), workspace(correlations=[{"parameters": NAMES, "correlation": np.eye(3).tolist()}])
    at = points(plain, 5)
    assert Model(book).twice_nll(at) == pytest.approx(plain.twice_nll(at), rel=1e-13)


def test_a_covariance_gives_the_widths_too():
    widths = np.array([0.5, 2.0, 1.5])
    covariance = (np.array(CORRELATION) * np.outer(widths, widths)).tolist()
    book = workspace(correlations=[{"parameters": NAMES, "covariance": covariance}])
    model = Model(book)
    assert [model.parameters[model.index(name)].width for name in NAMES] == pytest.approx(widths)
    at = points(model, 10)
    assert model.twice_nll(at) == pytest.approx([twice_nll(book, model, point) for point in at], rel=1e-11)


def test_two_rates_that_are_fully_alike_are_nearly_one():
    """With a correlation of nearly 1, two log-normals on one sample are one with the summed logarithm."""

    def counting(names, **extensions):
        rows = [{"name": name, "type": "normsys", "data": {"hi": k, "lo": 1 / k}} for name, k in names]
        samples = [{"name": "s", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
                   {"name": "b", "data": [100.0], "modifiers": rows}]  # fmt: skip
        return Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [115.0]}],
                      "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}], "version": "1.0.0",
                      "extensions": {"interpolation": {"normsys": "code1"}, **extensions}})  # fmt: skip

    matrix = [[1.0, 1 - 1e-7], [1 - 1e-7, 1.0]]
    both = counting([("a", 1.1), ("b", 1.2)], correlations=[{"parameters": ["a", "b"], "correlation": matrix}])
    one = counting([("a", 1.32)])
    assert fits.fit(both).errors[both.index("mu")] == pytest.approx(fits.fit(one).errors[one.index("mu")], rel=1e-5)


def test_toys_fluctuate_with_the_correlations():
    model = Model(correlated())
    data = np.concatenate(list(toys.throw(model, None, 20_000, 4)))
    at = [model.bins + list(model.constrained).index(model.index(name)) for name in NAMES]
    assert np.corrcoef(data[:, at].T) == pytest.approx(np.array(CORRELATION), abs=4 / np.sqrt(20_000))
    assert data[:, at].std(axis=0) == pytest.approx(1.0, rel=4 / np.sqrt(40_000))


def test_what_is_correlated_with_a_fixed_parameter_is_known_as_a_conditional_normal():
    """At 0.5 of b the other has the mean 0.8 * 0.5 and the width (1 - 0.8**2)**0.5, as all that is made of it says."""
    rates = [{"name": name, "type": "normsys", "data": {"hi": 1.05, "lo": 1 / 1.05}} for name in ("a", "b")]
    signal = {"name": "s", "data": [50.0, 100.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    samples = [signal, *({"name": row["name"], "data": [900.0, 900.0], "modifiers": [row]} for row in rates)]
    parameters = [{"name": "mu", "bounds": [[-30, 30]]}, {"name": "b", "fixed": True, "inits": [0.5]}]
    block = {"parameters": ["a", "b"], "correlation": [[1.0, 0.8], [0.8, 1.0]]}
    model = Model({"channels": [{"name": "c", "samples": samples}],
                   "observations": [{"name": "c", "data": [1900.0, 1950.0]}],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
                   "version": "1.0.0", "extensions": {"correlations": [block]}})  # fmt: skip
    a, mu = model.index("a"), model.index("mu")
    assert [part[a] for part in model.constraints()] == pytest.approx([0.4, 0.6])
    error = next(row.error for row in fits.yields(model) if row.sample == "a")
    assert error == pytest.approx(0.6 * 900.0 * np.log(1.05), rel=1e-3)
    known = auxiliary.drawn(model.parameters, model.structure.extended.correlations, ~model.fixed, 20_000,
                            np.random.default_rng(1))[:, a]  # fmt: skip
    assert (known.mean(), known.std()) == pytest.approx((0.4, 0.6), abs=4 * 0.6 / np.sqrt(20_000))
    best = fits.fit(model)
    found = uncertainties.breakdown(model, best=best)
    whole = np.sqrt(np.nansum([row.observable**2 for row in found.sources]))
    assert whole == pytest.approx(best.errors[mu], rel=1e-3)


def test_yields_before_the_fit_know_the_correlations():
    shifts = {"rate_a": (30.0, 1.1), "rate_b": (70.0, 1.2)}  # one sample each, which its rate moves by 3 and by 14
    samples = [{"name": name, "data": [size], "modifiers": [
        {"name": name, "type": "normsys", "data": {"hi": up, "lo": 1.0 / up}},
        {"name": "mu", "type": "normfactor", "data": None}]} for name, (size, up) in shifts.items()]  # fmt: skip
    matrix = {"parameters": [*shifts], "correlation": [[1.0, -0.5], [-0.5, 1.0]]}
    model = Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [99.0]}],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
                   "version": "1.0.0", "extensions": {"correlations": [matrix]}})  # fmt: skip
    # Derivatives at 0: those of interpolation code 4 between 1 / 1.1 and 1.1, which is exponential there.
    one, other = 30.0 * np.log(1.1), 70.0 * np.log(1.2)
    both = np.sqrt(one**2 + other**2 - one * other)
    errors = {name: error for name, (_, error) in sums.sums(model)["c"].items()}
    assert errors == pytest.approx({"rate_a": one, "rate_b": other, "total": both}, rel=1e-3)
    assert [row.error for row in fits.yields(model)] == pytest.approx([one, other, both], rel=1e-3)


def test_shifted_measurements_add_up_to_the_uncertainty():
    model = Model(correlated())
    data, mu = model.asimov(), model.index("mu")
    best = fits.fit(model, data)
    _, sets = model.shifted(data, 0.01)
    shifts = [(fits.fit(model, row).values[mu] - best.values[mu]) / 0.01 for row in sets]
    total = np.hypot(np.sqrt(np.sum(np.square(shifts))), model.main_part(data, best, "mu"))
    assert total == pytest.approx(best.errors[mu], rel=2e-3)


def test_other_constraints_are_those_of_their_distributions():
    book = workspace(constraints={
        "rate_a": {"type": "none"}, "mu": {"type": "normal", "auxdata": 1.2, "sigma": 0.3},
        "tilt": {"type": "poisson", "auxdata": 2, "factor": 3.0},
    })  # fmt: skip
    model = Model(book)
    at = np.abs(points(model, 20)) + 0.1
    assert model.twice_nll(at) == pytest.approx([twice_nll(book, model, point) for point in at], rel=1e-11)


def test_a_poisson_constraint_of_a_normalisation_holds_side_by_side():
    factors = [{"name": name, "type": "normfactor", "data": None} for name in ("mu", "side")]
    samples = [{"name": name, "data": [size], "modifiers": [factor]}
               for name, size, factor in zip("sb", (5.0, 2.0), factors, strict=True)]  # fmt: skip
    parameters = [{"name": "mu", "bounds": [[0.0, 50.0]]}, {"name": "side", "inits": [4.0], "bounds": [[0.0, 60.0]]}]
    constraint = {"constraints": {"side": {"type": "poisson", "auxdata": 6.0, "factor": 1.5}}}
    model = Model({"channels": [{"name": "c", "samples": samples}], "observations": [{"name": "c", "data": [17.0]}],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
                   "version": "1.0.0", "extensions": constraint})  # fmt: skip
    main, control = (row.ravel() for row in np.meshgrid(np.arange(12.0), np.arange(0.0, 9.0)))
    fitted = model.minimise(np.stack([main, control], axis=1), tolerance=1e-12)
    assert len(main) >= FEW
    assert (fitted.status == 0).all()
    excess = main >= 2.0 * control / 1.5
    side = np.where(excess, control / 1.5, (main + control) / 3.5)  # with mu = 0: the maximum of both counts
    assert model.names == ("side", "mu")
    wanted = np.stack([side, np.maximum(main - 2.0 * side, 0.0) / 5.0], axis=1)
    assert fitted.values == pytest.approx(wanted, abs=1e-5)
    inside = (main > 2.0 * control / 1.5 + 1.0) & (control > 0)
    by_hand = np.stack([np.sqrt(control) / 1.5, np.sqrt(main + (2.0 / 1.5) ** 2 * control) / 5.0], axis=1)
    errors = model.errors(fitted, np.stack([main, control], axis=1))
    assert errors[inside] == pytest.approx(by_hand[inside], rel=1e-6)


NO_VARIANCE = {"parameters": ["rate_a", "rate_b"], "covariance": [[1, 0], [0, -1]]}


def broken(change):
    book = correlated()
    change(book["extensions"])
    return book


REFUSED = [
    (
        lambda e: e["correlations"][0].update(correlation=[[1, 2, 0], [2, 1, 0], [0, 0, 1]]),
        "rate_a with rate_b: 2 must be between -1 and 1",
    ),
    (lambda e: e["correlations"][0].update(correlation=[[1, 0.5, 0], [0.4, 1, 0], [0, 0, 1]]), "not symmetric: rate_a"),
    (
        lambda e: e["correlations"][0].update(correlation=[[2, 0, 0], [0, 1, 0], [0, 0, 1]]),
        "rate_a with itself: 2 must be 1",
    ),
    (
        lambda e: e["correlations"][0].update(correlation=[[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]),
        "correlation: not positive definite .smallest eigenvalue -0.8, mostly of rate_a, rate_b, tilt",
    ),
    (lambda e: e["correlations"].__setitem__(0, NO_VARIANCE), "the variance -1 of rate_b must be positive"),
    (lambda e: e["correlations"][0].update(correlation=[[1, 0], [0, 1]]), "3 rows of 3 numbers"),
    (lambda e: e["correlations"][0].update(covariance=CORRELATION), "either 'correlation' or 'covariance'"),
    (lambda e: e["correlations"][0].update(parameters=["rate_a", "rate_c", "tilt"]), "no parameter 'rate_c'.*rate_"),
    (lambda e: e["correlations"][0].update(parameters=["rate_a", "mu", "tilt"]), "mu must have a normal constraint"),
    (lambda e: e["correlations"][0].update(parameters=["rate_a", "mc_low[0]", "tilt"]), "not belong to a single bin"),
    (lambda e: e["correlations"].append({"parameters": ["tilt"], "correlation": [[1.0]]}), "tilt is named twice"),
    (lambda e: e.update(groups=["tilt"]), "groups: expected an object, not"),
    (lambda e: e.update(interpolations={}), "no 'interpolations'; did you mean 'interpolation'"),
    (lambda e: e.update(interpolation={"normsys": "code7"}), "no interpolation code 'code7'; choose one of"),
    (lambda e: e.update(constraints={"tilt": {"type": "gauss"}}), "tilt: 'type' must be one of none, normal, poisson"),
    (
        lambda e: e.update(constraints={"tilt": {"type": "normal", "auxdata": 0, "sigma": 0}}),
        "'sigma' must be positive",
    ),
]


@pytest.mark.parametrize(("change", "words"), REFUSED)
def test_bad_extensions_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        Model(broken(change))


def test_a_sample_with_a_polynomial_and_a_factor_of_the_same_name_is_refused():
    book = copy.deepcopy(workspace())
    book["channels"][0]["samples"][0]["modifiers"].append({"name": "mu", "type": "normfactor", "data": None})
    with pytest.raises(ValueError, match="sample signal: mu is a polynomial and a normfactor"):
        Model(book)


def test_a_patch_puts_correlations_beside_a_workspace(tmp_path):
    book = correlated()
    plain = {key: value for key, value in book.items() if key != "extensions"}
    (tmp_path / "workspace.json").write_text(json.dumps(plain))
    (tmp_path / "patch.json").write_text(
        json.dumps([{"op": "add", "path": "/extensions", "value": book["extensions"]}])
    )
    found = reading.load(tmp_path / "workspace.json", patches=[str(tmp_path / "patch.json")])
    at = points(found, 3)
    assert found.twice_nll(at).tolist() == Model(book).twice_nll(at).tolist()


def test_pyhf_refuses_a_workspace_with_extensions():
    pyhf = pytest.importorskip("pyhf")
    with pytest.raises(pyhf.exceptions.InvalidSpecification):
        pyhf.Workspace(workspace())


def test_a_large_model_with_counted_factors_is_the_same_in_blocks(monkeypatch):
    """Also where nothing was counted, and the factor is at its bound 0."""
    book = workspace(spread=False, rates=LARGE)
    counts = {"side": (6.0, [6.0], [0.0, 50.0]), "empty": (0.0, [1e-6], [0.0, 28.0])}
    for name, (count, inits, bounds) in counts.items():
        row = {"name": name, "type": "normfactor", "data": None}
        book["channels"][0]["samples"].append({"name": name, "data": [0.5, 0.4, 0.3, 0.2], "modifiers": [row]})
        book["measurements"][0]["config"]["parameters"].append({"name": name, "inits": inits, "bounds": [bounds]})
        constraint = {"type": "poisson", "auxdata": count, "factor": 1.0}
        book["extensions"].setdefault("constraints", {})[name] = constraint
    large = Model(book)
    assert large.large
    best = fits.fit(large)
    monkeypatch.setattr("nuisflow.likelihood.model.LARGE", 10**6)
    small = fits.fit(Model(book))
    assert "empty is at its lower bound 0" in best.message
    assert best.twice_nll == pytest.approx(small.twice_nll, abs=1e-7)
    assert best.errors == pytest.approx(small.errors, abs=1e-5, nan_ok=True)
