"""Other dialects: what is read and written says the same as the tools that they belong to, and the rest is refused."""

import copy
import json

import datacards
import histfactory_xml
import numpy as np
import pytest
from workspace_strategies import build

from nuisflow.likelihood.commands import line, reading
from nuisflow.likelihood.dialects import files, hs3, hs3_writing, proofs, xml
from nuisflow.likelihood.model import Model

pytest.importorskip("uproot")


def run(capsys, *arguments):
    """Return the exit status, what was printed, and the messages."""
    try:
        status = line.main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


@pytest.fixture
def workspace():
    return build(np.random.default_rng(21), 2, 3, ("normsys", "histosys", "staterror"), bins=4, scale=10.0, wild=False)


# --- HistFactory XML --------------------------------------------------------------------------------------------------


def test_xml_is_read_as_pyhf_reads_it(tmp_path):
    readxml = pytest.importorskip("pyhf.readxml")
    path = histfactory_xml.write(tmp_path, channel=histfactory_xml.CHANNEL.replace('old="0.02"', 'old="0"'))
    theirs = readxml.parse(str(path), str(tmp_path))
    proof = proofs.with_pyhf(Model(xml.read(path)), theirs)
    assert (proof.points, proof.tool[:4]) == (100, "pyhf")
    assert proof.largest < 1e-10


def test_statistics_below_the_threshold_are_left_out_as_root_does(tmp_path):
    model = Model(xml.read(histfactory_xml.write(tmp_path)))
    rows = [row for row in model.parameters if row.kind == "staterror"]
    assert [row.fixed for row in rows] == [True, False, False, False]
    assert [row.width for row in rows[1:]] == pytest.approx(
        [np.hypot(0.7, 4.0) / 100, np.hypot(0.6, 3.0) / 85, np.hypot(0.4, 2.5) / 56], rel=1e-6
    )


def test_constraints_of_which_nothing_is_written_are_roots_defaults(tmp_path):
    channel = histfactory_xml.CHANNEL.replace(' ConstraintType="Gaussian"', "").replace(' ConstraintType="Poisson"', "")
    model = Model(xml.read(histfactory_xml.write(tmp_path, channel=channel)))
    rows = {row.name: row for row in model.parameters}
    gamma, closure = rows["staterror_region[1]"], rows["closure[2]"]
    count = (100 / np.hypot(0.7, 4.0)) ** 2
    assert gamma.constraint == "poisson"
    assert (gamma.auxiliary, gamma.width) == pytest.approx((count, count), rel=1e-6)
    assert (closure.constraint, closure.auxiliary) == ("normal", 1.0)
    assert closure.width == pytest.approx(0.2, rel=1e-6)


def test_settings_of_parameters_may_stand_in_several_lines(tmp_path, caplog):
    before = '<ParamSetting Const="True">Lumi</ParamSetting>'
    after = '<ParamSetting Const="True">Lumi\n   alpha_eff  alpha_rat</ParamSetting><ParamSetting Val="1.5">mu</ParamSetting>'
    rows = {
        row.name: row
        for row in Model(
            xml.read(histfactory_xml.write(tmp_path, histfactory_xml.TOP.replace(before, after)))
        ).parameters
    }
    assert {name for name, row in rows.items() if row.fixed} == {"lumi", "eff", "staterror_region[0]"}
    assert (rows["mu"].init, rows["eff"].init, rows["rate"].fixed) == (1.5, 0.0, False)
    assert "line 7: ParamSetting: no parameter alpha_rat; did you mean 'rate'" in caplog.text


XML_REFUSED = [
    (
        "TOP",
        "<POI>",
        "<ConstraintTerm Type='LogNormal'>eff</ConstraintTerm><POI>",
        "line 5: <ConstraintTerm> is not supported",
    ),
    ("TOP", "</Combination>", "", "top.xml: line 9: not XML"),
    ("TOP", "./channel.xml", "./chanel.xml", "Input> files ./chanel.xml are not"),
    ("CHANNEL", "<OverallSys", "<OveralSys", "line 7: <OveralSys> is not supported; did you mean 'OverallSys'"),
    ("CHANNEL", 'Low="0.93"', 'Lo="0.93"', "line 7: <OverallSys>: Lo is not supported; did you mean 'Low'"),
    ("CHANNEL", "Poisson", "Uniform", "line 14: <ShapeSys>: ConstraintType Uniform is not supported"),
    ("CHANNEL", '"signal_up"', '"signal_upp"', "signal_upp were tried and not found"),
]


