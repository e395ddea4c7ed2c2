"""Two-point variations, weight sets, and variations of some regions or with several nuisance parameters, end to end."""

import copy

import hypothesis
import numpy as np
import pytest
from analyses import changed, shipped
from gaussians import columns, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.templates import test_filling
from tests.templates.test_displacements import point
from tests.templates.test_workspaces import build, expected, histogram, model_of, modifiers
from tests.templates.test_workspaces import settings as workspace_settings

from nuisflow.events import selection, variations
from nuisflow.learning import batches
from nuisflow.settings import points
from nuisflow.settings.checks import reading
from nuisflow.settings.checks.reading import ConfigurationError
from nuisflow.settings.systematics import WeightSet
from nuisflow.slices import inference, report
from nuisflow.slices import training as slices
from nuisflow.slices.events import shifted_names
from nuisflow.slices.inference import DisplacedFilling
from nuisflow.slices.training import TrainingSamples, training_samples
from nuisflow.templates import displacements, filling, smoothing, weight_sets, workspaces
from nuisflow.templates import histograms as templates
from nuisflow.templates.binning import Content

CONTENTS = arrays(float, st.integers(2, 6), elements=st.floats(1.0, 100.0))
DITAU = shipped("config")
SIMULATED = {"process": "ttbar", "events": 1000, "expected": 4419}
GENERATOR = (
    ("samples.ttbar_hard", SIMULATED | {"variant": "more_radiation"}),
    ("samples.ttbar_soft", SIMULATED | {"variant": "less_radiation"}),
    ("samples.ttbar_third", SIMULATED | {"variant": "harder_tail"}),
    ("variations.generator", {"kind": "two_point", "up": ["ttbar_hard"], "held_out": ["ttbar_third"]}),
    ("variations.radiation", {"kind": "two_point", "up": ["ttbar_soft"]}),
)


TES = {"kind": "shift", "shift": "tes", "size": 0.01, "processes": ["higgs", "z"]}
RATE = {"kind": "rate", "size": 0.1, "processes": ["z"]}
PROCESSES = {
    "higgs": {"nominal": [1.0, 3, 9], "tes_up": [1.1, 3.1, 9.5], "tes_down": [0.9, 2.9, 8.4]},
    "z": {"nominal": [80.0, 40, 10], "tes_up": [82.0, 39, 10], "tes_down": [78.0, 41, 9]},
}


def check(*changes):
    return reading.check(changed(DITAU, *copy.deepcopy(changes)))


# --- sets of weights


def members(nominal, number, seed=1):
    return nominal * np.random.default_rng(seed).normal(1.0, 0.1, (number, len(nominal)))


@hypothesis.given(CONTENTS, st.integers(2, 9))
def test_replicas_give_their_standard_deviation_and_an_envelope_holds_all_of_them(nominal, number):
    varied = members(nominal, number)
    up, down = weight_sets.combine(nominal, varied, "replicas")
    np.testing.assert_allclose(up - nominal, np.std(varied, axis=0, ddof=1))
    np.testing.assert_allclose(up + down, 2 * nominal)
    up, down = weight_sets.combine(nominal, varied, "envelope")
    assert np.all((varied <= up) & (varied >= down) & (nominal <= up) & (nominal >= down))
    assert np.all(np.isin(up, [*varied.ravel(), *nominal]) | np.isclose(up, varied.max(axis=0)))


@hypothesis.given(CONTENTS, st.integers(1, 9))
def test_pairs_of_opposite_eigenvectors_are_a_symmetric_set(nominal, number):
    one_sided = members(nominal, number)
    pairs = np.stack([one_sided, 2 * nominal - one_sided], axis=1).reshape(-1, len(nominal))
    symmetric = weight_sets.combine(nominal, one_sided, "symmetric_hessian")
    np.testing.assert_allclose(weight_sets.combine(nominal, pairs, "hessian"), symmetric, rtol=1e-12)
    by_hand = np.sqrt(sum((member - nominal) ** 2 for member in one_sided))
    np.testing.assert_allclose(symmetric, [nominal + by_hand, nominal - by_hand])


