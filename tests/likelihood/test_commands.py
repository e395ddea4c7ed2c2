"""The command line on a workspace: what it prints and writes is what the library finds; bad input is told in one line."""

import copy
import io
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from workspace_strategies import build

from nuisflow.likelihood import fits, limits, toys, uncertainties
from nuisflow.likelihood.commands import answer, line, question
from nuisflow.likelihood.commands.coverage import toys as toys_command
from nuisflow.likelihood.model import Model
from nuisflow.storage import sources


@pytest.fixture(scope="module")
def workspace():
    case = build(np.random.default_rng(21), 1, 3, ("normsys", "histosys", "staterror"), bins=6, scale=10.0, wild=False)
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-20.0, 30.0]]}]}
    other = {"poi": "mu", "parameters": [{"name": "a0", "fixed": True}]}
    case["measurements"] = [{"name": "usual", "config": config}, {"name": "without_a0", "config": other}]
    return case


@pytest.fixture(scope="module")
def model(workspace):
    return Model(workspace)


@pytest.fixture(scope="module")
def path(workspace, tmp_path_factory):
    return write(tmp_path_factory.mktemp("commands") / "workspace.json", workspace)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def run(capsys, *arguments):
    """Return the exit status, what was printed, and the messages."""
    try:
        status = line.main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    printed, messages = capsys.readouterr()
    return status, printed, messages


def result(capsys, tmp_path, *arguments):
    """Return what a command writes as JSON."""
    status, _, messages = run(capsys, *arguments, "--output", tmp_path / "result.json")
    assert status == 0, messages
    return json.loads((tmp_path / "result.json").read_text())


def same(text, number):
    """Return whether a printed number is this one, to its digits."""
    places = len(text.partition(".")[2])
    return text == f"{round(number, places) + 0.0:.{places}f}"


def refused(capsys, *arguments):
    """Return the one line that tells what is wrong."""
    status, printed, messages = run(capsys, *arguments)
    assert (status, printed) == (2, "")
    assert messages.count("\n") == 1
    assert "error: " in messages
    return messages


def test_fit_writes_what_the_library_finds(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "fit", path)
    best, profile, parts = fits.fit(model), fits.interval(model), uncertainties.breakdown(model)
    goodness = limits.goodness_of_fit(model)
    at = model.index("mu")
    assert found["best_fit"] == pytest.approx(best.values[at], abs=1e-9)
    assert found["hessian_error"] == pytest.approx(best.errors[at], rel=1e-9)
    assert found["profile_up"] == pytest.approx(profile.high - profile.value, rel=1e-9)
    assert found["profile_down"] == pytest.approx(profile.low - profile.value, rel=1e-9)
    assert (found["goodness_of_fit"], found["p_value"]) == pytest.approx((goodness.statistic, goodness.p_value))
    assert {row["source"]: row["frozen"] for row in found["breakdown"]} == pytest.approx(
        {row.group: row.frozen for row in parts.sources} | {"total": parts.sigma_total}
    )
    pulls = {row.parameter: row.pull for row in fits.pulls(model, best)}
    assert {row["parameter"]: row["pull"] for row in found["parameters"] if row["pull"] is not None} == pulls
    assert found["parameters"][0]["parameter"] == "mu"
    assert {row["parameter"] for row in found["parameters"]} == set(np.array(model.names)[~model.fixed])
    assert found["converged"] is True


def test_fit_prints_an_aligned_table_with_the_same_numbers(capsys, model, path):
    status, printed, _ = run(capsys, "fit", path)
    lines = printed.splitlines()
    rows = [line for line in lines if line.startswith(("parameter ", "mu ", "a0 "))]
    assert status == 0
    assert len({len(line) for line in rows}) == 1
    assert same(rows[1].split()[1], fits.fit(model).values[model.index("mu")])
    assert same(
        next(line for line in lines if line.startswith("total")).split()[1], uncertainties.breakdown(model).sigma_total
    )


def test_groups_are_parts_of_the_breakdown(capsys, tmp_path, model, path):
    arguments = ("--group", "ours=a0,a1", "--group", "counts=stat_c0")
    found = result(capsys, tmp_path, "fit", path, *arguments)
    parts = uncertainties.breakdown(model, groups={"ours": ["a0", "a1"], "counts": ["stat_c0"]})
    assert [row["source"] for row in found["breakdown"]] == [*(row.group for row in parts.sources), "total"]
    assert [row["frozen"] for row in found["breakdown"][:-1]] == pytest.approx([row.frozen for row in parts.sources])
    _, _, messages = run(capsys, "fit", path, "--group", "x=a0", "--group", "y=a0")
    assert "WARNING: breakdown: a0 is in several groups" in messages