@pytest.mark.parametrize(("which", "before", "after", "words"), XML_REFUSED)
def test_xml_that_is_not_supported_is_refused_by_line(tmp_path, which, before, after, words):
    texts = {"TOP": histfactory_xml.TOP, "CHANNEL": histfactory_xml.CHANNEL}
    texts[which] = texts[which].replace(before, after, 1)
    path = histfactory_xml.write(tmp_path, texts["TOP"], texts["CHANNEL"])
    with pytest.raises(ValueError, match=words):
        xml.read(path)


# --- HS3 --------------------------------------------------------------------------------------------------------------


def test_what_is_written_as_hs3_is_read_as_the_same_likelihood(workspace):
    model = Model(workspace)
    again = Model(hs3.read("x.json", json.loads(json.dumps(hs3_writing.write(model.structure)))))
    assert set(again.names) == set(model.names)
    at = proofs.points(model)
    named = [again.twice_nll(dict(zip(model.names, point, strict=True)))[0] for point in at]
    assert model.twice_nll(at) == pytest.approx(named, rel=1e-12)
    assert {row.name: row[3:7] for row in again.parameters} == {row.name: row[3:7] for row in model.parameters}


def test_every_kind_of_modifier_survives_hs3():
    sample = {"name": "s", "data": [10.0, 20.0], "modifiers": [
        {"name": "lumi", "type": "lumi", "data": None}, {"name": "mu", "type": "normfactor", "data": None},
        {"name": "free", "type": "shapefactor", "data": None}]}  # fmt: skip
    other = {"name": "b", "data": [50.0, 40.0], "modifiers": [
        {"name": "own", "type": "shapesys", "data": [5.0, 3.0]}, {"name": "mc", "type": "staterror", "data": [1.0, 2.0]},
        {"name": "a", "type": "histosys", "data": {"hi_data": [52.0, 39.0], "lo_data": [47.0, 42.0]}}]}  # fmt: skip
    config = {"poi": "mu", "parameters": [{"name": "lumi", "inits": [1.0], "auxdata": [1.0], "sigmas": [0.02],
                                           "bounds": [[0.8, 1.3]], "fixed": True}]}  # fmt: skip
    book = {"channels": [{"name": "c", "samples": [sample, other]}], "version": "1.0.0",
            "observations": [{"name": "c", "data": [66.0, 57.0]}], "measurements": [{"name": "m", "config": config}],
            "extensions": {"interpolation": {"histosys": "code2"}}}  # fmt: skip
    model = Model(book)
    again = Model(hs3.read("x.json", hs3_writing.write(model.structure)))
    for point in proofs.points(model)[:20]:
        values = dict(zip(model.names, point, strict=True))
        assert again.twice_nll(values) == pytest.approx(model.twice_nll(point), rel=1e-12)
    assert again.structure.extended.histosys == "code2"
    assert again.fixed[again.index("lumi")]
    assert [end[again.index("lumi")] for end in again.bounds] == [0.8, 1.3]