def test_both_members_of_a_pair_above_nominal_leave_nothing_below():
    up, down = weight_sets.combine(np.array([10.0]), np.array([[11.0], [13.0]]), "hessian")
    assert (up.item(), down.item()) == (13.0, 10.0)


def test_columns_that_count_are_relative_to_the_central_weight():
    chosen = WeightSet(kind="weight_set", members="pdf_{}", number=2, central="pdf_0", combine="symmetric_hessian")
    events = {"pdf_0": np.array([2.0, 4.0]), "pdf_1": np.array([3.0, 4.0]), "pdf_2": np.array([2.0, 2.0])}
    found = variations.factors(chosen, events)
    assert {name: values.tolist() for name, values in found.items()} == {"member0": [1.5, 1.0], "member1": [1.0, 0.5]}


def weight_set(**options):
    names = ["pt", "w", *(f"pdf_{index}" for index in range(5))]
    content = {
        "analysis": "pdf",
        "dataset": {"kind": "flat", "columns": names},
        "processes": {"s": {"role": "signal"}, "b": {}},
        "samples": {name: {"process": name, "files": ["x.root"], "weight": "w"} for name in ("s", "b")},
        "regions": {"all": {}},
        "features": ["pt"],
        "variations": {"pdf": {"kind": "weight_set", "combine": "hessian", "processes": ["b"]} | options},
        "trainings": {"nominal": {"strategy": "nominal"}},
    }
    return reading.check(content)


PATTERN = {"members": "pdf_{}", "number": 4, "central": "pdf_0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PATTERN | {"number": 3}, r"pdf.number: says 3 members from 1 on, .* has 4 such columns .*'pdf_4'"),
        (PATTERN | {"number": 6}, r"pdf.number: says 6 members from 1 on, .* has 4 such columns .*'pdf_5'"),
        (PATTERN | {"central": "1"}, r"pdf.number: .* has 5 such columns .*'pdf_0'"),
        (PATTERN | {"members": "pdf"}, r"pdf.members: columns that count are 'pdf_\{\}' together with 'number'"),
        ({"members": ["pdf_1", "pdf_2", "pdf_3"]}, r"pdf.members: 3 of them, but a hessian set has pairs"),
        ({"members": ["pdf_1", "pdf_9"]}, r"pdf.members.1: 'pdf_9' uses 'pdf_9', which is no column"),
        ({"members": ["pdf_1", "2"]}, r"pdf.members.1: '2' uses no column"),
        ({"members": ["pdf_1"], "combine": "envelope"}, r"pdf.members: 1 of them; 'envelope' needs at least 2"),
        (PATTERN | {"combine": "replicas", "keep": True}, r"pdf.keep: members of 'replicas' are not independent"),
    ],
)
def test_a_wrong_weight_set_is_named_with_a_remedy(options, message):
    with pytest.raises(ConfigurationError, match=message):
        weight_set(**options)


def test_eigenvectors_that_are_kept_are_nuisance_parameters_of_their_own():
    found = weight_set(**PATTERN, keep=True).variations
    assert list(found) == ["pdf_1", "pdf_2"]
    assert (found["pdf_2"].up, found["pdf_2"].down) == ("(pdf_3) / (pdf_0)", "(pdf_4) / (pdf_0)")
    assert {chosen.processes for chosen in found.values()} == {("b",)}