def test_rank_lists_impacts_largest_first(capsys, tmp_path, model, path):
    status, printed, _ = run(capsys, "rank", path, "--output", tmp_path / "impacts.csv")
    table, expected = pd.read_csv(tmp_path / "impacts.csv"), uncertainties.impacts(model)
    assert status == 0
    assert list(table["parameter"]) == [row.parameter for row in expected]
    np.testing.assert_allclose(table["up"], [row.up for row in expected])
    np.testing.assert_allclose(table["observable_down"], [row.observable_down for row in expected])
    assert (np.diff(table[["up", "down"]].abs().max(axis=1)) <= 1e-12).all()
    assert expected[0].parameter in printed


@pytest.mark.parametrize("parameter", ["mu", "a0"])
def test_scan_profiles_the_parameter_asked_for(capsys, tmp_path, model, path, parameter):
    status, _, _ = run(capsys, "scan", path, "--poi", parameter, "--points", 9, "--output", tmp_path / "scan.csv")
    table = pd.read_csv(tmp_path / "scan.csv")
    best = fits.fit(model)
    at = model.index(parameter)
    assert status == 0
    assert len(table) == 9
    np.testing.assert_allclose(
        table["twice_delta_nll"], fits.scan(model, None, parameter, table[parameter])[2], atol=1e-9
    )
    np.testing.assert_allclose(table[parameter].mean(), best.values[at], atol=1e-6)
    assert table[parameter].max() == pytest.approx(best.values[at] + 3 * best.errors[at])
    assert table["twice_delta_nll"].min() == pytest.approx(0.0, abs=1e-8)


def test_limit_prints_the_band_and_the_significance(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "limit", path)
    expected, test = limits.limits(model), limits.significance(model)
    assert [row["mu"] for row in found["limits"]] == pytest.approx([expected.observed, *expected.expected])
    assert [row["limit"] for row in found["limits"]][:2] == ["observed", "expected -2 sigma"]
    assert (found["q0"], found["sigmas"], found["p_value"]) == pytest.approx(tuple(test))


def test_limit_has_any_level_and_lists_cls_at_signal_strengths(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "limit", path, "--level", 0.9, "--at", 1, 2.5)
    expected = limits.limits(model, level=0.9)
    assert [row["mu"] for row in found["limits"]] == pytest.approx([expected.observed, *expected.expected], rel=1e-6)
    assert [row["mu"] for row in found["cls"]] == [1.0, 2.5]
    assert found["cls"][1]["observed"] == pytest.approx(limits.cls(model, None, 2.5).observed, rel=1e-6)
    again = result(capsys, tmp_path, "limit", path, "--at", expected.observed)
    assert again["cls"][0]["observed"] == pytest.approx(0.1, rel=1e-6)


def test_goodness_is_the_libraries_own_with_and_without_toys(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "goodness", path, "--number", 100, "--seed", 3)
    expected, thrown = limits.goodness_of_fit(model), toys.goodness_of_fit_by_toys(model, None, 100, 3, "commands")
    assert found["p_value"] == pytest.approx(expected.p_value, rel=1e-6)
    assert found["p_value_of_toys"] == pytest.approx(thrown.p_value)
    assert "p_value_of_toys" not in result(capsys, tmp_path, "goodness", path)


def test_a_workspace_comes_from_standard_input(capsys, tmp_path, monkeypatch, workspace, path):
    expected = result(capsys, tmp_path, "goodness", path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(workspace)))
    found = result(capsys, tmp_path, "goodness", "-")
    assert found | {"workspace": ""} == expected | {"workspace": ""}


def test_asimov_data_are_the_nominal_expectation(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "fit", path, "--asimov")
    assert found["best_fit"] == pytest.approx(1.0, abs=1e-6)
    assert found["hessian_error"] == pytest.approx(fits.fit(model, model.asimov()).errors[model.index("mu")])
    assert found["data"] == "asimov"
    assert "goodness_of_fit" not in found
    limit = result(capsys, tmp_path, "limit", path, "--asimov")
    assert limit["sigmas"] == pytest.approx(limits.significance(model, model.asimov()).sigmas)


def test_toys_are_the_libraries_own_and_thrown_at_the_best_fit(capsys, tmp_path, model, path):
    found = result(capsys, tmp_path, "toys", path, "--number", 300, "--seed", 4)
    best = fits.fit(model)
    expected = toys.coverage(toys.run(model, best.values, 300, 4, "commands", 0))._asdict()
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["true"] == pytest.approx(best.values[model.index("mu")])
    other = result(capsys, tmp_path, "toys", path, "--number", 300, "--seed", 5)
    assert other["bias"] != found["bias"]