def test_factors_of_bins_keep_their_settings_in_hs3():
    names = {"free": "shapefactor", "held": "shapefactor", "own": "shapesys", "mc": "staterror"}
    data = {"own": [5.0, 3.0], "mc": [1.0, 2.0]}
    modifiers = [{"name": name, "type": kind, "data": data.get(name)} for name, kind in names.items()]
    samples = [
        {"name": name, "data": [50.0, 40.0], "modifiers": [row]} for name, row in zip("abcd", modifiers, strict=True)
    ]
    samples[0]["modifiers"].append({"name": "mu", "type": "normfactor", "data": None})
    config = {"poi": "mu", "parameters": [
        {"name": "free", "inits": [2.0, 3.0], "bounds": [[0.5, 5.0], [1.0, 6.0]]}, {"name": "held", "fixed": True},
        {"name": "own", "fixed": True, "inits": [1.1, 1.0]}, {"name": "mc", "fixed": True}]}  # fmt: skip
    model = Model({"channels": [{"name": "c", "samples": samples}], "version": "1.0.0",
                   "observations": [{"name": "c", "data": [220.0, 190.0]}],
                   "measurements": [{"name": "m", "config": config}]})  # fmt: skip
    again = Model(hs3.read("x.json", json.loads(json.dumps(hs3_writing.write(model.structure)))))
    kept = ("init", "lower", "upper", "fixed")
    told = [{row.name: [getattr(row, key) for key in kept] for row in one.parameters} for one in (model, again)]
    assert told[0] == told[1]


