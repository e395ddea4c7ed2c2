"""What can be asked of a workspace: settings, patches, kinds of data, several parameters, figures; each example runs."""

import copy
import json
import shlex

import numpy as np
import pandas as pd
import pyhf
import pytest
from scipy import optimize, stats

from nuisflow import __main__
from nuisflow.likelihood import contours, fits, limits, toys, uncertainties
from nuisflow.likelihood.commands import line, reading
from nuisflow.likelihood.commands.answer import Answer, Table, together
from nuisflow.likelihood.model import Model


def build():
    """Return a workspace of two regions: signals mu and kappa, a background with jes, jer, lumi and MC statistics."""
    factor = {"type": "normfactor", "data": None}
    shape = {"hi_data": [54.0, 41.0, 21.0], "lo_data": [46.0, 39.0, 19.0]}
    signal = {"name": "signal", "data": [3.0, 8.0, 12.0], "modifiers": [{"name": "mu"} | factor]}
    other = {"name": "other", "data": [9.0, 6.0, 1.0], "modifiers": [
        {"name": "kappa"} | factor, {"name": "jer", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}]}  # fmt: skip
    back = {"name": "back", "data": [50.0, 40.0, 20.0], "modifiers": [
        {"name": "jes", "type": "histosys", "data": shape}, {"name": "lumi", "type": "lumi", "data": None},
        {"name": "jer", "type": "normsys", "data": {"hi": 1.05, "lo": 0.96}},
        {"name": "mc", "type": "staterror", "data": [3.0, 2.5, 1.5]}]}  # fmt: skip
    side = {"name": "back", "data": [200.0], "modifiers": [
        {"name": "jes", "type": "histosys", "data": {"hi_data": [210.0], "lo_data": [191.0]}}]}  # fmt: skip
    lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "bounds": [[0.8, 1.2]], "inits": [1.0]}
    poi = {"name": "mu", "bounds": [[-5.0, 10.0]]}
    return {
        "channels": [{"name": "signal_region", "samples": [signal, other, back]}, {"name": "side", "samples": [side]}],
        "observations": [{"name": "signal_region", "data": [66.0, 55.0, 29.0]}, {"name": "side", "data": [204.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [lumi, poi]}}],
        "version": "1.0.0",
    }


@pytest.fixture(scope="module")
def model():
    return Model(build())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    other = build()
    other["channels"][0]["samples"][2]["data"][1] = 42.0
    (folder / "other.json").write_text(json.dumps(other))
    (folder / "workspace.json").write_text(json.dumps(build()))
    return folder / "workspace.json"


def run(capsys, *arguments):
    """Return the exit status, what was printed, and the messages."""
    try:
        status = line.main([str(argument) for argument in arguments], drawing=__main__.drawing)
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def result(capsys, tmp_path, *arguments, status=0):
    found, _, messages = run(capsys, *arguments, "--output", tmp_path / "result.json")
    assert found == status, messages
    return json.loads((tmp_path / "result.json").read_text())


def refused(capsys, *arguments, status=2):
    found, printed, messages = run(capsys, *arguments)
    assert (found, printed) == (status, "")
    assert messages.count("\n") == 1
    return messages


@pytest.mark.parametrize("command", [*line.COMMANDS, line.COMPARE, line.CONVERT])
def test_the_example_of_every_help_runs(capsys, monkeypatch, path, command):
    monkeypatch.chdir(path.parent)
    _, printed, _ = run(capsys, command, "--help")
    example = next(text for text in printed.splitlines() if "python scripts/fit_workspace.py" in text)
    status, printed, messages = run(capsys, *shlex.split(example)[2:])
    assert status == 0, messages
    assert printed.startswith(f"{command} of workspace.json")


# --- settings of parameters, kinds of data ----------------------------------------------------------------------------


