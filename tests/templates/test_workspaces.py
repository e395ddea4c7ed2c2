"""Tests of workspaces, with pyhf and cabinetry as their users."""

import hist
import hypothesis
import numpy as np
import pyhf
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nuisflow.likelihood import fits
from nuisflow.likelihood.model import Model
from nuisflow.slices.inference import WorkspaceSettings
from nuisflow.templates import smoothing, workspaces

steady = hypothesis.settings(deadline=None, max_examples=15)

NOMINAL = {
    "higgs": {"nominal": [1.0, 3, 9], "tes_up": [1.1, 3.1, 9.5], "tes_down": [0.9, 2.9, 8.4]},
    "z": {"nominal": [80.0, 40, 10], "tes_up": [82.0, 39, 10], "tes_down": [78.0, 41, 9]},
    "tt": {"nominal": [20.0, 15, 10]},
}
ALL = {
    "tes": {"kind": "shift", "shift": "tes", "size": 0.01, "processes": ["higgs", "z"]},
    "z_rate": {"kind": "rate", "size": 0.1, "processes": ["z"]},
    "tt_norm": {"kind": "free_rate", "processes": ["tt"], "bounds": [0, 5]},
    "luminosity": {"kind": "luminosity", "size": 0.026, "processes": ["higgs", "z"]},
}


def histogram(contents, relative=0.05, data=None):
    """Return templates with these contents; the MC uncertainty of every bin is a fraction of it."""
    contents = contents | ({"data": {"nominal": data}} if data is not None else {})
    names = list(dict.fromkeys(name for process in contents.values() for name in process))
    bins = len(next(iter(contents.values()))["nominal"])
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


def settings(variations=ALL, processes=("higgs", "z", "tt"), **changes):
    content = {
        "processes": processes,
        "signal": "higgs",
        "variations": variations,
        "templates": {},
        "fit": {},
    }
    return WorkspaceSettings.model_validate(content | changes)


def build(contents=NOMINAL, chosen=None, **options):
    return workspaces.build({"signal": histogram(contents, **options)}, chosen or settings())


def model_of(built):
    return pyhf.Workspace(built.workspace).model()


def expected(model, **values):
    """Return the expected events of all bins with parameters set to *values*, the others at their start."""
    parameters = np.array(model.config.suggested_init(), dtype=float)
    for name, value in values.items():
        if name == "tes" and name not in model.config.parameters:
            continue  # hypothesis found templates that do not vary at all
        parameters[model.config.par_slice(name)] = value
    return model.expected_actualdata(parameters)


def modifiers(built, process, region="signal"):
    channel = next(channel for channel in built.workspace["channels"] if channel["name"] == region)
    sample = next(sample for sample in channel["samples"] if sample["name"] == process)
    return {(modifier["name"], modifier["type"]): modifier["data"] for modifier in sample["modifiers"]}


def kinds(built):
    return [(note.kind, note.process, note.variation, note.bin) for note in built.notes]


def total(contents, variation="nominal"):
    return np.sum([process.get(variation, process["nominal"]) for process in contents.values()], axis=0)


# --- what is in it


def test_the_workspace_is_valid_and_has_every_parameter():
    built = build()
    pyhf.schema.validate(built.workspace, "workspace.json")
    model = model_of(built)
    assert model.config.poi_name == "mu"
    assert set(model.config.parameters) == {"mu", "tes", "z_rate", "tt_norm", "lumi", "staterror_signal"}
    assert built.notes == []


def test_the_modifiers_are_those_of_the_variations():
    built = build()
    assert set(modifiers(built, "higgs")) == {
        ("mu", "normfactor"),
        ("tes", "normsys"),
        ("tes", "histosys"),
        ("lumi", "lumi"),
        ("staterror_signal", "staterror"),
    }
    assert modifiers(built, "z")["z_rate", "normsys"] == {"hi": 1.1, "lo": 1 / 1.1}
    assert set(modifiers(built, "tt")) == {("tt_norm", "normfactor"), ("staterror_signal", "staterror")}


def test_an_asymmetric_rate_is_a_normsys_of_its_two_sides():
    built = build(chosen=settings(ALL | {"z_rate": {"kind": "rate", "size": [0.05, -0.07], "processes": ["z"]}}))
    assert modifiers(built, "z")["z_rate", "normsys"] == {"hi": 1.05, "lo": 0.9299999999999999}
    model = model_of(built)
    z = np.array(NOMINAL["z"]["nominal"])
    np.testing.assert_allclose(expected(model, z_rate=1.0) - expected(model), 0.05 * z)
    np.testing.assert_allclose(expected(model, z_rate=-1.0) - expected(model), -0.07 * z)