@pytest.mark.parametrize("how", ["replicas", "hessian", "symmetric_hessian", "envelope"])
def test_the_templates_of_a_set_are_the_combination_of_its_members(tmp_path, how):
    events = test_filling.all_events()
    z = events["nominal", "z"]
    factors = np.random.default_rng(2).normal(1, 0.2, (4, len(z["entry"]))).astype(np.float32)
    z |= {f"factor_pdf_member{index}": values for index, values in enumerate(factors)}
    sets = {"pdf": {"number": 4, "processes": ("z",), "combine": how}}
    found = filling.fill(*test_filling.write(tmp_path, events), test_filling.filling(sets=sets)).histograms
    signal = found["signal"]
    assert list(signal.axes["variation"])[-2:] == ["pdf_up", "pdf_down"]  # members are not kept
    inside, edges = z["region"] == 0, signal.axes["score"].edges
    score, weight = z["score"][inside].astype(float), z["weight"][inside]
    varied = [np.histogram(score, edges, weights=weight * values[inside].astype(float))[0] for values in factors]
    expected = weight_sets.combine(templates.content(signal, "z").values, np.array(varied), how)
    for side, values in zip(("up", "down"), expected, strict=True):
        np.testing.assert_allclose(templates.content(signal, "z", f"pdf_{side}").values, values, rtol=1e-6)
        np.testing.assert_array_equal(
            templates.content(signal, "tt", f"pdf_{side}").values, templates.content(signal, "tt").values
        )


# --- what is done to templates


@hypothesis.given(st.floats(-5, 5), st.floats(-1, 1), CONTENTS)
def test_a_kernel_keeps_straight_lines(height, slope, weights):
    line = height + slope * np.arange(len(weights))
    np.testing.assert_allclose(smoothing.smooth_kernel(line, weights), line, atol=1e-9)


def test_a_kernel_takes_noise_away_and_keeps_the_total():
    noise = np.random.default_rng(1).normal(0, 0.05, 20)
    nominal = np.linspace(100, 50, 20)
    smoothed = smoothing.smooth(nominal, nominal * (1.1 + noise), "kernel")
    assert smoothed.sum() == pytest.approx((nominal * (1.1 + noise)).sum())
    assert np.std(smoothed / nominal) < 0.5 * np.std(noise)


def test_a_one_sided_variation_is_up_and_its_mirror_image():
    chosen = {"symmetrise": {"tes": "one_sided"}}
    model = model_of(build(PROCESSES, workspace_settings({"tes": TES}, processes=("higgs", "z"), templates=chosen)))
    up, nominal = expected(model, tes=1.0), expected(model)
    np.testing.assert_allclose(up, [83.1, 42.1, 19.5])
    np.testing.assert_allclose(expected(model, tes=-1.0), 2 * nominal - up)


def test_a_list_of_variations_means_the_usual_way():
    settings = check(("templates.smooth", {"tes": "kernel"}), ("templates.symmetrise", ["jes"]))
    assert settings.templates.smooth == {"tes": "kernel"}
    assert settings.templates.symmetrise == {"jes": "two_sided"}


def test_a_change_of_the_yield_alone_is_flat_and_noise_has_a_chi_squared_of_its_degrees_of_freedom():
    random = np.random.default_rng(4)
    nominal = Content(np.linspace(50, 200, 12), np.linspace(5, 20, 12))
    assert smoothing.flatness(nominal, Content(1.3 * nominal.values, nominal.variances)) == (pytest.approx(0), 11)
    noisy = nominal.values + np.sqrt(nominal.variances) * random.normal(size=(400, 12))
    found = [smoothing.flatness(nominal, Content(values, nominal.variances)) for values in noisy]
    assert np.mean([chi2 for chi2, _ in found]) == pytest.approx(11, abs=0.8)


# --- alternative samples


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("variations.generator.up", ["ttbar_hat"]), r"generator.up: no sample 'ttbar_hat'; did you mean"),
        (("variations.generator.processes", ["diboson"]), r"generator.processes: they are those of the samples, ttbar"),
        (("variations.radiation.up", ["ttbar_hard"]), r"generator.up: 'ttbar_hard' is an alternative of 'radiation'"),
        (("samples.ttbar_third.process", "diboson"), r"generator.held_out: must be samples of the same processes"),
        (("samples.ttbar_hard.variant", "more"), r"samples.ttbar_hard.variant: ditau has no variant 'more'"),
        (("trainings.parametrised.variations", ["generator"]), r"parametrised.variations: no .* 'generator'"),
    ],
)
def test_a_wrong_two_point_variation_is_named_with_a_remedy(change, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*GENERATOR, change)