def test_fixed_free_and_bounded_parameters_are_those_of_a_workspace_that_says_so(capsys, tmp_path, path):
    found = result(
        capsys, tmp_path, "fit", path, "--fix", "jes=0.5", "--bounds", "mu=0,0.25", "--set", "mu=0.25", "--fix", "mc"
    )
    case = build()
    settings = case["measurements"][0]["config"]["parameters"]
    settings[1] = {"name": "mu", "bounds": [[0.0, 0.25]], "inits": [0.25]}
    settings += [{"name": "jes", "inits": [0.5], "fixed": True}, {"name": "mc", "fixed": True}]
    expected = fits.fit(Model(case))
    assert found["twice_nll"] == pytest.approx(expected.twice_nll, abs=1e-8)
    assert {"jes", "mc[0]"}.isdisjoint(row["parameter"] for row in found["parameters"])
    case["measurements"][0]["config"]["parameters"][-1] = {"name": "mc", "fixed": False}
    fixed = path.parent / "fixed.json"
    fixed.write_text(json.dumps(case))
    free = result(capsys, tmp_path, "fit", fixed, "--free", "jes", "--set", "jes=0", "--bounds", "mu=-5,10")
    assert free["best_fit"] == pytest.approx(fits.fit(Model(build())).values[expected.names.index("mu")], abs=1e-6)


def test_asimov_data_are_made_where_it_is_asked(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "fit", path, "--asimov", "--set", "mu=2", "--set", "jes=1")
    values = {row["parameter"]: row["value"] for row in found["parameters"]}
    assert found["best_fit"] == pytest.approx(2.0, abs=1e-6)
    assert values["jes"] == pytest.approx(1.0, abs=1e-6)
    best = fits.fit(model, model.asimov({"mu": 2.0, "jes": 1.0}))
    assert found["hessian_error"] == pytest.approx(best.errors[model.index("mu")], rel=1e-6)


def test_expected_significance_is_had_of_prefit_and_of_fitted_parameters(capsys, tmp_path, model, path):
    before = result(capsys, tmp_path, "limit", path, "--asimov", "--set", "mu=1")
    after = result(capsys, tmp_path, "limit", path, "--asimov-fitted", "--set", "mu=1")
    point = fits.fit(model, fixed={"mu": 1.0}).values
    assert before["sigmas"] == pytest.approx(limits.significance(model, model.asimov({"mu": 1.0})).sigmas, rel=1e-6)
    assert after["sigmas"] == pytest.approx(limits.significance(model, model.asimov(point)).sigmas, rel=1e-6)
    assert abs(before["sigmas"] - after["sigmas"]) > 0.001
    assert (before["data"], after["data"]) == ("asimov", "asimov-fitted")
    background = model.asimov(fits.fit(model, fixed={"mu": 0.0}).values)
    expected = limits.limits(model, background).expected
    assert [row["mu"] for row in after["limits"]] == pytest.approx(list(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--fix", "jse"), "no parameter 'jse'; did you mean 'jes'?"),
        (("--set", "mu=11"), "parameter mu: the value 11 is outside its bounds [-5, 10]"),
        (("--set", "mu"), "argument --set: 'mu': write it as NAME=VALUE"),
        (("--bounds", "mu=2,1"), "parameter mu: the bounds 2, 1 are not in order"),
        (("--bounds", "mu=2"), "'mu=2': write it as NAME=LOW,HIGH"),
        (("--fix", "jes", "--free", "jes"), "jes: fixed is to be True and False; leave one of --set, --fix"),
        (("--fix", "mu"), "the parameter of interest 'mu' is fixed"),
        (("--poi", "mu", "--poi", "kapa"), "no parameter 'kapa' to be of interest (--poi); did you mean 'kappa'?"),
        (("--asimov", "--asimov-fitted"), "two kinds of data"),
        (("--parameters", "jess"), "--parameters: no parameter or modifier 'jess'; did you mean 'jes'?"),
    ],
)
def test_settings_without_sense_are_refused(capsys, path, arguments, told):
    assert told in refused(capsys, "fit", path, *arguments)


# --- patches ----------------------------------------------------------------------------------------------------------