def test_a_hole_of_the_selection_is_a_bin_in_which_nothing_is_expected_for_any_tool():
    """A millionth of the mean of each process, with no uncertainty: fits are those of the other bins alone."""
    inner = {
        process: {name: [*values[:1], 0.0, *values[1:]] for name, values in found.items()}
        for process, found in NOMINAL.items()
    }
    with_hole, without = (
        build(inner, data=[90, 0, 60, 30], chosen=settings(fit={"unblind": True})),
        build(data=[90, 60, 30], chosen=settings(fit={"unblind": True})),
    )
    assert [note.kind for note in with_hole.notes] == ["filled_up"] * 3
    fitted = [fits.fit(Model(built.workspace)) for built in (with_hole, without)]
    assert fitted[0].converged
    values = [dict(zip(result.names, result.values, strict=True)) for result in fitted]
    for name in ("mu", "tes", "z_rate", "tt_norm", "lumi"):
        assert values[0][name] == pytest.approx(values[1][name], abs=2e-4)
    theirs = model_of(with_hole)
    data = pyhf.Workspace(with_hole.workspace).data(theirs)
    init = theirs.config.suggested_init()
    ours = Model(with_hole.workspace)
    point = dict(zip(theirs.config.par_names, init, strict=True))
    assert ours.twice_nll(point)[0] == pytest.approx(-2 * theirs.logpdf(init, data)[0], rel=1e-9)


def test_collision_data_in_a_bin_without_simulated_events_are_an_error():
    empty = {process: {name: [*values, 0.0] for name, values in found.items()} for process, found in NOMINAL.items()}
    with pytest.raises(
        workspaces.WorkspaceError, match=r"region 'signal', bin 3: 0 events are expected in total, but 2 are"
    ):
        build(empty, data=[90, 60, 30, 2], chosen=settings(fit={"unblind": True}))


def test_asimov_data_are_the_sum_of_the_nominal_templates():
    built = build(data=[90, 60, 33])
    np.testing.assert_allclose(built.workspace["observations"][0]["data"], total(NOMINAL), rtol=1e-15)


def test_unblinded_observations_are_the_collision_data():
    built = build(chosen=settings(fit={"unblind": True}), data=[90, 60, 33])
    assert built.workspace["observations"][0]["data"] == [90, 60, 33]
    assert [sample["name"] for sample in built.workspace["channels"][0]["samples"]] == ["higgs", "z", "tt"]


def test_regions_without_collision_data_are_asimov_when_unblinded():
    built = build(chosen=settings(fit={"unblind": True}))
    np.testing.assert_allclose(built.workspace["observations"][0]["data"], total(NOMINAL))


def test_the_shape_part_has_the_nominal_yield():
    data = modifiers(build(), "z")["tes", "histosys"]
    assert sum(data["hi_data"]) == pytest.approx(130, rel=1e-14)
    assert sum(data["lo_data"]) == pytest.approx(130, rel=1e-14)


def test_the_signal_strength_has_its_name_start_and_bounds():
    built = build(chosen=settings(fit={"poi": "strength", "bounds": [-2, 7]}))
    model = model_of(built)
    assert model.config.poi_name == "strength"
    assert list(model.config.suggested_bounds()[model.config.poi_index]) == [-2, 7]
    assert model.config.suggested_init()[model.config.poi_index] == 1


def test_mc_statistics_are_the_relative_uncertainty_of_the_sum():
    model = model_of(build(relative=0.1))
    expected_sigmas = np.sqrt(sum(np.square(0.1 * np.array(p["nominal"])) for p in NOMINAL.values())) / total(NOMINAL)
    np.testing.assert_allclose(model.config.param_set("staterror_signal").sigmas, expected_sigmas)
    without = build(chosen=settings(fit={"mc_statistics": False}))
    assert "staterror_signal" not in model_of(without).config.parameters


def test_several_regions_share_the_parameters():
    control = {process: {name: values[::-1] for name, values in c.items()} for process, c in NOMINAL.items()}
    built = workspaces.build({"signal": histogram(NOMINAL), "control": histogram(control)}, settings())
    model = model_of(built)
    assert {"staterror_signal", "staterror_control", "tes"} <= set(model.config.parameters)
    assert sum(model.config.channel_nbins.values()) == 6
    nominal = dict(zip(model.config.channels, np.split(expected(model), 2), strict=True))
    np.testing.assert_allclose(nominal["control"], nominal["signal"][::-1])


# --- what it predicts


def test_at_nominal_parameters_the_expectation_is_nominal():
    np.testing.assert_allclose(expected(model_of(build())), total(NOMINAL), rtol=1e-14)


