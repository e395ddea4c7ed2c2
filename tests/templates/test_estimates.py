"""Estimates from data whose subtraction moves: workspaces against sums by hand, pyhf and a division."""

import hist
import numpy as np
import pyhf
import pytest

from nuisflow.likelihood import fits
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import Filling, WorkspaceSettings
from nuisflow.templates import shown, weight_sets, workspaces
from nuisflow.templates.histograms import content

PARTS = {"qcd_minus_w": {"of": "qcd", "subtracts": "w"}, "qcd_minus_z": {"of": "qcd", "subtracts": "z"}}
SHAPES = {"jes": ("w", "z", "qcd_minus_w", "qcd_minus_z")}
SIGNAL = {
    "higgs": {"nominal": [1.0, 4.0, 6.0]},
    "w": {"nominal": [50.0, 30.0, 20.0], "jes_up": [48.0, 33.0, 22.0], "jes_down": [53.0, 28.0, 18.0]},
    "z": {"nominal": [80.0, 60.0, 15.0], "jes_up": [79.0, 62.0, 16.0], "jes_down": [82.0, 59.0, 14.5]},
    "qcd": {"nominal": [60.0, 45.0, 12.0]},
    "qcd_minus_w": {"nominal": [-20.0, -12.0, -6.0], "jes_up": [-19.0, -13.0, -7.0], "jes_down": [-21.0, -11.5, -5.0]},
    "qcd_minus_z": {"nominal": [-4.0, -2.0, -1.0], "jes_up": [-4.1, -2.2, -1.1], "jes_down": [-3.9, -1.9, -0.9]},
}
CONTROL = {
    "higgs": {"nominal": [0.2]},
    "w": {"nominal": [2700.0], "jes_up": [2750.0], "jes_down": [2640.0]},
    "z": {"nominal": [60.0], "jes_up": [61.0], "jes_down": [59.0]},
    "qcd": {"nominal": [1250.0]},
    "qcd_minus_w": {"nominal": [-900.0], "jes_up": [-930.0], "jes_down": [-880.0]},
    "qcd_minus_z": {"nominal": [-20.0], "jes_up": [-20.5], "jes_down": [-19.0]},
}
RATES = {
    "w_rate": {"kind": "free_rate", "processes": ["w", "qcd_minus_w"]},
    "z_rate": {"kind": "rate", "size": 0.1, "processes": ["z", "qcd_minus_z"]},
    "qcd_transfer": {"kind": "rate", "size": [0.3, -0.2], "processes": ["qcd", "qcd_minus_w", "qcd_minus_z"]},
}
JES = {"kind": "shift", "columns": {"pt": "pt * (1 + z)"}, "processes": list(SHAPES["jes"])}


def histogram(contents, relative=0.02, data=None):
    """Return templates whose MC uncertainty is a fraction of each content."""
    contents = contents | ({"data": {"nominal": data}} if data is not None else {})
    names = list(dict.fromkeys(name for process in contents.values() for name in process))
    bins = len(contents["w"]["nominal"])
    axes = (
        hist.axis.StrCategory(list(contents), name="process"),
        hist.axis.StrCategory(names, name="variation"),
        hist.axis.Regular(bins, 0, 1, name="score"),
    )
    made = hist.Hist(*axes, storage=hist.storage.Weight())
    view = made.view(flow=False)
    for row, process in enumerate(contents):
        for column, name in enumerate(names):
            values = np.asarray(contents[process].get(name, contents[process]["nominal"]), dtype=float)
            view["value"][row, column], view["variance"][row, column] = values, np.square(relative * values)
    return made


def build(variations=None, regions=None, data=None, **fit):
    regions = regions or {"signal": SIGNAL, "control": CONTROL}
    settings = WorkspaceSettings.model_validate(
        {
            "processes": tuple(SIGNAL),
            "signal": "higgs",
            "parts": PARTS,
            "variations": RATES | {"jes": JES} if variations is None else variations,
            "templates": {},
            "fit": {"unblind": data is not None} | fit,
        }
    )
    made = {name: histogram(found, data=None if data is None else data[name]) for name, found in regions.items()}
    return workspaces.build(made, settings)


def expected(workspace, **values):
    """Return pyhf's expected events with parameters set to *values*, the others at their start."""
    model = pyhf.Workspace(workspace).model()
    parameters = np.array(model.config.suggested_init(), dtype=float)
    for name, value in values.items():
        parameters[model.config.par_slice(name)] = value
    return np.asarray(model.expected_actualdata(parameters))