OPERATIONS = [
    {"op": "test", "path": "/channels/0/samples/0/name", "value": "signal"},
    {"op": "replace", "path": "/channels/0/samples/0/data", "value": [1.0, 4.0, 16.0]},
    {"op": "add", "path": "/channels/1/samples/-", "value": {"name": "extra", "data": [5.0], "modifiers": []}},
    {"op": "copy", "from": "/channels/0/samples/2", "path": "/channels/0/samples/0"},
    {"op": "remove", "path": "/channels/0/samples/0"},
    {"op": "move", "from": "/channels/0/samples/0", "path": "/channels/0/samples/1"},
]


def patch_set(digest=None):
    other = [{"op": "remove", "path": "/channels/7"}]
    digest = digest or pyhf.utils.digest(build())
    return {
        "metadata": {"name": "grid", "description": "signals", "references": {"hepdata": "ins1234567"},
                     "digests": {"sha256": digest}, "labels": ["mass"]},
        "patches": [{"metadata": {"name": "m_1", "values": [1]}, "patch": OPERATIONS},
                    {"metadata": {"name": "m_2", "values": [2]}, "patch": other}],
        "version": "1.0.0",
    }  # fmt: skip


def test_a_patch_of_a_set_gives_what_pyhf_makes_of_it(capsys, tmp_path, path):
    file = tmp_path / "patches.json"
    file.write_text(json.dumps(patch_set()))
    expected = dict(pyhf.PatchSet(patch_set()).apply(pyhf.Workspace(build()), "m_1"))
    assert reading.patched(build(), f"{file}:m_1") == json.loads(json.dumps(expected))
    found = result(capsys, tmp_path, "fit", path, "--patch", f"{file}:m_1")
    assert found["twice_nll"] == pytest.approx(fits.fit(Model(expected)).twice_nll)


def test_a_list_of_operations_is_a_patch_too(capsys, tmp_path, path):
    file = tmp_path / "patch.json"
    file.write_text(json.dumps(OPERATIONS))
    assert reading.patched(build(), str(file)) == dict(pyhf.PatchSet(patch_set()).apply(pyhf.Workspace(build()), "m_1"))


def test_patches_that_do_not_apply_are_refused(capsys, tmp_path, path):
    file = tmp_path / "patches.json"
    file.write_text(json.dumps(patch_set()))
    assert "no patch 'm_3' (--patch" in refused(capsys, "fit", path, "--patch", f"{file}:m_3")
    assert "patch 'm_2', operation 0: it does not apply: there is no '/channels/7'" in refused(
        capsys, "fit", path, "--patch", f"{file}:m_2"
    )
    assert "it is for a workspace with sha256" in refused(
        capsys, "fit", path.parent / "other.json", "--patch", f"{file}:m_1"
    )
    assert "nowhere.json: no such file" in refused(capsys, "fit", path, "--patch", "nowhere.json:m_1")
    file.write_text("{}")
    assert "not a patch set" in refused(capsys, "fit", path, "--patch", f"{file}:m_1")


# --- what is found ----------------------------------------------------------------------------------------------------