@st.composite
def varied_contents(draw):
    bins = draw(st.integers(1, 6))
    values = arrays(np.float64, bins, elements=st.floats(0.5, 200))
    return {
        process: {name: draw(values).tolist() for name in names}
        for process, names in {
            "higgs": ("nominal", "tes_up", "tes_down"),
            "z": ("nominal", "tes_up", "tes_down"),
            "tt": ("nominal",),
        }.items()
    }


@steady
@hypothesis.given(varied_contents())
def test_expected_events_at_one_sigma_are_the_varied_templates(contents):
    model = model_of(build(contents))
    np.testing.assert_allclose(expected(model, tes=1), total(contents, "tes_up"), rtol=1e-9)
    np.testing.assert_allclose(expected(model, tes=-1), total(contents, "tes_down"), rtol=1e-9)
    np.testing.assert_allclose(expected(model, tes=0), total(contents), rtol=1e-13)


def test_a_flat_ratio_is_a_rate_only_and_equals_a_histosys_with_that_ratio():
    z = np.array(NOMINAL["z"]["nominal"])
    contents = NOMINAL | {"z": {"nominal": z, "tes_up": 1.2 * z, "tes_down": 0.85 * z}}
    built = build(contents)
    assert ("tes", "histosys") not in modifiers(built, "z")
    assert modifiers(built, "z")["tes", "normsys"] == pytest.approx({"hi": 1.2, "lo": 0.85})
    by_hand = pyhf.Model(
        {
            "channels": [
                {
                    "name": "signal",
                    "samples": [
                        {"name": "z", "data": z.tolist(), "modifiers": [
                            {"name": "tes", "type": "histosys",
                             "data": {"hi_data": (1.2 * z).tolist(), "lo_data": (0.85 * z).tolist()}}]},
                    ],
                }
            ]
        },
        poi_name=None,
    )  # fmt: skip
    others = total({name: process for name, process in contents.items() if name != "z"})
    for side, strength in (("tes_up", 1), ("tes_down", -1)):
        rest = total({name: process for name, process in contents.items() if name != "z"}, side)
        by_rate = expected(model_of(built), tes=strength) - rest
        np.testing.assert_allclose(by_rate, by_hand.expected_actualdata([float(strength)]), rtol=1e-12)
    np.testing.assert_allclose(expected(model_of(built)) - others, by_hand.expected_actualdata([0.0]), rtol=1e-12)


@pytest.mark.parametrize("z", [-3, -1, 0, 1, 2.5])
def test_a_rate_is_log_normal(z):
    difference = expected(model_of(build()), z_rate=z) - expected(model_of(build()))
    np.testing.assert_allclose(difference, np.array([80, 40, 10]) * (1.1**z - 1), rtol=1e-12, atol=1e-12)


def test_luminosity_and_free_rates_scale_their_processes():
    model = model_of(build())
    difference = expected(model, lumi=1.026, tt_norm=2) - expected(model)
    np.testing.assert_allclose(difference, 0.026 * np.array([81, 43, 19]) + np.array([20, 15, 10]), rtol=1e-12)
    lumi = model.config.param_set("lumi")
    assert (lumi.auxdata, lumi.sigmas) == ([1.0], [0.026])
    assert lumi.suggested_bounds[0] == pytest.approx((0.74, 1.26))
    assert list(model.config.param_set("tt_norm").suggested_bounds[0]) == [0, 5]


def test_the_signal_strength_scales_the_signal_only():
    model = model_of(build())
    np.testing.assert_allclose(expected(model, mu=3) - expected(model, mu=0), [3, 9, 27], rtol=1e-12)


# --- options


def test_symmetrised_templates_are_in_the_workspace():
    model = model_of(build(chosen=settings(templates={"symmetrise": ["tes"]})))
    difference = (total(NOMINAL, "tes_up") - total(NOMINAL, "tes_down")) / 2
    np.testing.assert_allclose(expected(model, tes=1) - total(NOMINAL), difference, rtol=1e-9)
    np.testing.assert_allclose(expected(model, tes=-1) - total(NOMINAL), -difference, rtol=1e-9)


def test_smoothed_templates_keep_the_rate():
    flat = [100.0] * 8
    noisy = [103.0, 101, 104, 100, 125, 102, 104, 101]
    contents = {"higgs": {"nominal": flat}, "z": {"nominal": flat, "tes_up": noisy, "tes_down": flat}}
    chosen = settings({"tes": ALL["tes"]}, ("higgs", "z"), templates={"smooth": ["tes"]})
    data = modifiers(build(contents, chosen), "z")
    assert data["tes", "normsys"]["hi"] == pytest.approx(1.05)
    smoothed = smoothing.smooth_353qh(np.array(noisy) / 100)
    np.testing.assert_allclose(data["tes", "histosys"]["hi_data"], 100 * smoothed / smoothed.mean())
    assert max(data["tes", "histosys"]["hi_data"]) < 110