def test_more_toys_begin_with_the_same_ones(monkeypatch, model):
    monkeypatch.setattr(toys_command, "CHUNK", 40)
    few, many = (toys_command.experiments(model, model.inits, number, 1) for number in (50, 100))
    assert few.value.tolist() == many.value[:50].tolist()
    assert len(set(many.value.tolist())) == 100


def test_the_measurement_chosen_counts(capsys, tmp_path, workspace, path):
    found = result(capsys, tmp_path, "fit", path, "--measurement", "without_a0")
    model = Model(workspace, "without_a0")
    assert found["hessian_error"] == pytest.approx(fits.fit(model).errors[model.index("mu")])
    assert "a0" not in {row["parameter"] for row in found["parameters"]}


def test_a_workspace_without_a_parameter_of_interest_needs_the_option(capsys, tmp_path, workspace):
    case = copy.deepcopy(workspace)
    case["measurements"][0]["config"]["poi"] = ""
    path = write(tmp_path / "workspace.json", case)
    assert "names no parameter of interest; give one with --poi, such as mu" in refused(capsys, "fit", path)
    assert result(capsys, tmp_path, "fit", path, "--poi", "mu")["poi"] == "mu"
    case["measurements"][0]["config"]["poi"] = "nu"
    path = write(tmp_path / "workspace.json", case)
    assert "no parameter 'nu'" in refused(capsys, "rank", path)
    assert result(capsys, tmp_path, "rank", path, "--poi", "mu")["poi"] == "mu"


def counting(signal, background, observed, bounds=(-10.0, 10.0)):
    return {
        "channels": [{"name": "c", "samples": [
            {"name": "s", "data": signal, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
            {"name": "b", "data": background, "modifiers": [{"name": "k", "type": "normfactor", "data": None}]}]}],
        "observations": [{"name": "c", "data": observed}], "version": "1.0.0",
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [
            {"name": "mu", "bounds": [list(bounds)]}, {"name": "k", "bounds": [[0.0, 10.0]]}]}}],
    }  # fmt: skip


def test_a_parameter_at_its_bound_is_told(capsys, tmp_path):
    path = write(tmp_path / "w.json", counting([9.0, 1.0], [50.0, 50.0], [30.0, 60.0], bounds=(0.0, 10.0)))
    status, _, messages = run(capsys, "fit", path, "--output", tmp_path / "r.json")
    assert status == 0
    assert "WARNING: fit: mu is at its lower bound 0" in messages
    assert "mu: the lower end is at the bound" in messages
    assert "fit: mu is at its lower bound 0" in json.loads((tmp_path / "r.json").read_text())["warnings"]


@pytest.mark.parametrize("command", ["fit", "rank", "scan", "limit", "toys"])
def test_a_flat_direction_is_told_and_the_status_is_not_zero(capsys, tmp_path, command):
    path = write(tmp_path / "w.json", counting([10.0, 10.0], [50.0, 50.0], [70.0, 55.0]))
    options = ("--number", 50) if command == "toys" else ()
    status, _, messages = run(capsys, command, path, *options, "--output", tmp_path / "r.json")
    if command == "toys":
        assert (status, messages) == (1, "fit_workspace.py: error: all fits of the 50 toys failed: no coverage\n")
        return
    assert status == 1
    assert "WARNING: fit: not converged" in messages
    assert "flat mostly along mu" in messages
    assert json.loads((tmp_path / "r.json").read_text())["converged"] is False


def test_a_limit_beyond_the_bound_is_told(capsys, tmp_path):
    path = write(tmp_path / "w.json", counting([9.0, 1.0], [50.0, 50.0], [50.0, 50.0], bounds=(-1.0, 0.5)))
    case = json.loads(path.read_text())
    case["measurements"][0]["config"]["parameters"][0]["inits"] = [0.0]
    status, _, messages = run(capsys, "limit", write(path, case), "--output", tmp_path / "r.json")
    assert status == 1
    assert "beyond the upper bound 0.5 of mu" in messages
    assert json.loads((tmp_path / "r.json").read_text())["limits"][0]["mu"] is None


def broken(workspace, change):
    case = copy.deepcopy(workspace)
    change(case)
    return case


def spoil_bins(case):
    case["channels"][0]["samples"][1]["data"].pop()


def spoil_number(case):
    case["channels"][0]["samples"][1]["data"][2] = math.nan


def spoil_modifiers(case):
    case["channels"][0]["samples"][1]["modifiers"] = 7