def test_rates_of_a_process_move_what_is_subtracted_of_it_and_the_transfer_factor_moves_the_whole_estimate():
    found = expected(build(RATES).workspace, w_rate=0.7, z_rate=1.0, qcd_transfer=-1.0)
    by_hand = [
        np.array(region["higgs"]["nominal"])
        + 0.7 * np.array(region["w"]["nominal"])
        + 1.1 * np.array(region["z"]["nominal"])
        + 0.8
        * (
            np.array(region["qcd"]["nominal"])
            + 0.7 * np.array(region["qcd_minus_w"]["nominal"])
            + 1.1 * np.array(region["qcd_minus_z"]["nominal"])
        )
        for region in (CONTROL, SIGNAL)  # pyhf orders channels by name
    ]
    np.testing.assert_allclose(found, np.concatenate(by_hand), rtol=1e-12)


@pytest.mark.parametrize(("side", "z"), [("up", 1.0), ("down", -1.0)])
def test_a_shift_moves_what_is_subtracted_by_its_own_templates_in_the_sideband(side, z):
    found = expected(build().workspace, jes=z)
    by_hand = [
        np.sum([process.get(f"jes_{side}", process["nominal"]) for process in region.values()], axis=0)
        for region in (CONTROL, SIGNAL)
    ]
    np.testing.assert_allclose(found, np.concatenate(by_hand), rtol=1e-12)


def test_the_free_rate_of_a_control_region_is_the_one_that_a_division_gives():
    """N = w W + D - w S, so that w = (N - D) / (W - S): the frozen subtraction gave (N - D + S) / W."""
    data = {"control": [2000.0]}
    regions = {"control": CONTROL | {"higgs": {"nominal": [1e-9]}, "z": {"nominal": [1e-9]}}}
    regions["control"]["qcd_minus_z"] = {"nominal": [-1e-9]}
    built = build({"w_rate": RATES["w_rate"]}, regions, data, mc_statistics=False)
    model = Model(built.workspace)
    result = fits.fit(model, model.data, fixed={"mu": 1.0})
    rate = model.index("w_rate")
    assert result.values[rate] == pytest.approx((2000 - 1250) / (2700 - 900), rel=1e-6)
    assert result.errors[rate] == pytest.approx(np.sqrt(2000) / (2700 - 900), rel=1e-6)


def test_the_likelihood_of_samples_with_negative_content_is_that_of_pyhf():
    workspace = build(data={"signal": [170, 120, 50], "control": [3100]}).workspace
    ours, theirs = Model(workspace), pyhf.Workspace(workspace).model()
    data = np.asarray(pyhf.Workspace(workspace).data(theirs))
    random = np.random.default_rng(5)
    names = [ours.index(name) for name in theirs.config.par_names]
    for _ in range(20):
        values = np.array(theirs.config.suggested_init()) + 0.1 * random.standard_normal(len(names))
        parameters = np.empty(len(names))
        parameters[names] = values
        assert ours.twice_nll(parameters, ours.data) == pytest.approx(-2 * theirs.logpdf(values, data)[0], rel=1e-9)


def test_statistical_errors_of_data_and_of_what_is_subtracted_add_in_quadrature():
    """Barlow-Beeston lite: one factor per bin, whose width is the error of the sum over the sum of all samples."""
    model = pyhf.Workspace(build(RATES).workspace).model()
    widths = model.config.param_set("staterror_signal").sigmas
    errors = np.sqrt(np.sum([np.square(0.02 * np.array(one["nominal"])) for one in SIGNAL.values()], axis=0))
    np.testing.assert_allclose(widths, errors / np.sum([one["nominal"] for one in SIGNAL.values()], axis=0), rtol=1e-12)


def test_a_decorrelated_variation_has_the_parameter_of_the_process_whose_events_are_subtracted():
    rate = {
        "kind": "rate",
        "size": 0.1,
        "decorrelate": ["process"],
        "processes": ["w", "z", "qcd_minus_w", "qcd_minus_z"],
    }
    built = build({"norm": rate, "qcd_transfer": RATES["qcd_transfer"] | {"decorrelate": ["process"]}})
    modifiers = {
        sample["name"]: {modifier["name"] for modifier in sample["modifiers"] if modifier["type"] == "normsys"}
        for sample in built.workspace["channels"][0]["samples"]
    }
    assert modifiers == {
        "higgs": set(),
        "w": {"norm_w"},
        "z": {"norm_z"},
        "qcd": {"qcd_transfer_qcd"},
        "qcd_minus_w": {"norm_w", "qcd_transfer_qcd"},
        "qcd_minus_z": {"norm_z", "qcd_transfer_qcd"},
    }