def test_small_effects_are_pruned_and_recorded():
    built = build(chosen=settings(templates={"prune": {"rate": 0.02, "shape": 0.05}}))
    assert ("pruned", "z", "tes", "") in kinds(built)
    assert ("tes", "normsys") not in modifiers(built, "z")  # 131/130 and 128/130
    assert ("tes", "histosys") in modifiers(built, "z")  # 9/10 in the last bin
    assert ("tes", "normsys") in modifiers(built, "higgs")
    note = next(note for note in built.notes if note.process == "z")
    assert note.text == "the rate changes by at most 0.015: dropped"


def test_pruning_with_zero_thresholds_drops_nothing():
    tiny = {"nominal": [80.0, 40, 10], "tes_up": [80.0001, 40, 10], "tes_down": [80.0, 40.0001, 10]}
    assert {("tes", "normsys"), ("tes", "histosys")} <= set(modifiers(build(NOMINAL | {"z": tiny}), "z"))


def test_a_variation_without_any_effect_is_not_in_the_workspace_and_recorded():
    same = {name: dict.fromkeys(("nominal", "tes_up", "tes_down"), c["nominal"]) for name, c in NOMINAL.items()}
    built = build(same)
    assert "tes" not in model_of(built).config.parameters
    assert ("no_effect", "", "tes", "") in kinds(built)


def test_a_missing_side_is_mirrored_and_recorded():
    contents = {name: {k: v for k, v in c.items() if k != "tes_down"} for name, c in NOMINAL.items()}
    built = build(contents)
    assert ("mirrored", "z", "tes", "") in kinds(built)
    model = model_of(built)
    np.testing.assert_allclose(expected(model, tes=-1), 2 * total(contents) - total(contents, "tes_up"), rtol=1e-9)


def test_up_and_down_on_the_same_side_are_flagged():
    contents = NOMINAL | {"z": {"nominal": [80.0, 40, 10], "tes_up": [84.0, 42, 10], "tes_down": [83.0, 42, 10]}}
    assert ("same_side", "z", "tes", "") in kinds(build(contents))


# --- awkward contents


def test_negative_and_empty_bins_are_set_to_a_tiny_content_by_name():
    contents = NOMINAL | {"tt": {"nominal": [20.0, -2, 0]}}
    built = build(contents)
    assert ("filled_up", "tt", "", "1, 2") in kinds(built)
    sample = built.workspace["channels"][0]["samples"][2]
    assert sample["data"][1:] == pytest.approx([6e-6, 6e-6])
    assert sum(sample["data"]) == pytest.approx(18)
    assert modifiers(built, "tt")["staterror_signal", "staterror"] == pytest.approx([1, 0.1, 0])
    model = model_of(built)
    assert np.all(expected(model, mu=0) > 0)


def test_bins_that_only_a_variation_empties_are_reported():
    contents = NOMINAL | {"z": {"nominal": [80.0, 40, 10], "tes_up": [90.0, 50, -1], "tes_down": [70.0, 30, 0]}}
    built = build(contents)
    assert ("filled_up", "z", "tes", "2") in kinds(built)
    assert np.all(expected(model_of(built), tes=1) > 0)
    assert expected(model_of(built), tes=1).sum() == pytest.approx(13.7 + 139 + 45)


def test_a_side_without_positive_total_is_mirrored():
    contents = NOMINAL | {"z": {"nominal": [80.0, 40, 10], "tes_up": [90.0, 50, 11], "tes_down": [-1.0, 0, 0]}}
    built = build(contents)
    assert ("mirrored", "z", "tes", "") in kinds(built)
    assert modifiers(built, "z")["tes", "normsys"] == pytest.approx({"hi": 151 / 130, "lo": 2 - 151 / 130})


def test_a_variation_without_positive_totals_is_dropped_and_recorded():
    contents = NOMINAL | {"z": {"nominal": [80.0, 40, 10], "tes_up": [0.0, 0, 0], "tes_down": [-1.0, 0, 0]}}
    built = build(contents)
    assert ("dropped", "z", "tes", "") in kinds(built)
    assert ("tes", "normsys") not in modifiers(built, "z")