def spoil_measurements(case):
    case["measurements"][0] = "usual"


def spoil_name(case):
    del case["channels"][0]["name"]


def spoil_rate(case):
    case["channels"][0]["samples"] = case["channels"][0]["samples"][:1]
    case["channels"][0]["samples"][0]["data"][3] = -5.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (spoil_bins, ("channel c0, sample s1", "bins")),
        (spoil_number, ("channel c0, sample s1: bin 2 is nan",)),
        (spoil_modifiers, ("modifiers",)),
        (spoil_measurements, ("measurements",)),
        (spoil_name, ("channel", "'name' is missing")),
        (spoil_rate, ("channel c0, bin 3", "negative")),
        (lambda case: case.pop("observations"), ("'observations' must be a list",)),
        (lambda case: case.pop("measurements"), ("'measurements' must be a list",)),
        (lambda case: case["observations"][0]["data"].append(3.0), ("observation c0", "7 bins")),
    ],
)
def test_a_broken_workspace_is_refused_with_the_place(capsys, tmp_path, workspace, change, told):
    message = refused(capsys, "fit", write(tmp_path / "broken.json", broken(workspace, change)))
    assert "broken.json: " in message
    assert all(part in message for part in told), message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[]", "a JSON object is needed, not a list"),
        ("{}", "'channels' must be a list"),
        ('{"patches": [], "metadata": {}}', "a patch set, not a workspace"),
    ],
)
def test_a_file_that_is_no_workspace_is_refused(capsys, tmp_path, content, told):
    assert told in refused(capsys, "scan", write(tmp_path / "file.json", content))


def test_missing_files_folders_and_binary_files_are_refused(capsys, tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x80")
    assert "nowhere.json: no such file" in refused(capsys, "fit", tmp_path / "nowhere.json")
    assert "a folder, not a file" in refused(capsys, "fit", tmp_path)
    assert "not JSON ('utf-8' codec can't decode" in refused(capsys, "fit", tmp_path / "binary.json")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("fit", "--poi", "mu0"), "no parameter 'mu0' to be of interest (--poi); did you mean 'mu'?"),
        (("rank", "--measurement", "usal"), "no measurement 'usal' in the workspace; did you mean 'usual'?"),
        (("fit", "--group", "x=stat_c"), "--group x: no parameter or modifier 'stat_c'; did you mean 'stat_c0'?"),
        (("fit", "--group", "a0"), "--group a0: write it as NAME=par1,par2"),
        (("fit", "--group", "other=a0"), "--group other: choose another name"),
        (("scan", "--poi", "a0", "--measurement", "without_a0"), "'a0' is fixed by the measurement"),
        (("limit", "--poi", "a0"), "a limit needs a signal strength"),
        (("scan", "--points", "1"), "argument --points: '1' is not a whole number of at least 2"),
        (("toys", "--number", "many"), "argument --number: 'many' is not a whole number"),
        (("toys", "--seed", "-1"), "argument --seed"),
        (("fit", "--output", "fit.txt"), "'fit.txt' must end in .json or .csv"),
        (("fit", "--points", "3"), "unrecognized arguments: --points"),
    ],
)
def test_wrong_options_are_refused(capsys, path, arguments, told):
    assert told in refused(capsys, arguments[0], path, *arguments[1:])


def test_an_unknown_command_is_refused(capsys, path):
    assert "invalid choice: 'fti'" in refused(capsys, "fti", path)
    assert "required: COMMAND" in refused(capsys)


@pytest.mark.parametrize("command", [*line.COMMANDS, line.COMPARE])
def test_every_help_has_an_example_that_is_understood(capsys, command):
    status, printed, _ = run(capsys, command, "--help")
    example = next(line for line in printed.splitlines() if "python scripts/fit_workspace.py" in line)
    options = line.parser().parse_args(example.replace("'", "").split()[2:])
    assert status == 0
    assert (options.command, options.workspace.name) == (command, "workspace.json")


def test_columns_keep_the_digits_that_matter():
    rows = [
        {"name": "a", "mixed": 32.5, "small": 1.5e-6, "none": None},
        {"name": "bcd", "mixed": 1e-7, "small": 2e-6, "none": math.nan},
        {"name": "e", "mixed": -0.123, "small": 1e-15, "none": None},
    ]
    assert answer.aligned(rows) == [
        "name  mixed    small  none",
        "a     32.50  1.5e-06     -",
        "bcd    0.00    2e-06     -",
        "e     -0.12        0     -",
    ]
    assert answer.aligned([]) == ["(none)"]