def test_alternatives_are_in_no_nominal_template_and_the_held_out_one_in_no_training():
    settings = check(*GENERATOR, ("trainings.augmentation.variations", ["tes", "generator"]))
    assert "ttbar_hard" not in settings.simulated
    assert training_samples(settings, "nominal") == settings.trained_samples
    assert training_samples(settings, "augmentation") == [*settings.trained_samples, "ttbar_hard"]
    assert shifted_names(settings, "ttbar_hard") == ["nominal"]
    chosen = slices.training(settings, "augmentation", 1)
    assert chosen.alternatives == {"ttbar_hard": ("generator", 1.0)}
    assert chosen.variations["generator"].processes == ("ttbar",)


def test_a_two_point_variation_is_displaced_at_its_samples_only():
    found = points.displaced(check(*GENERATOR))
    assert [name for name in found if found[name].kind == "two_point"] == [
        "generator_up",
        "generator_held_out",
        "radiation_up",
    ]
    assert found["generator_up"].parameters == ("generator",)
    assert found["generator_held_out"].parameters == ()  # no value of the parameter describes it
    assert points.filled_folders(check(*GENERATOR), "ttbar_third") == ["nominal"]


ALTERNATIVES = {"tt_b": "generator_up", "collisions": ""}


def filled(tmp_path):
    paths, scores = test_filling.write(tmp_path)
    options = {"samples": test_filling.SAMPLES | {"collisions": "tt"}, "alternatives": ALTERNATIVES}
    return paths, scores, options, filling.fill(paths, scores, test_filling.filling(**options)).histograms


def by_hand(sample, edges):
    events = test_filling.event_columns("nominal", sample)
    inside = events["region"] == 0
    return np.histogram(events["score"][inside].astype(float), edges, weights=events["weight"][inside])[0]


def test_an_alternative_sample_is_the_template_of_its_side_and_of_nothing_else(tmp_path):
    signal = filled(tmp_path)[-1]["signal"]
    edges = signal.axes["score"].edges
    np.testing.assert_allclose(templates.content(signal, "tt", "generator_up").values, by_hand("tt_b", edges))
    np.testing.assert_allclose(templates.content(signal, "tt").values, by_hand("tt_a", edges))
    np.testing.assert_allclose(
        templates.content(signal, "z", "generator_up").values, templates.content(signal, "z").values
    )


def test_a_held_out_sample_is_a_true_point_of_its_own(tmp_path):
    paths, scores, options, histograms = filled(tmp_path)
    chosen = DisplacedFilling.model_validate(
        {
            "processes": ("higgs", "z", "tt"),
            "samples": options["samples"],
            "regions": test_filling.REGIONS,
            "scored": ("signal",),
            "scores": tuple(test_filling.FOLDERS),
            "displaced": {
                "generator_up": point("two_point", 1.0, ("tt",)),
                "generator_held_out": point("two_point", 0.0, ("tt",)),
            },
            "alternatives": {"tt_b": "", "collisions": "generator_held_out"},
        }
    )
    found = displacements.fill(histograms, paths, scores, None, chosen)["signal"]
    edges = found.axes["score"].edges
    for name, sample in (("generator_up", "tt_b"), ("generator_held_out", "collisions")):
        np.testing.assert_allclose(templates.content(found, "tt", name).values, by_hand(sample, edges))
    np.testing.assert_allclose(templates.content(found, "z", "generator_held_out").values, by_hand("z", edges))


TWO_POINT = {"kind": "two_point", "up": ("other",), "processes": ("background",)}