def test_a_staterror_of_two_channels_has_other_parameters_in_each_in_hs3():
    row = {"name": "mc", "type": "staterror", "data": [2.0]}
    channels = [{"name": name, "samples": [{"name": "s", "data": [20.0], "modifiers": [
        row, {"name": "mu", "type": "normfactor", "data": None}]}]} for name in "ab"]  # fmt: skip
    model = Model({"channels": channels, "version": "1.0.0",
                   "observations": [{"name": name, "data": [22.0]} for name in "ab"],
                   "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}]})  # fmt: skip
    content = hs3_writing.write(model.structure)
    named = [row["parameters"] for part in content["distributions"] for sample in part["samples"]
             for row in sample["modifiers"] if row["type"] == "staterror"]  # fmt: skip
    assert named == [["mc_bin_0"], ["mc_bin_1"]]


HS3_REFUSED = [
    (lambda d: d["distributions"][0].update(type="mixture_dist"), "distribution model_.*: type 'mixture_dist'"),
    (lambda d: _modifier(d).update(type="normsyst"), "no type 'normsyst'; choose one of normfactor"),
    (
        lambda d: _modifier(d).update(constraint_type="LogNormal"),
        "a constraint 'LogNormal' is not supported, only Gauss",
    ),
    (lambda d: _modifier(d).update(interpolation=3), "interpolation 3 is not supported"),
    (lambda d: d.pop("likelihoods"), "not complete HS3: KeyError: 'likelihoods'"),
    (
        lambda d: d["analyses"].append(d["analyses"][0] | {"name": "other"}),
        "measurement, other: choose one with --measurement",
    ),
]


def _modifier(content):
    rows = [
        row for part in content["distributions"] for sample in part.get("samples", []) for row in sample["modifiers"]
    ]
    found = next(row for row in rows if row["type"] == "normsys")
    found.pop("constraint_name", None)
    return found


@pytest.mark.parametrize(("change", "words"), HS3_REFUSED)
def test_hs3_that_is_not_supported_is_refused_by_name(workspace, change, words):
    content = copy.deepcopy(hs3_writing.write(Model(workspace).structure))
    change(content)
    with pytest.raises(ValueError, match=words):
        hs3.read("x.json", content)


def test_an_analysis_of_asimov_data_is_chosen_only_by_name(workspace):
    content = hs3_writing.write(Model(workspace).structure)
    content["analyses"].append(content["analyses"][0] | {"name": "asimovData"})
    assert hs3.read("x.json", content)["measurements"][0]["name"] == "measurement"
    assert hs3.read("x.json", content, "asimovData")["measurements"][0]["name"] == "asimovData"


# --- the command ------------------------------------------------------------------------------------------------------


def test_a_conversion_is_written_with_its_proof(capsys, tmp_path, workspace):
    pytest.importorskip("pyhf")
    (tmp_path / "pyhf.json").write_text(json.dumps(workspace))
    status, printed, _ = run(capsys, "convert", tmp_path / "pyhf.json", tmp_path / "hs3.json", "--to", "hs3")
    assert status == 0
    assert "proved against" in printed
    record = json.loads((tmp_path / "hs3.proof.json").read_text())
    assert (record["proved"], record["points"], record["dialect"]) == (True, 100, "pyhf")
    assert record["largest_relative_difference_of_twice_delta_nll"] < 1e-9
    assert files.dialect((tmp_path / "hs3.json").read_text()) == files.HS3


def test_the_proof_is_that_of_the_measurement_that_is_converted(capsys, tmp_path, workspace):
    pytest.importorskip("pyhf")
    workspace["channels"][0]["samples"][0]["modifiers"].append({"name": "lumi", "type": "lumi", "data": None})
    first = workspace["measurements"][0]["config"]
    lumi = {"name": "lumi", "inits": [1.0], "auxdata": [1.0], "bounds": [[0.5, 1.5]]}
    workspace["measurements"] = [
        {"name": name, "config": first | {"parameters": [*first["parameters"], lumi | {"sigmas": [size]}]}}
        for name, size in (("early", 0.02), ("late", 0.05))
    ]
    (tmp_path / "pyhf.json").write_text(json.dumps(workspace))
    target = tmp_path / "hs3.json"
    for name in ("early", "late"):
        status, _, messages = run(
            capsys, "convert", tmp_path / "pyhf.json", target, "--to", "hs3", "--measurement", name
        )
        assert status == 0, messages


def test_a_wrong_conversion_is_not_proved(workspace):
    pytest.importorskip("pyhf")
    other = copy.deepcopy(workspace)
    other["observations"][0]["data"][0] += 1.0
    assert proofs.with_pyhf(Model(workspace), other).record()["proved"] is False


def test_a_datacard_is_converted_and_read_without_conversion(capsys, tmp_path):
    card = datacards.write(tmp_path)
    status, _, messages = run(capsys, "convert", card, tmp_path / "card.json")
    assert status == 0
    proof = json.loads((tmp_path / "card.proof.json").read_text())
    assert proof["proved"]
    assert (proof["tool"], proof["points"]) == ("Combine's formulas, from the card", 100)
    assert proof["largest_relative_difference_of_twice_delta_nll"] < 1e-10
    assert "extensions (interpolation, constraints, groups): pyhf refuses it" in messages
    direct, converted = (reading.load(path) for path in (card, tmp_path / "card.json"))
    at = proofs.points(direct)[:5]
    assert direct.names == converted.names
    assert direct.twice_nll(at).tolist() == converted.twice_nll(at).tolist()


@pytest.mark.parametrize("make", [datacards.write, histfactory_xml.write])
def test_commands_read_other_dialects(tmp_path, make):
    model = reading.load(make(tmp_path))
    assert model.poi in ("r", "mu")
    assert np.isfinite(model.twice_nll()).all()


def test_bad_files_and_what_hs3_cannot_say_are_told_in_one_line(capsys, tmp_path):
    card = datacards.write(tmp_path)
    status, printed, messages = run(capsys, "convert", card, tmp_path / "card.json", "--to", "hs3")
    assert (status, printed) == (2, "")
    assert "HS3 cannot say this: mcstat" in messages
    card.write_text(datacards.CARD.replace("lumi   lnN", "lumi   trG"))
    status, _, messages = run(capsys, "fit", card)
    assert status == 2
    assert "card.txt: line 18: lumi: trG is not supported" in messages
    assert len(messages.strip().splitlines()) == 1
    assert not (tmp_path / "card.json").exists()


def test_groups_of_a_datacard_are_rows_of_the_breakdown(capsys, tmp_path):
    text = "".join(row for row in datacards.CARD.splitlines(keepends=True) if not row.startswith("low    autoMCStats"))
    card = datacards.write(tmp_path, text)
    status, _, messages = run(capsys, "fit", card, "--output", tmp_path / "fit.json")
    assert status == 0, messages
    found = json.loads((tmp_path / "fit.json").read_text())
    assert "energy" in {row["source"] for row in found["breakdown"]}
    assert "flat here, without a prior: range" in messages  # it acts on the signal alone, which is fitted to be 0
