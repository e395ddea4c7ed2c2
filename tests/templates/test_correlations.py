"""Correlated constraints, from the configuration to the fit: against pyhf, Minuit and a Gaussian written out."""

import copy

import hist
import numpy as np
import pyhf
import pytest
from iminuit import Minuit
from scipy import linalg, stats

from nuisflow.likelihood import fits, toys, uncertainties
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import WorkspaceSettings
from nuisflow.templates import workspaces

NOMINAL = {"higgs": [1.0, 3.0, 9.0], "z": [80.0, 40.0, 10.0], "tt": [20.0, 15.0, 10.0]}
RHO = 0.6
MATRIX = np.array([[1.0, RHO], [RHO, 1.0]])
RATES = {
    "z_rate": {"kind": "rate", "size": 0.1, "processes": ["z"]},
    "tt_rate": {"kind": "rate", "size": 0.2, "processes": ["tt"]},
}
LUMINOSITY = {"kind": "luminosity", "size": 0.05, "processes": ["higgs"]}
SEEN = [125.0, 70.0, 45.0]


def templates():
    """Return templates of three processes without variations, which rates do not need."""
    axes = [
        hist.axis.StrCategory(names, name=axis) for axis, names in (("process", NOMINAL), ("variation", ["nominal"]))
    ]
    made = hist.Hist(*axes, hist.axis.Regular(3, 0, 1, name="score"), storage=hist.storage.Weight())
    made.view(flow=False)["value"][:, 0] = made.view(flow=False)["variance"][:, 0] = list(NOMINAL.values())
    return {"signal": made}


def built(rho=RHO, variations=RATES, names=("z_rate", "tt_rate")):
    block = {"parameters": names, "correlation": [[1.0, rho], [rho, 1.0]]}
    return build_of(variations, [block] if rho else [])


def build_of(variations, correlations):
    content = {"variations": variations, "correlations": correlations, "templates": {}, "fit": {"mc_statistics": False}}
    settings = WorkspaceSettings.model_validate({"processes": list(NOMINAL), "signal": "higgs", **content})
    found = workspaces.build(templates(), settings)
    for row in found.workspace["observations"]:
        row["data"] = SEEN
    return found


def by_hand(mu, z, tt):
    """Return -2 ln L with all constants, from the definition: log-normal rates, a Gaussian of two dimensions."""
    rates = (np.array(NOMINAL[name]) for name in ("higgs", "z", "tt"))
    expected = sum(factor * rate for factor, rate in zip((mu, 1.1**z, 1.2**tt), rates, strict=True))
    return -2 * (stats.poisson.logpmf(SEEN, expected).sum() + stats.multivariate_normal.logpdf([z, tt], cov=MATRIX))


def test_the_likelihood_and_its_interval_are_those_written_out_by_hand():
    model = Model(built().workspace, normsys="code1")
    index = [model.index(name) for name in ("mu", "z_rate", "tt_rate")]
    for point in np.random.default_rng(1).uniform([-1, -2, -2], [4, 2, 2], (100, 3)):
        values = np.empty(3)
        values[index] = point
        assert model.twice_nll(values)[0] == pytest.approx(by_hand(*point), rel=1e-12)
    known = Minuit(by_hand, mu=1.0, z=0.0, tt=0.0)
    known.errordef, known.tol, known.strategy = 1.0, 1e-6, 2
    known.migrad()
    known.minos("mu")
    found = fits.interval(model)
    ends = known.values["mu"] + np.array([known.merrors["mu"].lower, known.merrors["mu"].upper])
    assert (found.value, found.low, found.high) == pytest.approx((known.values["mu"], *ends), abs=2e-4)


def rotated(workspace):
    """Return a workspace that pyhf reads: two independent parameters act on what two correlated ones act on."""
    root, names = linalg.sqrtm(MATRIX), ("z_rate", "tt_rate")
    other = copy.deepcopy(workspace)
    del other["extensions"]
    for sample in other["channels"][0]["samples"]:
        for row in [row for row in sample["modifiers"] if row["type"] == "normsys"]:
            sample["modifiers"].remove(row)
            for power, name in zip(root[names.index(row["name"])], ("first", "second"), strict=True):
                data = {side: value**power for side, value in row["data"].items()}
                sample["modifiers"].append({"name": name, "type": "normsys", "data": data})
    return other