def two_point_pool(number=6000, **other):
    training = {"strategy": "augmentation", "variations": ["shift"]}
    content = settings(training).model_dump() | {"alternatives": {"other": ("generator", 1.0)}}
    content["samples"]["other"] = {"process": "background", "weight": "w"}
    content["variations"] |= {"generator": TWO_POINT}
    content["training"]["variations"] = ("shift", "generator")
    samples = {
        "signal": columns(number, (1.0, 1.0), 1),
        "background": columns(number, (0.0, 0.0), 2),
        "other": columns(number, (0.5, 0.0), 3) | other,
    }
    return batches.Pool(samples, TrainingSamples.model_validate(content))


def test_events_have_the_z_of_their_sample_and_both_samples_count_as_one():
    pool = two_point_pool()
    rows = pool.rows(0, validation=False)
    size = sum(map(len, rows.values()))
    found = pool.events(rows, np.zeros((size, 2)))
    background = found.labels == 0
    first = len(rows["signal"])
    assert set(found.z[first : first + len(rows["background"]), 1]) == {0.0}
    assert set(found.z[first + len(rows["background"]) :, 1]) == {1.0}
    assert found.expected[background].sum() == pytest.approx(len(rows["background"]), rel=0.02)
    # Signal, on which it does not act, has either z as often: nothing can be learned from which process it is.
    assert found.z[:first, 1].mean() == pytest.approx(0.5, abs=0.05)
    assert np.all(found.z[:, 0] == 0)


def test_an_alternative_sample_with_negative_weights_is_an_error_in_training():
    """They were cut to 0: 3194 events were expected of 2388."""
    weights = np.where(np.arange(6000) % 5 == 0, -1.0, 1.0).astype(np.float32)
    pool = two_point_pool(w=weights)
    rows = pool.rows(0, validation=False)
    pool.events(rows)  # nominal events alone
    with pytest.raises(
        selection.EventError, match=r"sample 'other': .* negative weight .* with train: false, .* in samples.other"
    ):
        pool.events(rows, np.zeros((sum(map(len, rows.values())), 2)))


def test_nominal_events_have_no_alternative_among_them():
    pool = two_point_pool()
    rows = pool.rows(0, validation=False)
    found = pool.events(rows)
    assert len(found.labels) == len(rows["signal"]) + len(rows["background"])
    assert np.all(found.expected == 1)


# --- regions, and several nuisance parameters of one variation


def two_regions(**chosen):
    both = {name: histogram(PROCESSES) for name in ("signal", "control")}
    return workspaces.build(both, workspace_settings(chosen, processes=("higgs", "z")))


def test_a_rate_in_one_region_is_an_extrapolation_between_regions():
    built = two_regions(ratio=RATE | {"regions": ["control"]})
    assert ("ratio", "normsys") in modifiers(built, "z", "control")
    assert ("ratio", "normsys") not in modifiers(built, "z", "signal")


@pytest.mark.parametrize(
    ("decorrelate", "names"),
    [
        ((), {"tes"}),
        (("process",), {"tes_higgs", "tes_z"}),
        (("region",), {"tes_signal", "tes_control"}),
        (("process", "region"), {"tes_higgs_signal", "tes_higgs_control", "tes_z_signal", "tes_z_control"}),
    ],
)
def test_a_decorrelated_variation_has_one_parameter_each(decorrelate, names):
    built = two_regions(tes=TES | {"decorrelate": decorrelate})
    model = model_of(built)
    assert {name for name in model.config.parameters if name.startswith("tes")} == names
    together = expected(model, **dict.fromkeys(names, 1.0))
    one = model_of(two_regions(tes=TES))
    np.testing.assert_allclose(together, expected(one, tes=1.0))  # all at once are the correlated variation