def test_the_p_value_of_a_large_significance_is_printed_as_it_is(capsys, tmp_path):
    modifiers = [{"name": "mu", "type": "normfactor", "data": None}]
    samples = [{"name": "s", "data": [400.0], "modifiers": modifiers}, {"name": "b", "data": [100.0], "modifiers": []}]
    content = {
        "version": "1.0.0",
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [180.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
    }
    (tmp_path / "w.json").write_text(json.dumps(content))
    _, text, _ = run(capsys, "limit", tmp_path / "w.json")
    sigmas = np.sqrt(2 * (180 * np.log(1.8) - 80))
    told = next(row.split()[-1] for row in text.splitlines() if row.startswith("p value"))
    assert float(told) == pytest.approx(stats.norm.sf(sigmas), rel=1e-4)
    assert 1e-14 < float(told) < 1e-11


def test_several_parameters_of_interest_have_what_each_has_alone(capsys, tmp_path, path):
    both = result(capsys, tmp_path, "fit", path, "--poi", "mu", "--poi", "kappa")
    alone = {poi: result(capsys, tmp_path, "fit", path, "--poi", poi) for poi in ("mu", "kappa")}
    for row in both["interests"]:
        assert row["best_fit"] == alone[row["poi"]]["best_fit"]
        assert row["profile_up"] == pytest.approx(alone[row["poi"]]["profile_up"])
    shares = {(row["poi"], row["source"]): row["frozen"] for row in both["breakdown"]}
    for poi, own in alone.items():
        assert [shares[poi, row["source"]] for row in own["breakdown"]] == pytest.approx(
            [row["frozen"] for row in own["breakdown"]]
        )
    assert both["poi"] == ["mu", "kappa"]
    assert [row["parameter"] for row in both["parameters"]][:2] == ["mu", "kappa"]
    assert both["p_value"] == pytest.approx(alone["mu"]["p_value"])


def test_together_keeps_what_is_common_and_tells_apart_what_is_not():
    one = Answer({"a": 1.0, "n": np.nan}, [Table("t", "limits on x", [{"limit": "o", "x": 2.0}])], ["w"], True)
    two = Answer({"a": 2.0, "n": np.nan}, [Table("t", "limits on y", [{"limit": "o", "y": 3.0}])], ["w"], False)
    found = together({"x": one, "y": two})
    assert list(found.facts) == ["n"]
    assert found.tables[0].rows == [{"poi": "x", "a": 1.0}, {"poi": "y", "a": 2.0}]
    assert found.tables[1].rows == [
        {"poi": "x", "limit": "o", "value": 2.0},
        {"poi": "y", "limit": "o", "value": 3.0},
    ]
    assert found.tables[1].title == "limits on the parameter of interest"
    assert (found.warnings, found.converged) == (["w"], False)


def test_a_fit_can_list_some_parameters_and_leave_the_profiles_out(capsys, tmp_path, path):
    some = result(capsys, tmp_path, "fit", path, "--parameters", "jes,mc")
    assert [row["parameter"] for row in some["parameters"]] == ["mu", "jes", "mc[0]", "mc[1]", "mc[2]"]
    none = result(capsys, tmp_path, "fit", path, "--no-profiles")
    assert "breakdown" not in none
    assert "profile_up" not in none
    assert set(none["parameters"][0]) == {"parameter", "value", "hessian_error", "pull", "constraint"}


def test_groups_are_ranked_by_what_they_contribute(capsys, tmp_path, model, path):
    groups = {"jets": ["jes", "jer"], "counts": ["mc"]}
    found = result(capsys, tmp_path, "rank", path, "--group", "jets=jes,jer", "--group", "counts=mc")
    parts = {row.group: row.frozen for row in uncertainties.breakdown(model, groups=groups).sources}
    assert {row["group"]: row["frozen"] for row in found["groups"]} == pytest.approx({k: parts[k] for k in groups})
    sizes = [row["frozen"] for row in found["groups"]]
    assert sizes == sorted(sizes, reverse=True)


def test_the_near_minimum_is_ranked_and_a_deeper_one_told(capsys, tmp_path):
    case = build()
    shape = {"hi_data": [65.0, 40.0, 20.0], "lo_data": [64.0, 40.0, 20.0]}
    case["channels"][0]["samples"][2]["modifiers"][0]["data"] = shape  # the same up and down: two minima
    case["channels"] = case["channels"][:1]
    file = tmp_path / "two.json"
    file.write_text(json.dumps(case))
    near = result(capsys, tmp_path, "rank", file, "--near")
    deep = result(capsys, tmp_path, "rank", file)
    apart = [one["parameter"] for one in near["impacts"] for two in deep["impacts"]
             if one["parameter"] == two["parameter"] and abs(one["up"] - two["up"]) > 1e-3]  # fmt: skip
    told = {warning.partition(":")[0] for warning in near["warnings"] if "a deeper minimum exists" in warning}
    assert set(apart) <= told


def test_a_scan_has_the_range_that_is_asked(capsys, tmp_path, path):
    found = result(capsys, tmp_path, "scan", path, "--range", "-1", "3", "--points", 5)
    assert [row["mu"] for row in found["scan"]] == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert "beyond the bounds [-5, 10] of mu; --bounds mu=LOW,HIGH" in refused(capsys, "scan", path, "--range", 0, 11)
    assert "the first number must be the smaller one" in refused(capsys, "scan", path, "--range", 2, 1)


def test_contours_are_where_the_likelihood_falls_by_their_level(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "scan", path, "--poi", "mu", "--poi", "kappa", "--points", 3)
    best = fits.fit(model)
    for row in found["contours"][::7]:
        fixed = {"mu": row["mu"], "kappa": row["kappa"]}
        goal = stats.chi2.ppf(row["level"], 2) if not row["at_bound"] else np.inf
        assert fits.fit(model, fixed=fixed).twice_nll - best.twice_nll == pytest.approx(goal, abs=1e-4) or (
            row["at_bound"] and row["kappa"] == pytest.approx(0.0, abs=1e-9)
        )
    assert len(found["scan"]) == 9
    assert all(row["mu from"] < best.values[model.index("mu")] < row["mu to"] for row in found["extents"])


def test_a_contour_of_two_gaussian_parameters_is_the_ellipse():
    # rates a and b of two bins with 400 events each: -2 ln L is about ((a - 1)^2 + (b - 1)^2) 400
    rows = [{"name": n, "data": [400.0 * (i == k) for i in range(2)],
             "modifiers": [{"name": n, "type": "normfactor", "data": None}]} for k, n in enumerate("ab")]  # fmt: skip
    case = {"channels": [{"name": "c", "samples": rows}], "observations": [{"name": "c", "data": [400.0, 400.0]}],
            "measurements": [{"name": "m", "config": {"poi": "a", "parameters": []}}], "version": "1.0.0"}  # fmt: skip
    model = Model(case)
    best = fits.fit(model)
    found = contours.contour(model, None, ("a", "b"), best, level=0.6827, number=16)
    assert not found.bounded.any()
    for a, b in found.points:
        deviance = sum(2 * 400 * (x - 1 - np.log(x)) for x in (a, b))
        assert deviance == pytest.approx(stats.chi2.ppf(0.6827, 2), abs=1e-5)


def test_limits_are_looked_for_in_the_range_and_tabulated(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "limit", path, "--range", 0, 8, "--table", 5)
    assert [row["mu"] for row in found["cls"]] == [2.0, 4.0, 6.0, 8.0]
    assert found["cls"][0]["observed"] == pytest.approx(limits.cls(model, None, 2.0).observed, abs=1e-6)
    wide, narrow = result(capsys, tmp_path, "limit", path), ("limit", path, "--range", 0, 0.1)
    assert [found[key] for key in ("best_fit", "q0")] == pytest.approx([wide[key] for key in ("best_fit", "q0")])
    status, _, messages = run(capsys, *narrow)
    assert status == 1
    assert "beyond the upper bound 0.1 of mu" in messages
    assert result(capsys, tmp_path, *narrow, status=1)["sigmas"] == pytest.approx(wide["sigmas"])
    assert "a limit is looked for from 0 on" in refused(capsys, "limit", path, "--range", "-1", 3)


def test_limits_by_toys_agree_with_asymptotic_ones_within_their_errors(capsys, tmp_path, path):
    found = result(capsys, tmp_path, "limit", path, "--toys", 2000, "--seed", 5)
    for row in found["limits"]:
        assert 0.0 < row["toys_error"] < 0.3
        assert abs(row["toys"] - row["mu"]) < 5 * row["toys_error"] + 0.05 * row["mu"]
    again = result(capsys, tmp_path, "limit", path, "--toys", 2000, "--seed", 5)
    assert again == found


def test_errors_of_limits_by_toys_are_those_of_repeating_them(model):
    points = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    runs = [[toys.statistics_at(model, None, value, 300, seed) for value in points] for seed in range(12)]
    values = [toys.limit_of(rows).observed for rows in runs]
    errors = [np.nanstd([toys.limit_of(rows).observed for rows in toys.resampled(one, 1)]) for one in runs[:4]]
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.6)