def test_notes_tell_of_the_estimate_and_not_of_its_parts():
    small = SIGNAL | {"qcd": {"nominal": [60.0, 10.0, 12.0]}, "qcd_minus_z": {"nominal": [-4.0, 0.0, -1.0]}}
    notes = build(regions={"signal": small}).notes
    assert {note.process for note in notes if note.kind != "same_side"} == {"qcd"}
    filled = next(note for note in notes if note.kind == "filled_up" and not note.variation)
    assert filled.text.startswith("the z subtracted in it: empty or negative bins")
    negative = next(note for note in notes if note.kind == "negative_estimate")
    assert (negative.bin, negative.text.split("sideband ")[1]) == ("1", "(-2): kept negative")


def test_simulation_whose_sum_is_negative_in_the_sideband_is_added_and_only_its_rate_varies():
    odd = SIGNAL | {"qcd_minus_z": {"nominal": [1.0, -0.5, 0.25], "jes_up": [1.1, -0.5, 0.2]}}
    built = build(regions={"signal": odd})
    sample = next(s for s in built.workspace["channels"][0]["samples"] if s["name"] == "qcd_minus_z")
    assert sample["data"] == [1.0, -0.5, 0.25]
    assert {(m["name"], m["type"]) for m in sample["modifiers"]} == {
        ("z_rate", "normsys"), ("qcd_transfer", "normsys"), ("staterror_signal", "staterror")
    }  # fmt: skip
    assert ("dropped", "qcd") in [(note.kind, note.process) for note in built.notes]


def test_people_see_an_estimate_as_one_process():
    whole = shown.merged(histogram(SIGNAL), {name: part["of"] for name, part in PARTS.items()})
    assert list(whole.axes["process"]) == ["higgs", "w", "z", "qcd"]
    np.testing.assert_allclose(content(whole, "qcd").values, [36, 31, 5])
    np.testing.assert_allclose(content(whole, "qcd", "jes_up").values, [60 - 19 - 4.1, 45 - 13 - 2.2, 12 - 7 - 1.1])
    np.testing.assert_allclose(content(whole, "qcd").variances, 0.0004 * np.array([60**2 + 20**2 + 4**2, 45**2 + 12**2 + 2**2, 12**2 + 6**2 + 1]))  # fmt: skip
    yields = {"prefit": {"signal": {"samples": {"w": [1.0], "qcd": [5.0], "qcd_minus_w": [-2.0]}, "data": [4.0]}}}
    found = shown.merged_yields({"mu": 1.0, "yields": yields}, {"signal": histogram(SIGNAL)}, {"qcd_minus_w": "qcd"})
    assert found["yields"]["prefit"]["signal"]["samples"] == {"w": [1.0], "qcd": [3.0]}


def test_the_up_side_of_a_weight_set_subtracts_more():
    """Of w = 10 and a member of 12 the envelope goes up to 12; what is subtracted, -5 and -6, must go to -6 with it."""
    settings = Filling.model_validate(
        {
            "processes": ("w", "qcd", "qcd_minus_w"),
            "signal": "w",
            "samples": {},
            "regions": {},
            "scored": (),
            "variations": {},
            "weights": {},
            "sets": {"scales": {"number": 2, "processes": ("w", "qcd_minus_w"), "combine": "envelope"}},
            "parts": {"qcd_minus_w": PARTS["qcd_minus_w"]},
        }
    )
    contents = {
        "w": {"nominal": [10.0], "scales_member0": [12.0], "scales_member1": [9.0]},
        "qcd": {"nominal": [20.0]},
        "qcd_minus_w": {"nominal": [-5.0], "scales_member0": [-6.0], "scales_member1": [-4.5]},
    }
    found = weight_sets._combined(histogram(contents), settings)
    assert [content(found, name, "scales_up").values[0] for name in contents] == [12, 20, -6]
    assert [content(found, name, "scales_down").values[0] for name in contents] == [9, 20, -4.5]