def test_free_rates_by_region_keep_their_bounds():
    built = two_regions(z_norm={"kind": "free_rate", "processes": ["z"], "decorrelate": ["region"], "bounds": [0, 5]})
    parameters = built.workspace["measurements"][0]["config"]["parameters"]
    assert [row["name"] for row in parameters if row.get("bounds") == [[0, 5]]] == ["z_norm_signal", "z_norm_control"]


def test_a_shift_outside_its_regions_leaves_the_nominal_template(tmp_path):
    settings = test_filling.filling(restricted={"tes": ("signal",)})
    found = filling.fill(*test_filling.write(tmp_path), settings).histograms
    control, signal = found["control"], found["signal"]
    np.testing.assert_array_equal(templates.content(control, "z", "tes_up"), templates.content(control, "z"))
    assert not np.array_equal(templates.content(signal, "z", "tes_up"), templates.content(signal, "z"))


def test_points_and_groups_know_all_parameters_of_a_variation():
    settings = check(("variations.tes.decorrelate", ["process"]))
    names = tuple(f"tes_{process}" for process in settings.processes)
    assert points.displaced(settings)["tes_up"].parameters == names
    assert set(names) <= set(inference.fit(settings).groups["energy scales"])
    assert report.plots(settings).variations["tes_ttbar"] == "τ energy scale (tt̄)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("variations.tes.regions", ["signl"])], r"tes.regions: no region 'signl'; did you mean 'signal'"),
        (
            [("variations.lumi_all", {"kind": "luminosity", "size": 0.1, "decorrelate": ["process"]})],
            r"lumi_all.decorrelate: a workspace has one luminosity parameter",
        ),
        (
            [
                ("variations.tes.decorrelate", ["process"]),
                ("variations.tes_ttbar", {"kind": "rate", "size": 0.1}),
            ],
            r"variations.tes_ttbar: its nuisance parameter 'tes_ttbar' is one of 'tes' too",
        ),
        (
            [
                ("regions.control", {"selection": "PRI_met > 1000"}),
                ("variations.tes.regions", ["signal"]),
            ],
            r"augmentation.variations: 'tes' does not act in region 'control'",
        ),
    ],
)
def test_what_does_not_agree_is_named_with_a_remedy(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*changes)


CONDITIONAL = ("trainings.aware", {"strategy": "conditional", "variations": ["tes"]})
BOOTSTRAP = ("toys.bootstrap", {"sets": 2, "number": 2})
CONTROL = ("regions.control", {"selection": "PRI_met > 1000", "observable": "DER_mass_vis"})
RATE_THERE = ("variations.ttbar_rate.regions", ["control"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([*GENERATOR, CONDITIONAL], r"variations.generator: training 'aware' scores the nominal samples again"),
        ([*GENERATOR, ("variations.generator.reweight", True), CONDITIONAL], r"variations.generator: training 'aware'"),
        ([CONTROL, RATE_THERE, CONDITIONAL], r"variations.ttbar_rate: training 'aware' scores"),
        ([*GENERATOR, BOOTSTRAP], r"variations.generator: toys.bootstrap draws one z for all"),
        ([CONTROL, RATE_THERE, BOOTSTRAP], r"variations.ttbar_rate: toys.bootstrap draws one z"),
        ([("variations.tes.decorrelate", ["process"]), BOOTSTRAP], r"variations.tes: toys.bootstrap draws one z"),
        ([("variations.tes.acceptance", "renormalised"), BOOTSTRAP], r"variations.tes: toys.bootstrap draws one z"),
        (
            [*GENERATOR, ("tune", {"adversarial": {"trials": 2, "options": {"strength": [1, 2]}}})],
            r"variations.generator: the trials of 'tune' cannot judge",
        ),
        (
            [*GENERATOR, ("scenarios", {"one": {"free": ["generator"]}})],
            r"scenarios.one.free: 'generator' has no derivative at nominal",
        ),
    ],
)
def test_a_combination_that_nothing_computes_is_refused(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        check(*changes)