def test_a_variation_that_exceeds_the_yield_stays_positive_when_mirrored():
    contents = NOMINAL | {"z": {"nominal": [80.0, 40, 10], "tes_up": [400.0, 50, 11], "tes_down": [-1.0, 0, 0]}}
    built = build(contents)
    assert modifiers(built, "z")["tes", "normsys"] == pytest.approx({"hi": 461 / 130, "lo": 130 / 461})


def test_a_process_without_events_is_left_out_of_the_channel_and_recorded():
    built = build(NOMINAL | {"tt": {"nominal": [0.0, 0, 0]}})
    assert [sample["name"] for sample in built.workspace["channels"][0]["samples"]] == ["higgs", "z"]
    assert ("left_out", "tt", "", "") in kinds(built)
    assert ("no_effect", "", "tt_norm", "") in kinds(built)
    assert "tt_norm" not in model_of(built).config.parameters


def test_events_that_only_a_variation_has_in_a_region_are_dropped_and_recorded_with_their_number():
    empty = {"nominal": [0.0, 0, 0], "tes_up": [2.0, 1, 0.5], "tes_down": [0.0, 0, 0]}
    built = build(NOMINAL | {"z": empty})
    assert {("left_out", "z", "", ""), ("dropped", "z", "tes", "")} <= set(kinds(built))
    text = next(note.text for note in built.notes if note.kind == "dropped")
    assert text == "3.5 events up, but no nominal ones that vary to become these: no effect here"
    elsewhere = ALL["tes"] | {"processes": ["higgs"]}
    assert "dropped" not in {
        kind for kind, *_ in kinds(build(NOMINAL | {"z": empty}, settings(ALL | {"tes": elsewhere})))
    }


def test_a_region_without_any_process_is_no_channel():
    empty = {name: {"nominal": [0.0, 0]} for name in NOMINAL} | {"z": {"nominal": [0.0, 0], "tes_up": [0.0, 0]}}
    built = workspaces.build({"signal": histogram(NOMINAL), "empty": histogram(empty)}, settings())
    assert [channel["name"] for channel in built.workspace["channels"]] == ["signal"]


# --- bad input


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (
            NOMINAL | {"tt": {"nominal": [-3.0, 1, -1]}},
            "region 'signal': all-negative process 'tt': its total is -3; check the weights",
        ),
        (
            {
                name: {"nominal": [5.0, middle, 5], "tes_up": [5.0, 0, 5]}
                for name, middle in zip(NOMINAL, (1, 1, -2), strict=True)
            },
            "region 'signal', bin 1: 0 events are expected in total; raise binning.minimum_events",
        ),
        (NOMINAL | {"higgs": {"nominal": [0.0, 0, 0]}}, "the signal 'higgs' has no events in any region"),
        (
            {name: {"nominal": c["nominal"]} for name, c in NOMINAL.items()},
            "the templates have no variation 'tes_up' .they have nominal.; run fill_templates again",
        ),
        ({name: NOMINAL[name] for name in ("higgs", "z")}, "the templates have no process 'tt'"),
    ],
)
def test_unusable_templates_are_named(contents, message):
    with pytest.raises(workspaces.WorkspaceError, match=message):
        build(contents)


def test_two_luminosities_are_an_error():
    twice = ALL | {"luminosity_2012": {"kind": "luminosity", "size": 0.03}}
    with pytest.raises(workspaces.WorkspaceError, match="luminosity, luminosity_2012 are all of kind luminosity"):
        build(chosen=settings(twice))


# --- cabinetry


def test_cabinetry_fits_and_ranks_it_unchanged():
    import cabinetry

    constrained = settings({name: variation for name, variation in ALL.items() if name != "tt_norm"})
    model, data = cabinetry.model_utils.model_and_data(build(chosen=constrained).workspace)
    result = cabinetry.fit.fit(model, data)
    fitted = dict(zip(result.labels, result.bestfit, strict=True))
    assert fitted["mu"] == pytest.approx(1, abs=1e-3)
    assert fitted["tes"] == pytest.approx(0, abs=1e-3)
    ranking = cabinetry.fit.ranking(model, data, fit_results=result)
    impacts = dict(zip(ranking.labels, ranking.postfit_up, strict=True))
    assert {"tes", "z_rate", "lumi"} <= set(impacts)
    assert impacts["z_rate"] < -1e-3  # more background, less signal
    assert impacts["lumi"] < -1e-3
    assert np.all(np.isfinite(ranking.prefit_up))


def test_cabinetry_fits_free_rates_too():
    import cabinetry

    model, data = cabinetry.model_utils.model_and_data(build().workspace)
    result = cabinetry.fit.fit(model, data)
    assert dict(zip(result.labels, result.bestfit, strict=True))["tt_norm"] == pytest.approx(1, abs=1e-2)