def test_toys_are_thrown_at_a_true_value_and_saved(capsys, tmp_path, model, path):
    file = tmp_path / "toys.npz"
    found = result(capsys, tmp_path, "toys", path, "--true", 2.5, "--number", 200, "--save", file)
    truth = fits.fit(model, fixed={"mu": 2.5}).values
    with np.load(file) as saved:
        assert saved["truth"] == pytest.approx(truth)
        assert saved["data"].shape == (200, len(model.data))
        one = fits.interval(model, saved["data"][3])
        assert saved["value"][3] == pytest.approx(one.value, abs=1e-5)
        assert saved["low"][3] == pytest.approx(one.low, abs=1e-5)
        assert float(np.mean(saved["value"] - 2.5)) == pytest.approx(found["bias"])
    first = file.read_bytes()
    result(capsys, tmp_path, "toys", path, "--true", 2.5, "--number", 200, "--save", file)
    assert file.read_bytes() == first
    result(capsys, tmp_path, "toys", path, "--true", 2.5, "--number", 200, "--save", tmp_path / "toys.csv")
    assert pd.read_csv(tmp_path / "toys.csv")["true"].unique() == [2.5]
    assert "--true 20: outside the bounds" in refused(capsys, "toys", path, "--true", 20)


def test_correlations_are_those_of_the_fit(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "correlations", path, "--parameters", "mu,jes")
    matrix = fits.correlations(fits.fit(model))
    expected = matrix[model.index("mu"), model.index("jes")]
    assert found["largest"] == [{"parameter": "jes", "other": "mu", "correlation": pytest.approx(expected)}]
    assert found["matrix"][0] == {"parameter": "jes", "jes": pytest.approx(1.0), "mu": pytest.approx(expected)}