def test_two_correlated_parameters_are_two_independent_ones_that_act_on_both_in_pyhf():
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-6, errordef=1))
    workspace = built().workspace
    book = pyhf.Workspace(rotated(workspace))
    theirs = book.model(modifier_settings={"normsys": {"interpcode": "code1"}})
    values, twice = pyhf.infer.mle.fit(book.data(theirs), theirs, return_fitted_val=True)
    fixed = [
        pyhf.infer.mle.fixed_poi_fit(mu, book.data(theirs), theirs, return_fitted_val=True)[1] for mu in (0.0, 3.0)
    ]
    model = Model(workspace, normsys="code1")
    best = fits.fit(model)
    assert best.values[model.index("mu")] == pytest.approx(values[theirs.config.poi_index], abs=1e-3)
    scanned = fits.scan(model, None, "mu", [0.0, 3.0]).twice_delta_nll
    assert scanned == pytest.approx(np.array(fixed) - twice, abs=1e-4)
    shift = linalg.sqrtm(MATRIX) @ values[[theirs.config.par_order.index(name) for name in ("first", "second")]]
    assert best.values[[model.index("z_rate"), model.index("tt_rate")]] == pytest.approx(shift, abs=1e-3)


def test_without_correlation_the_workspace_is_one_that_pyhf_reads():
    workspace = built(0.0).workspace
    assert "extensions" not in workspace
    pyhf.Workspace(workspace)
    with pytest.raises(pyhf.exceptions.InvalidSpecification):
        pyhf.Workspace(built().workspace)


def test_what_acts_nowhere_is_left_out_of_the_correlations():
    found = built(variations=RATES | {"idle": {"kind": "rate", "size": 0.1, "processes": []}}, names=("z_rate", "idle"))
    assert "extensions" not in found.workspace
    three = {"parameters": ["z_rate", "idle", "tt_rate"], "correlation": [[1, 0.5, 0.3], [0.5, 1, 0.5], [0.3, 0.5, 1]]}
    rest = build_of(RATES, [three]).workspace["extensions"]["correlations"]
    assert rest == [{"parameters": ["z_rate", "tt_rate"], "correlation": [[1.0, 0.3], [0.3, 1.0]]}]


def test_a_note_says_what_pyhf_refuses():
    (note,) = [note for note in built().notes if note.kind == "extension"]
    assert (
        note.text
        == "the constraints of z_rate, tt_rate are correlated: an extension of the workspace, which pyhf refuses"
    )


def test_the_luminosity_keeps_its_width():
    model = Model(built(0.5, RATES | {"luminosity": LUMINOSITY}, ("lumi", "tt_rate")).workspace)
    covariance = [[0.05**2, 0.5 * 0.05], [0.5 * 0.05, 1.0]]
    at, other = model.point({"lumi": 1.04, "tt_rate": -0.7}), model.point({})
    pulled = stats.multivariate_normal.logpdf([0.04, -0.7], cov=covariance)
    change = -2 * (pulled - stats.multivariate_normal.logpdf([0, 0], cov=covariance))
    main = -2 * np.diff([stats.poisson.logpmf(SEEN, model.expected(point)).sum() for point in (other, at)])[0]
    assert float(model.twice_nll(at)[0] - model.twice_nll(other)[0]) == pytest.approx(main + change, rel=1e-9)


def test_auxiliary_measurements_of_toys_fluctuate_together_around_a_displaced_truth():
    model = Model(built().workspace)
    thrown = np.concatenate(list(toys.throw(model, {"z_rate": 2.0}, 20_000, 3)))[:, model.bins :]
    order = [[model.names[i] for i in model.constrained].index(name) for name in ("z_rate", "tt_rate")]
    assert thrown[:, order].mean(axis=0) == pytest.approx([2.0, 0.0], abs=0.03)
    assert np.cov(thrown[:, order].T) == pytest.approx(MATRIX, abs=0.04)


def test_observable_impacts_add_up_to_the_uncertainty():
    """Of all data together: to first order the variance is the sum of the squares, whatever the correlation."""
    model = Model(built().workspace)
    data = model.asimov()
    best = fits.fit(model, data)
    shifts = uncertainties.observable_shifts(model, data, best, "mu")
    parts = np.nansum((0.5 * (shifts[0] - shifts[1])) ** 2)
    assert np.hypot(np.sqrt(parts), model.main_part(data, best, "mu")) == pytest.approx(
        best.errors[model.index("mu")], rel=0.01
    )