def test_warnings_tell_of_toys_that_do_not_cover_and_of_failed_fits(monkeypatch, model):
    few = toys.run(model, None, 400, 1)
    narrow = few._replace(low=few.value - 0.01, high=few.value + 0.01)
    monkeypatch.setattr(toys, "run", lambda *_: narrow._replace(fitted=narrow.fitted & (np.arange(400) > 9)))
    found = toys_command.throw(question.of(model), 400, 1)
    assert found.facts["failed"] == 10
    assert any("10 of 400 fits failed" in warning for warning in found.warnings)
    assert any("fewer than the intended 68.27 %" in warning for warning in found.warnings)


def test_toys_without_an_end_of_their_interval_are_not_failed_fits(monkeypatch, model):
    few = toys.run(model, None, 400, 1)
    odd = few._replace(bounded=few.bounded & (np.arange(400) > 9), limited=np.arange(400) > 379)
    monkeypatch.setattr(toys, "run", lambda *_: odd)
    found = toys_command.throw(question.of(model), 400, 1)
    assert (found.facts["failed"], found.facts["unbounded"], found.facts["limited"]) == (0, 10, 20)
    assert any("in 10 of 400 experiments the fit converged, but an end of the" in text for text in found.warnings)
    assert any("in 20 of 400 experiments an end of the interval is at a bound" in text for text in found.warnings)
    assert not any("failed" in warning for warning in found.warnings)


def test_profiles_unlike_the_hessian_are_told_in_one_line(capsys, tmp_path):
    case = counting([9.0, 1.0], [50.0, 50.0], [58.0, 51.0])
    for number in range(6):
        shape = {"hi_data": [80.0, 50.0 + number], "lo_data": [49.0, 50.0]}
        modifier = {"name": f"shape{number}", "type": "histosys", "data": shape}
        case["channels"][0]["samples"][1]["modifiers"].append(modifier)
    _, _, messages = run(capsys, "fit", write(tmp_path / "w.json", case))
    lines = [line for line in messages.splitlines() if "Hessian" in line and not line.startswith("WARNING: mu:")]
    assert len(lines) == 1
    assert "profile intervals differ from the Hessian's errors by more than 10 % of them, most of all" in lines[0]


def test_with_many_parameters_only_that_of_interest_is_profiled(capsys, tmp_path, model, path):
    every = result(capsys, tmp_path, "fit", path)["parameters"]
    few = result(capsys, tmp_path, "fit", path, "--profiles", 2)
    assert few["parameters"][0] == every[0]
    assert {row["profile_up"] for row in few["parameters"][1:]} == {None}
    assert [row["hessian_error"] for row in few["parameters"]] == [row["hessian_error"] for row in every]
    assert any("only mu has a profile interval" in warning for warning in few["warnings"])


@pytest.mark.slow
@pytest.mark.oracle
def test_the_quick_benchmark_writes_every_ratio(tmp_path):
    pytest.importorskip("cabinetry")
    script = sources.SCRIPTS.parent / "tests" / "benchmarks" / "write_summary.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "summary.csv"), "--quick"], cwd=tmp_path, check=True)
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table.columns) == ["benchmark", "peer", "ours_seconds", "peer_seconds", "ratio"]
    assert {"fit and errors, model a", "fit, model a", "impacts, model a, per parameter"} <= set(table["benchmark"])
    assert table["benchmark"].str.startswith("train").sum() == 3
    np.testing.assert_allclose(table["ratio"], table["peer_seconds"] / table["ours_seconds"], rtol=0.1)
    assert (table["ratio"][table["benchmark"].isin(["fit and errors, model a", "fit, model a"])] > 100).all()


def test_the_script_runs_without_snakemake(tmp_path, path):
    script = [sys.executable, str(sources.SCRIPTS / "fit_workspace.py")]
    good = subprocess.run([*script, "rank", str(path)], capture_output=True, text=True, cwd=tmp_path, check=False)
    bad = subprocess.run([*script, "rank", "nowhere.json"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert good.returncode == 0, good.stderr
    assert "impacts: changes of mu" in good.stdout
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr == "fit_workspace.py: error: nowhere.json: no such file\n"


def test_a_reader_that_stops_early_still_gets_the_warnings(tmp_path):
    path = write(tmp_path / "w.json", counting([9.0, 1.0], [50.0, 50.0], [30.0, 60.0], bounds=(0.0, 10.0)))
    script = f"{sys.executable} {sources.SCRIPTS / 'fit_workspace.py'} rank {path} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert "WARNING: fit: mu is at its lower bound 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_commands_are_not_part_of_the_rule_code():
    assert "commands" not in {path.parent.name for path in sources.of("fit_workspace")}