def test_yields_before_the_fit_are_those_of_the_workspace_and_afterwards_they_match_the_data(
    capsys, tmp_path, model, path
):
    found = result(capsys, tmp_path, "yields", path, "--bins")
    rows = {(row["channel"], row["sample"]): row for row in found["yields"]}
    assert rows["signal_region", "back"]["prefit"] == pytest.approx(110.0)
    assert rows["side", "back"]["prefit_error"] == pytest.approx(0.5 * (210 - 191), rel=1e-6)
    assert rows["signal_region", "total"]["data"] == 150.0
    assert rows["signal_region", "total"]["postfit"] == pytest.approx(150.0, rel=0.02)
    expected = model.expected(fits.fit(model).values)
    bins = [row["postfit"] for row in found["bins"] if row["sample"] == "total"]
    assert bins == pytest.approx(expected)


def test_correlations_yields_and_goodness_need_no_parameter_of_interest(capsys, tmp_path):
    case = build()
    case["measurements"][0]["config"]["poi"] = ""
    file = tmp_path / "none.json"
    file.write_text(json.dumps(case))
    for command in ("correlations", "yields", "goodness"):
        assert "poi" not in result(capsys, tmp_path, command, file)


# --- two workspaces ---------------------------------------------------------------------------------------------------


def test_differences_of_two_workspaces_are_told_in_words(capsys, tmp_path, path):
    other = build()
    other["channels"][0]["samples"][2]["data"] = [50.0, 42.0, 20.0]
    other["channels"][0]["samples"][1]["modifiers"].append({"name": "new", "type": "normfactor", "data": None})
    other["channels"][0]["samples"][2]["modifiers"][2]["data"]["hi"] = 1.06
    other["observations"][1]["data"] = [208.0]
    del other["channels"][1]["samples"][0]["modifiers"][0]
    other["measurements"][0]["config"]["poi"] = "kappa"
    other["measurements"][0]["config"]["parameters"][1]["bounds"] = [[-5.0, 20.0]]
    other["channels"].append({"name": "third", "samples": [{"name": "s", "data": [1.0], "modifiers": []}]})
    other["observations"].append({"name": "third", "data": [1.0]})
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(other))
    told = {row["place"]: row["difference"] for row in result(capsys, tmp_path, "compare", path, file)["list"]}
    region = "channel signal_region, sample"
    assert told["measurement"] == "parameter of interest mu -> kappa"
    assert told["channel third"] == "only in the second"
    assert told[f"{region} back"] == "1 of 3 numbers differ, most of all bin 1: by +5 %, 40 -> 42; sum 110 -> 112"
    assert told[f"{region} other, normfactor new"] == "only in the second"
    assert "1.05 -> 1.06" in told[f"{region} back, normsys jer"]
    assert told["channel side, observation"].endswith("204 -> 208; sum 204 -> 208")
    assert told["channel side, sample back, histosys jes"] == "only in the first"
    assert told["parameter mu"] == "upper 10 -> 20"


def test_the_order_of_what_a_workspace_lists_is_no_difference(capsys, tmp_path, path):
    other = copy.deepcopy(build())
    other["channels"].reverse()
    other["channels"][1]["samples"].reverse()
    file = tmp_path / "reversed.json"
    file.write_text(json.dumps(other))
    found = result(capsys, tmp_path, "compare", path, file)
    assert (found["differences"], found["list"]) == (0, [])
    assert "no such file" in refused(capsys, "compare", path, "nowhere.json")


def test_differences_of_extensions_are_told_where_they_act(capsys, tmp_path, path):
    files = [tmp_path / "one.json", tmp_path / "other.json"]
    for file, size, code in zip(files, (0.5, -0.25), ("code1", "code4"), strict=True):
        matrix = {"parameters": ["jes", "jer"], "correlation": [[1.0, size], [size, 1.0]]}
        file.write_text(json.dumps(build() | {
            "extensions": {"correlations": [matrix], "interpolation": {"normsys": code}}}))  # fmt: skip
    told = {row["place"]: row["difference"] for row in result(capsys, tmp_path, "compare", *files)["list"]}
    assert told == {"interpolation of normsys": "code1 -> code4", "correlation of jer and jes": "0.5 -> -0.25"}
    told = {row["place"]: row["difference"] for row in result(capsys, tmp_path, "compare", files[1], path)["list"]}
    assert told == {"correlation of jer and jes": "-0.25 -> 0"}


# --- figures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("fit",), {"pulls", "correlations", "yields_signal_region", "yields_side"}),
        (("rank", "--asimov"), {"ranking"}),
        (("rank", "--poi", "mu", "--poi", "kappa"), {"ranking_mu", "ranking_kappa"}),
        (("scan", "--points", 5), {"scan"}),
        (("scan", "--poi", "mu", "--poi", "kappa", "--points", 3), {"contours"}),
        (("correlations",), {"correlations"}),
        (("yields", "--asimov-fitted"), {"yields_signal_region", "yields_side"}),
    ],
)
def test_figures_are_drawn_and_repeat_to_the_byte(capsys, tmp_path, path, arguments, names):
    command, *rest = arguments
    status, _, messages = run(capsys, command, path, *rest, "--plots", tmp_path / "one")
    assert status == 0, messages
    assert {file.name for file in (tmp_path / "one").iterdir()} == {
        f"{n}.{end}" for n in names for end in ("pdf", "svg")
    }
    run(capsys, command, path, *rest, "--plots", tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_figures_without_what_draws_them_are_refused_before_anything_is_fitted(capsys, path):
    def nothing():
        raise ImportError("No module named 'matplotlib'")

    status = line.main(["fit", str(path), "--plots", "figures"], drawing=nothing)
    printed, messages = capsys.readouterr()
    assert (status, printed) == (2, "")
    assert "No module named 'matplotlib'" in messages
    assert "--plots: toys has no figures" in refused(capsys, "toys", path, "--plots", "figures")


def test_a_scan_in_two_parameters_agrees_with_a_general_minimiser(model):
    best, point = fits.fit(model), np.array([[1.5, 0.7]])
    found = contours.surface(model, None, ("mu", "kappa"), point, best)
    at = [model.index("mu"), model.index("kappa")]
    rest = [i for i in range(len(model.names)) if i not in at]

    def depth(values):
        every = model.inits.copy()
        every[at], every[rest] = point[0], values
        return float(model.twice_nll(every)[0])

    bounds = list(zip(model.lower[rest], model.upper[rest], strict=True))
    other = optimize.minimize(depth, model.inits[rest], bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-14})
    assert found.twice_delta_nll[0] == pytest.approx(other.fun - best.twice_nll, abs=1e-4)
